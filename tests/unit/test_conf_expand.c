/* Placeholders and blocks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* `text` as the value of procname in etc/app.test.ini. */
static void assert_expands(const char *text, const char *expected)
{
    char ini[512];
    struct world world = {.env = {"HOME=/home/me", "EMPTY=", "FILE=f.txt"}};
    struct lg_conf *conf;
    int len = snprintf(ini, sizeof ini,
        "[uwsgi]\nset-placeholder = foo=bar\nset-ph = two=%%(foo)2 $(HOME)\nprocname = %s\n"
        "threads = 5\nset-ph = late=LATE\n",
        text);
    assert_in_range(len, 1, sizeof ini - 1);
    world.files[0] = (struct world_file){"etc/app.test.ini", ini, 0};
    world.files[1] = (struct world_file){"f.txt", "one\ntwo %(foo) $(HOME)\r\n\n", 0};
    assert_int_equal(world_load(&world, &conf, "etc/app.test.ini", NULL), 0);
    assert_string_equal(lg_conf_text(conf, LG_OPT_procname), expected);
    lg_conf_free(conf);
}

static void replaces_the_first_pass(void **state)
{
    (void)state;
    assert_expands("%d", "/home/etc/");
    assert_expands("%s", "app.test.ini");
    assert_expands("%n", "app.test");
    assert_expands("%e", "ini");
    assert_expands("%p", "/home/etc/app.test.ini");
    assert_expands("%h", "web1");
    assert_expands("%v", "/home");
    assert_expands("%k", "4");
    assert_expands("%u %U %g %G", "33 www-data 34 www");
    assert_expands("%t", "1700000000");
    assert_expands("%T", "1700000000000042");
    assert_expands("%x", "uwsgi");
    assert_expands("100%%", "100%");
    assert_expands("%z % %", "%z % %");
    assert_expands("%%d", "%d");
}

static void replaces_the_later_passes(void **state)
{
    (void)state;
    assert_expands("$(HOME)/x", "/home/me/x");
    assert_expands("$(NO:-def)", "def");
    assert_expands("$(EMPTY:-def)", "def");
    assert_expands("[$(EMPTY)]", "[]");
    assert_expands("$(HOME:-def)", "/home/me");
    assert_expands("$(NO)", "$(NO)");
    assert_expands("$(date +%%s)", "$(date +%s)");
    assert_expands("%(foo)", "bar");
    assert_expands("%(two)", "bar2 /home/me");
    assert_expands("%(threads)%(late)", "5LATE");
    assert_expands("%(no)", "%(no)");
    assert_expands("%(no%(foo)", "%(nobar");
    assert_expands("%(foo", "%(foo");
    /* In this order: what the environment gives may name a file, what a file holds
     * may name an option, never the other way round. As in uWSGI, "%%(" is no escape. */
    assert_expands("@($(FILE))", "one\ntwo bar $(HOME)");
    assert_expands("%%(foo)", "bar");
}

static void the_first_value_counts(void **state)
{
    struct world world = {0};
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nset-ph = a=1\nset-ph = a=2\nset-ph = a=1\nprocname = %(a)\n",
        "t.ini:3: warning: placeholder \"a\" was set before (t.ini:2): the first value counts\n");
    (void)state;
    assert_values(conf, LG_OPT_procname, "1|");
    lg_conf_free(conf);
}

static void reports_what_cannot_be_replaced(void **state)
{
    static const char nul[] = "a\0b";
    struct world world = {.files = {{"nul", nul, 3}}};
    (void)state;
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nprocname = @(no)\nuid = @(nul)\npidfile = %(project)\nset-ph = projekt=x\n"
        "gid = $(NO_SUCH)\nset-ph = a=%(b)\nset-ph = b=%(a)\nlogto = %(a)\nset-ph = x\n",
        "t.ini:2: error: \"@(no)\": the file cannot be read\n"
        "t.ini:3: error: \"@(nul)\": expected a text file of at most 1 MiB\n"
        "t.ini:4: warning: nothing sets \"%(project)\": did you mean \"%(projekt)\"?\n"
        "t.ini:6: warning: the environment has no NO_SUCH: \"$(NO_SUCH)\" is left as it stands\n"
        "t.ini:9: error: \"%(a)\" refers to itself, or nests more than 16 deep\n"
        "t.ini:10: error: \"set-ph = x\": expected \"set-ph = name=value\"\n");
    lg_conf_free(conf);
    conf = world_ini(&world, "[uwsgi]\nstrict = 1\npidfile = %(project)\n",
        "t.ini:3: error: nothing sets \"%(project)\"\n");
    lg_conf_free(conf);
    conf = world_ini(&world, "[uwsgi]\npidfile = %(project)\n",
        "t.ini:2: warning: nothing sets \"%(project)\": it is left as it stands\n");
    lg_conf_free(conf);
}

