/* Work on handler threads that belongs to no request: lg_lane_run.
 *
 * Tasks under way stand in a list; a timer that runs while there are any tells
 * the pool of those past their time, so that a lane that hangs is known as one. The
 * time begins when a task does: a long queue is no sign of a lane that hangs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/loop.h"

#include <stdlib.h>

#define LOOK_MS 100

struct lg_task {
    struct lg_job job; /* first */
    struct lg_post post;
    struct lg_worker *worker;
    struct lg_task *next, **link; /* under way */
    unsigned timeout_ms;          /* 0 = none */
    _Atomic uint64_t due_ms;      /* loop time; UINT64_MAX = never, or it has not begun */
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void look(uv_timer_t *timer)
{
    struct lg_worker *worker = timer->data;
    uint64_t now_ms = lg_worker_now_ms(worker);
    for (struct lg_task *task = worker->tasks; task; task = task->next)
        if (atomic_load_explicit(&task->due_ms, memory_order_relaxed) <= now_ms)
            lg_pool_overdue(worker->pool, &task->job);
    if (!worker->tasks)
        uv_timer_stop(timer);
}

static void run_task(struct lg_job *job)
{
    struct lg_task *task = (struct lg_task *)(void *)job;
    if (task->timeout_ms)
        atomic_store_explicit(
            &task->due_ms, uv_hrtime() / 1000000 + task->timeout_ms, memory_order_relaxed);
    task->run(task->arg);
}

/* Loop thread. */
static void end_task(struct lg_post *post)
{
    struct lg_task *task =
        (struct lg_task *)(void *)((char *)post - offsetof(struct lg_task, post));
    *task->link = task->next;
    if (task->next)
        task->next->link = task->link;
    task->done(task->arg);
    free(task);
}

static void task_done(struct lg_job *job)
{
    struct lg_task *task = (struct lg_task *)(void *)job;
    task->post.run = end_task;
    lg_worker_post(task->worker, &task->post);
}

int lg_lane_run(struct lg_worker *worker, struct lg_lane *lane, unsigned timeout_ms,
    void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
    struct lg_task *task = malloc(sizeof *task);
    if (!task)
        return -1;
    *task = (struct lg_task){
        .job = {.lane = lane, .run = run_task, .done = task_done},
        .worker = worker,
        .next = worker->tasks,
        .link = &worker->tasks,
        .timeout_ms = timeout_ms,
        .due_ms = UINT64_MAX,
        .run = run,
        .done = done,
        .arg = arg,
    };
    if (lg_pool_submit(worker->pool, &task->job)) {
        free(task);
        return -1;
    }
    /* It returns by a post, so it is still ours here. */
    if (task->next)
        task->next->link = &task->next;
    worker->tasks = task;
    if (!uv_is_active((uv_handle_t *)&worker->task_timer))
        uv_timer_start(&worker->task_timer, look, LOOK_MS, LOOK_MS);
    return 0;
}
