/* A connection's output: a ring of chunks, written with writev before the loop
 * sleeps, so that the answers to a pipeline leave together.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/conn_state.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOV_MAX_OUT 64
/* Less than this is copied as fast as sent from a file. */
#define MAPPED_MIN ((size_t)16384)
/* What is copied of a file when the socket is full, to learn when it is not. */
#define MAPPED_NUDGE ((size_t)65536)
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
    *chunk_at(out, out->count) = (struct lg_chunk){ptr, len, release, arg, 0, 0};
    out->count++;
    out->bytes += len;
    lg_out_mark(conn);
}

void lg_conn_send_mapped(struct lg_conn *conn, const void *ptr, int file, int64_t offset)
{
    struct lg_out *out = &conn->out;
    struct lg_chunk *last = out->count ? chunk_at(out, out->count - 1) : NULL;
    if (!last || last->ptr != ptr || conn->is_unix || last->len < MAPPED_MIN)
        return;
    last->file = file;
    last->file_offset = offset;
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
    lg_shm_count(&conn->worker->setup->slot->tx_bytes, written);
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

/* Up to the next chunk that is in a file; at least one. *ret_more says that such
 * a chunk follows at once. */
static unsigned gather(struct lg_out *out, uv_buf_t *bufs, size_t *ret_bytes, bool *ret_more)
{
    unsigned n = 0;
    size_t total = 0;
    *ret_more = false;
    for (; n < IOV_MAX_OUT && n < out->count && !*ret_more; n++) {
        struct lg_chunk *chunk = chunk_at(out, n);
        size_t skip = n == 0 ? out->offset : 0;
        /* libuv does not write through it, but says so nowhere in its type. */
        bufs[n].base = (char *)(uintptr_t)(chunk->ptr + skip);
        bufs[n].len = chunk->len - skip;
        if (chunk->file && bufs[n].len > MAPPED_NUDGE)
            bufs[n].len = MAPPED_NUDGE;
        total += bufs[n].len;
        *ret_more = n + 1 < out->count && chunk_at(out, n + 1)->file;
        if (chunk->file) {
            n++;
            break;
        }
    }
    *ret_bytes = total;
    return n;
}

/* Writes what the kernel takes now: bytes, or a negative libuv error. */
static ssize_t write_now(struct lg_conn *conn, const uv_buf_t *bufs, unsigned n, bool more)
{
    struct lg_out *out = &conn->out;
    const struct lg_chunk *first = chunk_at(out, 0);
    uv_os_fd_t fd = -1;
    ssize_t written;
    if (uv_fileno(&conn->io.handle, &fd))
        return UV_EAGAIN;
    if (first->file) {
        off_t offset = first->file_offset + (off_t)out->offset;
        written = sendfile(fd, first->file - 1, &offset, first->len - out->offset);
    } else { /* a file's bytes are to follow in the same packet */
        struct iovec vec[IOV_MAX_OUT];
        for (unsigned i = 0; i < n; i++)
            vec[i] = (struct iovec){bufs[i].base, bufs[i].len};
        const struct msghdr message = {.msg_iov = vec, .msg_iovlen = n};
        int flags = (more ? MSG_MORE : 0) | MSG_DONTWAIT | MSG_NOSIGNAL;
        /* Not sendmsg(): its being a cancellation point costs two locked operations
         * in a process with threads, 3 % of a small answer, and nobody cancels. */
        written = syscall(SYS_sendmsg, fd, &message, flags);
    }
    if (written > 0)
        return written;
    /* Whatever else it is, libuv will find out. */
    return UV_EAGAIN;
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
        bool more;
        unsigned n = gather(out, bufs, &bytes, &more);
        ssize_t written = round < FLUSH_ROUNDS ? write_now(conn, bufs, n, more) : UV_EAGAIN;
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
