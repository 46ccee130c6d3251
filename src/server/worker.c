/* A worker's loop: listeners, signals, posts, the drain.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/worker.h"
#include "log/log.h"
#include "server/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCEPT_PAUSE_MS 100
#define FILES_WANTED    16384 /* 10,000 connections, and what plugins have open beside them */

unsigned lg_worker_id(const struct lg_worker *worker)
{
    return worker->setup->id;
}

unsigned lg_worker_threads(const struct lg_worker *worker)
{
    return lg_pool_threads(worker->pool);
}

static _Atomic uint64_t *find_counter(const struct lg_worker *worker, int group, size_t i)
{
    const struct lg_counter_groups *all = worker->setup->counters;
    if (!all || group < 0 || (size_t)group >= all->count || i >= all->groups[group].count)
        return NULL;
    return &worker->setup->slot->plugin[all->groups[group].first + i];
}

void lg_count(struct lg_worker *worker, int group, size_t i, uint64_t delta)
{
    _Atomic uint64_t *counter = find_counter(worker, group, i);
    if (counter)
        atomic_fetch_add_explicit(counter, delta, memory_order_relaxed);
}

void lg_count_set(struct lg_worker *worker, int group, size_t i, uint64_t value)
{
    _Atomic uint64_t *counter = find_counter(worker, group, i);
    if (counter)
        atomic_store_explicit(counter, value, memory_order_relaxed);
}

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void lg_count_well(struct lg_worker *worker, int group, size_t i, unsigned for_ms)
{
    lg_count_set(worker, group, i, for_ms ? monotonic_ms() + for_ms : 0);
}

/* Their names, for the legion process, which knows of no plugin. */
static void declare_health(
    struct lg_shm_worker *slot, const struct lg_counter_group *group, size_t counter)
{
    char name[LG_SHM_HEALTH_NAME_SIZE] = "";
    uint32_t at = atomic_load_explicit(&slot->health_count, memory_order_relaxed);
    if (at >= LG_PLUGIN_HEALTHS_MAX)
        return; /* never: lg_counters_add has refused it */
    snprintf(name, sizeof name, "%s:%s", group->plugin, group->name);
    for (size_t i = 0; i < sizeof name / 8; i++) {
        uint64_t word;
        memcpy(&word, name + 8 * i, 8);
        atomic_store_explicit(&slot->healths[at].name[i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&slot->healths[at].counter, (uint32_t)counter, memory_order_relaxed);
    atomic_store_explicit(&slot->plugin[counter], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->health_count, at + 1, memory_order_relaxed);
}

static void declare_healths(const struct lg_worker_setup *setup)
{
    const struct lg_counter_groups *all = setup->counters;
    atomic_store_explicit(&setup->slot->health_count, 0, memory_order_relaxed);
    for (size_t g = 0; all && g < all->count; g++)
        for (size_t i = 0; i < all->groups[g].count; i++)
            if (all->groups[g].counters[i].kind == LG_HEALTH)
                declare_health(setup->slot, &all->groups[g], all->groups[g].first + i);
}

struct lg_lane *lg_lane_new(
    struct lg_worker *worker, const char *name, unsigned limit, unsigned queue_max)
{
    return lg_pool_lane(worker->pool, name, limit, queue_max);
}

uint64_t lg_worker_now_ms(const struct lg_worker *worker)
{
    return uv_now(&worker->loop);
}

uint64_t lg_worker_read_clock_us(struct lg_worker *worker)
{
    worker->clock_us = uv_hrtime() / 1000;
    return worker->clock_us;
}

uint64_t lg_worker_clock_us(struct lg_worker *worker)
{
    return worker->clock_us ? worker->clock_us : lg_worker_read_clock_us(worker);
}

struct lg_slice lg_worker_date(struct lg_worker *worker)
{
    return lg_http_date_at(&worker->date, (int64_t)time(NULL));
}

/* ---- posts ---- */

void lg_worker_post(struct lg_worker *worker, struct lg_post *post)
{
    post->next = NULL;
    pthread_mutex_lock(&worker->posts_lock);
    bool first = worker->posts == NULL;
    *worker->posts_tail = post;
    worker->posts_tail = &post->next;
    pthread_mutex_unlock(&worker->posts_lock);
    if (first)
        uv_async_send(&worker->wake);
}

static void on_wake(uv_async_t *wake)
{
    struct lg_worker *worker = wake->data;
    pthread_mutex_lock(&worker->posts_lock);
    struct lg_post *post = worker->posts;
    worker->posts = NULL;
    worker->posts_tail = &worker->posts;
    pthread_mutex_unlock(&worker->posts_lock);
    while (post) {
        struct lg_post *next = post->next;
        post->run(post);
        post = next;
    }
}

struct later {
    struct lg_post post; /* first */
    struct lg_worker *worker;
    uv_timer_t timer;
    unsigned delay_ms;
    void (*fn)(void *arg);
    void *arg;
};

static void free_later(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
    struct later *later = timer->data;
    later->fn(later->arg);
    uv_close((uv_handle_t *)timer, free_later);
}

static void start_later(struct lg_post *post)
{
    struct later *later = (struct later *)(void *)post;
    uv_timer_init(&later->worker->loop, &later->timer);
    later->timer.data = later;
    uv_timer_start(&later->timer, on_later, later->delay_ms, 0);
}

int lg_worker_later(struct lg_worker *worker, unsigned delay_ms, void (*fn)(void *arg), void *arg)
{
    struct later *later = calloc(1, sizeof *later);
    if (!later)
        return -1;
    later->post.run = start_later;
    later->worker = worker;
    later->delay_ms = delay_ms;
    later->fn = fn;
    later->arg = arg;
    lg_worker_post(worker, &later->post);
    return 0;
}

/* ---- listening ---- */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void resume_accepting(uv_timer_t *timer)
{
    struct lg_accepting *from = timer->data;
    uv_poll_start(&from->poll, UV_READABLE, on_acceptable);
}

/* One connection per wake-up, so that the workers share a burst. */
static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct lg_accepting *from = poll->data;
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    (void)events;
    if (status < 0) { /* libuv has stopped watching: begin again in a moment */
        lg_log(LG_LOG_ERROR, "server", "watching %s: %s", from->listener->address,
            uv_strerror(status));
        uv_timer_start(&from->pause, resume_accepting, ACCEPT_PAUSE_MS, 0);
        return;
    }
    int fd =
        accept4(from->listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        lg_conn_accept(from->worker, from, fd, (const struct sockaddr *)&peer);
        return;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        lg_log(LG_LOG_ERROR, "server", "accept on %s: %s; trying again in %d ms",
            from->listener->address, strerror(errno), ACCEPT_PAUSE_MS);
        uv_poll_stop(poll);
        uv_timer_start(&from->pause, resume_accepting, ACCEPT_PAUSE_MS, 0);
    }
}

static void name_port(struct lg_accepting *from)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    unsigned port = 0;
    if (getsockname(from->listener->fd, (struct sockaddr *)&addr, &len))
        return;
    if (addr.ss_family == AF_INET)
        port = ntohs(((const struct sockaddr_in *)(const void *)&addr)->sin_port);
    else if (addr.ss_family == AF_INET6)
        port = ntohs(((const struct sockaddr_in6 *)(const void *)&addr)->sin6_port);
    if (port)
        snprintf(from->port, sizeof from->port, "%u", port);
}

