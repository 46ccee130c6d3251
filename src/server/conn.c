/* A connection's life and its input.
 *
 *   idle -> head -> handling (body may still come) -> answered -> idle ...
 *                                                  \-> ends: flush, linger, close
 *
 * Every state has a deadline (see due_ms). None holds a thread but one: a handler
 * that reads a body longer than a window waits for the rest of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"
#include "server/conn_state.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Input parsed ahead of the answer; beyond it the client waits. */
#define PENDING_MAX ((size_t)65536)
/* A body nobody wants is read and dropped up to here to keep the connection. */
#define DRAIN_MAX ((int64_t)65536)
/* Over its whole length a body must come at this rate, bytes per second. */
#define BODY_RATE_MIN 512
/* After the last answer: what the client still sends is read, so that no reset
 * overtakes the answer, for this long and this much. */
#define LINGER_MS  1000
#define LINGER_MAX ((size_t)1 << 20)
/* Bytes the kernel may hold of an answer before they are even on their way. It
 * would take megabytes for each slow client: thousands of those fill the memory
 * the machine has for TCP, and then everybody waits, the volumes' bricks too. */
#define UNSENT_MAX 131072

static void process_pending(struct lg_conn *conn);

/* ---- small facts ---- */

struct lg_conn *lg_conn_next(struct lg_conn *conn)
{
    return conn->next;
}

bool lg_conn_is_http(const struct lg_conn *conn)
{
    return conn->is_http;
}

const struct lg_listener *lg_conn_listener(const struct lg_conn *conn)
{
    return conn->accepting->listener;
}

const char *lg_conn_peer(const struct lg_conn *conn)
{
    return conn->is_unix ? "unix" : conn->peer;
}

bool lg_conn_keeps_alive(const struct lg_conn *conn)
{
    const struct lg_request *request = &conn->ex->request;
    if (!conn->is_http || !request->keep_alive || conn->worker->draining ||
        conn->worker->options.idle_timeout_ms == 0)
        return false;
    if (conn->complete)
        return true;
    bool waits = request->expect_continue && !conn->continued;
    return !waits && request->body_length >= 0 && request->body_length <= DRAIN_MAX;
}

/* No request is begun: nothing has come, or empty lines at most. */
static bool is_between(const struct lg_conn *conn)
{
    return !conn->ex ||
           (!conn->dispatched && conn->is_http && lg_http_parser_is_idle(&conn->parser.http));
}

/* ---- the deadline ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Does the client owe us bytes of a body? Not while it waits for our word, nor
 * while we have begun to answer without it. */
static bool owes_body(const struct lg_conn *conn)
{
    if (conn->complete || !conn->reading)
        return false;
    bool waits = conn->ex->request.expect_continue && !conn->continued && conn->body_bytes == 0;
    return !waits && (conn->answered || !conn->ex->answering);
}

static uint64_t due_ms(const struct lg_conn *conn)
{
    const struct lg_server_options *options = &conn->worker->options;
    uint64_t next = conn->read_ms + options->read_timeout_ms;
    uint64_t whole = conn->since_ms + options->head_timeout_ms;
    if (conn->lingering)
        return conn->since_ms + LINGER_MS;
    if (conn->out.bytes > 0)
        return conn->out.mark_ms + options->write_timeout_ms;
    if (is_between(conn)) {
        uint64_t since = conn->since_ms > conn->out.mark_ms ? conn->since_ms : conn->out.mark_ms;
        return since + (conn->served ? options->idle_timeout_ms : options->head_timeout_ms);
    }
    if (!conn->dispatched)
        return earlier(whole, next);
    if (owes_body(conn))
        return earlier(whole + conn->body_bytes * 1000 / BODY_RATE_MIN, next);
    return UINT64_MAX;
}

static void on_timer(uv_timer_t *timer);

