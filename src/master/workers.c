/* The workers: started, watched, started again, told to go.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/inner.h"
#include "plugin/legion.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct worker *free_entry(struct master *master)
{
    for (unsigned i = 0; i < LG_SHM_WORKERS_MAX; i++) {
        if (master->workers[i].used)
            continue;
        if (i >= master->worker_end)
            master->worker_end = i + 1;
        return &master->workers[i];
    }
    return NULL;
}

static struct lg_shm_worker *slot_of(struct master *master, const struct worker *worker)
{
    return lg_shm_worker(master->shm, (unsigned)(worker - master->workers));
}

static void release(struct master *master, struct worker *worker)
{
    *worker = (struct worker){0};
    while (master->worker_end > 0 && !master->workers[master->worker_end - 1].used)
        master->worker_end--;
}

/* A new worker starts from nothing, one that is started again keeps its totals. */
static void clear_slot(struct lg_shm_worker *slot, bool and_totals)
{
    atomic_store(&slot->requests, 0);
    atomic_store(&slot->connections, 0);
    atomic_store(&slot->queued, 0);
    atomic_store(&slot->state, LG_WORKER_IDLE);
    atomic_store(&slot->ready, 0);
    for (unsigned i = 0; i < LG_THREADS_MAX; i++)
        if (atomic_load_explicit(&slot->busy_since_ms[i], memory_order_relaxed) != 0)
            atomic_store_explicit(&slot->busy_since_ms[i], 0, memory_order_relaxed);
    if (!and_totals)
        return;
#define LG_CLEAR(field, key, kind, help) atomic_store(&slot->field, 0);
    LG_WORKER_COUNTERS(LG_CLEAR)
#undef LG_CLEAR
    for (unsigned i = 0; i < LG_STATUS_CLASSES; i++)
        atomic_store(&slot->status[i], 0);
    for (unsigned i = 0; i < LG_PLUGIN_COUNTERS_MAX; i++)
        if (atomic_load_explicit(&slot->plugin[i], memory_order_relaxed) != 0)
            atomic_store_explicit(&slot->plugin[i], 0, memory_order_relaxed);
}

int lg_workers_plan(struct master *master)
{
    for (unsigned id = 1; id <= master->now.processes; id++) {
        struct worker *worker = free_entry(master);
        if (!worker)
            return -LG_E_LIMIT;
        *worker = (struct worker){
            .used = true,
            .id = id,
            .generation = master->now.number,
            .retry_ms = lg_now_ms(),
        };
        clear_slot(slot_of(master, worker), true);
    }
    return 0;
}

/* ---- starting ---------------------------------------------------------------- */

static int run_worker(struct master *master, const struct worker *worker)
{
    struct generation *gen = &master->now;
    lg_sockets_close_stats(gen->sockets);
    lg_sockets_close(master->old.sockets, false);
    if (lg_shm_only_read(master->shm)) {
        lg_log(LG_LOG_ERROR, "worker", "shared memory cannot be mapped to be read only: %s",
            strerror(errno));
        return 1;
    }
    if (lg_identity_take(&gen->loaded.identity) < 0)
        return 1;
    /* After the change of identity, which would undo both. */
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (getppid() != master->pid)
        return 0; /* the master died in between */
    size_t listeners;
    size_t plugins;
    struct lg_worker_setup setup = {
        .id = worker->id,
        .conf = gen->loaded.conf,
        .listeners = lg_sockets_serving(gen->sockets, &listeners),
        .plugins = lg_plugin_set_all(gen->loaded.plugins, &plugins),
        .counters = lg_plugin_set_counters(gen->loaded.plugins),
        .mime = gen->loaded.mime,
        .shm = master->shm,
        .slot = slot_of(master, worker),
    };
    setup.listener_count = listeners;
    setup.plugin_count = plugins;
    lg_plugin_legion_set(master->shm);
    return lg_worker_run(&setup);
}

