/* Inside cluster/: what a legion-check says, and what its results come to. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_CHECK_H
#define LG_CLUSTER_CHECK_H

#include "base/slice.h"
#include "cluster/address.h" /* LG_WHY_SIZE */

#define LG_CHECK_ROW_MAX 1000 /* of fall and rise */

enum lg_check_kind {
    LG_CHECK_CMD,     /* cmd:COMMAND: well when it returns 0 in time */
    LG_CHECK_WORKERS, /* a worker is up and accepts */
    LG_CHECK_PLUGIN,  /* NAME or NAME:THING: what the plugin says of its health */
};

struct lg_check_plan {
    enum lg_check_kind kind;
    struct lg_slice name;     /* as written, without what follows: "cmd:/bin/true", "workers" */
    struct lg_slice argument; /* the command */
    int64_t every_ms, timeout_ms;
    unsigned fall, rise;
};

/* `text` without the legion's name; slices of *ret_plan point into it. `plugins`
 * are those in use. False with the fault in `why`. */
bool lg_check_parse(struct lg_slice text, const char *const *plugins, size_t plugin_count,
    struct lg_check_plan *ret_plan, char why[LG_WHY_SIZE]);

enum lg_check_verdict {
    LG_CHECK_UNKNOWN, /* no result since the start: not well */
    LG_CHECK_WELL,
    LG_CHECK_UNWELL,
};

struct lg_check_state {
    enum lg_check_verdict verdict;
    unsigned row; /* results in a row that speak against the verdict */
};

/* Takes a result. True when the verdict is another one now. The first of all
 * decides alone; then it takes `fall` bad ones or `rise` good ones in a row. */
bool lg_check_take(struct lg_check_state *state, bool good, unsigned fall, unsigned rise);

#endif
