/* The election, told as stories: each trace below is the specification.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/legion.h"
#include "legion/notes.h"
#include "legion_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct world_setup three = {
    .count = 3,
    .nodes = {{.valor = 90}, {.valor = 80}, {.valor = 70}},
    .quorum = 2,
    .freq_ms = 1000,
    .tolerance_ms = 3000,
};

static void three_nodes_fail_over_and_back(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 5000);
    assert_string_equal(world_trace(world), "0.000 a run setup\n"
                                            "0.000 b run setup\n"
                                            "0.000 c run setup\n"
                                            "0.001 b joined a\n"
                                            "0.001 c joined a\n"
                                            "0.001 a joined b\n"
                                            "0.001 c joined b\n"
                                            "0.001 a joined c\n"
                                            "0.001 b joined c\n"
                                            "1.001 c quorum 3\n"
                                            "1.001 c lord is a\n"
                                            "1.001 a quorum 3\n"
                                            "1.001 a attempting\n"
                                            "1.001 a run lord\n"
                                            "1.001 b quorum 3\n"
                                            "1.001 b lord is a\n"
                                            "1.001 a LORD\n");
    world_kill(world, 0);
    world_run(world, 15000);
    assert_string_equal(world_trace(world), "5.000 a is killed\n"
                                            "8.001 b left a\n"
                                            "8.001 c left a\n"
                                            "9.001 c quorum 2\n"
                                            "9.001 c lord is b\n"
                                            "9.001 b quorum 2\n"
                                            "9.001 b attempting\n"
                                            "9.001 b run lord\n"
                                            "9.001 b LORD\n");
    world_start(world, 0);
    world_run(world, 25000);
    assert_string_equal(world_trace(world),
        "15.000 a run setup\n"
        "15.001 a joined b\n"
        "15.001 a joined c\n"
        "15.001 b joined a\n"
        "15.001 c joined a\n"
        "16.001 c quorum 3\n"
        "16.001 c lord is a\n"
        "16.001 a quorum 3\n"
        "16.001 a awaiting b\n" /* b's unlord comes before a's lord */
        "16.001 b quorum 3\n"
        "16.001 b new lord a\n"
        "16.001 b run unlord\n"
        "16.001 b unlorded\n"
        "16.002 a attempting\n"
        "16.002 a run lord\n"
        "16.002 a LORD\n");
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void clean_stop_hands_over_at_once(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 0, LG_PHASE_UNLORD, 200, false);
    world_hook(world, 0, LG_PHASE_DEATH, 100, false);
    world_start_all(world);
    world_run(world, 5500);
    world_trace(world);
    world_stop(world, 0);
    world_run(world, 10000);
    assert_string_equal(world_trace(world), "5.500 a is stopped\n"
                                            "5.500 a run unlord\n"
                                            "5.700 a unlorded\n"
                                            "5.700 a run death\n"
                                            "5.800 a dead packet\n"
                                            "5.800 a finished\n"
                                            "5.801 b died a\n"
                                            "5.801 c died a\n"
                                            "5.802 c quorum 2\n"
                                            "5.802 c lord is b\n"
                                            "5.802 b quorum 2\n"
                                            "5.802 b attempting\n"
                                            "5.802 b run lord\n"
                                            "5.802 b LORD\n");
    world_free(world);
}

static void lone_node_waits_two_intervals(void **state)
{
    (void)state;
    struct world_setup setup = {
        .count = 1, .nodes = {{.valor = 1}}, .freq_ms = 3000, .tolerance_ms = 15000};
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 60000);
    assert_string_equal(world_trace(world), "0.000 a run setup\n"
                                            "6.000 a quorum 1\n"
                                            "6.000 a attempting\n"
                                            "6.000 a run lord\n"
                                            "6.000 a LORD\n");
    world_free(world);
}

static void half_a_second_is_an_interval(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.freq_ms = 100;
    setup.tolerance_ms = 300;
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 102);
    assert_int_equal(world_lord(world), 0);
    world_kill(world, 0);
    world_run(world, 102 + 300 + 100);
    assert_int_equal(world_lord(world), 1);
    world_free(world);
}

