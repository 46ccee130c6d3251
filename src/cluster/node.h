/* Inside cluster/: one legion of this process, with its socket, key and hooks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_NODE_H
#define LG_CLUSTER_NODE_H

#include "cluster/checks.h"
#include "cluster/cluster.h"
#include "cluster/control.h"
#include "cluster/hooks.h"
#include "cluster/links.h"
#include "cluster/memory.h"
#include "cluster/plan.h"
#include "cluster/recorder.h"
#include "cluster/resolve.h"
#include "cluster/scrolls.h"
#include "cluster/seal.h"

/* Datagrams that were of no use: one line per second at most, with a count. */
struct lg_strangers {
    uint64_t count; /* since the last line */
    int64_t said_ms;
    char one[LG_WHY_SIZE]; /* of them: where from and why */
};

/* Where a member's last authentic packet came from. */
struct lg_speaker {
    char uuid[LG_LEGION_UUID_LEN + 1]; /* "" = free */
    int64_t heard_ms;
    size_t after; /* who was heard after it: they speak in turn */
    struct lg_endpoint from;
};

/* What others were last shown of the title. */
struct lg_shown {
    enum lg_legion_role role;
    uint64_t epoch;
    int64_t until_ms;
    int64_t unlord_at_ms; /* 0 = no title */
};

struct lg_node {
    struct lg_cluster *cluster;
    const struct lg_legion_plan *plan;
    unsigned index; /* in shared memory */
    char uuid[LG_LEGION_UUID_LEN + 1];
    struct lg_links links;
    struct lg_seal *seal;
    struct lg_strangers strangers;

    /* The legion process's. */
    struct lg_legion *legion;
    struct lg_legion_update update;
    struct lg_runner runner;
    struct lg_runner member_runner; /* node-joined and node-left, beside it */
    bool hook_over, hook_failed;    /* HOOK_DONE is to be fed */
    bool member_over, member_failed;
    bool finished;
    struct lg_shm_legion *state;
    struct lg_shown shown;
    struct lg_scrolls scrolls;
    struct lg_memory_file memory;
    struct lg_checks checks;
    bool is_well;     /* as the core was last told */
    bool maintenance; /* the same */
    struct lg_recorder recorder;
    size_t speaker_count, last_speaker;
    struct lg_speaker *speakers; /* LG_MEMBERS_MAX of them */
};

struct lg_cluster {
    struct lg_cluster_plan plan;
    struct lg_shm *shm;
    char hostname[LG_LEGION_NAME_MAX + 1];
    struct lg_outputs outputs;
    lg_cluster_load *load;
    void *load_arg;
    bool wants_reload; /* told to, but a hook of the old plan runs */
    struct lg_control control;
    struct lg_resolver resolver;
    struct lg_links *links[LG_LEGIONS_MAX]; /* of the nodes, for the resolver */
    size_t count;
    struct lg_node nodes[LG_LEGIONS_MAX];
    char cleartext[LG_DATAGRAM_SIZE];
    char datagram[LG_DATAGRAM_SIZE];
};

int64_t lg_node_now_ms(void); /* CLOCK_BOOTTIME */

/* The core, its notes and the runner; then START. 0 or -LG_E_NOMEM. */
int lg_node_start(struct lg_node *node) LG_MUST_USE;
void lg_node_free(struct lg_node *node);
/* Goes over to another plan of the same legion; the old one, which may be freed
 * afterwards, is still there. No hook runs just now. */
void lg_node_change(
    struct lg_node *node, const struct lg_legion_plan *plan, const struct lg_cluster_plan *all);
/* Feeds an event and does what comes of it, hooks without processes included. */
void lg_node_feed(struct lg_node *node, enum lg_legion_event_kind kind);
/* RESIGN and MAINTENANCE; the latter is remembered where there is a legion-state:
 * false when it is not. */
void lg_node_resign(struct lg_node *node, int64_t hold_ms);
bool lg_node_maintain(struct lg_node *node, bool on);
/* Reads what has come to one of its sockets; a bounded number of datagrams. */
void lg_node_receive(struct lg_node *node, int fd);
/* A child ended; false when it is not this node's. */
bool lg_node_reaped(struct lg_node *node, pid_t pid, int status);
/* Timers: deadline, hook timeout, overdue lines. */
void lg_node_tick(struct lg_node *node);
/* When lg_node_tick is due, CLOCK_BOOTTIME ms. */
int64_t lg_node_deadline_ms(const struct lg_node *node);

#endif