void lg_conn_arm(struct lg_conn *conn)
{
    uint64_t due = due_ms(conn);
    /* A timer that fires early asks again: cheaper than moving it every time. */
    if (conn->closing || due == UINT64_MAX || (conn->timer_due_ms && conn->timer_due_ms <= due))
        return;
    uint64_t now = lg_worker_now_ms(conn->worker);
    conn->timer_due_ms = due > now ? due : now + 1;
    uv_timer_start(&conn->timer, on_timer, conn->timer_due_ms - now, 0);
}

static void refuse(struct lg_conn *conn, int status);

static void on_timer(uv_timer_t *timer)
{
    struct lg_conn *conn = timer->data;
    conn->timer_due_ms = 0;
    size_t unsent = conn->out.in_flight ? lg_out_unsent(conn) : 0;
    if (unsent < conn->out.mark_bytes && conn->out.in_flight) { /* slow, but it moves */
        conn->out.mark_bytes = unsent;
        conn->out.mark_ms = lg_worker_now_ms(conn->worker);
    }
    if (due_ms(conn) > lg_worker_now_ms(conn->worker)) {
        lg_conn_arm(conn);
        return;
    }
    if (!is_between(conn) && !conn->lingering && conn->out.bytes == 0 && !conn->answered) {
        refuse(conn, 408);
        return;
    }
    if (conn->out.bytes > 0)
        lg_log(LG_LOG_WARN, "server", "%s took nothing for %u ms: closed with %zu bytes unsent",
            lg_conn_peer(conn), (unsigned)conn->worker->options.write_timeout_ms, conn->out.bytes);
    lg_conn_close(conn, conn->out.bytes > 0);
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle)
{
    struct lg_conn *conn = handle->data;
    if (--conn->closing_handles > 0)
        return;
    struct lg_worker *worker = conn->worker;
    lg_out_release(conn);
    lg_buf_free(&conn->pending);
    if (conn->is_http)
        lg_http_parser_free(&conn->parser.http);
    *conn->link = conn->next;
    if (conn->next)
        conn->next->link = conn->link;
    free(conn);
    lg_worker_conn_closed(worker);
}

static void forget_exchange(struct lg_conn *conn)
{
    struct lg_exchange *ex = conn->ex;
    /* A half-read head borrows the exchange's request. */
    if (ex && !conn->dispatched && conn->is_http)
        lg_http_parser_free(&conn->parser.http);
    conn->ex = NULL;
    conn->dispatched = conn->complete = conn->answered = conn->continued = false;
    conn->awaits_body = false;
    conn->body_bytes = conn->held_ms = 0;
    if (ex) {
        lg_exchange_orphan(ex);
        lg_exchange_unref(ex);
    }
}

void lg_conn_close(struct lg_conn *conn, bool reset)
{
    if (conn->closing)
        return;
    conn->closing = true;
    for (struct lg_conn **at = &conn->worker->dirty; conn->dirty && *at; at = &(*at)->next_dirty)
        if (*at == conn) {
            *at = conn->next_dirty;
            break;
        }
    conn->dirty = false;
    forget_exchange(conn);
    if (!conn->out.in_flight)
        lg_out_release(conn);
    conn->closing_handles = 2;
    uv_close((uv_handle_t *)&conn->timer, on_closed);
    if (!reset || conn->is_unix || uv_tcp_close_reset(&conn->io.tcp, on_closed))
        uv_close(&conn->io.handle, on_closed);
}

static void update_reading(struct lg_conn *conn);

static void linger(struct lg_conn *conn)
{
    int unread = 0;
    uv_os_fd_t fd = -1;
    if (uv_fileno(&conn->io.handle, &fd) == 0)
        (void)ioctl(fd, FIONREAD, &unread);
    if (conn->cut) {
        lg_conn_close(conn, true);
        return;
    }
    bool quiet = conn->eof || (unread == 0 && conn->pending.len == 0 && !conn->discarded);
    if (quiet || shutdown(fd, SHUT_WR)) {
        lg_conn_close(conn, false);
        return;
    }
    lg_buf_free(&conn->pending);
    conn->lingering = true;
    conn->since_ms = lg_worker_now_ms(conn->worker);
    update_reading(conn);
    lg_conn_arm(conn);
}

