/* Faults of legion options, word for word: FILE:LINE, what is wrong, what was
 * expected, the nearest name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"
#include "cluster/plan.h"
#include "cluster/setup.h"
#include "conf_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD "[uwsgi]\nhttp-socket = :1\n"
#define A    "legion = a 127.0.0.1:4242 98 aes-128-cbc:hello\n"
#define NODE "legion-node = a 127.0.0.2:4242\n"

/* Checks `ini` and compares everything said about it. */
static void expect(const char *ini, const char *diags)
{
    struct world world = {0};
    world.files[0] = (struct world_file){"t.ini", ini, strlen(ini)};
    struct lg_conf *conf = NULL;
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), 0);
    bool bad = strstr(diags, "error:") != NULL;
    assert_int_equal(lg_cluster_check(conf), bad ? -LG_E_CONF : 0);
    assert_diags(conf, diags);
    lg_conf_free(conf);
}

static void promises(void **state)
{
    (void)state;
    expect(HEAD A NODE "legion-safe = on\nlegion-quorum = a 1\n",
        "t.ini:6: error: legion-quorum: 1 of 2 nodes of legion \"a\" are no majority, so that "
        "there "
        "can be two Lords: expected 2 or more, or majority\n");
    expect(HEAD A NODE "legion-node = a 127.0.0.3:4242\nlegion-node = a 127.0.0.4:4242\n"
                       "legion-quorum = a 2\n",
        "t.ini:7: warning: legion-quorum: 2 of 4 nodes of legion \"a\" are no majority, so that "
        "there can be two Lords: expected 3 or more, or majority\n");
    expect(HEAD A NODE "legion-safe = off\nlegion-quorum = a 1\n", "");
    expect(HEAD A NODE "legion-tolerance = 6\nlegion-freq = 1\nlegion-unlord-grace = 4\n",
        "t.ini:7: warning: legion-unlord-grace (4000 ms) is more than half of legion-tolerance "
        "(6000 ms): that half is what unlord hooks get\n");
    expect(HEAD A NODE "legion = b 127.0.0.1:4243 9 aes-256-gcm:x\nlegion-node = b 127.0.0.2:4243\n"
                       "legion-state = /no/such/folder\n",
        "t.ini:7: error: legion-state: one file cannot serve 2 legions: expected a folder\n");
}

static void checks(void **state)
{
    (void)state;
    expect(HEAD A NODE
        "legion-check = a workers\nlegion-check = a cmd:true every 1s fall 3 rise 2\n",
        "");
    expect(HEAD A NODE "legion-check = a workers evry 1s\n",
        "t.ini:5: error: legion-check: unknown word \"evry\", did you mean \"every\"?\n");
    expect(HEAD A NODE "legion-check = a glusterfs\n",
        "t.ini:5: error: legion-check: unknown check \"glusterfs\": expected cmd:COMMAND, workers, "
        "or a plugin in use\n");
    expect("[uwsgi]\n" A NODE "legion-check = a workers\n",
        "t.ini:4: error: legion-check: workers: there are no workers: expected http-socket, http "
        "or "
        "socket\n");
    expect(HEAD A NODE "legion-check = a cmd:x\nlegion-check = a cmd:x every 5s\n",
        "t.ini:6: error: legion-check: \"cmd:x\" is given twice for legion \"a\"\n");
    expect(HEAD A NODE "legion-control = door\n",
        "t.ini:5: error: legion-control: \"door\": expected an absolute path, @name or off\n");
    expect(HEAD A NODE "legion-control = @\n",
        "t.ini:5: error: legion-control: \"@\": expected an absolute path, @name or off\n");
    expect(HEAD A NODE "legion-control = off\nlegion-drift = 100000\n", "");
}

static void drift(void **state)
{
    (void)state;
    static const char *const inis[] = {HEAD A, HEAD A "legion-drift = 170000\n"};
    for (size_t i = 0; i < 2; i++) {
        struct world world = {0};
        struct lg_conf *conf = NULL;
        struct lg_arena arena;
        struct lg_legion_setup setup;
        world.files[0] = (struct world_file){"t.ini", inis[i], strlen(inis[i])};
        assert_int_equal(world_load(&world, &conf, "t.ini", NULL), 0);
        assert_int_equal(lg_cluster_setup(conf, &arena, &setup), 0);
        assert_int_equal(setup.drift_ppm, i ? 170000 : LG_LEGION_DRIFT_PPM);
        lg_arena_free(&arena);
        lg_conf_free(conf);
    }
}