static int64_t backoff_ms(unsigned fails)
{
    if (fails <= 1)
        return 0;
    unsigned shift = fails - 2 < 7 ? fails - 2 : 7;
    int64_t ms = (int64_t)LG_BACKOFF_MS << shift;
    return ms < LG_BACKOFF_MAX ? ms : LG_BACKOFF_MAX;
}

static void start_one(struct master *master, struct worker *worker, int64_t now_ms)
{
    char name[32];
    snprintf(name, sizeof name, "worker %u", worker->id);
    clear_slot(slot_of(master, worker), false);
    worker->ready = worker->harakiri = false;
    worker->retry_ms = 0;
    lg_shm_set_worker_end(master->shm, master->worker_end);
    pid_t pid = lg_fork(master, name);
    if (pid == 0)
        _exit(run_worker(master, worker));
    if (pid < 0) {
        worker->fails++;
        worker->retry_ms = now_ms + backoff_ms(worker->fails + 1);
        lg_log(LG_LOG_ERROR, "master", "cannot fork worker %u: %s", worker->id, strerror(errno));
        return;
    }
    worker->pid = pid;
    worker->spawned_ms = now_ms;
    worker->spawn_count++;
    worker->last_spawn_s = (int64_t)time(NULL);
}

void lg_workers_start_due(struct master *master, int64_t now_ms)
{
    for (unsigned i = 0; i < master->worker_end; i++) {
        struct worker *worker = &master->workers[i];
        bool is_due = worker->used && worker->pid == 0 && worker->retry_ms <= now_ms;
        if (is_due && !worker->draining && worker->generation == master->now.number)
            start_one(master, worker, now_ms);
    }
}

bool lg_workers_note_ready(struct master *master)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < master->worker_end; i++) {
        struct worker *worker = &master->workers[i];
        if (worker->generation != master->now.number || worker->pid == 0 || worker->draining)
            continue;
        bool is_new = !worker->ready && atomic_load(&slot_of(master, worker)->ready) != 0;
        if (is_new) {
            worker->ready = true;
            lg_log(LG_LOG_INFO, "master", "worker %u is ready (pid %d)", worker->id, worker->pid);
        }
        ready += worker->ready;
    }
    return ready >= master->now.processes;
}

/* ---- watching ------------------------------------------------------------------ */

static uint64_t longest_ms(const struct lg_shm_worker *slot, unsigned threads, int64_t now_ms)
{
    uint64_t longest = 0;
    for (unsigned i = 0; i < threads && i < LG_THREADS_MAX; i++) {
        uint64_t since = atomic_load_explicit(&slot->busy_since_ms[i], memory_order_relaxed);
        if (since != 0 && since < (uint64_t)now_ms && (uint64_t)now_ms - since > longest)
            longest = (uint64_t)now_ms - since;
    }
    return longest;
}

void lg_workers_harakiri(struct master *master, int64_t now_ms)
{
    for (unsigned i = 0; i < master->worker_end; i++) {
        struct worker *worker = &master->workers[i];
        bool is_old = worker->generation == master->old.number;
        const struct generation *gen = is_old ? &master->old : &master->now;
        if (worker->pid == 0 || worker->harakiri || gen->harakiri_ms == 0)
            continue;
        uint64_t busy_ms = longest_ms(slot_of(master, worker), gen->threads, now_ms);
        if (busy_ms <= (uint64_t)gen->harakiri_ms)
            continue;
        lg_log(LG_LOG_ERROR, "master",
            "harakiri: worker %u (pid %d) has run a request for %u ms, more than %u: killed",
            worker->id, worker->pid, (unsigned)busy_ms, (unsigned)gen->harakiri_ms);
        worker->harakiri = true;
        worker->harakiri_count++;
        kill(worker->pid, SIGKILL);
    }
}

struct worker *lg_workers_find(struct master *master, pid_t pid)
{
    for (unsigned i = 0; i < master->worker_end; i++)
        if (master->workers[i].pid == pid)
            return &master->workers[i];
    return NULL;
}

