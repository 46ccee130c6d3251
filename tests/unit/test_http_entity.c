/* Conditional requests and ranges over a file of 100 bytes: each row gives the
 * request's headers and the whole answer as text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "http/entity.h"
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MTIME_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NOW_S   1700000000
#define DATE    "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER   "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct lg_http_entity file = {
    .size = 100, .mtime_s = MTIME_S, .etag = "\"tag\"", .content_type = "text/plain"};

struct row {
    const char *headers; /* "NAME=value\n" each */
    const char *answer;
};

static void set_vars(struct lg_request *request, const char *text)
{
    struct lg_slice rest = lg_slice_of(text);
    while (rest.len > 0) {
        struct lg_slice value;
        struct lg_slice name = lg_slice_cut(lg_slice_cut(rest, '\n', &rest), '=', &value);
        assert_int_equal(lg_request_set(request, name, value), 0);
    }
}

/* "STATUS length\n", headers, and the segments: text as it is, the file's as
 * [first-last]. */
static struct lg_buf answer_of(
    enum lg_method method, const struct lg_http_entity *entity, const char *headers, int64_t now_s)
{
    struct lg_request request;
    struct lg_response response = {.status = 77};
    struct lg_http_plan plan = {.length = -77};
    struct lg_buf out = {0};
    lg_request_init(&request, 0);
    request.method = method;
    set_vars(&request, headers);
    int verdict =
        lg_http_entity_answer(&request, entity, 0xabcdef, now_s, &request.arena, &response, &plan);
    assert_true(verdict == 0 || verdict == 1);
    assert_int_equal(
        lg_buf_printf(&out, "%d %lld\n", response.status, (long long)response.length), 0);
    for (size_t i = 0; i < response.header_count; i++)
        assert_int_equal(lg_buf_printf(&out, "%s: %s\n", response.headers[i].name.ptr,
                             response.headers[i].value.ptr),
            0);
    int64_t length = 0;
    for (size_t i = 0; verdict == 1 && i < plan.segment_count; i++) {
        const struct lg_http_segment *segment = &plan.segments[i];
        length += segment->length;
        if (segment->text) {
            assert_int_equal(strlen(segment->text), segment->length);
            assert_int_equal(segment->offset, 0);
            assert_int_equal(lg_buf_puts(&out, segment->text), 0);
            continue;
        }
        assert_true(segment->length > 0 && segment->offset + segment->length <= entity->size);
        assert_int_equal(lg_buf_printf(&out, "[%lld-%lld]", (long long)segment->offset,
                             (long long)(segment->offset + segment->length - 1)),
            0);
    }
    if (verdict == 1) {
        assert_int_equal(plan.length, length);
        assert_int_equal(response.length, length);
    }
    assert_int_equal(lg_buf_append(&out, "", 1), 0);
    lg_request_free(&request);
    return out;
}

static void expect(enum lg_method method, const struct lg_http_entity *entity, const char *headers,
    int64_t now_s, const char *answer)
{
    struct lg_buf got = answer_of(method, entity, headers, now_s);
    if (strcmp(got.ptr, answer) != 0)
        fail_msg("%s\n--- wanted\n%s\n--- got\n%s", headers, answer, got.ptr);
    lg_buf_free(&got);
}

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(LG_METHOD_GET, &file, rows[i].headers, NOW_S, rows[i].answer);
}

#define VALIDATORS "ETag: \"tag\"\nLast-Modified: " DATE "\n"
#define HEAD_200   "200 100\n" VALIDATORS "Accept-Ranges: bytes\nContent-Type: text/plain\n"
#define A200       HEAD_200 "[0-99]"
#define A304       "304 0\n" VALIDATORS
#define A412       "412 0\n"
#define A416       "416 0\nAccept-Ranges: bytes\nContent-Range: bytes */100\n"
#define A206(length, range)                                                                        \
    "206 " length "\n" VALIDATORS                                                                  \
    "Accept-Ranges: bytes\nContent-Type: text/plain\nContent-Range: bytes " range "/100\n[" range  \
    "]"

