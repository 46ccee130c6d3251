/* What plugins are told of legions: where the answers come from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_PLUGIN_LEGION_H
#define LG_PLUGIN_LEGION_H

#include "shm/shm.h"

/* Worker, once, before its plugins start: the shared memory they ask. Without it
 * nobody is Lord. */
void lg_plugin_legion_set(struct lg_shm *shm);

#endif