static void controls(void **state)
{
    (void)state;
    static const struct {
        const char *ini, *address;
        int err;
    } cases[] = {
        {HEAD A, "@legatus-legion-127.0.0.1:4242", 0},
        {HEAD A "legion-control = /run/x\n", "/run/x", 0},
        {HEAD A "legion-control = @x\n", "@x", 0},
        {HEAD A "legion-control = off\n", "", -LG_E_NOTFOUND},
        {HEAD A "legion-control = off/\n", "", -LG_E_CONF},
        {HEAD, "", -LG_E_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world world = {0};
        struct lg_conf *conf = NULL;
        char address[LG_CLUSTER_CONTROL_SIZE];
        world.files[0] = (struct world_file){"t.ini", cases[i].ini, strlen(cases[i].ini)};
        assert_int_equal(world_load(&world, &conf, "t.ini", NULL), 0);
        assert_int_equal(lg_cluster_control(conf, address), cases[i].err);
        assert_string_equal(address, cases[i].address);
        lg_conf_free(conf);
    }
}

static void definitions(void **state)
{
    (void)state;
    expect(HEAD A NODE, "");
    expect(HEAD "legion = a 127.0.0.1:4242 98 aes-128-cbx:hello\n" NODE,
        "t.ini:3: error: legion \"a\": unknown cipher \"aes-128-cbx\", did you mean "
        "\"aes-128-cbc\"?\n");
    expect(HEAD "legion = a 127.0.0.1:4242 -1 aes-128-cbc:hello\n" NODE,
        "t.ini:3: error: legion \"a\": valor \"-1\" is not a number: expected 0 (an arbiter, "
        "which votes only) or more\n");
    expect(HEAD "legion = a 127.0.0.1:4242 98 aes-256-gcm:hello\n" NODE, "");
    expect(HEAD "legion = a 127.0.0.1:4242 98 chacha20-poly1305:hello iv\n" NODE,
        "t.ini:3: error: legion \"a\": an iv does not go with chacha20-poly1305, whose packets "
        "have "
        "one each: expected none\n");
    expect(HEAD "legion = a 127.0.0.1:4242 98 aes-256-ccm:hello\n" NODE,
        "t.ini:3: error: legion \"a\": cipher \"aes-256-ccm\" is not supported: expected an "
        "authenticated one (aes-256-gcm, aes-128-gcm, chacha20-poly1305), or one of those "
        "\"openssl enc -list\" shows\n");
    expect(HEAD A NODE "legion = b 127.0.0.1:4242 98 aes-128-cbc:hello\n"
                       "legion-node = b 127.0.0.2:4242\n",
        "t.ini:5: error: legion \"b\" has the address of legion \"a\" (t.ini:3): expected another, "
        "or another port\n");
    expect(HEAD "legion-mcast = a 10.0.0.1:4242 5 aes-128-cbc:x\n",
        "t.ini:3: error: legion-mcast: \"10.0.0.1:4242\" is not a group: expected 224.0.0.0 to "
        "239.255.255.255 and a port\n");
    expect(HEAD "legion-mcast = a 225.1.1.1:4242 5 bf-cbc:hello thisistheiv\n", "");
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why; /* NULL = good */
        enum lg_address_kind kind;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"10.1.2.3:4242", NULL, LG_ADDRESS_IPV4, "10.1.2.3", 4242},
        {":65535", NULL, LG_ADDRESS_ANY, "", 65535},
        {"0.0.0.0:1", NULL, LG_ADDRESS_ANY, "0.0.0.0", 1},
        {"224.0.0.0:1", NULL, LG_ADDRESS_MULTICAST, "224.0.0.0", 1},
        {"239.255.255.255:1", NULL, LG_ADDRESS_MULTICAST, "239.255.255.255", 1},
        {"240.0.0.1:1", NULL, LG_ADDRESS_IPV4, "240.0.0.1", 1},
        {"255.255.255.255:1", NULL, LG_ADDRESS_BROADCAST, "255.255.255.255", 1},
        {"[::1]:4242", NULL, LG_ADDRESS_IPV6, "::1", 4242},
        {"[fe80::1%eth0]:4242", NULL, LG_ADDRESS_IPV6, "fe80::1%eth0", 4242},
        {"node-1.example:4242", NULL, LG_ADDRESS_NAME, "node-1.example", 4242},
        {"/run/legion.sock", NULL, LG_ADDRESS_UNIX, "/run/legion.sock", 0},
        {"4242", "would be a unix socket", 0, NULL, 0},
        {"", "expected a path", 0, NULL, 0},
        {"10.1.2.3:", "expected a port", 0, NULL, 0},
        {"10.1.2.3:0", "expected a port", 0, NULL, 0},
        {"10.1.2.3:65536", "expected a port", 0, NULL, 0},
        {"10.1.2.3:x", "expected a port", 0, NULL, 0},
        {"10.1.2:1", "not an IPv4 address", 0, NULL, 0},
        {"300.1.1.1:1", "not an IPv4 address", 0, NULL, 0},
        {"::1:4242", "with the brackets", 0, NULL, 0},
        {"[::g]:1", "not an IPv6 address", 0, NULL, 0},
        {"[]:1", "expected [ipv6]:port", 0, NULL, 0},
        {"[::1:1", "expected [ipv6]:port", 0, NULL, 0},
        {"[ff02::1]:1", "expected its interface too", 0, NULL, 0},
        {"[ff02::1%eth0]:1", NULL, LG_ADDRESS_MULTICAST6, "ff02::1%eth0", 1},
        {"[ff05::1]:1", NULL, LG_ADDRESS_MULTICAST6, "ff05::1", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lg_address address = {0};
        char why[LG_WHY_SIZE] = "";
        int err = lg_address_parse(lg_slice_of(cases[i].text), &address, why);
        assert_int_equal(err, cases[i].why ? -LG_E_CONF : 0);
        if (cases[i].why) {
            if (!strstr(why, cases[i].why))
                fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, why, cases[i].why);
            continue;
        }
        assert_int_equal(address.kind, cases[i].kind);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
    }
}

