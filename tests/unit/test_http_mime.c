/* Media types by extension.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *find(const struct lg_mime *mime, const char *path)
{
    const char *type = lg_mime_find(mime, lg_slice_of(path));
    return type ? type : "none";
}

static void test_lookup(void **state)
{
    (void)state;
    struct lg_mime *mime = lg_mime_new();
    assert_non_null(mime);
    assert_string_equal(find(mime, "/a.html"), "none");
    assert_int_equal(lg_mime_load(mime, LG_SLICE("# a comment\n"
                                                 "text/html\t\t\thtml htm\r\n"
                                                 "\n"
                                                 "application/x-nothing\n"
                                                 "  text/plain txt TEXT # not.this\n"
                                                 "nonsense foo\n"
                                                 "types {\n"
                                                 "    image/png png;\n"
                                                 "}\n"
                                                 "application/gzip gz")),
        0);
    assert_int_equal(lg_mime_count(mime), 6);
    static const char *const cases[][2] = {
        {"/a.html", "text/html"},
        {"/a.HTM", "text/html"},
        {"a.Text", "text/plain"},
        {"/a.png", "image/png"},
        {"/a.tar.gz", "application/gzip"},
        {"/d.html/a", "none"},
        {"/a", "none"},
        {"/a.", "none"},
        {"/.html", "none"},
        {"/.a.html", "text/html"},
        {"/a.foo", "none"},
        {"/a.not.this", "none"},
        {"", "none"},
        {"/", "none"},
        {"/a.0123456789012345678901234567890123456789", "none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(find(mime, cases[i][0]), cases[i][1]);
    assert_null(lg_mime_find(mime, lg_slice_from("/a.html\0", 8)));
    lg_mime_free(mime);
    lg_mime_free(NULL);
}

static void test_later_wins(void **state)
{
    (void)state;
    struct lg_mime *mime = lg_mime_new();
    assert_int_equal(lg_mime_load(mime, LG_SLICE("a/a x y\nb/b x\n")), 0);
    const char *old = find(mime, "f.y");
    assert_string_equal(find(mime, "f.x"), "b/b");
    assert_int_equal(lg_mime_load(mime, LG_SLICE("c/c y\n")), 0);
    assert_string_equal(find(mime, "f.x"), "b/b");
    assert_string_equal(find(mime, "f.y"), "c/c");
    assert_string_equal(old, "a/a"); /* still there */
    assert_int_equal(lg_mime_count(mime), 2);
    lg_mime_free(mime);
}

static void test_many(void **state)
{
    (void)state;
    struct lg_mime *mime = lg_mime_new();
    for (int i = 0; i < 3000; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "t/%d e%d\n", i, (i * 7919) % 3001);
        if (i % 500 == 0 || i < 10)
            assert_int_equal(lg_mime_load(mime, lg_slice_from(line, (size_t)len)), 0);
    }
    assert_string_equal(find(mime, "a.e0"), "t/0");
    assert_string_equal(find(mime, "a.e1917"), "t/1");
    lg_mime_free(mime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_later_wins),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
