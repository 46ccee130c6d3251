/* The statistics of now, gathered from shared memory, /proc and the tables of
 * the master.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "master/inner.h"
#include "stats/stats.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#ifndef LG_VERSION
#define LG_VERSION "unknown"
#endif

static void read_memory(pid_t pid, struct lg_stats_worker *out)
{
    char path[64];
    unsigned long long vsz = 0;
    unsigned long long rss = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fscanf(file, "%llu %llu", &vsz, &rss) == 2) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        out->vsz_bytes = vsz * page;
        out->rss_bytes = rss * page;
    }
    fclose(file);
}

static const char *status_of(const struct worker *worker, unsigned state, bool busy)
{
    if (worker->pid == 0)
        return "dead";
    if (worker->draining)
        return "draining";
    if (!worker->ready)
        return "starting";
    if (state == LG_WORKER_DRAINING)
        return "draining";
    return busy ? "busy" : "idle";
}

static void fill_cores(struct lg_shm_worker *slot, unsigned threads, int64_t now_ms,
    struct lg_arena *arena, struct lg_stats_worker *out)
{
    struct lg_stats_core *cores = lg_arena_alloc(arena, threads * sizeof *cores);
    if (!cores)
        return;
    for (unsigned i = 0; i < threads; i++) {
        uint64_t since = atomic_load_explicit(&slot->busy_since_ms[i], memory_order_relaxed);
        /* Busy for less than a millisecond is busy. */
        cores[i].busy_ms = since == 0 ? 0 : since < (uint64_t)now_ms ? (uint64_t)now_ms - since : 1;
    }
    out->cores = cores;
    out->core_count = threads;
}

static void fill_groups(struct lg_shm_worker *slot, const struct lg_counter_groups *all,
    int64_t now_ms, struct lg_arena *arena, struct lg_stats_worker *out)
{
    size_t count = all ? all->count : 0;
    struct lg_stats_group *list = lg_arena_alloc(arena, (count + 1) * sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        const struct lg_counter_group *group = &all->groups[i];
        struct lg_stats_value *values = lg_arena_alloc(arena, (group->count + 1) * sizeof *values);
        for (size_t k = 0; values && k < group->count; k++) {
            uint64_t value =
                atomic_load_explicit(&slot->plugin[group->first + k], memory_order_relaxed);
            if (group->counters[k].kind == LG_HEALTH)
                value = (uint64_t)now_ms < value;
            values[k] = (struct lg_stats_value){group->counters[k].key, value};
        }
        list[i] =
            (struct lg_stats_group){group->plugin, group->name, values, values ? group->count : 0};
    }
    out->groups = list;
    out->group_count = list ? count : 0;
}

static void fill_worker(struct master *master, const struct worker *worker, int64_t now_ms,
    struct lg_arena *arena, struct lg_stats_worker *out)
{
    struct lg_shm_worker *slot = lg_shm_worker(master->shm, (unsigned)(worker - master->workers));
    bool is_old = worker->generation != master->now.number;
    *out = (struct lg_stats_worker){.id = worker->id,
        .pid = worker->pid,
        .accepting = worker->pid != 0 && worker->ready && !worker->draining,
        .harakiri_count = worker->harakiri_count,
        .respawn_count = worker->spawn_count > 0 ? worker->spawn_count - 1 : 0,
        .last_spawn_s = worker->last_spawn_s,
#define LG_FILL(field, key, kind, help)                                                            \
    .field = atomic_load_explicit(&slot->field, memory_order_relaxed),
        LG_WORKER_COUNTERS(LG_FILL)
#undef LG_FILL
    };
    for (unsigned i = 0; i < LG_STATUS_CLASSES; i++)
        out->by_class[i] = atomic_load_explicit(&slot->status[i], memory_order_relaxed);
    if (worker->pid)
        read_memory(worker->pid, out);
    const struct generation *gen = is_old && master->old.number ? &master->old : &master->now;
    fill_groups(slot, lg_plugin_set_counters(gen->loaded.plugins), now_ms, arena, out);
    fill_cores(slot, is_old && master->old.number ? master->old.threads : master->now.threads,
        now_ms, arena, out);
    unsigned state = atomic_load(&slot->state);
    bool busy = state == LG_WORKER_BUSY;
    for (size_t i = 0; i < out->core_count; i++)
        busy |= out->cores[i].busy_ms != 0;
    out->status = status_of(worker, state, busy);
}

