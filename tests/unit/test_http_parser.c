/* HTTP/1 requests: what is understood, what is refused, one case at a time; and
 * each case fed whole and byte by byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/parser.h"
#include "outcome.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define R11  "GET / HTTP/1.1\r\n"
#define HOST "Host: h\r\n"
#define GET  R11 HOST
#define POST "POST / HTTP/1.1\r\n" HOST

struct text {
    const char *ptr;
    size_t len;
};

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* The outcome, checked to be the same however the bytes are cut. */
static struct lg_buf outcome_of(struct text input, const struct lg_http_limits *limits)
{
    struct lg_buf whole = {0};
    outcome_http(input.ptr, input.len, 0, limits, &whole);
    const size_t steps[] = {1, 2, 3, 7, 64};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct lg_buf cut = {0};
        outcome_http(input.ptr, input.len, steps[i], limits, &cut);
        if (cut.len != whole.len || memcmp(cut.ptr, whole.ptr, whole.len) != 0)
            fail_msg("%.60s: whole\n%.*s\nin steps of %zu\n%.*s", input.ptr, (int)whole.len,
                whole.ptr, steps[i], (int)cut.len, cut.ptr);
        lg_buf_free(&cut);
    }
    assert_int_equal(lg_buf_append(&whole, "", 1), 0);
    return whole;
}

static void expect_has(struct text input, const char *line)
{
    struct lg_buf got = outcome_of(input, NULL);
    if (!strstr(got.ptr, line))
        fail_msg("%s\n--- gave\n%s--- without\n%s", input.ptr, got.ptr, line);
    lg_buf_free(&got);
}

static void expect_not(struct text input, const char *line)
{
    struct lg_buf got = outcome_of(input, NULL);
    if (strstr(got.ptr, line))
        fail_msg("%s\n--- gave\n%s--- with\n%s", input.ptr, got.ptr, line);
    lg_buf_free(&got);
}

/* ---- understood ---- */

