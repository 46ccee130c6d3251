/* The master's table, addresses and owners: what needs no processes to be seen.
 * The rest is in tests/system/test_process.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/identity.h"
#include "master/listen.h"
#include "master/state.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

/* A forgotten entry is all zeros: it would lead back to STARTING. */
static void the_table_is_complete(void **state)
{
    (void)state;
    for (int s = LG_STATE_STARTING + 1; s < LG_STATE_COUNT; s++)
        for (int e = 0; e < LG_EVENT_COUNT; e++) {
            struct lg_master_step step =
                lg_master_next((enum lg_master_state)s, (enum lg_master_event)e);
            assert_true(step.next > LG_STATE_STARTING && step.next < LG_STATE_COUNT);
            assert_true(step.action < LG_ACT_COUNT);
        }
}

static void nothing_goes_back_once_it_stops(void **state)
{
    (void)state;
    for (int s = LG_STATE_STOPPING; s < LG_STATE_COUNT; s++)
        for (int e = 0; e < LG_EVENT_COUNT; e++)
            assert_true(lg_master_next((enum lg_master_state)s, (enum lg_master_event)e).next >=
                        (enum lg_master_state)s);
}

static void every_state_can_be_stopped(void **state)
{
    (void)state;
    for (int s = 0; s < LG_STATE_DONE; s++) {
        enum lg_master_state at = lg_master_next((enum lg_master_state)s, LG_EVENT_STOP).next;
        assert_true(at == LG_STATE_STOPPING || at == LG_STATE_KILLING);
        assert_int_equal(lg_master_next(at, LG_EVENT_EMPTY).next, LG_STATE_DONE);
        at = lg_master_next((enum lg_master_state)s, LG_EVENT_QUIT).next;
        assert_int_equal(at, LG_STATE_KILLING);
    }
    assert_int_equal(lg_master_next(LG_STATE_STOPPING, LG_EVENT_STOP).action, LG_ACT_KILL);
    assert_int_equal(lg_master_next(LG_STATE_STOPPING, LG_EVENT_TIMEOUT).action, LG_ACT_KILL);
}

static void the_dead_are_started_again_while_we_serve(void **state)
{
    (void)state;
    for (int s = 0; s < LG_STATE_COUNT; s++) {
        struct lg_master_step step = lg_master_next((enum lg_master_state)s, LG_EVENT_WORKER_DIED);
        bool serves = s <= LG_STATE_RELOADING;
        assert_int_equal(step.action, serves ? LG_ACT_RESPAWN : LG_ACT_NOTHING);
        assert_int_equal(step.next, s);
    }
}

static void a_reload_runs_through(void **state)
{
    (void)state;
    static const enum lg_master_event good[] = {
        LG_EVENT_HUP, LG_EVENT_CHECK_GOOD, LG_EVENT_ALL_READY, LG_EVENT_DRAINED};
    static const enum lg_master_action actions[] = {
        LG_ACT_CHECK, LG_ACT_SWITCH, LG_ACT_DRAIN_OLD, LG_ACT_RELOADED};
    enum lg_master_state at = LG_STATE_RUNNING;
    for (size_t i = 0; i < 4; i++) {
        struct lg_master_step step = lg_master_next(at, good[i]);
        assert_int_equal(step.action, actions[i]);
        at = step.next;
    }
    assert_int_equal(at, LG_STATE_RUNNING);
    at = lg_master_next(LG_STATE_RUNNING, LG_EVENT_HUP).next;
    assert_int_equal(lg_master_next(at, LG_EVENT_CHECK_BAD).action, LG_ACT_KEEP_OLD);
    assert_int_equal(lg_master_next(at, LG_EVENT_CHECK_BAD).next, LG_STATE_RUNNING);
    assert_int_equal(
        lg_master_next(LG_STATE_RELOADING, LG_EVENT_START_FAILED).action, LG_ACT_ABANDON);
}

