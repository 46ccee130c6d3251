/* The outside world for the configuration: the real environment, files, globs and
 * host. Must not depend on anything of the master's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_FACTS_H
#define LG_MASTER_FACTS_H

#include "conf/conf.h"

struct lg_facts;

/* Asks the system once; what a file or the environment says is asked at each use.
 * Caller frees with lg_facts_free. 0, -LG_E_NOMEM or -LG_E_SYS. */
int lg_facts_new(struct lg_facts **ret_facts) LG_MUST_USE;
void lg_facts_free(struct lg_facts *facts);
/* For lg_conf_load; lives as long as `facts`. */
const struct lg_conf_facts *lg_facts_conf(const struct lg_facts *facts);

#endif
