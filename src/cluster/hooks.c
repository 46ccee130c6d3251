/* Hooks as child processes. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hooks.h"

#include "legatus/plugin.h"
#include "shm/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_FAILED     127
#define PATIENCE_MIN_MS 5
#define PATIENCE_MAX_MS 1000

/* ---- Environment ---------------------------------------------------------------------- */

static void set_text(const char *name, const char *value)
{
    setenv(name, value, 1);
}

static void set_number(const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    setenv(name, text, 1);
}

/* In the child, whose environment is its own already. */
static void set_environment(const struct lg_hook_env *env)
{
    set_text("LEGION_NAME", env->legion);
    set_text(
        "LEGION_PHASE", env->phase == LG_PHASE_NONE ? "check" : lg_legion_phase_name(env->phase));
    set_number("LEGION_EPOCH", env->epoch);
    set_number("LEGION_VALOR", env->self.valor);
    set_text("LEGION_UUID", env->self.uuid);
    set_text("LEGION_LORD_NAME", env->lord.name);
    set_number("LEGION_LORD_VALOR", env->lord.valor);
    set_text("LEGION_LORD_UUID", env->lord.uuid);
    if (!env->node.uuid[0])
        return;
    set_text("LEGION_NODE_NAME", env->node.name);
    set_number("LEGION_NODE_VALOR", env->node.valor);
    set_text("LEGION_NODE_UUID", env->node.uuid);
}

/* ---- Processes --------------------------------------------------------------------------- */

static void reset_signals(void)
{
    for (int signal_number = 1; signal_number < SIGRTMIN; signal_number++)
        signal(signal_number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void end_group(int signal_number)
{
    (void)signal_number;
    kill(0, SIGKILL);
}

/* What a hook has: not our sockets, which a successor of ours may want to bind. */
static void set_streams(int out_fd)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0)
        dup2(null_fd, STDIN_FILENO);
    if (out_fd >= 0) {
        dup2(out_fd, STDOUT_FILENO);
        dup2(out_fd, STDERR_FILENO);
    }
    close_range(STDERR_FILENO + 1, ~0U, 0);
}

static _Noreturn void run_shell(const char *command, const struct lg_hook_env *env)
{
    reset_signals();
    set_environment(env);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(EXEC_FAILED);
}

/* Ends as the shell did. */
static _Noreturn void end_like(pid_t shell)
{
    int status;
    while (waitpid(shell, &status, 0) < 0)
        if (errno != EINTR)
            _exit(EXEC_FAILED);
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    prctl(PR_SET_DUMPABLE, 0);
    kill(getpid(), WTERMSIG(status));
    _exit(EXEC_FAILED);
}

/* Leads the hook's group and runs nothing itself: an orphan must not finish what
 * others undo, and a death signal reaches one process only, not what the shell has
 * started. So this one gets it, and ends the group. Whoever undoes cannot wait for
 * that to happen unless it knows the group: a parent that lives after we have told it
 * dies after that as well, so where there is a shell the master finds what to wait for. */
static _Noreturn void run_child(const char *command, const struct lg_hook_env *env, int out_fd,
    _Atomic int32_t *told, pid_t parent)
{
    int parent_died = SIGRTMAX;
    setpgid(0, 0);
    if (told)
        atomic_store(told, getpid());
    reset_signals();
    signal(parent_died, end_group);
    prctl(PR_SET_PDEATHSIG, parent_died);
    if (getppid() != parent)
        _exit(EXEC_FAILED);
    set_streams(out_fd); /* our end is waited for, that of a killed shell is not */
    pid_t shell = fork();
    if (shell < 0)
        _exit(EXEC_FAILED);
    if (shell == 0)
        run_shell(command, env);
    close_range(0, ~0U, 0);
    end_like(shell);
}

int lg_hook_spawn(const char *command, const struct lg_hook_env *env, int out_fd,
    _Atomic int32_t *told, pid_t *ret_pid)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return -LG_E_SYS;
    if (pid == 0)
        run_child(command, env, out_fd, told, parent);
    setpgid(pid, pid); /* whoever comes first: a kill right now finds the group */
    *ret_pid = pid;
    return 0;
}

void lg_hook_end(pid_t group)
{
    kill(-group, SIGKILL);
    /* On a busy machine somebody who is killed waits for a turn to end, and we for
     * that. Where it is not allowed, so be it. */
    (void)setpriority(PRIO_PGRP, (id_t)group, -20);
}

