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

#define BLOCK_MIN GL_MEMORY_LEAST /* of one read: what is left when memory is short */
/* gfapi keeps buffers for eight reads of this size. Larger ones are mapped anew, and
 * their pages cleared, for every read. */
#define BLOCK_MAX  ((size_t)256 << 10)
#define FIRST_MAX  ((size_t)256 << 10) /* ahead of a client nobody knows yet */
#define WINDOW_DIV 4                   /* reads in flight of a fast client */
#define FAST_MS    100                 /* a block taken this soon asks for more ahead */
#define SLOW_MS    1000                /* and one this late for less */
#define STALL_FACTOR                                                                               \
    15 /* a read may take this many glusterfs-timeouts: by default a                               \
          minute, longer than gfapi's ping-timeout of 42 s, after                                  \
          which another brick answers */
#define WATCH_MS      250
#define MTIME_SLACK_S 1 /* bricks without features.ctime differ by less */

static const char CHANGED[] = "the file changed while it was sent";

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
    int64_t since_ms; /* when it was submitted; then, when it was first delivered */
    bool in_flight;
    bool in_row;
    /* What the callback found; read on the loop. */
    ssize_t result;
    int error;
    bool stated; /* the two below are known */
    struct timespec mtime;
    off_t file_size;
};

struct gl_body {
    struct gl_job job; /* first: closing it is a job */
    struct gl_mount *mount;
    struct lg_request *request;
    glfs_fd_t *fd;
    struct gl_thirst thirst; /* waiting for memory */
    struct timespec head_mtime;
    struct timespec read_mtime; /* as the first read saw it, */
    bool stated;                /* if one did */
    off_t size;
    const struct lg_segment *segments;
    size_t segment_count;
    size_t segment; /* the next block begins in this one, */
    int64_t pos;    /* so far into it */
    struct block *row;
    struct block **row_tail;
    size_t ahead;  /* bytes of blocks that exist */
    size_t window; /* how many may */
    size_t credit;
    char *spare;   /* BLOCK_MAX bytes, taken, for the next block; NULL = none */
    unsigned refs; /* the source's and each block's */
    bool delivering;
    bool over; /* ended, failed, cancelled or freed: deliver nothing more */
    /* Reads that do not tell the file's times (io-cache): asked for before the end. */
    bool blind;
    enum { UNASKED, ASKED, CONFIRMED } asked;
    int64_t asked_ms; /* when first; 0 = not yet */
    int asked_error;
    struct stat now;
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

static struct gl_site *site_of(const struct gl_body *body)
{
    return (struct gl_site *)(uintptr_t)body->mount->site;
}

/* What a fast client's block was in is kept for its next one: large pieces of memory
 * go back to the kernel, and come cleared. */
static void give_room(struct gl_body *body, struct block *block)
{
    if (!body->over && !body->spare && block->size == BLOCK_MAX && body->window > BLOCK_MAX) {
        body->spare = block->data;
        return;
    }
    free(block->data);
    gl_memory_give(site_of(body), block->size);
}

/* Loop. */
static void drop_spare(struct gl_body *body)
{
    if (!body->spare)
        return;
    free(body->spare);
    body->spare = NULL;
    gl_memory_give(site_of(body), BLOCK_MAX);
}

/* Frees a block nobody needs any more. Memory that is given back may wake other
 * bodies, which then submit reads. */
static void settle(struct block *block)
{
    struct gl_body *body = block->body;
    if (block->in_flight || block->in_row || block->lent > 0)
        return;
    if (block->data) {
        body->ahead -= block->size;
        give_room(body, block);
    }
    free(block);
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
    gl_count(body->mount, GL_ERRORS, error != 0);
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
    block->stated = result >= 0 && poststat && GLFS_STAT_MTIME_VALID(poststat->glfs_st_mask) &&
                    GLFS_STAT_SIZE_VALID(poststat->glfs_st_mask);
    if (block->stated) {
        block->mtime = poststat->glfs_st_mtime;
        block->file_size = poststat->glfs_st_size;
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

static void wake(struct gl_thirst *thirst);

/* The room for a block of *size bytes. Where memory is short a body with nothing
 * ahead gets a smaller one, or waits for its turn; others get NULL. */
static char *take_room(struct gl_body *body, size_t *size)
{
    struct gl_site *site = site_of(body);
    char *room = NULL;
    if (*size == BLOCK_MAX && body->spare) {
        room = body->spare;
        body->spare = NULL;
        return room;
    }
    bool taken = gl_memory_take(site, *size, false);
    if (!taken && body->ahead == 0) {
        drop_spare(body);
        *size = *size < BLOCK_MIN ? *size : BLOCK_MIN;
        body->window = BLOCK_MIN;
        taken = gl_memory_take(site, *size, true);
    }
    if (taken) {
        room = malloc(*size);
        if (!room)
            gl_memory_untake(site, *size);
    }
    if (!room && body->ahead == 0) {
        body->thirst.wake = wake;
        gl_memory_wait(site, &body->thirst);
    }
    return room;
}

static size_t block_size(const struct gl_body *body)
{
    size_t size = body->window / WINDOW_DIV;
    if (size > BLOCK_MAX)
        return BLOCK_MAX;
    return size < BLOCK_MIN ? BLOCK_MIN : size;
}

static struct block *new_block(struct gl_body *body)
{
    const struct lg_segment *segment = &body->segments[body->segment];
    int64_t left = segment->length - body->pos;
    size_t most = block_size(body);
    struct block *block = calloc(1, sizeof *block);
    if (!block)
        return NULL;
    block->body = body;
    block->size = segment->text || left < (int64_t)most ? (size_t)left : most;
    block->offset = segment->offset + body->pos;
    block->text = segment->text;
    if (block->text) {
        block->got = block->size;
    } else {
        block->data = take_room(body, &block->size);
        if (!block->data) {
            free(block);
            return NULL;
        }
        body->ahead += block->size;
    }
    body->pos += (int64_t)block->size;
    body->refs++;
    block->in_row = true;
    *body->row_tail = block;
    body->row_tail = &block->next;
    next_segment(body);
    return block;
}

/* Keeps the window full. At least one block is under way, however small it is. */
static void read_ahead(struct gl_body *body)
{
    while (!body->over && body->segment < body->segment_count && !body->thirst.link &&
           (body->ahead == 0 || body->ahead + block_size(body) <= body->window)) {
        struct block *block = new_block(body);
        if (!block)
            return;
        if (!block->text)
            send_read(block);
    }
}

/* Loop: somebody gave memory back. */
static void wake(struct gl_thirst *thirst)
{
    struct gl_body *body =
        (struct gl_body *)(void *)((char *)thirst - offsetof(struct gl_body, thirst));
    read_ahead(body);
}

/* A client that takes blocks at once gets more read ahead, a slow one less. */
static void adapt(struct gl_body *body, const struct block *block)
{
    int64_t took_ms = gl_now_ms() - block->since_ms;
    size_t most = site_of(body)->read_ahead;
    if (!block->data || block->sent < block->size)
        return;
    if (took_ms < FAST_MS && body->window < most)
        body->window = body->window * 2 < most ? body->window * 2 : most;
    if (took_ms > SLOW_MS && body->window > BLOCK_MIN) {
        body->window /= 2;
        drop_spare(body);
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
    if (block->sent == 0)
        block->since_ms = gl_now_ms();
    block->sent += len;
    block->lent++;
    lg_source_data(body->request, from, len, release_block, block);
}

static bool front_is_ready(const struct gl_body *body)
{
    const struct block *block = body->row;
    return block && !block->in_flight && block->got == block->size;
}

/* ---- is it still the same file? ---- */

static void deliver(struct gl_body *body);

/* Handler thread. */
static void run_confirm(void *arg)
{
    struct gl_body *body = arg;
    errno = 0;
    body->asked_error = glfs_fstat(body->fd, &body->now) ? (errno ? errno : EIO) : 0;
}

static void end_confirm(void *arg)
{
    struct gl_body *body = arg;
    const struct stat *now = &body->now;
    body->asked = CONFIRMED;
    if (body->asked_error) {
        gl_mount_note(body->mount, body->asked_error);
        fail(body, "look at it once more", body->asked_error);
    } else if (now->st_size != body->size || !gl_time_eq(&now->st_mtim, &body->head_mtime)) {
        fail(body, CHANGED, 0);
    }
    deliver(body);
    unref_body(body);
}

static void ask_again(void *arg)
{
    struct gl_body *body = arg;
    body->asked = UNASKED;
    deliver(body);
    unref_body(body);
}

/* Whether the end of the body may be sent: not before the file was looked at once
 * more, where its reads tell nothing. All of them are back by then. */
static bool may_end(struct gl_body *body)
{
    if (!body->blind || body->asked == CONFIRMED || body->row->next ||
        body->segment < body->segment_count)
        return true;
    if (body->asked == ASKED)
        return false;
    body->asked = ASKED;
    if (body->asked_ms == 0)
        body->asked_ms = gl_now_ms();
    body->refs++;
    struct gl_mount *mount = body->mount;
    if (lg_lane_run(
            mount->worker, mount->lane, mount->site->timeout_ms, run_confirm, end_confirm, body) &&
        lg_worker_later(mount->worker, WATCH_MS, ask_again, body)) {
        fail(body, "out of memory", 0);
        unref_body(body);
    }
    return false;
}

/* ---- from the front of the row ---- */

/* Whatever it calls may call back, pull, cancel or free. */
static void deliver(struct gl_body *body)
{
    if (body->delivering)
        return;
    body->delivering = true;
    body->refs++;
    while (!body->over && body->credit > 0 && front_is_ready(body) && may_end(body)) {
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
    adapt(body, block);
    settle(block);
    read_ahead(body);
    deliver(body);
    unref_body(body);
}

/* Was the file written to since the head went out? The head may have come from
 * another brick, so its time counts to the second; all reads are compared with
 * the first. */
static bool is_changed(struct gl_body *body, const struct block *block)
{
    if (!block->stated) {
        body->blind = true;
        return false;
    }
    int64_t moved_s = block->mtime.tv_sec - body->head_mtime.tv_sec;
    if (!body->stated)
        body->read_mtime = block->mtime;
    body->stated = true;
    return block->file_size != body->size || moved_s > MTIME_SLACK_S || moved_s < -MTIME_SLACK_S ||
           !gl_time_eq(&block->mtime, &body->read_mtime);
}

/* A read has come back: more of it, or its end. */
static void judge_read(struct gl_body *body, struct block *block)
{
    if (block->result < 0) {
        gl_mount_note(body->mount, block->error);
        fail(body, "read", block->error);
    } else if (block->result == 0) {
        fail(body, "the file became shorter while it was sent", 0);
    } else if (is_changed(body, block)) {
        fail(body, CHANGED, 0);
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
    bool asks = body->asked_ms && body->asked != CONFIRMED;
    if (body->over || !block || !(block->in_flight || asks))
        return false;
    return limit_ms > 0 && now_ms - (asks ? body->asked_ms : block->since_ms) > limit_ms;
}

static void watch(void *arg)
{
    struct gl_mount *mount = arg;
    int64_t now_ms = gl_now_ms();
    struct gl_body *body = mount->bodies;
    while (body) {
        if (is_stalled(body, now_ms)) {
            fail(body,
                body->row->in_flight ? "a read does not come back" : "a look does not come back",
                ETIMEDOUT);
            body = mount->bodies; /* the list may have changed; this one is over */
        } else {
            body = body->next;
        }
    }
    gl_memory_give((struct gl_site *)(uintptr_t)mount->site, 0); /* whoever waits may try again */
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
    gl_memory_wait_not(&body->thirst);
    leave_watch(body);
    while (body->row)
        leave_row(body);
    drop_spare(body);
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
    body->head_mtime = stat->st_mtim;
    body->size = stat->st_size;
    body->segments = plan->segments;
    body->segment_count = plan->segment_count;
    body->row_tail = &body->row;
    body->refs = 1;
    body->window = site_of(body)->read_ahead;
    if (body->window > FIRST_MAX)
        body->window = FIRST_MAX;
    next_segment(body);
    lg_answer_source(request, &source, body, plan->length);
}
