/* Paths: decoded once, normalised, never above the root.
 * SPDX-License-Identifier: Apache-2.0 */
#include "request/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef int (*path_fn)(char *path, size_t len, size_t *ret_len);

/* NULL = refused. The copy has its exact size, for ASan's sake. */
static void check(path_fn fn, struct lg_slice in, const char *out)
{
    char *copy = malloc(in.len ? in.len : 1);
    size_t len = 12345;
    assert_non_null(copy);
    if (in.len)
        memcpy(copy, in.ptr, in.len);
    int err = fn(copy, in.len, &len);
    if (out) {
        assert_int_equal(err, 0);
        assert_int_equal(len, strlen(out));
        assert_memory_equal(copy, out, len);
    } else {
        assert_int_equal(err, -LG_E_PROTO);
        assert_int_equal(len, 12345);
    }
    free(copy);
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"", ""},
        {"/a", "/a"},
        {"/%41%62", "/Ab"},
        {"/%2f%2F", "///"},
        {"/%252e", "/%2e"},
        {"/a+b", "/a+b"},
        {"/%ff%C3%a4", "/\xff\xc3\xa4"},
        {"%20", " "},
        {"/%0a", "/\n"},
        {"%", NULL},
        {"/%4", NULL},
        {"/%4g", NULL},
        {"/%g4", NULL},
        {"/%%41", NULL},
        {"/%u0041", NULL},
        {"/%00", NULL},
        {"/% 41", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(lg_path_decode, lg_slice_of(cases[i].in), cases[i].out);
    check(lg_path_decode, lg_slice_from("/a\0b", 4), NULL);
}

static void test_normalise(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"//", "/"},
        {"///a///b//", "/a/b/"},
        {"/.", "/"},
        {"/./", "/"},
        {"/./a", "/a"},
        {"/a/.", "/a/"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../c", "/a/c"},
        {"/a/b/../../c/", "/c/"},
        {"/a//../b", "/b"},
        {"/a/./../b", "/b"},
        {"/...", "/..."},
        {"/..a", "/..a"},
        {"/a..", "/a.."},
        {"/.a/.b", "/.a/.b"},
        {"/a\\..\\b", "/a\\..\\b"},
        {"/ a /..", "/"},
        {"/..", NULL},
        {"/../", NULL},
        {"/../a", NULL},
        {"/a/../..", NULL},
        {"/a/../../a", NULL},
        {"/./..", NULL},
        {"//..", NULL},
        {"", NULL},
        {"a", NULL},
        {"..", NULL},
        {"*", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(lg_path_normalise, lg_slice_of(cases[i].in), cases[i].out);
    check(lg_path_normalise, lg_slice_from("/a\0", 3), NULL);
}

/* Whatever comes out stays as it is when it goes in again. */
static void test_normalise_is_idempotent(void **state)
{
    (void)state;
    static const char alphabet[] = "/.a";
    for (unsigned n = 0; n < 6561; n++) { /* every path of 8 bytes behind the '/' */
        char path[9] = "/";
        char again[9];
        unsigned rest = n;
        for (size_t i = 1; i < 9; i++, rest /= 3)
            path[i] = alphabet[rest % 3];
        size_t len;
        if (lg_path_normalise(path, 9, &len))
            continue;
        memcpy(again, path, len);
        size_t len_again;
        assert_int_equal(lg_path_normalise(again, len, &len_again), 0);
        assert_int_equal(len_again, len);
        assert_memory_equal(again, path, len);
        assert_null(memmem(path, len, "//", 2));
        assert_null(memmem(path, len, "/../", 4));
        assert_null(memmem(path, len, "/./", 3));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_normalise_is_idempotent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
