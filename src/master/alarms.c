/* Alarms: alarm = NAME action:argument, raised by whoever calls the master.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/alarms.h"
#include "master/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_MS  60000 /* then its process group is killed */
#define EXEC_FAILED 127

enum alarm_action { ALARM_CMD, ALARM_LOG, ALARM_SIGNAL, ALARM_ACTIONS };

static const struct lg_slice names[ALARM_ACTIONS] = {
    [ALARM_CMD] = LG_SLICE("cmd"),
    [ALARM_LOG] = LG_SLICE("log"),
    [ALARM_SIGNAL] = LG_SLICE("signal"),
};

struct alarm {
    struct lg_slice name, action_name, argument;
    enum alarm_action action; /* ALARM_ACTIONS = none of them */
};

static struct alarm parse(const struct lg_setting *setting)
{
    struct alarm alarm;
    struct lg_slice rest;
    alarm.name = lg_slice_cut(lg_slice_trim(lg_slice_of(setting->text)), ' ', &rest);
    alarm.action_name = lg_slice_cut(lg_slice_trim(rest), ':', &alarm.argument);
    alarm.action = ALARM_CMD;
    while (alarm.action < ALARM_ACTIONS && !lg_slice_eq(alarm.action_name, names[alarm.action]))
        alarm.action++;
    return alarm;
}

/* ---- Checking ----------------------------------------------------------------------- */

static int fault(struct lg_conf *conf, const struct lg_setting *setting, const struct alarm *alarm,
    const char *what)
{
    lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "alarm \"%.*s\": %s", (int)alarm->name.len,
        alarm->name.ptr, what);
    return -LG_E_CONF;
}

static int unsupported(
    struct lg_conf *conf, const struct lg_setting *setting, const struct alarm *alarm)
{
    static const struct lg_slice others[] = {
        LG_SLICE("curl"), LG_SLICE("mule"), LG_SLICE("speech"), LG_SLICE("xmpp")};
    char text[160];
    bool is_uwsgis = false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        is_uwsgis |= lg_slice_eq(alarm->action_name, others[i]);
    snprintf(text, sizeof text, "%s \"%.*s:\": expected cmd:, log: or signal:",
        is_uwsgis ? "Legatus lacks uWSGI's action" : "unknown action",
        alarm->action_name.len < 40 ? (int)alarm->action_name.len : 40, alarm->action_name.ptr);
    return fault(conf, setting, alarm, text);
}

static int check_one(struct lg_conf *conf, size_t at)
{
    const struct lg_setting *setting = lg_conf_at(conf, LG_OPT_alarm, at);
    struct alarm alarm = parse(setting);
    uint64_t number;
    char text[160];
    if (at >= LG_ALARMS_MAX)
        return fault(conf, setting, &alarm, "there are too many alarms");
    if (alarm.name.len > LG_CALL_NAME_MAX)
        return fault(conf, setting, &alarm, "expected a shorter name");
    for (size_t i = 0; i < at; i++) {
        const struct lg_setting *before = lg_conf_at(conf, LG_OPT_alarm, i);
        if (!lg_slice_eq(parse(before).name, alarm.name))
            continue;
        snprintf(text, sizeof text, "it was defined before (%.100s:%u)",
            before->where.file ? before->where.file : "configuration", before->where.line);
        return fault(conf, setting, &alarm, text);
    }
    if (!alarm.argument.ptr)
        return fault(conf, setting, &alarm, "expected action:argument, as in cmd:mail root");
    if (alarm.action == ALARM_ACTIONS)
        return unsupported(conf, setting, &alarm);
    if (alarm.action == ALARM_CMD && alarm.argument.len == 0)
        return fault(conf, setting, &alarm, "expected a command after the colon");
    if (alarm.action == ALARM_SIGNAL && !lg_slice_u64(alarm.argument, LG_SIGNALS_MAX - 1, &number))
        return fault(conf, setting, &alarm, "expected a signal from 0 to 255");
    return 0;
}

int lg_alarms_check(struct lg_conf *conf)
{
    int err = 0;
    for (size_t i = 0; i < lg_conf_count(conf, LG_OPT_alarm); i++) {
        int one = check_one(conf, i);
        err = err ? err : one;
    }
    return err;
}

/* ---- Commands ----------------------------------------------------------------------- */

/* The message waits in the pipe: it fits. */
static int pipe_with(const char *text)
{
    int fds[2];
    size_t len = strlen(text);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    bool ok = write(fds[1], text, len) == (ssize_t)len;
    close(fds[1]);
    if (ok)
        return fds[0];
    close(fds[0]);
    return -1;
}

static _Noreturn void run_child(const char *command, int in_fd)
{
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(in_fd, STDIN_FILENO);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(EXEC_FAILED);
}

static struct alarm_run *free_run(struct master *master)
{
    for (size_t i = 0; i < LG_ALARM_RUNS_MAX; i++)
        if (master->alarm_runs[i].pid == 0)
            return &master->alarm_runs[i];
    return NULL;
}

static bool run_command(
    struct master *master, struct alarm_count *count, const char *command, const char *text)
{
    struct alarm_run *run = free_run(master);
    int in_fd = run ? pipe_with(text) : -1;
    if (in_fd < 0) {
        lg_log(LG_LOG_ERROR, "alarm", "%s: not told, %s: %s", count->name,
            run ? strerror(errno) : "too many commands run already", text);
        return false;
    }
    pid_t pid = lg_fork(master, "alarm");
    if (pid == 0)
        run_child(command, in_fd);
    close(in_fd);
    if (pid < 0) {
        lg_log(LG_LOG_ERROR, "alarm", "%s: not told, %s: %s", count->name, strerror(errno), text);
        return false;
    }
    setpgid(pid, pid); /* whoever comes first */
    *run = (struct alarm_run){.pid = pid, .kill_ms = lg_now_ms() + COMMAND_MS, .alarm = count};
    return true;
}

