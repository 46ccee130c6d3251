/* `legatus legion-sim --replay FILE.ring.old FILE.ring`: what a real node recorded
 * (legion-record) goes through the same core again. Tells the story as that node saw
 * it, and whether every event had the same consequences as it had then. Pure: the
 * caller loads the files and prints the lines. One thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_REPLAY_H
#define LG_SIM_REPLAY_H

#include "sim/report.h"

#include <stdbool.h>

#define LG_SIM_REPLAY_ERROR_SIZE 160

struct lg_sim_replay_file {
    const char *name;
    struct lg_slice bytes;
};

/* Files of one node, the older first. 0 with *ret_same = everything came as it was
 * recorded; -LG_E_PROTO with the reason in `ret_error` for a file that is none, or
 * one of another build or format; -LG_E_NOMEM. */
int lg_sim_replay(const struct lg_sim_replay_file *files, size_t count, bool json,
    lg_sim_print *print, void *arg, bool *ret_same,
    char ret_error[LG_SIM_REPLAY_ERROR_SIZE]) LG_MUST_USE;

#endif
