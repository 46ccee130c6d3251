/* HTTP/1 requests: the gate checks the bytes, llhttp cuts them into tokens, this
 * file turns tokens into variables and frames the body. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/parser.h"

#include "base/limits.h"
#include "http/internal.h"

#include <assert.h>

const struct lg_http_limits lg_http_limits_default = {
    .uri_max = LG_URI_MAX,
    .head_max = LG_HEAD_MAX,
    .field_max = LG_FIELD_MAX,
    .header_count_max = LG_HEADER_COUNT_MAX,
};

enum state { IN_HEAD, IN_LENGTH_BODY, IN_CHUNKED_BODY, AT_END, FAILED };

enum field {
    FIELD_DROPPED,
    FIELD_OTHER,
    FIELD_HOST,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_TYPE,
    FIELD_TRANSFER_ENCODING,
    FIELD_CONNECTION,
    FIELD_EXPECT,
};

enum seen {
    SEEN_HOST = 1,
    SEEN_LENGTH = 2,
    SEEN_CODING = 4,
    SEEN_CLOSE = 8,
    SEEN_KEEP_ALIVE = 16,
    SEEN_EXPECT = 32,
    SEEN_HEAD_END = 64,        /* llhttp agrees that the head is complete */
    SEEN_UNKNOWN_METHOD = 128, /* llhttp is out; the gate still has its say */
    SEEN_NAMESAKES = 256,      /* there may be two headers of one name */
};

/* ---- tokens ---- */

static int fail(struct lg_http_parser *parser, int status, const char *reason)
{
    parser->status = status;
    parser->reason = reason;
    return HPE_USER;
}

static int fail_memory(struct lg_http_parser *parser)
{
    return fail(parser, 500, "out of memory");
}

/* Moves what points into the caller's bytes to memory of ours. */
static int keep_token(struct lg_http_parser *parser)
{
    struct lg_slice token = parser->token;
    parser->token = (struct lg_slice){NULL, 0};
    if (token.len == 0)
        return 0;
    return lg_buf_append(&parser->scratch, token.ptr, token.len) ? fail_memory(parser) : 0;
}

/* llhttp hands a token out in pieces, one at least per feed. */
static int on_piece(llhttp_t *llhttp, const char *at, size_t len)
{
    struct lg_http_parser *parser = llhttp->data;
    if (parser->token.len > 0 && keep_token(parser))
        return HPE_USER;
    parser->token = lg_slice_from(at, len);
    return 0;
}

/* The whole token; valid until the next piece. */
static int take_token(struct lg_http_parser *parser, struct lg_slice *ret_token)
{
    *ret_token = parser->token;
    if (parser->scratch.len > 0) {
        if (keep_token(parser))
            return HPE_USER;
        *ret_token = lg_buf_slice(&parser->scratch);
        parser->scratch.len = 0;
    }
    parser->token = (struct lg_slice){NULL, 0};
    return 0;
}

/* ---- the request line ---- */

static int on_url_complete(llhttp_t *llhttp)
{
    struct lg_http_parser *parser = llhttp->data;
    struct lg_request *request = parser->request;
    struct lg_slice target;
    if (take_token(parser, &target))
        return HPE_USER;
    if (llhttp->method == HTTP_CONNECT)
        return fail(parser, 501, "CONNECT is for proxies");
    if (llhttp->method == HTTP_PRI)
        return fail(parser, 505, "HTTP/2 from the start");
    request->method = llhttp->method == HTTP_GET    ? LG_METHOD_GET
                      : llhttp->method == HTTP_HEAD ? LG_METHOD_HEAD
                                                    : LG_METHOD_OTHER;
    struct lg_slice method = lg_slice_of(llhttp_method_name((llhttp_method_t)llhttp->method));
    if (lg_request_add(request, LG_SLICE("REQUEST_METHOD"), method))
        return fail_memory(parser);
    const char *reason = "bad target";
    int err = lg_http_target_add(
        request, target, llhttp->method == HTTP_OPTIONS, &parser->authority, &reason);
    if (err)
        return err == -LG_E_NOMEM ? fail_memory(parser) : fail(parser, 400, reason);
    return 0;
}