static int listen_on(struct lg_worker *worker, struct lg_accepting *from)
{
    from->worker = worker;
    name_port(from);
    int err = uv_timer_init(&worker->loop, &from->pause);
    if (!err)
        err = uv_poll_init(&worker->loop, &from->poll, from->listener->fd);
    if (err) {
        lg_log(LG_LOG_ERROR, "server", "cannot watch %s: %s", from->listener->address,
            uv_strerror(err));
        return -LG_E_SYS;
    }
    from->poll.data = from->pause.data = from;
    return uv_poll_start(&from->poll, UV_READABLE, on_acceptable) ? -LG_E_SYS : 0;
}

/* ---- stopping ---- */

static void stop_if_drained(struct lg_worker *worker)
{
    if (worker->draining && worker->conn_count == 0)
        uv_stop(&worker->loop);
}

void lg_worker_conn_closed(struct lg_worker *worker)
{
    worker->conn_count--;
    stop_if_drained(worker);
}

static void on_drain_timeout(uv_timer_t *timer)
{
    struct lg_worker *worker = timer->data;
    lg_log(LG_LOG_WARN, "server", "%u connections still open after the mercy period: closed",
        worker->conn_count);
    uv_stop(&worker->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct lg_worker *worker = handle->data;
    (void)number;
    if (worker->draining) { /* a second one means now */
        uv_stop(&worker->loop);
        return;
    }
    worker->draining = true;
    atomic_store_explicit(&worker->setup->slot->state, LG_WORKER_DRAINING, memory_order_relaxed);
    for (size_t i = 0; i < worker->setup->listener_count; i++) {
        uv_poll_stop(&worker->accepting[i].poll);
        uv_timer_stop(&worker->accepting[i].pause);
    }
    for (struct lg_conn *conn = worker->conns, *next; conn; conn = next) {
        next = lg_conn_next(conn);
        lg_conn_drain(conn);
    }
    uv_timer_start(&worker->drain_timer, on_drain_timeout, worker->options.drain_timeout_ms, 0);
    stop_if_drained(worker);
}

/* ---- the loop ---- */

/* That the process exists says little: a loop that hangs accepts nothing. */
static void on_beat(uv_timer_t *timer)
{
    const struct lg_worker *worker = timer->data;
    atomic_store_explicit(&worker->setup->slot->beat_ms, monotonic_ms(), memory_order_relaxed);
}

static void before_sleep(uv_prepare_t *prepare)
{
    struct lg_worker *worker = prepare->data;
    struct lg_shm_worker *slot = worker->setup->slot;
    lg_conn_flush_all(worker);
    worker->clock_us = 0;
    atomic_store_explicit(&slot->connections, worker->conn_count, memory_order_relaxed);
    atomic_store_explicit(&slot->queued, lg_pool_waiting(worker->pool), memory_order_relaxed);
}

static int init_loop(struct lg_worker *worker)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int err = uv_loop_init(&worker->loop);
    if (err)
        return err;
    worker->loop_thread = pthread_self();
    worker->posts_tail = &worker->posts;
    pthread_mutex_init(&worker->posts_lock, NULL);
    err = uv_async_init(&worker->loop, &worker->wake, on_wake);
    if (!err)
        err = uv_timer_init(&worker->loop, &worker->drain_timer);
    if (!err)
        err = uv_timer_init(&worker->loop, &worker->task_timer);
    if (!err)
        err = uv_timer_init(&worker->loop, &worker->beat_timer);
    if (!err)
        err = uv_prepare_init(&worker->loop, &worker->flush);
    for (size_t i = 0; i < 3 && !err; i++) {
        err = uv_signal_init(&worker->loop, &worker->signals[i]);
        if (!err)
            err = uv_signal_start(&worker->signals[i], on_signal, numbers[i]);
        worker->signals[i].data = worker;
    }
    worker->wake.data = worker->drain_timer.data = worker->flush.data = worker;
    worker->task_timer.data = worker->beat_timer.data = worker;
    if (!err)
        err = uv_timer_start(&worker->beat_timer, on_beat, 0, LG_SHM_BEAT_MS);
    return err ? err : uv_prepare_start(&worker->flush, before_sleep);
}

