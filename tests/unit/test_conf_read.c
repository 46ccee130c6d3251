/* Sources: ini, command line, environment, include; and reading what was loaded.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void reads_keys_in_order(void **state)
{
    struct world world = {0};
    struct lg_conf *conf = world_ini(&world,
        "; a comment\n"
        "  # another\n"
        "\n"
        "[uwsgi]\r\n"
        "http-socket = :9090\r\n"
        "\thttp-socket=127.0.0.1:80 \n"
        "http-socket = /run/a;b#c.sock\n"
        "vacuum\n"
        "log-json =\n"
        "[other]\n"
        "anything at all\n"
        "[uwsgi]\n"
        "threads = 7",
        "");
    (void)state;
    assert_values(conf, LG_OPT_http_socket, ":9090|127.0.0.1:80|/run/a;b#c.sock|");
    const struct lg_setting *second = lg_conf_at(conf, LG_OPT_http_socket, 1);
    assert_string_equal(second->where.file, "t.ini");
    assert_int_equal(second->where.line, 6);
    assert_null(lg_conf_at(conf, LG_OPT_http_socket, 3));
    assert_true(lg_conf_bool(conf, LG_OPT_vacuum));
    assert_true(lg_conf_bool(conf, LG_OPT_log_json));
    assert_int_equal(lg_conf_number(conf, LG_OPT_threads), 7);
    size_t count;
    assert_string_equal(lg_conf_all(conf, &count)[3].text, "");
    assert_int_equal(count, 6);
    lg_conf_free(conf);
}

static void answers_with_defaults(void **state)
{
    struct world world = {0};
    struct lg_conf *conf = world_ini(&world, "[legatus]\nsocket-timeout = 7\n", "");
    (void)state;
    assert_int_equal(lg_conf_number(conf, LG_OPT_processes), 1);
    assert_int_equal(lg_conf_number(conf, LG_OPT_legion_freq), 3000);
    assert_int_equal(lg_conf_number(conf, LG_OPT_buffer_size), 4096);
    assert_int_equal(lg_conf_number(conf, LG_OPT_glusterfs_timeout), 7000);
    assert_string_equal(lg_conf_text(conf, LG_OPT_glusterfs_timeout), "7");
    assert_string_equal(lg_conf_text(conf, LG_OPT_log_level), "info");
    assert_null(lg_conf_text(conf, LG_OPT_uid));
    assert_int_equal(lg_conf_count(conf, LG_OPT_processes), 0);
    assert_false(lg_conf_bool(conf, LG_OPT_vacuum));
    lg_conf_free(conf);
    conf = world_ini(&world, "[legatus]\n", "");
    assert_int_equal(lg_conf_number(conf, LG_OPT_glusterfs_timeout), 4000);
    lg_conf_free(conf);
}

static void tolerates_a_long_line_and_a_mark(void **state)
{
    static char ini[300000] = "\xEF\xBB\xBF[uwsgi]\npidfile = /";
    struct world world = {0};
    (void)state;
    memset(ini + strlen(ini), 'x', 250000);
    struct lg_conf *conf = world_ini(&world, ini, "");
    assert_int_equal(strlen(lg_conf_text(conf, LG_OPT_pidfile)), 250001);
    lg_conf_free(conf);
}

static void later_sources_add(void **state)
{
    struct world world = {.files = {{"a.ini", "[uwsgi]\nthreads = 3\nhttp-socket = :3\n", 0}},
        .env = {"UWSGI_THREADS=2", "LEGATUS_HTTP_SOCKET=:2", "UWSGI_PROFILE=glusterfs", "PATH=/bin",
            "UWSGI_VACUUM="}};
    struct lg_conf *conf;
    (void)state;
    assert_int_equal(world_load(&world, &conf, "--http-socket", ":4", "a.ini", "--http-socket=:5",
                         "--threads=6", NULL),
        0);
    assert_diags(conf, "");
    assert_values(conf, LG_OPT_http_socket, ":2|:4|:3|:5|");
    assert_values(conf, LG_OPT_threads, "2|3|6|");
    assert_int_equal(lg_conf_number(conf, LG_OPT_threads), 6);
    assert_true(lg_conf_bool(conf, LG_OPT_vacuum));
    assert_string_equal(lg_conf_at(conf, LG_OPT_threads, 0)->where.file, "environment");
    assert_string_equal(lg_conf_at(conf, LG_OPT_threads, 2)->where.file, "command line");
    assert_int_equal(lg_conf_at(conf, LG_OPT_threads, 2)->where.line, 0);
    lg_conf_free(conf);
}

static void warns_of_strange_legatus_variables(void **state)
{
    struct world world = {.env = {"LEGATUS_TREADS=3", "UWSGI_TREADS=3", "LEGATUS_QQQQQ=1"}};
    struct lg_conf *conf = world_ini(&world, "[uwsgi]\n",
        "environment:0: warning: unknown option \"LEGATUS_TREADS\": did you mean "
        "\"LEGATUS_THREADS\"?\n"
        "environment:0: warning: unknown option \"LEGATUS_QQQQQ\"\n");
    (void)state;
    lg_conf_free(conf);
}

static void reads_short_options(void **state)
{
    struct world world = {0};
    struct lg_conf *conf;
    (void)state;
    assert_int_equal(world_load(&world, &conf, "-s", ":1", "-s:2", "-p4", "-MT", "-z", "9", "-C",
                         "--master", "true", "--vacuum", "--http-keepalive", "30", NULL),
        0);
    assert_diags(conf, "");
    assert_values(conf, LG_OPT_socket, ":1|:2|");
    assert_int_equal(lg_conf_number(conf, LG_OPT_processes), 4);
    assert_int_equal(lg_conf_number(conf, LG_OPT_socket_timeout), 9000);
    assert_int_equal(lg_conf_number(conf, LG_OPT_http_keepalive), 30000);
    assert_values(conf, LG_OPT_master, "|true|");
    assert_values(conf, LG_OPT_enable_threads, "|");
    assert_values(conf, LG_OPT_chmod_socket, "|");
    lg_conf_free(conf);
}

static void refuses_strange_arguments(void **state)
{
    struct world world = {0};
    struct lg_conf *conf;
    (void)state;
    assert_int_equal(world_load(&world, &conf, "--treads", "4", "-Z", "foo", "--cron", "x",
                         "nothere.ini", "--threads", "--pidfile", "--vacuum", "--uid", NULL),
        -LG_E_CONF);
    assert_diags(conf,
        "command line:0: error: unknown option \"-Z\"\n"
        "command line:0: error: \"foo\": expected an option (--name) or a file whose name ends in "
        ".ini\n"
        "command line:0: error: \"threads\": expected a whole number from 1 to 1024 after it\n"
        "command line:0: error: \"pidfile\": expected a path after it\n"
        "command line:0: error: \"uid\": expected a value after it\n"
        "command line:0: error: \"nothere.ini\": the file does not exist\n"
        "command line:0: error: unknown option \"treads\": did you mean \"threads\"?\n"
        "command line:0: error: \"cron\" is a uWSGI option Legatus does not have yet\n");
    assert_true(lg_conf_bool(conf, LG_OPT_vacuum));
    lg_conf_free(conf);
}

static void reads_sections_and_stdin(void **state)
{
    struct world world = {.files = {{"a.ini",
                                        "[uwsgi]\nuid = a\n[two]\nuid = b\nini = :three\n"
                                        "[three]\ngid = c\n",
                                        0},
                              {"-", "[legatus]\ncap = d\n", 0}, {"x:y.ini", "[uwsgi]\ncap=e", 0}}};
    struct lg_conf *conf;
    (void)state;
    assert_int_equal(world_load(&world, &conf, "--ini", "a.ini:two", "-", "x:y.ini", NULL), 0);
    assert_diags(conf, "");
    assert_values(conf, LG_OPT_uid, "b|");
    assert_values(conf, LG_OPT_gid, "c|");
    assert_values(conf, LG_OPT_cap, "d|e|");
    lg_conf_free(conf);
    assert_int_equal(world_load(&world, &conf, "a.ini:four", NULL), -LG_E_CONF);
    assert_diags(conf, "a.ini:0: error: no section [four]\n");
    lg_conf_free(conf);
}

static void includes_in_place(void **state)
{
    struct world world = {
        .files = {{"sub/b.ini", "[legatus]\nhttp-socket = :2\ninclude = c.ini\n", 0},
            {"c.ini", "[uwsgi]\nhttp-socket = :3\n", 0}}};
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nhttp-socket = :1\nset-ph = f=sub/b\ninclude = %(f).ini\nhttp-socket = :4\n", "");
    (void)state;
    assert_values(conf, LG_OPT_http_socket, ":1|:2|:3|:4|");
    assert_string_equal(lg_conf_at(conf, LG_OPT_http_socket, 2)->where.file, "c.ini");
    lg_conf_free(conf);
}

static void stops_circles(void **state)
{
    struct world world = {.files = {{"b.ini", "[uwsgi]\nthreads = 2\ninclude = t.ini\n", 0}}};
    struct lg_conf *conf = world_ini(&world, "[uwsgi]\ninclude = b.ini\ninclude = no.ini\n",
        "b.ini:3: error: \"t.ini\" includes itself by way of this line\n"
        "t.ini:3: error: \"no.ini\": the file does not exist\n");
    (void)state;
    assert_int_equal(lg_conf_number(conf, LG_OPT_threads), 2);
    lg_conf_free(conf);
}

static void bounds_depth(void **state)
{
    static char text[20][40], path[20][8];
    struct world world = {0};
    (void)state;
    struct lg_conf *conf = world_ini(&world, "[uwsgi]\ninclude = %s:uwsgi\n",
        "t.ini:2: error: \"t.ini\" includes itself by way of this line\n");
    lg_conf_free(conf);
    for (int i = 0; i < WORLD_MAX; i++) {
        snprintf(path[i], sizeof path[i], "%d.ini", i);
        snprintf(text[i], sizeof text[i], "[uwsgi]\nini = a:s\nini = %d.ini\n", i + 1);
        world.files[i] = (struct world_file){path[i], text[i], 0};
    }
    assert_int_equal(world_load(&world, &conf, "0.ini", NULL), -LG_E_CONF);
    lg_conf_free(conf);
}

static void tells_the_plugins(void **state)
{
    struct world world = {0};
    const char *names[8];
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nplugins = one, two,one\nhttp-socket=:1\nhttp-socket-modifier1 = 27\n"
        "glusterfs-mount = mountpoint=/,volume=v,server=a:0\nplugin = three\n",
        "");
    (void)state;
    assert_int_equal(lg_conf_plugins(conf, names, 8), 4);
    assert_string_equal(names[0], "one");
    assert_string_equal(names[1], "two");
    assert_string_equal(names[2], "glusterfs");
    assert_string_equal(names[3], "three");
    assert_int_equal(lg_conf_plugins(conf, names, 1), 1);
    lg_conf_free(conf);
}

static void takes_later_reports(void **state)
{
    struct world world = {0};
    struct lg_conf *conf = world_ini(&world, "[uwsgi]\nuid = x\n", "");
    (void)state;
    lg_conf_report(
        conf, LG_DIAG_ERROR, lg_conf_at(conf, LG_OPT_uid, 0)->where, "no user \"%s\"", "x");
    assert_diags(conf, "t.ini:2: error: no user \"x\"\n");
    lg_conf_free(conf);
    lg_conf_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_in_order),
        cmocka_unit_test(answers_with_defaults),
        cmocka_unit_test(tolerates_a_long_line_and_a_mark),
        cmocka_unit_test(later_sources_add),
        cmocka_unit_test(warns_of_strange_legatus_variables),
        cmocka_unit_test(reads_short_options),
        cmocka_unit_test(refuses_strange_arguments),
        cmocka_unit_test(reads_sections_and_stdin),
        cmocka_unit_test(includes_in_place),
        cmocka_unit_test(stops_circles),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(tells_the_plugins),
        cmocka_unit_test(takes_later_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
