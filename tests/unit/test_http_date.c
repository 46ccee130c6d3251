/* HTTP dates against the C library's calendar, and the three formats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define NOW_S 1700000000 /* 2023-11-14 */

static void test_format_agrees_with_libc(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 20000; i++) {
        time_t t = (time_t)(i * 12345677); /* up to the year 9793 */
        struct tm tm;
        char want[64];
        char got[LG_HTTP_DATE_LEN + 1];
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm), 29);
        lg_http_date_format(t, got);
        assert_string_equal(got, want);
        int64_t back;
        assert_int_equal(lg_http_date_parse(lg_slice_of(got), NOW_S, &back), 0);
        assert_int_equal(back, t);
    }
}

static void test_clamped(void **state)
{
    (void)state;
    char text[LG_HTTP_DATE_LEN + 1];
    lg_http_date_format(-1, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    lg_http_date_format(INT64_MIN, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    lg_http_date_format(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t unix_s; /* -1 = refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"Monday, 01-Jan-73 00:00:00 GMT", 3250454400},    /* 2073: 50 years ahead */
        {"Monday, 01-Jan-74 00:00:00 GMT", 126230400},     /* 1974 */
        {"Wednesday, 31-Dec-69 23:59:59 GMT", 3155759999}, /* 2069 */
        {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Thu, 29 Feb 2023 00:00:00 GMT", -1},
        {"Thu, 29 Feb 2100 00:00:00 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 nov 1994 08:49:37 GMT", -1},
        {"sun, 06 Nov 1994 08:49:37 GMT", -1},
        {"Mond, 06-Nov-94 08:49:37 GMT", -1},
        {"Monday, 06 Nov 1994 08:49:37 GMT", -1},
        {"784111777", -1},
        {"Sun", -1},
        {"", -1},
        {"Sun, 06 Nov 19-4 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 +8:49:37 GMT", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t got = 42;
        int err = lg_http_date_parse(lg_slice_of(cases[i].text), NOW_S, &got);
        if (err != (cases[i].unix_s < 0 ? -LG_E_PROTO : 0) ||
            got != (cases[i].unix_s < 0 ? 42 : cases[i].unix_s))
            fail_msg("%s: %d, %lld", cases[i].text, err, (long long)got);
    }
}

static void test_cached(void **state)
{
    (void)state;
    struct lg_http_date date = {0};
    struct lg_slice text = lg_http_date_at(&date, 0);
    assert_string_equal(text.ptr, "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_int_equal(text.len, LG_HTTP_DATE_LEN);
    date.text[0] = 'X'; /* seen again within the second: it was not rendered */
    assert_string_equal(lg_http_date_at(&date, 0).ptr, "Xhu, 01 Jan 1970 00:00:00 GMT");
    assert_string_equal(lg_http_date_at(&date, 1).ptr, "Thu, 01 Jan 1970 00:00:01 GMT");
    assert_string_equal(lg_http_date_at(&date, 0).ptr, "Thu, 01 Jan 1970 00:00:00 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_agrees_with_libc),
        cmocka_unit_test(test_clamped),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_cached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
