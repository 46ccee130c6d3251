/* Inside cluster/: the door for operators' commands, a unix socket of the legion
 * process. It is for root and for the user it runs as, whom the kernel names; the
 * statistics, which anybody may read, carry no command.
 *
 * One line in, as in "resign 30000 site", "maintenance on site" (an empty name is
 * the only legion's); lines out: "wait MS", how long the answer may take, then
 * "done TEXT", "failed TEXT" (not now) or "denied TEXT" (never so), then the end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_CONTROL_H
#define LG_CLUSTER_CONTROL_H

#include "cluster/plan.h"
#include "legatus/plugin.h"

#include <poll.h>

#define LG_CONTROL_CLIENTS_MAX 8
#define LG_CONTROL_LINE        512

struct lg_cluster;
struct lg_node;

enum lg_control_wish { LG_WISH_NONE, LG_WISH_RESIGN, LG_WISH_MAINTENANCE };

struct lg_control_client {
    int fd; /* -1 = free */
    size_t len;
    char line[LG_CONTROL_LINE];
    enum lg_control_wish wish; /* taken in, waiting for its effect */
    bool was_lord;             /* somebody else is to become it */
    bool is_free;              /* the title is given up */
    struct lg_node *node;
    int64_t end_ms; /* of our patience, CLOCK_BOOTTIME */
};

struct lg_control {
    int fd; /* -1 = closed */
    char address[LG_CONTROL_SIZE];
    struct lg_control_client clients[LG_CONTROL_CLIENTS_MAX];
    struct lg_log_limit refusals; /* anybody can knock at an @name, and as often as he likes */
};

void lg_control_init(struct lg_control *control);
/* Opens the door at `address` ("/path", "@name", NULL = nowhere), closing what was
 * open elsewhere. What is wrong is logged. */
void lg_control_open(struct lg_control *control, const char *address);
/* Adds what is to be polled; returns how many. */
size_t lg_control_poll(const struct lg_control *control, struct pollfd *polls, size_t max);
/* After a turn of the loop: takes in what has come, if any has (`knocked`), and
 * answers what took effect. */
void lg_control_tick(struct lg_cluster *cluster, bool knocked, int64_t now_ms);
int64_t lg_control_deadline_ms(const struct lg_control *control);
/* Those who still wait are told that we leave. */
void lg_control_close(struct lg_control *control);

#endif
