/* Exchanges: from a request's head to the last byte of its answer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/exchange.h"
#include "http/head.h"
#include "log/log.h"
#include "server/conn.h"

#include <inttypes.h>
#include <stdlib.h>

#define SPARE_MAX 256

/* Of its lane: that is, of a volume. */
static struct lg_lane_limits *limits_of(const struct lg_exchange *ex)
{
    return lg_pool_lane_limits(ex->lane ? ex->lane : lg_pool_default_lane(ex->worker->pool));
}

/* ---- life ---- */

static void on_deadline(uv_timer_t *timer);

struct lg_exchange *lg_exchange_new(struct lg_worker *worker)
{
    struct lg_exchange *ex = worker->spare;
    if (ex) {
        worker->spare = ex->next_spare;
        worker->spare_count--;
    } else {
        ex = calloc(1, sizeof *ex);
        if (!ex)
            return NULL;
        lg_request_init(&ex->request, 0);
        pthread_mutex_init(&ex->lock, NULL);
        pthread_cond_init(&ex->changed, NULL);
        ex->worker = worker;
    }
    atomic_init(&ex->refs, 1);
    ex->timeout_status = 504;
    return ex;
}

static void free_timer(uv_handle_t *handle)
{
    struct lg_exchange *ex = handle->data;
    pthread_mutex_destroy(&ex->lock);
    pthread_cond_destroy(&ex->changed);
    lg_request_free(&ex->request);
    free(ex);
}

/* Loop thread: nobody holds it any more. Wiped but for what is costly to make. */
static void recycle(struct lg_post *post)
{
    struct lg_exchange *ex =
        (struct lg_exchange *)(void *)((char *)post - offsetof(struct lg_exchange, recycled));
    struct lg_worker *worker = ex->worker;
    lg_buf_free(&ex->body);
    lg_request_reset(&ex->request);
    if (ex->timer_ready)
        uv_timer_stop(&ex->timer);
    if (worker->spare_count >= SPARE_MAX) {
        if (ex->timer_ready) {
            uv_close((uv_handle_t *)&ex->timer, free_timer);
            return;
        }
        ex->timer.data = ex;
        free_timer((uv_handle_t *)&ex->timer);
        return;
    }
    size_t from = offsetof(struct lg_exchange, handler);
    size_t to = offsetof(struct lg_exchange, lock);
    memset((char *)ex + from, 0, to - from);
    ex->response = (struct lg_response){0};
    ex->conn = NULL;
    ex->gone = ex->body_ended = ex->body_asked = false;
    ex->push_pending = 0;
    ex->next_spare = worker->spare;
    worker->spare = ex;
    worker->spare_count++;
}

void lg_exchange_ref(struct lg_exchange *ex)
{
    atomic_fetch_add_explicit(&ex->refs, 1, memory_order_relaxed);
}

void lg_exchange_unref(void *exchange)
{
    struct lg_exchange *ex = exchange;
    if (atomic_fetch_sub_explicit(&ex->refs, 1, memory_order_acq_rel) != 1)
        return;
    ex->recycled.run = recycle;
    if (pthread_equal(ex->worker->loop_thread, pthread_self()))
        recycle(&ex->recycled);
    else
        lg_worker_post(ex->worker, &ex->recycled);
}

/* Ends the parking of a request that nobody waits for any more. */
static void leave_park(struct lg_exchange *ex)
{
    void (*gone)(struct lg_request *) = ex->unpark;
    ex->unpark = NULL;
    if (!gone)
        return;
    if (ex->timer_ready)
        uv_timer_stop(&ex->timer);
    gone(&ex->request);
    lg_exchange_unref(ex);
}

/* ---- the way in ---- */

static void job_run(struct lg_job *job)
{
    struct lg_exchange *ex =
        (struct lg_exchange *)(void *)((char *)job - offsetof(struct lg_exchange, job));
    ex->handler->handle(ex->handler_state, &ex->request);
}

