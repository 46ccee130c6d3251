/* The inis of the two documents as they stand; --show-config, --help, the man page;
 * and the table itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/table.h"
#include "conf_world.h"
#include "master/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Through the real facts: `name` of tests/data/ini. */
static struct lg_conf *document(const char *name, const char *diags)
{
    char path[512];
    struct lg_facts *facts;
    struct lg_conf *conf;
    snprintf(path, sizeof path, "%s/%s.ini", LG_TEST_DATA, name);
    const char *const argv[] = {path};
    assert_int_equal(lg_facts_new(&facts), 0);
    int err = lg_conf_load(lg_facts_conf(facts), 1, argv, &conf);
    lg_facts_free(facts);
    struct lg_buf out = {0};
    size_t count;
    const struct lg_diag *all = lg_conf_diags(conf, &count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(lg_buf_printf(&out, "%u: %s\n", all[i].where.line, all[i].text), 0);
    assert_int_equal(lg_buf_append(&out, "", 1), 0);
    assert_string_equal(out.ptr, diags);
    lg_buf_free(&out);
    assert_int_equal(err, diags[0] ? -LG_E_CONF : 0);
    return conf;
}

static void documents_of_glusterfs(void **state)
{
    const char *plugin;
    (void)state;
    struct lg_conf *conf = document("glusterfs-single", "");
    assert_int_equal(lg_conf_number(conf, LG_OPT_threads), 30);
    assert_int_equal(lg_conf_number(conf, LG_OPT_http_socket_modifier1), 27);
    assert_string_equal(lg_conf_text(conf, LG_OPT_http_socket), ":9090");
    assert_int_equal(lg_conf_plugins(conf, &plugin, 1), 1);
    assert_string_equal(plugin, "glusterfs");
    lg_conf_free(conf);
    conf = document("glusterfs-servers", "");
    assert_string_equal(lg_conf_key(conf, lg_conf_at(conf, LG_OPT_glusterfs_mount, 0), "server"),
        "192.168.173.1:0;192.168.173.2:0;192.168.173.3:0");
    lg_conf_free(conf);
    conf = document("glusterfs-mounts", "");
    assert_int_equal(lg_conf_count(conf, LG_OPT_glusterfs_mount), 3);
    assert_string_equal(
        lg_conf_key(conf, lg_conf_at(conf, LG_OPT_glusterfs_mount, 2), "mountpoint"), "/bar");
    lg_conf_free(conf);
}

static void documents_of_legion(void **state)
{
    (void)state;
    struct lg_conf *conf = document("legion-clusterip", "");
    assert_string_equal(lg_conf_at(conf, LG_OPT_legion_lord, 1)->text,
        "clusterip cmd:arping -c 3 -S 192.168.173.111 192.168.173.1");
    lg_conf_free(conf);
    conf = document("legion-quorum", "");
    assert_string_equal(lg_conf_text(conf, LG_OPT_legion_quorum), "clusterip 2");
    lg_conf_free(conf);
    static const char typo[] = "3: unknown legion \"mycluster\", did you mean \"myclyster\"?\n"
                               "4: unknown legion \"mycluster\", did you mean \"myclyster\"?\n"
                               "5: unknown legion \"mycluster\", did you mean \"myclyster\"?\n";
    lg_conf_free(document("legion-unicast", typo));
    lg_conf_free(document("legion-iv", typo));
    lg_conf_free(document("legion-several",
        "3: unknown legion \"mycluster\", did you mean \"myclyster\"?\n"
        "4: unknown legion \"mycluster\", did you mean \"myclyster\"?\n"
        "5: unknown legion \"mycluster\", did you mean \"myclyster\"?\n"
        "7: unknown legion \"mycluster2\", did you mean \"myclyster2\"?\n"));
}

static void shows_what_loads_back(void **state)
{
    struct world world = {.env = {"A=$(HOME)"}, .files = {{"f", "100% @(f) %d %(x)", 0}}};
    (void)state;
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nshow-config = 1\nthreads = 3\nthreads = 4\nfor = 1 2\nhttp-socket = :%(_)\n"
        "endfor\nset-ph = dir=/x\npidfile = %(dir)/$(A) 50%% @(f)\nvacuum\n"
        "legion-mcast = one 225.1.1.1:1 5 aes-128-cbc:secret:1 iv\n",
        "t.ini:4: warning: \"threads\" was \"3\" before (t.ini:3): the last value counts\n"
        "t.ini:9: warning: nothing sets \"%(x)\": it is left as it stands\n");
    struct lg_buf first = {0}, second = {0};
    assert_int_equal(lg_conf_render(conf, &first), 0);
    assert_int_equal(lg_buf_append(&first, "", 1), 0);
    static const char expected[] =
        "[legatus]\nset-placeholder = legatus-percent=%%\nset-placeholder = legatus-dollar=$\n"
        "set-placeholder = legatus-at=@\nthreads = 4\nhttp-socket = :1\nhttp-socket = :2\n"
        "pidfile = /x/%(legatus-dollar)(HOME) 50%% 100%% %(legatus-at)(f) %%d "
        "%(legatus-percent)(x)\nvacuum = \nlegion-mcast = one 225.1.1.1:1 5 aes-128-cbc:***\n";
    assert_memory_equal(first.ptr, expected, sizeof expected - 1);
    assert_non_null(strstr(first.ptr, "\n; processes = 1\n"));
    assert_null(strstr(first.ptr, "secret"));
    struct lg_conf *again = world_ini(
        &world, first.ptr, "t.ini:8: warning: nothing sets \"%(x)\": it is left as it stands\n");
    assert_string_equal(lg_conf_text(again, LG_OPT_pidfile), lg_conf_text(conf, LG_OPT_pidfile));
    assert_int_equal(lg_conf_render(again, &second), 0);
    assert_memory_equal(first.ptr, second.ptr, second.len);
    lg_buf_free(&first);
    lg_buf_free(&second);
    lg_conf_free(conf);
    lg_conf_free(again);
}

