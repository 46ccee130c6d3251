/* Inside cluster/: the legion-record file, the last hours of a node for
 * `legatus legion-sim --replay`.
 *
 * Written with write() only, never synced: a crash of the process loses nothing, one
 * of the host the last seconds. Where a write takes long, recording makes a pause
 * rather than the election. Two files of half the size each take turns.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_RECORDER_H
#define LG_CLUSTER_RECORDER_H

#include "legion/record.h"

#include <limits.h>

struct lg_recorder {
    char path[PATH_MAX]; /* "" = none; the older half is path.old */
    char legion[128];
    int fd;                  /* -1 = none */
    uint64_t size, size_max; /* of the file now; of each half at most */
    int64_t slow_ms;         /* a write that takes so long is too slow */
    int64_t again_ms;        /* nothing is recorded before */
    bool is_broken;          /* the next record must be a state */
    char *state;             /* room for one */
    size_t state_size;
};

/* `folder` NULL = nothing is recorded. What is wrong is logged; nothing is recorded
 * then. */
void lg_recorder_open(struct lg_recorder *recorder, const char *folder, const char *legion,
    const struct lg_legion *core, uint64_t size_max, int64_t slow_ms);
void lg_recorder_close(struct lg_recorder *recorder);
/* Right after lg_legion_step, and after what it asked for was done; `event` and
 * `update` still live. */
void lg_recorder_step(struct lg_recorder *recorder, const struct lg_legion *core,
    const struct lg_legion_event *event, const struct lg_legion_update *update);

#endif