/* ---- headers ---- */

static enum field classify(struct lg_slice name)
{
    static const struct {
        struct lg_slice name;
        enum field field;
    } known[] = {
        {{"Host", 4}, FIELD_HOST}, {{"Content-Length", 14}, FIELD_CONTENT_LENGTH},
        {{"Content-Type", 12}, FIELD_CONTENT_TYPE},
        {{"Transfer-Encoding", 17}, FIELD_TRANSFER_ENCODING},
        {{"Connection", 10}, FIELD_CONNECTION}, {{"Expect", 6}, FIELD_EXPECT},
        {{"Proxy", 5}, FIELD_DROPPED}, /* HTTP_PROXY would redirect clients run by CGI code */
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (lg_slice_ieq(name, known[i].name))
            return known[i].field;
    /* '_' and '-' would become the same variable: a way to forge headers. */
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != '-' && !lg_http_is((unsigned char)name.ptr[i], LG_HTTP_ALNUM))
            return FIELD_DROPPED;
    return FIELD_OTHER;
}

/* "HTTP_" and the name in capitals with '_' for '-'; ptr NULL without memory. */
static struct lg_slice variable_name(struct lg_arena *arena, struct lg_slice name)
{
    char *text = lg_arena_alloc(arena, name.len + 6);
    if (!text)
        return (struct lg_slice){NULL, 0};
    memcpy(text, "HTTP_", 5);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        text[5 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
    }
    text[5 + name.len] = '\0';
    return lg_slice_from(text, name.len + 5);
}

static int on_field_complete(llhttp_t *llhttp)
{
    struct lg_http_parser *parser = llhttp->data;
    struct lg_slice name;
    if (take_token(parser, &name))
        return HPE_USER;
    parser->field = (uint8_t)classify(name);
    switch ((enum field)parser->field) {
    case FIELD_DROPPED:
        return 0;
    case FIELD_CONTENT_LENGTH:
        parser->name = LG_SLICE("CONTENT_LENGTH");
        return 0;
    case FIELD_CONTENT_TYPE:
        parser->name = LG_SLICE("CONTENT_TYPE");
        return 0;
    default:
        parser->name = variable_name(&parser->request->arena, name);
        return parser->name.ptr ? 0 : fail_memory(parser);
    }
}

static int read_host(struct lg_http_parser *parser, struct lg_slice value)
{
    if (parser->seen & SEEN_HOST)
        return fail(parser, 400, "two Host headers");
    parser->seen |= SEEN_HOST;
    return lg_http_host_is_valid(value) ? 0 : fail(parser, 400, "bad Host");
}

static int read_length(struct lg_http_parser *parser, struct lg_slice value)
{
    uint64_t length;
    if (parser->seen & SEEN_LENGTH)
        return fail(parser, 400, "two Content-Length headers");
    parser->seen |= SEEN_LENGTH;
    if (!lg_slice_u64(value, INT64_MAX, &length))
        return fail(parser, 400, "bad Content-Length");
    parser->body_left = (int64_t)length;
    return 0;
}

/* "chunked" alone is understood. What is left is 400 where the end of the
 * message is in doubt (RFC 9112 6.3) and 501 where only we do not know a coding
 * (6.1). */
