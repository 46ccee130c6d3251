/* A configuration as the election sees it, for those who only simulate. Opens
 * nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_SETUP_H
#define LG_CLUSTER_SETUP_H

#include "base/arena.h"
#include "conf/conf.h"
#include "legion/legion.h"

/* What the core would be told of the first legion of a checked `conf`; name, uuid
 * and pid are left out. Texts live in *ret_arena, which the caller frees in any
 * case. 0; -LG_E_NOTFOUND without a legion; -LG_E_CONF. For simulations. */
int lg_cluster_setup(const struct lg_conf *conf, struct lg_arena *ret_arena,
    struct lg_legion_setup *ret_setup) LG_MUST_USE;

#endif
