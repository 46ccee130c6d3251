/* A connection's output: a ring of chunks, written with writev before the loop
 * sleeps, so that the answers to a pipeline leave together.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/conn_state.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define IOV_MAX_OUT 64
/* Rounds of write and refill per flush, before other connections have a turn. */
#define FLUSH_ROUNDS 8

static struct lg_chunk *chunk_at(struct lg_out *out, size_t i)
{
    return &out->chunks[(out->first + i) & (out->cap - 1)];
}

static bool grow(struct lg_out *out)
{
    size_t cap = out->cap ? out->cap * 2 : 8;
    struct lg_chunk *chunks = malloc(cap * sizeof *chunks);
    if (!chunks)
        return false;
    for (size_t i = 0; i < out->count; i++)
        chunks[i] = *chunk_at(out, i);
    free(out->chunks);
    out->chunks = chunks;
    out->first = 0;
    out->cap = cap;
    return true;
}

void lg_out_mark(struct lg_conn *conn)
{
    if (conn->dirty || conn->closing)
        return;
    conn->dirty = true;
    conn->next_dirty = conn->worker->dirty;
    conn->worker->dirty = conn;
}

void lg_conn_send(
    struct lg_conn *conn, const void *ptr, size_t len, void (*release)(void *arg), void *arg)
{
    struct lg_out *out = &conn->out;
    bool room = !conn->closing && (out->count < out->cap || grow(out));
    if (!room || len == 0) {
        if (release)
            release(arg);
        if (!room && !conn->closing) { /* out of memory: a hole must not pass for the answer */
            conn->broken = true;
            lg_out_mark(conn);
        }
        return;
    }
    if (out->bytes == 0)
        out->mark_ms = lg_worker_now_ms(conn->worker);
    *chunk_at(out, out->count) = (struct lg_chunk){ptr, len, release, arg};
    out->count++;
    out->bytes += len;
    lg_out_mark(conn);
}

size_t lg_conn_queued(const struct lg_conn *conn)
{
    return conn->out.bytes;
}

static struct lg_chunk pop(struct lg_out *out)
{
    struct lg_chunk chunk = *chunk_at(out, 0);
    out->first = (out->first + 1) & (out->cap - 1);
    out->count--;
    out->offset = 0;
    return chunk;
}

/* `written` bytes are out, of at most IOV_MAX_OUT chunks. Their releases come
 * last: a source may answer one by ending, and that may close the connection. */
static void advance(struct lg_conn *conn, size_t written)
{
    struct lg_out *out = &conn->out;
    struct lg_chunk done[IOV_MAX_OUT];
    size_t count = 0;
    out->bytes -= written;
    out->mark_ms = lg_worker_now_ms(conn->worker);
    atomic_fetch_add_explicit(&conn->worker->setup->slot->tx_bytes, written, memory_order_relaxed);
    while (written > 0) {
        size_t left = chunk_at(out, 0)->len - out->offset;
        if (written < left) {
            out->offset += written;
            break;
        }
        written -= left;
        done[count++] = pop(out);
    }
    for (size_t i = 0; i < count; i++)
        if (done[i].release)
            done[i].release(done[i].arg);
}

void lg_out_release(struct lg_conn *conn)
{
    struct lg_out *out = &conn->out;
    while (out->count > 0) {
        struct lg_chunk chunk = pop(out);
        if (chunk.release)
            chunk.release(chunk.arg);
    }
    free(out->chunks);
    *out = (struct lg_out){0};
}

static unsigned gather(struct lg_out *out, uv_buf_t *bufs, size_t *ret_bytes)
{
    unsigned n = 0;
    size_t total = 0;
    for (; n < IOV_MAX_OUT && n < out->count; n++) {
        struct lg_chunk *chunk = chunk_at(out, n);
        size_t skip = n == 0 ? out->offset : 0;
        /* libuv does not write through it, but says so nowhere in its type. */
        bufs[n].base = (char *)(uintptr_t)(chunk->ptr + skip);
        bufs[n].len = chunk->len - skip;
        total += bufs[n].len;
    }
    *ret_bytes = total;
    return n;
}

static void on_written(uv_write_t *request, int status)
{
    struct lg_conn *conn = request->data;
    size_t bytes = conn->out.in_flight;
    conn->out.in_flight = 0;
    if (conn->closing) {
        lg_out_release(conn);
        return;
    }
    if (status < 0) {
        lg_conn_close(conn, false);
        return;
    }
    advance(conn, bytes);
    if (conn->closing)
        return;
    lg_out_mark(conn);
    if (conn->ex)
        lg_exchange_drained(conn->ex);
    lg_conn_written(conn);
}

size_t lg_out_unsent(const struct lg_conn *conn)
{
    int kernel = 0;
    uv_os_fd_t fd = -1;
    if (uv_fileno(&conn->io.handle, &fd) == 0)
        (void)ioctl(fd, SIOCOUTQ, &kernel);
    return uv_stream_get_write_queue_size(&conn->io.stream) + (size_t)kernel;
}

/* What the kernel does not take now is left to libuv. */
static bool start_write(struct lg_conn *conn, uv_buf_t *bufs, unsigned n, size_t bytes)
{
    conn->write.data = conn;
    conn->out.in_flight = bytes;
    if (uv_write(&conn->write, &conn->io.stream, bufs, n, on_written) == 0) {
        conn->out.mark_bytes = lg_out_unsent(conn);
        return true;
    }
    conn->out.in_flight = 0;
    return false;
}

static void flush(struct lg_conn *conn)
{
    struct lg_out *out = &conn->out;
    conn->dirty = false;
    if (conn->broken) {
        lg_conn_close(conn, true);
        return;
    }
    for (int round = 0; out->bytes > 0 && !out->in_flight && !conn->closing; round++) {
        uv_buf_t bufs[IOV_MAX_OUT];
        size_t bytes;
        unsigned n = gather(out, bufs, &bytes);
        int written = round < FLUSH_ROUNDS ? uv_try_write(&conn->io.stream, bufs, n) : UV_EAGAIN;
        if (written == UV_EAGAIN) {
            if (!start_write(conn, bufs, n, bytes))
                lg_conn_close(conn, false);
            break;
        }
        if (written < 0) {
            lg_conn_close(conn, false);
            return;
        }
        advance(conn, (size_t)written);
        if (conn->ex)
            lg_exchange_drained(conn->ex);
    }
    if (conn->closing)
        return;
    if (out->count == 0 && out->cap > 8) {
        free(out->chunks);
        *out = (struct lg_out){.mark_ms = out->mark_ms};
    }
    lg_conn_written(conn);
}

void lg_conn_flush_all(struct lg_worker *worker)
{
    while (worker->dirty) {
        struct lg_conn *conn = worker->dirty;
        worker->dirty = conn->next_dirty;
        flush(conn);
    }
}