static int start_plugins(struct lg_worker *worker)
{
    for (size_t i = 0; i < worker->setup->plugin_count; i++) {
        const struct lg_started_plugin *started = &worker->setup->plugins[i];
        const struct lg_plugin *plugin = started->plugin;
        for (size_t h = 0; h < plugin->handler_count; h++) {
            worker->handlers[plugin->handlers[h].modifier1] = &plugin->handlers[h];
            worker->handler_states[plugin->handlers[h].modifier1] = started->state;
        }
        if (plugin->start && plugin->start(started->state, worker)) {
            lg_log(LG_LOG_ERROR, "server", "plugin %s did not start", plugin->name);
            return -LG_E_CONF;
        }
    }
    return 0;
}

/* To the hard limit; where that is low, the first worker says so. */
static void raise_file_limit(unsigned worker_id)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return;
    if (files.rlim_cur < files.rlim_max) {
        rlim_t soft = files.rlim_cur;
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files))
            files.rlim_cur = soft;
    }
    if (files.rlim_cur < FILES_WANTED && worker_id == 1)
        lg_log(LG_LOG_WARN, "server",
            "the hard limit of open files is %llu: a worker holds fewer connections than that "
            "(ulimit -Hn, or LimitNOFILE of the service; %d is good for 10000)",
            (unsigned long long)files.rlim_cur, FILES_WANTED);
}

static int prepare(struct lg_worker *worker)
{
    const struct lg_worker_setup *setup = worker->setup;
    unsigned threads = (unsigned)lg_conf_number(setup->conf, LG_OPT_threads);
    int err = lg_server_options_read(setup->conf, &worker->options);
    if (err)
        return err;
    raise_file_limit(setup->id);
    signal(SIGPIPE, SIG_IGN); /* gfapi and libuv both write to sockets that may be gone */
    if (gethostname(worker->server_name, sizeof worker->server_name - 1))
        snprintf(worker->server_name, sizeof worker->server_name, "localhost");
    worker->read_buffer = malloc(LG_READ_BUFFER);
    worker->accepting = calloc(setup->listener_count + 1, sizeof *worker->accepting);
    if (!worker->read_buffer || !worker->accepting)
        return -LG_E_NOMEM;
    int uv_err = init_loop(worker);
    if (uv_err) {
        lg_log(LG_LOG_ERROR, "server", "cannot make a loop: %s", uv_strerror(uv_err));
        return -LG_E_SYS;
    }
    declare_healths(setup);
    err = lg_pool_new(threads ? threads : 1, setup->slot, &worker->pool);
    if (!err)
        err = start_plugins(worker);
    for (size_t i = 0; i < setup->listener_count && !err; i++) {
        worker->accepting[i].listener = &setup->listeners[i];
        err = listen_on(worker, &worker->accepting[i]);
    }
    return err;
}

int lg_worker_run(const struct lg_worker_setup *setup)
{
    /* On the heap and never freed: handler threads may outlive the loop. */
    struct lg_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return 1;
    worker->setup = setup;
    int err = prepare(worker);
    if (err) {
        lg_log(LG_LOG_ERROR, "server", "worker %u cannot start: %s", setup->id, lg_err_text(err));
        return 1;
    }
    on_beat(&worker->beat_timer);
    atomic_store_explicit(&setup->slot->ready, 1, memory_order_release);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < setup->plugin_count; i++)
        if (setup->plugins[i].plugin->stop)
            setup->plugins[i].plugin->stop(setup->plugins[i].state);
    return 0;
}
