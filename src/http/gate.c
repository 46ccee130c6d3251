/* The gate: every byte of a head passes here before llhttp sees it. It holds a
 * head to RFC 9112's grammar to the letter (CRLF, one space, no folding, no
 * controls) and to the limits, so that no two readers can disagree about where
 * a header or a message ends. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/internal.h"

enum state {
    START, /* before a request: empty lines are skipped */
    START_LF,
    METHOD,
    TARGET,
    VERSION,
    LINE_LF,
    FIELD_START, /* the request line is good from here on */
    NAME,
    VALUE,
    VALUE_LF,
    END_LF,
    DONE,
};

#define METHOD_MAX 64 /* bytes */

static const char version_text[] = "HTTP/d.d"; /* d: a digit */

static enum lg_http_gate_result fail(struct lg_feed *feed, int status, const char *reason)
{
    *feed = (struct lg_feed){.kind = LG_FEED_ERROR, .status = status, .reason = reason};
    return LG_HTTP_GATE_FAILED;
}

static enum lg_http_gate_result next(struct lg_http_gate *gate, enum state state)
{
    gate->state = (uint8_t)state;
    gate->line_len = 0;
    return LG_HTTP_GATE_MORE;
}

/* One byte of the version. A version that is not ours is 505 only when the line
 * was well-formed so far. */
static enum lg_http_gate_result step_version(
    struct lg_http_gate *gate, unsigned char c, struct lg_feed *feed)
{
    size_t at = gate->matched;
    if (at == sizeof version_text - 1)
        return c == '\r' ? next(gate, LINE_LF) : fail(feed, 400, "malformed version");
    bool is_digit = c >= '0' && c <= '9';
    if (version_text[at] == 'd' ? !is_digit : c != (unsigned char)version_text[at])
        return fail(feed, 400, "malformed version");
    gate->matched++;
    if (at == 5)
        gate->major = (uint8_t)(c - '0');
    if (at == 7)
        gate->minor = (uint8_t)(c - '0');
    if (at == 7 && (gate->major != 1 || gate->minor > 1))
        return fail(feed, 505, "not HTTP/1.0 or HTTP/1.1");
    return LG_HTTP_GATE_MORE;
}

static enum lg_http_gate_result step_field_start(struct lg_http_gate *gate,
    const struct lg_http_limits *limits, unsigned char c, struct lg_feed *feed)
{
    if (c == '\r')
        return next(gate, END_LF);
    if (c == ' ' || c == '\t')
        return fail(feed, 400, "folded header line");
    if (!lg_http_is(c, LG_HTTP_TCHAR))
        return fail(feed, 400, "bad byte in a header name");
    if (gate->header_count >= limits->header_count_max)
        return fail(feed, 431, "too many headers");
    gate->header_count++;
    next(gate, NAME);
    gate->line_len = 1;
    return LG_HTTP_GATE_MORE;
}

static enum lg_http_gate_result want_lf(
    struct lg_http_gate *gate, unsigned char c, enum state then, struct lg_feed *feed)
{
    return c == '\n' ? next(gate, then) : fail(feed, 400, "CR without LF");
}

/* A byte that ends a run, or stands outside of one. */
static enum lg_http_gate_result step(struct lg_http_gate *gate, const struct lg_http_limits *limits,
    unsigned char c, struct lg_feed *feed)
{
    switch ((enum state)gate->state) {
    case METHOD:
        if (c == ' ' && gate->line_len > 0)
            return next(gate, TARGET);
        return fail(feed, 400, "malformed method");
    case TARGET:
        if (c == ' ' && gate->line_len > 0)
            return next(gate, VERSION);
        return fail(feed, 400, "bad byte in the target, or no version");
    case VERSION:
        return step_version(gate, c, feed);
    case LINE_LF:
        return want_lf(gate, c, FIELD_START, feed);
    case FIELD_START:
        return step_field_start(gate, limits, c, feed);
    case NAME:
        if (c != ':')
            return fail(feed, 400, "bad byte in a header name");
        gate->state = VALUE;
        gate->line_len++; /* the line goes on being counted */
        return LG_HTTP_GATE_MORE;
    case VALUE:
        return c == '\r' ? next(gate, VALUE_LF) : fail(feed, 400, "bad byte in a header value");
    case VALUE_LF:
        return want_lf(gate, c, FIELD_START, feed);
    case END_LF:
        return want_lf(gate, c, DONE, feed);
    case START:
    case START_LF:
    case DONE:
        break;
    }
    return fail(feed, 400, "out of place");
}

