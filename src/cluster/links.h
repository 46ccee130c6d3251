/* Inside cluster/: a legion's sockets.
 *
 * One is open to everybody. Each node told by a plain address has a connected one
 * beside it, on the same port: the kernel gives it what that node sends, so that
 * a flood from elsewhere, which fills the open one, costs no announcement. Names
 * are resolved by a child process (resolve.h), again and again.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_LINKS_H
#define LG_CLUSTER_LINKS_H

#include "cluster/plan.h"

struct lg_link {
    const char *text; /* as configured */
    const struct lg_address *address;
    struct lg_endpoint endpoint; /* len 0 = its name is not resolved */
    bool is_self;
    bool has_failed;  /* its name, at last */
    int fd;           /* connected; -1 = told through the open socket */
    int64_t heard_ms; /* where there are names: when something came to it; 0 = never */
};

/* How often names are resolved. Nobody says that an address is no longer a
 * node's: silence is the sign. */
#define LG_NAMES_EVERY_MS  60000
#define LG_NAMES_SILENT_MS 10000 /* while a node is not heard of */
#define LG_NAMES_FAILED_MS 5000  /* while one has no address, or sending fails */

struct lg_links {
    const char *legion, *addr_text;
    int fd;       /* the open one; -1 = none */
    int ready_fd; /* epoll over it and the connected ones; -1 before lg_links_start */
    struct lg_endpoint bound;
    int64_t said_ms;       /* when a failure was last logged */
    int64_t reconnect_ms;  /* links without a socket are tried again then */
    bool wants_names;      /* sending to a name has failed */
    const char *unix_path; /* to be removed in the end, by its maker */
    size_t count;
    size_t name_count; /* of them, those that are to be resolved again and again */
    struct lg_link all[LG_NODES_MAX];
};

/* Opens the open socket. `plan` is borrowed. 0, or a code with the reason logged. */
int lg_links_open(
    struct lg_links *links, const struct lg_legion_plan *plan, int ttl, int loop) LG_MUST_USE;
/* The nodes of `plan` from now on; what stays the same keeps its socket. */
void lg_links_set(struct lg_links *links, const struct lg_legion_plan *plan);
/* Legion process: empties the open socket of what came before it, connects. 0 or
 * -LG_E_SYS. */
int lg_links_start(struct lg_links *links) LG_MUST_USE;
void lg_links_close(struct lg_links *links);

void lg_links_send(struct lg_links *links, const char *datagram, size_t len, int64_t now_ms);
/* To one member only, whose datagrams came from there. In a group, to all. */
void lg_links_answer(struct lg_links *links, const struct lg_endpoint *to, const char *datagram,
    size_t len, int64_t now_ms);
/* A datagram came to this socket. */
void lg_links_heard(struct lg_links *links, int fd, int64_t now_ms);
/* A connected socket had bad news of an earlier datagram, when it was read. */
void lg_links_failed(struct lg_links *links, int fd, int err, int64_t now_ms);
/* Once `ready_fd` is readable: the sockets that are, the open one last. With a hundred
 * nodes to poll each of them costs more than all the rest. */
size_t lg_links_ready(const struct lg_links *links, int ret_fds[LG_NODES_MAX + 1]);

/* The address of a name; true when it is another one than before. */
bool lg_links_resolved(struct lg_links *links, size_t index, const struct lg_endpoint *endpoint);
bool lg_links_have_names(const struct lg_links *links);
/* When they are to be resolved again, after `last_ms`; INT64_MAX = there are none. */
int64_t lg_links_names_due_ms(const struct lg_links *links, int64_t last_ms);

#endif
