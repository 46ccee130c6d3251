/* The body of a large file: segments -> reads in flight -> a source.
 *
 * Everything here but submit_read, read_done and close_body runs on the loop.
 * A block is one read, or a piece of text between parts. Blocks stand in a row
 * in the order of the answer; the first few are in flight or ready, and are
 * delivered from the front as the client takes them.
 *
 * Memory: a block in flight belongs to gfapi as well, whose callback may come
 * after the request is gone. So the callback only posts the block to the loop;
 * until that has run the block holds the body and the request. The body is freed
 * and its file closed (on the closing thread: glfs_close may block) when the
 * last block is back and the source is freed. Reads may end in any order, on
 * gfapi's threads or inside the very call that submits them: no lock is held
 * there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)256 << 10) /* of one read */
#define BLOCKS_MAX 3                   /* in flight, ready or being sent, per body */
#define STALL_FACTOR                                                                               \
    15 /* a read may take this many glusterfs-timeouts: by default a                               \
          minute, longer than gfapi's ping-timeout of 42 s, after                                  \
          which another brick answers */
#define WATCH_MS      250
#define MTIME_SLACK_S 1 /* bricks without features.ctime differ by less */

struct block {
    struct gl_job job; /* first: submitting it is a job */
    struct gl_body *body;
    struct block *next; /* in the row */
    const char *text;   /* not from the file; lives as long as the request */
    char *data;         /* NULL for text */
    off_t offset;
    size_t size;      /* bytes this block stands for */
    size_t got;       /* bytes of them that are here */
    size_t sent;      /* bytes of them that were delivered */
    unsigned lent;    /* deliveries not released yet */
    int64_t since_ms; /* when it was submitted */
    bool in_flight;
    bool in_row;
    /* What the callback found; read on the loop. */
    ssize_t result;
    int error;
    bool changed;
};

struct gl_body {
    struct gl_job job; /* first: closing it is a job */
    struct gl_mount *mount;
    struct lg_request *request;
    glfs_fd_t *fd;
    int64_t mtime_s;
    off_t size;
    const struct lg_segment *segments;
    size_t segment_count;
    size_t segment; /* the next block begins in this one, */
    int64_t pos;    /* so far into it */
    struct block *row;
    struct block **row_tail;
    size_t blocks; /* that exist */
    size_t credit;
    unsigned refs; /* the source's and each block's */
    bool delivering;
    bool over;            /* ended, failed, cancelled or freed: deliver nothing more */
    struct gl_body *next; /* in mount->bodies */
    struct gl_body **link;
};

/* ---- life and death ---- */

/* The mount's closing thread. */
static void close_body(struct gl_job *job)
{
    struct gl_body *body = (struct gl_body *)job;
    if (body->fd)
        glfs_close(body->fd);
    free(body);
}

void gl_fd_close(struct gl_mount *mount, glfs_fd_t *fd)
{
    struct gl_body *body = calloc(1, sizeof *body);
    if (!body) {
        glfs_close(fd); /* may block; better than to leak */
        return;
    }
    body->job.run = close_body;
    body->fd = fd;
    gl_queue_add(&mount->closer, &body->job);
}

static void unref_body(struct gl_body *body)
{
    if (--body->refs > 0)
        return;
    body->job.run = close_body;
    gl_queue_add(&body->mount->closer, &body->job);
}

/* Frees a block nobody needs any more. */
static void settle(struct block *block)
{
    struct gl_body *body = block->body;
    if (block->in_flight || block->in_row || block->lent > 0)
        return;
    free(block->data);
    free(block);
    body->blocks--;
    unref_body(body);
}

static void leave_row(struct gl_body *body)
{
    struct block *block = body->row;
    body->row = block->next;
    if (!body->row)
        body->row_tail = &body->row;
    block->in_row = false;
    settle(block);
}

static void fail(struct gl_body *body, const char *what, int error)
{
    if (body->over)
        return;
    body->over = true;
    const char *why = lg_request_printf(body->request, "volume \"%s\": %s%s%s",
        body->mount->options->volume, what, error ? ": " : "", error ? strerror(error) : "");
    lg_source_fail(body->request, why ? why : what);
}