/* The bytes that may follow each other in this state, and how many. */
static unsigned run_classes(
    const struct lg_http_gate *gate, const struct lg_http_limits *limits, size_t *ret_max)
{
    switch ((enum state)gate->state) {
    case METHOD:
        *ret_max = METHOD_MAX;
        return LG_HTTP_TCHAR;
    case TARGET:
        *ret_max = limits->uri_max;
        return LG_HTTP_TARGET;
    case NAME:
        *ret_max = limits->field_max;
        return LG_HTTP_TCHAR;
    case VALUE:
        *ret_max = limits->field_max;
        return LG_HTTP_FIELD;
    default:
        *ret_max = 0;
        return 0;
    }
}

static enum lg_http_gate_result too_long(enum state state, struct lg_feed *feed)
{
    if (state == METHOD)
        return fail(feed, 400, "method too long");
    if (state == TARGET)
        return fail(feed, 414, "target too long");
    return fail(feed, 431, "header line too long");
}

/* What almost every request line ends in, at once: byte by byte it takes longer than
 * all the rest of the head. 0 = look at the bytes. */
static size_t usual_line_end(
    struct lg_http_gate *gate, const struct lg_http_limits *limits, const char *data, size_t len)
{
    static const char usual[] = {'H', 'T', 'T', 'P', '/', '1', '.', '1', '\r', '\n'};
    if (gate->state != VERSION || gate->matched > 0 || len < sizeof usual ||
        memcmp(data, usual, sizeof usual) != 0 || limits->head_max < sizeof usual ||
        gate->head_len > limits->head_max - sizeof usual)
        return 0;
    gate->matched = sizeof version_text - 1;
    gate->major = gate->minor = 1;
    gate->head_len += sizeof usual;
    next(gate, FIELD_START);
    return sizeof usual;
}

/* How many bytes of these classes come next, as far as the limits go. */
static size_t run_length(const struct lg_http_gate *gate, const struct lg_http_limits *limits,
    unsigned classes, size_t line_max, const char *data, size_t len)
{
    size_t line_left = line_max > gate->line_len ? line_max - gate->line_len : 0;
    size_t head_left = limits->head_max > gate->head_len ? limits->head_max - gate->head_len : 0;
    size_t most = line_left < head_left ? line_left : head_left;
    size_t run = 0;
    if (most > len)
        most = len;
    while (run < most && lg_http_is((unsigned char)data[run], classes))
        run++;
    return run;
}

enum lg_http_gate_result lg_http_gate_scan(struct lg_http_gate *gate,
    const struct lg_http_limits *limits, const char *data, size_t len, size_t *ret_len,
    struct lg_feed *ret_feed)
{
    enum lg_http_gate_result result = LG_HTTP_GATE_MORE;
    size_t at = 0;
    while (at < len && result == LG_HTTP_GATE_MORE && gate->state != DONE) {
        size_t line_max;
        size_t usual = usual_line_end(gate, limits, data + at, len - at);
        at += usual;
        if (usual > 0)
            continue;
        unsigned classes = run_classes(gate, limits, &line_max);
        size_t run = run_length(gate, limits, classes, line_max, data + at, len - at);
        at += run;
        gate->line_len += run;
        gate->head_len += run;
        if (run > 0)
            continue;
        if (gate->head_len >= limits->head_max)
            result = fail(ret_feed, 431, "head too long");
        else if (lg_http_is((unsigned char)data[at], classes))
            result = too_long((enum state)gate->state, ret_feed);
        else
            result = step(gate, limits, (unsigned char)data[at], ret_feed);
        if (result == LG_HTTP_GATE_MORE) {
            at++;
            gate->head_len++;
        }
    }
    *ret_len = at;
    return result == LG_HTTP_GATE_MORE && gate->state == DONE ? LG_HTTP_GATE_DONE : result;
}

enum lg_http_gate_result lg_http_gate_skip(struct lg_http_gate *gate,
    const struct lg_http_limits *limits, const char *data, size_t len, size_t *ret_len,
    struct lg_feed *ret_feed)
{
    size_t at = 0;
    enum lg_http_gate_result result = LG_HTTP_GATE_MORE;
    while (at < len && result == LG_HTTP_GATE_MORE && gate->state <= START_LF) {
        if (gate->state == START && data[at] != '\r') {
            next(gate, METHOD);
            break;
        }
        if (gate->head_len >= limits->head_max)
            result = fail(ret_feed, 431, "too many empty lines");
        else if (gate->state == START)
            result = next(gate, START_LF);
        else
            result = want_lf(gate, (unsigned char)data[at], START, ret_feed);
        at++;
        gate->head_len++;
    }
    *ret_len = at;
    return result;
}

bool lg_http_gate_is_idle(const struct lg_http_gate *gate)
{
    return gate->state <= START_LF;
}

bool lg_http_gate_has_line(const struct lg_http_gate *gate)
{
    return gate->state >= FIELD_START;
}