static void nodes(void **state)
{
    (void)state;
    expect(HEAD A "legion-node = a :4242\n",
        "t.ini:4: error: legion-node: \":4242\" is nobody's address: expected that of another "
        "node\n");
    expect(HEAD A "legion-node = a [::1]:4242\n",
        "t.ini:4: error: legion-node: \"[::1]:4242\" cannot be reached from \"127.0.0.1:4242\", "
        "where the legion listens: expected an address of the same kind\n");
    expect(HEAD A "legion-node = a /run/x.sock\n",
        "t.ini:4: error: legion-node: \"/run/x.sock\" cannot be reached from \"127.0.0.1:4242\", "
        "where the legion listens: expected an address of the same kind\n");
    expect(HEAD A "legion-node = a other.example:4242\n", "");
}

static void hooks(void **state)
{
    (void)state;
    expect(HEAD A NODE "legion-lord = a cdm:true\nlegion-unlord = a frobnicate:true\n",
        "t.ini:5: error: legion-lord: unknown action \"cdm\", did you mean \"cmd\"?\n"
        "t.ini:6: error: legion-unlord: unknown action \"frobnicate\": expected cmd:, exec:, log:, "
        "signal: or alarm:\n");
    expect(HEAD A NODE "legion-setup = a cmd:\nlegion-death = a signal:256\n",
        "t.ini:5: error: legion-setup: expected a command after the colon\n"
        "t.ini:6: error: legion-death: signal \"256\": expected a number from 0 to 255\n");
    expect(HEAD A NODE "legion-join = a signal:17\nlegion-node-left = a alarm:mail gone\n"
                       "alarm = mail cmd:mail root\n",
        "");
    expect(HEAD A NODE "alarm = mail cmd:mail root\nlegion-lord = a alarm:mial up\n"
                       "legion-lord = a alarm:mail\nlegion-lord = a alarm:\n",
        "t.ini:6: error: legion-lord: unknown alarm \"mial\": expected one that is defined, as in "
        "alarm = mial cmd:mail root\n"
        "t.ini:7: error: legion-lord: expected the alarm's name and a message of at most 2048 "
        "bytes\n"
        "t.ini:8: error: legion-lord: unknown alarm \"\": expected one that is defined, as in "
        "alarm = NAME cmd:mail root\n");
    expect(HEAD A NODE "legion-lord = a log:100% ok: really\nlegion-lord = a exec:a:b c:d\n", "");
}

