/* The master's loop: signals, child exits and timers become events, the table
 * in state.c decides, the actions here carry it out. No libuv.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/master.h"
#include "master/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_TICK_MS    20 /* how often new workers are looked at */
#define HARAKIRI_TICK_MS 100
#define REAPS_MAX        1024  /* children reaped per wake-up */
#define SETTLE_MAX       8     /* events that follow from events, per wake-up */
#define FILES_WANTED     65536 /* descriptors, where the hard limit allows */
#define FIXED_POLLS      3     /* signals, log lines, calls */
#define POLLS_MAX        (FIXED_POLLS + LG_LISTENERS_MAX + LG_STATS_CLIENTS_MAX)

/* ---- actions --------------------------------------------------------------- */

static void act_stop(struct master *master)
{
    lg_log(LG_LOG_INFO, "master", "stopping: requests under way have %u s to finish",
        (unsigned)(master->now.shutdown_ms / 1000));
    lg_notify_send(&master->notify, "STOPPING=1");
    if (master->check_pid)
        kill(master->check_pid, SIGKILL);
    if (master->legion.pid)
        kill(master->legion.pid, SIGTERM);
    lg_sockets_close(master->now.sockets, true);
    lg_sockets_close(master->old.sockets, true);
    lg_workers_drain(master, 0, INT64_MAX / 2);
    master->deadline_ms = lg_now_ms() + master->now.shutdown_ms;
}

static void act_kill(struct master *master)
{
    lg_log(LG_LOG_WARN, "master", "stopping at once");
    lg_notify_send(&master->notify, "STOPPING=1");
    if (master->check_pid)
        kill(master->check_pid, SIGKILL);
    if (master->legion.pid)
        kill(master->legion.pid, SIGTERM);
    lg_sockets_close(master->now.sockets, true);
    lg_sockets_close(master->old.sockets, true);
    lg_workers_drain(master, 0, 0);
    lg_workers_kill(master, true, 0);
    master->deadline_ms = lg_now_ms() + LG_KILL_MS;
}

/* First the legion process; the hooks that take its addresses away get longer,
 * whether they ran already or start when it dies. */
static void act_kill_again(struct master *master)
{
    bool had_legion = master->legion.pid != 0;
    if (had_legion) {
        lg_log(LG_LOG_ERROR, "master", "the legion process (pid %d) does not stop: killed",
            master->legion.pid);
        kill(master->legion.pid, SIGKILL);
    }
    for (size_t i = 0; i < LG_RESCUES_MAX && !had_legion; i++)
        if (master->rescues[i])
            kill(master->rescues[i], SIGKILL);
    lg_alarms_kill(master, INT64_MAX - 1);
    lg_workers_kill(master, true, 0);
    master->deadline_ms = lg_now_ms() + LG_KILL_REST_MS;
}

static void act_announce(struct master *master)
{
    lg_log(LG_LOG_INFO, "master", "serving (pid %d)", master->pid);
    lg_notify_send(&master->notify, "READY=1\nMAINPID=%d\nSTATUS=serving with %u workers",
        master->pid, master->now.processes);
}

static void act_give_up(struct master *master)
{
    lg_log(LG_LOG_ERROR, "master",
        "no worker starts: giving up after %d tries, the reason is further up", LG_START_TRIES);
    master->exit_status = 1;
    act_stop(master);
}

static void act_stop_check(struct master *master)
{
    lg_log(LG_LOG_ERROR, "master", "the check of the configuration takes too long: killed");
    if (master->check_pid)
        kill(master->check_pid, SIGKILL);
    master->deadline_ms = 0;
}

static void act_kill_old(struct master *master)
{
    /* Not all new ones became ready within reload-mercy. */
    master->reload_failed = !master->stop_draining;
    master->deadline_ms = 0;
}