static int read_coding(struct lg_http_parser *parser, struct lg_slice value)
{
    if (parser->seen & SEEN_CODING)
        return fail(parser, 400, "two Transfer-Encoding headers");
    parser->seen |= SEEN_CODING;
    if (lg_slice_ieq(value, LG_SLICE("chunked")))
        return 0;
    bool chunked = false;
    bool unknown = false;
    struct lg_slice coding;
    while (lg_http_list_next(&value, &coding)) {
        struct lg_slice params;
        if (chunked || !lg_http_is_token(lg_slice_trim(lg_slice_cut(coding, ';', &params))))
            return fail(parser, 400, "bad Transfer-Encoding");
        chunked = lg_slice_ieq(coding, LG_SLICE("chunked"));
        unknown = unknown || !chunked;
    }
    return unknown ? fail(parser, 501, "transfer coding not known")
                   : fail(parser, 400, "bad Transfer-Encoding");
}

static int read_connection(struct lg_http_parser *parser, struct lg_slice value)
{
    struct lg_slice option;
    while (lg_http_list_next(&value, &option)) {
        if (lg_slice_ieq(option, LG_SLICE("close")))
            parser->seen |= SEEN_CLOSE;
        else if (lg_slice_ieq(option, LG_SLICE("keep-alive")))
            parser->seen |= SEEN_KEEP_ALIVE;
    }
    return 0;
}

static int read_field(struct lg_http_parser *parser, struct lg_slice value)
{
    switch ((enum field)parser->field) {
    case FIELD_HOST:
        return read_host(parser, value);
    case FIELD_CONTENT_LENGTH:
        return read_length(parser, value);
    case FIELD_TRANSFER_ENCODING:
        return read_coding(parser, value);
    case FIELD_CONNECTION:
        return read_connection(parser, value);
    case FIELD_EXPECT:
        if (lg_slice_ieq(value, LG_SLICE("100-continue")))
            parser->seen |= SEEN_EXPECT;
        return 0;
    case FIELD_DROPPED:
    case FIELD_OTHER:
    case FIELD_CONTENT_TYPE:
        break;
    }
    return 0;
}

static int on_value_complete(llhttp_t *llhttp)
{
    struct lg_http_parser *parser = llhttp->data;
    struct lg_slice value;
    if (take_token(parser, &value))
        return HPE_USER;
    if (parser->field == FIELD_DROPPED)
        return 0;
    if (lg_request_may_have(parser->request, parser->name))
        parser->seen |= SEEN_NAMESAKES;
    value = lg_arena_slice(&parser->request->arena, lg_slice_trim(value));
    if (!value.ptr || lg_request_add(parser->request, parser->name, value))
        return fail_memory(parser);
    return read_field(parser, value);
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct lg_http_parser *parser = llhttp->data;
    parser->seen |= SEEN_HEAD_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_piece,
    .on_url_complete = on_url_complete,
    .on_header_field = on_piece,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_piece,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
};

/* ---- the end of the head ---- */

/* Joins the values of vars[first] and of all its namesakes behind it, and takes
 * those out. */
static int join_namesakes(struct lg_request *request, size_t first)
{
    struct lg_var *vars = request->vars;
    struct lg_slice name = vars[first].name;
    struct lg_slice comma = LG_SLICE(", ");
    if (lg_slice_eq(name, LG_SLICE("HTTP_COOKIE")))
        comma = LG_SLICE("; ");
    size_t len = 0;
    size_t namesakes = 0;
    for (size_t i = first; i < request->var_count; i++)
        if (lg_slice_eq(vars[i].name, name)) {
            len += vars[i].value.len + comma.len;
            namesakes++;
        }
    if (namesakes == 1)
        return 0;
    char *joined = lg_arena_alloc(&request->arena, len + 1);
    if (!joined)
        return -LG_E_NOMEM;
    size_t at = 0;
    size_t kept = first;
    for (size_t i = first; i < request->var_count; i++) {
        if (!lg_slice_eq(vars[i].name, name)) {
            vars[kept++] = vars[i];
            continue;
        }
        kept += i == first;
        memcpy(joined + at, vars[i].value.ptr, vars[i].value.len);
        memcpy(joined + at + vars[i].value.len, comma.ptr, comma.len);
        at += vars[i].value.len + comma.len;
    }
    at -= comma.len;
    joined[at] = '\0';
    vars[first].value = lg_slice_from(joined, at);
    request->var_count = kept;
    return 0;
}

