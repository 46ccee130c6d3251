/* The glusterfs plugin's file cache: plugins/glusterfs/cache.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT ((size_t)100000)

static int forgotten, let_gone;

static void forget(struct gl_entry *entry, void *arg)
{
    assert_ptr_equal(arg, &forgotten);
    assert_false(entry->pinned);
    forgotten++;
}

static void let_go(struct gl_content *content)
{
    assert_int_equal(content->refs, 0);
    let_gone++;
    free(content);
}

static struct gl_content *content_of(size_t charge)
{
    struct gl_content *content = calloc(1, sizeof *content);
    content->refs = 1;
    content->charge = charge;
    content->let_go = let_go;
    return content;
}

static struct gl_cache *cache_of(size_t limit)
{
    forgotten = let_gone = 0;
    return gl_cache_new(limit, 42, forget, &forgotten);
}

static struct gl_entry *find(struct gl_cache *cache, unsigned mount, const char *path)
{
    return gl_cache_find(cache, mount, path, strlen(path));
}

static struct gl_entry *add(struct gl_cache *cache, unsigned mount, const char *path)
{
    return gl_cache_add(cache, mount, path, strlen(path));
}

/* An entry with a content of so many bytes, no longer pinned. */
static bool put(struct gl_cache *cache, const char *path, size_t charge)
{
    struct gl_entry *entry = find(cache, 0, path);
    if (entry)
        gl_cache_pin(cache, entry);
    else
        entry = add(cache, 0, path);
    struct gl_content *content = content_of(charge);
    bool taken = gl_cache_set(cache, entry, GL_FILE, content);
    if (!taken)
        gl_content_unref(content);
    gl_cache_unpin(cache, entry);
    return taken;
}

static void keys_are_mount_and_path(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    static const char *const paths[] = {"", "/", "/a", "/a/", "/A", "/ab", "/a/b", "/0123456789"};
    size_t count = sizeof paths / sizeof *paths;
    for (unsigned mount = 0; mount < 2; mount++)
        for (size_t i = 0; i < count; i++) {
            assert_null(find(cache, mount, paths[i]));
            struct gl_entry *entry = add(cache, mount, paths[i]);
            assert_string_equal(entry->path, paths[i]);
            assert_true(entry->pinned);
            gl_cache_set(cache, entry, GL_ABSENT, NULL);
            gl_cache_unpin(cache, entry);
        }
    for (unsigned mount = 0; mount < 2; mount++)
        for (size_t i = 0; i < count; i++) {
            struct gl_entry *entry = find(cache, mount, paths[i]);
            assert_non_null(entry);
            assert_int_equal(entry->mount, mount);
            assert_string_equal(entry->path, paths[i]);
        }
    assert_int_equal(gl_cache_count(cache), 2 * count);
    gl_cache_free(cache);
    assert_int_equal(forgotten, 2 * count);
}

static void what_nobody_found_out_is_removed(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    size_t empty = gl_cache_bytes(cache);
    struct gl_entry *entry = add(cache, 0, "/a");
    assert_int_equal(entry->kind, GL_UNKNOWN);
    assert_ptr_equal(find(cache, 0, "/a"), entry);
    gl_cache_unpin(cache, entry);
    assert_null(find(cache, 0, "/a"));
    assert_int_equal(gl_cache_bytes(cache), empty);
    assert_int_equal(forgotten, 1);
    gl_cache_free(cache);
}

static void the_limit_holds(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    char path[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/%d", i);
        assert_true(put(cache, path, (size_t)(i % 7) * 1000 + 1));
        assert_true(gl_cache_bytes(cache) <= LIMIT);
    }
    assert_true(gl_cache_bytes(cache) > LIMIT / 2);
    assert_int_equal(forgotten, let_gone);
    assert_int_equal(gl_cache_count(cache), (size_t)(1000 - forgotten));
    gl_cache_free(cache);
    assert_int_equal(forgotten, 1000);
    assert_int_equal(let_gone, 1000);
}

static void many_small_entries_are_counted(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    char path[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(path, sizeof path, "/absent/%d", i);
        struct gl_entry *entry = add(cache, 0, path);
        gl_cache_set(cache, entry, GL_ABSENT, NULL);
        gl_cache_unpin(cache, entry);
        assert_true(gl_cache_bytes(cache) <= LIMIT);
    }
    assert_true(gl_cache_count(cache) > 100 && gl_cache_count(cache) < 1000);
    gl_cache_free(cache);
}

static void the_used_ones_stay(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    char path[32];
    put(cache, "/hot", 5000);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "/%d", i);
        put(cache, path, 5000);
        assert_non_null(find(cache, 0, "/hot"));
    }
    gl_cache_free(cache);
}

static void what_does_not_fit_stays_outside(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    assert_true(put(cache, "/a", 20000));
    assert_false(put(cache, "/b", LIMIT));
    assert_null(find(cache, 0, "/b"));
    assert_non_null(find(cache, 0, "/a")); /* nobody was evicted in vain */
    assert_int_equal(let_gone, 1);
    gl_cache_free(cache);
}