static void equal_valor_goes_by_uuid(void **state)
{
    (void)state;
    struct world_setup setup = three;
    for (size_t i = 0; i < 3; i++)
        setup.nodes[i].valor = 50;
    setup.nodes[1].uuid_digit = 'f';
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 5000);
    assert_int_equal(world_lord(world), 1);
    world_kill(world, 1);
    world_run(world, 10000);
    assert_int_equal(world_lord(world), 2); /* "cccccccc" above "aaaaaaaa" */
    world_free(world);
}

static void arbiter_votes_and_never_reigns(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.nodes[2].valor = 0;
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 5000);
    assert_int_equal(world_lord(world), 0);
    world_kill(world, 0);
    world_run(world, 10000);
    assert_int_equal(world_lord(world), 1);
    world_kill(world, 1);
    world_trace(world);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), -1);
    assert_string_equal(world_trace(world), "13.001 c left b\n13.001 c no quorum 1\n");
    world_free(world);
}

static void cut_off_lord_gives_up_and_the_rest_elects(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 5500);
    world_trace(world);
    for (size_t i = 1; i < 3; i++) {
        world_cut(world, 0, i, true);
        world_cut(world, i, 0, true);
    }
    world_run(world, 15000);
    assert_string_equal(world_trace(world), "8.001 a left b\n"
                                            "8.001 a left c\n"
                                            "8.001 a no quorum 1\n"
                                            "8.001 a cannot\n"
                                            "8.001 a run unlord\n"
                                            "8.001 b left a\n"
                                            "8.001 c left a\n"
                                            "8.001 a unlorded\n"
                                            "9.001 c quorum 2\n"
                                            "9.001 c lord is b\n"
                                            "9.001 b quorum 2\n"
                                            "9.001 b attempting\n"
                                            "9.001 b run lord\n"
                                            "9.001 b LORD\n");
    for (size_t i = 1; i < 3; i++) {
        world_cut(world, 0, i, false);
        world_cut(world, i, 0, false);
    }
    world_run(world, 25000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void two_nodes_with_quorum_two_need_each_other(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.count = 2;
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 5500);
    assert_int_equal(world_lord(world), 0);
    world_trace(world);
    world_kill(world, 1);
    world_run(world, 70000); /* said once, not at every packet */
    assert_string_equal(world_trace(world), "5.500 b is killed\n"
                                            "8.001 a left b\n"
                                            "8.001 a no quorum 1\n"
                                            "8.001 a cannot\n"
                                            "8.001 a run unlord\n"
                                            "8.001 a unlorded\n"
                                            "68.001 a no quorum 1\n");
    world_free(world);
}

static void member_that_disagrees_ends_the_title_after_tolerance(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 5500);
    world_trace(world);
    world_cut(world, 0, 2, true); /* c hears neither, both hear c */
    world_cut(world, 1, 2, true);
    world_run(world, 20000);
    assert_string_equal(world_trace(world), "8.001 c left a\n"
                                            "8.001 c left b\n"
                                            "8.001 c no quorum 1\n"
                                            "12.001 a no quorum 0\n"
                                            "12.001 a cannot\n"
                                            "12.001 a run unlord\n"
                                            "12.001 b no quorum 0\n"
                                            "12.001 a unlorded\n");
    world_free(world);
}

static void paused_lord_gives_up_when_it_wakes(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 5500);
    world_trace(world);
    world_pause(world, 0, 20000);
    world_run(world, 25499);
    assert_int_equal(world_state(world, 1)->role, LG_ROLE_LORD);
    assert_true(world_state(world, 0)->title_until_ms < 9000); /* what others read meanwhile */
    world_trace(world);
    world_run(world, 25500);
    const char *trace = world_trace(world);
    /* What waited in its socket arrives first; it makes no Lord of it. */
    assert_non_null(strstr(trace, "25.500 a paused\n"));
    assert_non_null(strstr(trace, "25.500 a run unlord\n"));
    assert_null(strstr(trace, "attempting"));
    world_run(world, 35000);
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