/* ---- reading ---- */

static void take_read(struct lg_request *request, void *arg);

/* gfapi's thread, or the one that submits. The block is the loop's from the
 * post on. */
static void read_done(
    glfs_fd_t *fd, ssize_t result, struct glfs_stat *prestat, struct glfs_stat *poststat, void *arg)
{
    struct block *block = arg;
    struct gl_body *body = block->body;
    (void)fd;
    (void)prestat;
    block->error = result < 0 ? (errno ? errno : EIO) : 0;
    block->result = result;
    if (result >= 0 && poststat && GLFS_STAT_MTIME_VALID(poststat->glfs_st_mask)) {
        int64_t moved_s = (int64_t)poststat->glfs_st_mtime.tv_sec - body->mtime_s;
        block->changed = moved_s > MTIME_SLACK_S || moved_s < -MTIME_SLACK_S;
    }
    if (lg_post(body->request, take_read, block))
        lg_log(LG_LOG_ERROR, GL_ROOM, "out of memory: a read is lost");
}

/* The mount's reading thread. */
static void submit_read(struct gl_job *job)
{
    struct block *block = (struct block *)job;
    errno = 0;
    if (glfs_pread_async(block->body->fd, block->data + block->got, block->size - block->got,
            block->offset + (off_t)block->got, 0, read_done, block))
        read_done(NULL, -1, NULL, NULL, block);
}

static void send_read(struct block *block)
{
    block->in_flight = true;
    block->since_ms = gl_now_ms();
    lg_request_ref(block->body->request);
    block->job.run = submit_read;
    gl_queue_add(&block->body->mount->reader, &block->job);
}

/* To the segment the next block begins in. */
static void next_segment(struct gl_body *body)
{
    while (
        body->segment < body->segment_count && body->pos == body->segments[body->segment].length) {
        body->segment++;
        body->pos = 0;
    }
}

static struct block *new_block(struct gl_body *body)
{
    const struct lg_segment *segment = &body->segments[body->segment];
    int64_t left = segment->length - body->pos;
    struct block *block = calloc(1, sizeof *block);
    if (!block)
        return NULL;
    block->body = body;
    block->size = segment->text || left < (int64_t)BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
    block->offset = segment->offset + body->pos;
    block->text = segment->text;
    if (block->text) {
        block->got = block->size;
    } else {
        block->data = malloc(block->size);
        if (!block->data) {
            free(block);
            return NULL;
        }
    }
    body->pos += (int64_t)block->size;
    body->blocks++;
    body->refs++;
    block->in_row = true;
    *body->row_tail = block;
    body->row_tail = &block->next;
    next_segment(body);
    return block;
}

/* Keeps BLOCKS_MAX blocks under way. */
static void read_ahead(struct gl_body *body)
{
    while (!body->over && body->blocks < BLOCKS_MAX && body->segment < body->segment_count) {
        struct block *block = new_block(body);
        if (!block) {
            if (!body->row)
                fail(body, "out of memory", 0);
            return;
        }
        if (!block->text)
            send_read(block);
    }
}

/* ---- delivering ---- */

static void release_block(void *arg);

static void deliver_front(struct gl_body *body)
{
    struct block *block = body->row;
    size_t len = block->got - block->sent;
    if (len > body->credit)
        len = body->credit;
    const char *from = (block->text ? block->text : block->data) + block->sent;
    body->credit -= len;
    block->sent += len;
    block->lent++;
    lg_source_data(body->request, from, len, release_block, block);
}

static bool front_is_ready(const struct gl_body *body)
{
    const struct block *block = body->row;
    return block && !block->in_flight && block->got == block->size;
}

/* Whatever it calls may call back, pull, cancel or free. */
static void deliver(struct gl_body *body)
{
    if (body->delivering)
        return;
    body->delivering = true;
    body->refs++;
    while (!body->over && body->credit > 0 && front_is_ready(body)) {
        deliver_front(body);
        if (!body->over && body->row->sent == body->row->size)
            leave_row(body);
        if (!body->over)
            read_ahead(body);
    }
    if (!body->over && !body->row && body->segment == body->segment_count) {
        body->over = true;
        lg_source_end(body->request);
    }
    body->delivering = false;
    unref_body(body);
}

