/* Inside cluster/: the health checks of one legion, run. Commands are children as
 * hooks are; nothing here waits, and of each check one runs at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_CHECKS_H
#define LG_CLUSTER_CHECKS_H

#include "cluster/hooks.h"
#include "shm/shm.h"

struct lg_check {
    struct lg_check_plan plan; /* its texts are the cluster plan's */
    struct lg_check_state state;
    pid_t pid;       /* of the command that runs; 0 = none */
    pid_t left;      /* process group of the last one, killed and not yet gone; 0 = none */
    int64_t due_ms;  /* of the next run, CLOCK_BOOTTIME */
    int64_t kill_ms; /* of the one that runs, or ran last */
    bool timed_out;
    int64_t changed_s; /* Unix time */
    char result[sizeof((struct lg_shm_check *)0)->result];
};

struct lg_checks {
    struct lg_shm *shm;
    struct lg_outputs *outputs;
    char legion[LG_LEGION_NAME_MAX + 1];
    bool ended; /* the legion is being left: no more runs */
    size_t count;
    struct lg_check all[LG_CHECKS_MAX];
};

/* Goes over to the checks of `plan`. Those that were there go on as they are. New
 * ones have no verdict yet at a start (`is_start`); later they are taken for well
 * until they have failed `fall` times, so that a reload costs no title. */
void lg_checks_set(
    struct lg_checks *checks, const struct lg_legion_plan *plan, bool is_start, int64_t now_ms);
/* All of them are well, or there are none. */
bool lg_checks_well(const struct lg_checks *checks);
/* Runs and ends what is due. `env` is what commands are told. */
void lg_checks_tick(struct lg_checks *checks, const struct lg_hook_env *env, int64_t now_ms);
/* When that is due; INT64_MAX = never. */
int64_t lg_checks_deadline_ms(const struct lg_checks *checks);
/* A child ended; false when it is none of these. */
bool lg_checks_reaped(struct lg_checks *checks, pid_t pid, int status);
/* Kills what runs; nothing more is run. */
void lg_checks_end(struct lg_checks *checks);
void lg_checks_publish(const struct lg_checks *checks, struct lg_shm_legion *out);

#endif
