/* The uwsgi protocol: packets understood and refused, whole and in pieces.
 * SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"
#include "uwsgi/uwsgi.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void put_string(struct lg_buf *packet, const char *text)
{
    size_t len = strlen(text);
    char le[2] = {(char)(len & 255), (char)(len >> 8)};
    assert_int_equal(lg_buf_append(packet, le, 2), 0);
    assert_int_equal(lg_buf_append(packet, text, len), 0);
}

/* A packet with modifiers 27 and 3 around `vars`, then `body`. */
static struct lg_buf wrap(const void *vars, size_t len, const char *body)
{
    struct lg_buf packet = {0};
    char header[4] = {27, (char)(len & 255), (char)(len >> 8), 3};
    assert_int_equal(lg_buf_append(&packet, header, 4), 0);
    assert_int_equal(lg_buf_append(&packet, vars, len), 0);
    assert_int_equal(lg_buf_puts(&packet, body), 0);
    return packet;
}

/* `pairs` ends with NULL. */
static struct lg_buf packet_of(const char *const *pairs, const char *body)
{
    struct lg_buf vars = {0};
    for (size_t i = 0; pairs[i]; i++)
        put_string(&vars, pairs[i]);
    struct lg_buf packet = wrap(vars.ptr, vars.len, body);
    lg_buf_free(&vars);
    return packet;
}

static void expect(struct lg_buf packet, size_t buffer_size, const char *outcome)
{
    for (size_t step = 0; step <= 9; step++) {
        struct lg_buf got = {0};
        outcome_uwsgi(packet.ptr, packet.len, step, buffer_size, &got);
        assert_int_equal(lg_buf_append(&got, "", 1), 0);
        assert_string_equal(got.ptr, outcome);
        lg_buf_free(&got);
    }
    lg_buf_free(&packet);
}

static void expect_vars(const char *const *pairs, const char *body, const char *outcome)
{
    expect(packet_of(pairs, body), 0, outcome);
}

static void test_understood(void **state)
{
    (void)state;
    expect_vars((const char *const[]){"REQUEST_METHOD", "GET", "PATH_INFO", "/a//../b",
                    "QUERY_STRING", "", "CONTENT_LENGTH", "", "SERVER_PROTOCOL", "HTTP/1.0", NULL},
        "",
        "HEAD method=0 modifiers=27,3 minor=0 keep=0 length=0 expect=0\n"
        "REQUEST_METHOD=GET\nPATH_INFO=/b\nQUERY_STRING=\nCONTENT_LENGTH=\n"
        "SERVER_PROTOCOL=HTTP/1.0\nEND\n");
    expect_vars((const char *const[]){"CONTENT_LENGTH", "5", "REQUEST_METHOD", "PUT", NULL},
        "hello and more",
        "HEAD method=2 modifiers=27,3 minor=1 keep=0 length=5 expect=0\n"
        "CONTENT_LENGTH=5\nREQUEST_METHOD=PUT\nBODY=hello\nEND\n");
    expect_vars((const char *const[]){"REQUEST_METHOD", "HEAD", "PATH_INFO", "", NULL}, "",
        "HEAD method=1 modifiers=27,3 minor=1 keep=0 length=0 expect=0\n"
        "REQUEST_METHOD=HEAD\nPATH_INFO=\nEND\n");
}

static void test_named_twice(void **state)
{
    (void)state;
    expect_vars((const char *const[]){"A", "1", "REQUEST_METHOD", "GET", "HTTP_A", "x", "A", "2",
                    "HTTP_COOKIE", "a=1", "HTTP_HOST", "one", "HTTP_A", "y", "HTTP_COOKIE", "b=2",
                    "HTTP_HOST", "two", "CONTENT_LENGTH", "0", "CONTENT_LENGTH", "0", NULL},
        "",
        "HEAD method=0 modifiers=27,3 minor=1 keep=0 length=0 expect=0\n"
        "A=2\nREQUEST_METHOD=GET\nHTTP_A=x, y\nHTTP_COOKIE=a=1; b=2\nHTTP_HOST=two\n"
        "CONTENT_LENGTH=0\nEND\n");
    expect_vars((const char *const[]){"REQUEST_METHOD", "GET", "PATH_INFO", "/..", "PATH_INFO",
                    "/a/./b", NULL},
        "",
        "HEAD method=0 modifiers=27,3 minor=1 keep=0 length=0 expect=0\n"
        "REQUEST_METHOD=GET\nPATH_INFO=/a/b\nEND\n");
}

