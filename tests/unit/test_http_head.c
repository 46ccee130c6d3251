/* Answers: heads, chunk framing, error pages.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct row {
    const char *what;
    int status;
    int64_t length;
    enum lg_http_wire wire;
    uint8_t minor;
    bool is_head;
    bool keep;
    const char *lines; /* after the status line */
    enum lg_http_body body;
    bool keeps;
};

#define HTTP  LG_HTTP_WIRE_HTTP
#define UWSGI LG_HTTP_WIRE_UWSGI

static const struct row rows[] = {
    {"length", 200, 5, HTTP, 1, false, true, "Content-Length: 5\r\n", LG_HTTP_BODY_LENGTH, true},
    {"empty", 200, 0, HTTP, 1, false, true, "Content-Length: 0\r\n", LG_HTTP_BODY_NONE, true},
    {"close", 200, 5, HTTP, 1, false, false, "Content-Length: 5\r\nConnection: close\r\n",
        LG_HTTP_BODY_LENGTH, false},
    {"HEAD", 200, 5, HTTP, 1, true, true, "Content-Length: 5\r\n", LG_HTTP_BODY_NONE, true},
    {"unknown length", 200, -1, HTTP, 1, false, true, "Transfer-Encoding: chunked\r\n",
        LG_HTTP_BODY_CHUNKED, true},
    {"unknown length, close", 200, -1, HTTP, 1, false, false,
        "Transfer-Encoding: chunked\r\nConnection: close\r\n", LG_HTTP_BODY_CHUNKED, false},
    {"HEAD of unknown length", 200, -1, HTTP, 1, true, true, "Transfer-Encoding: chunked\r\n",
        LG_HTTP_BODY_NONE, true},
    {"1.0 with length", 200, 5, HTTP, 0, false, true,
        "Content-Length: 5\r\nConnection: keep-alive\r\n", LG_HTTP_BODY_LENGTH, true},
    {"1.0 of unknown length", 200, -1, HTTP, 0, false, true, "Connection: close\r\n",
        LG_HTTP_BODY_CLOSE, false},
    {"HEAD, 1.0, unknown length", 200, -1, HTTP, 0, true, true, "Connection: keep-alive\r\n",
        LG_HTTP_BODY_NONE, true},
    {"204", 204, 5, HTTP, 1, false, true, "", LG_HTTP_BODY_NONE, true},
    {"204 of unknown length", 204, -1, HTTP, 0, false, true, "Connection: keep-alive\r\n",
        LG_HTTP_BODY_NONE, true},
    {"304", 304, 5, HTTP, 1, false, true, "", LG_HTTP_BODY_NONE, true},
    {"205", 205, -1, HTTP, 1, false, true, "Content-Length: 0\r\n", LG_HTTP_BODY_NONE, true},
    {"uwsgi", 200, 5, UWSGI, 1, false, true, "Content-Length: 5\r\n", LG_HTTP_BODY_LENGTH, false},
    {"uwsgi of unknown length", 200, -1, UWSGI, 1, false, true, "", LG_HTTP_BODY_CLOSE, false},
    {"uwsgi 304", 304, 0, UWSGI, 1, false, true, "", LG_HTTP_BODY_NONE, false},
};

static void test_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct lg_response response = {.status = row->status, .length = row->length};
        struct lg_http_answer answer = {.wire = row->wire,
            .http_minor = row->minor,
            .is_head = row->is_head,
            .keep_alive = row->keep};
        struct lg_http_framing framing;
        struct lg_buf out = {0};
        char want[256];
        snprintf(want, sizeof want, "HTTP/1.1 %d %s\r\n%s\r\n", row->status,
            lg_http_reason(row->status), row->lines);
        assert_int_equal(lg_http_head_render(&response, &answer, &out, &framing), 0);
        assert_int_equal(lg_buf_append(&out, "", 1), 0);
        if (strcmp(out.ptr, want) != 0 || framing.body != row->body ||
            framing.keep_alive != row->keeps)
            fail_msg(
                "%s: body %d, keep %d\n%s", row->what, framing.body, framing.keep_alive, out.ptr);
        lg_buf_free(&out);
    }
}