/* The client has taken it: there is room for another. */
static void release_block(void *arg)
{
    struct block *block = arg;
    struct gl_body *body = block->body;
    body->refs++;
    block->lent--;
    settle(block);
    read_ahead(body);
    deliver(body);
    unref_body(body);
}

/* A read has come back: more of it, or its end. */
static void judge_read(struct gl_body *body, struct block *block)
{
    if (block->result < 0) {
        gl_mount_note(body->mount, block->error);
        fail(body, "read", block->error);
    } else if (block->result == 0) {
        fail(body, "the file became shorter while it was sent", 0);
    } else if (block->changed) {
        fail(body, "the file changed while it was sent", 0);
    } else {
        block->got += (size_t)block->result;
        if (block->got < block->size)
            send_read(block);
        else
            deliver(body);
    }
}

/* Loop, by lg_post. */
static void take_read(struct lg_request *request, void *arg)
{
    struct block *block = arg;
    struct gl_body *body = block->body;
    body->refs++;
    block->in_flight = false;
    block->lent++; /* to us: failing frees the row */
    if (!body->over)
        judge_read(body, block);
    block->lent--;
    settle(block);
    unref_body(body);
    lg_request_unref(request);
}

/* ---- reads that do not come back ---- */

static bool is_stalled(const struct gl_body *body, int64_t now_ms)
{
    const struct block *block = body->row;
    int64_t limit_ms = (int64_t)body->mount->site->timeout_ms * STALL_FACTOR;
    return !body->over && block && block->in_flight && limit_ms > 0 &&
           now_ms - block->since_ms > limit_ms;
}

static void watch(void *arg)
{
    struct gl_mount *mount = arg;
    int64_t now_ms = gl_now_ms();
    struct gl_body *body = mount->bodies;
    while (body) {
        if (is_stalled(body, now_ms)) {
            fail(body, "a read does not come back", ETIMEDOUT);
            body = mount->bodies; /* the list may have changed; this one is over */
        } else {
            body = body->next;
        }
    }
    mount->watching = mount->bodies && lg_worker_later(mount->worker, WATCH_MS, watch, mount) == 0;
}

static void join_watch(struct gl_body *body)
{
    struct gl_mount *mount = body->mount;
    body->next = mount->bodies;
    if (body->next)
        body->next->link = &body->next;
    body->link = &mount->bodies;
    mount->bodies = body;
    if (!mount->watching)
        mount->watching = lg_worker_later(mount->worker, WATCH_MS, watch, mount) == 0;
}

static void leave_watch(struct gl_body *body)
{
    if (!body->link)
        return;
    *body->link = body->next;
    if (body->next)
        body->next->link = body->link;
    body->link = NULL;
}

/* ---- the source ---- */

static void pull(struct lg_request *request, void *context, size_t credit)
{
    struct gl_body *body = context;
    (void)request;
    if (!body->link)
        join_watch(body);
    body->credit = credit;
    read_ahead(body);
    deliver(body);
}

static void cancel(struct lg_request *request, void *context)
{
    struct gl_body *body = context;
    (void)request;
    body->over = true;
}

static void free_source(void *context)
{
    struct gl_body *body = context;
    body->over = true;
    leave_watch(body);
    while (body->row)
        leave_row(body);
    unref_body(body);
}

void gl_body_answer(struct lg_request *request, struct gl_mount *mount, glfs_fd_t *fd,
    const struct stat *stat, const struct lg_plan *plan)
{
    static const struct lg_source source = {pull, cancel, free_source};
    struct gl_body *body = calloc(1, sizeof *body);
    if (!body) {
        gl_fd_close(mount, fd);
        lg_answer_error(request, 500, 0);
        return;
    }
    body->mount = mount;
    body->request = request;
    body->fd = fd;
    body->mtime_s = stat->st_mtim.tv_sec;
    body->size = stat->st_size;
    body->segments = plan->segments;
    body->segment_count = plan->segment_count;
    body->row_tail = &body->row;
    body->refs = 1;
    next_segment(body);
    lg_answer_source(request, &source, body, plan->length);
}
