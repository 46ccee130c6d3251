/* Inside sim/: what the arguments of legion-sim ask for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_ARGUMENTS_H
#define LG_SIM_ARGUMENTS_H

#include "sim/command.h"

#define LG_SIM_SIDES_MAX      32
#define LG_SIM_SIDE_NODES_MAX 256 /* named of one side */
#define LG_SIM_FAULTS_MAX     8192

struct lg_sim_side {
    unsigned nodes[LG_SIM_SIDE_NODES_MAX];
    size_t count;
};

struct lg_sim_command {
    const char *files[LG_SIM_FILES_MAX];
    size_t file_count;
    unsigned nodes; /* 0 = as many as files */
    unsigned grow;  /* to so many nodes; 0 = no */
    int64_t grow_us;
    bool unprepared;
    int64_t for_us, latency_us, hooks_ms;
    uint64_t seed;
    unsigned loss_permille;
    bool json, replay, brief;
    struct lg_sim_fault faults[LG_SIM_FAULTS_MAX];
    size_t fault_count;
    struct lg_sim_side sides[LG_SIM_SIDES_MAX]; /* of partitions */
    size_t side_count;
    unsigned highest; /* node that was named */

    lg_sim_print *print;
    void *arg;
    int err; /* of printing */
    char (*names)[LG_LEGION_NAME_MAX + 1];
    bool *side_rows; /* as a specification wants them */
};

/* In order of time; of the same time, in order of their coming. False when there
 * are too many. */
bool lg_sim_command_add(struct lg_sim_command *command, struct lg_sim_fault fault);

#endif
