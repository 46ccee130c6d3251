/* Scrolls of members: taken, refreshed, bounded, published and read back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/scrolls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct rig {
    struct lg_scrolls scrolls;
    struct lg_shm *shm;
    struct lg_shm_legion state;
    char lord[LG_LEGION_UUID_LEN + 1];
};

static void uuid_of(unsigned number, char uuid[LG_LEGION_UUID_LEN + 1])
{
    snprintf(uuid, LG_LEGION_UUID_LEN + 1, "%08x-0000-4000-8000-000000000000", number);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    snprintf(rig->state.name, sizeof rig->state.name, "site");
    uuid_of(0, rig->state.uuid);
    *state = rig;
    return lg_scrolls_init(&rig->scrolls, 4096, 32768) || lg_shm_new(1, 1, &rig->shm);
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    lg_scrolls_free(&rig->scrolls);
    lg_shm_free(rig->shm);
    free(rig);
    return 0;
}

static bool take(struct rig *rig, unsigned number, const char *text, size_t len, bool dead)
{
    char uuid[LG_LEGION_UUID_LEN + 1];
    uuid_of(number, uuid);
    struct lg_legion_message message = {
        .uuid = lg_slice_of(uuid), .scroll = lg_slice_from(text, len), .dead = dead};
    return lg_scrolls_take(&rig->scrolls, &message);
}

static void publish(struct rig *rig, unsigned members)
{
    rig->state.member_count = members;
    for (unsigned i = 0; i < members; i++)
        uuid_of(i + 1, rig->state.members[i].uuid);
    lg_scrolls_publish(&rig->scrolls, rig->lord, &rig->state);
    lg_shm_legion_publish(rig->shm, 0, &rig->state);
}

static void expect(struct rig *rig, const char *all, const char *lord)
{
    char *bytes = NULL, text[256] = "";
    size_t len = 0;
    int err = lg_shm_scrolls(rig->shm, "site", &bytes, &len);
    assert_int_equal(err, all[0] ? 0 : -LG_E_NOTFOUND);
    for (size_t at = 0; !err && at < len;) {
        size_t size = (unsigned char)bytes[at] | (size_t)(unsigned char)bytes[at + 1] << 8;
        snprintf(
            text + strlen(text), sizeof text - strlen(text), "[%.*s]", (int)size, bytes + at + 2);
        at += size + 2;
    }
    assert_string_equal(text, all);
    if (!err)
        free(bytes);
    err = lg_shm_lord_scroll(rig->shm, "site", &bytes, &len);
    assert_int_equal(err, lord ? 0 : -LG_E_NOTFOUND);
    if (err)
        return;
    assert_true(lg_slice_eq(lg_slice_from(bytes, len), lg_slice_of(lord)));
    free(bytes);
}

static void published_and_read_back(void **state)
{
    struct rig *rig = *state;
    publish(rig, 0);
    expect(rig, "", NULL);
    assert_true(take(rig, 1, "one", 3, false));
    assert_false(take(rig, 1, "one", 3, false));
    assert_true(take(rig, 2, "two", 3, false));
    publish(rig, 2);
    expect(rig, "[one][two]", NULL);
    uuid_of(2, rig->lord);
    memcpy(rig->state.scroll, "ours", 4);
    rig->state.scroll_len = 4;
    publish(rig, 2);
    expect(rig, "[ours][two][one]", "two");
    assert_true(take(rig, 2, "2", 1, false)); /* another one */
    publish(rig, 2);
    expect(rig, "[ours][2][one]", "2");
    uuid_of(0, rig->lord);
    publish(rig, 2);
    expect(rig, "[ours][one][2]", "ours");
    assert_true(take(rig, 2, "", 0, false)); /* none any more */
    publish(rig, 2);
    expect(rig, "[ours][one]", "ours");
    assert_true(take(rig, 1, "one", 3, true)); /* a death */
    publish(rig, 2);
    expect(rig, "[ours]", "ours");
    char *bytes;
    size_t len;
    assert_int_equal(lg_shm_scrolls(rig->shm, "other", &bytes, &len), -LG_E_NOTFOUND);
}

static void bounded_in_number_and_size(void **state)
{
    struct rig *rig = *state;
    static char text[5000];
    memset(text, 'x', sizeof text);
    for (unsigned i = 1; i <= 300; i++)
        assert_int_equal(take(rig, i, text, sizeof text, false), i <= LG_MEMBERS_MAX);
    uuid_of(200, rig->lord); /* goes in before the others */
    publish(rig, LG_MEMBERS_MAX);
    assert_int_equal(rig->state.scrolls_len, 32768 / 4098 * 4098);
    assert_int_equal(rig->state.lord_scroll_len, 4096);
    assert_int_equal(rig->state.members[0].scroll_len, 4096);
    assert_int_equal(rig->state.members[199].scroll_len, 4096);
    assert_int_equal(rig->state.members[100].scroll_len, 0);
    publish(rig, 3); /* what is no member's is dropped */
    assert_int_equal(rig->scrolls.count, 3);
    assert_int_equal(rig->state.lord_scroll_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published_and_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(bounded_in_number_and_size, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
