/* The master: opens sockets, forks the legion process and the workers, guards
 * them, reloads, stops. No application code, no gfapi, no libuv.
 *
 * A complete [state][event] table decides; master.c only feeds it events from
 * one signalfd and one poll set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_MASTER_H
#define LG_MASTER_MASTER_H

#include "conf/conf.h"
#include "plugin/set.h"

/* `argc`/`argv` as given to the program without its name: a reload loads them
 * again. Takes ownership of conf and plugins. Returns the exit status. */
int lg_master_run(
    int argc, const char *const *argv, struct lg_conf *conf, struct lg_plugin_set *plugins);

#endif