static void secrets(void **state)
{
    (void)state;
    expect(HEAD A NODE "legion-secret-accept = a old\nlegion-secret-accept = a older\n", "");
    expect(HEAD A NODE "legion-secret-accept = a hello\n", ""); /* in use already */
    expect(HEAD A NODE "legion-secret-accept = a two words\n",
        "t.ini:5: error: legion-secret-accept: expected the legion's name and one secret\n");
    expect(HEAD A NODE "legion-secret-accept = a aes-128-cbc:old\n",
        "t.ini:5: error: legion-secret-accept: expected the secret alone, without the cipher's "
        "name\n");
    expect(HEAD A NODE "legion-secret-accept = a 1\nlegion-secret-accept = a 2\n"
                       "legion-secret-accept = a 3\nlegion-secret-accept = a 4\n"
                       "legion-secret-accept = a 5\nlegion-secret-accept = a 6\n"
                       "legion-secret-accept = a 7\nlegion-secret-accept = a 8\n",
        "t.ini:12: error: legion \"a\": more than 8 secrets\n");
}

static void quorums(void **state)
{
    (void)state;
    expect(HEAD A NODE "legion-quorum = a most\n",
        "t.ini:5: error: legion-quorum \"most\": expected a number of votes up to 257, or "
        "majority\n");
    expect(HEAD A NODE "legion-quorum = a 3\n",
        "t.ini:5: warning: legion-quorum: 3 votes can never be had of 2 configured node(s)\n");
    expect(HEAD "legion-mcast = m 225.1.1.1:4242 5 aes-128-cbc:x\nlegion-quorum = m majority\n",
        "t.ini:4: error: legion-quorum: a majority of a group's nodes cannot be counted: expected "
        "a number\n");
    expect(HEAD A NODE "legion-freq = 0.5\nlegion-tolerance = 1s\n",
        "t.ini:6: warning: legion-tolerance (1000 ms) is less than 5 times legion-freq (500 ms): a "
        "few lost packets look like a dead node\n");
}

static void what_was_silent_is_said(void **state)
{
    (void)state;
    expect(HEAD A NODE "legion-freq = 20\n",
        "t.ini:5: error: legion-tolerance (15000 ms) is no more than legion-freq (20000 ms): every "
        "node would be lost between two packets\n");
    expect(HEAD A NODE "legion-quorum = a 1\nlegion-quorum = a 2\n",
        "t.ini:6: warning: legion-quorum was set before for legion \"a\" (t.ini:5): this one "
        "counts\n");
    expect(HEAD A NODE "legion-scroll = a x\nlegion-scroll = a y\n",
        "t.ini:6: warning: legion-scroll was set before for legion \"a\" (t.ini:5): this one "
        "counts\n");
    expect(HEAD A NODE NODE, "t.ini:5: warning: legion-node: \"127.0.0.2:4242\" was named before "
                             "for legion \"a\": it is "
                             "told once\n");
    expect(HEAD A NODE "legion-node = a 127.0.0.3\n",
        "t.ini:5: error: legion-node: \"127.0.0.3\" has no port: expected one, as in "
        "127.0.0.3:4242\n");
    expect(HEAD "legion = a 127.0.0.1:4242 65536 aes-128-cbc:hello\n" NODE,
        "t.ini:3: warning: legion \"a\": uWSGI nodes take a valor above 65535 for another one: "
        "expected at most that while there are any\n");
    expect(HEAD "legion = a 127.0.0.1:4242 65536 aes-256-gcm:hello\n" NODE, "");
    expect(HEAD "legion = a 127.0.0.1:4242 18446744073709551616 aes-256-gcm:hello\n" NODE,
        "t.ini:3: error: legion \"a\": valor \"18446744073709551616\" is too large: expected 0 (an "
        "arbiter, which votes only) or more\n");
    expect(HEAD A NODE "legion-freq = 0.1\nlegion-tolerance = 500ms\n"
                       "legion-death-on-lord-error = 3s\nlegion-hook-timeout = 1.5m\n",
        "");
}

