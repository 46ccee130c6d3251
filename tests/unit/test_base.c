/* Slices, buffers, arenas.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_slice_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", UINT64_MAX, true, 0},
        {"007", UINT64_MAX, true, 7},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"", UINT64_MAX, false, 0},
        {"+1", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1a", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 42;
        bool good = lg_slice_u64(lg_slice_of(cases[i].text), cases[i].max, &value);
        assert_int_equal(good, cases[i].good);
        assert_true(value == (cases[i].good ? cases[i].value : 42));
    }
}

static void test_slice_cut(void **state)
{
    (void)state;
    struct lg_slice rest;
    struct lg_slice head = lg_slice_cut(LG_SLICE("a=b=c"), '=', &rest);
    assert_true(lg_slice_eq(head, LG_SLICE("a")));
    assert_true(lg_slice_eq(rest, LG_SLICE("b=c")));
    head = lg_slice_cut(LG_SLICE("a="), '=', &rest);
    assert_true(lg_slice_eq(head, LG_SLICE("a")));
    assert_true(rest.ptr && rest.len == 0);
    head = lg_slice_cut(LG_SLICE("a"), '=', &rest);
    assert_true(lg_slice_eq(head, LG_SLICE("a")));
    assert_null(rest.ptr);
    head = lg_slice_cut((struct lg_slice){NULL, 0}, '=', &rest);
    assert_int_equal(head.len, 0);
    assert_null(rest.ptr);
}

static void test_slice_compare(void **state)
{
    (void)state;
    assert_true(lg_slice_eq((struct lg_slice){NULL, 0}, LG_SLICE("")));
    assert_false(lg_slice_eq(LG_SLICE("a"), LG_SLICE("A")));
    assert_true(lg_slice_ieq(LG_SLICE("Content-Length"), LG_SLICE("cONTENT-lENGTH")));
    assert_false(lg_slice_ieq(LG_SLICE("@"), LG_SLICE("`"))); /* 0x40, 0x60 */
    assert_true(lg_slice_starts(LG_SLICE("abc"), LG_SLICE("ab")));
    assert_true(lg_slice_starts(LG_SLICE("abc"), LG_SLICE("")));
    assert_false(lg_slice_starts(LG_SLICE("a"), LG_SLICE("ab")));
    assert_true(lg_slice_eq(lg_slice_trim(LG_SLICE(" \ta b\t ")), LG_SLICE("a b")));
    assert_int_equal(lg_slice_trim(LG_SLICE(" \t ")).len, 0);
}

static void test_buf(void **state)
{
    (void)state;
    struct lg_buf buf = {0};
    lg_buf_consume(&buf, 5);
    assert_int_equal(lg_buf_append(&buf, NULL, 0), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(lg_buf_printf(&buf, "%03d ", i), 0);
    assert_int_equal(buf.len, 4000);
    lg_buf_consume(&buf, 4);
    assert_memory_equal(buf.ptr, "001 002 ", 8);
    assert_int_equal(lg_buf_reserve(&buf, SIZE_MAX - 100), -LG_E_NOMEM);
    assert_int_equal(buf.len, 3996);
    lg_buf_consume(&buf, 1000000);
    assert_int_equal(buf.len, 0);
    assert_int_equal(lg_buf_puts(&buf, "x"), 0);
    assert_true(lg_slice_eq(lg_buf_slice(&buf), LG_SLICE("x")));
    lg_buf_free(&buf);
    lg_buf_free(&buf);
    lg_buf_free(NULL);
}

static void test_arena(void **state)
{
    (void)state;
    struct lg_arena arena;
    lg_arena_init(&arena, 3 * LG_ARENA_BLOCK);
    char *pieces[200];
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = lg_arena_alloc(&arena, i % 37 + 1);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)i, i % 37 + 1);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i % 37 + 1; k++)
            assert_int_equal((unsigned char)pieces[i][k], i);
    assert_null(lg_arena_alloc(&arena, 2 * LG_ARENA_BLOCK)); /* the limit */
    assert_null(lg_arena_alloc(&arena, SIZE_MAX));
    assert_null(lg_arena_copy(&arena, "", SIZE_MAX));
    assert_string_equal(lg_arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    struct lg_slice copy = lg_arena_slice(&arena, LG_SLICE("abc"));
    assert_string_equal(copy.ptr, "abc");
    copy = lg_arena_slice(&arena, (struct lg_slice){NULL, 0});
    assert_string_equal(copy.ptr, "");
    lg_arena_reset(&arena);
    assert_true(arena.total > 0 && arena.total <= LG_ARENA_BLOCK);
    assert_non_null(lg_arena_alloc(&arena, 2 * LG_ARENA_BLOCK)); /* room again */
    lg_arena_free(&arena);
    lg_arena_free(&arena);
    lg_arena_free(NULL);
}

static void test_err_texts(void **state)
{
    (void)state;
    for (int err = 0; err < LG_E_COUNT; err++) {
        assert_non_null(lg_err_text(err));
        assert_string_equal(lg_err_text(err), lg_err_text(-err));
    }
    assert_non_null(lg_err_text(9999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_numbers),
        cmocka_unit_test(test_slice_cut),
        cmocka_unit_test(test_slice_compare),
        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_err_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
