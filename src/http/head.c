/* Answers: response head -> bytes, chunk framing, error pages. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    int status;
    const char *text;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

const char *lg_http_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "";
}

/* RFC 9110 6.4.1: these never have content, whatever the method. */
static bool has_no_content(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Headers that say how the message is framed or who sent it are ours alone: a
 * handler's Content-Length that disagrees with its body would smuggle. */
static bool is_ours(struct lg_slice name)
{
    static const struct lg_slice ours[] = {{"Content-Length", 14}, {"Transfer-Encoding", 17},
        {"Connection", 10}, {"Keep-Alive", 10}, {"Date", 4}, {"Server", 6}};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (lg_slice_ieq(ours[i], name))
            return true;
    return false;
}

static int append_field(struct lg_buf *out, struct lg_slice name, struct lg_slice value)
{
    int err = lg_buf_reserve(out, name.len + value.len + 4);
    if (err)
        return err;
    char *at = out->ptr + out->len;
    memcpy(at, name.ptr, name.len);
    at += name.len;
    memcpy(at, ": ", 2);
    at += 2;
    if (value.len)
        memcpy(at, value.ptr, value.len);
    memcpy(at + value.len, "\r\n", 2);
    out->len += name.len + value.len + 4;
    return 0;
}

#define HEAD_USUAL 512 /* bytes of an answer's head; more are found when needed */

static int append_status(struct lg_buf *out, int status)
{
    char code[LG_DIGITS_MAX];
    struct lg_slice reason = lg_slice_of(lg_http_reason(status));
    size_t len = lg_digits(code, (uint64_t)status);
    int err = lg_buf_reserve(out, HEAD_USUAL);
    if (!err)
        err = lg_buf_append(out, "HTTP/1.1 ", 9);
    if (!err)
        err = lg_buf_append(out, code, len);
    if (!err)
        err = lg_buf_append(out, " ", 1);
    if (!err)
        err = lg_buf_append(out, reason.ptr, reason.len);
    return err ? err : lg_buf_append(out, "\r\n", 2);
}

static int append_headers(struct lg_buf *out, const struct lg_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct lg_header *header = &headers[i];
        int err = is_ours(header->name) ? 0 : append_field(out, header->name, header->value);
        if (err)
            return err;
    }
    return 0;
}

/* How GET's body would be framed; `is_head` only decides whether it is sent. */
static enum lg_http_body choose_body(
    const struct lg_response *response, const struct lg_http_answer *answer)
{
    if (has_no_content(response->status))
        return LG_HTTP_BODY_NONE;
    if (response->status == 205 || response->length >= 0)
        return LG_HTTP_BODY_LENGTH;
    if (answer->wire == LG_HTTP_WIRE_HTTP && answer->http_minor >= 1)
        return LG_HTTP_BODY_CHUNKED;
    return LG_HTTP_BODY_CLOSE;
}

static int append_length(struct lg_buf *out, int64_t length)
{
    char digits[LG_DIGITS_MAX];
    size_t len = lg_digits(digits, (uint64_t)length);
    return append_field(out, LG_SLICE("Content-Length"), lg_slice_from(digits, len));
}

static int append_framing(struct lg_buf *out, const struct lg_response *response,
    const struct lg_http_answer *answer, struct lg_http_framing *framing)
{
    enum lg_http_body body = choose_body(response, answer);
    int64_t length = response->status == 205 ? 0 : response->length;
    int err = 0;
    if (body == LG_HTTP_BODY_LENGTH)
        err = append_length(out, length);
    else if (body == LG_HTTP_BODY_CHUNKED)
        err = append_field(out, LG_SLICE("Transfer-Encoding"), LG_SLICE("chunked"));
    bool no_bytes = answer->is_head || (body == LG_HTTP_BODY_LENGTH && length == 0);
    framing->body = no_bytes ? LG_HTTP_BODY_NONE : body;
    framing->keep_alive = answer->keep_alive && answer->wire == LG_HTTP_WIRE_HTTP &&
                          framing->body != LG_HTTP_BODY_CLOSE;
    if (err || answer->wire == LG_HTTP_WIRE_UWSGI || response->status < 200)
        return err;
    if (!framing->keep_alive)
        return append_field(out, LG_SLICE("Connection"), LG_SLICE("close"));
    if (answer->http_minor == 0)
        return append_field(out, LG_SLICE("Connection"), LG_SLICE("keep-alive"));
    return 0;
}

int lg_http_head_render(const struct lg_response *response, const struct lg_http_answer *answer,
    struct lg_buf *out, struct lg_http_framing *ret_framing)
{
    if (response->status < 100 || response->status > 999)
        return -LG_E_INVALID;
    size_t before = out->len;
    struct lg_http_framing framing = {LG_HTTP_BODY_NONE, false};
    int err = append_status(out, response->status);
    if (!err && answer->date.ptr)
        err = append_field(out, LG_SLICE("Date"), answer->date);
    if (!err && answer->server.ptr)
        err = append_field(out, LG_SLICE("Server"), answer->server);
    if (!err)
        err = lg_buf_append(out, response->lines.ptr, response->lines.len);
    if (!err)
        err = append_headers(out, response->headers, response->header_count);
    if (!err)
        err = append_headers(out, answer->extra, answer->extra_count);
    if (!err)
        err = append_framing(out, response, answer, &framing);
    if (!err)
        err = lg_buf_append(out, "\r\n", 2);
    if (err) {
        out->len = before;
        return err;
    }
    *ret_framing = framing;
    return 0;
}

size_t lg_http_chunk_line(char ret_line[LG_HTTP_CHUNK_LINE_MAX], size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 1;
    for (size_t rest = len >> 4; rest; rest >>= 4)
        digits++;
    for (size_t i = digits; i-- > 0; len >>= 4)
        ret_line[i] = hex[len & 15];
    memcpy(ret_line + digits, "\r\n", 2);
    return digits + 2;
}

static int page_headers(
    struct lg_response *response, struct lg_arena *arena, const char *allow, unsigned retry_after_s)
{
    int err = 0;
    if (allow)
        err = lg_response_header(response, arena, LG_SLICE("Allow"), lg_slice_of(allow));
    if (!err && retry_after_s > 0) {
        char digits[16];
        int len = snprintf(digits, sizeof digits, "%u", retry_after_s);
        err = lg_response_header(
            response, arena, LG_SLICE("Retry-After"), lg_slice_from(digits, (size_t)len));
    }
    return err;
}

int lg_http_error_page(struct lg_response *response, struct lg_arena *arena, int status,
    const char *allow, unsigned retry_after_s, struct lg_slice *ret_body)
{
    struct lg_response page = {.status = status};
    struct lg_slice body = {"", 0};
    int err = page_headers(&page, arena, allow, retry_after_s);
    if (err)
        return err == -LG_E_INVALID ? err : -LG_E_NOMEM;
    if (!has_no_content(status) && status != 205) {
        const char *reason = lg_http_reason(status);
        body = lg_slice_of(
            lg_arena_printf(arena, "<!DOCTYPE html>\n<title>%d %s</title>\n<h1>%d %s</h1>\n",
                status, reason, status, reason));
        if (!body.ptr)
            return -LG_E_NOMEM;
        err = lg_response_header(
            &page, arena, LG_SLICE("Content-Type"), LG_SLICE("text/html; charset=utf-8"));
        if (err)
            return err;
    }
    page.length = (int64_t)body.len;
    *response = page;
    *ret_body = body;
    return 0;
}