/* What the whole head must be, once all its headers are known. */
static int check_head(struct lg_http_parser *parser)
{
    if (parser->gate.minor >= 1 && !(parser->seen & SEEN_HOST))
        return fail(parser, 400, "no Host");
    if (!(parser->seen & SEEN_CODING))
        return 0;
    if (parser->seen & SEEN_LENGTH)
        return fail(parser, 400, "Transfer-Encoding and Content-Length");
    if (parser->gate.minor == 0)
        return fail(parser, 400, "Transfer-Encoding in HTTP/1.0");
    return 0;
}

static int add_constants(struct lg_http_parser *parser)
{
    struct lg_request *request = parser->request;
    struct lg_slice protocol = parser->gate.minor ? LG_SLICE("HTTP/1.1") : LG_SLICE("HTTP/1.0");
    int err = lg_request_add(request, LG_SLICE("SERVER_PROTOCOL"), protocol);
    return err ? err : lg_request_add(request, LG_SLICE("SCRIPT_NAME"), LG_SLICE(""));
}

static int finish_head(struct lg_http_parser *parser)
{
    struct lg_request *request = parser->request;
    if (!(parser->seen & SEEN_HEAD_END))
        return fail(parser, 400, "malformed head");
    if (check_head(parser))
        return HPE_USER;
    int err = add_constants(parser);
    for (size_t i = 0; parser->seen & SEEN_NAMESAKES && i < request->var_count && !err; i++)
        err = join_namesakes(request, i);
    /* RFC 9112 3.2.2: the target's authority replaces Host. */
    if (!err && parser->authority.ptr)
        err = lg_request_set(request, LG_SLICE("HTTP_HOST"), parser->authority);
    if (err)
        return fail_memory(parser);
    unsigned seen = parser->seen;
    bool is_chunked = seen & SEEN_CODING;
    request->http_minor = parser->gate.minor;
    request->keep_alive = !(seen & SEEN_CLOSE) && (parser->gate.minor || seen & SEEN_KEEP_ALIVE);
    request->body_length = is_chunked ? LG_BODY_CHUNKED : parser->body_left;
    request->expect_continue =
        seen & SEEN_EXPECT && parser->gate.minor && request->body_length != 0;
    return 0;
}

/* ---- feeding ---- */

void lg_http_parser_init(struct lg_http_parser *parser, const struct lg_http_limits *limits)
{
    *parser = (struct lg_http_parser){
        .limits = limits ? limits : &lg_http_limits_default,
        .state = AT_END,
    };
}

void lg_http_parser_free(struct lg_http_parser *parser)
{
    if (!parser)
        return;
    lg_buf_free(&parser->scratch);
    parser->request = NULL;
    parser->state = FAILED;
}

void lg_http_parser_begin(struct lg_http_parser *parser, struct lg_request *request)
{
    lg_buf_free(&parser->scratch);
    *parser = (struct lg_http_parser){.limits = parser->limits, .request = request};
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
}

bool lg_http_parser_is_idle(const struct lg_http_parser *parser)
{
    return parser->state == AT_END ||
           (parser->state == IN_HEAD && lg_http_gate_is_idle(&parser->gate));
}

static void enter_failed(struct lg_http_parser *parser, struct lg_feed *ret_feed)
{
    lg_buf_free(&parser->scratch);
    parser->token = (struct lg_slice){NULL, 0};
    parser->request = NULL;
    parser->state = FAILED;
    *ret_feed =
        (struct lg_feed){.kind = LG_FEED_ERROR, .status = parser->status, .reason = parser->reason};
}

