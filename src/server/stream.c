/* Blocking reads of a request's body and blocking pushes of an answer's, for
 * handler threads. The loop's side of both is in exchange.c and conn.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/conn.h"

#include <stdlib.h>

/* ---- the request's body ---- */

static void want_body(struct lg_post *post)
{
    struct lg_exchange *ex =
        (struct lg_exchange *)(void *)((char *)post - offsetof(struct lg_exchange, body_post));
    pthread_mutex_lock(&ex->lock);
    ex->body_asked = false;
    pthread_mutex_unlock(&ex->lock);
    if (ex->conn)
        lg_conn_want_body(ex->conn);
    lg_exchange_unref(ex);
}

/* Has the loop send 100 Continue where it is due, and read on. Lock held. */
static void ask_for_body(struct lg_exchange *ex)
{
    if (ex->body_asked)
        return;
    ex->body_asked = true;
    ex->body_post.run = want_body;
    lg_exchange_ref(ex);
    lg_worker_post(ex->worker, &ex->body_post);
}

ssize_t lg_body_read(struct lg_request *request, void *buffer, size_t size)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    ssize_t got = -1;
    pthread_mutex_lock(&ex->lock);
    if (ex->body.len == 0 && !ex->body_ended && !ex->gone)
        ask_for_body(ex);
    while (ex->body.len == 0 && !ex->body_ended && !ex->gone)
        pthread_cond_wait(&ex->changed, &ex->lock);
    if (ex->body.len > 0) {
        bool was_full = ex->body.len >= LG_BODY_WINDOW;
        size_t len = ex->body.len < size ? ex->body.len : size;
        memcpy(buffer, ex->body.ptr, len);
        lg_buf_consume(&ex->body, len);
        got = (ssize_t)len;
        if (was_full && ex->body.len < LG_BODY_WINDOW)
            ask_for_body(ex);
    } else if (ex->body_ended) {
        got = 0;
    }
    pthread_mutex_unlock(&ex->lock);
    return got;
}

/* ---- pushes ---- */

struct pushed {
    struct lg_exchange *ex; /* referenced */
    size_t len;
    char bytes[];
};

static void push_written(void *arg)
{
    struct pushed *pushed = arg;
    struct lg_exchange *ex = pushed->ex;
    pthread_mutex_lock(&ex->lock);
    ex->push_pending -= pushed->len;
    pthread_cond_broadcast(&ex->changed);
    pthread_mutex_unlock(&ex->lock);
    free(pushed);
    lg_exchange_unref(ex);
}

static void push_begin(struct lg_request *request, void *arg)
{
    (void)arg;
    lg_exchange_answer(lg_exchange_of(request));
}

static void push_data(struct lg_request *request, void *arg)
{
    struct pushed *pushed = arg;
    lg_source_data(request, pushed->bytes, pushed->len, push_written, pushed);
}

static void push_end(struct lg_request *request, void *arg)
{
    (void)arg;
    if (lg_exchange_of(request)->kind == LG_ANSWER_PUSH)
        lg_source_end(request);
}

int lg_push_begin(struct lg_request *request, int64_t length)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_NONE)
        return -1;
    ex->kind = LG_ANSWER_PUSH;
    ex->length = length;
    return lg_post(request, push_begin, NULL);
}

int lg_push(struct lg_request *request, const void *data, size_t len)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_PUSH)
        return -1;
    if (len == 0)
        return 0;
    struct pushed *pushed = malloc(sizeof *pushed + len);
    if (!pushed)
        return -1;
    pushed->ex = ex;
    pushed->len = len;
    memcpy(pushed->bytes, data, len);

    pthread_mutex_lock(&ex->lock);
    while (ex->push_pending >= LG_CREDIT && !ex->gone)
        pthread_cond_wait(&ex->changed, &ex->lock);
    bool gone = ex->gone;
    if (!gone)
        ex->push_pending += len;
    pthread_mutex_unlock(&ex->lock);
    if (gone) {
        free(pushed);
        return -1;
    }
    lg_exchange_ref(ex);
    if (lg_post(request, push_data, pushed)) {
        push_written(pushed);
        return -1;
    }
    return 0;
}

void lg_push_end(struct lg_request *request)
{
    (void)lg_post(request, push_end, NULL);
}
