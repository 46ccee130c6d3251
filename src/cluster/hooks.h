/* Inside cluster/: hooks as child processes.
 *
 * One runner per legion runs the hooks of one phase, one after the other, each
 * in a process group of its own that a kill ends as a whole. What they write
 * goes to the log, line by line. Nothing here waits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_HOOKS_H
#define LG_CLUSTER_HOOKS_H

#include "cluster/plan.h"
#include "shm/shm.h"

#include <poll.h>
#include <sys/types.h>

#define LG_OUTPUTS_MAX 64  /* hooks' outputs read at a time, all legions together */
#define LG_OUTPUT_LINE 512 /* bytes of a line of output; longer ones are cut up */

/* What hooks are told in their environment. */
struct lg_hook_env {
    const char *legion; /* its name */
    struct lg_legion_who self, lord, node;
    uint64_t epoch;
    enum lg_legion_phase_kind phase; /* LG_PHASE_NONE: a health check */
};

/* ---- Output -------------------------------------------------------------------------- */

struct lg_output {
    int fd;                              /* -1 = free */
    char legion[LG_LEGION_NAME_MAX + 1]; /* a copy: the plan may go */
    const char *phase;
    size_t len;
    char line[LG_OUTPUT_LINE];
};

struct lg_outputs {
    struct lg_output all[LG_OUTPUTS_MAX];
    size_t count; /* that are open */
    size_t next;  /* where to look for a free one; the oldest goes when none is */
};

void lg_outputs_init(struct lg_outputs *outputs);
/* The write end for a child (close it after the fork), or -1: the child then
 * keeps our own. */
int lg_outputs_add(struct lg_outputs *outputs, const char *legion, const char *phase);
/* Adds what is to be polled to `polls`; returns how many. */
size_t lg_outputs_poll(const struct lg_outputs *outputs, struct pollfd *polls, size_t max);
/* Logs what has come; a bounded amount. */
void lg_outputs_drain(struct lg_outputs *outputs);
void lg_outputs_close(struct lg_outputs *outputs);

/* ---- Processes -------------------------------------------------------------------------- */

/* Starts `command` in a new process group, its output to `out_fd` (-1 = ours).
 * It dies with the caller, and so does what it has started. `told`, unless NULL, is
 * in shared memory and has the group before the command runs. 0, or -LG_E_SYS (errno). */
int lg_hook_spawn(const char *command, const struct lg_hook_env *env, int out_fd,
    _Atomic int32_t *told, pid_t *ret_pid) LG_MUST_USE;
/* Kills the whole group, and has it end soon. */
void lg_hook_end(pid_t group);
/* Is none of the group there, not even one that was killed and has not gone? */
bool lg_hook_is_gone(pid_t group);
void lg_hook_say_hangs(const char *legion, pid_t group);
/* How long to wait for one that was killed, when the lease is known to last for
 * `left_ms`: what hangs in the kernel must not keep the unlord hooks from being in time,
 * whose legion-unlord-grace bounds it. */
int64_t lg_hook_patience_ms(const struct lg_cluster_plan *plan, int64_t left_ms);
/* "exit status 3", "signal 9" of a wait status. */
const char *lg_hook_status_text(int status, char text[64]);
/* The line that announces a hook, and the actions that need no process. */
void lg_hook_say(const struct lg_hook *hook, const char *legion);
void lg_hook_act(const struct lg_hook *hook, const char *legion, struct lg_shm *shm);
/* The title is over and its unlord hooks did not succeed: people have to know.
 * The alarm named LG_LEGION_ALARM is raised; `shm` NULL = there is none. */
void lg_hook_lapsed(
    const struct lg_legion_plan *legion, const struct lg_hook_env *env, struct lg_shm *shm);

#define LG_HURRIED_MS 1000

struct lg_runner {
    const struct lg_legion_plan *plan;
    struct lg_outputs *outputs;
    struct lg_shm *shm;    /* for calls to the master */
    int64_t timeout_ms;    /* of one hook */
    int64_t patience_ms;   /* for its group to go once it was killed */
    _Atomic int32_t *told; /* who runs, for the master; NULL = not to be told */
    struct lg_hook_env env;
    size_t next;         /* hook to look at next */
    pid_t pid;           /* of the running hook; 0 = none */
    int64_t deadline_ms; /* its end, CLOCK_BOOTTIME */
    pid_t left;          /* it has ended, but of its killed group somebody is there; 0 = nobody */
    int left_status;
    int64_t left_until_ms; /* CLOCK_BOOTTIME; then we go on nevertheless */
    bool timed_out;
    bool ended;   /* the running hook, by us: all of its group has to go */
    bool killed;  /* no further hook of this phase */
    bool hurried; /* those that follow have LG_HURRIED_MS each */
    bool failed;  /* any of them */
};

/* Each returns true when the phase is over: then `failed` tells. */
bool lg_runner_start(struct lg_runner *runner, const struct lg_hook_env *env, int64_t now_ms);
bool lg_runner_reaped(struct lg_runner *runner, int status, int64_t now_ms);
/* Of a killed hook, is the last process gone, or waited for long enough? */
bool lg_runner_left(struct lg_runner *runner, int64_t now_ms);
/* Ends the running hook and its whole group, and the phase with it; lg_runner_reaped
 * follows, and lg_runner_left where some of it stay. */
void lg_runner_kill(struct lg_runner *runner);
/* The same, but of unlord hooks only the running one: the lease is over, and one of
 * those behind it may be what takes the address away. */
void lg_runner_hurry(struct lg_runner *runner);
/* Ends it if its time is over. */
void lg_runner_check(struct lg_runner *runner, int64_t now_ms);
bool lg_runner_is_busy(const struct lg_runner *runner);
/* When lg_runner_check or lg_runner_left is due; INT64_MAX = never. */
int64_t lg_runner_deadline_ms(const struct lg_runner *runner);

#endif