static void slow_lord_hook_silences_nobody(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 0, LG_PHASE_LORD, 25000, false);
    world_start_all(world);
    world_run(world, 20000);
    assert_int_equal(world_state(world, 0)->role, LG_ROLE_RISING);
    assert_int_equal(world_state(world, 1)->role, LG_ROLE_FOLLOWER);
    world_run(world, 40000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void lord_hooks_are_killed_before_unlord_hooks_run(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.count = 2;
    struct world *world = world_new(&setup);
    world_hook(world, 0, LG_PHASE_LORD, 60000, false);
    world_start_all(world);
    world_run(world, 5500);
    world_trace(world);
    world_kill(world, 1);
    world_run(world, 10000);
    assert_string_equal(world_trace(world), "5.500 b is killed\n"
                                            "8.001 a left b\n"
                                            "8.001 a no quorum 1\n"
                                            "8.001 a cannot\n"
                                            "8.001 a kill\n"
                                            "8.001 a run unlord\n"
                                            "8.001 a unlorded\n");
    world_free(world);
}

static void slow_unlord_hook_keeps_the_successor_waiting(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 1, LG_PHASE_UNLORD, 2000, false);
    world_start(world, 1);
    world_start(world, 2);
    world_run(world, 5000);
    assert_int_equal(world_lord(world), 1);
    world_trace(world);
    world_start(world, 0);
    world_run(world, 10000);
    assert_string_equal(world_trace(world), "5.000 a run setup\n"
                                            "5.001 a joined b\n"
                                            "5.001 a joined c\n"
                                            "5.001 b joined a\n"
                                            "5.001 c joined a\n"
                                            "6.001 c quorum 3\n"
                                            "6.001 c lord is a\n"
                                            "6.001 a quorum 3\n"
                                            "6.001 a awaiting b\n"
                                            "6.001 b quorum 3\n"
                                            "6.001 b new lord a\n"
                                            "6.001 b run unlord\n"
                                            "8.001 b unlorded\n"
                                            "8.002 a attempting\n"
                                            "8.002 a run lord\n"
                                            "8.002 a LORD\n");
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void failed_lord_hook_keeps_the_title(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 0, LG_PHASE_LORD, 0, true);
    world_start_all(world);
    world_run(world, 5000);
    assert_int_equal(world_lord(world), 0);
    assert_non_null(strstr(world_trace(world), "1.001 a failed lord\n1.001 a LORD\n"));
    world_free(world);
}

