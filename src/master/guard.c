/* The legion process: started before the workers, guarded, and stood in for
 * when it dies with a title: a virtual address never stays behind because a
 * process died (docs/ARCHITECTURE.md).
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/facts.h"
#include "master/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LATE_MAX_MS 1000 /* what a legion process that seems to run is late at most */

/* In the legion process: the same arguments again, and nothing but the text. */
static int load_again(void *arg, struct lg_conf **ret_conf)
{
    const struct master *master = arg;
    struct lg_facts *facts;
    struct lg_conf *conf = NULL;
    int err = fchdir(master->home_fd) < 0 ? -LG_E_SYS : lg_facts_new(&facts);
    if (!err) {
        err = lg_conf_load(lg_facts_conf(facts), master->argc, master->argv, &conf);
        lg_facts_free(facts);
    }
    const char *dir = conf ? lg_conf_text(conf, LG_OPT_chdir) : NULL;
    if (dir && chdir(dir) < 0)
        err = err ? err : -LG_E_SYS;
    if (err) {
        lg_log(LG_LOG_ERROR, "legion", "the old legion options stay: %s", lg_err_text(err));
        lg_conf_free(conf);
        return err;
    }
    *ret_conf = conf;
    return 0;
}

static void run_legion(struct master *master, int guard_fd)
{
    lg_sockets_close(master->now.sockets, true);
    lg_sockets_close(master->old.sockets, true);
    lg_cluster_on_reload(master->cluster, load_again, master);
    _exit(lg_cluster_run(master->cluster, guard_fd));
}

int lg_guard_start(struct master *master)
{
    int guard[2];
    if (!master->cluster)
        return 0;
    if (pipe2(guard, O_CLOEXEC) < 0)
        return -LG_E_SYS;
    pid_t pid = lg_fork(master, "legion");
    if (pid == 0) {
        close(guard[1]);
        run_legion(master, guard[0]);
    }
    close(guard[0]);
    if (pid < 0) {
        close(guard[1]);
        return -LG_E_SYS;
    }
    master->legion.pid = pid;
    master->legion.guard_fd = guard[1];
    master->legion.spawned_ms = lg_now_ms();
    master->legion.retry_ms = 0;
    master->legion.stopped = master->legion.killed = false;
    master->legion.late_ms = 0;
    lg_log(LG_LOG_INFO, "master", "the legion process is started (pid %d)", pid);
    return 0;
}

void lg_guard_change(struct master *master)
{
    struct lg_conf *next = master->now.loaded.conf;
    struct lg_conf *before = master->legion_conf;
    if (!master->cluster || lg_cluster_change(master->cluster, next, true))
        return;
    master->legion_conf = next;
    if (before != master->old.loaded.conf) /* it outlived its generation for us */
        lg_conf_free(before);
    const char byte = LG_CLUSTER_RELOAD;
    if (master->legion.guard_fd >= 0 && write(master->legion.guard_fd, &byte, 1) != 1)
        lg_log(LG_LOG_ERROR, "master", "the legion process cannot be told: %s", strerror(errno));
}

static void rescue(struct master *master)
{
    size_t free_count = 0;
    int pids[LG_RESCUES_MAX];
    for (size_t i = 0; i < LG_RESCUES_MAX; i++)
        free_count += master->rescues[i] == 0;
    size_t count = lg_cluster_rescue(master->legion_conf, master->shm, pids, free_count);
    for (size_t i = 0; i < LG_RESCUES_MAX && count > 0; i++)
        if (master->rescues[i] == 0)
            master->rescues[i] = pids[--count];
    if (lg_guard_rescues(master) == 0)
        lg_cluster_rescued(master->shm);
}

void lg_guard_reap(struct master *master, int status)
{
    struct legion_process *legion = &master->legion;
    if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
        legion->stopped = WIFSTOPPED(status);
        return;
    }
    int64_t now_ms = lg_now_ms();
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool settled = now_ms - legion->spawned_ms >= LG_SETTLED_MS;
    close(legion->guard_fd);
    legion->guard_fd = -1;
    if (WIFSIGNALED(status))
        lg_log(LG_LOG_ERROR, "master", "the legion process (pid %d) was killed by signal %d (%s)",
            legion->pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        lg_log(is_clean ? LG_LOG_INFO : LG_LOG_ERROR, "master",
            "the legion process (pid %d) exited with status %d", legion->pid, WEXITSTATUS(status));
    legion->pid = 0;
    legion->fails = settled ? 0 : legion->fails + 1;
    unsigned shift = legion->fails < 7 ? legion->fails : 7;
    legion->retry_ms = now_ms + (legion->fails ? LG_BACKOFF_MS << shift : 0);
    if (!is_clean)
        rescue(master);
}

