/* The uwsgi protocol. The block of variables is kept as it came: every length
 * field stands where the string before it needs its NUL, so names and values
 * are slices of the block and nothing is copied twice. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "uwsgi/uwsgi.h"

#include "base/limits.h"

#include <assert.h>

enum state { IN_HEADER, IN_VARS, IN_BODY, AT_END, FAILED };

#define SIZE_MAX_U16 ((size_t)65535)

void lg_uwsgi_parser_init(struct lg_uwsgi_parser *parser, size_t buffer_size)
{
    if (buffer_size == 0 || buffer_size > SIZE_MAX_U16)
        buffer_size = SIZE_MAX_U16;
    *parser = (struct lg_uwsgi_parser){.buffer_size = buffer_size, .state = AT_END};
}

void lg_uwsgi_parser_begin(struct lg_uwsgi_parser *parser, struct lg_request *request)
{
    *parser = (struct lg_uwsgi_parser){.buffer_size = parser->buffer_size, .request = request};
}

bool lg_uwsgi_parser_is_idle(const struct lg_uwsgi_parser *parser)
{
    return parser->state == AT_END || (parser->state == IN_HEADER && parser->have == 0);
}

static int fail(struct lg_uwsgi_parser *parser, int status, const char *reason)
{
    parser->status = (uint16_t)status;
    parser->reason = reason;
    return -LG_E_PROTO;
}

static int fail_memory(struct lg_uwsgi_parser *parser)
{
    return fail(parser, 500, "out of memory");
}

static size_t u16le(const char *at)
{
    return (size_t)(unsigned char)at[0] | (size_t)(unsigned char)at[1] << 8;
}

/* ---- one variable ---- */

static struct lg_var *find(struct lg_request *request, struct lg_slice name)
{
    for (size_t i = 0; i < request->var_count; i++)
        if (lg_slice_eq(request->vars[i].name, name))
            return &request->vars[i];
    return NULL;
}

static int join(struct lg_uwsgi_parser *parser, struct lg_var *var, struct lg_slice value)
{
    bool is_cookie = lg_slice_eq(var->name, LG_SLICE("HTTP_COOKIE"));
    char *joined = lg_arena_printf(&parser->request->arena, "%.*s%s%.*s", (int)var->value.len,
        var->value.ptr, is_cookie ? "; " : ", ", (int)value.len, value.ptr);
    if (!joined)
        return fail_memory(parser);
    var->value = lg_slice_from(joined, var->value.len + 2 + value.len);
    return 0;
}

static int add_var(struct lg_uwsgi_parser *parser, struct lg_slice name, struct lg_slice value)
{
    struct lg_request *request = parser->request;
    struct lg_var *var = find(request, name);
    if (!var)
        return lg_request_add(request, name, value) ? fail_memory(parser) : 0;
    if (lg_slice_starts(name, LG_SLICE("HTTP_")) && !lg_slice_eq(name, LG_SLICE("HTTP_HOST")))
        return join(parser, var, value);
    if (lg_slice_eq(name, LG_SLICE("CONTENT_LENGTH")) && !lg_slice_eq(var->value, value))
        return fail(parser, 400, "two CONTENT_LENGTH");
    var->value = value;
    return 0;
}

/* Reads a length and the string behind it. */
static int read_string(struct lg_uwsgi_parser *parser, size_t *at, struct lg_slice *ret_string)
{
    if (parser->size - *at < 2)
        return fail(parser, 400, "a length is cut off");
    size_t len = u16le(parser->block + *at);
    *at += 2;
    if (len > parser->size - *at)
        return fail(parser, 400, "a length passes the end of the packet");
    *ret_string = lg_slice_from(parser->block + *at, len);
    *at += len;
    return len && memchr(ret_string->ptr, '\0', len) ? fail(parser, 400, "NUL in a variable") : 0;
}

static int read_vars(struct lg_uwsgi_parser *parser)
{
    size_t at = 0;
    for (size_t count = 0; at < parser->size; count++) {
        struct lg_slice name;
        struct lg_slice value;
        if (count == LG_UWSGI_VAR_COUNT_MAX)
            return fail(parser, 431, "too many variables");
        int err = read_string(parser, &at, &name);
        if (!err && name.len == 0)
            err = fail(parser, 400, "a variable without a name");
        if (!err)
            err = read_string(parser, &at, &value);
        if (!err) /* both lengths are read; the name's NUL goes where the value's was */
            err = add_var(parser, name, value);
        if (err)
            return err;
    }
    return 0;
}

/* ---- what the variables mean ---- */

static int normalise_path(struct lg_uwsgi_parser *parser)
{
    struct lg_var *var = find(parser->request, LG_SLICE("PATH_INFO"));
    if (!var || var->value.len == 0)
        return 0;
    char *path = parser->block + (var->value.ptr - parser->block);
    size_t len;
    if (lg_path_normalise(path, var->value.len, &len))
        return fail(parser, 400, "PATH_INFO is not absolute or leaves the root");
    path[len] = '\0';
    var->value.len = len;
    return 0;
}

