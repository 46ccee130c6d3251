/* HTTP/1 requests: any bytes, cut anywhere, give the same outcome; and what the
 * request holds is sound (outcome.c aborts where it is not). The path also obeys
 * its own rules. The first byte chooses how the rest is cut.
 * SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_here)
{
    if (!true_here)
        abort();
}

static void must_equal(const struct lg_buf *a, const struct lg_buf *b)
{
    must(a->len == b->len && memcmp(a->ptr, b->ptr, a->len) == 0);
}

static void check(const char *data, size_t len, size_t step, const struct lg_http_limits *limits)
{
    struct lg_buf whole = {0};
    struct lg_buf bytes = {0};
    struct lg_buf cut = {0};
    outcome_http(data, len, 0, limits, &whole);
    outcome_http(data, len, 1, limits, &bytes);
    outcome_http(data, len, step, limits, &cut);
    must_equal(&whole, &bytes);
    must_equal(&whole, &cut);
    lg_buf_free(&whole);
    lg_buf_free(&bytes);
    lg_buf_free(&cut);
}

/* One head of its own: what the gate let through must be what it promises. */
static void check_head(const char *data, size_t len)
{
    struct lg_http_parser parser;
    struct lg_request request;
    struct lg_feed fed;
    size_t consumed;
    lg_request_init(&request, 0);
    lg_http_parser_init(&parser, NULL);
    lg_http_parser_begin(&parser, &request);
    lg_http_parser_feed(&parser, data, len, &consumed, &fed);
    if (fed.kind == LG_FEED_HEAD) {
        must(consumed >= 4 && memcmp(data + consumed - 4, "\r\n\r\n", 4) == 0);
        must(!memchr(data, '\0', consumed));
        for (size_t i = 0; i < consumed; i++) {
            must(data[i] != '\n' || (i > 0 && data[i - 1] == '\r'));
            must(data[i] != '\r' || (i + 1 < consumed && data[i + 1] == '\n'));
        }
        struct lg_slice path = lg_request_get(&request, LG_SLICE("PATH_INFO"));
        must(path.len > 0 && (path.ptr[0] == '/' || lg_slice_eq(path, LG_SLICE("*"))));
        must(!memmem(path.ptr, path.len, "//", 2) && !memmem(path.ptr, path.len, "/../", 4));
        must(path.len < 3 || memcmp(path.ptr + path.len - 3, "/..", 3) != 0);
        must(request.body_length >= LG_BODY_CHUNKED);
    }
    lg_http_parser_free(&parser);
    lg_request_free(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lg_http_limits small = {
        .uri_max = 16, .head_max = 96, .field_max = 24, .header_count_max = 3};
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t step = (size_t)data[0] + 2;
    check(bytes, size - 1, step, NULL);
    check(bytes, size - 1, step, &small);
    check_head(bytes, size - 1);
    return 0;
}
