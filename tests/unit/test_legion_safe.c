/* The election by promises, told as stories: each trace below is the
 * specification. The rules: docs/legion-protocol.md.
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
    .tolerance_ms = 5000,
    .safe = LG_SAFE_ON,
    .start_wait_ms = 5000,
};

/* All up, `a` Lord since 6.001; the clock reads 20 s. */
static struct world *reigning(const struct world_setup *setup)
{
    struct world *world = world_new(setup);
    world_start_all(world);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), 0);
    world_trace(world);
    return world;
}

static void cut_off(struct world *world, size_t node, bool cut)
{
    for (size_t i = 0; i < 3; i++)
        if (i != node) {
            world_cut(world, node, i, cut);
            world_cut(world, i, node, cut);
        }
}

static void three_nodes_fail_over_and_back(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 20000);
    assert_string_equal(world_trace(world), "0.000 a waiting 5000\n"
                                            "0.000 a mode safe\n"
                                            "0.000 a run setup\n"
                                            "0.000 b waiting 5000\n"
                                            "0.000 b mode safe\n"
                                            "0.000 b run setup\n"
                                            "0.000 c waiting 5000\n"
                                            "0.000 c mode safe\n"
                                            "0.000 c run setup\n"
                                            "0.001 b joined a\n"
                                            "0.001 c joined a\n"
                                            "0.001 a joined b\n"
                                            "0.001 c joined b\n"
                                            "0.001 a joined c\n"
                                            "0.001 b joined c\n"
                                            "6.001 a quorum 2\n"
                                            "6.001 a attempting\n"
                                            "6.001 a run lord\n"
                                            "6.001 a LORD\n"
                                            "6.002 b quorum 3\n"
                                            "6.002 b lord is a\n"
                                            "6.002 c quorum 3\n"
                                            "6.002 c lord is a\n");
    world_kill(world, 0);
    world_run(world, 40000);
    assert_string_equal(world_trace(world), "20.000 a is killed\n"
                                            "25.001 b left a\n"
                                            "25.001 c left a\n"
                                            "25.003 b quorum 2\n"
                                            "25.003 b attempting\n"
                                            "25.003 b run lord\n"
                                            "25.003 b LORD\n"
                                            "25.004 c quorum 2\n"
                                            "25.004 c lord is b\n");
    world_start(world, 0); /* back after its promise's length: b stops first */
    world_run(world, 60000);
    assert_string_equal(world_trace(world), "40.000 a waiting 5000\n"
                                            "40.000 a mode safe\n"
                                            "40.000 a run setup\n"
                                            "40.001 a joined b\n"
                                            "40.001 a quorum 1\n"
                                            "40.001 a lord is b\n"
                                            "40.001 a joined c\n"
                                            "40.001 b joined a\n"
                                            "40.001 c joined a\n"
                                            "45.001 b new lord a\n"
                                            "45.001 b run unlord\n"
                                            "45.001 b unlorded\n"
                                            "45.002 a quorum 2\n"
                                            "45.002 a attempting\n"
                                            "45.002 a run lord\n"
                                            "45.002 a LORD\n"
                                            "45.003 b quorum 3\n"
                                            "45.003 b lord is a\n"
                                            "45.003 c quorum 3\n"
                                            "45.003 c lord is a\n");
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void clean_stop_hands_over_at_once(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_hook(world, 0, LG_PHASE_UNLORD, 200, false);
    world_hook(world, 0, LG_PHASE_DEATH, 3000, false); /* nobody waits for it */
    world_stop(world, 0);
    world_run(world, 30000);
    assert_string_equal(world_trace(world), "20.000 a is stopped\n"
                                            "20.000 a run unlord\n"
                                            "20.200 a unlorded\n"
                                            "20.200 a run death\n"
                                            "20.202 b quorum 2\n"
                                            "20.202 b attempting\n"
                                            "20.202 b run lord\n"
                                            "20.202 b LORD\n"
                                            "20.203 a quorum 1\n"
                                            "20.203 a lord is b\n"
                                            "20.203 c quorum 3\n"
                                            "20.203 c lord is b\n"
                                            "23.200 a dead packet\n"
                                            "23.200 a finished\n"
                                            "23.201 b died a\n"
                                            "23.201 c died a\n");
    world_start(world, 0); /* owes nothing, waits for nothing */
    world_run(world, 33500);
    assert_string_equal(world_trace(world), "30.000 a mode safe\n"
                                            "30.000 a run setup\n"
                                            "30.001 a joined b\n"
                                            "30.001 a quorum 1\n"
                                            "30.001 a lord is b\n"
                                            "30.001 a joined c\n"
                                            "30.001 b joined a\n"
                                            "30.001 c joined a\n"
                                            "32.001 b new lord a\n"
                                            "32.001 b run unlord\n"
                                            "32.001 b unlorded\n"
                                            "32.002 a quorum 2\n"
                                            "32.002 a attempting\n"
                                            "32.002 a run lord\n"
                                            "32.002 a LORD\n"
                                            "32.003 b quorum 3\n"
                                            "32.003 b lord is a\n"
                                            "32.003 c quorum 3\n"
                                            "32.003 c lord is a\n");
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void paused_lord_is_lord_no_more(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_pause(world, 0, 20000);
    for (int64_t at_ms = 20000; at_ms < 40000; at_ms += 10) {
        world_run(world, at_ms);
        assert_true(world_titles(world) <= 1); /* what anybody may read meanwhile */
    }
    assert_string_equal(world_trace(world), "25.001 b left a\n"
                                            "25.001 c left a\n"
                                            "25.003 b quorum 2\n"
                                            "25.003 b attempting\n"
                                            "25.003 b run lord\n"
                                            "25.003 b LORD\n"
                                            "25.004 c quorum 2\n"
                                            "25.004 c lord is b\n");
    world_run(world, 41500);
    assert_string_equal(world_trace(world), "40.000 a paused\n"
                                            "40.000 a no quorum 0\n"
                                            "40.000 a cannot\n"
                                            "40.000 a left b\n"
                                            "40.000 a left c\n"
                                            "40.000 a run unlord\n"
                                            "40.000 a joined b\n"
                                            "40.000 a joined c\n"
                                            "40.000 a quorum 1\n"
                                            "40.000 a lord is b\n"
                                            "40.000 a unlorded\n"
                                            "40.001 b joined a\n"
                                            "40.001 c joined a\n"
                                            "41.002 b new lord a\n"
                                            "41.002 b run unlord\n"
                                            "41.002 b unlorded\n"
                                            "41.003 a quorum 2\n"
                                            "41.003 a attempting\n"
                                            "41.003 a run lord\n"
                                            "41.003 a LORD\n"
                                            "41.004 b quorum 2\n"
                                            "41.004 b lord is a\n"
                                            "41.004 c quorum 2\n"
                                            "41.004 c lord is a\n");
    world_run(world, 60000);
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

static void minority_gives_up_before_the_majority_elects(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_hook(world, 0, LG_PHASE_UNLORD, 500, false);
    cut_off(world, 0, true);
    world_run(world, 40000);
    assert_string_equal(world_trace(world), "22.234 a no quorum 1\n"
                                            "22.234 a cannot\n"
                                            "22.234 a run unlord\n"
                                            "22.734 a unlorded\n"
                                            "25.001 a left b\n"
                                            "25.001 a left c\n"
                                            "25.001 b left a\n"
                                            "25.001 c left a\n"
                                            "25.003 b quorum 2\n"
                                            "25.003 b attempting\n"
                                            "25.003 b run lord\n"
                                            "25.003 b LORD\n"
                                            "25.004 c quorum 2\n"
                                            "25.004 c lord is b\n");
    cut_off(world, 0, false);
    world_run(world, 60000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

/* uWSGI says so once a minute, and demotes when it says so. */
static void twice_within_a_minute(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    for (int64_t at_ms = 20000; at_ms < 60000; at_ms += 20000) {
        world_run(world, at_ms);
        assert_int_equal(world_lord(world), 0);
        cut_off(world, 0, true);
        world_run(world, at_ms + 5000);
        assert_int_equal(world_lord(world), -1);
        world_run(world, at_ms + 6500);
        assert_int_equal(world_lord(world), 1);
        cut_off(world, 0, false);
    }
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void slow_lord_hook_silences_nobody(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_hook(world, 0, LG_PHASE_LORD, 60000, false);
    world_start_all(world);
    world_run(world, 50000);
    assert_int_equal(world_state(world, 0)->role, LG_ROLE_RISING);
    assert_int_equal(world_state(world, 1)->role, LG_ROLE_FOLLOWER);
    world_run(world, 70000);
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

/* At the end of the lease they are killed, and others are free. */
static void slow_unlord_hook_ends_with_the_lease(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_hook(world, 0, LG_PHASE_UNLORD, 60000, false);
    world_resign(world, 0, 60000);
    for (int64_t at_ms = 20000; at_ms < 32000; at_ms += 10) {
        world_run(world, at_ms);
        assert_true(world_titles(world) <= 1);
    }
    assert_string_equal(world_trace(world), "20.000 a is to resign\n"
                                            "20.000 a steps down\n"
                                            "20.000 a run unlord\n"
                                            "23.900 a kill\n"
                                            "23.900 a lapsed\n"
                                            "25.000 a no quorum 0\n"
                                            "25.002 b quorum 2\n"
                                            "25.002 b attempting\n"
                                            "25.002 b run lord\n"
                                            "25.002 b LORD\n"
                                            "25.003 a quorum 3\n"
                                            "25.003 a lord is b\n"
                                            "25.003 c quorum 3\n"
                                            "25.003 c lord is b\n"
                                            "28.900 a run unlord\n");
    world_free(world);
}

/* Hooks that are tried again after that end when their node is Lord again. */
static void new_title_waits_for_no_old_unlord_hook(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_hook(world, 0, LG_PHASE_UNLORD, 60000, false);
    world_resign(world, 0, 10000);
    world_run(world, 29000);
    assert_non_null(strstr(world_trace(world), "28.900 a run unlord\n"));
    world_run(world, 40000);
    assert_int_equal(world_lord(world), 0);
    assert_non_null(strstr(world_trace(world), "a attempting\n30.002 a kill\n"));
    world_free(world);
}

static void failed_unlord_hook_releases_nothing(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_hook(world, 0, LG_PHASE_UNLORD, 100, true);
    world_resign(world, 0, 60000);
    world_run(world, 32000);
    assert_string_equal(world_trace(world), "20.000 a is to resign\n"
                                            "20.000 a steps down\n"
                                            "20.000 a run unlord\n"
                                            "20.100 a failed unlord\n"
                                            "21.100 a run unlord\n"
                                            "21.200 a failed unlord\n"
                                            "22.200 a run unlord\n"
                                            "22.300 a failed unlord\n"
                                            "23.300 a run unlord\n"
                                            "23.400 a failed unlord\n"
                                            "23.900 a lapsed\n"
                                            "25.000 a no quorum 0\n"
                                            "25.002 b quorum 2\n"
                                            "25.002 b attempting\n"
                                            "25.002 b run lord\n"
                                            "25.002 b LORD\n"
                                            "25.003 a quorum 3\n"
                                            "25.003 a lord is b\n"
                                            "25.003 c quorum 3\n"
                                            "25.003 c lord is b\n"
                                            "28.900 a run unlord\n"
                                            "29.000 a failed unlord\n");
    world_hook(world, 0, LG_PHASE_UNLORD, 100, false);
    world_run(world, 50000); /* at last */
    assert_string_equal(world_trace(world), "34.000 a run unlord\n"
                                            "34.100 a unlorded\n");
    world_free(world);
}

/* It sends and does not hear: it votes for nobody, and blocks nobody. */
static void deaf_node_blocks_nobody(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.count = 4;
    setup.nodes[3].valor = 95;
    struct world *world = world_new(&setup);
    for (size_t i = 0; i < 3; i++)
        world_cut(world, i, 3, true);
    world_start_all(world);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), 0);
    world_kill(world, 0);
    world_run(world, 27000);
    assert_int_equal(world_lord(world), 1);
    assert_int_equal(world_state(world, 3)->reach, 1);
    world_free(world);
}

/* n1 and n2 do not see each other, n3 sees both: nothing happens until the Lord
 * dies, and then a failover does. */
static void cut_between_two_is_no_veto(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_cut(world, 0, 1, true);
    world_cut(world, 1, 0, true);
    world_run(world, 40000);
    assert_string_equal(world_trace(world), "25.001 a left b\n"
                                            "25.001 b left a\n"
                                            "30.001 b no quorum 1\n");
    world_kill(world, 0);
    world_run(world, 50000);
    assert_int_equal(world_lord(world), 1);
    world_free(world);
}

static void two_nodes_need_each_other(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.count = 2;
    struct world *world = reigning(&setup);
    world_kill(world, 1);
    world_run(world, 100000);
    assert_string_equal(world_trace(world), "20.000 b is killed\n"
                                            "22.234 a no quorum 1\n"
                                            "22.234 a cannot\n"
                                            "22.234 a run unlord\n"
                                            "22.234 a unlorded\n"
                                            "25.001 a left b\n"
                                            "83.000 a no quorum 0\n");
    world_free(world);
}

static void hand_over_by_request(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_resign(world, 0, 10000);
    world_run(world, 40000);
    assert_string_equal(world_trace(world), "20.000 a is to resign\n"
                                            "20.000 a steps down\n"
                                            "20.000 a run unlord\n"
                                            "20.000 a unlorded\n"
                                            "20.002 b quorum 2\n"
                                            "20.002 b attempting\n"
                                            "20.002 b run lord\n"
                                            "20.002 b LORD\n"
                                            "20.003 a quorum 2\n"
                                            "20.003 a lord is b\n"
                                            "20.003 c quorum 3\n"
                                            "20.003 c lord is b\n"
                                            "30.001 b new lord a\n"
                                            "30.001 b run unlord\n"
                                            "30.001 b unlorded\n"
                                            "30.002 a quorum 2\n"
                                            "30.002 a attempting\n"
                                            "30.002 a run lord\n"
                                            "30.002 a LORD\n"
                                            "30.003 b quorum 3\n"
                                            "30.003 b lord is a\n"
                                            "30.003 c quorum 3\n"
                                            "30.003 c lord is a\n");
    world_maintain(world, 0, true);
    world_run(world, 60000);
    assert_string_equal(world_trace(world), "40.000 a steps down\n"
                                            "40.000 a run unlord\n"
                                            "40.000 a unlorded\n"
                                            "40.002 b quorum 2\n"
                                            "40.002 b attempting\n"
                                            "40.002 b run lord\n"
                                            "40.002 b LORD\n"
                                            "40.003 a quorum 2\n"
                                            "40.003 a lord is b\n"
                                            "40.003 c quorum 3\n"
                                            "40.003 c lord is b\n");
    assert_int_equal(world_lord(world), 1);
    assert_int_equal(world_state(world, 0)->reason, LG_REASON_MAINTENANCE);
    world_maintain(world, 0, false);
    world_run(world, 70000);
    assert_int_equal(world_lord(world), 0);
    world_trace(world);
    world_check(world, 0, false);
    world_run(world, 75100);
    assert_string_equal(world_trace(world), "70.000 a steps down\n"
                                            "70.000 a run unlord\n"
                                            "70.000 a unlorded\n"
                                            "70.002 b quorum 2\n"
                                            "70.002 b attempting\n"
                                            "70.002 b run lord\n"
                                            "70.002 b LORD\n"
                                            "70.003 a quorum 2\n"
                                            "70.003 a lord is b\n"
                                            "70.003 c quorum 3\n"
                                            "70.003 c lord is b\n");
    assert_int_equal(world_lord(world), 1);
    assert_int_equal(world_state(world, 0)->reason, LG_REASON_CHECK);
    world_check(world, 0, true);
    world_run(world, 80000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_overlaps(world), 0);
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
    world_run(world, 5900);
    world_trace(world);
    world_run(world, 10000);
    assert_string_equal(world_trace(world), "6.001 a quorum 2\n"
                                            "6.001 a attempting\n"
                                            "6.001 a run lord\n"
                                            "6.002 b quorum 3\n"
                                            "6.002 b lord is a\n"
                                            "6.002 c quorum 3\n"
                                            "6.002 c lord is a\n"
                                            "6.501 a failed lord\n"
                                            "6.501 a suspended\n"
                                            "6.501 a run unlord\n"
                                            "6.501 a unlorded\n"
                                            "6.502 b quorum 2\n"
                                            "6.502 b attempting\n"
                                            "6.502 b run lord\n"
                                            "6.502 b LORD\n"
                                            "6.503 a quorum 2\n"
                                            "6.503 a lord is b\n"
                                            "6.503 c quorum 2\n"
                                            "6.503 c lord is b\n");
    world_hook(world, 0, LG_PHASE_LORD, 0, false);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void nopreempt_leaves_a_lord_alone(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.nopreempt = true;
    struct world *world = reigning(&setup);
    world_kill(world, 0);
    world_run(world, 30000);
    assert_int_equal(world_lord(world), 1);
    world_start(world, 0);
    world_run(world, 60000);
    assert_int_equal(world_lord(world), 1);
    world_kill(world, 1);
    world_run(world, 70000);
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

static void preempt_delay_waits(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.preempt_delay_ms = 20000;
    struct world *world = reigning(&setup);
    world_kill(world, 0);
    world_run(world, 30000);
    world_start(world, 0); /* able at 35 s */
    world_run(world, 54500);
    assert_int_equal(world_lord(world), 1);
    world_run(world, 56500);
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

/* ---- Memory --------------------------------------------------------------------- */

static void votes_are_remembered(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    const struct lg_legion_memory *memory = world_memory(world, 1);
    assert_non_null(memory);
    assert_true(memory->epoch == world_state(world, 0)->epoch);
    assert_string_equal(memory->candidate, "aaaaaaaa-0000-4000-8000-000000000000");
    assert_int_equal(memory->promise_ms, 5000);
    assert_true(memory->until_ms == INT64_MAX);
    world_kill(world, 1);
    world_start(world, 1); /* its promise may last for so long */
    assert_int_equal(world_state(world, 1)->waiting_until_ms, 25000);
    world_run(world, 30500);
    world_stop(world, 1);
    world_run(world, 30501);
    memory = world_memory(world, 1); /* of the last stamp it has echoed */
    assert_int_equal(memory->until_ms, 30001 + 5000 + 1);
    world_start(world, 1);
    assert_int_equal(world_state(world, 1)->waiting_until_ms, 35002);
    world_resign(world, 0, 60000); /* releases b's vote of before */
    assert_int_equal(world_state(world, 1)->waiting_until_ms, 35002);
    world_run(world, 30502);
    assert_int_equal(world_state(world, 1)->waiting_until_ms, 0);
    world_run(world, 33000);
    assert_int_equal(world_lord(world), 1);
    world_free(world);
}

static void without_a_file_the_wait_is_longer(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.forgets = true;
    setup.start_wait_ms = 0;
    struct world *world = world_new(&setup);
    world_start_all(world);
    assert_int_equal(world_state(world, 0)->waiting_until_ms, LG_LEGION_START_WAIT_MS);
    world_run(world, 15500);
    assert_int_equal(world_lord(world), -1);
    world_run(world, 16500);
    assert_int_equal(world_lord(world), 0);
    assert_null(world_memory(world, 0));
    world_free(world);
}

/* ---- Reconfiguration ----------------------------------------------------------------- */

static void become_weak(struct lg_legion_setup *setup)
{
    setup->valor = 10;
}

static void become_arbiter(struct lg_legion_setup *setup)
{
    setup->valor = 0;
}

static void become_slow(struct lg_legion_setup *setup)
{
    setup->freq_ms = 3000;
    setup->tolerance_ms = 15000;
}

static void new_valor_moves_the_title(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    world_reconfigure(world, 0, become_weak);
    world_run(world, 23000);
    assert_string_equal(world_trace(world), "20.000 a new lord b\n"
                                            "20.000 a run unlord\n"
                                            "20.000 a unlorded\n"
                                            "20.002 b quorum 2\n"
                                            "20.002 b attempting\n"
                                            "20.002 b run lord\n"
                                            "20.002 b LORD\n"
                                            "20.003 a quorum 2\n"
                                            "20.003 a lord is b\n"
                                            "20.003 c quorum 3\n"
                                            "20.003 c lord is b\n");
    world_reconfigure(world, 1, become_arbiter);
    world_run(world, 26000);
    assert_int_equal(world_lord(world), 2);
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void longer_promises_are_stored_first(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    assert_int_equal(world_memory(world, 1)->promise_ms, 5000);
    world_reconfigure(world, 1, become_slow);
    world_run(world, 24000);
    assert_int_equal(world_memory(world, 1)->promise_ms, 15000);
    world_run(world, 60000); /* lost only after its own announced promise */
    assert_int_equal(world_lord(world), 0);
    assert_string_equal(world_trace(world), "");
    world_free(world);
}

/* ---- Beside uWSGI's nodes ----------------------------------------------------------------- */

static void last_replacement_costs_no_wait(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.safe = LG_SAFE_AUTO;
    setup.nodes[2].classical = true;
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_state(world, 0)->mode, LG_MODE_MIXED);
    assert_int_equal(world_state(world, 2)->mode, LG_MODE_CLASSICAL);
    world_trace(world);
    world_stop(world, 2);
    world_run(world, 40000);
    assert_string_equal(world_trace(world), "20.000 c is stopped\n"
                                            "20.000 c run death\n"
                                            "20.000 c dead packet\n"
                                            "20.000 c finished\n"
                                            "20.001 a died c\n"
                                            "20.001 a mode safe\n"
                                            "20.001 b died c\n"
                                            "20.001 b mode safe\n"
                                            "20.001 b quorum 2\n"
                                            "20.001 b lord is a\n");
    assert_int_equal(world_state(world, 0)->mode, LG_MODE_SAFE);
    world_free(world);
}

static void safe_mode_ends_after_the_title(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.safe = LG_SAFE_AUTO;
    setup.nodes[2].classical = true;
    struct world *world = world_new(&setup);
    world_hook(world, 0, LG_PHASE_UNLORD, 300, false);
    world_start(world, 0);
    world_start(world, 1);
    world_run(world, 20000);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_state(world, 0)->mode, LG_MODE_SAFE);
    world_trace(world);
    world_start(world, 2);
    world_run(world, 30000);
    assert_string_equal(world_trace(world), "20.000 c run setup\n"
                                            "20.001 c joined a\n"
                                            "20.001 c joined b\n"
                                            "20.001 a joined c\n"
                                            "20.001 a steps down\n"
                                            "20.001 a run unlord\n"
                                            "20.001 b joined c\n"
                                            "20.301 a unlorded\n"
                                            "20.301 a mode mixed\n"
                                            "20.301 a no quorum 0\n"
                                            "20.302 b mode mixed\n"
                                            "20.302 b no quorum 0\n"
                                            "21.001 c quorum 3\n"
                                            "21.001 c lord is a\n"
                                            "21.001 a quorum 3\n"
                                            "21.001 a attempting\n"
                                            "21.001 a run lord\n"
                                            "21.001 b quorum 3\n"
                                            "21.001 b lord is a\n"
                                            "21.001 a LORD\n");
    assert_int_equal(world_overlaps(world), 0);
    world_free(world);
}

static void resigning_from_a_classical_legion(void **state)
{
    (void)state;
    struct world_setup setup = three;
    setup.safe = LG_SAFE_OFF;
    struct world *world = reigning(&setup);
    world_resign(world, 0, 10000);
    world_run(world, 25000);
    assert_int_equal(world_lord(world), 1);
    world_run(world, 35000);
    assert_int_equal(world_lord(world), 0);
    world_maintain(world, 0, true);
    world_run(world, 60000);
    assert_int_equal(world_lord(world), 1);
    world_maintain(world, 0, false);
    world_run(world, 65000);
    assert_int_equal(world_lord(world), 0);
    world_free(world);
}

static void quorum_of_one_is_classical(void **state)
{
    (void)state;
    struct world_setup setup = {.count = 1,
        .nodes = {{.valor = 1}},
        .freq_ms = 3000,
        .tolerance_ms = 15000,
        .safe = LG_SAFE_AUTO};
    struct world *world = world_new(&setup);
    world_start_all(world);
    world_run(world, 6500);
    assert_int_equal(world_lord(world), 0);
    assert_int_equal(world_state(world, 0)->mode, LG_MODE_CLASSICAL);
    assert_null(
        strstr(world_trace(world), "waiting")); /* it keeps no promise, and waits for none */
    world_free(world);
}

static void want_no_promises(struct lg_legion_setup *setup)
{
    setup->quorum = 1;
}

static void going_over_to_other_rules_is_told_as_that(void **state)
{
    (void)state;
    struct world_setup setup = three;
    char line[LG_LEGION_LINE_SIZE];
    setup.safe = LG_SAFE_AUTO;
    struct world *world = reigning(&setup);
    world_reconfigure(world, 0, want_no_promises);
    assert_int_equal(world_state(world, 0)->mode, LG_MODE_SAFE); /* until its title is over */
    assert_int_equal(world_state(world, 0)->reason, LG_REASON_RULES);
    const struct lg_legion_note note = {
        .kind = LG_NOTE_STEPS_DOWN, .number = world_state(world, 0)->reason};
    lg_legion_note_render(&note, LG_SLICE("x"), line, sizeof line);
    assert_string_equal(line, "[uwsgi-legion] giving up the title of the Legion x: uWSGI's rules "
                              "are to decide from now on (legion-safe, legion-quorum)");
    world_run(world, 40000);
    assert_int_equal(world_state(world, 0)->mode, LG_MODE_CLASSICAL);
    world_free(world);
}

/* ---- Single messages ------------------------------------------------------------------------ */

static void strangers_messages_are_refused(void **state)
{
    (void)state;
    struct world *world = reigning(&three);
    struct lg_legion_message message = {
        .legion = LG_SLICE("test"),
        .valor = 99,
        .unix_s = 1700000020,
        .name = LG_SLICE("x"),
        .pid = 7,
        .uuid = LG_SLICE("12345678-0000-4000-8000-000000000000"),
    };
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_UNSAFE);
    message.ballot = (struct lg_legion_ballot){.stamp_us = 5000, .promise_ms = 5000, .quorum = 2};
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_STALE); /* replayed */
    message.ballot.stamp_us++;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    message.ballot.stamp_us++;
    message.dead = true;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_NOT);
    message.dead = false;
    message.ballot.stamp_us--; /* the dead stay dead */
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_STALE);
    message.ballot.stamp_us = 0;
    message.dead = true;
    message.uuid = LG_SLICE("bbbbbbbb-0000-4000-8000-000000000000");
    message.name = LG_SLICE("b");
    message.valor = 80;
    assert_int_equal(world_inject(world, 0, &message), LG_REFUSED_UNSAFE); /* forged */
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_nodes_fail_over_and_back),
        cmocka_unit_test(clean_stop_hands_over_at_once),
        cmocka_unit_test(paused_lord_is_lord_no_more),
        cmocka_unit_test(minority_gives_up_before_the_majority_elects),
        cmocka_unit_test(twice_within_a_minute),
        cmocka_unit_test(slow_lord_hook_silences_nobody),
        cmocka_unit_test(slow_unlord_hook_ends_with_the_lease),
        cmocka_unit_test(new_title_waits_for_no_old_unlord_hook),
        cmocka_unit_test(failed_unlord_hook_releases_nothing),
        cmocka_unit_test(deaf_node_blocks_nobody),
        cmocka_unit_test(cut_between_two_is_no_veto),
        cmocka_unit_test(two_nodes_need_each_other),
        cmocka_unit_test(hand_over_by_request),
        cmocka_unit_test(death_on_lord_error_ends),
        cmocka_unit_test(nopreempt_leaves_a_lord_alone),
        cmocka_unit_test(preempt_delay_waits),
        cmocka_unit_test(votes_are_remembered),
        cmocka_unit_test(without_a_file_the_wait_is_longer),
        cmocka_unit_test(new_valor_moves_the_title),
        cmocka_unit_test(longer_promises_are_stored_first),
        cmocka_unit_test(last_replacement_costs_no_wait),
        cmocka_unit_test(safe_mode_ends_after_the_title),
        cmocka_unit_test(resigning_from_a_classical_legion),
        cmocka_unit_test(quorum_of_one_is_classical),
        cmocka_unit_test(going_over_to_other_rules_is_told_as_that),
        cmocka_unit_test(strangers_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
