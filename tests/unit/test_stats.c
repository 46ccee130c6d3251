/* Statistics: the JSON is valid and complete whatever is in the snapshot.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

static json_t *render(const struct lg_stats *stats)
{
    struct lg_buf out = {0};
    assert_int_equal(lg_stats_json(stats, &out), 0);
    json_error_t error;
    json_t *root = json_loadb(out.ptr, out.len, 0, &error);
    if (!root)
        fail_msg("line %d: %s", error.line, error.text);
    lg_buf_free(&out);
    return root;
}

static void every_top_key_is_there(void **state)
{
    (void)state;
    struct lg_stats stats = {.version = "1", .cwd = "/"};
    json_t *root = render(&stats);
    static const char *const keys[] = {"version", "listen_queue", "listen_queue_errors",
        "signal_queue", "load", "pid", "uid", "gid", "cwd", "daemons", "locks", "caches", "sockets",
        "workers", "crons", "legions", "signals", "alarms"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(json_object_get(root, keys[i]));
    json_decref(root);
}

static void a_worker_has_its_counters(void **state)
{
    (void)state;
    struct lg_stats_core core = {.busy_ms = 12};
    struct lg_stats_worker worker = {.id = 1,
        .pid = 77,
        .accepting = true,
        .status = "busy",
        .requests_total = 4,
        .requests = 3,
        .running_time_us = 400,
        .tx_bytes = UINT64_MAX,
        .by_class = {1, 0, 2, 0, 1, 0},
        .cores = &core,
        .core_count = 1};
    struct lg_stats stats = {.version = "1", .cwd = "/", .workers = &worker, .worker_count = 1};
    json_t *root = render(&stats);
    json_t *o = json_array_get(json_object_get(root, "workers"), 0);
    static const char *const keys[] = {"id", "pid", "accepting", "requests", "delta_requests",
        "exceptions", "harakiri_count", "signals", "signal_queue", "status", "rss", "vsz",
        "running_time", "last_spawn", "respawn_count", "tx", "avg_rt", "apps", "cores"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(json_object_get(o, keys[i]));
    assert_int_equal(json_integer_value(json_object_get(o, "requests")), 4);
    assert_int_equal(json_integer_value(json_object_get(o, "delta_requests")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "avg_rt")), 100);
    assert_int_equal(json_integer_value(json_object_get(o, "tx")), INT64_MAX);
    json_decref(root);
}

static void broken_texts_leave_valid_json(void **state)
{
    (void)state;
    const char *nodes[] = {"127.0.0.1:4001", "\xff\"\\\n"};
    struct lg_stats_member member = {.name = "\xc3", .uuid = NULL, .last_seen_s = 5};
    struct lg_stats_left left = {.name = "n", .uuid = "u", .last_seen_s = 7, .died = true};
    struct lg_stats_check check = {.name = "cmd:\"\xff\"", .changed_s = 9, .result = "returned 1"};
    struct lg_stats_legion legion = {.name = "my\xed\xa0\x80"
                                             "cluster",
        .scroll = "a\0b",
        .scroll_len = 3,
        .lord_uuid = "",
        .nodes = nodes,
        .node_count = 2,
        .members = &member,
        .member_count = 1,
        .maintenance = true,
        .left = &left,
        .left_count = 1,
        .checks = &check,
        .check_count = 1};
    struct lg_stats stats = {.version = "1", .cwd = "/\x80", .legions = &legion, .legion_count = 1};
    json_t *root = render(&stats);
    json_t *o = json_array_get(json_object_get(root, "legions"), 0);
    assert_string_equal(json_string_value(json_object_get(o, "legion")),
        "my\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
        "cluster");
    assert_string_equal(json_string_value(json_object_get(o, "scroll")), "a");
    assert_string_equal(json_string_value(json_object_get(o, "lord_uuid")), "");
    assert_int_equal(json_array_size(json_object_get(o, "nodes")), 2);
    assert_int_equal(json_array_size(json_object_get(o, "members")), 1);
    assert_true(json_is_true(json_object_get(o, "maintenance")));
    json_t *gone = json_array_get(json_object_get(o, "left"), 0);
    assert_int_equal(json_integer_value(json_object_get(gone, "last_seen")), 7);
    assert_true(json_is_true(json_object_get(gone, "died")));
    json_t *checked = json_array_get(json_object_get(o, "checks"), 0);
    assert_string_equal(
        json_string_value(json_object_get(checked, "name")), "cmd:\"\xEF\xBF\xBD\"");
    assert_true(json_is_false(json_object_get(checked, "well")));
    assert_int_equal(json_integer_value(json_object_get(checked, "last_change")), 9);
    assert_string_equal(json_string_value(json_object_get(checked, "last_result")), "returned 1");
    json_decref(root);
}

static void utf8_lengths(void **state)
{
    (void)state;
    assert_int_equal(lg_utf8_len(LG_SLICE("")), 0);
    assert_int_equal(lg_utf8_len(LG_SLICE("a")), 1);
    assert_int_equal(lg_utf8_len(LG_SLICE("\xc3\xa9")), 2);
    assert_int_equal(lg_utf8_len(LG_SLICE("\xe2\x82\xac")), 3);
    assert_int_equal(lg_utf8_len(LG_SLICE("\xf4\x8f\xbf\xbf")), 4);
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xe2\x82", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lg_utf8_len(lg_slice_of(bad[i])), 0);
}

static void plugins_count_by_group(void **state)
{
    (void)state;
    static const struct lg_stats_value values[] = {{"hits", 3}, {"misses", 1}};
    static const struct lg_stats_group groups[] = {
        {"glusterfs", "/", values, 2}, {"glusterfs", "/b", values, 1}, {"other", "x", NULL, 0}};
    struct lg_stats_worker worker = {.id = 1, .status = "idle", .groups = groups, .group_count = 3};
    struct lg_stats stats = {.version = "1", .cwd = "/", .workers = &worker, .worker_count = 1};
    json_t *root = render(&stats);
    json_t *o = json_object_get(json_array_get(json_object_get(root, "workers"), 0), "plugins");
    json_t *list = json_object_get(o, "glusterfs");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "name")), "/b");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "hits")), 3);
    assert_null(json_object_get(json_array_get(list, 1), "misses"));
    assert_int_equal(json_array_size(json_object_get(o, "other")), 1);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_top_key_is_there),
        cmocka_unit_test(a_worker_has_its_counters),
        cmocka_unit_test(plugins_count_by_group),
        cmocka_unit_test(broken_texts_leave_valid_json),
        cmocka_unit_test(utf8_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
