/* What a request codec made of a stream of bytes, as text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

#include "uwsgi/uwsgi.h"

struct run {
    struct lg_http_parser http;
    struct lg_uwsgi_parser uwsgi;
    bool is_http;
    bool in_body;
    bool over; /* no more bytes are wanted */
    struct lg_request request;
    struct lg_buf *out;
};

static void must(bool true_here)
{
    if (!true_here)
        abort();
}

static void feed(
    struct run *run, const char *data, size_t len, size_t *ret_consumed, struct lg_feed *ret_feed)
{
    if (run->is_http)
        lg_http_parser_feed(&run->http, data, len, ret_consumed, ret_feed);
    else
        lg_uwsgi_parser_feed(&run->uwsgi, data, len, ret_consumed, ret_feed);
}

static void begin(struct run *run)
{
    if (run->is_http)
        lg_http_parser_begin(&run->http, &run->request);
    else
        lg_uwsgi_parser_begin(&run->uwsgi, &run->request);
}

static void say(struct run *run, const void *bytes, size_t len)
{
    must(lg_buf_append(run->out, bytes, len) == 0);
}

static void say_text(struct run *run, const char *text)
{
    say(run, text, strlen(text));
}

static void say_head(struct run *run)
{
    const struct lg_request *request = &run->request;
    must(lg_buf_printf(run->out,
             "HEAD method=%d modifiers=%d,%d minor=%d keep=%d length=%lld expect=%d\n",
             (int)request->method, request->modifier1, request->modifier2, request->http_minor,
             request->keep_alive, (long long)request->body_length, request->expect_continue) == 0);
    for (size_t i = 0; i < request->var_count; i++) {
        struct lg_slice name = request->vars[i].name;
        struct lg_slice value = request->vars[i].value;
        must(name.len > 0 && name.ptr[name.len] == '\0' && strlen(name.ptr) == name.len);
        must(value.ptr && value.ptr[value.len] == '\0');
        struct lg_slice first = lg_request_get(request, name);
        must(first.ptr == value.ptr); /* names are unique */
        say(run, name.ptr, name.len);
        say_text(run, "=");
        say(run, value.ptr, value.len);
        say_text(run, "\n");
    }
}

static void say_body(struct run *run, struct lg_slice body)
{
    must(body.len > 0);
    if (!run->in_body)
        say_text(run, "BODY=");
    run->in_body = true;
    say(run, body.ptr, body.len);
}

static void end_body(struct run *run)
{
    if (run->in_body)
        say_text(run, "\n");
    run->in_body = false;
}

/* Acts on one event; false when the piece is used up. */
static bool act(struct run *run, const struct lg_feed *fed)
{
    switch (fed->kind) {
    case LG_FEED_MORE:
        return false;
    case LG_FEED_HEAD:
        say_head(run);
        return true;
    case LG_FEED_BODY:
        say_body(run, fed->body);
        return true;
    case LG_FEED_END:
        end_body(run);
        say_text(run, "END\n");
        lg_request_reset(&run->request);
        begin(run);
        run->over = !run->is_http; /* one packet per connection */
        return run->is_http;
    case LG_FEED_ERROR:
        end_body(run);
        must(fed->reason && fed->reason[0]);
        must(lg_buf_printf(run->out, "ERROR %d\n", fed->status) == 0);
        run->over = true;
        return false;
    }
    abort();
}

static void feed_piece(struct run *run, const char *data, size_t len)
{
    char *copy = malloc(len ? len : 1);
    size_t at = 0;
    must(copy);
    if (len)
        memcpy(copy, data, len);
    /* At most one event per byte, and HEAD and END besides. */
    for (size_t turn = 0; turn <= 3 * len + 3; turn++) {
        struct lg_feed fed;
        size_t consumed = 0;
        feed(run, copy + at, len - at, &consumed, &fed);
        must(consumed <= len - at);
        must(fed.kind != LG_FEED_MORE || consumed == len - at);
        must(fed.kind != LG_FEED_BODY ||
             (fed.body.ptr >= copy + at && fed.body.ptr + fed.body.len <= copy + at + consumed));
        at += consumed;
        if (!act(run, &fed)) {
            free(copy);
            return;
        }
    }
    abort();
}

static void feed_all(struct run *run, const char *data, size_t len, size_t step)
{
    size_t at = 0;
    lg_request_init(&run->request, 0);
    begin(run);
    do {
        size_t piece = step == 0 || step > len - at ? len - at : step;
        feed_piece(run, data + at, piece);
        at += piece;
    } while (at < len && !run->over);
    end_body(run);
    bool idle =
        run->is_http ? lg_http_parser_is_idle(&run->http) : lg_uwsgi_parser_is_idle(&run->uwsgi);
    if (!run->over)
        say_text(run, idle ? "MORE idle\n" : "MORE\n");
    if (run->is_http && idle)
        must(!run->http.scratch.ptr); /* holds nothing between requests */
    lg_http_parser_free(&run->http);
    lg_request_free(&run->request);
}

void outcome_http(const char *data, size_t len, size_t step, const struct lg_http_limits *limits,
    struct lg_buf *out)
{
    struct run run = {.is_http = true, .out = out};
    lg_http_parser_init(&run.http, limits);
    feed_all(&run, data, len, step);
}

void outcome_uwsgi(
    const char *data, size_t len, size_t step, size_t buffer_size, struct lg_buf *out)
{
    struct run run = {.out = out};
    lg_http_parser_init(&run.http, NULL);
    lg_uwsgi_parser_init(&run.uwsgi, buffer_size);
    feed_all(&run, data, len, step);
}
