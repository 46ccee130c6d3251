/* The request and answer calls of legatus/plugin.h: what handlers say, kept in
 * the exchange until the loop sends it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/accept.h"
#include "http/entity.h"
#include "http/head.h"
#include "server/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* ---- reading ---- */

const char *lg_request_var(const struct lg_request *request, const char *name, size_t *ret_len)
{
    struct lg_slice value = lg_request_get(request, lg_slice_of(name));
    if (value.ptr && ret_len)
        *ret_len = value.len;
    return value.ptr;
}

int lg_request_set_var(struct lg_request *request, const char *name, const char *value)
{
    return lg_request_set(request, lg_slice_of(name), lg_slice_of(value)) ? -1 : 0;
}

void *lg_request_alloc(struct lg_request *request, size_t size)
{
    return lg_arena_alloc(&request->arena, size);
}

char *lg_request_printf(struct lg_request *request, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = lg_arena_vprintf(&request->arena, format, args);
    va_end(args);
    return text;
}

void lg_request_set_data(struct lg_request *request, void *data)
{
    lg_exchange_of(request)->data = data;
}

void *lg_request_data(const struct lg_request *request)
{
    return ((const struct lg_exchange *)request)->data;
}

bool lg_request_is_head(const struct lg_request *request)
{
    return request->method == LG_METHOD_HEAD;
}

bool lg_request_manages_script_name(const struct lg_request *request)
{
    return ((const struct lg_exchange *)request)->worker->options.manage_script_name;
}

int64_t lg_request_begun_ms(const struct lg_request *request)
{
    return (int64_t)(((const struct lg_exchange *)request)->begun_us / 1000);
}

void lg_request_lane(
    struct lg_request *request, struct lg_lane *lane, unsigned timeout_ms, int status)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    ex->lane = lane;
    ex->timeout_ms = timeout_ms;
    ex->timeout_status = status;
}

void lg_request_ref(struct lg_request *request)
{
    lg_exchange_ref(lg_exchange_of(request));
}

void lg_request_unref(struct lg_request *request)
{
    lg_exchange_unref(lg_exchange_of(request));
}

const char *lg_mime_type(const struct lg_request *request, const char *path)
{
    return lg_worker_mime_type(((const struct lg_exchange *)request)->worker, path);
}

const char *lg_worker_mime_type(const struct lg_worker *worker, const char *path)
{
    const struct lg_mime *mime = worker->setup->mime;
    const char *type = mime ? lg_mime_find(mime, lg_slice_of(path)) : NULL;
    return type ? type : LG_MIME_DEFAULT;
}

int lg_request_accepts_encoding(const struct lg_request *request, const char *coding)
{
    return lg_http_accept_encoding(
        lg_request_get(request, LG_SLICE("HTTP_ACCEPT_ENCODING")), lg_slice_of(coding));
}

int lg_request_accepts_type(const struct lg_request *request, const char *type)
{
    return lg_http_accept_type(lg_request_get(request, LG_SLICE("HTTP_ACCEPT")), lg_slice_of(type));
}

/* ---- posts ---- */

struct posted {
    struct lg_post post; /* first */
    struct lg_request *request;
    void (*fn)(struct lg_request *request, void *arg);
    void *arg;
};

static void run_posted(struct lg_post *post)
{
    struct posted *posted = (struct posted *)(void *)post;
    posted->fn(posted->request, posted->arg);
    lg_request_unref(posted->request);
    free(posted);
}

int lg_post(struct lg_request *request, void (*fn)(struct lg_request *, void *), void *arg)
{
    struct posted *posted = malloc(sizeof *posted);
    if (!posted)
        return -1;
    *posted = (struct posted){{.run = run_posted}, request, fn, arg};
    lg_request_ref(request);
    lg_worker_post(lg_exchange_of(request)->worker, &posted->post);
    return 0;
}

/* ---- answering ---- */

void lg_answer(struct lg_request *request, int status)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_NONE)
        return;
    ex->response = (struct lg_response){.status = status};
}

int lg_answer_header(struct lg_request *request, const char *name, const char *value)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_NONE)
        return -1; /* the head may be on its way */
    int err =
        lg_response_header(&ex->response, &request->arena, lg_slice_of(name), lg_slice_of(value));
    return err ? -1 : 0;
}

