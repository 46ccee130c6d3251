/* Finds, loads and configures plugins; the facade behind legatus/plugin.h's
 * option calls.
 *
 * Looks for NAME.so in each plugins-dir, then in the build tree beside the
 * running program (plugins/NAME/NAME.so, so that it works uninstalled), then in
 * the installed directory. A name with a slash is the file itself. Master only,
 * single-threaded.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_PLUGIN_SET_H
#define LG_PLUGIN_SET_H

#include "conf/conf.h"
#include "server/worker.h"

struct lg_plugin_set; /* opaque; free with lg_plugin_set_free */

/* Loads every plugin `conf` needs (lg_conf_plugins) and runs their configure.
 * A missing .so is an error diagnostic naming the option that needs it and the
 * directories searched. Faults go to lg_conf_report. Always sets *ret_set, NULL
 * only when memory is out. `conf` must outlive the set. 0 or -LG_E_CONF /
 * -LG_E_NOMEM. */
int lg_plugin_set_load(struct lg_conf *conf, struct lg_plugin_set **ret_set) LG_MUST_USE;
const struct lg_started_plugin *lg_plugin_set_all(
    const struct lg_plugin_set *set, size_t *ret_count);
const struct lg_counter_groups *lg_plugin_set_counters(const struct lg_plugin_set *set);
/* Runs each plugin's release; libraries stay mapped. NULL is fine. */
void lg_plugin_set_free(struct lg_plugin_set *set);

#endif