/* Loop thread: the handler has returned, the request is ours again. */
static void job_returned(struct lg_post *post)
{
    struct lg_exchange *ex =
        (struct lg_exchange *)(void *)((char *)post - offsetof(struct lg_exchange, returned));
    if (ex->timer_ready)
        uv_timer_stop(&ex->timer);
    if (ex->kind == LG_ANSWER_NONE) {
        lg_log(LG_LOG_ERROR, "server", "handler \"%s\" returned without an answer: 500",
            ex->handler->name);
        lg_answer_error(&ex->request, 500, 0);
    }
    if (ex->kind != LG_ANSWER_PUSH)
        lg_exchange_answer(ex);
    else if (!ex->ended)
        lg_source_fail(&ex->request, "the handler returned in the middle of its body");
    lg_exchange_unref(ex);
}

static void job_done(struct lg_job *job)
{
    struct lg_exchange *ex =
        (struct lg_exchange *)(void *)((char *)job - offsetof(struct lg_exchange, job));
    ex->returned.run = job_returned;
    lg_worker_post(ex->worker, &ex->returned);
}

static void log_late(const struct lg_exchange *ex, const char *why)
{
    lg_log_limited(&limits_of(ex)->late, LG_LOG_WARN, "server", "%s %s: %s after %u ms: %d",
        ex->method.ptr, ex->uri.ptr, why, ex->timeout_ms, ex->timeout_status);
}

/* The handler has had its time. Its thread may own request and response still,
 * so the refusal is made of an exchange of its own. */
static void on_deadline(uv_timer_t *timer)
{
    struct lg_exchange *ex = timer->data;
    struct lg_conn *conn = ex->conn;
    int status = ex->timeout_status;
    if (ex->unpark) { /* parked: it has a connection, and replacing ends the parking */
        log_late(ex, "still waiting for what others fetch");
        lg_conn_replace(conn, status);
        return;
    }
    bool withdrawn = lg_pool_withdraw(ex->worker->pool, &ex->job);
    if (!withdrawn && !ex->answering)
        lg_pool_overdue(ex->worker->pool, &ex->job);
    if (conn && !ex->answering) {
        log_late(ex, withdrawn ? "still waiting for a thread" : "no answer from the handler");
        lg_conn_replace(conn, status);
    }
    if (withdrawn)
        lg_exchange_unref(ex); /* the job's */
}

static bool start_deadline(struct lg_exchange *ex)
{
    if (!ex->timeout_ms)
        return true;
    if (!ex->timer_ready) {
        if (uv_timer_init(&ex->worker->loop, &ex->timer))
            return false;
        ex->timer.data = ex;
        ex->timer_ready = true;
    }
    if (uv_is_active((uv_handle_t *)&ex->timer))
        return true; /* it was parked before: one deadline for both */
    return uv_timer_start(&ex->timer, on_deadline, ex->timeout_ms, 0) == 0;
}

static void submit(struct lg_exchange *ex)
{
    ex->job.run = job_run;
    ex->job.done = job_done;
    ex->job.lane = ex->lane ? ex->lane : lg_pool_default_lane(ex->worker->pool);
    lg_exchange_ref(ex);
    if (start_deadline(ex) && lg_pool_submit(ex->worker->pool, &ex->job) == 0)
        return;
    if (ex->timer_ready)
        uv_timer_stop(&ex->timer);
    lg_answer_error(&ex->request, 503, 1);
    lg_exchange_answer(ex);
    lg_exchange_unref(ex);
}

/* ---- parking ---- */

void lg_request_park(struct lg_request *request, void (*gone)(struct lg_request *request))
{
    lg_exchange_of(request)->unpark = gone;
}

static void park(struct lg_exchange *ex)
{
    lg_exchange_ref(ex);
    if (start_deadline(ex))
        return;
    leave_park(ex);
    lg_answer_error(&ex->request, 500, 0);
    lg_exchange_answer(ex);
}

