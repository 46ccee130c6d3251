/* What is wrong in a configuration, word for word: names, values, legions, mounts,
 * traps.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const char *ini, const char *diags)
{
    struct world world = {0};
    lg_conf_free(world_ini(&world, ini, diags));
}

static void names(void **state)
{
    (void)state;
    expect("[uwsgi]\ntreads = 4\n",
        "t.ini:2: error: unknown option \"treads\": did you mean \"threads\"?\n");
    expect("[uwsgi]\nhttp_socket = :1\nHTTP-Socket = :1\nvacum\n",
        "t.ini:2: error: unknown option \"http_socket\": did you mean \"http-socket\"?\n"
        "t.ini:3: error: unknown option \"HTTP-Socket\": did you mean \"http-socket\"?\n"
        "t.ini:4: error: unknown option \"vacum\": did you mean \"vacuum\"?\n");
    expect("[uwsgi]\nqwertyuiop = 1\nglusterfs-muont = x\n",
        "t.ini:2: error: unknown option \"qwertyuiop\"\n"
        "t.ini:3: error: unknown option \"glusterfs-muont\": did you mean "
        "\"glusterfs-mount\"?\n");
    expect("[uwsgi]\nproject = shop\npidfile = /run/%(project).pid\n",
        "t.ini:2: error: unknown option \"project\": a variable is written \"set-placeholder = "
        "project=...\"\n"
        "t.ini:3: warning: nothing sets \"%(project)\": it is left as it stands\n");
    expect("[uwsgi]\nhttp-socket :9090\n= 4\n",
        "t.ini:2: error: \"http-socket :9090\" has no \"=\": expected \"http-socket = ...\"\n"
        "t.ini:3: error: \"= 4\": expected \"option = value\"\n");
    expect("[uwsgi]\nwsgi-file = app.py\nroute = ^/ break:\npsgi = a\nchek-static = /\n",
        "t.ini:2: error: \"wsgi-file\" is a uWSGI option Legatus does not have yet\n"
        "t.ini:3: error: \"route\" is a uWSGI option Legatus does not have yet\n"
        "t.ini:4: error: \"psgi\" is a uWSGI option Legatus does not have yet\n"
        "t.ini:5: error: unknown option \"chek-static\": did you mean \"check-static\"?\n");
    expect("[uwsgi]\nthunder-lock = true\nthunder-lock = true\n",
        "t.ini:2: warning: \"thunder-lock\" does nothing in Legatus, and nothing is lost: one "
        "worker is woken for each connection anyway\n");
    expect("[uwsgi]\ncheck = 1\n",
        "t.ini:2: error: \"check\" belongs on the command line, as --check\n");
}

static void sections(void **state)
{
    struct world world = {0};
    struct lg_conf *conf;
    (void)state;
    expect("[uwsgi]\nvacuum\n[legatus]\nvacuum\n",
        "t.ini:3: error: section [legatus] after [uwsgi]: expected one of the two in a file, not "
        "both\n");
    expect("[uwsig]\nvacuum\n",
        "t.ini:1: error: section [uwsig] is not read: expected a section [uwsgi] or [legatus]\n");
    expect("vacuum = 1\nthreads = 2\n",
        "t.ini:1: error: \"vacuum = 1\" stands before any section: expected [uwsgi] or [legatus] "
        "first\n");
    expect("", "t.ini:0: error: expected a section [uwsgi] or [legatus]\n");
    expect("[uwsgi\n[uwsgi]\n", "t.ini:1: error: \"[uwsgi\": expected \"]\" at the end\n");
    world.files[0] = (struct world_file){"t.ini", "[uwsgi]\nuid = a\0b\ngid = c\n", 26};
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), -LG_E_CONF);
    assert_diags(conf, "t.ini:2: error: a NUL byte: expected text (is this an ini file?)\n");
    assert_values(conf, LG_OPT_gid, "c|");
    lg_conf_free(conf);
}

static void values(void **state)
{
    (void)state;
    expect("[uwsgi]\nthreads = true\nthreads = 0\nthreads = 1025\nthreads = -1\nthreads =\n",
        "t.ini:2: error: bad value \"true\" for \"threads\": expected a whole number from 1 to "
        "1024\n"
        "t.ini:3: error: bad value \"0\" for \"threads\": expected a whole number from 1 to 1024\n"
        "t.ini:4: error: bad value \"1025\" for \"threads\": expected a whole number from 1 to "
        "1024\n"
        "t.ini:5: error: bad value \"-1\" for \"threads\": expected a whole number from 1 to "
        "1024\n"
        "t.ini:6: error: \"threads\" has no value: expected a whole number from 1 to 1024\n");
    expect("[uwsgi]\nthreads = 4 ; four\n",
        "t.ini:2: error: bad value \"4 ; four\" for \"threads\": expected a whole number from 1 to "
        "1024 (a comment needs a line of its own)\n");
    expect("[uwsgi]\nvacuum = maybe\n",
        "t.ini:2: error: bad value \"maybe\" for \"vacuum\": expected true or false\n");
    expect("[uwsgi]\nbuffer-size = 64k\nlimit-post = x\n",
        "t.ini:2: error: bad value \"64k\" for \"buffer-size\": expected a number of bytes from "
        "1024 to 65535 (k, m or g may follow)\n"
        "t.ini:3: error: bad value \"x\" for \"limit-post\": expected a number of bytes (k, m or g "
        "may follow)\n");
    expect("[uwsgi]\nlegion-freq = 1ms\nlog-slow = 2d\nhttp-keepalive = maybe\n",
        "t.ini:2: error: bad value \"1ms\" for \"legion-freq\": expected a duration from 10ms to "
        "1h (in seconds, or with ms, s, m or h)\n"
        "t.ini:3: error: bad value \"2d\" for \"log-slow\": expected a duration from 0 to 24h (in "
        "milliseconds, or with ms, s, m or h)\n"
        "t.ini:4: error: bad value \"maybe\" for \"http-keepalive\": expected true, false or a "
        "duration from 0 to 24h (in seconds, or with ms, s, m or h)\n");
    expect("[uwsgi]\nlog-level = loud\n",
        "t.ini:2: error: bad value \"loud\" for \"log-level\": expected error, warn, info or "
        "debug\n");
    expect("[uwsgi]\nhttp-var = A\nadd-header = A\nchmod-socket = 888\nuid =\npidfile =\ncap =\n",
        "t.ini:2: error: bad value \"A\" for \"http-var\": expected \"http-var = NAME=value\"\n"
        "t.ini:3: error: bad value \"A\" for \"add-header\": expected \"add-header = "
        "Name:value\"\n"
        "t.ini:4: error: bad value \"888\" for \"chmod-socket\": expected an octal mode such as "
        "660\n"
        "t.ini:5: error: \"uid\" has no value: expected a value\n"
        "t.ini:6: error: \"pidfile\" has no value: expected a path\n"
        "t.ini:7: error: \"cap\" has no value: expected words separated by commas\n");
}

static void addresses(void **state)
{
    static const char *const good[] = {":9090", "127.0.0.1:9090", "[::1]:9090", "[::]:0",
        "/run/x.sock", "x.sock", "./9090", "@abstract", "fd://3", "localhost:80"};
    static const char *const bad[] = {
        "9090", ":", ":port", "1.2.3.4:65536", "::1:9090", "@", "fd://x", "\":9090\"", "a b:80"};
    char ini[128];
    struct world world = {0};
    struct lg_conf *conf;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(ini, sizeof ini, "[uwsgi]\nsocket = %s\n", good[i]);
        expect(ini, "");
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(ini, sizeof ini, "[uwsgi]\nsocket = %s\n", bad[i]);
        world.files[0] = (struct world_file){"t.ini", ini, 0};
        assert_int_equal(world_load(&world, &conf, "t.ini", NULL), -LG_E_CONF);
        lg_conf_free(conf);
    }
    expect("[uwsgi]\nhttp = 9090\n",
        "t.ini:2: error: bad value \"9090\" for \"http\": expected ip:port, :port, [v6]:port, a "
        "path, @abstract or fd://n\n");
}

static int64_t number_of(enum lg_opt opt, const char *text)
{
    char ini[128];
    struct world world = {0};
    snprintf(ini, sizeof ini, "[uwsgi]\n%s = %s\n", lg_opt_name(opt), text);
    struct lg_conf *conf = world_ini(&world, ini, "");
    int64_t number = lg_conf_number(conf, opt);
    lg_conf_free(conf);
    return number;
}

static void numbers(void **state)
{
    (void)state;
    assert_int_equal(number_of(LG_OPT_legion_freq, "3"), 3000);
    assert_int_equal(number_of(LG_OPT_legion_freq, "0.25"), 250);
    assert_int_equal(number_of(LG_OPT_legion_freq, "250ms"), 250);
    assert_int_equal(number_of(LG_OPT_legion_freq, "1.5m"), 90000);
    assert_int_equal(number_of(LG_OPT_legion_freq, "1h"), 3600000);
    assert_int_equal(number_of(LG_OPT_legion_freq, "2 s"), 2000);
    assert_int_equal(number_of(LG_OPT_log_slow, "250"), 250);
    assert_int_equal(number_of(LG_OPT_log_slow, "1s"), 1000);
    assert_int_equal(number_of(LG_OPT_http_keepalive, "true"), 75000);
    assert_int_equal(number_of(LG_OPT_http_keepalive, "1"), 75000);
    assert_int_equal(number_of(LG_OPT_http_keepalive, "off"), 0);
    assert_int_equal(number_of(LG_OPT_http_keepalive, "20"), 20000);
    assert_int_equal(number_of(LG_OPT_limit_post, "1048577"), 1048577);
    assert_int_equal(number_of(LG_OPT_limit_post, "2k"), 2048);
    assert_int_equal(number_of(LG_OPT_limit_post, "3M"), 3145728);
    assert_int_equal(number_of(LG_OPT_limit_post, "1g"), 1073741824);
    assert_int_equal(number_of(LG_OPT_log_level, "debug"), 3);
    static const char *const truths[] = {"true", "on", "yes", "1", "True"};
    static const char *const lies[] = {"false", "off", "no", "0", "OFF"};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(number_of(LG_OPT_vacuum, truths[i]), 1);
        assert_int_equal(number_of(LG_OPT_vacuum, lies[i]), 0);
    }
}

static void key_values(void **state)
{
    struct world world = {0};
    (void)state;
    struct lg_conf *conf = world_ini(&world,
        "[uwsgi]\nsocket = :1\nglusterfs-mount = mountpoint=/a\\,b\\=c\\\\d, volume = v "
        ",server=h:0;i:0\n",
        "");
    const struct lg_setting *mount = lg_conf_at(conf, LG_OPT_glusterfs_mount, 0);
    assert_string_equal(lg_conf_key(conf, mount, "mountpoint"), "/a,b=c\\d");
    assert_string_equal(lg_conf_key(conf, mount, "volume"), "v");
    assert_string_equal(lg_conf_key(conf, mount, "server"), "h:0;i:0");
    assert_null(lg_conf_key(conf, mount, "volfile"));
    lg_conf_free(conf);
    expect("[uwsgi]\nglusterfs-mount = mountpoint=/,volum=v,server=h\n",
        "t.ini:2: error: unknown key \"volum\" in \"glusterfs-mount\": did you mean \"volume\"?\n"
        "t.ini:2: error: \"glusterfs-mount\" lacks volume=: expected "
        "mountpoint=...,volume=...,server=... or servers=... or volfile=...\n");
    expect("[uwsgi]\nglusterfs-mount = mountpoint=/,volume=v,zzz=1,x\n",
        "t.ini:2: error: unknown key \"zzz\" in \"glusterfs-mount\": expected "
        "mountpoint=...,volume=...,server=... or servers=... or volfile=...\n"
        "t.ini:2: error: \"x\" in \"glusterfs-mount\": expected key=value\n"
        "t.ini:2: error: \"glusterfs-mount\" lacks server= or servers= or volfile=: expected "
        "mountpoint=...,volume=...,server=... or servers=... or volfile=...\n");
    expect("[uwsgi]\nglusterfs-mount = mountpoint=/,volume=v,volume=w,volfile=f\n",
        "t.ini:2: error: \"volume\" is given twice in \"glusterfs-mount\"\n");
    expect("[uwsgi]\nglusterfs-mount = mountpoint=/a,volume=v,server=h\n"
           "glusterfs-mount = mountpoint=/b,volume=v,server=h\n"
           "glusterfs-mount = volume=w,volfile=f,mountpoint=/a\n",
        "t.ini:4: error: mountpoint \"/a\" is taken by the \"glusterfs-mount\" of t.ini:2\n");
}

static void legions(void **state)
{
    (void)state;
    expect("[uwsgi]\nlegion-node = a 1.1.1.1:1\nlegion = a 1.1.1.1:1 1 aes-128-cbc:x\n", "");
    expect("[uwsgi]\nlegion-lord = x log:hi\n",
        "t.ini:2: error: unknown legion \"x\": expected a name that \"legion = name ...\" "
        "defines\n");
    expect("[uwsgi]\nlegion-mcast = one 225.1.1.1:1 1 aes-128-cbc:x\nlegion-quorum = one 2\n"
           "legion-scroll = oen text\nlegion-node-left = one log:x\n",
        "t.ini:4: error: unknown legion \"oen\", did you mean \"one\"?\n");
    expect("[uwsgi]\nlegion = a :1 1 aes-128-cbc:x\n",
        "t.ini:2: warning: legion \"a\" has no legion-node: it announces itself to nobody\n");
    expect("[uwsgi]\nlegion-mcast = a 225.1.1.1:1 1 c:x\nlegion-mcast = a 225.1.1.1:1 1 c:x\n",
        "t.ini:3: error: legion \"a\" is defined twice (t.ini:2)\n");
    /* The secret is not repeated. */
    expect("[uwsgi]\nlegion = a 1.1.1.1:1 secret\nlegion-node = a\nlegion-lord = a true\n",
        "t.ini:2: error: bad value for \"legion\": expected \"legion = name address valor "
        "cipher:secret [iv]\"\n"
        "t.ini:3: error: bad value \"a\" for \"legion-node\": expected \"legion-node = legion "
        "address\"\n"
        "t.ini:4: error: bad value \"a true\" for \"legion-lord\": expected \"legion-lord = legion "
        "action:argument\"\n");
}