static void death_on_lord_error_ends(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.death_on_lord_error_ms = 10000;
    struct world *world = world_new(&setup);
    world_hook(world, 0, LG_PHASE_LORD, 500, true);
    world_start_all(world);
    world_run(world, 1100);
    world_trace(world);
    world_run(world, 9000);
    assert_string_equal(world_trace(world), "1.501 a failed lord\n"
                                            "1.501 a suspended\n"
                                            "1.501 a run unlord\n"
                                            "1.501 a unlorded\n"
                                            "1.501 a dead packet\n"
                                            "1.502 b died a\n"
                                            "1.502 c died a\n"
                                            "1.503 c quorum 2\n"
                                            "1.503 c lord is b\n"
                                            "1.503 a quorum 2\n"
                                            "1.503 a lord is b\n"
                                            "1.503 b quorum 2\n"
                                            "1.503 b attempting\n"
                                            "1.503 b run lord\n"
                                            "1.503 b LORD\n");
    world_hook(world, 0, LG_PHASE_LORD, 0, false);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void death_runs_node_left(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.nodes[2].phases = 1U << LG_PHASE_NODE_JOINED | 1U << LG_PHASE_NODE_LEFT;
    struct world *world = world_new(&setup);
    world_hook(world, 2, LG_PHASE_NODE_JOINED, 300, false);
    world_start_all(world);
    world_run(world, 5500);
    world_stop(world, 0);
    world_kill(world, 1);
    world_run(world, 10000);
    const char *trace = world_trace(world);
    assert_non_null(strstr(trace, "0.001 c run node-joined a\n"));
    assert_non_null(strstr(trace, "0.301 c run node-joined b\n")); /* one after the other */
    assert_non_null(strstr(trace, "5.501 c died a\n5.501 c run node-left a\n"));
    assert_non_null(strstr(trace, "8.001 c left b\n"));
    assert_non_null(strstr(trace, "8.001 c run node-left b\n"));
    world_free(world);
}

static void giving_up_does_not_wait_for_a_notification(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.nodes[0].phases = 1U << LG_PHASE_NODE_LEFT | 1U << LG_PHASE_UNLORD;
    struct world *world = world_new(&setup);
    world_hook(world, 0, LG_PHASE_NODE_LEFT, 60000, false);
    world_start_all(world);
    world_run(world, 5500);
    world_kill(world, 2);
    world_run(world, 10000);
    assert_int_equal(world_lord(world), 0);
    assert_non_null(strstr(world_trace(world), "8.001 a run node-left c\n"));
    world_kill(world, 1);
    world_run(world, 30000);
    assert_string_equal(world_trace(world), "10.000 b is killed\n"
                                            "13.001 a left b\n"
                                            "13.001 a no quorum 1\n"
                                            "13.001 a cannot\n"
                                            "13.001 a run unlord\n"
                                            "13.001 a unlorded\n");
    world_run(world, 69000); /* members' own come one after the other */
    assert_non_null(strstr(world_trace(world), "68.001 a run node-left b\n"));
    world_free(world);
}

static void rising_does_not_wait_for_a_notification(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.nodes[0].phases = 1U << LG_PHASE_NODE_JOINED | 1U << LG_PHASE_LORD;
    struct world *world = world_new(&setup);
    world_hook(world, 0, LG_PHASE_NODE_JOINED, 60000, false);
    world_start_all(world);
    world_run(world, 5500);
    assert_int_equal(world_lord(world), 0);
    const char *trace = world_trace(world);
    const char *rose = strstr(trace, "a run lord\n");
    assert_non_null(strstr(trace, "a run node-joined b\n"));
    assert_non_null(rose);
    assert_null(strstr(trace, "a run node-joined c\n")); /* the first still runs */
    world_free(world);
}

static void stop_in_the_middle_of_rising(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 0, LG_PHASE_LORD, 5000, false);
    world_hook(world, 0, LG_PHASE_UNLORD, 500, false);
    world_start_all(world);
    world_run(world, 2500);
    world_trace(world);
    world_stop(world, 0);
    world_stop(world, 0); /* again: nothing new */
    world_run(world, 3100);
    assert_string_equal(world_trace(world), "2.500 a is stopped\n"
                                            "2.500 a kill\n"
                                            "2.500 a is stopped\n"
                                            "2.500 a run unlord\n"
                                            "3.000 a unlorded\n"
                                            "3.000 a run death\n"
                                            "3.000 a dead packet\n"
                                            "3.000 a finished\n"
                                            "3.001 b died a\n"
                                            "3.001 c died a\n"
                                            "3.002 c quorum 2\n"
                                            "3.002 c lord is b\n"
                                            "3.002 b quorum 2\n"
                                            "3.002 b attempting\n"
                                            "3.002 b run lord\n"
                                            "3.002 b LORD\n");
    world_free(world);
}

static void title_lost_before_its_hooks_undoes_nothing(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 0, LG_PHASE_SETUP, 60000, false); /* lord hooks wait for it */
    world_start_all(world);
    world_run(world, 2500);
    assert_int_equal(world_state(world, 0)->role, LG_ROLE_RISING);
    world_trace(world);
    world_stop(world, 0);
    world_run(world, 2500);
    assert_string_equal(world_trace(world), "2.500 a is stopped\n"
                                            "2.500 a unlorded\n"
                                            "2.500 a kill\n"
                                            "2.500 a run death\n"
                                            "2.500 a dead packet\n"
                                            "2.500 a finished\n");
    world_free(world);
}

/* ---- Single messages ------------------------------------------------------------ */