/* Nothing left to write and nothing more to say: close; else wait. */
static void settle(struct lg_conn *conn)
{
    if (conn->closing)
        return;
    if (conn->ends && conn->out.bytes == 0 && !conn->lingering)
        linger(conn);
    else
        lg_conn_arm(conn);
}

void lg_conn_written(struct lg_conn *conn)
{
    bool more = conn->pending.len > 0 || (conn->ex && conn->dispatched && !conn->complete);
    if (!conn->closing && more && conn->out.bytes < LG_CREDIT)
        process_pending(conn);
    settle(conn);
}

void lg_conn_drain(struct lg_conn *conn)
{
    /* Until its first request a connection is a promise: it was accepted. */
    if (conn->closing || conn->lingering || !is_between(conn) || conn->served == 0)
        return;
    if (conn->out.bytes == 0)
        lg_conn_close(conn, false);
    else if (conn->pending.len == 0)
        conn->ends = true; /* once its last answer is out */
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct lg_conn *conn = handle->data;
    (void)suggested;
    *buf = uv_buf_init(conn->worker->read_buffer, (unsigned)LG_READ_BUFFER);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);

static void update_reading(struct lg_conn *conn)
{
    if (conn->closing)
        return;
    bool full =
        conn->pending.len >= PENDING_MAX || (conn->ex && conn->dispatched && !conn->complete &&
                                                !conn->answered && lg_exchange_body_full(conn->ex));
    bool want = !conn->eof && (conn->lingering || !full);
    if (want == conn->reading)
        return;
    conn->reading = want;
    uint64_t now = lg_worker_now_ms(conn->worker);
    if (want) {
        conn->read_ms = now;
        if (conn->held_ms) /* our doing: it does not count against the client's rate */
            conn->since_ms += now - conn->held_ms;
        conn->held_ms = 0;
        uv_read_start(&conn->io.stream, on_alloc, on_read);
    } else {
        conn->held_ms = conn->dispatched ? now : 0;
        uv_read_stop(&conn->io.stream);
    }
}

/* The client sends no more: what it has asked for wholly is still answered. */
static void check_eof(struct lg_conn *conn)
{
    if (!conn->eof || conn->closing || (conn->ex && conn->dispatched && conn->complete))
        return;
    if (conn->pending.len > 0 && !conn->ends && !conn->lingering)
        return; /* whole requests, held back until there is room for their answers */
    if (conn->lingering || conn->out.bytes == 0) {
        lg_conn_close(conn, false);
        return;
    }
    conn->ends = true;
    forget_exchange(conn);
}

static bool begin_request(struct lg_conn *conn)
{
    struct lg_exchange *ex = lg_exchange_new(conn->worker);
    if (!ex)
        return false;
    ex->conn = conn;
    conn->ex = ex;
    conn->since_ms = lg_worker_now_ms(conn->worker);
    if (conn->is_http)
        lg_http_parser_begin(&conn->parser.http, &ex->request);
    else
        lg_uwsgi_parser_begin(&conn->parser.uwsgi, &ex->request);
    return true;
}

static void feed(
    struct lg_conn *conn, const char *data, size_t len, size_t *ret_consumed, struct lg_feed *fed)
{
    if (conn->is_http)
        lg_http_parser_feed(&conn->parser.http, data, len, ret_consumed, fed);
    else
        lg_uwsgi_parser_feed(&conn->parser.uwsgi, data, len, ret_consumed, fed);
}

