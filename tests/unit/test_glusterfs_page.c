/* Listings: whatever bytes a name has, the page stays a page.
 * SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static char *render(struct gl_page *page, bool json)
{
    size_t len = 0;
    char *text = json ? gl_page_json(page, &len) : gl_page_html(page, &len);
    assert_non_null(text);
    assert_int_equal(len, strlen(text));
    return text;
}

/* Every byte a name may have, on its own between two letters. */
static void test_any_byte(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        char text[] = {'a', (char)byte, 'z', '\0'};
        struct gl_name name = {text, GL_NAME_FILE, 1, 0};
        struct gl_page page = {.path = "/", .names = &name, .count = 1};
        char *html = render(&page, false);
        char *json = render(&page, true);
        const char *row = strstr(html, "<tr><td><a href=\"");
        assert_non_null(row);
        row += strlen("<tr><td><a href=\"");
        size_t url_len = strspn(row, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-._~%");
        assert_memory_equal(row + url_len, "\">", 2);
        const char *shown = row + url_len + 2;
        size_t shown_len = strcspn(shown, "<>\"'");
        assert_memory_equal(shown + shown_len, "</a>", 4);
        json_error_t error;
        json_t *root = json_loads(json, 0, &error);
        if (!root)
            fail_msg("byte %d: %s", byte, error.text);
        const char *said = json_string_value(
            json_object_get(json_array_get(json_object_get(root, "entries"), 0), "name"));
        assert_string_equal(said, byte < 0x80 ? text : "a\xef\xbf\xbdz");
        json_decref(root);
        free(html);
        free(json);
    }
}

static void expect_shown(const char *text, const char *shown)
{
    char *copy = strdup(text);
    struct gl_name name = {copy, GL_NAME_FILE, 1, 0};
    struct gl_page page = {.path = "/", .names = &name, .count = 1};
    char *html = render(&page, false);
    char want[64];
    snprintf(want, sizeof want, "\">%s</a>", shown);
    if (!strstr(html, want))
        fail_msg("no %s in %s", want, html);
    free(html);
    free(copy);
}

static void test_utf8(void **state)
{
    (void)state;
#define R "\xef\xbf\xbd"
    expect_shown("\xc3\xa4", "\xc3\xa4");
    expect_shown("\xf0\x9f\x97\x84", "\xf0\x9f\x97\x84");
    expect_shown("\xc0\xaf", R R);             /* overlong */
    expect_shown("\xe0\x80\xaf", R R R);       /* overlong */
    expect_shown("\xed\xa0\x80", R R R);       /* surrogate */
    expect_shown("\xf4\x90\x80\x80", R R R R); /* beyond Unicode */
    expect_shown("\xe2\x82", R R);             /* cut short */
    expect_shown("\xc2\x85", R);               /* a control */
    expect_shown("\x1b[31m", R "[31m");
}

static void test_order_and_parts(void **state)
{
    (void)state;
    char b[] = "b", a[] = "a", d[] = "d", c[] = "C", l[] = "l";
    struct gl_name names[] = {
        {b, GL_NAME_FILE, 5, 0},
        {d, GL_NAME_DIRECTORY, 0, 0},
        {a, GL_NAME_FILE, 0, 1700000000},
        {l, GL_NAME_LINK, 0, 0},
        {c, GL_NAME_DIRECTORY, 0, 0},
    };
    struct gl_page page = {
        .path = "/x&y/", .has_parent = true, .cut = true, .names = names, .count = 5};
    gl_page_sort(&page);
    char order[6] = "";
    for (size_t i = 0; i < 5; i++)
        order[i] = names[i].text[0];
    assert_string_equal(order, "Cdabl");
    char *html = render(&page, false);
    assert_non_null(strstr(html, "<h1>/x&#38;y/</h1>"));
    assert_non_null(strstr(html, "<a href=\"../\">"));
    assert_non_null(strstr(html, "<a href=\"C/\">C/</a><td><td>1970-01-01 00:00:00\n"));
    assert_non_null(strstr(html, "<a href=\"a\">a</a><td>0<td>2023-11-14 22:13:20\n"));
    assert_non_null(strstr(html, "more names than these 5."));
    free(html);
    page.count = 0;
    page.cut = false;
    page.partial = true;
    html = render(&page, false);
    assert_non_null(strstr(html, "Names may be missing"));
    free(html);
    page.partial = page.has_parent = false;
    html = render(&page, false);
    assert_null(strstr(html, "<a "));
    assert_null(strstr(html, "more names"));
    free(html);
}

static void test_room(void **state)
{
    (void)state;
    /* what a name may take on a page is what the memory for it was taken for */
    char text[256];
    memset(text, '"', 255);
    text[255] = '\0';
    for (int worst = 0; worst < 2; worst++) {
        if (worst)
            memset(text, 0xff, 255);
        struct gl_name name = {text, GL_NAME_FILE, INT64_MAX, 253402300799};
        struct gl_page page = {.path = "/"};
        for (int json = 0; json < 2; json++) {
            page.names = NULL;
            page.count = 0;
            char *without = render(&page, json);
            page.names = &name;
            page.count = 1;
            char *with = render(&page, json);
            assert_true(strlen(with) - strlen(without) <= GL_PAGE_NAME_MAX(255));
            free(with);
            free(without);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_byte),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_order_and_parts),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