static struct lg_legion_message message_of(uint64_t valor, const char *name)
{
    return (struct lg_legion_message){
        .legion = LG_SLICE("test"),
        .valor = valor,
        .unix_s = 1700000005,
        .name = lg_slice_of(name),
        .pid = 7,
        .uuid = LG_SLICE("12345678-0000-4000-8000-000000000000"),
    };
}

static void strangers_messages_are_refused(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start(world, 0);
    world_run(world, 5000); /* the wall clock reads 1700000005 */
    struct lg_legion_message message = message_of(1, "x");
    size_t count;

    message.legion = LG_SLICE("tes");
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_LEGION);
    message.legion = LG_SLICE("test");
    message.unix_s = 1700000005 - 61;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_SKEW);
    message.unix_s = 1700000005 + 61; /* from the future as well */
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_SKEW);
    message.unix_s = 0;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_SKEW);
    message.unix_s = INT64_MAX;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_SKEW);
    message.unix_s = 1700000005;
    message.uuid = LG_SLICE("aaaaaaaa-0000-4000-8000-000000000000");
    message.name = LG_SLICE("a");
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_OWN);
    lg_legion_members(world_legion(world, 0), &count);
    assert_int_equal(count, 0);

    message = message_of(1, "x");
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    message.dead = true;
    message.unix_s--; /* an old death packet does not remove a living member */
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_STALE);
    lg_legion_members(world_legion(world, 0), &count);
    assert_int_equal(count, 1);
    message.unix_s++;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT); /* dead and unknown */
    lg_legion_members(world_legion(world, 0), &count);
    assert_int_equal(count, 0);
    world_free(world);
}

static void large_valor_joins_once(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start(world, 0);
    world_trace(world);
    struct lg_legion_message message = message_of(65536 + 90, "x");
    message.unix_s = 1700000000;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    assert_string_equal(world_trace(world), "0.000 a joined x\n");
    size_t count;
    const struct lg_legion_member *members = lg_legion_members(world_legion(world, 0), &count);
    assert_int_equal(count, 1);
    assert_true(members[0].who.valor == 65536 + 90);
    world_free(world);
}

static void full_legion_refuses(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start(world, 0);
    struct lg_legion_message message = message_of(1, "x");
    char uuid[] = "12345678-0000-4000-8000-000000000000";
    message.uuid = lg_slice_of(uuid);
    for (size_t i = 0; i < WORLD_NODES_MAX; i++) {
        uuid[0] = (char)('0' + i);
        assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    }
    uuid[0] = '9';
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_FULL);
    world_free(world);
}

static void clock_steps_move_no_deadline(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 5500);
    world_trace(world);
    for (size_t i = 0; i < 3; i++)
        world_skew(world, i, i == 1 ? -50000 : 3600000 * 24); /* all stepped, b first back */
    world_skew(world, 1, 3600000 * 24 - 50000);
    world_run(world, 20000);
    assert_string_equal(world_trace(world), "");
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

static void checksum_is_uwsgis(void **state)
{
    (void)state;
    struct lg_legion_setup setup = {.legion = LG_SLICE("cl"),
        .name = LG_SLICE("host"),
        .uuid = LG_SLICE("13dc79f5-d953-48ca-b8f4-6c64369f57ff"),
        .valor = 90,
        .freq_ms = 1000,
        .tolerance_ms = 3000};
    struct lg_legion *legion = NULL;
    struct lg_legion_update update = {0};
    assert_int_equal(lg_legion_new(&setup, &legion), 0);
    struct lg_legion_event event = {.kind = LG_EVENT_START, .now_ms = 1, .wall_ms = 1};
    assert_int_equal(lg_legion_step(legion, &event, &update), 0);
    assert_int_equal(lg_legion_state(legion)->checksum, 2544); /* as uWSGI 2.0.21 logged it */
    lg_legion_free(legion);
}

