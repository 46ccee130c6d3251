/* Inside cluster/: host names to addresses, by a child process, because the
 * resolver may block for minutes and the legion process must not.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_RESOLVE_H
#define LG_CLUSTER_RESOLVE_H

#include "cluster/links.h"

#include <sys/types.h>

#define LG_RESOLVE_LIMIT_MS 30000 /* for one round of all names */

struct lg_resolver {
    struct lg_links *const *links; /* one per legion; borrowed */
    size_t count;
    pid_t pid; /* of the child; 0 = none */
    int fd;    /* its answers; -1 = none */
    int64_t began_ms;
};

void lg_resolver_init(struct lg_resolver *resolver, struct lg_links *const *links, size_t count);
/* Starts a round when one is due, ends one that takes too long. */
void lg_resolver_tick(struct lg_resolver *resolver, int64_t now_ms);
/* When the next call of lg_resolver_tick is due; INT64_MAX = never. */
int64_t lg_resolver_due_ms(const struct lg_resolver *resolver);
/* Takes in what the child has written. */
void lg_resolver_read(struct lg_resolver *resolver);
/* A round at once, taking in what comes within `wait_ms`; leaves no child. For
 * a process that nobody waits for. */
void lg_resolver_run(struct lg_resolver *resolver, int64_t wait_ms);
/* A child ended; false when it is not ours. */
bool lg_resolver_reaped(struct lg_resolver *resolver, pid_t pid);
void lg_resolver_end(struct lg_resolver *resolver);

#endif
