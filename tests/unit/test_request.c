/* Requests: variables, response heads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "request/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_variables(void **state)
{
    (void)state;
    struct lg_request request;
    lg_request_init(&request, 0);
    assert_null(lg_request_get(&request, LG_SLICE("A")).ptr);
    char name[] = "A";
    char value[] = "one";
    assert_int_equal(lg_request_set(&request, lg_slice_of(name), lg_slice_of(value)), 0);
    name[0] = 'X'; /* both were copied */
    value[0] = 'X';
    assert_string_equal(lg_request_get(&request, LG_SLICE("A")).ptr, "one");
    assert_int_equal(lg_request_set(&request, LG_SLICE("A"), LG_SLICE("two")), 0);
    assert_int_equal(request.var_count, 1);
    assert_string_equal(lg_request_get(&request, LG_SLICE("A")).ptr, "two");
    assert_int_equal(lg_request_set(&request, LG_SLICE("E"), LG_SLICE("")), 0);
    struct lg_slice empty = lg_request_get(&request, LG_SLICE("E"));
    assert_non_null(empty.ptr); /* there, and empty */
    assert_int_equal(empty.len, 0);
    assert_null(lg_request_get(&request, LG_SLICE("a")).ptr);
    lg_request_free(&request);
    lg_request_free(&request);
    lg_request_free(NULL);
}

static void test_many_variables_and_reset(void **state)
{
    (void)state;
    struct lg_request request;
    lg_request_init(&request, 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 300; i++) {
            char name[16];
            snprintf(name, sizeof name, "V%d", i);
            assert_int_equal(lg_request_set(&request, lg_slice_of(name), lg_slice_of(name)), 0);
        }
        assert_int_equal(request.var_count, 300);
        assert_string_equal(lg_request_get(&request, LG_SLICE("V0")).ptr, "V0");
        assert_string_equal(lg_request_get(&request, LG_SLICE("V299")).ptr, "V299");
        request.method = LG_METHOD_GET;
        request.keep_alive = true;
        request.body_length = 5;
        lg_request_reset(&request);
        assert_int_equal(request.var_count, 0);
        assert_int_equal(request.method, LG_METHOD_OTHER);
        assert_false(request.keep_alive);
        assert_int_equal(request.body_length, 0);
        assert_non_null(request.arena.blocks); /* one block stays for the next */
        assert_null(lg_request_get(&request, LG_SLICE("V0")).ptr);
    }
    lg_request_free(&request);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct lg_request request;
    lg_request_init(&request, 4096);
    char big[5000] = {0};
    assert_int_equal(
        lg_request_set(&request, LG_SLICE("A"), lg_slice_from(big, sizeof big)), -LG_E_NOMEM);
    assert_int_equal(request.var_count, 0);
    int err = 0;
    for (int i = 0; i < 1000 && !err; i++)
        err = lg_request_add(&request, LG_SLICE("A"), LG_SLICE("b"));
    assert_int_equal(err, -LG_E_NOMEM);
    lg_request_free(&request);
}

static void test_response_headers(void **state)
{
    (void)state;
    struct lg_arena arena;
    struct lg_response response = {0};
    lg_arena_init(&arena, 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(lg_response_header(&response, &arena, LG_SLICE("X-A"), LG_SLICE("v")), 0);
    assert_int_equal(response.header_count, 50);
    assert_string_equal(response.headers[49].name.ptr, "X-A");
    static const struct {
        const char *name;
        struct lg_slice value;
    } bad[] = {
        {"", {"v", 1}},
        {"A B", {"v", 1}},
        {"A:", {"v", 1}},
        {"A\r\nB", {"v", 1}},
        {"\xc3\xa4", {"v", 1}},
        {"A", {"v\r\nB: c", 7}},
        {"A", {"v\n", 2}},
        {"A", {"v\0w", 3}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            lg_response_header(&response, &arena, lg_slice_of(bad[i].name), bad[i].value),
            -LG_E_INVALID);
    assert_int_equal(response.header_count, 50);
    lg_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_many_variables_and_reset),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_response_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