static void test_preconditions(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", A200},
        {"HTTP_IF_MATCH=*\n", A200},
        {"HTTP_IF_MATCH=\"tag\"\n", A200},
        {"HTTP_IF_MATCH=\"a\", \"tag\"\n", A200},
        {"HTTP_IF_MATCH=\"a,b\" ,\"tag\"\n", A200},
        {"HTTP_IF_MATCH=\"other\"\n", A412},
        {"HTTP_IF_MATCH=W/\"tag\"\n", A412},
        {"HTTP_IF_MATCH=tag\n", A412},
        {"HTTP_IF_MATCH=\n", A412},
        {"HTTP_IF_MATCH=\"other\"\nHTTP_IF_NONE_MATCH=\"tag\"\n", A412},
        {"HTTP_IF_MATCH=\"tag\"\nHTTP_IF_NONE_MATCH=\"tag\"\n", A304},
        {"HTTP_IF_MATCH=\"tag\"\nHTTP_IF_UNMODIFIED_SINCE=" EARLIER "\n", A200},
        {"HTTP_IF_UNMODIFIED_SINCE=" DATE "\n", A200},
        {"HTTP_IF_UNMODIFIED_SINCE=" LATER "\n", A200},
        {"HTTP_IF_UNMODIFIED_SINCE=" EARLIER "\n", A412},
        {"HTTP_IF_UNMODIFIED_SINCE=yesterday\n", A200},
        {"HTTP_IF_NONE_MATCH=*\n", A304},
        {"HTTP_IF_NONE_MATCH=\"tag\"\n", A304},
        {"HTTP_IF_NONE_MATCH=W/\"tag\"\n", A304},
        {"HTTP_IF_NONE_MATCH=\"a\",,W/\"b\" , \"tag\"\n", A304},
        {"HTTP_IF_NONE_MATCH=\"tag\n", A200},
        {"HTTP_IF_NONE_MATCH=\"Tag\"\n", A200},
        {"HTTP_IF_NONE_MATCH=\"other\"\nHTTP_IF_MODIFIED_SINCE=" DATE "\n", A200},
        {"HTTP_IF_NONE_MATCH=\"tag\"\nHTTP_IF_MODIFIED_SINCE=" EARLIER "\n", A304},
        {"HTTP_IF_MODIFIED_SINCE=" DATE "\n", A304},
        {"HTTP_IF_MODIFIED_SINCE=" LATER "\n", A304},
        {"HTTP_IF_MODIFIED_SINCE=" EARLIER "\n", A200},
        {"HTTP_IF_MODIFIED_SINCE=Sunday, 06-Nov-94 08:49:37 GMT\n", A304},
        {"HTTP_IF_MODIFIED_SINCE=Sun Nov  6 08:49:37 1994\n", A304},
        {"HTTP_IF_MODIFIED_SINCE=never\n", A200},
        {"HTTP_IF_NONE_MATCH=\"tag\"\nHTTP_RANGE=bytes=0-1\n", A304},
        {"HTTP_IF_MATCH=\"x\"\nHTTP_RANGE=bytes=0-1\n", A412},
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

static void test_single_ranges(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"HTTP_RANGE=bytes=0-0\n", A206("1", "0-0")},
        {"HTTP_RANGE=bytes=0-99\n", A206("100", "0-99")},
        {"HTTP_RANGE=bytes=99-\n", A206("1", "99-99")},
        {"HTTP_RANGE=bytes=10-19\n", A206("10", "10-19")},
        {"HTTP_RANGE=bytes=90-200\n", A206("10", "90-99")},
        {"HTTP_RANGE=bytes=90-99999999999999999999\n", A206("10", "90-99")},
        {"HTTP_RANGE=bytes=-1\n", A206("1", "99-99")},
        {"HTTP_RANGE=bytes=-100\n", A206("100", "0-99")},
        {"HTTP_RANGE=bytes=-99999999999999999999\n", A206("100", "0-99")},
        {"HTTP_RANGE=Bytes=0-0\n", A206("1", "0-0")},
        {"HTTP_RANGE=bytes= 0-0 ,\n", A206("1", "0-0")},
        {"HTTP_RANGE=bytes=0-0,200-300\n", A206("1", "0-0")},
        {"HTTP_RANGE=bytes=100-\n", A416},
        {"HTTP_RANGE=bytes=100-200\n", A416},
        {"HTTP_RANGE=bytes=99999999999999999999-\n", A416},
        {"HTTP_RANGE=bytes=-0\n", A416},
        {"HTTP_RANGE=bytes=100-,-0\n", A416},
        {"HTTP_RANGE=bytes=5-4\n", A200},
        {"HTTP_RANGE=bytes=0-0,5-4\n", A200},
        {"HTTP_RANGE=bytes=\n", A200},
        {"HTTP_RANGE=bytes=,\n", A200},
        {"HTTP_RANGE=bytes=-\n", A200},
        {"HTTP_RANGE=bytes=a-b\n", A200},
        {"HTTP_RANGE=bytes=0-0x5\n", A200},
        {"HTTP_RANGE=bytes=0--5\n", A200},
        {"HTTP_RANGE=bytes=+0-5\n", A200},
        {"HTTP_RANGE=bytes=0 - 5\n", A200},
        {"HTTP_RANGE=bytes=5\n", A200},
        {"HTTP_RANGE=bytes 0-5\n", A200},
        {"HTTP_RANGE=lines=0-5\n", A200},
        {"HTTP_RANGE=\n", A200},
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

#define PART(range)                                                                                \
    "--0000000000abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes " range                \
    "/100\r\n\r\n[" range "]"
#define MULTI(length)                                                                              \
    "206 " length "\n" VALIDATORS                                                                  \
    "Accept-Ranges: bytes\nContent-Type: multipart/byteranges; boundary=0000000000abcdef\n"
#define FINAL "\r\n--0000000000abcdef--\r\n"

static void test_many_ranges(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"HTTP_RANGE=bytes=0-0,50-59\n", MULTI("205") PART("0-0") "\r\n" PART("50-59") FINAL},
        {"HTTP_RANGE=bytes=50-59, 0-0\n", MULTI("205") PART("50-59") "\r\n" PART("0-0") FINAL},
        {"HTTP_RANGE=bytes=0-10,5-20\n", A206("21", "0-20")},
        {"HTTP_RANGE=bytes=0-10,11-20\n", A206("21", "0-20")},
        {"HTTP_RANGE=bytes=5-20,0-10\n", A206("21", "0-20")},
        {"HTTP_RANGE=bytes=0-99,0-99,0-99,-100\n", A206("100", "0-99")},
        {"HTTP_RANGE=bytes=0-1,98-99,2-97\n", A206("100", "0-99")},
        {"HTTP_RANGE=bytes=50-59,0-9,80-89,55-79\n",
            MULTI("206") PART("50-89") "\r\n" PART("0-9") FINAL},
        {"HTTP_RANGE=bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,"
         "26-26,28-28,30-30,32-32\n",
            A200}, /* 17 */
    };
    /* The lengths in MULTI are checked against the segments; here they are read
     * from the answer itself. */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lg_buf got = answer_of(LG_METHOD_GET, &file, rows[i].headers, NOW_S);
        const char *want = strchr(rows[i].answer, '\n');
        const char *is = strchr(got.ptr, '\n');
        assert_string_equal(is, want);
        assert_memory_equal(got.ptr, rows[i].answer, 4);
        lg_buf_free(&got);
    }
}