static void log_death(const struct worker *worker, int status, int64_t wait_ms, bool again)
{
    char why[96];
    char next[64] = "";
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "was killed by signal %d (%s)%s", WTERMSIG(status),
            strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
    else
        snprintf(why, sizeof why, "exited with status %d", WEXITSTATUS(status));
    if (again && wait_ms > 0)
        snprintf(next, sizeof next, "; started again in %d ms", (int)wait_ms);
    else if (again)
        snprintf(next, sizeof next, "; started again");
    bool is_wanted = !again && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    lg_log(is_wanted ? LG_LOG_INFO : LG_LOG_ERROR, "master", "worker %u (pid %d) %s%s", worker->id,
        worker->pid, why, next);
}

enum lg_master_event lg_workers_reap(struct master *master, struct worker *worker, int status)
{
    int64_t now_ms = lg_now_ms();
    bool is_current = worker->generation == master->now.number;
    bool settled = worker->ready && now_ms - worker->spawned_ms >= LG_SETTLED_MS;
    bool ever_ready = master->now.ever_ready;
    worker->fails = settled ? 0 : worker->fails + 1;
    int64_t wait_ms = settled ? 0 : backoff_ms(worker->fails);
    bool hopeless = is_current && !ever_ready && worker->fails >= LG_START_TRIES;
    log_death(worker, status, wait_ms, !worker->draining && is_current && !hopeless);
    worker->pid = 0;
    worker->ready = false;
    atomic_store(&slot_of(master, worker)->ready, 0); /* for health checks */
    worker->retry_ms = now_ms + wait_ms;
    if (worker->draining)
        release(master, worker);
    return hopeless ? LG_EVENT_START_FAILED : LG_EVENT_WORKER_DIED;
}

/* ---- letting go ------------------------------------------------------------------ */

void lg_workers_drain(struct master *master, unsigned keep, int64_t mercy_ms)
{
    int64_t now_ms = lg_now_ms();
    for (unsigned i = master->worker_end; i-- > 0;) {
        struct worker *worker = &master->workers[i];
        if (!worker->used || worker->draining || (keep && worker->generation == keep))
            continue;
        worker->draining = true;
        worker->kill_ms = now_ms + mercy_ms;
        if (worker->pid == 0)
            release(master, worker);
        else
            kill(worker->pid, SIGTERM);
    }
}

void lg_workers_kill(struct master *master, bool all, int64_t past_ms)
{
    for (unsigned i = 0; i < master->worker_end; i++) {
        struct worker *worker = &master->workers[i];
        if (worker->pid == 0 || (!all && !(worker->draining && worker->kill_ms <= past_ms)))
            continue;
        if (!all)
            lg_log(LG_LOG_WARN, "master", "worker %u (pid %d) did not finish in time: killed",
                worker->id, worker->pid);
        worker->kill_ms = INT64_MAX; /* once is enough */
        kill(worker->pid, SIGKILL);
    }
}

unsigned lg_workers_alive(const struct master *master)
{
    unsigned count = 0;
    for (unsigned i = 0; i < master->worker_end; i++)
        count += master->workers[i].pid != 0;
    return count;
}

unsigned lg_workers_draining(const struct master *master)
{
    unsigned count = 0;
    for (unsigned i = 0; i < master->worker_end; i++)
        count += master->workers[i].pid != 0 && master->workers[i].draining;
    return count;
}

int64_t lg_workers_due(const struct master *master)
{
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < master->worker_end; i++) {
        const struct worker *worker = &master->workers[i];
        int64_t at = INT64_MAX;
        if (worker->pid == 0 && worker->used && worker->generation == master->now.number)
            at = worker->retry_ms;
        else if (worker->pid != 0 && worker->draining)
            at = worker->kill_ms;
        due = at < due ? at : due;
    }
    return due;
}