void lg_resume(struct lg_request *request, enum lg_verdict verdict)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (!ex->unpark)
        return;
    ex->unpark = NULL;
    if (verdict == LG_HANDLE) {
        submit(ex);
    } else {
        if (ex->timer_ready)
            uv_timer_stop(&ex->timer);
        if (ex->kind == LG_ANSWER_NONE)
            lg_answer_error(request, 500, 0);
        lg_exchange_answer(ex);
    }
    lg_exchange_unref(ex);
}

void lg_exchange_dispatch(struct lg_exchange *ex)
{
    uint8_t modifier1 = ex->request.modifier1;
    ex->handler = ex->worker->handlers[modifier1];
    ex->handler_state = ex->worker->handler_states[modifier1];
    /* Kept apart: while the handler has the request its variables are not ours. */
    ex->method = lg_request_get(&ex->request, LG_SLICE("REQUEST_METHOD"));
    ex->uri = lg_request_get(&ex->request, LG_SLICE("REQUEST_URI"));
    if (!ex->uri.ptr) /* a uwsgi packet need not have one */
        ex->uri = lg_request_get(&ex->request, LG_SLICE("PATH_INFO"));
    if (!ex->uri.ptr)
        ex->uri = LG_SLICE("-");
    ex->begun_us = lg_worker_clock_us(ex->worker);
    if (!ex->handler) {
        lg_log(LG_LOG_WARN, "server", "no handler for modifier1 %u (asked through %s): 500",
            modifier1, lg_conn_listener(ex->conn)->address);
        lg_answer_error(&ex->request, 500, 0);
        lg_exchange_answer(ex);
        return;
    }
    enum lg_verdict verdict =
        ex->handler->fast ? ex->handler->fast(ex->handler_state, &ex->request) : LG_HANDLE;
    if (verdict == LG_HANDLE) {
        submit(ex);
        return;
    }
    if (verdict == LG_PARKED && ex->unpark) {
        park(ex);
        return;
    }
    if (ex->kind == LG_ANSWER_NONE)
        lg_answer_error(&ex->request, 500, 0);
    lg_exchange_answer(ex);
}

bool lg_exchange_body(struct lg_exchange *ex, const char *bytes, size_t len)
{
    pthread_mutex_lock(&ex->lock);
    int err = lg_buf_append(&ex->body, bytes, len);
    if (len == 0)
        ex->body_ended = true;
    pthread_cond_broadcast(&ex->changed);
    pthread_mutex_unlock(&ex->lock);
    return err == 0;
}

void lg_exchange_no_body(struct lg_exchange *ex)
{
    ex->body_ended = true;
}

bool lg_exchange_body_full(struct lg_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    bool full = ex->body.len >= LG_BODY_WINDOW;
    pthread_mutex_unlock(&ex->lock);
    return full;
}

/* ---- the way out ---- */

/* Counts and logs an answer that is over; `why` = cut short, NULL = whole. */
static void account(struct lg_exchange *ex, enum lg_level level, const char *why)
{
    const struct lg_server_options *options = &ex->worker->options;
    struct lg_shm_worker *slot = ex->worker->setup->slot;
    uint64_t took_us = ex->begun_us ? lg_worker_read_clock_us(ex->worker) - ex->begun_us : 0;
    int status = ex->status_sent;
    size_t class = why || status < 100 || status > 599 ? 0 : (size_t)status / 100;

    lg_shm_count(&slot->requests, 1);
    lg_shm_count(&slot->requests_total, 1);
    lg_shm_count(&slot->status[class], 1);
    lg_shm_count(&slot->running_time_us, took_us);
    if (why || status == 500)
        lg_shm_count(&slot->exceptions, 1);

    bool wanted = options->log_requests || (options->log_4xx && status / 100 == 4) ||
                  (options->log_5xx && status / 100 == 5) ||
                  (options->log_slow_ms && took_us / 1000 >= options->log_slow_ms);
    if (!wanted && !why)
        return;
    const char *uri = ex->uri.ptr ? ex->uri.ptr : "-";
    const char *method = ex->method.ptr ? ex->method.ptr : "-";
    struct lg_log_limit none = {0};
    lg_log_limited(wanted || level != LG_LOG_ERROR ? &none : &limits_of(ex)->cut, level, "request",
        "%s \"%s %s\" %d %" PRId64 " bytes in %" PRIu64 ".%03u ms%s%s", lg_conn_peer(ex->conn),
        method, uri, status, ex->sent, took_us / 1000, (unsigned)(took_us % 1000),
        why ? ": cut short: " : "", why ? why : "");
}