static void run_action(struct master *master, enum lg_master_action action)
{
    static void (*const actions[LG_ACT_COUNT])(struct master *) = {
        [LG_ACT_STOP] = act_stop,
        [LG_ACT_KILL] = act_kill,
        [LG_ACT_KILL_AGAIN] = act_kill_again,
        [LG_ACT_STATS] = lg_collect_log,
        [LG_ACT_ANNOUNCE] = act_announce,
        [LG_ACT_GIVE_UP] = act_give_up,
        [LG_ACT_CHECK] = lg_reload_check,
        [LG_ACT_STOP_CHECK] = act_stop_check,
        [LG_ACT_SWITCH] = lg_reload_switch,
        [LG_ACT_KEEP_OLD] = lg_reload_keep,
        [LG_ACT_DRAIN_OLD] = lg_reload_drain,
        [LG_ACT_KILL_OLD] = act_kill_old,
        [LG_ACT_ABANDON] = lg_reload_abandon,
        [LG_ACT_RELOADED] = lg_reload_done,
    };
    if (action == LG_ACT_LATER)
        master->hup_later = true;
    /* RESPAWN, RESPAWN_LEGION: their entries carry the time, the loop starts
     * what is due. */
    if (actions[action])
        actions[action](master);
}

static void feed(struct master *master, enum lg_master_event event)
{
    struct lg_master_step step = lg_master_next(master->state, event);
    master->state = step.next;
    run_action(master, step.action);
}

/* ---- events ---------------------------------------------------------------- */

static bool may_start(const struct master *master)
{
    return master->state <= LG_STATE_RELOADING;
}

static unsigned children(const struct master *master)
{
    return lg_workers_alive(master) + lg_guard_rescues(master) + (master->legion.pid != 0) +
           (master->check_pid != 0) + lg_alarms_running(master);
}

/* The next event that follows from how things stand; false when none does. */
static bool derive(struct master *master, int64_t now_ms, enum lg_master_event *ret_event)
{
    bool all_ready = may_start(master) && lg_workers_note_ready(master);
    bool any_ready = all_ready;
    for (unsigned i = 0; i < master->worker_end; i++)
        any_ready |=
            master->workers[i].ready && master->workers[i].generation == master->now.number;
    if (any_ready && !master->now.ever_ready) {
        master->now.ever_ready = true;
        *ret_event = LG_EVENT_READY;
    } else if (master->state == LG_STATE_CHECKING && master->reload_failed) {
        *ret_event = LG_EVENT_CHECK_BAD;
    } else if (master->state == LG_STATE_RELOADING && master->reload_failed) {
        *ret_event = master->old.number ? LG_EVENT_START_FAILED : LG_EVENT_CHECK_BAD;
        master->reload_failed = false;
    } else if (master->state == LG_STATE_RELOADING && all_ready && !master->stop_draining) {
        *ret_event = LG_EVENT_ALL_READY;
    } else if (master->state == LG_STATE_RELOADING && master->stop_draining &&
               lg_workers_draining(master) == 0) {
        *ret_event = LG_EVENT_DRAINED;
    } else if (master->state == LG_STATE_RUNNING && master->hup_later) {
        master->hup_later = false;
        *ret_event = LG_EVENT_HUP;
    } else if (master->state > LG_STATE_RELOADING && master->state < LG_STATE_DONE &&
               children(master) == 0) {
        *ret_event = LG_EVENT_EMPTY;
    } else if (master->deadline_ms && master->deadline_ms <= now_ms) {
        *ret_event = LG_EVENT_TIMEOUT;
    } else {
        return false;
    }
    return true;
}

static void settle(struct master *master, int64_t now_ms)
{
    enum lg_master_event event;
    for (int i = 0; i < SETTLE_MAX && derive(master, now_ms, &event); i++)
        feed(master, event);
}

static void reap_one(struct master *master, pid_t pid, int status)
{
    bool is_gone = WIFEXITED(status) || WIFSIGNALED(status);
    if (pid == master->legion.pid) {
        lg_guard_reap(master, status);
        if (is_gone)
            feed(master, LG_EVENT_LEGION_DIED);
        return;
    }
    if (!is_gone)
        return;
    struct worker *worker = lg_workers_find(master, pid);
    if (worker) {
        /* Whether it counts depends on the entry, before it is released. */
        bool is_current = worker->generation == master->now.number && !worker->draining;
        enum lg_master_event event = lg_workers_reap(master, worker, status);
        if (is_current)
            feed(master, event);
    } else if (pid == master->check_pid) {
        feed(master, lg_reload_checked(master, status));
    } else {
        /* As process 1, or of a legion, we inherit strangers: reaped without a word. */
        if (!lg_alarms_reap(master, pid, status))
            (void)lg_guard_reap_rescue(master, pid, status);
    }
}

static void reap(struct master *master)
{
    for (int i = 0; i < REAPS_MAX; i++) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
        if (pid <= 0)
            return;
        reap_one(master, pid, status);
    }
}

