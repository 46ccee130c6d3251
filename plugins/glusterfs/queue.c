/* A thread that runs jobs in the order they came. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <signal.h>
#include <time.h>

int64_t gl_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
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

static void *run_jobs(void *arg)
{
    struct gl_queue *queue = arg;
    for (;;) {
        pthread_mutex_lock(&queue->lock);
        while (!queue->head)
            pthread_cond_wait(&queue->changed, &queue->lock);
        struct gl_job *jobs = queue->head;
        queue->head = NULL;
        queue->tail = &queue->head;
        pthread_mutex_unlock(&queue->lock);
        while (jobs) {
            struct gl_job *job = jobs;
            jobs = job->next; /* before it runs: running may free it */
            job->run(job);
        }
    }
    return NULL;
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
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}