static void test_if_range(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=\"tag\"\n", A206("1", "0-0")},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=\"other\"\n", A200},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=W/\"tag\"\n", A200},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=\"tag\", \"x\"\n", A200},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=*\n", A200},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=" DATE "\n", A206("1", "0-0")},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=" LATER "\n", A200},
        {"HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=" EARLIER "\n", A200},
        {"HTTP_RANGE=bytes=200-\nHTTP_IF_RANGE=\"other\"\n", A200},
        {"HTTP_IF_RANGE=\"tag\"\n", A200},
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
    /* A date names a second; while it lasts it is no strong validator. */
    expect(LG_METHOD_GET, &file, "HTTP_RANGE=bytes=0-0\nHTTP_IF_RANGE=" DATE "\n", MTIME_S, A200);
}

static void test_methods(void **state)
{
    (void)state;
    expect(LG_METHOD_HEAD, &file, "", NOW_S, HEAD_200);
    expect(LG_METHOD_HEAD, &file, "HTTP_RANGE=bytes=0-0\n", NOW_S, HEAD_200);
    expect(LG_METHOD_HEAD, &file, "HTTP_IF_NONE_MATCH=\"tag\"\n", NOW_S, A304);
    expect(LG_METHOD_HEAD, &file, "HTTP_IF_MATCH=\"x\"\n", NOW_S, A412);
    expect(LG_METHOD_OTHER, &file, "HTTP_IF_NONE_MATCH=*\n", NOW_S, A412);
}