static void bounds_what_grows(void **state)
{
    char ini[2000] = "[uwsgi]\nset-ph = a0=xxxxxxxxxxxxxxxx\n";
    struct world world = {0};
    (void)state;
    for (int i = 1; i < 15; i++)
        snprintf(ini + strlen(ini), 100, "set-ph = a%d=%%(a%d)%%(a%d)%%(a%d)%%(a%d)\n", i, i - 1,
            i - 1, i - 1, i - 1);
    strncat(ini, "procname = %(a14)\n", 20);
    struct lg_conf *conf;
    world.files[0] = (struct world_file){"t.ini", ini, 0};
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), -LG_E_CONF);
    size_t count;
    assert_non_null(strstr(lg_conf_diags(conf, &count)->text, "longer than 1 MiB"));
    lg_conf_free(conf);
}

static void repeats(void **state)
{
    struct world world = {.files = {{"d/a.sock", "", 0}, {"d/b.sock", "", 0}, {"d/c", "", 0}}};
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nset-ph = ports=1 2\nfor = %(ports)  7\t9\nhttp-socket = :%(_)0\nsocket = :%(_)\n"
        "endfor\nfor-glob = d/*.sock\nstats = %(_)\nend-for = \nfor =\nuid = x\nendfor =\n"
        "procname = %(_)\n",
        "t.ini:13: warning: nothing sets \"%(_)\": it is left as it stands\n");
    (void)state;
    assert_values(conf, LG_OPT_http_socket, ":10|:20|:70|:90|");
    assert_values(conf, LG_OPT_socket, ":1|:2|:7|:9|");
    assert_values(conf, LG_OPT_stats, "d/a.sock|d/b.sock|");
    assert_values(conf, LG_OPT_uid, "");
    lg_conf_free(conf);
}

static void assert_holds(const char *condition, bool holds, const char *item)
{
    char ini[256];
    struct world world = {.files = {{"f", "", 0}, {"d/", "", 0}}, .env = {"A=1", "B="}};
    for (int negated = 0; negated < 2; negated++) {
        snprintf(ini, sizeof ini,
            "[uwsgi]\nthreads = 4\nif-%s%s\nprocname = yes %%(_)\nelse\nprocname = no\nendif\n",
            negated ? "not-" : "", condition);
        struct lg_conf *conf;
        world.files[2] = (struct world_file){"t.ini", ini, 0};
        assert_int_equal(world_load(&world, &conf, "t.ini", NULL), 0);
        const char *text = lg_conf_text(conf, LG_OPT_procname);
        if (holds == !negated)
            assert_memory_equal(text, "yes ", 4);
        else
            assert_string_equal(text, "no");
        if (holds && !negated)
            assert_string_equal(text + 4, item);
        lg_conf_free(conf);
    }
}

static void decides(void **state)
{
    (void)state;
    assert_holds("env = A", true, "1");
    assert_holds("env = A=1", true, "1");
    assert_holds("env = A=2", false, "");
    assert_holds("env = C", false, "");
    assert_holds("file = f", true, "f");
    assert_holds("file = d", false, "");
    assert_holds("dir = d", true, "d");
    assert_holds("dir = f", false, "");
    assert_holds("exists = f", true, "f");
    assert_holds("exists = g", false, "");
    assert_holds("hostname = web1", true, "web1");
    assert_holds("hostname = web2", false, "");
    assert_holds("opt = threads", true, "4");
    assert_holds("opt = threads=4", true, "4");
    assert_holds("opt = threads=5", false, "");
    assert_holds("opt = vacuum", false, "");
}

