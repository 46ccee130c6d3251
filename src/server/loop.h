/* The worker as its own room sees it: the loop, the posts from other threads,
 * and the connections. Loop thread only, unless said.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SERVER_LOOP_H
#define LG_SERVER_LOOP_H

#include "http/date.h"
#include "request/request.h"
#include "server/pool.h"
#include "server/worker.h"

#include <pthread.h>
#include <uv.h>

struct lg_conn;
struct lg_exchange;
struct lg_task;

/* One thing to do on the loop, from any thread. */
struct lg_post {
    struct lg_post *next;
    void (*run)(struct lg_post *post); /* frees what holds it */
};

struct lg_accepting {
    struct lg_worker *worker;
    const struct lg_listener *listener;
    uv_poll_t poll;
    uv_timer_t pause; /* after EMFILE */
    char port[8];     /* SERVER_PORT; "" for a unix socket */
};

/* What the options say, read once. Times in ms, sizes in bytes. */
struct lg_server_options {
    uint64_t read_timeout_ms;  /* no progress in a head or body */
    uint64_t head_timeout_ms;  /* a whole head */
    uint64_t idle_timeout_ms;  /* keep-alive, between requests; 0 = none */
    uint64_t write_timeout_ms; /* no progress in an answer */
    uint64_t drain_timeout_ms;
    uint64_t body_max; /* limit-post; 0 = none */
    size_t uwsgi_max;  /* buffer-size */
    bool manage_script_name;
    bool log_requests, log_4xx, log_5xx;
    uint64_t log_slow_ms;      /* 0 = off */
    struct lg_header *headers; /* add-header */
    size_t header_count;
    struct lg_var *router_vars; /* http-var */
    size_t router_var_count;
};

struct lg_worker {
    const struct lg_worker_setup *setup;
    struct lg_server_options options;
    uv_loop_t loop;
    pthread_t loop_thread;
    uv_async_t wake;
    uv_signal_t signals[3];
    uv_timer_t drain_timer;
    struct lg_accepting *accepting;
    pthread_mutex_t posts_lock;
    struct lg_post *posts, **posts_tail;
    struct lg_pool *pool;
    struct lg_conn *conns; /* open ones, doubly linked */
    struct lg_conn *dirty; /* those with bytes to write before the loop sleeps */
    uv_prepare_t flush;
    struct lg_task *tasks; /* of lg_lane_run, under way */
    uv_timer_t task_timer;
    uv_timer_t beat_timer; /* a sign of life in shared memory */
    unsigned conn_count;
    bool draining;
    struct lg_exchange *spare; /* freed exchanges, kept for the next request */
    unsigned spare_count;
    char *read_buffer; /* shared by all connections: parsed before the next read */
    char server_name[256];
    const struct lg_handler *handlers[256];
    void *handler_states[256];
    struct lg_http_date date;
    uint64_t clock_us; /* as last read since the loop woke; 0 = not yet */
};

#define LG_READ_BUFFER ((size_t)65536)

/* 0 or -LG_E_NOMEM. What it points to lives as long as `conf`. */
int lg_server_options_read(
    const struct lg_conf *conf, struct lg_server_options *ret_options) LG_MUST_USE;

/* Any thread. Never fails: the node is the caller's. */
void lg_worker_post(struct lg_worker *worker, struct lg_post *post);
uint64_t lg_worker_now_ms(const struct lg_worker *worker); /* the loop's, monotonic */
/* Finer, monotonic too: reads the clock anew. */
uint64_t lg_worker_read_clock_us(struct lg_worker *worker);
/* As it was last read, if it was since the loop woke: with many requests at hand
 * the end of one is the beginning of the next, and one reading does for both. */
uint64_t lg_worker_clock_us(struct lg_worker *worker);
/* "Sat, 21 Nov 2026 22:41:00 GMT", for this second. */
struct lg_slice lg_worker_date(struct lg_worker *worker);
/* A connection is gone; the drain may be over. */
void lg_worker_conn_closed(struct lg_worker *worker);

#endif