static void take_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            feed(master, LG_EVENT_STOP);
            break;
        case SIGQUIT:
            feed(master, LG_EVENT_QUIT);
            break;
        case SIGHUP:
            feed(master, LG_EVENT_HUP);
            break;
        case SIGUSR1:
            feed(master, LG_EVENT_STATS);
            break;
        default: /* SIGCHLD; the others are ignored on purpose */
            break;
        }
    }
}

/* ---- the loop ---------------------------------------------------------------- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int wait_ms(const struct master *master, int64_t now_ms)
{
    int64_t due = sooner(lg_workers_due(master), lg_statsd_due(&master->statsd, now_ms));
    due = sooner(due, lg_alarms_due(master));
    if (master->deadline_ms)
        due = sooner(due, master->deadline_ms);
    if (may_start(master))
        due = sooner(due, lg_guard_start_at(master));
    due = sooner(due, lg_guard_due(master, now_ms));
    if (master->notify.watchdog_ms)
        due = sooner(due, master->notify.next_alive_ms);
    if (master->now.harakiri_ms || master->old.harakiri_ms)
        due = sooner(due, now_ms + HARAKIRI_TICK_MS);
    for (unsigned i = 0; i < master->worker_end; i++)
        if (master->workers[i].pid && !master->workers[i].ready && !master->workers[i].draining)
            due = sooner(due, now_ms + READY_TICK_MS);
    if (due == INT64_MAX)
        return -1;
    int64_t wait = due > now_ms ? due - now_ms : 0;
    return wait < INT32_MAX ? (int)wait : INT32_MAX;
}

static int make_stats(void *arg, struct lg_buf *out)
{
    return lg_collect_json(arg, out);
}

static void poll_once(struct master *master)
{
    struct pollfd polls[POLLS_MAX];
    size_t stats_count = 0;
    bool listens = may_start(master) && lg_statsd_listens(&master->statsd, lg_now_ms());
    const int *stats = listens ? lg_sockets_stats(master->now.sockets, &stats_count) : NULL;
    polls[0] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = master->log_fds[1], .events = POLLIN};
    polls[2] = (struct pollfd){.fd = lg_call_fd(master->shm), .events = POLLIN};
    for (size_t i = 0; i < stats_count; i++)
        polls[FIXED_POLLS + i] = (struct pollfd){.fd = stats[i], .events = POLLIN};
    size_t first = FIXED_POLLS + stats_count;
    size_t clients = lg_statsd_polls(&master->statsd, polls + first);
    if (poll(polls, first + clients, wait_ms(master, lg_now_ms())) < 0)
        return; /* EINTR: a stop and a continue */
    int64_t now_ms = lg_now_ms();
    for (size_t i = 0; i < stats_count; i++)
        if (polls[FIXED_POLLS + i].revents)
            lg_statsd_accept(&master->statsd, stats[i], now_ms, make_stats, master);
    lg_statsd_serve(&master->statsd, polls + first, clients, now_ms);
}

static void run_loop(struct master *master)
{
    while (master->state != LG_STATE_DONE) {
        int64_t now_ms = lg_now_ms();
        if (may_start(master)) {
            lg_workers_start_due(master, now_ms);
            lg_guard_start_due(master, now_ms);
        }
        lg_guard_tick(master, now_ms);
        lg_notify_alive(&master->notify, now_ms);
        poll_once(master);
        lg_log_drain(master->log_fds[1]); /* before we speak of the one who said it */
        lg_take_calls(master);
        take_signals(master);
        reap(master);
        now_ms = lg_now_ms();
        lg_workers_harakiri(master, now_ms);
        lg_workers_kill(master, false, now_ms);
        lg_alarms_kill(master, now_ms);
        settle(master, now_ms);
    }
}

/* ---- start and end ------------------------------------------------------------- */

static int open_signals(struct master *master)
{
    static const int numbers[] = {
        SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH, SIGALRM};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&set, numbers[i]);
        signal(numbers[i], SIG_DFL); /* nohup and shells leave some ignored */
    }
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -LG_E_SYS;
    master->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return master->signal_fd < 0 ? -LG_E_SYS : 0;
}

static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* what there is has to do */
}

