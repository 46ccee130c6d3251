/* Reload: a child tries the new configuration first, then its workers start
 * beside the old ones, and only when all accept do the old ones drain. At every
 * step the way back is open.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/inner.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void try_configuration(struct master *master)
{
    struct lg_loaded loaded;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* It runs plugins' code, and no title is theirs to write. */
    bool ok = lg_shm_only_read(master->shm) == 0;
    /* Paths in the configuration count from where we were started. */
    ok = fchdir(master->home_fd) == 0 && ok;
    ok = lg_load(master->argc, master->argv, &loaded) == 0 && ok;
    if (loaded.conf)
        lg_diags_log(loaded.conf, 0);
    _exit(ok ? 0 : 1);
}

void lg_reload_check(struct master *master)
{
    lg_log(LG_LOG_INFO, "master", "SIGHUP: checking the configuration");
    lg_notify_reloading(&master->notify);
    pid_t pid = lg_fork(master, "check");
    if (pid == 0)
        try_configuration(master);
    if (pid < 0)
        lg_log(LG_LOG_ERROR, "master", "cannot fork: %s", strerror(errno));
    master->check_pid = pid > 0 ? pid : 0;
    master->reload_failed = pid < 0;
    master->deadline_ms = lg_now_ms() + LG_CHECK_MS;
}

enum lg_master_event lg_reload_checked(struct master *master, int status)
{
    master->check_pid = 0;
    master->deadline_ms = 0;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status))
        lg_log(LG_LOG_ERROR, "master", "the check of the configuration died by signal %d (%s)",
            WTERMSIG(status), strsignal(WTERMSIG(status)));
    return ok ? LG_EVENT_CHECK_GOOD : LG_EVENT_CHECK_BAD;
}

/* Back to where the configuration in use works. */
static void return_to_dir(struct master *master)
{
    const char *dir = lg_conf_text(master->now.loaded.conf, LG_OPT_chdir);
    if (fchdir(master->home_fd) < 0 || (dir && chdir(dir) < 0))
        lg_log(
            LG_LOG_ERROR, "master", "cannot return to the working directory: %s", strerror(errno));
}

static bool is_legion_option(enum lg_opt opt)
{
    const char *name = lg_opt_name(opt);
    return strncmp(name, "legion", 6) == 0 || strncmp(name, "multicast", 9) == 0;
}

/* The next legion setting from *at on, NULL after the last. */
static const struct lg_setting *next_legion(const struct lg_setting *all, size_t count, size_t *at)
{
    while (*at < count && !is_legion_option(all[*at].opt))
        (*at)++;
    return *at < count ? &all[(*at)++] : NULL;
}

static bool legion_differs(const struct lg_conf *running, const struct lg_conf *next)
{
    size_t count_a;
    size_t count_b;
    size_t at_a = 0;
    size_t at_b = 0;
    const struct lg_setting *all_a = lg_conf_all(running, &count_a);
    const struct lg_setting *all_b = lg_conf_all(next, &count_b);
    const struct lg_setting *a;
    const struct lg_setting *b;
    do {
        a = next_legion(all_a, count_a, &at_a);
        b = next_legion(all_b, count_b, &at_b);
        if (!a && !b)
            return false;
    } while (a && b && a->opt == b->opt && strcmp(a->text, b->text) == 0);
    return true;
}

/* A process for them is started at the start only. */
static void tell_first_legion(const struct lg_conf *conf)
{
    size_t count;
    size_t at = 0;
    const struct lg_setting *all = lg_conf_all(conf, &count);
    const struct lg_setting *first = next_legion(all, count, &at);
    if (first && lg_cluster_legion_count(conf) > 0)
        lg_log(LG_LOG_WARN, "master", "%s:%u: legions come at a start only: restart to use it",
            first->where.file ? first->where.file : "configuration", first->where.line);
}

static int open_new(struct master *master, struct generation *next)
{
    if (fchdir(master->home_fd) < 0)
        return -LG_E_SYS;
    int err = lg_load(master->argc, master->argv, &next->loaded);
    if (!err)
        err = lg_generation_open(master, next);
    if (!err)
        err = lg_generation_log(next);
    return err;
}

void lg_reload_switch(struct master *master)
{
    struct generation next = {0};
    int err = open_new(master, &next);
    if (err) {
        if (next.loaded.conf)
            lg_diags_log(next.loaded.conf, 0);
        lg_generation_free(master, &next);
        master->reload_failed = true;
        return;
    }
    master->old = master->now;
    master->now = next;
    master->stop_draining = false;
    master->deadline_ms = lg_now_ms() + lg_conf_number(next.loaded.conf, LG_OPT_reload_mercy);
    if (lg_workers_plan(master) < 0)
        lg_log(LG_LOG_ERROR, "master", "too many workers at a time: not all could be planned");
    lg_log(LG_LOG_INFO, "master", "the configuration is good: starting %u new worker%s",
        master->now.processes, master->now.processes == 1 ? "" : "s");
}

void lg_reload_keep(struct master *master)
{
    return_to_dir(master);
    master->reload_failed = false;
    master->deadline_ms = 0;
    lg_log(LG_LOG_ERROR, "master", "reload refused: the old configuration goes on");
    lg_notify_send(&master->notify, "READY=1\nSTATUS=reload refused, see the log");
}

void lg_reload_drain(struct master *master)
{
    if (master->stop_draining)
        return;
    master->stop_draining = true;
    master->deadline_ms = 0; /* from here on each worker has its own */
    lg_log(LG_LOG_INFO, "master", "the new workers serve: the old ones finish and go");
    lg_sockets_close(master->old.sockets, false);
    lg_workers_drain(master, master->now.number, master->old.mercy_ms);
    if (!master->cluster)
        tell_first_legion(master->now.loaded.conf);
    else if (legion_differs(master->legion_conf, master->now.loaded.conf))
        lg_guard_change(master);
}

void lg_reload_abandon(struct master *master)
{
    lg_log(LG_LOG_ERROR, "master",
        "the workers of the new configuration do not start: the old one goes on");
    lg_workers_drain(master, master->old.number, LG_KILL_MS);
    lg_generation_free(master, &master->now);
    master->now = master->old;
    master->old = (struct generation){0};
    master->deadline_ms = 0;
    return_to_dir(master);
    if (lg_generation_log(&master->now) < 0)
        lg_log(LG_LOG_ERROR, "master", "the old log cannot be opened again");
    lg_notify_send(&master->notify, "READY=1\nSTATUS=reload failed, see the log");
}

void lg_reload_done(struct master *master)
{
    lg_generation_free(master, &master->old);
    master->deadline_ms = 0;
    lg_log(LG_LOG_INFO, "master", "reloaded");
    lg_notify_send(
        &master->notify, "READY=1\nSTATUS=serving with %u workers", master->now.processes);
}