static void drop_answer(struct lg_exchange *ex)
{
    ex->ended = true;
    if (ex->kind == LG_ANSWER_BYTES && ex->release)
        ex->release(ex->release_arg);
    ex->release = NULL;
    if (ex->kind == LG_ANSWER_SOURCE && ex->source) {
        const struct lg_source *source = ex->source;
        ex->source = NULL;
        if (source->cancel)
            source->cancel(&ex->request, ex->source_context);
        source->free(ex->source_context);
    }
}

void lg_exchange_orphan(struct lg_exchange *ex)
{
    bool halfway = ex->answering && !ex->ended;
    if (halfway && ex->conn)
        account(ex, LG_LOG_INFO, "the client went away");
    if (atomic_load_explicit(&ex->refs, memory_order_acquire) == 1) { /* the caller's */
        ex->conn = NULL;
        ex->gone = true;
    } else {
        pthread_mutex_lock(&ex->lock);
        ex->conn = NULL;
        ex->gone = true;
        pthread_cond_broadcast(&ex->changed);
        pthread_mutex_unlock(&ex->lock);
    }
    if (halfway)
        drop_answer(ex);
    leave_park(ex); /* last: the caller has a reference of its own */
}

/* All of the answer is queued, or it cannot be completed (`why`). */
static void finish(struct lg_exchange *ex, const char *why)
{
    struct lg_conn *conn = ex->conn;
    ex->ended = true;
    if (ex->source) {
        const struct lg_source *source = ex->source;
        ex->source = NULL;
        source->free(ex->source_context);
    }
    if (!conn)
        return;
    if (ex->chunked && !why)
        lg_conn_send(conn, LG_HTTP_CHUNK_LAST.ptr, LG_HTTP_CHUNK_LAST.len, NULL, NULL);
    account(ex, why ? LG_LOG_ERROR : LG_LOG_INFO, why);
    if (why)
        lg_conn_abort(conn);
    else
        lg_conn_answered(conn, ex->keep_alive);
}

/* Queues body bytes in the answer's framing. */
static void send_body(
    struct lg_exchange *ex, const void *data, size_t len, void (*release)(void *), void *arg)
{
    if (!release) {
        lg_exchange_ref(ex);
        release = lg_exchange_unref;
        arg = ex;
    }
    ex->sent += (int64_t)len;
    if (!ex->chunked) {
        lg_conn_send(ex->conn, data, len, release, arg);
        if (ex->file)
            lg_conn_send_mapped(ex->conn, data, ex->file, ex->file_offset);
        return;
    }
    char *line = malloc(LG_HTTP_CHUNK_LINE_MAX);
    if (!line) {
        release(arg);
        finish(ex, "out of memory");
        return;
    }
    lg_conn_send(ex->conn, line, lg_http_chunk_line(line, len), free, line);
    lg_conn_send(ex->conn, data, len, release, arg);
    lg_conn_send(ex->conn, LG_HTTP_CHUNK_END.ptr, LG_HTTP_CHUNK_END.len, NULL, NULL);
}