static void test_refused_values(void **state)
{
    (void)state;
    static const char *const rows[][8] = {
        {"PATH_INFO", "/"},
        {"REQUEST_METHOD", ""},
        {"REQUEST_METHOD", "GET", "PATH_INFO", "a"},
        {"REQUEST_METHOD", "GET", "PATH_INFO", "/.."},
        {"REQUEST_METHOD", "GET", "PATH_INFO", "/a/../../b"},
        {"REQUEST_METHOD", "GET", "", "x"},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "-1"},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "+1"},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "1 "},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "1,1"},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "9223372036854775808"},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "1", "CONTENT_LENGTH", "2"},
        {"REQUEST_METHOD", "GET", "CONTENT_LENGTH", "", "CONTENT_LENGTH", "2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_vars(rows[i], "", "ERROR 400\n");
}

static void test_refused_packets(void **state)
{
    (void)state;
    static const struct {
        const char *vars;
        size_t len;
    } rows[] = {
        {"", 0},
        {"\1", 1},
        {"\1\0A", 3},
        {"\1\0A\1", 4},
        {"\1\0A\1\0", 5},
        {"\2\0A\1\0B", 6},
        {"\xff\xff", 2},
        {"\1\0A\xff\xff", 5},
        {"\0\0\1\0A", 5},
        {"\1\0A\1\0\0", 6},
        {"\1\0\0\1\0A", 6},
        {"\1\0A\1\0B\1", 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(wrap(rows[i].vars, rows[i].len, ""), 0, "ERROR 400\n");
}

static void test_limits(void **state)
{
    (void)state;
    const char *const pairs[] = {"REQUEST_METHOD", "GET", NULL}; /* 21 bytes */
    const char *good = "HEAD method=0 modifiers=27,3 minor=1 keep=0 length=0 expect=0\n"
                       "REQUEST_METHOD=GET\nEND\n";
    expect(packet_of(pairs, ""), 21, good);
    expect(packet_of(pairs, ""), 20, "ERROR 431\n");
    struct lg_buf vars = {0};
    for (int i = 0; i < 257; i++) {
        char name[8];
        snprintf(name, sizeof name, "V%d", i);
        put_string(&vars, name);
        put_string(&vars, "");
    }
    expect(wrap(vars.ptr, vars.len, ""), 0, "ERROR 431\n");
    lg_buf_free(&vars);
    char *big = calloc(1, 65000);
    assert_non_null(big);
    memset(big, 'x', 64999);
    struct lg_buf packet = packet_of((const char *const[]){"REQUEST_METHOD", big, NULL}, "");
    struct lg_buf got = {0};
    outcome_uwsgi(packet.ptr, packet.len, 1000, 0, &got);
    assert_true(got.len > 65000);
    lg_buf_free(&got);
    lg_buf_free(&packet);
    free(big);
}

static void test_unfinished(void **state)
{
    (void)state;
    struct lg_buf whole = packet_of((const char *const[]){"REQUEST_METHOD", "GET", NULL}, "");
    for (size_t len = 0; len < whole.len; len++) {
        struct lg_buf got = {0};
        outcome_uwsgi(whole.ptr, len, 0, 0, &got);
        assert_int_equal(lg_buf_append(&got, "", 1), 0);
        assert_string_equal(got.ptr, len ? "MORE\n" : "MORE idle\n");
        lg_buf_free(&got);
    }
    lg_buf_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_understood),
        cmocka_unit_test(test_named_twice),
        cmocka_unit_test(test_refused_values),
        cmocka_unit_test(test_refused_packets),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_unfinished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