static struct lg_listen_address parse(const char *text)
{
    struct lg_listen_address address;
    const char *why = NULL;
    if (lg_listen_parse(text, &address, &why) < 0)
        fail_msg("%s: %s", text, why);
    return address;
}

static void check_v4(const char *text, const char *host, unsigned port)
{
    struct lg_listen_address address = parse(text);
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address.at;
    char found[INET_ADDRSTRLEN];
    assert_int_equal(in->sin_family, AF_INET);
    assert_string_equal(inet_ntop(AF_INET, &in->sin_addr, found, sizeof found), host);
    assert_int_equal(ntohs(in->sin_port), port);
}

static void tcp_addresses(void **state)
{
    (void)state;
    check_v4("127.0.0.1:8080", "127.0.0.1", 8080);
    check_v4(":80", "0.0.0.0", 80);
    check_v4("*:80", "0.0.0.0", 80);
    check_v4("localhost:1", "127.0.0.1", 1);
    struct lg_listen_address six = parse("[::1]:443");
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&six.at;
    assert_int_equal(in6->sin6_family, AF_INET6);
    assert_memory_equal(&in6->sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);
    assert_int_equal(ntohs(in6->sin6_port), 443);
}

static void other_addresses(void **state)
{
    (void)state;
    struct lg_listen_address path = parse("/run/a:b.sock");
    assert_int_equal(path.at.un.sun_family, AF_UNIX);
    assert_string_equal(path.at.un.sun_path, "/run/a:b.sock");
    assert_string_equal(parse("web.sock").at.un.sun_path, "web.sock");
    assert_string_equal(parse("unix:/run/x").at.un.sun_path, "/run/x");
    struct lg_listen_address abstract = parse("@name");
    assert_int_equal(abstract.at.un.sun_path[0], '\0');
    assert_memory_equal(abstract.at.un.sun_path + 1, "name", 4);
    assert_int_equal(abstract.len, offsetof(struct sockaddr_un, sun_path) + 5);
    assert_int_equal(parse("fd://3").fd, 3);
    assert_int_equal(parse("fd://3").len, 0);
}

static void bad_addresses(void **state)
{
    (void)state;
    char too_long[200];
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    const char *const bad[] = {"", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536",
        "127.0.0.1:-1", "::1:80", "fd://", "fd://x", "no-such-host.invalid:80", too_long};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lg_listen_address address;
        const char *why = NULL;
        assert_true(lg_listen_parse(bad[i], &address, &why) < 0);
        assert_non_null(why);
    }
}

static void owners(void **state)
{
    (void)state;
    uid_t uid = 7;
    gid_t gid = 7;
    const char *unknown = NULL;
    assert_int_equal(lg_identity_owner("root:daemon", &uid, &gid, &unknown), 0);
    assert_int_equal(uid, 0);
    assert_int_equal(gid, 1);
    assert_int_equal(lg_identity_owner("1234", &uid, &gid, &unknown), 0);
    assert_int_equal(uid, 1234);
    assert_int_equal(gid, (gid_t)-1);
    assert_int_equal(lg_identity_owner(":5", &uid, &gid, &unknown), 0);
    assert_int_equal(uid, (uid_t)-1);
    assert_int_equal(gid, 5);
    assert_int_equal(lg_identity_owner("nosuchuser:5", &uid, &gid, &unknown), -LG_E_NOTFOUND);
    assert_int_equal(lg_identity_owner("root:nosuchgroup", &uid, &gid, &unknown), -LG_E_NOTFOUND);
    assert_string_equal(unknown, "nosuchgroup");
    /* All ones means "leave it" to chown: never a user. */
    assert_int_equal(lg_identity_owner("4294967295", &uid, &gid, &unknown), -LG_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test(nothing_goes_back_once_it_stops),
        cmocka_unit_test(every_state_can_be_stopped),
        cmocka_unit_test(the_dead_are_started_again_while_we_serve),
        cmocka_unit_test(a_reload_runs_through),
        cmocka_unit_test(tcp_addresses),
        cmocka_unit_test(other_addresses),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
