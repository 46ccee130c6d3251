/* Handler threads and their lanes. Threads live until the process ends: a
 * worker leaves by _exit, because a library call that hangs cannot be joined.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lg_lane {
    struct lg_lane *next;
    struct lg_job *head, *tail; /* waiting, first in first out */
    unsigned waiting, waiting_max;
    unsigned running, limit;
    unsigned overdue; /* of those running */
    struct lg_lane_limits limits;
    char name[64];
};

struct lg_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct lg_lane *lanes; /* a ring is walked from here: see next_job */
    struct lg_lane *default_lane;
    struct lg_shm_worker *slot;
    unsigned threads; /* as configured */
    unsigned alive;   /* now, substitutes included */
    unsigned overdue; /* jobs, over all lanes */
    unsigned waiting;
    unsigned char slots[LG_THREADS_MAX]; /* 1 = busy_since_ms[i] is taken by a thread */
};

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct lg_lane_limits *lg_pool_lane_limits(struct lg_lane *lane)
{
    return &lane->limits;
}

/* The next job that may run, and its lane moved to the back, so that lanes take
 * turns. Lock held. */
static struct lg_job *next_job(struct lg_pool *pool)
{
    struct lg_lane **at = &pool->lanes;
    while (*at && !((*at)->head && (*at)->running < (*at)->limit))
        at = &(*at)->next;
    struct lg_lane *lane = *at;
    if (!lane)
        return NULL;
    *at = lane->next;
    lane->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = lane;

    struct lg_job *job = lane->head;
    lane->head = job->next;
    if (!lane->head)
        lane->tail = NULL;
    lane->waiting--;
    pool->waiting--;
    lane->running++;
    job->next = NULL;
    job->running = true;
    return job;
}

/* Lock held on entry and on return. */
static void run_job(struct lg_pool *pool, struct lg_job *job, unsigned slot)
{
    struct lg_lane *lane = job->lane;
    pthread_mutex_unlock(&pool->lock);
    atomic_store_explicit(&pool->slot->busy_since_ms[slot], now_ms(), memory_order_relaxed);
    job->run(job);
    atomic_store_explicit(&pool->slot->busy_since_ms[slot], 0, memory_order_relaxed);
    pthread_mutex_lock(&pool->lock);
    lane->running--;
    if (job->overdue) {
        lane->overdue--;
        pool->overdue--;
    }
    job->running = false;
    pthread_mutex_unlock(&pool->lock);
    job->done(job);
    pthread_mutex_lock(&pool->lock);
}

static unsigned take_slot(struct lg_pool *pool)
{
    for (unsigned i = 0; i < LG_THREADS_MAX; i++)
        if (!pool->slots[i]) {
            pool->slots[i] = 1;
            return i;
        }
    return LG_THREADS_MAX - 1; /* shared by the surplus: only harakiri's clock */
}

static void *thread_main(void *arg)
{
    struct lg_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    unsigned slot = take_slot(pool);
    /* A substitute leaves once those it stood in for are back. */
    while (pool->alive <= pool->threads + pool->overdue) {
        struct lg_job *job = next_job(pool);
        if (job)
            run_job(pool, job, slot);
        else
            pthread_cond_wait(&pool->work, &pool->lock);
    }
    pool->alive--;
    pool->slots[slot] = 0;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Lock held, or no thread yet. */
static int start_thread(struct lg_pool *pool)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    if (pthread_attr_init(&attr))
        return -LG_E_NOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, (size_t)1 << 20); /* gfapi's resolver is deep */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the loop's */
    pool->alive++;
    int failed = pthread_create(&thread, &attr, thread_main, pool);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (failed) {
        pool->alive--;
        return -LG_E_SYS;
    }
    return 0;
}

int lg_pool_new(unsigned threads, struct lg_shm_worker *slot, struct lg_pool **ret_pool)
{
    struct lg_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return -LG_E_NOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->slot = slot;
    pool->threads = threads;
    pool->default_lane = lg_pool_lane(pool, "default", threads, 4096);
    int err = pool->default_lane ? 0 : -LG_E_NOMEM;
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < threads && !err; i++)
        err = start_thread(pool);
    pthread_mutex_unlock(&pool->lock);
    if (err)
        return err; /* threads that did start own the pool by now */
    *ret_pool = pool;
    return 0;
}

struct lg_lane *lg_pool_lane(
    struct lg_pool *pool, const char *name, unsigned limit, unsigned queue_max)
{
    struct lg_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    snprintf(lane->name, sizeof lane->name, "%s", name);
    lane->limit = limit ? limit : 1;
    lane->waiting_max = queue_max;
    pthread_mutex_lock(&pool->lock);
    lane->next = pool->lanes;
    pool->lanes = lane;
    pthread_mutex_unlock(&pool->lock);
    return lane;
}

struct lg_lane *lg_pool_default_lane(struct lg_pool *pool)
{
    return pool->default_lane;
}

int lg_pool_submit(struct lg_pool *pool, struct lg_job *job)
{
    struct lg_lane *lane = job->lane;
    int err = 0;
    pthread_mutex_lock(&pool->lock);
    if (lane->waiting >= lane->waiting_max || lane->overdue >= lane->limit) {
        err = -LG_E_BUSY;
    } else {
        job->next = NULL;
        job->running = job->overdue = false;
        if (lane->tail)
            lane->tail->next = job;
        else
            lane->head = job;
        lane->tail = job;
        lane->waiting++;
        pool->waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return err;
}

bool lg_pool_withdraw(struct lg_pool *pool, struct lg_job *job)
{
    struct lg_lane *lane = job->lane;
    bool found = false;
    pthread_mutex_lock(&pool->lock);
    struct lg_job *before = NULL;
    for (struct lg_job *at = lane->head; at && !found; before = at, at = at->next) {
        if (at != job)
            continue;
        if (before)
            before->next = job->next;
        else
            lane->head = job->next;
        if (lane->tail == job)
            lane->tail = before;
        lane->waiting--;
        pool->waiting--;
        found = true;
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

void lg_pool_overdue(struct lg_pool *pool, struct lg_job *job)
{
    pthread_mutex_lock(&pool->lock);
    if (job->running && !job->overdue) {
        job->overdue = true;
        job->lane->overdue++;
        pool->overdue++;
        if (pool->alive < pool->threads + pool->overdue && pool->alive < LG_THREADS_MAX)
            (void)start_thread(pool); /* without one the others go on as they are */
    }
    pthread_mutex_unlock(&pool->lock);
}

unsigned lg_pool_threads(const struct lg_pool *pool)
{
    return pool->threads;
}

unsigned lg_pool_waiting(struct lg_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}