static void borrowed_contents_count_until_they_are_given_back(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    put(cache, "/a", 60000);
    struct gl_content *borrowed = find(cache, 0, "/a")->content;
    gl_content_ref(borrowed);
    assert_true(put(cache, "/a", 10000)); /* it changed */
    assert_int_equal(let_gone, 0);
    assert_false(put(cache, "/b", 60000)); /* no room while it is borrowed */
    assert_true(gl_cache_bytes(cache) <= LIMIT);
    gl_content_unref(borrowed);
    assert_int_equal(let_gone, 2);
    assert_true(put(cache, "/b", 60000));
    assert_true(gl_cache_bytes(cache) <= LIMIT);
    gl_cache_free(cache);
}

static void pinned_entries_are_not_evicted(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    char path[32];
    put(cache, "/pinned", 30000);
    struct gl_entry *entry = find(cache, 0, "/pinned");
    gl_cache_pin(cache, entry);
    gl_cache_pin(cache, entry); /* twice is once */
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/%d", i);
        put(cache, path, 9000);
        assert_ptr_equal(find(cache, 0, "/pinned"), entry);
    }
    assert_false(put(cache, "/large", 70000));
    gl_cache_unpin(cache, entry);
    assert_true(put(cache, "/large", 90000));
    assert_null(find(cache, 0, "/pinned"));
    gl_cache_free(cache);
}

static void a_limit_of_nothing_keeps_nothing(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(0);
    struct gl_entry *entry = add(cache, 0, "/a");
    gl_cache_set(cache, entry, GL_ABSENT, NULL);
    assert_ptr_equal(find(cache, 0, "/a"), entry); /* while a fetch shares it */
    gl_cache_unpin(cache, entry);
    assert_null(find(cache, 0, "/a"));
    assert_false(put(cache, "/b", 1));
    assert_int_equal(gl_cache_count(cache), 0);
    gl_cache_free(cache);
}

static void changing_kinds_gives_contents_back(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    put(cache, "/a", 5000);
    struct gl_entry *entry = find(cache, 0, "/a");
    size_t full = gl_cache_bytes(cache);
    gl_cache_pin(cache, entry);
    assert_int_equal(gl_cache_bytes(cache), full);
    gl_cache_set(cache, entry, GL_ABSENT, NULL);
    assert_int_equal(let_gone, 1);
    assert_int_equal(gl_cache_bytes(cache), full - 5000);
    gl_cache_unpin(cache, entry);
    assert_int_equal(find(cache, 0, "/a")->kind, GL_ABSENT);
    gl_cache_free(cache);
}

/* Whatever happens, the books are right in the end. */
static void random_work_leaves_nothing(void **state)
{
    (void)state;
    struct gl_cache *cache = cache_of(LIMIT);
    struct gl_content *borrowed[20] = {0};
    size_t empty = gl_cache_bytes(cache);
    char path[32];
    srand(7);
    for (int i = 0; i < 20000; i++) {
        snprintf(path, sizeof path, "/%d", rand() % 60);
        struct gl_entry *entry = find(cache, 0, path);
        struct gl_content **slot = &borrowed[rand() % 20];
        if (*slot) {
            gl_content_unref(*slot);
            *slot = NULL;
        } else if (entry && entry->content && rand() % 2) {
            *slot = entry->content;
            gl_content_ref(*slot);
        } else if (rand() % 4) {
            put(cache, path, (size_t)(rand() % 9000) + 1);
        } else {
            if (entry)
                gl_cache_pin(cache, entry);
            else
                entry = add(cache, 0, path);
            gl_cache_set(cache, entry, rand() % 2 ? GL_ABSENT : GL_UNKNOWN, NULL);
            gl_cache_unpin(cache, entry);
        }
        assert_true(gl_cache_bytes(cache) <= LIMIT);
    }
    for (size_t i = 0; i < 20; i++)
        if (borrowed[i])
            gl_content_unref(borrowed[i]);
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof path, "/%d", i);
        struct gl_entry *entry = find(cache, 0, path);
        if (!entry)
            continue;
        gl_cache_pin(cache, entry);
        gl_cache_set(cache, entry, GL_UNKNOWN, NULL);
        gl_cache_unpin(cache, entry);
    }
    assert_int_equal(gl_cache_count(cache), 0);
    assert_int_equal(gl_cache_bytes(cache), empty);
    gl_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_mount_and_path),
        cmocka_unit_test(what_nobody_found_out_is_removed),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(many_small_entries_are_counted),
        cmocka_unit_test(the_used_ones_stay),
        cmocka_unit_test(what_does_not_fit_stays_outside),
        cmocka_unit_test(borrowed_contents_count_until_they_are_given_back),
        cmocka_unit_test(pinned_entries_are_not_evicted),
        cmocka_unit_test(a_limit_of_nothing_keeps_nothing),
        cmocka_unit_test(changing_kinds_gives_contents_back),
        cmocka_unit_test(random_work_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
