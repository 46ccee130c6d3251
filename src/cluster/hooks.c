/* Hooks as child processes. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hooks.h"

#include "legatus/plugin.h"
#include "shm/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_FAILED 127

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

/* Before all others, where we may: on a busy machine the unlord hooks, which somebody
 * else runs when our parent has died, would begin while we wait for our turn to end
 * the lord hook. We only ever wait. */
static void come_first(void)
{
    struct sched_param param = {.sched_priority = sched_get_priority_min(SCHED_RR)};
    (void)sched_setscheduler(0, SCHED_RR, &param);
}

/* Leads the hook's group and runs nothing itself: an orphan must not finish what
 * others undo, and a death signal reaches one process only, not what the shell has
 * started. So this one gets it, and ends the group. */
static _Noreturn void run_child(
    const char *command, const struct lg_hook_env *env, int out_fd, pid_t parent)
{
    int parent_died = SIGRTMAX;
    setpgid(0, 0);
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
    come_first();
    close_range(0, ~0U, 0);
    end_like(shell);
}

int lg_hook_spawn(const char *command, const struct lg_hook_env *env, int out_fd, pid_t *ret_pid)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return -LG_E_SYS;
    if (pid == 0)
        run_child(command, env, out_fd, parent);
    setpgid(pid, pid); /* whoever comes first: a kill right now finds the group */
    *ret_pid = pid;
    return 0;
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
    int err = lg_hook_spawn(hook->argument, &runner->env, fd, &runner->pid);
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
    runner->timed_out = false;
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
    runner->pid = 0;
    runner->killed = false;
    runner->hurried = false;
    runner->failed = false;
    return advance(runner, now_ms);
}

bool lg_runner_reaped(struct lg_runner *runner, int status, int64_t now_ms)
{
    const struct lg_hook *hook = &runner->plan->hooks[runner->next - 1];
    char text[64];
    runner->pid = 0;
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

void lg_runner_kill(struct lg_runner *runner)
{
    runner->killed = true;
    if (runner->pid > 0)
        kill(-runner->pid, SIGKILL);
}

void lg_runner_hurry(struct lg_runner *runner)
{
    if (runner->env.phase != LG_PHASE_UNLORD) {
        lg_runner_kill(runner);
        return;
    }
    runner->hurried = true;
    if (runner->pid > 0)
        kill(-runner->pid, SIGKILL);
}

void lg_runner_check(struct lg_runner *runner, int64_t now_ms)
{
    if (runner->pid <= 0 || runner->timed_out || now_ms < runner->deadline_ms)
        return;
    runner->timed_out = true;
    kill(-runner->pid, SIGKILL);
}