static void traps(void **state)
{
    static const char mount[] = "glusterfs-mount = mountpoint=/,volume=v,server=h\n";
    char ini[256];
    (void)state;
    expect("[uwsgi]\nhttp = :80\nhttp-socket-modifier1 = 9\nhttp-socket-modifier2 = 1\n",
        "t.ini:3: warning: \"http-socket-modifier1\" is not used: \"http\" (t.ini:2) takes "
        "\"http-modifier1\"\n"
        "t.ini:4: warning: \"http-socket-modifier2\" is not used: \"http\" (t.ini:2) takes "
        "\"http-modifier2\"\n");
    expect("[uwsgi]\nhttp-socket = :80\nhttp-modifier1 = 9\n",
        "t.ini:3: warning: \"http-modifier1\" is not used: \"http-socket\" (t.ini:2) takes "
        "\"http-socket-modifier1\"\n");
    expect("[uwsgi]\nhttp = :80\nhttp-socket = :81\nhttp-socket-modifier1 = 9\n", "");
    expect("[uwsgi]\nthreads = 4\nthreads = 8\nvacuum = on\nvacuum = true\n",
        "t.ini:3: warning: \"threads\" was \"4\" before (t.ini:2): the last value counts\n");
    expect("[uwsgi]\nhttp-socket = :1\nhttp-socket-modifier1 = 27\n",
        "t.ini:3: warning: modifier1 27 is the glusterfs plugin, and there is no "
        "\"glusterfs-mount\"\n");
    snprintf(ini, sizeof ini, "[uwsgi]\nhttp-socket = :1\n%s", mount);
    expect(ini, "t.ini:3: warning: no request reaches \"glusterfs-mount\": expected "
                "\"http-socket-modifier1 = 27\"\n");
    snprintf(ini, sizeof ini, "[uwsgi]\nhttp = :1\n%s", mount);
    expect(ini, "t.ini:3: warning: no request reaches \"glusterfs-mount\": expected "
                "\"http-modifier1 = 27\"\n");
    snprintf(ini, sizeof ini, "[uwsgi]\nhttp = :1\nhttp-modifier1 = 27\n%s", mount);
    expect(ini, "");
    snprintf(ini, sizeof ini, "[uwsgi]\nhttp = :1\nsocket = :2\n%s", mount);
    expect(ini, "");
}

