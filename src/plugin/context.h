/* What lg_option_* see of the configuration. Private to the room.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_PLUGIN_CONTEXT_H
#define LG_PLUGIN_CONTEXT_H

#include "conf/conf.h"
#include "legatus/plugin.h"
#include "server/worker.h"

struct lg_plugin_context {
    struct lg_conf *conf; /* borrowed */
    const char *plugin;
    struct lg_counter_groups *counters;
    bool failed; /* lg_option_error was called */
};

#endif