static int interpret(struct lg_uwsgi_parser *parser)
{
    struct lg_request *request = parser->request;
    struct lg_slice method = lg_request_get(request, LG_SLICE("REQUEST_METHOD"));
    struct lg_slice length = lg_request_get(request, LG_SLICE("CONTENT_LENGTH"));
    struct lg_slice protocol = lg_request_get(request, LG_SLICE("SERVER_PROTOCOL"));
    uint64_t body_length = 0;
    if (method.len == 0)
        return fail(parser, 400, "no REQUEST_METHOD");
    if (length.len > 0 && !lg_slice_u64(length, INT64_MAX, &body_length))
        return fail(parser, 400, "bad CONTENT_LENGTH");
    request->method = lg_slice_eq(method, LG_SLICE("GET"))    ? LG_METHOD_GET
                      : lg_slice_eq(method, LG_SLICE("HEAD")) ? LG_METHOD_HEAD
                                                              : LG_METHOD_OTHER;
    request->modifier1 = parser->header[0];
    request->modifier2 = parser->header[3];
    request->http_minor = lg_slice_eq(protocol, LG_SLICE("HTTP/1.0")) ? 0 : 1;
    request->body_length = (int64_t)body_length;
    return normalise_path(parser);
}

/* NULs behind every string, once all lengths have been read. */
static void terminate(struct lg_uwsgi_parser *parser)
{
    struct lg_request *request = parser->request;
    const char *begin = parser->block;
    const char *end = begin + parser->size;
    for (size_t i = 0; i < request->var_count; i++) {
        struct lg_slice *strings[] = {&request->vars[i].name, &request->vars[i].value};
        for (size_t k = 0; k < 2; k++)
            if (strings[k]->ptr >= begin && strings[k]->ptr <= end)
                parser->block[strings[k]->ptr - begin + (ptrdiff_t)strings[k]->len] = '\0';
    }
}

/* ---- feeding ---- */

static int take_header(struct lg_uwsgi_parser *parser)
{
    parser->size = (size_t)(parser->header[1] | parser->header[2] << 8);
    parser->have = 0;
    if (parser->size > parser->buffer_size)
        return fail(parser, 431, "the packet is larger than buffer-size");
    parser->block = lg_arena_alloc(&parser->request->arena, parser->size + 1);
    if (!parser->block)
        return fail_memory(parser);
    parser->state = IN_VARS;
    return 0;
}

static int take_vars(struct lg_uwsgi_parser *parser)
{
    int err = read_vars(parser);
    if (err)
        return err;
    terminate(parser);
    err = interpret(parser);
    if (err)
        return err;
    parser->body_left = parser->request->body_length;
    parser->state = parser->body_left ? IN_BODY : AT_END;
    parser->request = NULL;
    parser->block = NULL;
    return 0;
}

/* Copies into a place of `size` bytes that holds `have`; returns how many. */
static size_t fill(
    struct lg_uwsgi_parser *parser, void *place, size_t size, const char *data, size_t len)
{
    size_t take = size - parser->have < len ? size - parser->have : len;
    if (take)
        memcpy((char *)place + parser->have, data, take);
    parser->have += take;
    return take;
}

static int feed_head(struct lg_uwsgi_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed)
{
    int err = 0;
    size_t at = 0;
    assert(parser->request);
    if (parser->state == IN_HEADER) {
        at = fill(parser, parser->header, sizeof parser->header, data, len);
        if (parser->have == sizeof parser->header)
            err = take_header(parser);
    }
    if (!err && parser->state == IN_VARS) {
        at += fill(parser, parser->block, parser->size, data + at, len - at);
        if (parser->have == parser->size) {
            err = take_vars(parser);
            ret_feed->kind = LG_FEED_HEAD;
        }
    }
    *ret_consumed = at;
    return err;
}

static void enter_failed(struct lg_uwsgi_parser *parser, struct lg_feed *ret_feed)
{
    parser->request = NULL;
    parser->block = NULL;
    parser->state = FAILED;
    *ret_feed =
        (struct lg_feed){.kind = LG_FEED_ERROR, .status = parser->status, .reason = parser->reason};
}

void lg_uwsgi_parser_feed(struct lg_uwsgi_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed)
{
    *ret_consumed = 0;
    *ret_feed = (struct lg_feed){.kind = LG_FEED_MORE};
    switch ((enum state)parser->state) {
    case IN_HEADER:
    case IN_VARS:
        if (feed_head(parser, data, len, ret_consumed, ret_feed))
            enter_failed(parser, ret_feed);
        break;
    case IN_BODY:
        lg_feed_take(&parser->body_left, data, len, ret_consumed, ret_feed);
        if (parser->body_left == 0)
            parser->state = AT_END;
        break;
    case AT_END:
        ret_feed->kind = LG_FEED_END;
        break;
    case FAILED:
        enter_failed(parser, ret_feed);
        break;
    }
}
