/* The listening sockets: addresses to file descriptors. Opened by the master,
 * shared by all workers, kept over a reload where the address stays.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_LISTEN_H
#define LG_MASTER_LISTEN_H

#include "conf/conf.h"
#include "master/identity.h"
#include "server/worker.h"

#include <sys/socket.h>
#include <sys/un.h>

#define LG_LISTENERS_MAX 64 /* sockets of one configuration, statistics included */

/* Where to listen. */
struct lg_listen_address {
    union {
        struct sockaddr base;
        struct sockaddr_storage storage;
        struct sockaddr_un un;
    } at;
    socklen_t len; /* 0 = `fd` was given */
    int fd;        /* of fd://N, else -1 */
};

/* "ip:port", ":port", "[v6]:port", "host:port", a path, "@abstract", "fd://N".
 * Asks the resolver for host names only. 0, or -LG_E_INVALID / -LG_E_NOTFOUND
 * with a static text in *ret_why. */
int lg_listen_parse(
    const char *text, struct lg_listen_address *ret_address, const char **ret_why) LG_MUST_USE;

struct lg_sockets; /* the sockets of one configuration; opaque */

/* Checks every socket option without opening anything. 0 or -LG_E_CONF. */
int lg_sockets_check(struct lg_conf *conf) LG_MUST_USE;

/* Opens what `conf` names; sockets whose address `old` (may be NULL) has as well
 * are shared with it. Files of unix sockets become `identity`'s unless
 * chown-socket names an owner. Faults are diagnostics. Relative paths count from
 * the working directory. 0, -LG_E_CONF, -LG_E_NOMEM. */
int lg_sockets_open(struct lg_conf *conf, const struct lg_identity *identity,
    const struct lg_sockets *old, struct lg_sockets **ret_sockets) LG_MUST_USE;
/* Closes those that no other set shares; with `vacuum` unix sockets are removed
 * from the file system as well, relative paths counted from `home_fd`. NULL is fine. */
void lg_sockets_free(struct lg_sockets *sockets, bool vacuum, int home_fd);
/* Closes this process's copies, of shared ones too where `and_shared` says so;
 * files stay, the set stays. NULL is fine. */
void lg_sockets_close(struct lg_sockets *sockets, bool and_shared);
/* Worker: closes its copies of those of `stats`. */
void lg_sockets_close_stats(const struct lg_sockets *sockets);

/* For the workers; lives as long as the set. */
const struct lg_listener *lg_sockets_serving(const struct lg_sockets *sockets, size_t *ret_count);
/* Those of `stats`. */
const int *lg_sockets_stats(const struct lg_sockets *sockets, size_t *ret_count);

/* Connections waiting in a listening TCP socket and how many may; zeros for
 * other kinds. */
void lg_socket_queue(int fd, uint64_t *ret_queue, uint64_t *ret_max);

#endif