void lg_hook_say_hangs(const char *legion, pid_t group)
{
    lg_log(LG_LOG_ERROR, "legion",
        "%s: a hook was killed and is not gone (process group %d): what it is doing in the kernel "
        "may be done after what undoes it",
        legion, group);
}

bool lg_hook_is_gone(pid_t group)
{
    return kill(-group, 0) < 0 && errno == ESRCH;
}

int64_t lg_hook_patience_ms(const struct lg_cluster_plan *plan, int64_t left_ms)
{
    /* 3/8 of the grace for unlord hooks, be it the default or shorter. */
    int64_t ms = plan->tolerance_ms / 8;
    if (plan->unlord_grace_ms && plan->unlord_grace_ms * 3 / 8 < ms)
        ms = plan->unlord_grace_ms * 3 / 8;
    ms = left_ms / 3 > ms ? left_ms / 3 : ms;
    return ms < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : ms > PATIENCE_MAX_MS ? PATIENCE_MAX_MS : ms;
}

const char *lg_hook_status_text(int status, char text[64])
{
    if (WIFSIGNALED(status))
        snprintf(text, 64, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(text, 64, "returned %d", WEXITSTATUS(status));
    return text;
}

/* uWSGI's wording, with its underscores: people's alarms match on it. */
void lg_hook_say(const struct lg_hook *hook, const char *legion)
{
    const char *phase = hook->phase == LG_PHASE_NODE_JOINED ? "node_joined"
                        : hook->phase == LG_PHASE_NODE_LEFT ? "node_left"
                                                            : lg_legion_phase_name(hook->phase);
    lg_log(LG_LOG_INFO, "legion", "[uwsgi-legion] (phase: %s legion: %s) calling %s", phase, legion,
        hook->text);
}

static void call_master(struct lg_shm *shm, const struct lg_call *call, const char *what)
{
    int err = lg_call_send(shm, call);
    if (err)
        lg_log(LG_LOG_ERROR, "legion", "%s does not reach the master: %s", what, lg_err_text(err));
}

void lg_hook_act(const struct lg_hook *hook, const char *legion, struct lg_shm *shm)
{
    if (hook->action == LG_ACTION_LOG) {
        lg_log(LG_LOG_INFO, "legion", "%s", hook->argument);
        return;
    }
    struct lg_call call = {
        .kind = hook->action == LG_ACTION_SIGNAL ? LG_CALL_SIGNAL : LG_CALL_ALARM,
        .number = hook->signal,
    };
    snprintf(call.from, sizeof call.from, "legion %s, %s hook", legion,
        lg_legion_phase_name(hook->phase));
    snprintf(call.name, sizeof call.name, "%s", hook->alarm ? hook->alarm : "");
    snprintf(call.text, sizeof call.text, "%s", hook->argument);
    call_master(shm, &call, hook->text);
}

void lg_hook_lapsed(
    const struct lg_legion_plan *legion, const struct lg_hook_env *env, struct lg_shm *shm)
{
    struct lg_call call = {.kind = LG_CALL_ALARM, .name = LG_LEGION_ALARM};
    snprintf(call.from, sizeof call.from, "legion %s", legion->name);
    snprintf(call.text, sizeof call.text,
        "[uwsgi-legion] the title of the Legion %s is over and its unlord hooks did not succeed: "
        "what they take away may still be here (epoch %" PRIu64 ")",
        legion->name, env->epoch);
    lg_log(LG_LOG_ERROR, "legion", "%s", call.text);
    if (shm)
        call_master(shm, &call, "alarm:" LG_LEGION_ALARM);
}

/* ---- Phases --------------------------------------------------------------------------------- */

static const struct lg_hook *next_hook(struct lg_runner *runner)
{
    while (runner->next < runner->plan->hook_count) {
        const struct lg_hook *hook = &runner->plan->hooks[runner->next++];
        if (hook->phase == runner->env.phase)
            return hook;
    }
    return NULL;
}

static bool spawn(struct lg_runner *runner, const struct lg_hook *hook, int64_t now_ms)
{
    int fd = lg_outputs_add(runner->outputs, runner->plan->name, lg_legion_phase_name(hook->phase));
    int err = lg_hook_spawn(hook->argument, &runner->env, fd, runner->told, &runner->pid);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (err) {
        lg_log(LG_LOG_ERROR, "legion", "%s: the %s hook \"%s\" could not be started: %s",
            runner->plan->name, lg_legion_phase_name(hook->phase), hook->text, strerror(why));
        runner->pid = 0;
        runner->failed = true;
        return false;
    }
    runner->timed_out = runner->ended = false;
    bool is_short = runner->hurried && runner->timeout_ms > LG_HURRIED_MS;
    runner->deadline_ms = now_ms + (is_short ? LG_HURRIED_MS : runner->timeout_ms);
    return true;
}

/* Runs on to the next process; true when there is none. */
static bool advance(struct lg_runner *runner, int64_t now_ms)
{
    const struct lg_hook *hook;
    while (!runner->killed && (hook = next_hook(runner))) {
        lg_hook_say(hook, runner->plan->name);
        if (hook->action != LG_ACTION_CMD)
            lg_hook_act(hook, runner->plan->name, runner->shm);
        else if (spawn(runner, hook, now_ms))
            return false;
    }
    return true;
}

bool lg_runner_start(struct lg_runner *runner, const struct lg_hook_env *env, int64_t now_ms)
{
    runner->env = *env;
    runner->next = 0;
    runner->pid = runner->left = 0;
    runner->killed = false;
    runner->hurried = false;
    runner->failed = false;
    return advance(runner, now_ms);
}

static bool go_on(struct lg_runner *runner, int status, int64_t now_ms)
{
    const struct lg_hook *hook = &runner->plan->hooks[runner->next - 1];
    char text[64];
    if (runner->told)
        atomic_store(runner->told, 0);
    if (status != 0) {
        runner->failed = true;
        lg_log(runner->killed ? LG_LOG_INFO : LG_LOG_ERROR, "legion", "%s: the %s hook \"%s\" %s%s",
            runner->plan->name, lg_legion_phase_name(hook->phase), hook->text,
            lg_hook_status_text(status, text),
            runner->hurried     ? " (its time was over)"
            : runner->timed_out ? " (legion-hook-timeout)"
            : runner->killed    ? " (no longer wanted)"
                                : "");
    }
    return advance(runner, now_ms);
}

/* Who leads the group is the first to go when all of it is killed; what another one
 * writes at that moment must not come after what the next hook undoes. What a hook that
 * ended by itself leaves behind is meant to stay. */
bool lg_runner_reaped(struct lg_runner *runner, int status, int64_t now_ms)
{
    pid_t group = runner->pid;
    runner->pid = 0;
    if (!runner->ended || lg_hook_is_gone(group))
        return go_on(runner, status, now_ms);
    runner->left = group;
    runner->left_status = status;
    runner->left_until_ms = now_ms + runner->patience_ms;
    return false;
}

bool lg_runner_left(struct lg_runner *runner, int64_t now_ms)
{
    if (!runner->left)
        return false;
    bool is_gone = lg_hook_is_gone(runner->left);
    if (!is_gone && now_ms < runner->left_until_ms)
        return false;
    if (!is_gone)
        lg_hook_say_hangs(runner->plan->name, runner->left);
    runner->left = 0;
    return go_on(runner, runner->left_status, now_ms);
}

static void end_running(struct lg_runner *runner)
{
    if (runner->pid <= 0)
        return;
    runner->ended = true;
    lg_hook_end(runner->pid);
}

void lg_runner_kill(struct lg_runner *runner)
{
    runner->killed = true;
    end_running(runner);
}

void lg_runner_hurry(struct lg_runner *runner)
{
    if (runner->env.phase != LG_PHASE_UNLORD) {
        lg_runner_kill(runner);
        return;
    }
    runner->hurried = true;
    end_running(runner);
}

void lg_runner_check(struct lg_runner *runner, int64_t now_ms)
{
    if (runner->pid <= 0 || runner->timed_out || now_ms < runner->deadline_ms)
        return;
    runner->timed_out = true;
    end_running(runner);
}

bool lg_runner_is_busy(const struct lg_runner *runner)
{
    return runner->pid > 0 || runner->left > 0;
}

int64_t lg_runner_deadline_ms(const struct lg_runner *runner)
{
    if (runner->left > 0)
        return runner->left_until_ms;
    return runner->pid > 0 && !runner->timed_out ? runner->deadline_ms : INT64_MAX;
}