static void test_headers(void **state)
{
    (void)state;
    struct lg_arena arena;
    struct lg_response response = {.status = 299, .length = 3};
    lg_arena_init(&arena, 0);
    static const char *const given[][2] = {{"X-One", "1"}, {"content-length", "99"},
        {"Transfer-encoding", "chunked"}, {"CONNECTION", "upgrade"}, {"Keep-Alive", "x"},
        {"Date", "never"}, {"server", "x"}, {"Set-Cookie", "a"}, {"Set-Cookie", "b"},
        {"Empty", ""}};
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        assert_int_equal(lg_response_header(
                             &response, &arena, lg_slice_of(given[i][0]), lg_slice_of(given[i][1])),
            0);
    struct lg_http_answer answer = {.http_minor = 1,
        .keep_alive = true,
        .date = LG_SLICE("Thu, 01 Jan 1970 00:00:00 GMT"),
        .server = LG_SLICE("Legatus")};
    struct lg_http_framing framing;
    struct lg_buf out = {0};
    assert_int_equal(lg_buf_puts(&out, "before|"), 0);
    assert_int_equal(lg_http_head_render(&response, &answer, &out, &framing), 0);
    assert_int_equal(lg_buf_append(&out, "", 1), 0);
    assert_string_equal(out.ptr,
        "before|HTTP/1.1 299 \r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: Legatus\r\n"
        "X-One: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nEmpty: \r\nContent-Length: 3\r\n\r\n");
    lg_buf_free(&out);
    lg_arena_free(&arena);
}

static void test_bad_status(void **state)
{
    (void)state;
    const int bad[] = {0, 99, 1000, -200};
    struct lg_http_answer answer = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lg_response response = {.status = bad[i]};
        struct lg_http_framing framing;
        struct lg_buf out = {0};
        assert_int_equal(lg_http_head_render(&response, &answer, &out, &framing), -LG_E_INVALID);
        assert_int_equal(out.len, 0);
    }
    assert_string_equal(lg_http_reason(404), "Not Found");
    assert_string_equal(lg_http_reason(299), "");
}

static void test_chunk_lines(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 65536, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char line[LG_HTTP_CHUNK_LINE_MAX];
        char want[32];
        int len = snprintf(want, sizeof want, "%zx\r\n", sizes[i]);
        assert_int_equal(lg_http_chunk_line(line, sizes[i]), len);
        assert_memory_equal(line, want, (size_t)len);
    }
}

static void test_error_pages(void **state)
{
    (void)state;
    struct lg_arena arena;
    struct lg_response response;
    struct lg_slice body;
    lg_arena_init(&arena, 0);
    assert_int_equal(lg_http_error_page(&response, &arena, 404, NULL, 0, &body), 0);
    assert_int_equal(response.status, 404);
    assert_int_equal(response.header_count, 1);
    assert_string_equal(response.headers[0].name.ptr, "Content-Type");
    assert_int_equal(response.length, body.len);
    assert_non_null(strstr(body.ptr, "404 Not Found"));
    assert_int_equal(lg_http_error_page(&response, &arena, 405, "GET, HEAD", 0, &body), 0);
    assert_int_equal(response.header_count, 2);
    assert_string_equal(response.headers[0].name.ptr, "Allow");
    assert_string_equal(response.headers[0].value.ptr, "GET, HEAD");
    assert_int_equal(lg_http_error_page(&response, &arena, 503, NULL, 30, &body), 0);
    assert_string_equal(response.headers[0].name.ptr, "Retry-After");
    assert_string_equal(response.headers[0].value.ptr, "30");
    assert_int_equal(lg_http_error_page(&response, &arena, 304, NULL, 0, &body), 0);
    assert_int_equal(body.len, 0);
    assert_int_equal(response.length, 0);
    assert_int_equal(
        lg_http_error_page(&response, &arena, 405, "GET\r\n", 0, &body), -LG_E_INVALID);
    lg_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_bad_status),
        cmocka_unit_test(test_chunk_lines),
        cmocka_unit_test(test_error_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
