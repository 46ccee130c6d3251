/* Inside shm/: the sockets beside the memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SHM_INNER_H
#define LG_SHM_INNER_H

#include "shm/shm.h"

int lg_calls_open(int ret_fds[2]) LG_MUST_USE; /* children write to the first */
void lg_calls_close(const int fds[2]);         /* -1 is none */
int *lg_shm_call_fds(struct lg_shm *shm);

#endif
