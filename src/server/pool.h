/* Handler threads and their lanes.
 *
 * A lane is a first-in first-out queue with a bound on how many of its jobs run
 * at once, so that a dead volume cannot take all threads. A job that outlives
 * its deadline is overdue: while it hangs, a substitute thread stands in for
 * it, so that even one thread never starves the healthy lanes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SERVER_POOL_H
#define LG_SERVER_POOL_H

#include "base/err.h"
#include "legatus/plugin.h"
#include "shm/shm.h"

struct lg_pool;

/* Embedded in what is to be run; the pool links it, the owner keeps it alive. */
struct lg_job {
    struct lg_job *next;
    struct lg_lane *lane;
    void (*run)(struct lg_job *job);  /* handler thread */
    void (*done)(struct lg_job *job); /* handler thread; the pool forgets the job */
    bool running;                     /* pool's lock */
    bool overdue;                     /* pool's lock */
};

/* Starts `threads` threads; their busy times go to `slot`. 0, -LG_E_NOMEM or
 * -LG_E_SYS. Loop thread, once. */
int lg_pool_new(
    unsigned threads, struct lg_shm_worker *slot, struct lg_pool **ret_pool) LG_MUST_USE;

/* NULL when memory is out. Loop thread, before jobs are submitted. */
struct lg_lane *lg_pool_lane(
    struct lg_pool *pool, const char *name, unsigned limit, unsigned queue_max);
/* The lane of those that choose none: as many as there are threads. */
struct lg_lane *lg_pool_default_lane(struct lg_pool *pool);

/* What is said about a lane's requests, not too often. */
struct lg_lane_limits {
    struct lg_log_limit late, cut;
};
struct lg_lane_limits *lg_pool_lane_limits(struct lg_lane *lane);

/* Queues job->run in job->lane. 0, or -LG_E_BUSY when the lane's queue is full
 * or all it may run is overdue. Loop thread. */
int lg_pool_submit(struct lg_pool *pool, struct lg_job *job) LG_MUST_USE;

/* Takes a job back that has not begun; false when it runs or has run. */
bool lg_pool_withdraw(struct lg_pool *pool, struct lg_job *job);
/* The job's deadline has passed while it runs. */
void lg_pool_overdue(struct lg_pool *pool, struct lg_job *job);

unsigned lg_pool_threads(const struct lg_pool *pool);
unsigned lg_pool_waiting(struct lg_pool *pool); /* jobs queued, for stats */

#endif
