/* Server lists, good and bad.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../plugins/glusterfs/gl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_lists(void **state)
{
    (void)state;
    struct gl_server *servers;
    size_t count;
    char why[256];
    const char *text = "10.0.0.1:0; host:24008 ;[fe80::1]:0;/run/gd.sock;";
    assert_int_equal(gl_servers_parse(text, &servers, &count, why, sizeof why), 0);
    assert_int_equal(count, 4);
    assert_string_equal(servers[0].host, "10.0.0.1");
    assert_int_equal(servers[0].port, 24007);
    assert_string_equal(servers[0].text, "10.0.0.1:0");
    assert_string_equal(servers[1].host, "host");
    assert_int_equal(servers[1].port, 24008);
    assert_string_equal(servers[2].host, "fe80::1");
    assert_false(servers[2].unix_socket);
    assert_string_equal(servers[3].host, "/run/gd.sock");
    assert_true(servers[3].unix_socket);
    gl_servers_free(servers, count);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"", "empty"},
        {" ; ;", "empty"},
        {"host", "host:0"},
        {"host:", "is no port"},
        {"host:x", "\"x\" is no port"},
        {"host:65536", "\"65536\" is no port"},
        {"host:-1", "\"-1\" is no port"},
        {"a:0;fe80::1:0", "brackets"},
        {":0", "no host"},
        {"[]:0", "no host"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gl_server *servers = NULL;
        size_t count = 0;
        char why[256] = "";
        assert_int_equal(gl_servers_parse(rows[i].text, &servers, &count, why, sizeof why), -1);
        assert_null(servers);
        if (!strstr(why, rows[i].why))
            fail_msg("%s: %s", rows[i].text, why);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    struct gl_server *servers;
    size_t count;
    char why[256];
    char text[(GL_SERVERS_MAX + 1) * 4 + 1] = "";
    for (size_t i = 0; i <= GL_SERVERS_MAX; i++)
        memcpy(text + 4 * i, "h:0;", 5);
    assert_int_equal(gl_servers_parse(text, &servers, &count, why, sizeof why), -1);
    text[GL_SERVERS_MAX * 4] = '\0';
    assert_int_equal(gl_servers_parse(text, &servers, &count, why, sizeof why), 0);
    assert_int_equal(count, GL_SERVERS_MAX);
    gl_servers_free(servers, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