void lg_answer_bytes(
    struct lg_request *request, const void *data, size_t len, void (*release)(void *arg), void *arg)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_NONE) {
        if (release)
            release(arg);
        return;
    }
    ex->kind = LG_ANSWER_BYTES;
    ex->bytes = data;
    ex->length = (int64_t)len;
    ex->release = release;
    ex->release_arg = arg;
}

void lg_answer_mapped(struct lg_request *request, const void *data, size_t len, int fd,
    int64_t offset, void (*release)(void *arg), void *arg)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind == LG_ANSWER_NONE) {
        ex->file = fd + 1;
        ex->file_offset = offset;
    }
    lg_answer_bytes(request, data, len, release, arg);
}

void lg_answer_source(
    struct lg_request *request, const struct lg_source *source, void *context, int64_t length)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_NONE) {
        source->free(context);
        return;
    }
    ex->kind = LG_ANSWER_SOURCE;
    ex->source = source;
    ex->source_context = context;
    ex->length = length;
}

void lg_answer_error(struct lg_request *request, int status, unsigned retry_after_s)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    if (ex->kind != LG_ANSWER_NONE)
        return;
    const char *allow = NULL;
    for (size_t i = 0; i < ex->response.header_count; i++)
        if (lg_slice_ieq(ex->response.headers[i].name, LG_SLICE("Allow")))
            allow = ex->response.headers[i].value.ptr;
    struct lg_slice page = {0};
    if (lg_http_error_page(&ex->response, &request->arena, status, allow, retry_after_s, &page))
        ex->response = (struct lg_response){.status = status}; /* a bare head needs no memory */
    lg_answer_bytes(request, page.ptr, page.len, NULL, NULL);
}

/* The pure room cannot see plugin.h: its structs are these, field for field. */
static_assert(sizeof(struct lg_entity) == sizeof(struct lg_http_entity) &&
                  offsetof(struct lg_entity, etag) == offsetof(struct lg_http_entity, etag) &&
                  offsetof(struct lg_entity, expires_after_s) ==
                      offsetof(struct lg_http_entity, expires_after_s) &&
                  offsetof(struct lg_entity, lines) == offsetof(struct lg_http_entity, lines) &&
                  (int)LG_EXPIRES_FROM_MTIME == (int)LG_HTTP_EXPIRES_FROM_MTIME,
    "lg_entity and lg_http_entity differ");
static_assert(sizeof(struct lg_plan) == sizeof(struct lg_http_plan) &&
                  offsetof(struct lg_plan, segments) == offsetof(struct lg_http_plan, segments) &&
                  sizeof(struct lg_segment) == sizeof(struct lg_http_segment),
    "lg_plan and lg_http_plan differ");

char *lg_entity_lines(const struct lg_entity *entity, size_t *ret_len)
{
    const struct lg_http_entity *what = (const struct lg_http_entity *)(const void *)entity;
    struct lg_buf lines = {0};
    if (lg_http_entity_lines(what, (int64_t)time(NULL), &lines)) {
        lg_buf_free(&lines);
        return NULL;
    }
    *ret_len = lines.len;
    return lines.ptr;
}

int lg_answer_entity(
    struct lg_request *request, const struct lg_entity *entity, struct lg_plan *ret_plan)
{
    struct lg_exchange *ex = lg_exchange_of(request);
    struct lg_http_entity what = {entity->size, entity->mtime_s, entity->etag, entity->content_type,
        entity->encoding, entity->varies, entity->expires, entity->expires_after_s, entity->lines,
        entity->lines_len};
    struct lg_http_plan plan = {0};
    const char *range = lg_request_var(request, "HTTP_RANGE", NULL);
    uint64_t boundary = 0; /* of several parts; costs a system call */
    if (range && strchr(range, ',') && getrandom(&boundary, sizeof boundary, GRND_NONBLOCK) < 0)
        boundary = (uint64_t)(uintptr_t)ex ^ uv_hrtime();
    if (!what.content_type)
        what.content_type = lg_mime_type(request, lg_request_var(request, "PATH_INFO", NULL));
    int verdict = lg_http_entity_answer(
        request, &what, boundary, (int64_t)time(NULL), &request->arena, &ex->response, &plan);
    if (verdict < 0) {
        lg_answer_error(request, 500, 0);
        return -1;
    }
    if (verdict == 0) {
        lg_answer_bytes(request, NULL, 0, NULL, NULL);
        ex->length = ex->response.length; /* what GET would have sent */
    }
    *ret_plan = (struct lg_plan){
        plan.length, plan.segment_count, (const struct lg_segment *)(const void *)plan.segments};
    return verdict;
}