static void what_is_always_so(void **state)
{
    (void)state;
    expect("[uwsgi]\nmaster = 1\ndie-on-term = false\nenable-threads = 0\n",
        "t.ini:3: warning: \"die-on-term\" is always true in Legatus\n"
        "t.ini:4: warning: \"enable-threads\" is always true in Legatus\n");
}

static void stops_counting(void **state)
{
    static char ini[100000] = "[uwsgi]\n";
    struct world world = {0};
    struct lg_conf *conf;
    size_t count;
    (void)state;
    for (int i = 0; i < 300; i++)
        snprintf(ini + strlen(ini), 40, "qqqqqqq%d = 1\nthreads = %d\n", i, i + 2000);
    world.files[0] = (struct world_file){"t.ini", ini, 0};
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), -LG_E_CONF);
    const struct lg_diag *diags = lg_conf_diags(conf, &count);
    assert_int_equal(count, 257);
    assert_string_equal(diags[256].text, "too many faults: the rest is not shown");
    lg_conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(sections),
        cmocka_unit_test(values),
        cmocka_unit_test(addresses),
        cmocka_unit_test(numbers),
        cmocka_unit_test(key_values),
        cmocka_unit_test(legions),
        cmocka_unit_test(traps),
        cmocka_unit_test(what_is_always_so),
        cmocka_unit_test(stops_counting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