static void test_whole_outcomes(void **state)
{
    (void)state;
    static const struct {
        struct text input;
        const char *outcome;
    } cases[] = {
        {TEXT("GET /a%20b/../c?x=%41&y HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n"),
            "HEAD method=0 modifiers=0,0 minor=1 keep=1 length=0 expect=0\n"
            "REQUEST_METHOD=GET\nREQUEST_URI=/a%20b/../c?x=%41&y\nPATH_INFO=/c\n"
            "QUERY_STRING=x=%41&y\nHTTP_HOST=Example.com:8080\nSERVER_PROTOCOL=HTTP/1.1\n"
            "SCRIPT_NAME=\nEND\nMORE idle\n"},
        {TEXT("POST /f HTTP/1.0\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello"),
            "HEAD method=2 modifiers=0,0 minor=0 keep=0 length=5 expect=0\n"
            "REQUEST_METHOD=POST\nREQUEST_URI=/f\nPATH_INFO=/f\nQUERY_STRING=\n"
            "CONTENT_TYPE=a/b\nCONTENT_LENGTH=5\nSERVER_PROTOCOL=HTTP/1.0\nSCRIPT_NAME=\n"
            "BODY=hello\nEND\nMORE idle\n"},
        {TEXT("\r\n\r\nHEAD / HTTP/1.1\r\nhost:h\r\n\r\n\r\n"),
            "HEAD method=1 modifiers=0,0 minor=1 keep=1 length=0 expect=0\n"
            "REQUEST_METHOD=HEAD\nREQUEST_URI=/\nPATH_INFO=/\nQUERY_STRING=\nHTTP_HOST=h\n"
            "SERVER_PROTOCOL=HTTP/1.1\nSCRIPT_NAME=\nEND\nMORE idle\n"},
        {TEXT(""), "MORE idle\n"},
        {TEXT("\r\n"), "MORE idle\n"},
        {TEXT("G"), "MORE\n"},
        {TEXT(GET), "MORE\n"},
        {TEXT(GET "\r"), "MORE\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lg_buf got = outcome_of(cases[i].input, NULL);
        assert_string_equal(got.ptr, cases[i].outcome);
        lg_buf_free(&got);
    }
}

static void test_pipelining(void **state)
{
    (void)state;
    struct text input = TEXT(
        GET "\r\n" POST "Content-Length: 3\r\n\r\nabc" POST "Transfer-Encoding: chunked\r\n\r\n"
            "3;x=\"y\"\r\nfoo\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n" GET
            "Connection: close\r\n\r\n");
    struct lg_buf got = outcome_of(input, NULL);
    const char *at = got.ptr;
    const char *const lines[] = {"length=0 ", "END\n", "length=3 ", "BODY=abc\n", "END\n",
        "length=-1 ", "BODY=foo0123456789\n", "END\n", "keep=0", "END\nMORE idle\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        at = strstr(at, lines[i]);
        assert_non_null(at);
        at += strlen(lines[i]);
    }
    assert_null(strstr(got.ptr, "ERROR"));
    lg_buf_free(&got);
}

/* END says where the next request begins, and touches nothing of it. */
static void test_consumed(void **state)
{
    (void)state;
    static const char bytes[] = POST "Content-Length: 2\r\n\r\nokGET /next";
    struct lg_http_parser parser;
    struct lg_request request;
    struct lg_feed fed;
    size_t at = 0;
    size_t consumed;
    lg_request_init(&request, 0);
    lg_http_parser_init(&parser, NULL);
    lg_http_parser_begin(&parser, &request);
    assert_true(lg_http_parser_is_idle(&parser));
    lg_http_parser_feed(&parser, bytes, sizeof bytes - 1, &consumed, &fed);
    at += consumed;
    assert_int_equal(fed.kind, LG_FEED_HEAD);
    assert_false(lg_http_parser_is_idle(&parser));
    lg_http_parser_feed(&parser, bytes + at, sizeof bytes - 1 - at, &consumed, &fed);
    at += consumed;
    assert_int_equal(fed.kind, LG_FEED_BODY);
    assert_memory_equal(fed.body.ptr, "ok", 2);
    lg_http_parser_feed(&parser, bytes + at, sizeof bytes - 1 - at, &consumed, &fed);
    assert_int_equal(fed.kind, LG_FEED_END);
    assert_int_equal(consumed, 0);
    assert_string_equal(bytes + at, "GET /next");
    assert_true(sizeof parser < 512);
    lg_http_parser_free(&parser);
    lg_request_free(&request);
}

static void test_variables(void **state)
{
    (void)state;
    static const struct {
        struct text input;
        const char *line;
    } has[] = {
        {TEXT(GET "X-Up: 1\r\n\r\n"), "\nHTTP_X_UP=1\n"},
        {TEXT(GET "x-low:\t v\t w \t\r\n\r\n"), "\nHTTP_X_LOW=v\t w\n"},
        {TEXT(GET "Empty:\r\nB: 2\r\n\r\n"), "\nHTTP_EMPTY=\nHTTP_B=2\n"},
        {TEXT(GET "Empty:  \r\n\r\n"), "\nHTTP_EMPTY=\n"},
        {TEXT(GET "A: 1\r\nB: 2\r\nA: 3\r\na: 4\r\n\r\n"), "\nHTTP_A=1, 3, 4\nHTTP_B=2\n"},
        {TEXT(GET "Cookie: a=1\r\nCookie: b=2\r\n\r\n"), "\nHTTP_COOKIE=a=1; b=2\n"},
        {TEXT(GET "A: \xc3\xa4\r\n\r\n"), "\nHTTP_A=\xc3\xa4\n"},
        {TEXT("GET http://o.example/p?q HTTP/1.1\r\n" HOST "\r\n"), "\nHTTP_HOST=o.example\n"},
        {TEXT("GET http://o.example/p?q HTTP/1.1\r\n" HOST "\r\n"), "\nREQUEST_URI=/p?q\n"},
        {TEXT("GET HTTPS://o HTTP/1.1\r\n" HOST "\r\n"), "\nPATH_INFO=/\n"},
        {TEXT("GET http://o?q=/ HTTP/1.1\r\n" HOST "\r\n"),
            "\nREQUEST_URI=/?q=/\nPATH_INFO=/\nQUERY_STRING=q=/\n"},
        {TEXT("GET http://[::1]:80/ HTTP/1.1\r\n" HOST "\r\n"), "\nHTTP_HOST=[::1]:80\n"},
        {TEXT("GET http://o/ HTTP/1.0\r\n\r\n"), "\nHTTP_HOST=o\n"},
        {TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
            "\nREQUEST_URI=*\nPATH_INFO=*\nQUERY_STRING=\n"},
        {TEXT("GET /%2e%2e/ HTTP/1.1\r\n" HOST "\r\n"), "ERROR 400"},
        {TEXT("GET /a/%2e%2e/b HTTP/1.1\r\n" HOST "\r\n"), "\nPATH_INFO=/b\n"},
        {TEXT("GET /a%2Fb%252F HTTP/1.1\r\n" HOST "\r\n"), "\nPATH_INFO=/a/b%2F\n"},
        {TEXT("GET //a//./b/ HTTP/1.1\r\n" HOST "\r\n"), "\nPATH_INFO=/a/b/\n"},
        {TEXT("GET /\xc3\xa4?\xff HTTP/1.1\r\n" HOST "\r\n"),
            "\nPATH_INFO=/\xc3\xa4\nQUERY_STRING=\xff\n"},
        {TEXT("GET /a?b?c%zz HTTP/1.1\r\n" HOST "\r\n"), "\nQUERY_STRING=b?c%zz\n"},
        {TEXT("GET /\"<>\\^`{|} HTTP/1.1\r\n" HOST "\r\n"), "\nPATH_INFO=/\"<>\\^`{|}\n"},
        {TEXT(POST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
            "\nHTTP_TRANSFER_ENCODING=Chunked\n"},
    };
    for (size_t i = 0; i < sizeof has / sizeof has[0]; i++)
        expect_has(has[i].input, has[i].line);
    expect_not((struct text)TEXT(GET "X_Y: 1\r\n\r\n"), "X_Y");
    expect_not((struct text)TEXT(GET "Content_Length: 1\r\n\r\n"), "CONTENT_LENGTH");
    expect_not((struct text)TEXT(GET "Proxy: evil\r\n\r\n"), "HTTP_PROXY");
    expect_not((struct text)TEXT(GET "X.Y: 1\r\n\r\n"), "X.Y");
    expect_not((struct text)TEXT(GET "\r\n"), "CONTENT_LENGTH");
}

static void test_framing(void **state)
{
    (void)state;
    static const struct {
        struct text input;
        const char *line;
    } cases[] = {
        {TEXT(GET "\r\n"), "keep=1"},
        {TEXT(GET "Connection: close\r\n\r\n"), "keep=0"},
        {TEXT(GET "Connection: foo, CLOSE ,bar\r\n\r\n"), "keep=0"},
        {TEXT(GET "Connection: foo\r\nConnection: close\r\n\r\n"), "keep=0"},
        {TEXT(GET "Connection: keep-alive, close\r\n\r\n"), "keep=0"},
        {TEXT(GET "Connection: closed\r\n\r\n"), "keep=1"},
        {TEXT("GET / HTTP/1.0\r\n\r\n"), "minor=0 keep=0"},
        {TEXT("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "minor=0 keep=1"},
        {TEXT(POST "Content-Length: 0\r\n\r\n"), "length=0 expect=0"},
        {TEXT(POST "Content-Length: 007\r\n\r\n1234567"), "length=7 expect=0"},
        {TEXT(POST "Content-Length: 9223372036854775807\r\n\r\n"), "length=9223372036854775807"},
        {TEXT(POST "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n"), "length=1 expect=1"},
        {TEXT(POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"), "length=0 expect=0"},
        {TEXT(POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
            "length=-1 expect=1"},
        {TEXT("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"), "expect=0"},
        {TEXT(GET "Upgrade: h2c\r\nConnection: upgrade\r\n\r\nGET "), "END\nMORE\n"},
        {TEXT(POST "Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nz"),
            "BODY=z\nEND\nMORE idle"},
        {TEXT("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nz"), "BODY=z\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_has(cases[i].input, cases[i].line);
}

/* ---- refused ---- */

#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *what;
    struct text input;
    int status;
} refused[] = {
    {"two lengths that agree", TEXT(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nz"), 400},
    {"two lengths", TEXT(POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nzz"), 400},
    {"empty length", TEXT(POST "Content-Length:\r\n\r\n"), 400},
    {"blank length", TEXT(POST "Content-Length: \t\r\n\r\n"), 400},
    {"length with a plus", TEXT(POST "Content-Length: +5\r\n\r\nhello"), 400},
    {"negative length", TEXT(POST "Content-Length: -5\r\n\r\nhello"), 400},
    {"length list", TEXT(POST "Content-Length: 5,5\r\n\r\nhello"), 400},
    {"length list with a space", TEXT(POST "Content-Length: 5, 5\r\n\r\nhello"), 400},
    {"space in the length", TEXT(POST "Content-Length: 1 2\r\n\r\n"), 400},
    {"hex length", TEXT(POST "Content-Length: 0x5\r\n\r\nhello"), 400},
    {"decimal point", TEXT(POST "Content-Length: 5.0\r\n\r\nhello"), 400},
    {"length above 63 bits", TEXT(POST "Content-Length: 9223372036854775808\r\n\r\n"), 400},
    {"length above 64 bits", TEXT(POST "Content-Length: 18446744073709551617\r\n\r\nz"), 400},
    {"length above anything", TEXT(POST "Content-Length: 99999999999999999999999\r\n\r\n"), 400},
    {"coding, then length", TEXT(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        400},
    {"length, then coding", TEXT(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400},
    {"coding and length 0", TEXT(POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400},
    {"coding twice",
        TEXT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        400},
    {"another coding after", TEXT(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), 400},
    {"chunked twice", TEXT(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), 400},
    {"empty coding", TEXT(POST "Transfer-Encoding:\r\n\r\n"), 400},
    {"comma coding", TEXT(POST "Transfer-Encoding: ,\r\n\r\n"), 400},
    {"a coding that is no token", TEXT(POST "Transfer-Encoding: x chunked\r\n\r\n"), 400},
    {"chunked in quotes", TEXT(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), 400},
    {"vertical tab before chunked", TEXT(POST "Transfer-Encoding: \vchunked\r\n\r\n"), 400},
    {"high byte before chunked",
        TEXT(POST "Transfer-Encoding: \xa0"
                  "chunked\r\n\r\n"),
        400},
    {"gzip", TEXT(POST "Transfer-Encoding: gzip\r\n\r\n"), 501},
    {"gzip, chunked", TEXT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
    {"identity", TEXT(POST "Transfer-Encoding: identity\r\n\r\n"), 501},
    {"xchunked", TEXT(POST "Transfer-Encoding: xchunked\r\n\r\n"), 501},
    {"chunked with a parameter", TEXT(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), 501},
    {"coding in 1.0", TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
    {"fold", TEXT(GET "A: b\r\n c\r\n\r\n"), 400},
    {"fold by tab", TEXT(GET "A: b\r\n\tc\r\n\r\n"), 400},
    {"fold in the length", TEXT(POST "Content-Length:\r\n 5\r\n\r\nhello"), 400},
    {"fold before any header", TEXT(R11 " Host: h\r\n\r\n"), 400},
    {"space before the colon", TEXT(GET "A : b\r\n\r\n"), 400},
    {"tab before the colon", TEXT(GET "A\t: b\r\n\r\n"), 400},
    {"length with a space before the colon", TEXT(POST "Content-Length : 5\r\n\r\nhello"), 400},
    {"no colon", TEXT(GET "A\r\n\r\n"), 400},
    {"no name", TEXT(GET ": b\r\n\r\n"), 400},
    {"slash in a name", TEXT(GET "A/B: b\r\n\r\n"), 400},
    {"high byte in a name", TEXT(GET "A\xc3: b\r\n\r\n"), 400},
    {"NUL in a name", TEXT(GET "A\0B: b\r\n\r\n"), 400},
    {"NUL in a value", TEXT(GET "A: b\0c\r\n\r\n"), 400},
    {"DEL in a value",
        TEXT(GET "A: b\x7f"
                 "c\r\n\r\n"),
        400},
    {"escape in a value", TEXT(GET "A: b\033c\r\n\r\n"), 400},
    {"NUL in the target", TEXT("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"NUL in the method", TEXT("G\0T / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"bare CR in a value", TEXT(GET "A: b\rc\r\n\r\n"), 400},
    {"bare CR for a line end", TEXT(GET "A: b\rB: c\r\n\r\n"), 400},
    {"CR CR LF", TEXT(GET "A: b\r\r\n\r\n"), 400},
    {"bare CR in a name", TEXT(GET "A\r: b\r\n\r\n"), 400},
    {"bare CR in the target", TEXT("GET /\r HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"bare CR at the end", TEXT(GET "\rX"), 400},
    {"bare LF in a header", TEXT(GET "A: b\n\r\n"), 400},
    {"bare LF after the line", TEXT("GET / HTTP/1.1\n" HOST "\r\n"), 400},
    {"bare LF at the end", TEXT(GET "\n"), 400},
    {"bare LF before a request", TEXT("\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"bare CR before a request", TEXT("\rGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"space before the method", TEXT(" GET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"two spaces before the target", TEXT("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"two spaces behind the target", TEXT("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"space in the target", TEXT("GET /a b HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"tab in the target", TEXT("GET /a\tb HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"tab for a space", TEXT("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"space behind the version", TEXT("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400},
    {"DEL in the target", TEXT("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"fragment", TEXT("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"no target", TEXT("GET HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"asterisk for GET", TEXT("GET * HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"a target without a slash", TEXT("GET a HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"another scheme", TEXT("GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"empty authority", TEXT("GET http:///a HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"userinfo", TEXT("GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"authority with a bad port", TEXT("GET http://h:x/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"absolute form without Host", TEXT("GET http://h/ HTTP/1.1\r\n\r\n"), 400},
    {"bad escape", TEXT("GET /%zz HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"cut escape", TEXT("GET /%4 HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"lone percent", TEXT("GET /% HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"escaped NUL", TEXT("GET /a%00b HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"above the root", TEXT("GET /../etc HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"above the root, escaped", TEXT("GET /a/%2e%2e/.%2E/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"above the root, escaped slash", TEXT("GET /..%2f HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"no Host", TEXT(R11 "\r\n"), 400},
    {"two Hosts", TEXT(GET "Host: h\r\n\r\n"), 400},
    {"two Hosts in 1.0", TEXT("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
    {"empty Host", TEXT(R11 "Host:\r\n\r\n"), 400},
    {"Host with a space", TEXT(R11 "Host: a b\r\n\r\n"), 400},
    {"Host with a slash", TEXT(R11 "Host: a/b\r\n\r\n"), 400},
    {"Host with a comma", TEXT(R11 "Host: a,b\r\n\r\n"), 400},
    {"Host with an at sign", TEXT(R11 "Host: u@h\r\n\r\n"), 400},
    {"Host with a high byte", TEXT(R11 "Host: \xc3\xa4\r\n\r\n"), 400},
    {"Host with a bad port", TEXT(R11 "Host: h:8x\r\n\r\n"), 400},
    {"Host with a large port", TEXT(R11 "Host: h:65536\r\n\r\n"), 400},
    {"Host with two ports", TEXT(R11 "Host: h:1:2\r\n\r\n"), 400},
    {"Host of a port only", TEXT(R11 "Host: :80\r\n\r\n"), 400},
    {"Host with an open bracket", TEXT(R11 "Host: [::1\r\n\r\n"), 400},
    {"Host with empty brackets", TEXT(R11 "Host: []\r\n\r\n"), 400},
    {"bad Host in 1.0", TEXT("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), 400},
    {"HTTP/0.9", TEXT("GET /\r\n"), 400},
    {"HTTP/0.9 spelt out", TEXT("GET / HTTP/0.9\r\n\r\n"), 505},
    {"HTTP/1.2", TEXT("GET / HTTP/1.2\r\n" HOST "\r\n"), 505},
    {"HTTP/2.0", TEXT("GET / HTTP/2.0\r\n" HOST "\r\n"), 505},
    {"HTTP/2 preface", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505},
    {"HTTP/1.10", TEXT("GET / HTTP/1.10\r\n" HOST "\r\n"), 400},
    {"HTTP/01.1", TEXT("GET / HTTP/01.1\r\n" HOST "\r\n"), 400},
    {"HTTP/1", TEXT("GET / HTTP/1\r\n" HOST "\r\n"), 400},
    {"http/1.1", TEXT("GET / http/1.1\r\n" HOST "\r\n"), 400},
    {"RTSP", TEXT("OPTIONS / RTSP/1.0\r\n" HOST "\r\n"), 400},
    {"ICE", TEXT("SOURCE / ICE/1.0\r\n" HOST "\r\n"), 400},
    {"unknown method", TEXT("BREW / HTTP/1.1\r\n" HOST "\r\n"), 501},
    {"unknown method, error later", TEXT("BREW / HTTP/1.1\r\n : \r\n\r\n"), 501},
    {"lower case method", TEXT("get / HTTP/1.1\r\n" HOST "\r\n"), 501},
    {"a method's beginning", TEXT("GE / HTTP/1.1\r\n" HOST "\r\n"), 501},
    {"a method and more", TEXT("GETT / HTTP/1.1\r\n" HOST "\r\n"), 501},
    {"a method of RTSP", TEXT("PLAY / HTTP/1.1\r\n" HOST "\r\n"), 501},
    {"PRI in HTTP/1.1", TEXT("PRI * HTTP/1.1\r\n" HOST "\r\n"), 505},
    {"CONNECT", TEXT("CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n"), 501},
    {"unknown method, bad version", TEXT("BREW / HTTP/3.0\r\n" HOST "\r\n"), 505},
    {"unknown method, bad line", TEXT("BREW /\r\n"), 400},
    {"TLS hello", TEXT("\x16\x03\x01\x02\x00\x01\x00"), 400},
    {"no size", TEXT(CHUNKED "\r\n\r\n"), 400},
    {"bad size", TEXT(CHUNKED "g\r\n"), 400},
    {"size with 0x", TEXT(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"), 400},
    {"negative size", TEXT(CHUNKED "-5\r\n"), 400},
    {"size with a plus", TEXT(CHUNKED "+5\r\n"), 400},
    {"space before the size", TEXT(CHUNKED " 5\r\nhello\r\n"), 400},
    {"space behind the size", TEXT(CHUNKED "5 \r\nhello\r\n"), 400},
    {"size above 60 bits", TEXT(CHUNKED "1000000000000000\r\n"), 400},
    {"size above 64 bits", TEXT(CHUNKED "10000000000000005\r\nhello\r\n"), 400},
    {"size with an underscore", TEXT(CHUNKED "1_0\r\n"), 400},
    {"LF behind the size", TEXT(CHUNKED "5\nhello\r\n0\r\n\r\n"), 400},
    {"CR behind the size", TEXT(CHUNKED "5\rhello"), 400},
    {"LF in an extension", TEXT(CHUNKED "5;a\nb\r\nhello\r\n"), 400},
    {"CR in an extension", TEXT(CHUNKED "5;a\rb\r\nhello\r\n"), 400},
    {"NUL in an extension", TEXT(CHUNKED "5;a\0\r\nhello\r\n"), 400},
    {"chunk too long", TEXT(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n"), 400},
    {"chunk closed by LF", TEXT(CHUNKED "5\r\nhello\n0\r\n\r\n"), 400},
    {"chunk closed by CR", TEXT(CHUNKED "5\r\nhello\r0\r\n\r\n"), 400},
    {"chunk closed by two other bytes", TEXT(CHUNKED "5\r\nhelloXX0\r\n\r\n"), 400},
    {"no line behind the last chunk", TEXT(CHUNKED "0\r\nGET / HTTP/1.1\r\n"), 400},
    {"LF for the last line", TEXT(CHUNKED "0\r\n\n"), 400},
    {"folded trailer", TEXT(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"), 400},
    {"trailer without a colon", TEXT(CHUNKED "0\r\nA\r\n\r\n"), 400},
    {"trailer with LF", TEXT(CHUNKED "0\r\nA: b\n\r\n"), 400},
    {"NUL in a trailer", TEXT(CHUNKED "0\r\nA: \0\r\n\r\n"), 400},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char want[32];
        snprintf(want, sizeof want, "ERROR %d\n", refused[i].status);
        struct lg_buf got = outcome_of(refused[i].input, NULL);
        const char *at = strstr(got.ptr, "ERROR");
        if (!at || strcmp(at, want) != 0)
            fail_msg("%s: wanted %sgot\n%s", refused[i].what, want, got.ptr);
        lg_buf_free(&got);
    }
}

/* ---- limits ---- */

/* `before`, then `fill` times `count`, then `after`. */
static void expect_limit(const struct lg_http_limits *limits, const char *before, char fill,
    size_t count, const char *after, const char *end)
{
    struct lg_buf input = {0};
    assert_int_equal(lg_buf_puts(&input, before), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(lg_buf_append(&input, &fill, 1), 0);
    assert_int_equal(lg_buf_puts(&input, after), 0);
    struct lg_buf got = outcome_of((struct text){input.ptr, input.len}, limits);
    size_t len = strlen(end);
    if (got.len - 1 < len || strcmp(got.ptr + got.len - 1 - len, end) != 0)
        fail_msg("%s with %zu '%c': wanted %sgot\n%.400s", before, count, fill, end, got.ptr);
    lg_buf_free(&got);
    lg_buf_free(&input);
}

static void test_limits(void **state)
{
    (void)state;
    const struct lg_http_limits small = {
        .uri_max = 20, .head_max = 100, .field_max = 30, .header_count_max = 3};
    const char *fine = "END\nMORE idle\n";
    expect_limit(&small, "GET /", 'a', 19, " HTTP/1.1\r\n" HOST "\r\n", fine);
    expect_limit(&small, "GET /", 'a', 20, " HTTP/1.1\r\n" HOST "\r\n", "ERROR 414\n");
    expect_limit(&small, GET "A:", 'a', 28, "\r\n\r\n", fine);
    expect_limit(&small, GET "A:", 'a', 29, "\r\n\r\n", "ERROR 431\n");
    expect_limit(&small, GET, 'a', 29, ":\r\n\r\n", fine);
    expect_limit(&small, GET, 'a', 31, ":\r\n\r\n", "ERROR 431\n");
    expect_limit(&small, GET "A: b\r\n", 'B', 1, ": c\r\n\r\n", fine);
    expect_limit(&small, GET "A: b\r\nC: d\r\n", 'B', 1, ": c\r\n\r\n", "ERROR 431\n");
    expect_limit(&small, GET "A: 4567890123456789\r\n", 'B', 28, ":1234567890\r\n\r\n",
        "ERROR 431\n"); /* 31 */
    expect_limit(&small, GET "A:34567890123456789012345678\r\n", 'B', 17, ":890123456\r\n\r\n",
        fine); /* 100 in all */
    expect_limit(
        &small, GET "A:34567890123456789012345678\r\n", 'B', 18, ":890123456\r\n\r\n", fine);
    expect_limit(&small, GET "A:34567890123456789012345678\r\nC:345678901234567890\r\n", 'B', 5,
        ": 8901\r\n\r\n", "ERROR 431\n");
    expect_limit(NULL, "GET /", 'a', 8191, " HTTP/1.1\r\n" HOST "\r\n", fine);
    expect_limit(NULL, "GET /", 'a', 8192, " HTTP/1.1\r\n" HOST "\r\n", "ERROR 414\n");
    expect_limit(NULL, GET "A: ", 'a', 16381, "\r\n\r\n", fine);
    expect_limit(NULL, GET "A: ", 'a', 16382, "\r\n\r\n", "ERROR 431\n");
    expect_limit(NULL, "", 'X', 65, " / HTTP/1.1\r\n" HOST "\r\n", "ERROR 400\n");
    expect_limit(NULL, CHUNKED "0\r\nA:", 'a', 8100, "\r\n\r\n", fine);
    expect_limit(NULL, CHUNKED "0\r\nA:", 'a', 8200, "\r\n\r\n", "ERROR 431\n");
    expect_limit(NULL, CHUNKED "1;", 'a', 4096, "\r\nx\r\n0\r\n\r\n", fine);
    expect_limit(NULL, CHUNKED "1;", 'a', 4097, "\r\nx\r\n0\r\n\r\n", "ERROR 400\n");
}

static void test_many_headers(void **state)
{
    (void)state;
    for (unsigned count = 99; count <= 100; count++) {
        struct lg_buf input = {0};
        assert_int_equal(lg_buf_puts(&input, GET), 0);
        for (unsigned i = 0; i < count; i++)
            assert_int_equal(lg_buf_printf(&input, "A: %u\r\n", i), 0);
        assert_int_equal(lg_buf_puts(&input, "\r\n"), 0);
        struct lg_buf got = outcome_of((struct text){input.ptr, input.len}, NULL);
        if (count == 99)
            assert_non_null(strstr(got.ptr, "\nHTTP_A=0, 1, 2, 3, "));
        else
            assert_string_equal(got.ptr, "ERROR 431\n");
        lg_buf_free(&got);
        lg_buf_free(&input);
    }
}

/* A small arena: the answer is an error, not a crash. */
static void test_no_memory(void **state)
{
    (void)state;
    char head[6000];
    size_t len = (size_t)snprintf(head, sizeof head, GET "A: %05000d\r\n\r\n", 1);
    struct lg_http_parser parser;
    struct lg_request request;
    struct lg_feed fed;
    size_t consumed;
    lg_request_init(&request, 4096);
    lg_http_parser_init(&parser, NULL);
    lg_http_parser_begin(&parser, &request);
    lg_http_parser_feed(&parser, head, len, &consumed, &fed);
    assert_int_equal(fed.kind, LG_FEED_ERROR);
    assert_int_equal(fed.status, 500);
    lg_http_parser_feed(&parser, head, len, &consumed, &fed);
    assert_int_equal(fed.kind, LG_FEED_ERROR);
    assert_int_equal(fed.status, 500);
    lg_http_parser_free(&parser);
    lg_request_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_outcomes),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_consumed),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many_headers),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