static void test_odd_entities(void **state)
{
    (void)state;
    const struct lg_http_entity empty = {
        .size = 0, .mtime_s = MTIME_S, .etag = NULL, .content_type = NULL};
    const char *empty_200 = "200 0\nLast-Modified: " DATE
                            "\nAccept-Ranges: bytes\nContent-Type: application/octet-stream\n";
    expect(LG_METHOD_GET, &empty, "", NOW_S, empty_200);
    expect(LG_METHOD_GET, &empty, "HTTP_RANGE=bytes=0-\n", NOW_S,
        "416 0\nAccept-Ranges: bytes\nContent-Range: bytes */0\n");
    expect(LG_METHOD_GET, &empty, "HTTP_IF_NONE_MATCH=\"tag\"\n", NOW_S, empty_200);
    expect(LG_METHOD_GET, &empty, "HTTP_IF_MATCH=\"tag\"\n", NOW_S, A412);
    expect(LG_METHOD_GET, &empty, "HTTP_IF_MATCH=*\n", NOW_S, empty_200);
    const struct lg_http_entity weak = {
        .size = 1, .mtime_s = MTIME_S, .etag = "W/\"t\"", .content_type = "a/b"};
    expect(LG_METHOD_GET, &weak, "HTTP_IF_NONE_MATCH=\"t\"\n", NOW_S,
        "304 0\nETag: W/\"t\"\nLast-Modified: " DATE "\n");
    expect(LG_METHOD_GET, &weak, "HTTP_IF_MATCH=W/\"t\"\n", NOW_S, A412);
    const struct lg_http_entity future = {
        .size = 1, .mtime_s = NOW_S + 1, .etag = NULL, .content_type = "a/b"};
    expect(
        LG_METHOD_GET, &future, "", NOW_S, "200 1\nAccept-Ranges: bytes\nContent-Type: a/b\n[0-0]");
    const struct lg_http_entity huge = {
        .size = INT64_MAX, .mtime_s = MTIME_S, .etag = NULL, .content_type = "a/b"};
    expect(LG_METHOD_GET, &huge, "HTTP_RANGE=bytes=9223372036854775806-\n", NOW_S,
        "206 1\nLast-Modified: " DATE "\nAccept-Ranges: bytes\nContent-Type: a/b\n"
        "Content-Range: bytes 9223372036854775806-9223372036854775806/9223372036854775807\n"
        "[9223372036854775806-9223372036854775806]");
}

/* What may be said besides: in every answer, in those that stand for the file,
 * in those that carry bytes. */
static void test_encoding_and_expiry(void **state)
{
    (void)state;
    struct lg_http_entity it = {.size = 100,
        .mtime_s = MTIME_S,
        .etag = "\"tag\"",
        .content_type = "text/css",
        .encoding = "br",
        .varies = "Accept-Encoding",
        .expires = LG_HTTP_EXPIRES_FROM_NOW,
        .expires_after_s = 3600};
#define VARY  "Vary: Accept-Encoding\n"
#define FRESH "Cache-Control: max-age=3600\nExpires: Tue, 14 Nov 2023 23:13:20 GMT\n"
#define BR                                                                                         \
    VALIDATORS "Accept-Ranges: bytes\n" VARY FRESH "Content-Encoding: br\nContent-Type: "          \
               "text/css\n"
    expect(LG_METHOD_GET, &it, "", NOW_S, "200 100\n" BR "[0-99]");
    expect(LG_METHOD_HEAD, &it, "", NOW_S, "200 100\n" BR);
    expect(LG_METHOD_GET, &it, "HTTP_RANGE=bytes=98-\n", NOW_S,
        "206 2\n" BR "Content-Range: bytes 98-99/100\n[98-99]");
    expect(
        LG_METHOD_GET, &it, "HTTP_IF_NONE_MATCH=\"tag\"\n", NOW_S, "304 0\n" VALIDATORS VARY FRESH);
    expect(LG_METHOD_GET, &it, "HTTP_IF_MATCH=\"other\"\n", NOW_S, "412 0\n" VARY);
    expect(LG_METHOD_GET, &it, "HTTP_RANGE=bytes=100-\n", NOW_S,
        "416 0\n"
        "Accept-Ranges: bytes\n" VARY "Content-Range: bytes */100\n");
    it.encoding = it.varies = NULL;
    it.expires = LG_HTTP_EXPIRES_FROM_MTIME;
    expect(LG_METHOD_GET, &it, "", MTIME_S + 600,
        "200 100\n" VALIDATORS "Accept-Ranges: bytes\nCache-Control: max-age=3000\n"
        "Expires: Sun, 06 Nov 1994 09:49:37 GMT\nContent-Type: text/css\n[0-99]");
    expect(LG_METHOD_GET, &it, "", NOW_S, /* over long ago */
        "200 100\n" VALIDATORS "Accept-Ranges: bytes\nCache-Control: max-age=0\n"
        "Expires: Sun, 06 Nov 1994 09:49:37 GMT\nContent-Type: text/css\n[0-99]");
}