static int64_t boottime_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Of the title that ends first, the time until the legion process must be giving
 * it up, and what it has beyond that if it seems to run: the rest is for the
 * unlord hooks, before others may rise. One that runs its unlord hooks is doing
 * it. */
struct due {
    int64_t left_ms; /* INT64_MAX = no title */
    int64_t patience_ms;
};

static struct due title_due(const struct master *master)
{
    struct due due = {.left_ms = INT64_MAX};
    struct lg_shm_title title;
    int64_t now_ms = boottime_ms();
    for (unsigned i = 0; i < lg_shm_legion_count(master->shm); i++) {
        bool read = lg_shm_title_read(master->shm, i, &title);
        bool is_busy = title.is_falling && !master->legion.stopped;
        if (!read || title.epoch == 0 || title.lease_until_ms == 0 || is_busy)
            continue;
        int64_t left_ms = (int64_t)title.unlord_at_ms - now_ms;
        if (left_ms >= due.left_ms)
            continue;
        int64_t half_ms = (int64_t)(title.lease_until_ms - title.unlord_at_ms) / 2;
        due.left_ms = left_ms;
        due.patience_ms = half_ms < LATE_MAX_MS ? half_ms : LATE_MAX_MS;
    }
    if (master->legion.stopped)
        due.patience_ms = 0;
    return due;
}

/* Not while unlord hooks run: a lord hook must not overtake them. */
int64_t lg_guard_start_at(const struct master *master)
{
    const struct legion_process *legion = &master->legion;
    bool waits =
        master->cluster && legion->pid == 0 && legion->retry_ms && lg_guard_rescues(master) == 0;
    return waits ? legion->retry_ms : INT64_MAX;
}

void lg_guard_start_due(struct master *master, int64_t now_ms)
{
    if (lg_guard_start_at(master) > now_ms || lg_guard_start(master) == 0)
        return;
    lg_log(LG_LOG_ERROR, "master", "cannot fork the legion process: %s", strerror(errno));
    master->legion.retry_ms = now_ms + LG_SETTLED_MS;
}

void lg_guard_tick(struct master *master, int64_t now_ms)
{
    struct legion_process *legion = &master->legion;
    if (legion->pid == 0)
        return;
    /* Stopped or hung with a title: it cannot give it back, so it must die and
     * we run its unlord hooks. Hung is what stays late while we ourselves run: a
     * host that slept, or was stopped as a whole, gives it back by itself. */
    struct due due = title_due(master);
    if (due.left_ms > 0)
        legion->late_ms = 0;
    else if (!legion->late_ms)
        legion->late_ms = now_ms;
    if (legion->killed || due.left_ms > 0 || now_ms < legion->late_ms + due.patience_ms)
        return;
    lg_log(LG_LOG_ERROR, "master", "the legion process (pid %d) %s while it holds a title: killed",
        legion->pid, legion->stopped ? "is stopped" : "lets a lease end");
    kill(legion->pid, SIGKILL);
    legion->killed = true;
}

bool lg_guard_reap_rescue(struct master *master, pid_t pid, int status)
{
    for (size_t i = 0; i < LG_RESCUES_MAX; i++) {
        if (master->rescues[i] != pid)
            continue;
        bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        lg_log(is_clean ? LG_LOG_INFO : LG_LOG_ERROR, "master",
            "unlord hook (pid %d) run for the dead legion process: %s %d", pid,
            WIFEXITED(status) ? "status" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        master->rescues[i] = 0;
        if (lg_guard_rescues(master) == 0 && master->legion.pid == 0)
            lg_cluster_rescued(master->shm);
        return true;
    }
    return false;
}

unsigned lg_guard_rescues(const struct master *master)
{
    unsigned count = 0;
    for (size_t i = 0; i < LG_RESCUES_MAX; i++)
        count += master->rescues[i] != 0;
    return count;
}

int64_t lg_guard_due(const struct master *master, int64_t now_ms)
{
    if (!master->legion.pid || master->legion.killed)
        return INT64_MAX;
    /* A title that is new, or ends sooner, is a call (shm/calls.h). */
    struct due due = title_due(master);
    if (due.left_ms == INT64_MAX)
        return INT64_MAX;
    if (due.left_ms > 0)
        return now_ms + due.left_ms;
    return (master->legion.late_ms ? master->legion.late_ms : now_ms) + due.patience_ms;
}