static void events_out_of_place_are_refused(void **state)
{
    (void)state;
    struct lg_legion_setup setup = {.legion = LG_SLICE("cl"),
        .name = LG_SLICE("host"),
        .uuid = LG_SLICE("13dc79f5-d953-48ca-b8f4-6c64369f57ff"),
        .valor = 90,
        .freq_ms = 1000,
        .tolerance_ms = 3000};
    struct lg_legion *legion = NULL;
    struct lg_legion_note note;
    struct lg_legion_update update = {.notes = &note, .note_max = 1};
    struct lg_legion_setup bad = setup;
    bad.freq_ms = 0;
    assert_int_equal(lg_legion_new(&bad, &legion), -LG_E_INVALID);
    bad = setup;
    bad.uuid = LG_SLICE("no");
    assert_int_equal(lg_legion_new(&bad, &legion), -LG_E_INVALID);
    assert_int_equal(lg_legion_new(&setup, &legion), 0);
    static const struct {
        enum lg_legion_event_kind kind;
        int before, after; /* START */
    } cases[] = {
        {LG_EVENT_TIMEOUT, -LG_E_INVALID, 0},
        {LG_EVENT_RECEIVE, -LG_E_INVALID, -LG_E_INVALID}, /* without a message */
        {LG_EVENT_HOOK_DONE, -LG_E_INVALID, -LG_E_INVALID},
        {LG_EVENT_RECONFIGURE, -LG_E_INVALID, -LG_E_INVALID},
        {LG_EVENT_COUNT, -LG_E_INVALID, -LG_E_INVALID}, {LG_EVENT_SHUTDOWN, -LG_E_INVALID, 0},
        {LG_EVENT_TIMEOUT, 0, 0}, /* ended: harmless */
    };
    const size_t count = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < count - 1; i++) {
        struct lg_legion_event event = {.kind = cases[i].kind};
        assert_int_equal(lg_legion_step(legion, &event, &update), cases[i].before);
        assert_true(update.deadline_ms == INT64_MAX);
    }
    struct lg_legion_event start = {.kind = LG_EVENT_START};
    assert_int_equal(lg_legion_step(legion, &start, &update), 0);
    assert_int_equal(lg_legion_step(legion, &start, &update), -LG_E_INVALID);
    assert_true(update.note_max == 1);
    for (size_t i = 0; i < count; i++) {
        struct lg_legion_event event = {.kind = cases[i].kind};
        assert_int_equal(lg_legion_step(legion, &event, &update), cases[i].after);
    }
    lg_legion_free(legion);
    lg_legion_free(NULL);
}

/* ---- Wording ---------------------------------------------------------------------- */