static void fill_workers(struct master *master, struct lg_arena *arena, struct lg_stats *stats)
{
    struct lg_stats_worker *list = lg_arena_alloc(arena, master->worker_end * sizeof *list);
    int64_t now_ms = lg_now_ms();
    for (unsigned i = 0; list && i < master->worker_end; i++)
        if (master->workers[i].used)
            fill_worker(master, &master->workers[i], now_ms, arena, &list[stats->worker_count++]);
    stats->workers = list;
}

static void fill_sockets(struct master *master, struct lg_arena *arena, struct lg_stats *stats)
{
    size_t count;
    const struct lg_listener *serving = lg_sockets_serving(master->now.sockets, &count);
    struct lg_stats_socket *list = lg_arena_alloc(arena, count * sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        list[i] = (struct lg_stats_socket){
            .name = serving[i].address,
            .protocol = serving[i].protocol == LG_PROTO_HTTP ? "http" : "uwsgi",
        };
        lg_socket_queue(serving[i].fd, &list[i].queue, &list[i].queue_max);
    }
    stats->sockets = list;
    stats->socket_count = list ? count : 0;
}

static void fill_member(const struct lg_shm_legion *state, const struct lg_shm_member *member,
    struct lg_stats_member *out)
{
    bool has_scroll = member->scroll_at < sizeof state->scrolls &&
                      member->scroll_len <= sizeof state->scrolls - member->scroll_at;
    *out = (struct lg_stats_member){
        .name = member->name,
        .uuid = member->uuid,
        .valor = member->valor,
        .checksum = member->checksum,
        .last_seen_s = member->last_seen_s,
        .deaf_since_s = member->deaf_since_s,
        .arbiter = member->arbiter,
        .scroll = has_scroll ? state->scrolls + member->scroll_at : NULL,
        .scroll_len = has_scroll ? member->scroll_len : 0,
    };
}

static int64_t left_ms(uint64_t until_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return (int64_t)until_ms > now_ms ? (int64_t)until_ms - now_ms : 0;
}

static void fill_left(
    const struct lg_shm_legion *state, struct lg_arena *arena, struct lg_stats_legion *out)
{
    size_t count = state->left_count < LG_LEFT_MAX ? state->left_count : LG_LEFT_MAX;
    struct lg_stats_left *list = lg_arena_alloc(arena, (count + 1) * sizeof *list);
    for (size_t i = 0; list && i < count; i++)
        list[i] = (struct lg_stats_left){state->left[i].name, state->left[i].uuid,
            state->left[i].last_seen_s, state->left[i].died != 0};
    out->left = list;
    out->left_count = list ? count : 0;
}

static void fill_checks(
    const struct lg_shm_legion *state, struct lg_arena *arena, struct lg_stats_legion *out)
{
    size_t count = state->check_count < LG_CHECKS_MAX ? state->check_count : LG_CHECKS_MAX;
    struct lg_stats_check *list = lg_arena_alloc(arena, (count + 1) * sizeof *list);
    for (size_t i = 0; list && i < count; i++)
        list[i] = (struct lg_stats_check){state->checks[i].name,
            state->checks[i].verdict == LG_SHM_CHECK_WELL, state->checks[i].changed_s,
            state->checks[i].result};
    out->checks = list;
    out->check_count = list ? count : 0;
}

/* As lg_shm_is_lord: a title whose lease is over is none, whoever was stopped before
 * it could say so. */
static void drop_void_title(struct lg_shm_legion *state)
{
    if (state->lord_since_s == 0 || left_ms(state->lease_until_ms) > 0)
        return;
    state->lord_since_s = 0;
    state->lord_valor = 0;
    state->lord_uuid[0] = state->lord_name[0] = '\0';
}