static void enter_body(struct lg_http_parser *parser)
{
    lg_buf_free(&parser->scratch);
    parser->state = parser->request->body_length == 0  ? AT_END
                    : parser->request->body_length > 0 ? IN_LENGTH_BODY
                                                       : IN_CHUNKED_BODY;
    parser->request = NULL;
    lg_http_chunk_init(&parser->chunk);
}

/* Gives llhttp bytes the gate has passed. 0, or HPE_USER with status and reason
 * set. */
static int execute(struct lg_http_parser *parser, const char *data, size_t len)
{
    parser->llhttp.data = parser;
    llhttp_errno_t err = llhttp_execute(&parser->llhttp, data, len);
    if (parser->status)
        return HPE_USER;
    if (err == HPE_OK || (err == HPE_PAUSED && parser->seen & SEEN_HEAD_END))
        return keep_token(parser);
    /* A method nobody knows, or one of RTSP. Whether it is 501 or 400 depends on
     * the rest of the request line, which the gate is reading. */
    if (err == HPE_INVALID_METHOD || err == HPE_INVALID_CONSTANT) {
        parser->seen |= SEEN_UNKNOWN_METHOD;
        return 0;
    }
    return fail(parser, 400, llhttp_get_error_reason(&parser->llhttp));
}

static void feed_head(struct lg_http_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed)
{
    struct lg_http_gate *gate = &parser->gate;
    size_t skipped = 0;
    size_t good = 0;
    enum lg_http_gate_result result =
        lg_http_gate_skip(gate, parser->limits, data, len, &skipped, ret_feed);
    if (result == LG_HTTP_GATE_MORE && skipped < len)
        result =
            lg_http_gate_scan(gate, parser->limits, data + skipped, len - skipped, &good, ret_feed);
    *ret_consumed = skipped + good;
    /* What llhttp objects to comes before what the gate stopped at. */
    if (good > 0 && !(parser->seen & SEEN_UNKNOWN_METHOD))
        execute(parser, data + skipped, good);
    if (!parser->status && parser->seen & SEEN_UNKNOWN_METHOD && lg_http_gate_has_line(gate))
        fail(parser, 501, "method not known");
    if (!parser->status && result == LG_HTTP_GATE_FAILED)
        fail(parser, ret_feed->status, ret_feed->reason);
    if (!parser->status && result == LG_HTTP_GATE_DONE)
        finish_head(parser);
    if (parser->status) {
        enter_failed(parser, ret_feed);
        return;
    }
    ret_feed->kind = LG_FEED_MORE;
    if (result == LG_HTTP_GATE_DONE) {
        enter_body(parser);
        ret_feed->kind = LG_FEED_HEAD;
    }
}

static void feed_chunked_body(struct lg_http_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed)
{
    lg_http_chunk_feed(&parser->chunk, data, len, ret_consumed, ret_feed);
    if (ret_feed->kind == LG_FEED_END)
        parser->state = AT_END;
    if (ret_feed->kind == LG_FEED_ERROR) {
        fail(parser, ret_feed->status, ret_feed->reason);
        enter_failed(parser, ret_feed);
    }
}

void lg_http_parser_feed(struct lg_http_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed)
{
    *ret_consumed = 0;
    *ret_feed = (struct lg_feed){.kind = LG_FEED_MORE};
    switch ((enum state)parser->state) {
    case IN_HEAD:
        assert(parser->request);
        feed_head(parser, data, len, ret_consumed, ret_feed);
        break;
    case IN_LENGTH_BODY:
        lg_feed_take(&parser->body_left, data, len, ret_consumed, ret_feed);
        if (parser->body_left == 0)
            parser->state = AT_END;
        break;
    case IN_CHUNKED_BODY:
        feed_chunked_body(parser, data, len, ret_consumed, ret_feed);
        break;
    case AT_END:
        ret_feed->kind = LG_FEED_END;
        break;
    case FAILED:
        enter_failed(parser, ret_feed);
        break;
    }
}
