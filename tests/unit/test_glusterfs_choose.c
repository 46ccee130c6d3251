/* Which mount a request is for: the table of spec and order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../plugins/glusterfs/gl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct gl_mount_options options[] = {
    {.mountpoint = "/", .mountpoint_len = 1},
    {.mountpoint = "/foo", .mountpoint_len = 4},
    {.mountpoint = "/foo/deep", .mountpoint_len = 9},
    {.mountpoint = "/bar", .mountpoint_len = 4},
};

static struct gl_site all = {.mounts = options, .mount_count = 4};
static struct gl_site no_root = {.mounts = options + 1, .mount_count = 3};
static struct gl_site strict = {.mounts = options, .mount_count = 4, .no_default_app = true};

struct row {
    const struct gl_site *site;
    struct gl_asked asked;
    const char *mountpoint; /* NULL = none */
    const char *path;
    bool cut;
};

static void check(const struct row *row)
{
    struct gl_choice choice;
    bool found = gl_choose(row->site, &row->asked, &choice);
    assert_int_equal(found, row->mountpoint != NULL);
    if (!found)
        return;
    assert_string_equal(choice.mount->mountpoint, row->mountpoint);
    assert_string_equal(choice.path, row->path);
    assert_int_equal(choice.cut, row->cut);
}

static void test_prefixes(void **state)
{
    (void)state;
    const struct row rows[] = {
        {&all, {.path_info = "/x"}, "/", "/x", false},
        {&all, {.path_info = "/foo/x"}, "/foo", "/x", true},
        {&all, {.path_info = "/foo"}, "/foo", "", true},
        {&all, {.path_info = "/foo/"}, "/foo", "/", true},
        {&all, {.path_info = "/fooz"}, "/", "/fooz", false},
        {&all, {.path_info = "/foo/deep"}, "/foo/deep", "", true},
        {&all, {.path_info = "/foo/deeper"}, "/foo", "/deeper", true},
        {&all, {.path_info = "/foo/deep/x"}, "/foo/deep", "/x", true},
        {&no_root, {.path_info = "/x"}, NULL, NULL, false},
        {&no_root, {.path_info = "/bar/x"}, "/bar", "/x", true},
        {&all, {.path_info = "/foo/x", .appid = "", .script_name = ""}, "/foo", "/x", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(&rows[i]);
}

static void test_names(void **state)
{
    (void)state;
    const struct row rows[] = {
        {&all, {.appid = "/foo", .path_info = "/bar/x"}, "/foo", "/bar/x", false},
        {&all, {.appid = "/foo/", .path_info = "/x"}, "/foo", "/x", false},
        {&all, {.appid = "/bar", .script_name = "/foo", .path_info = "/x"}, "/bar", "/x", false},
        {&all, {.script_name = "/foo", .path_info = "/x"}, "/foo", "/x", false},
        {&all, {.script_name = "/fo", .path_info = "/foo/x"}, "/", "/foo/x", false},
        {&all, {.appid = "other", .path_info = "/x"}, "/", "/x", false},
        {&no_root, {.appid = "other", .path_info = "/bar/x"}, NULL, NULL, false},
        {&strict, {.appid = "other", .path_info = "/x"}, NULL, NULL, false},
        {&strict, {.appid = "/", .path_info = "/x"}, "/", "/x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(&rows[i]);
}

static void test_managed_script_name(void **state)
{
    (void)state;
    const struct row rows[] = {
        {&all, {NULL, NULL, "/foo/x", true}, "/foo", "/x", true},
        {&all, {NULL, "/bar", "/foo/x", true}, "/foo", "/x", true},
        {&all, {NULL, "/bar", "/x", true}, "/bar", "/x", false},
        {&all, {"/bar", NULL, "/foo/x", true}, "/bar", "/foo/x", false},
        {&all, {NULL, NULL, "/x", true}, "/", "/x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_managed_script_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