static void plan_of(const char *ini, struct lg_cluster_plan *plan)
{
    struct world world = {0};
    world.files[0] = (struct world_file){"t.ini", ini, strlen(ini)};
    struct lg_conf *conf = NULL;
    struct lg_plan_report report = {0};
    assert_int_equal(world_load(&world, &conf, "t.ini", NULL), 0);
    assert_true(lg_cluster_plan_read(plan, conf, &report));
    lg_conf_free(conf); /* the plan does not need it any more */
}

static void majority_counts_distinct_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *nodes;
        uint64_t quorum;
    } cases[] = {
        {"", 2},                                 /* two nodes */
        {"legion-node = a 127.0.0.2:4242\n", 2}, /* the same once more */
        {"legion-node = a 127.0.0.1:4242\n", 2}, /* ourselves */
        {"legion-node = a 127.0.0.3:4242\n", 2}, /* three nodes */
        {"legion-node = a 127.0.0.2:4243\nlegion-node = a 127.0.0.4:4242\n", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char ini[512];
        struct lg_cluster_plan plan;
        snprintf(ini, sizeof ini, HEAD A NODE "legion-quorum = a majority\n%s", cases[i].nodes);
        plan_of(ini, &plan);
        assert_true(plan.legions[0]->quorum == cases[i].quorum);
        lg_cluster_plan_free(&plan);
    }
}

static void order_in_the_file_is_free(void **state)
{
    (void)state;
    struct lg_cluster_plan plan;
    plan_of(HEAD "legion-lord = a cmd:one\n" NODE "legion-freq = 0.25\nlegion-tolerance = 1500ms\n"
                 "legion-scroll = a some text\nlegion-hook-timeout = 2\n"
                 "legion = a 127.0.0.1:4242 0 aes-128-cbc:se:cret iv\n"
                 "legion-lord = a log:two\nlegion-lord = a alarm:m  some text \n"
                 "legion-lord = a signal:255\nalarm = m log:\n",
        &plan);
    const struct lg_legion_plan *a = plan.legions[0];
    assert_int_equal(plan.count, 1);
    assert_string_equal(a->name, "a");
    assert_int_equal(a->valor, 0);
    assert_true(lg_slice_eq(a->secrets[0], LG_SLICE("se:cret")));
    assert_true(lg_slice_eq(a->iv, LG_SLICE("iv")));
    assert_string_equal(a->scroll, "some text");
    assert_int_equal(a->node_count, 1);
    assert_int_equal(a->hook_count, 4);
    assert_string_equal(a->hooks[0].argument, "one");
    assert_int_equal(a->hooks[1].action, LG_ACTION_LOG);
    assert_string_equal(a->hooks[2].alarm, "m");
    assert_string_equal(a->hooks[2].argument, "some text");
    assert_int_equal(a->hooks[3].signal, 255);
    assert_false(plan.has_legion_alarm);
    assert_int_equal(plan.freq_ms, 250);
    assert_int_equal(plan.tolerance_ms, 1500);
    assert_int_equal(plan.skew_tolerance_ms, 60000);
    assert_int_equal(plan.hook_timeout_ms, 2000);
    lg_cluster_plan_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definitions),
        cmocka_unit_test(checks),
        cmocka_unit_test(drift),
        cmocka_unit_test(controls),
        cmocka_unit_test(promises),
        cmocka_unit_test(addresses),
        cmocka_unit_test(nodes),
        cmocka_unit_test(hooks),
        cmocka_unit_test(secrets),
        cmocka_unit_test(quorums),
        cmocka_unit_test(what_was_silent_is_said),
        cmocka_unit_test(majority_counts_distinct_addresses),
        cmocka_unit_test(order_in_the_file_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
