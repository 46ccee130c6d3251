/* Schedules made of a seed: a legion, what befalls it, and what may be asked of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_TESTS_SIM_SCHEDULE_H
#define LG_TESTS_SIM_SCHEDULE_H

#include "sim/sim.h"

#define SCHEDULE_NODES_MAX  9
#define SCHEDULE_FAULTS_MAX 512

struct schedule {
    struct lg_sim_spec spec; /* points into this struct */
    struct lg_sim_node nodes[SCHEDULE_NODES_MAX];
    char names[SCHEDULE_NODES_MAX][4];
    struct lg_sim_fault faults[SCHEDULE_FAULTS_MAX];
    bool forever[SCHEDULE_NODES_MAX][SCHEDULE_NODES_MAX]; /* cut for good */
    int64_t quiet_us;                                     /* no fault comes after it */
    int64_t bound_us;                                     /* a Lord is due so long after it */
    int64_t end_us;
    bool live;      /* a Lord is due at all */
    unsigned grown; /* so many nodes came later */
    bool mixed;     /* nodes of uWSGI's rules take part: two Lords are possible */
};

/* Fills `ret_schedule`, which must stay where it is. */
void schedule_make(uint64_t seed, struct schedule *ret_schedule);

enum schedule_fault {
    SCHEDULE_GOOD,
    SCHEDULE_BROKE, /* the simulation itself failed */
    SCHEDULE_TWO_LORDS,
    SCHEDULE_EPOCH_TWICE,
    SCHEDULE_EPOCH_BACK,
    SCHEDULE_NO_LORD,  /* none after the bound */
    SCHEDULE_UNSTEADY, /* titles still change hands after the bound */
};
const char *schedule_fault_text(enum schedule_fault fault);

/* Runs a schedule to its end (or to its first second Lord). */
enum schedule_fault schedule_run(
    const struct schedule *schedule, struct lg_sim_verdict *ret_verdict);

#endif