static void lines_keep_their_wording(void **state)
{
    (void)state;
    const struct lg_legion_who node = {90, "13dc79f5-d953-48ca-b8f4-6c64369f57ff", "n1"};
    const struct lg_legion_who arbiter = {0, "23dc79f5-d953-48ca-b8f4-6c64369f57ff", "n2"};
    const struct {
        struct lg_legion_note note;
        const char *line;
    } cases[] = {
        {{.kind = LG_NOTE_JOINED, .who = node},
            "[uwsgi-legion] node: n1 valor: 90 uuid: 13dc79f5-d953-48ca-b8f4-6c64369f57ff joined "
            "Legion X"},
        {{.kind = LG_NOTE_JOINED, .who = arbiter},
            "[uwsgi-legion] arbiter: n2 valor: 0 uuid: 23dc79f5-d953-48ca-b8f4-6c64369f57ff joined "
            "Legion X"},
        {{.kind = LG_NOTE_LEFT, .who = node},
            "[uwsgi-legion] node: n1 valor: 90 uuid: 13dc79f5-d953-48ca-b8f4-6c64369f57ff left "
            "Legion X"},
        {{.kind = LG_NOTE_DIED, .who = node},
            "[uwsgi-legion] node: n1 valor: 90 uuid: 13dc79f5-d953-48ca-b8f4-6c64369f57ff "
            "announced its death to Legion X"},
        {{.kind = LG_NOTE_QUORUM, .who = node, .checksum = 2544, .votes = 1},
            "[uwsgi-legion] --- WE HAVE QUORUM FOR LEGION X !!! (valor: 90 uuid: "
            "13dc79f5-d953-48ca-b8f4-6c64369f57ff checksum: 2544 votes: 1) ---"},
        {{.kind = LG_NOTE_QUORUM_NODE,
             .who = arbiter,
             .last_seen_s = 17,
             .vote_valor = 90,
             .vote_uuid = "13dc79f5-d953-48ca-b8f4-6c64369f57ff"},
            "[uwsgi-legion-node] node: n2 valor: 0 uuid: 23dc79f5-d953-48ca-b8f4-6c64369f57ff "
            "last_seen: 17 vote_valor: 90 vote_uuid: 13dc79f5-d953-48ca-b8f4-6c64369f57ff"},
        {{.kind = LG_NOTE_QUORUM_END}, "[uwsgi-legion] --- END OF QUORUM REPORT ---"},
        {{.kind = LG_NOTE_ATTEMPTING},
            "[uwsgi-legion] attempting to become the Lord of the Legion X"},
        {{.kind = LG_NOTE_LORD}, "[uwsgi-legion] i am now the Lord of the Legion X"},
        {{.kind = LG_NOTE_NEW_LORD, .who = node},
            "[uwsgi-legion] a new Lord (valor: 90 uuid: 13dc79f5-d953-48ca-b8f4-6c64369f57ff) "
            "raised for Legion X..."},
        {{.kind = LG_NOTE_NO_QUORUM, .votes = 1, .quorum = 2},
            "[uwsgi-legion] no quorum: only 1 vote(s) for Legion X, 2 needed to elect a Lord"},
        {{.kind = LG_NOTE_CANNOT},
            "[uwsgi-legion] i cannot be The Lord of The Legion X without a quorum ..."},
    };
    char line[LG_LEGION_LINE_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = lg_legion_note_render(&cases[i].note, LG_SLICE("X"), line, sizeof line);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(len, strlen(line));
        char small[32];
        len = lg_legion_note_render(&cases[i].note, LG_SLICE("X"), small, sizeof small);
        assert_int_equal(len, sizeof small - 1);
        assert_memory_equal(small, line, len);
    }
    for (unsigned kind = 0; kind < LG_NOTE_COUNT; kind++) { /* none is forgotten */
        struct lg_legion_note note = {.kind = (enum lg_legion_note_kind)kind};
        assert_true(lg_legion_note_render(&note, LG_SLICE("X"), line, sizeof line) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_nodes_fail_over_and_back),
        cmocka_unit_test(clean_stop_hands_over_at_once),
        cmocka_unit_test(lone_node_waits_two_intervals),
        cmocka_unit_test(half_a_second_is_an_interval),
        cmocka_unit_test(equal_valor_goes_by_uuid),
        cmocka_unit_test(arbiter_votes_and_never_reigns),
        cmocka_unit_test(cut_off_lord_gives_up_and_the_rest_elects),
        cmocka_unit_test(two_nodes_with_quorum_two_need_each_other),
        cmocka_unit_test(member_that_disagrees_ends_the_title_after_tolerance),
        cmocka_unit_test(paused_lord_gives_up_when_it_wakes),
        cmocka_unit_test(slow_lord_hook_silences_nobody),
        cmocka_unit_test(lord_hooks_are_killed_before_unlord_hooks_run),
        cmocka_unit_test(slow_unlord_hook_keeps_the_successor_waiting),
        cmocka_unit_test(failed_lord_hook_keeps_the_title),
        cmocka_unit_test(death_on_lord_error_ends),
        cmocka_unit_test(death_runs_node_left),
        cmocka_unit_test(giving_up_does_not_wait_for_a_notification),
        cmocka_unit_test(rising_does_not_wait_for_a_notification),
        cmocka_unit_test(stop_in_the_middle_of_rising),
        cmocka_unit_test(title_lost_before_its_hooks_undoes_nothing),
        cmocka_unit_test(strangers_messages_are_refused),
        cmocka_unit_test(large_valor_joins_once),
        cmocka_unit_test(full_legion_refuses),
        cmocka_unit_test(clock_steps_move_no_deadline),
        cmocka_unit_test(checksum_is_uwsgis),
        cmocka_unit_test(events_out_of_place_are_refused),
        cmocka_unit_test(lines_keep_their_wording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
