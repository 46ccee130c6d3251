/* legion-realtime: no other work of the machine delays the legion process.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_REALTIME_H
#define LG_CLUSTER_REALTIME_H

#include <stdbool.h>

/* `on`: this process runs before every ordinary one (SCHED_RR at the lowest
 * priority; children are ordinary again) and its memory of this moment is not
 * paged out, so call it again when there is more; else it is an ordinary process
 * again. What the system does not permit is a warning in the log: nothing but
 * timing depends on it. */
void lg_realtime_set(bool on);

#endif