/* A head made before is the head that would have been made. */
static void test_lines(void **state)
{
    (void)state;
    static const struct lg_http_entity plain[] = {
        {.size = 100, .mtime_s = MTIME_S, .etag = "\"tag\"", .content_type = "text/plain"},
        {.size = 0, .mtime_s = MTIME_S},
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        struct lg_buf lines = {0};
        struct lg_http_entity ready = plain[i];
        assert_int_equal(lg_http_entity_lines(&ready, NOW_S, &lines), 0);
        ready.lines = lines.ptr;
        ready.lines_len = lines.len;
        struct lg_buf heads[2] = {{0}};
        for (size_t k = 0; k < 2; k++) {
            struct lg_request request;
            struct lg_response response = {0};
            struct lg_http_plan plan;
            struct lg_http_framing framing;
            const struct lg_http_answer answer = {.http_minor = 1, .keep_alive = true};
            lg_request_init(&request, 0);
            request.method = LG_METHOD_GET;
            assert_int_equal(lg_http_entity_answer(&request, k ? &ready : &plain[i], 1, NOW_S,
                                 &request.arena, &response, &plan),
                1);
            assert_int_equal(plan.length, plain[i].size);
            assert_int_equal(lg_http_head_render(&response, &answer, &heads[k], &framing), 0);
            lg_request_free(&request);
        }
        assert_int_equal(heads[0].len, heads[1].len);
        assert_memory_equal(heads[0].ptr, heads[1].ptr, heads[0].len);
        lg_buf_free(&heads[0]);
        lg_buf_free(&heads[1]);
        lg_buf_free(&lines);
    }
    struct lg_buf none = {0};
    const struct lg_http_entity future = {.size = 1, .mtime_s = NOW_S + 1, .content_type = "a/b"};
    const struct lg_http_entity forged = {.size = 1, .mtime_s = MTIME_S, .etag = "\"a\r\nX: y\""};
    assert_int_equal(lg_http_entity_lines(&future, NOW_S, &none), -LG_E_INVALID);
    assert_int_equal(lg_http_entity_lines(&forged, NOW_S, &none), -LG_E_INVALID);
    assert_int_equal(none.len, 0);
    lg_buf_free(&none);
}

/* What changes from answer to answer is said beside them. */
static void test_lines_and_expiry(void **state)
{
    (void)state;
    static const char lines[] = "ETag: \"tag\"\r\nContent-Type: text/css\r\n";
    const struct lg_http_entity it = {.size = 100,
        .mtime_s = MTIME_S,
        .etag = "\"tag\"",
        .content_type = "text/css",
        .varies = "Accept-Encoding",
        .expires = LG_HTTP_EXPIRES_FROM_NOW,
        .expires_after_s = 3600,
        .lines = lines,
        .lines_len = sizeof lines - 1};
    expect(LG_METHOD_GET, &it, "", NOW_S, "200 100\n" VARY FRESH "[0-99]");
}

static void test_bad_entities(void **state)
{
    (void)state;
    static const struct lg_http_entity bad[] = {
        {.size = -1, .mtime_s = 0, .etag = NULL, .content_type = NULL},
        {.size = 1, .mtime_s = 0, .etag = "\"a\r\nX: y\"", .content_type = NULL},
        {.size = 1, .mtime_s = 0, .etag = NULL, .content_type = "a/b\r\nX: y"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lg_request request;
        struct lg_response response = {0};
        struct lg_http_plan plan;
        lg_request_init(&request, 0);
        request.method = LG_METHOD_GET;
        assert_int_equal(
            lg_http_entity_answer(&request, &bad[i], 1, NOW_S, &request.arena, &response, &plan),
            -LG_E_INVALID);
        lg_request_free(&request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preconditions),
        cmocka_unit_test(test_single_ranges),
        cmocka_unit_test(test_many_ranges),
        cmocka_unit_test(test_if_range),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_odd_entities),
        cmocka_unit_test(test_encoding_and_expiry),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_and_expiry),
        cmocka_unit_test(test_bad_entities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
