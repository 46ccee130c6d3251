/* The alarm options, checked. Beside the master's own data (inner.h) since
 * `--check` has none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_ALARMS_H
#define LG_MASTER_ALARMS_H

#include "base/err.h"
#include "conf/conf.h"

/* Faults are diagnostics of `conf`. 0 or -LG_E_CONF. */
int lg_alarms_check(struct lg_conf *conf) LG_MUST_USE;

#endif