bool lg_alarms_reap(struct master *master, pid_t pid, int status)
{
    for (size_t i = 0; i < LG_ALARM_RUNS_MAX; i++) {
        struct alarm_run *run = &master->alarm_runs[i];
        if (run->pid != pid)
            continue;
        if (status != 0) {
            run->alarm->failures++;
            lg_log(LG_LOG_ERROR, "alarm", "%s: its command %s %d", run->alarm->name,
                WIFEXITED(status) ? "returned" : "was ended by signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        }
        *run = (struct alarm_run){0};
        return true;
    }
    return false;
}

void lg_alarms_kill(struct master *master, int64_t now_ms)
{
    for (size_t i = 0; i < LG_ALARM_RUNS_MAX; i++) {
        struct alarm_run *run = &master->alarm_runs[i];
        if (run->pid == 0 || run->kill_ms > now_ms)
            continue;
        kill(-run->pid, SIGKILL);
        run->kill_ms = INT64_MAX;
    }
}

int64_t lg_alarms_due(const struct master *master)
{
    int64_t due_ms = INT64_MAX;
    for (size_t i = 0; i < LG_ALARM_RUNS_MAX; i++)
        if (master->alarm_runs[i].pid && master->alarm_runs[i].kill_ms < due_ms)
            due_ms = master->alarm_runs[i].kill_ms;
    return due_ms;
}

unsigned lg_alarms_running(const struct master *master)
{
    unsigned count = 0;
    for (size_t i = 0; i < LG_ALARM_RUNS_MAX; i++)
        count += master->alarm_runs[i].pid != 0;
    return count;
}

/* ---- Raising ------------------------------------------------------------------------- */

/* Its row in the table; one that no configuration names any more makes room. */
static struct alarm_count *count_of(struct master *master, struct lg_slice name)
{
    struct alarm_count *spare = &master->alarms[0];
    for (size_t i = 0; i < LG_ALARMS_MAX; i++) {
        struct alarm_count *count = &master->alarms[i];
        if (count->name[0] && lg_slice_eq(name, lg_slice_of(count->name)))
            return count;
        if (spare->name[0] && (!count->name[0] || count->last_ms < spare->last_ms))
            spare = count;
    }
    *spare = (struct alarm_count){0};
    snprintf(spare->name, sizeof spare->name, "%.*s", (int)name.len, name.ptr);
    return spare;
}

/* uWSGI's rule: the same message again within alarm-freq is not told. */
static bool is_repetition(
    const struct master *master, const struct alarm_count *count, const char *text)
{
    int64_t freq_ms = lg_conf_number(master->now.loaded.conf, LG_OPT_alarm_freq);
    return count->count > 0 && strcmp(count->text, text) == 0 &&
           lg_now_ms() < count->last_ms + freq_ms;
}

static void deliver(struct master *master, const struct alarm *alarm, const char *text)
{
    struct alarm_count *count = count_of(master, alarm->name);
    char from[LG_CALL_FROM_SIZE];
    uint64_t number = 0;
    if (is_repetition(master, count, text)) {
        count->suppressed++;
        return;
    }
    count->count++;
    count->last_ms = lg_now_ms();
    count->last_s = (int64_t)time(NULL);
    snprintf(count->text, sizeof count->text, "%s", text);
    switch (alarm->action) {
    case ALARM_CMD: /* the argument is the rest of a text that ends with NUL */
        count->failures += !run_command(master, count, alarm->argument.ptr, text);
        return;
    case ALARM_SIGNAL:
        snprintf(from, sizeof from, "alarm %s", count->name);
        if (lg_slice_u64(alarm->argument, LG_SIGNALS_MAX - 1, &number))
            lg_signal_raise(master, (unsigned)number, from);
        return;
    default: /* uWSGI's wording */
        lg_log(LG_LOG_WARN, "alarm", "ALARM: %s", text);
    }
}

void lg_alarm_raise(struct master *master, const char *name, const char *text, const char *from)
{
    const struct lg_conf *conf = master->now.loaded.conf;
    for (size_t i = 0; i < lg_conf_count(conf, LG_OPT_alarm); i++) {
        struct alarm alarm = parse(lg_conf_at(conf, LG_OPT_alarm, i));
        if (!lg_slice_eq(alarm.name, lg_slice_of(name)))
            continue;
        deliver(master, &alarm, text);
        return;
    }
    lg_log(LG_LOG_ERROR, "alarm", "no alarm is named \"%s\": %s says: %s", name, from, text);
}

size_t lg_alarms_fill(
    struct master *master, struct lg_arena *arena, const struct lg_stats_alarm **ret_list)
{
    const struct lg_conf *conf = master->now.loaded.conf;
    size_t count = lg_conf_count(conf, LG_OPT_alarm);
    struct lg_stats_alarm *list = lg_arena_alloc(arena, (count + 1) * sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        struct alarm alarm = parse(lg_conf_at(conf, LG_OPT_alarm, i));
        const struct alarm_count *row = count_of(master, alarm.name);
        list[i] = (struct lg_stats_alarm){
            .name = row->name,
            .action = alarm.action < ALARM_ACTIONS ? names[alarm.action].ptr : "",
            .count = row->count,
            .suppressed = row->suppressed,
            .failures = row->failures,
            .last_s = row->last_s,
        };
    }
    *ret_list = list;
    return list ? count : 0;
}