/* `state` stays in the arena: texts point into it. */
static void fill_legion(
    const struct lg_shm_legion *state, struct lg_arena *arena, struct lg_stats_legion *out)
{
    size_t node_count = state->node_count < LG_NODES_MAX ? state->node_count : LG_NODES_MAX;
    size_t count = state->member_count < LG_MEMBERS_MAX ? state->member_count : LG_MEMBERS_MAX;
    struct lg_stats_member *members = lg_arena_alloc(arena, count * sizeof *members);
    static const char *const reasons[] = {"", "resigned", "maintenance", "check", "mixed", "valor",
        "rules"};                                                      /* enum lg_legion_reason */
    static const char *const modes[] = {"classical", "mixed", "safe"}; /* enum lg_legion_mode */
    const char **nodes = lg_arena_alloc(arena, node_count * sizeof *nodes);
    for (size_t i = 0; nodes && i < node_count; i++)
        nodes[i] = state->nodes[i];
    for (size_t i = 0; members && i < count; i++)
        fill_member(state, &state->members[i], &members[i]);
    *out = (struct lg_stats_legion){
        .name = state->name,
        .addr = state->addr,
        .uuid = state->uuid,
        .valor = state->valor,
        .checksum = state->checksum,
        .quorum = state->quorum,
        .votes = state->votes,
        .epoch = state->epoch,
        .mode = state->mode < sizeof modes / sizeof *modes ? modes[state->mode] : "",
        .lease_ms = left_ms(state->lease_until_ms),
        .waiting_ms = left_ms(state->waiting_until_ms),
        .reach = state->reach,
        .maintenance = state->maintenance != 0,
        .aside = state->reason < sizeof reasons / sizeof *reasons ? reasons[state->reason] : "",
        .aside_ms = left_ms((uint64_t)state->aside_until_ms),
        .freq_ms = state->freq_ms,
        .tolerance_ms = state->tolerance_ms,
        .lord_since_s = state->lord_since_s,
        .lord_valor = state->lord_valor,
        .lord_uuid = state->lord_uuid,
        .lord_name = state->lord_name,
        .scroll = state->scroll,
        .scroll_len = state->scroll_len < sizeof state->scroll ? state->scroll_len : 0,
        .nodes = nodes,
        .node_count = nodes ? node_count : 0,
        .members = members,
        .member_count = members ? count : 0,
    };
    fill_left(state, arena, out);
    fill_checks(state, arena, out);
}

static void fill_legions(struct master *master, struct lg_arena *arena, struct lg_stats *stats)
{
    unsigned count = lg_shm_legion_count(master->shm);
    struct lg_stats_legion *list = lg_arena_alloc(arena, count * sizeof *list);
    for (unsigned i = 0; list && i < count; i++) {
        struct lg_shm_legion *state = lg_arena_alloc(arena, sizeof *state);
        if (!state || !lg_shm_legion_read(master->shm, i, state))
            continue;
        /* The one writer ends its texts; a wild one shall not be believed. */
        state->name[sizeof state->name - 1] = state->addr[sizeof state->addr - 1] = '\0';
        state->uuid[sizeof state->uuid - 1] = state->lord_uuid[sizeof state->lord_uuid - 1] = '\0';
        state->lord_name[sizeof state->lord_name - 1] = '\0';
        drop_void_title(state);
        fill_legion(state, arena, &list[stats->legion_count++]);
    }
    stats->legions = list;
}

static int append_text(struct master *master, const struct lg_stats *stats, struct lg_buf *out)
{
    struct lg_buf json = {0};
    int err = lg_stats_json(stats, &json);
    if (!err && lg_conf_bool(master->now.loaded.conf, LG_OPT_stats_http))
        err = lg_buf_printf(out,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
            "Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n",
            json.len);
    if (!err)
        err = lg_buf_append(out, json.ptr, json.len);
    lg_buf_free(&json);
    return err;
}

int lg_collect_json(struct master *master, struct lg_buf *out)
{
    struct lg_arena arena;
    char cwd[PATH_MAX];
    lg_arena_init(&arena, 0);
    struct lg_stats stats = {
        .version = LG_VERSION,
        .pid = master->pid,
        .uid = getuid(),
        .gid = getgid(),
        .cwd = getcwd(cwd, sizeof cwd) ? cwd : "",
    };
    fill_sockets(master, &arena, &stats);
    fill_workers(master, &arena, &stats);
    fill_legions(master, &arena, &stats);
    stats.signal_count = lg_signals_fill(master, &arena, &stats.signals);
    stats.alarm_count = lg_alarms_fill(master, &arena, &stats.alarms);
    int err = append_text(master, &stats, out);
    lg_arena_free(&arena);
    return err;
}

void lg_collect_log(struct master *master)
{
    uint64_t requests = 0;
    uint64_t exceptions = 0;
    uint64_t tx_bytes = 0;
    uint64_t connections = 0;
    for (unsigned i = 0; i < master->worker_end; i++) {
        struct lg_shm_worker *slot = lg_shm_worker(master->shm, i);
        if (!master->workers[i].used)
            continue;
        requests += atomic_load(&slot->requests_total);
        exceptions += atomic_load(&slot->exceptions);
        tx_bytes += atomic_load(&slot->tx_bytes);
        connections += atomic_load(&slot->connections);
    }
    lg_log(LG_LOG_INFO, "master",
        "stats: state %s, workers %u of %u, connections %llu, requests %llu, exceptions %llu, "
        "bytes sent %llu",
        lg_master_state_name(master->state), lg_workers_alive(master), master->now.processes,
        (unsigned long long)connections, (unsigned long long)requests,
        (unsigned long long)exceptions, (unsigned long long)tx_bytes);
}
