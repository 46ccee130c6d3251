/* What a node remembers over restarts: text and back, other boots, damage, disks
 * that do not write.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/memory.h"
#include "legatus/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BOOT  "0b1f2a3c-0000-4000-8000-000000000001"
#define OTHER "0b1f2a3c-0000-4000-8000-000000000002"

static const struct lg_legion_memory sample = {
    .epoch = 1700000014999,
    .candidate = "1e807240-3873-4b29-8da9-04ec7e540318",
    .promise_ms = 5000,
    .echo_us = 123456789,
    .until_ms = 654321,
};

static void same(const struct lg_legion_memory *a, const struct lg_legion_memory *b)
{
    assert_int_equal(a->epoch, b->epoch);
    assert_string_equal(a->candidate, b->candidate);
    assert_int_equal(a->promise_ms, b->promise_ms);
    assert_int_equal(a->echo_us, b->echo_us);
    assert_int_equal(a->until_ms, b->until_ms);
}

static void text_and_back(void **state)
{
    (void)state;
    char text[512];
    struct lg_legion_memory memory, back;
    size_t len = lg_memory_render(&sample, BOOT, text, sizeof text);
    assert_true(lg_memory_parse(lg_slice_from(text, len), BOOT, &back));
    same(&sample, &back);
    /* Another boot: its clock says nothing, but that nothing is owed stays true. */
    assert_true(lg_memory_parse(lg_slice_from(text, len), OTHER, &back));
    assert_int_equal(back.until_ms, INT64_MAX);
    memory = sample;
    memory.until_ms = 0;
    memory.candidate[0] = '\0';
    len = lg_memory_render(&memory, BOOT, text, sizeof text);
    assert_true(lg_memory_parse(lg_slice_from(text, len), OTHER, &back));
    same(&memory, &back);
    assert_int_equal(lg_memory_render(&sample, BOOT, text, 60), 0);
}

static void damage_does_not_count(void **state)
{
    (void)state;
    char text[512];
    struct lg_legion_memory back;
    size_t len = lg_memory_render(&sample, BOOT, text, sizeof text);
    for (size_t i = 0; i < len; i++)
        assert_false(lg_memory_parse(lg_slice_from(text, i), BOOT, &back));
    text[0] = 'L';
    assert_false(lg_memory_parse(lg_slice_from(text, len), BOOT, &back));
}

static void on_disk(void **state)
{
    (void)state;
    char dir[] = "/tmp/legion-memory-XXXXXX", path[128];
    struct lg_memory_file file;
    struct lg_legion_memory back;
    assert_non_null(mkdtemp(dir));
    lg_memory_open(&file, dir, "site", true);
    snprintf(path, sizeof path, "%s/site.state", dir);
    assert_string_equal(file.path, path);
    assert_false(lg_memory_read(&file, &back));
    lg_memory_write(&file, &sample);
    assert_true(lg_memory_read(&file, &back));
    same(&sample, &back);
    assert_false(lg_memory_maintained(&file));
    assert_true(lg_memory_maintain(&file, false));
    assert_true(lg_memory_maintain(&file, true));
    assert_true(lg_memory_maintained(&file));
    assert_true(lg_memory_maintain(&file, true));
    assert_true(lg_memory_maintain(&file, false));
    assert_false(lg_memory_maintained(&file));
    /* A disk that does not take the new promise must not keep the old one. */
    char block[160];
    snprintf(block, sizeof block, "%s.new", path);
    assert_int_equal(mkdir(block, 0700), 0);
    lg_memory_write(&file, &sample);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(lg_memory_read(&file, &back));
    lg_memory_close(&file);
    lg_memory_open(&file, NULL, "site", true);
    assert_false(lg_memory_maintain(&file, true));
    assert_false(lg_memory_maintained(&file));
    assert_false(lg_memory_read(&file, &back));
    lg_memory_write(&file, &sample);
    lg_memory_open(&file, path, "site", false);
    assert_string_equal(file.path, "");
    lg_memory_open(&file, dir, "a/b", true);
    assert_string_equal(file.path, "");
    rmdir(block);
    snprintf(block, sizeof block, "%s.lock", path);
    unlink(block);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(damage_does_not_count),
        cmocka_unit_test(on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
