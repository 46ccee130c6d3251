/* A thread that runs jobs in the order they came. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <signal.h>
#include <time.h>

#define YOUNG_S 2

int64_t gl_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whatever sets another time, or writes, sets ctime to now: times that somebody made
 * up, in the future perhaps, say nothing here. */
bool gl_is_young(const struct stat *stat)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t old_s = now.tv_sec - YOUNG_S;
    return stat->st_ctim.tv_sec > old_s ||
           (stat->st_ctim.tv_sec == old_s && stat->st_ctim.tv_nsec > now.tv_nsec);
}

/* Signals are the worker's business: its loop expects them on its own thread.
 * gfapi's threads inherit the mask from the one that calls glfs_init. */
int gl_thread_start(const char *name, void *(*fn)(void *arg), void *arg)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]); /* blocked, they would kill without a word */
    if (pthread_sigmask(SIG_SETMASK, &all, &old))
        return -1;
    int err = pthread_create(&thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return -1;
    pthread_setname_np(thread, name);
    pthread_detach(thread);
    return 0;
}

/* With the lock held, and a job there. */
static struct gl_job *take(struct gl_queue *queue)
{
    struct gl_job *job = queue->head;
    queue->head = job->next;
    if (!queue->head)
        queue->tail = &queue->head;
    atomic_fetch_sub_explicit(&queue->waiting, 1, memory_order_relaxed);
    return job;
}

static void *run_jobs(void *arg)
{
    struct gl_queue *queue = arg;
    for (;;) {
        pthread_mutex_lock(&queue->lock);
        while (!queue->head)
            pthread_cond_wait(&queue->changed, &queue->lock);
        struct gl_job *job = take(queue);
        pthread_mutex_unlock(&queue->lock);
        job->run(job);
    }
    return NULL;
}

void gl_queue_help(struct gl_queue *queue, unsigned most)
{
    while (atomic_load_explicit(&queue->waiting, memory_order_relaxed) > most) {
        pthread_mutex_lock(&queue->lock);
        struct gl_job *job = queue->head ? take(queue) : NULL;
        pthread_mutex_unlock(&queue->lock);
        if (!job)
            break;
        job->run(job);
    }
}

int gl_queue_start(struct gl_queue *queue, const char *thread_name)
{
    queue->head = NULL;
    queue->tail = &queue->head;
    if (pthread_mutex_init(&queue->lock, NULL) || pthread_cond_init(&queue->changed, NULL))
        return -1;
    return gl_thread_start(thread_name, run_jobs, queue);
}

void gl_queue_add(struct gl_queue *queue, struct gl_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&queue->lock);
    *queue->tail = job;
    queue->tail = &job->next;
    atomic_fetch_add_explicit(&queue->waiting, 1, memory_order_relaxed);
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}