static void pump(struct lg_exchange *ex)
{
    /* pull may deliver at once, which comes back here: one level is enough. */
    if (ex->pumping)
        return;
    ex->pumping = true;
    lg_exchange_ref(ex);
    while (ex->source && ex->conn && !ex->awaiting) {
        size_t queued = lg_conn_queued(ex->conn);
        if (queued >= LG_CREDIT)
            break;
        ex->awaiting = true;
        ex->source->pull(&ex->request, ex->source_context, LG_CREDIT - queued);
    }
    ex->pumping = false;
    lg_exchange_unref(ex);
}

void lg_exchange_drained(struct lg_exchange *ex)
{
    if (ex->answering && ex->kind == LG_ANSWER_SOURCE)
        pump(ex);
}

static bool send_head(struct lg_exchange *ex, struct lg_http_framing *ret_framing)
{
    struct lg_conn *conn = ex->conn;
    struct lg_http_answer answer = {
        .wire = lg_conn_is_http(conn) ? LG_HTTP_WIRE_HTTP : LG_HTTP_WIRE_UWSGI,
        .http_minor = ex->request.http_minor,
        .is_head = ex->request.method == LG_METHOD_HEAD,
        .keep_alive = lg_conn_keeps_alive(conn),
        .date = lg_worker_date(ex->worker),
        .server = LG_SLICE("legatus"),
        /* Not through the arena: a handler that pushes has it still. */
        .extra = ex->worker->options.headers,
        .extra_count = ex->worker->options.header_count,
    };
    struct lg_buf head = {0};
    ex->response.length = ex->length;
    if (lg_http_head_render(&ex->response, &answer, &head, ret_framing)) {
        lg_buf_free(&head);
        return false;
    }
    lg_conn_send(conn, head.ptr, head.len, free, head.ptr);
    return true;
}

static void send_bytes(struct lg_exchange *ex)
{
    void (*release)(void *) = ex->release;
    ex->release = NULL;
    if (ex->length > 0)
        send_body(ex, ex->bytes, (size_t)ex->length, release, ex->release_arg);
    else if (release)
        release(ex->release_arg);
    finish(ex, NULL);
}

void lg_exchange_answer(struct lg_exchange *ex)
{
    struct lg_http_framing framing = {0};
    ex->answering = true;
    ex->status_sent = ex->response.status;
    if (!ex->conn) {
        drop_answer(ex);
        return;
    }
    if (!send_head(ex, &framing)) {
        drop_answer(ex);
        finish(ex, "the answer's head could not be made");
        return;
    }
    ex->keep_alive = framing.keep_alive;
    ex->chunked = framing.body == LG_HTTP_BODY_CHUNKED;
    if (framing.body == LG_HTTP_BODY_NONE) {
        drop_answer(ex);
        finish(ex, NULL);
    } else if (ex->kind == LG_ANSWER_BYTES) {
        send_bytes(ex);
    } else if (ex->kind == LG_ANSWER_SOURCE) {
        pump(ex);
    }
}

/* ---- what sources deliver ---- */

void lg_source_data(
    struct lg_request *request, const void *data, size_t len, void (*release)(void *arg), void *arg)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    bool late = ex->ended || !ex->conn;
    bool excess = !late && ex->length >= 0 && (int64_t)len > ex->length - ex->sent;
    if (late || excess || len == 0) {
        if (release)
            release(arg);
        if (excess)
            finish(ex, "the handler gave more bytes than it had announced");
        return;
    }
    ex->awaiting = false;
    lg_exchange_ref(ex); /* sending may end it */
    send_body(ex, data, len, release, arg);
    if (!ex->ended)
        pump(ex);
    lg_exchange_unref(ex);
}

void lg_source_end(struct lg_request *request)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->ended || !ex->conn)
        return;
    bool whole = ex->length < 0 || ex->sent == ex->length;
    finish(ex, whole ? NULL : "the handler gave fewer bytes than it had announced");
}

void lg_source_fail(struct lg_request *request, const char *why)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (!ex->ended && ex->conn)
        finish(ex, why);
}