/* What the bytes cannot say: CGI's view of the connection. */
static int add_connection_vars(struct lg_conn *conn, struct lg_request *request)
{
    struct lg_arena *arena = &request->arena;
    const struct lg_worker *worker = conn->worker;
    char port[LG_DIGITS_MAX];
    size_t port_len = lg_digits(port, conn->peer_port);
    struct lg_var vars[] = {
        {LG_SLICE("SERVER_NAME"), lg_slice_of(worker->server_name)},
        {LG_SLICE("SERVER_PORT"), lg_slice_of(conn->accepting->port)},
        {LG_SLICE("REMOTE_ADDR"), lg_arena_slice(arena, lg_slice_of(conn->peer))},
        {LG_SLICE("REMOTE_PORT"), lg_arena_slice(arena, lg_slice_from(port, port_len))},
    };
    size_t count = conn->is_unix ? 2 : sizeof vars / sizeof *vars;
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err =
            vars[i].value.ptr ? lg_request_add(request, vars[i].name, vars[i].value) : -LG_E_NOMEM;
    for (size_t i = 0;
         conn->accepting->listener->is_router && !err && i < worker->options.router_var_count; i++)
        err = lg_request_set(
            request, worker->options.router_vars[i].name, worker->options.router_vars[i].value);
    return err;
}

static void on_head(struct lg_conn *conn)
{
    struct lg_exchange *ex = conn->ex;
    const struct lg_listener *listener = conn->accepting->listener;
    uint64_t body_max = conn->worker->options.body_max;
    conn->dispatched = true;
    conn->served++;
    conn->since_ms = lg_worker_now_ms(conn->worker);
    if (conn->is_http) {
        ex->request.modifier1 = listener->modifier1;
        ex->request.modifier2 = listener->modifier2;
        if (add_connection_vars(conn, &ex->request)) {
            refuse(conn, 500);
            return;
        }
    }
    if (body_max && ex->request.body_length > 0 && (uint64_t)ex->request.body_length > body_max) {
        refuse(conn, 413);
        return;
    }
    if (ex->request.body_length == 0) { /* the END is due at once: have it first */
        struct lg_feed fed;
        size_t consumed;
        feed(conn, NULL, 0, &consumed, &fed);
        conn->complete = fed.kind == LG_FEED_END;
        lg_exchange_no_body(ex);
    }
    /* A body is waited for, up to a window of it, so that a slow one costs no
     * thread; but not with a client that waits for our word. */
    conn->awaits_body = !conn->complete && !ex->request.expect_continue;
    if (!conn->awaits_body)
        lg_exchange_dispatch(ex);
}

static void dispatch_with_body(struct lg_conn *conn)
{
    if (!conn->awaits_body)
        return;
    conn->awaits_body = false;
    lg_exchange_dispatch(conn->ex);
}

static void on_body(struct lg_conn *conn, struct lg_slice body)
{
    uint64_t body_max = conn->worker->options.body_max;
    conn->body_bytes += body.len;
    if (conn->answered) {
        if (conn->body_bytes > (uint64_t)DRAIN_MAX)
            conn->ends = true;
        return;
    }
    if (body_max && conn->body_bytes > body_max)
        refuse(conn, 413);
    else if (!lg_exchange_body(conn->ex, body.ptr, body.len))
        lg_conn_close(conn, true);
    else if (lg_exchange_body_full(conn->ex))
        dispatch_with_body(conn);
}

static void next_request(struct lg_conn *conn)
{
    forget_exchange(conn);
    conn->since_ms = lg_worker_now_ms(conn->worker);
    if (conn->worker->draining)
        conn->ends = true;
}

static void on_end(struct lg_conn *conn)
{
    conn->complete = true;
    if (conn->answered) {
        next_request(conn);
        return;
    }
    (void)lg_exchange_body(conn->ex, NULL, 0);
    dispatch_with_body(conn);
}