static int write_pidfile(struct master *master)
{
    struct lg_conf *conf = master->now.loaded.conf;
    size_t count = lg_conf_count(conf, LG_OPT_pidfile);
    if (count == 0)
        return 0;
    const struct lg_setting *setting = lg_conf_at(conf, LG_OPT_pidfile, count - 1);
    char text[32];
    int len = snprintf(text, sizeof text, "%d\n", master->pid);
    int fd = openat(
        master->home_fd, setting->text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    bool ok = fd >= 0 && write(fd, text, (size_t)len) == len;
    if (!ok)
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "pidfile = %s: cannot be written: %s",
            setting->text, strerror(errno));
    if (fd >= 0)
        close(fd);
    master->pidfile = ok ? strdup(setting->text) : NULL;
    return ok ? 0 : -LG_E_CONF;
}

/* What can fail before anything is started. */
static int prepare(struct master *master)
{
    master->home_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int err = lg_generation_log(&master->now);
    if (!err)
        err = lg_log_pair(master->log_fds);
    if (!err)
        err = open_signals(master);
    if (!err)
        err = lg_generation_open(master, &master->now);
    if (!err)
        err = write_pidfile(master);
    if (!err)
        err = lg_shm_new(
            LG_SHM_WORKERS_MAX, lg_cluster_legion_count(master->now.loaded.conf), &master->shm);
    return err;
}

static int start_legion(struct master *master)
{
    struct lg_conf *conf = master->now.loaded.conf;
    if (lg_cluster_legion_count(conf) == 0)
        return 0;
    int err = lg_cluster_new(conf, master->shm, &master->cluster);
    if (err)
        return err;
    master->legion_conf = conf;
    /* What hooks of a dead legion process leave is ours to see the end of. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return lg_guard_start(master);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void finish(struct master *master)
{
    const struct lg_conf *conf = master->now.loaded.conf;
    if (master->pidfile && conf && lg_conf_bool(conf, LG_OPT_vacuum))
        (void)unlinkat(master->home_fd, master->pidfile, 0);
    lg_generation_free(master, &master->old);
    lg_generation_free(master, &master->now);
    lg_cluster_free(master->cluster);
    lg_conf_free(master->legion_conf);
    lg_shm_free(master->shm);
    lg_statsd_close(&master->statsd);
    for (int i = 0; i < LG_SETTLED_MS && lg_log_drain(master->log_fds[1]) > 0; i++)
        continue;
    lg_notify_close(&master->notify);
    close_fd(master->signal_fd);
    close_fd(master->log_fds[0]);
    close_fd(master->log_fds[1]);
    close_fd(master->home_fd);
    free(master->pidfile);
}

static int start(struct master *master)
{
    int err = prepare(master);
    /* What loading said is on stderr already; the rest goes there too. */
    if (err) {
        lg_log(LG_LOG_ERROR, "master", "not started: %s", lg_err_text(err));
        return err;
    }
    if (lg_conf_text(master->now.loaded.conf, LG_OPT_logto))
        lg_diags_log(master->now.loaded.conf, 0); /* stderr may be gone tomorrow */
    lg_notify_init(&master->notify);
    lg_log(LG_LOG_INFO, "master", "starting (pid %d)", master->pid);
    lg_identity_hand_on(&master->now.loaded.identity);
    err = start_legion(master);
    if (err) {
        lg_log(LG_LOG_ERROR, "master", "not started: the legion process cannot be made ready");
        return err;
    }
    return lg_workers_plan(master);
}

int lg_master_run(int argc, const char *const *argv, struct lg_loaded *loaded)
{
    struct master *master = calloc(1, sizeof *master);
    if (!master)
        return 1;
    size_t told;
    (void)lg_conf_diags(loaded->conf, &told);
    master->pid = getpid();
    master->argc = argc;
    master->argv = argv;
    master->now.loaded = *loaded;
    *loaded = (struct lg_loaded){0};
    master->signal_fd = master->log_fds[0] = master->log_fds[1] = master->home_fd = -1;
    master->legion.guard_fd = master->notify.fd = -1;
    lg_statsd_init(&master->statsd);
    raise_limits();
    int err = start(master);
    lg_diags_print(master->now.loaded.conf, told, stderr);
    if (!err)
        run_loop(master);
    int status = err ? 1 : master->exit_status;
    if (!err)
        lg_log(LG_LOG_INFO, "master", "stopped");
    finish(master);
    free(master);
    return status;
}