static void helps(void **state)
{
    struct lg_buf help = {0}, man = {0};
    (void)state;
    assert_int_equal(lg_conf_help(&help), 0);
    assert_int_equal(lg_conf_man(&man), 0);
    assert_int_equal(lg_buf_append(&help, "", 1), 0);
    assert_int_equal(lg_buf_append(&man, "", 1), 0);
    assert_non_null(strstr(help.ptr, "\nProcesses\n"));
    assert_non_null(strstr(help.ptr, "\n  --processes, --workers, -p N"));
    assert_non_null(strstr(help.ptr, "worker processes [1 to 1024; default 1]\n"));
    assert_non_null(strstr(man.ptr, ".SS GlusterFS\n"));
    assert_non_null(strstr(man.ptr, ".B http\\-socket, http11\\-socket ADDR\n"));
    for (unsigned i = 0; i < LG_OPT_COUNT; i++) {
        char name[80];
        const struct lg_row *row = lg_opt_row((enum lg_opt)i);
        snprintf(name, sizeof name, "\n  --%s", row->name);
        if (row->status == LG_STATUS_WORKS)
            assert_non_null(strstr(help.ptr, name));
    }
    lg_buf_free(&help);
    lg_buf_free(&man);
}

static void table_is_sound(void **state)
{
    enum lg_opt opt;
    (void)state;
    for (unsigned i = 0; i < LG_OPT_COUNT; i++) {
        const struct lg_row *row = lg_opt_row((enum lg_opt)i);
        assert_non_null(row->name);
        assert_true(row->name[0]);
        assert_true(lg_opt_find(lg_slice_of(row->name), &opt));
        assert_int_equal(opt, i); /* no name twice */
        struct lg_slice rest = lg_slice_of(row->aliases);
        while (rest.len) {
            struct lg_slice alias = lg_slice_cut(rest, ' ', &rest);
            assert_true(alias.ptr[0] == '-' ? lg_opt_find_short(alias.ptr[1], &opt)
                                            : lg_opt_find(alias, &opt));
            assert_int_equal(opt, i);
        }
        assert_true(row->min <= row->max);
        bool has_range = row->type == LG_TYPE_NUMBER || row->type == LG_TYPE_SIZE ||
                         row->type == LG_TYPE_DURATION;
        if (row->status == LG_STATUS_WORKS)
            assert_int_equal(row->max > 0, has_range);
        assert_int_equal(row->help == NULL, row->status == LG_STATUS_MISSING);
    }
    struct world world = {0};
    lg_conf_free(world_ini(&world, "[uwsgi]\n", "")); /* every default is valid */
    assert_false(lg_opt_find(LG_SLICE("-M"), &opt));
    assert_false(lg_opt_find(LG_SLICE(""), &opt));
    assert_string_equal(lg_opt_plugin(LG_OPT_glusterfs_mount), "glusterfs");
    assert_null(lg_opt_plugin(LG_OPT_threads));
}

static size_t distance(const char *a, const char *b)
{
    return lg_conf_distance(lg_slice_of(a), lg_slice_of(b));
}

static void measures_distance(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("abc", ""), 3);
    assert_int_equal(distance("treads", "threads"), 1);
    assert_int_equal(distance("muont", "mount"), 1);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("A_B", "a-b"), 0);
    assert_int_equal(
        distance("0123456789012345678901234567890123456789012345678901234567890123", "a"),
        SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_of_glusterfs),
        cmocka_unit_test(documents_of_legion),
        cmocka_unit_test(shows_what_loads_back),
        cmocka_unit_test(helps),
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(measures_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
