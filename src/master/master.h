/* The master: opens sockets, forks the legion process and the workers, guards
 * them, reloads, stops. No application code, no gfapi, no libuv.
 *
 * A complete [state][event] table (state.c) decides; master.c only feeds it
 * events from one signalfd and one poll set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_MASTER_H
#define LG_MASTER_MASTER_H

#include "master/load.h"

/* `argc`/`argv` as given to the program without its name: a reload loads them
 * again. Takes ownership of `loaded`. Faults of the start are printed to stderr
 * as FILE:LINE. Returns the exit status: 0 after a stop that was asked for, 1
 * when the start failed. */
int lg_master_run(int argc, const char *const *argv, struct lg_loaded *loaded);

#endif