static void nests(void **state)
{
    struct world world = {.env = {"B=2"}};
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\n"
        "for = A B\n"
        "if-env = %(_)\n"
        "for = x y\n"
        "stats = in-%(_)\n"
        "endfor\n"
        "else\n"
        "stats = no-%(_)\n"
        "if-not-env = %(_)\n"
        "stats = nono-%(_)\n"
        "endif\n"
        "endif\n"
        "stats = end-%(_)\n"
        "endfor\n"
        "if-env = C\n"
        "this is never read\n"
        "if-env = B\n"
        "stats = never\n"
        "endif\n"
        "endif\n",
        "");
    (void)state;
    assert_values(conf, LG_OPT_stats, "no-A|nono-A|end-A|in-x|in-y|end-B|");
    lg_conf_free(conf);
}

static void names_the_open_block(void **state)
{
    struct world world = {.files = {{"b.ini", "[uwsgi]\nendif\n", 0}}};
    (void)state;
    struct lg_conf *conf = world_ini(&world, "[uwsgi]\nif-env = A\nfor = a b\nthreads = 1\n",
        "t.ini:2: error: \"if-env = A\" is never closed: expected \"endif\" before the end\n"
        "t.ini:3: error: \"for = a b\" is never closed: expected \"endfor\" before the end\n");
    lg_conf_free(conf);
    conf = world_ini(
        &world, "[uwsgi]\nendfor\n", "t.ini:2: error: \"endfor\" without a for before it\n");
    lg_conf_free(conf);
    conf = world_ini(
        &world, "[uwsgi]\nelse =\n", "t.ini:2: error: \"else\" without an if before it\n");
    lg_conf_free(conf);
    conf = world_ini(&world, "[uwsgi]\nfor = a\nendif\nendfor\n",
        "t.ini:3: error: \"endif\" inside \"for\" of line 2: expected \"endfor\" first\n");
    lg_conf_free(conf);
    conf = world_ini(&world, "[uwsgi]\nif-env = A\nelse\nelse\nendif\n",
        "t.ini:4: error: \"else\" inside \"if-env\" of line 2: expected \"endif\" first\n");
    lg_conf_free(conf);
    /* A block ends in the file that opens it. */
    conf = world_ini(&world, "[uwsgi]\nif-not-env = A\ninclude = b.ini\nendif\n",
        "b.ini:2: error: \"endif\" without an if before it\n");
    lg_conf_free(conf);
}

static void bounds_loops(void **state)
{
    char ini[4000] = "[uwsgi]\n";
    struct world world = {0};
    (void)state;
    for (int i = 0; i < 8; i++)
        strncat(ini, "for = 0 1 2 3 4 5 6 7 8 9\n", 40);
    strncat(ini, "stats = :%(_)\n", 40);
    for (int i = 0; i < 8; i++)
        strncat(ini, "endfor\n", 40);
    struct lg_conf *conf;
    world.files[0] = (struct world_file){"t.ini", ini, 0};
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), -LG_E_CONF);
    assert_diags(
        conf, "t.ini:10: error: more than 200000 lines and placeholders once loops are unrolled\n");
    lg_conf_free(conf);
    ini[8] = '\0';
    for (int i = 0; i < 17; i++)
        strncat(ini, "for = 0\n", 40);
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), -LG_E_CONF);
    assert_diags(conf, "t.ini:18: error: \"for\" nests more than 16 deep\n");
    lg_conf_free(conf);
}

static void sets_from_the_command_line(void **state)
{
    struct world world = {.files = {{"t.ini", "[uwsgi]\nprocname = %(who)\n", 0}}};
    struct lg_conf *conf;
    (void)state;
    assert_int_equal(world_load(&world, &conf, "--set-ph", "who=me", "--set", "threads=3", "-S",
                         "x=y", "--for=a b", "--stats", "%(_)%(x)", "--endfor", "t.ini", NULL),
        0);
    assert_values(conf, LG_OPT_procname, "me|");
    assert_values(conf, LG_OPT_threads, "3|");
    assert_values(conf, LG_OPT_stats, "ay|by|");
    lg_conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_the_first_pass),
        cmocka_unit_test(replaces_the_later_passes),
        cmocka_unit_test(the_first_value_counts),
        cmocka_unit_test(reports_what_cannot_be_replaced),
        cmocka_unit_test(bounds_what_grows),
        cmocka_unit_test(repeats),
        cmocka_unit_test(decides),
        cmocka_unit_test(nests),
        cmocka_unit_test(names_the_open_block),
        cmocka_unit_test(bounds_loops),
        cmocka_unit_test(sets_from_the_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