/* Parses as far as it may; returns how much of `data` is done with. */
static size_t process(struct lg_conn *conn, const char *data, size_t len)
{
    size_t done = 0;
    conn->processing = true;
    while (!conn->closing && !conn->ends && conn->out.bytes < LG_CREDIT) {
        struct lg_feed fed;
        size_t consumed = 0;
        if (conn->ex && conn->complete)
            break; /* its answer first */
        if (conn->ex && conn->dispatched && !conn->answered && lg_exchange_body_full(conn->ex))
            break;
        if (!conn->ex && done == len)
            break;
        if (!conn->ex && !begin_request(conn)) {
            lg_conn_close(conn, true);
            break;
        }
        feed(conn, data + done, len - done, &consumed, &fed);
        done += consumed;
        if (fed.kind == LG_FEED_MORE)
            break;
        if (fed.kind == LG_FEED_HEAD)
            on_head(conn);
        else if (fed.kind == LG_FEED_BODY)
            on_body(conn, fed.body);
        else if (fed.kind == LG_FEED_END)
            on_end(conn);
        else
            refuse(conn, fed.status);
    }
    conn->processing = false;
    return done;
}

static void process_pending(struct lg_conn *conn)
{
    if (conn->processing || conn->lingering)
        return;
    const char *data = conn->pending.ptr ? conn->pending.ptr : "";
    size_t done = process(conn, data, conn->pending.len);
    lg_buf_consume(&conn->pending, done);
    if (conn->pending.len == 0 && !conn->ex)
        lg_buf_free(&conn->pending);
    check_eof(conn);
    update_reading(conn);
}

static void on_input(struct lg_conn *conn, const char *data, size_t len)
{
    if (conn->pending.len == 0) {
        size_t done = process(conn, data, len);
        data += done;
        len -= done;
    }
    if (conn->closing || conn->lingering || len == 0)
        return;
    if (conn->ends) {
        conn->discarded += len;
        return;
    }
    if (lg_buf_append(&conn->pending, data, len)) {
        lg_conn_close(conn, true);
        return;
    }
    process_pending(conn);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct lg_conn *conn = stream->data;
    if (got == 0 || conn->closing)
        return;
    if (got == UV_EOF) {
        conn->eof = true;
        check_eof(conn);
    } else if (got < 0) {
        lg_conn_close(conn, false);
    } else {
        conn->read_ms = lg_worker_now_ms(conn->worker);
        if (conn->lingering) {
            conn->discarded += (size_t)got;
            if (conn->discarded > LINGER_MAX)
                lg_conn_close(conn, false);
        } else {
            on_input(conn, buf->base, (size_t)got);
        }
    }
    if (!conn->closing) {
        update_reading(conn);
        settle(conn);
    }
}

void lg_conn_want_body(struct lg_conn *conn)
{
    bool expected = conn->is_http && conn->ex->request.expect_continue && !conn->continued;
    if (!conn->continued)
        conn->since_ms = conn->read_ms = lg_worker_now_ms(conn->worker);
    if (expected && !conn->complete && conn->body_bytes == 0 && !conn->ex->answering)
        lg_conn_send(conn, LG_HTTP_CONTINUE.ptr, LG_HTTP_CONTINUE.len, NULL, NULL);
    conn->continued = true;
    process_pending(conn); /* even without bytes: the END may be all that is due */
    update_reading(conn);
    lg_conn_arm(conn);
}

/* ---- answers ---- */

void lg_conn_answered(struct lg_conn *conn, bool keep)
{
    if (!keep) {
        conn->ends = true;
        conn->discarded += conn->complete ? 0 : 1; /* more may come: linger for it */
        forget_exchange(conn);
    } else if (conn->complete) {
        next_request(conn);
    } else {
        conn->answered = true;
    }
    lg_out_mark(conn); /* its last bytes may be out already: settle it all the same */
    if (!conn->processing)
        process_pending(conn);
}

/* Before dispatch the request is ours and refused as it is; afterwards its
 * handler may have it, and another exchange says so in its place. */
static void refuse(struct lg_conn *conn, int status)
{
    if (conn->dispatched && !conn->answered) {
        lg_conn_replace(conn, status);
        return;
    }
    if (conn->answered) {
        conn->ends = true;
        forget_exchange(conn);
        settle(conn);
        return;
    }
    conn->dispatched = true;
    conn->ex->request.keep_alive = false;
    conn->ex->request.http_minor = 1;
    lg_answer_error(&conn->ex->request, status, 0);
    lg_exchange_answer(conn->ex);
}

void lg_conn_replace(struct lg_conn *conn, int status)
{
    struct lg_exchange *old = conn->ex;
    struct lg_exchange *ex = old->answering ? NULL : lg_exchange_new(conn->worker);
    if (!ex) { /* half an answer is out: only cutting it is honest */
        lg_conn_close(conn, true);
        return;
    }
    ex->request.method = old->request.method;
    ex->request.http_minor = old->request.http_minor;
    ex->method = old->method;
    ex->uri = old->uri;
    ex->begun_us = old->begun_us;
    ex->conn = conn;
    conn->ex = ex;
    lg_exchange_orphan(old);
    lg_answer_error(&ex->request, status, status == 503 || status == 504 ? 1 : 0);
    lg_exchange_answer(ex);
    lg_exchange_unref(old);
}

void lg_conn_abort(struct lg_conn *conn)
{
    /* What is queued still goes out. Without a length the end of the connection
     * is the end of the body: only a reset says that it is not. */
    conn->cut = conn->ex && conn->ex->length < 0 && !conn->ex->chunked;
    conn->ends = true;
    forget_exchange(conn);
    lg_out_mark(conn);
}

/* ---- opening ---- */

static void name_peer(struct lg_conn *conn, const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)peer;
        inet_ntop(AF_INET, &in->sin_addr, conn->peer, sizeof conn->peer);
        conn->peer_port = ntohs(in->sin_port);
    } else if (peer->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)peer;
        inet_ntop(AF_INET6, &in6->sin6_addr, conn->peer, sizeof conn->peer);
        conn->peer_port = ntohs(in6->sin6_port);
    } else {
        conn->is_unix = true;
    }
}

static int open_stream(struct lg_conn *conn, int fd)
{
    if (conn->is_unix) {
        uv_pipe_init(&conn->worker->loop, &conn->io.pipe, 0);
        return uv_pipe_open(&conn->io.pipe, fd);
    }
    uv_tcp_init(&conn->worker->loop, &conn->io.tcp);
    int err = uv_tcp_open(&conn->io.tcp, fd);
    if (!err) {
        const int unsent = UNSENT_MAX;
        uv_tcp_nodelay(&conn->io.tcp, 1);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    }
    return err;
}

void lg_conn_accept(
    struct lg_worker *worker, const struct lg_accepting *from, int fd, const struct sockaddr *peer)
{
    struct lg_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        close(fd);
        return;
    }
    conn->worker = worker;
    conn->accepting = from;
    conn->is_http = from->listener->protocol == LG_PROTO_HTTP;
    name_peer(conn, peer);
    conn->since_ms = conn->read_ms = lg_worker_now_ms(worker);
    if (conn->is_http)
        lg_http_parser_init(&conn->parser.http, NULL);
    else
        lg_uwsgi_parser_init(&conn->parser.uwsgi, worker->options.uwsgi_max);

    conn->next = worker->conns;
    conn->link = &worker->conns;
    if (conn->next)
        conn->next->link = &conn->next;
    worker->conns = conn;
    worker->conn_count++;

    int err = open_stream(conn, fd);
    conn->io.handle.data = conn;
    uv_timer_init(&worker->loop, &conn->timer);
    conn->timer.data = conn;
    if (err) {
        close(fd);
        lg_conn_close(conn, false);
        return;
    }
    update_reading(conn);
    lg_conn_arm(conn);
}
