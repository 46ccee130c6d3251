/* The arithmetic of promises and leases, message by message: a node of the core,
 * and members made up by the test.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/legion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define WALL_MS  1700000000000
#define SELF     "aaaaaaaa-0000-4000-8000-000000000000"
#define UUID_LEN LG_LEGION_UUID_LEN

/* Members are 'b' to 'i'; their stamps are the time in us. */
struct bench {
    struct lg_legion *legion;
    struct lg_legion_note notes[32];
    struct lg_legion_update update;
    int64_t now_ms;
    uint64_t sent_us; /* its last announcement to all */
};

static void step(struct bench *bench, struct lg_legion_event event)
{
    event.now_ms = bench->now_ms;
    event.wall_ms = WALL_MS + bench->now_ms;
    bench->update.notes = bench->notes;
    bench->update.note_max = 32;
    assert_int_equal(lg_legion_step(bench->legion, &event, &bench->update), 0);
    if (bench->update.announce)
        bench->sent_us = bench->update.message.ballot.stamp_us;
}

static void run(struct bench *bench, int64_t until_ms)
{
    while (bench->update.deadline_ms <= until_ms) {
        bench->now_ms = bench->update.deadline_ms;
        step(bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
    }
    if (bench->now_ms == until_ms)
        return; /* the last update is there to be looked at */
    bench->now_ms = until_ms;
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
}

static const struct lg_legion_memory clean = {.promise_ms = 5000};

static void open_bench(struct bench *bench, uint64_t valor, uint64_t quorum)
{
    const struct lg_legion_setup setup = {.legion = LG_SLICE("test"),
        .name = LG_SLICE("a"),
        .uuid = LG_SLICE(SELF),
        .valor = valor,
        .quorum = quorum,
        .freq_ms = 1000,
        .tolerance_ms = 5000,
        .skew_tolerance_s = 60,
        .members_max = 8,
        .safe = LG_SAFE_ON};
    *bench = (struct bench){.now_ms = 100000};
    assert_int_equal(lg_legion_new(&setup, &bench->legion), 0);
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_START, .memory = &clean});
}

static void close_bench(struct bench *bench)
{
    lg_legion_free(bench->legion);
}

static const struct lg_legion_state *state_of(const struct bench *bench)
{
    return lg_legion_state(bench->legion);
}

/* A message of member `name`, which hears us. */
static enum lg_legion_refusal hear(
    struct bench *bench, char name, uint64_t valor, struct lg_legion_ballot ballot)
{
    char echoes[LG_LEGION_ECHO_SIZE], host[2] = {name, '\0'}, uuid[UUID_LEN + 1];
    size_t len = 0;
    memcpy(uuid, SELF, sizeof uuid);
    memset(uuid, name, 8);
    assert_int_equal(
        lg_legion_echo_put(echoes, sizeof echoes, &len, lg_legion_id(SELF), bench->sent_us), 0);
    if (!ballot.stamp_us)
        ballot.stamp_us = (uint64_t)bench->now_ms * 1000;
    if (!ballot.promise_ms)
        ballot.promise_ms = 5000;
    if (!ballot.quorum)
        ballot.quorum = 2;
    ballot.echoes = lg_slice_from(echoes, len);
    const struct lg_legion_message message = {.legion = LG_SLICE("test"),
        .valor = valor,
        .unix_s = (WALL_MS + bench->now_ms) / 1000,
        .name = lg_slice_of(host),
        .uuid = lg_slice_of(uuid),
        .ballot = ballot};
    step(bench,
        (struct lg_legion_event){.kind = LG_EVENT_RECEIVE, .message = &message, .authentic = true});
    return bench->update.refusal;
}

static struct lg_legion_ballot vote_for_us(const struct bench *bench)
{
    return (struct lg_legion_ballot){.vote_uuid = LG_SLICE(SELF),
        .vote_epoch = state_of(bench)->stand,
        .vote_echo_us = bench->sent_us,
        .vote_promise_ms = 5000};
}

/* With one member that hears us, at 103 s: we stand. */
static void standing(struct bench *bench, uint64_t quorum)
{
    open_bench(bench, 90, quorum);
    for (char name = 'b'; name < (char)('a' + quorum); name++)
        hear(bench, name, 10, (struct lg_legion_ballot){0});
    run(bench, 102000);
    for (char name = 'b'; name < (char)('a' + quorum); name++)
        hear(bench, name, 10, (struct lg_legion_ballot){0});
    run(bench, 103000);
    assert_true(state_of(bench)->stand > 0);
    assert_int_equal(state_of(bench)->reach, quorum);
}

static void lease_runs_from_the_echo(void **state)
{
    (void)state;
    struct bench bench;
    standing(&bench, 2);
    uint64_t epoch = state_of(&bench)->stand;
    assert_true(epoch >= WALL_MS + 100000);
    assert_true(bench.sent_us == 103000000);
    run(&bench, 103400);
    hear(&bench, 'b', 10, vote_for_us(&bench));
    const struct lg_legion_state *now = state_of(&bench);
    assert_int_equal(now->role, LG_ROLE_LORD);
    assert_true(now->epoch == epoch);
    assert_int_equal(now->title_until_ms, 103000 + 4900); /* 2 % less than the promise */
    assert_true(bench.update.announce && bench.update.message.ballot.title == epoch);
    /* a third of 5 s before its end the unlord hooks' time begins */
    assert_int_equal(bench.update.deadline_ms, 104000);
    run(&bench, 106233);
    assert_int_equal(state_of(&bench)->role, LG_ROLE_LORD);
    run(&bench, 106234);
    assert_int_equal(state_of(&bench)->role, LG_ROLE_FOLLOWER);
    assert_true(bench.update.message.ballot.released_us >= 106000000);
    assert_true(state_of(&bench)->stand > epoch); /* another title is another epoch */
    close_bench(&bench);
}

static void votes_that_do_not_count(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        struct bench bench;
        standing(&bench, 2);
        struct lg_legion_ballot ballot = vote_for_us(&bench);
        switch (i) {
        case 0: /* for another */
            ballot.vote_uuid = LG_SLICE("cccccccc-0000-4000-8000-000000000000");
            break;
        case 1: /* another epoch */
            ballot.vote_epoch--;
            break;
        case 2: /* a stamp we never made */
            ballot.vote_echo_us = bench.sent_us + 1;
            break;
        case 3: /* a promise that is over */
            ballot.vote_promise_ms = 1;
            break;
        case 4: /* one that is too short for the grace and an interval's fifth */
            ballot.vote_promise_ms = 300;
            break;
        default: /* the voter wants three */
            ballot.quorum = 3;
        }
        hear(&bench, 'b', 10, ballot);
        assert_int_equal(state_of(&bench)->role, LG_ROLE_FOLLOWER);
        close_bench(&bench);
    }
}

/* The lease is as long as the vote that makes the quorum. */
static void quorum_is_the_nth_longest(void **state)
{
    (void)state;
    struct bench bench;
    standing(&bench, 4);
    static const int64_t promises_ms[] = {4000, 9000, 6000};
    for (unsigned i = 0; i < 3; i++) {
        struct lg_legion_ballot ballot = vote_for_us(&bench);
        assert_int_equal(state_of(&bench)->role, LG_ROLE_FOLLOWER);
        ballot.vote_promise_ms = promises_ms[i];
        ballot.quorum = 4;
        hear(&bench, (char)('b' + i), 10, ballot);
    }
    assert_int_equal(state_of(&bench)->role, LG_ROLE_LORD);
    assert_int_equal(state_of(&bench)->votes, 4);
    assert_int_equal(state_of(&bench)->title_until_ms, 103000 + 4000 * 98 / 100);
    bench.now_ms += 10;
    struct lg_legion_ballot ballot = vote_for_us(&bench);
    ballot.vote_promise_ms = 8000;
    ballot.quorum = 4;
    hear(&bench, 'b', 10, ballot); /* now our own is the shortest */
    assert_int_equal(state_of(&bench)->title_until_ms, 103000 + 4900);
    close_bench(&bench);
}

static const struct lg_legion_ballot candidate = {
    .quorum = 2, .stand = WALL_MS * 2, .reach = 2, .promise_ms = 20000};

static void promise_runs_from_the_receipt(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 0, 2);
    run(&bench, 102300);
    hear(&bench, 'b', 95, candidate);
    assert_true(!bench.update.persist && state_of(&bench)->promised_epoch == 0);
    run(&bench, 103000); /* on the timer */
    const struct lg_legion_state *now = state_of(&bench);
    assert_true(now->promised_epoch == candidate.stand);
    assert_int_equal(now->promised_until_ms, 102300 + 5000 + 1);
    run(&bench, 104000);
    const struct lg_legion_ballot *said = &bench.update.message.ballot;
    assert_true(said->vote_epoch == candidate.stand && said->vote_echo_us == 102300000);
    assert_int_equal(now->promised_until_ms, 102300 + 5000 + 1); /* saying it extends nothing */
    run(&bench, 104500);
    struct lg_legion_ballot better = candidate;
    better.stand++;
    hear(&bench, 'c', 99, better);
    run(&bench, 107300); /* bound, and b is not renewed: c is better */
    assert_true(now->promised_epoch == candidate.stand);
    run(&bench, 107301); /* free: c learns of it at once, the others on the timer */
    assert_true(now->promised_epoch == better.stand);
    assert_true(bench.update.answer && !bench.update.announce);
    assert_string_equal(bench.update.answer_to.uuid, now->promised_uuid);
    assert_true(bench.update.message.ballot.vote_epoch == better.stand);
    close_bench(&bench);
}

static void first_vote_is_stored_before_it_is_said(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 0, 2);
    run(&bench, 102300);
    hear(&bench, 'b', 95, candidate);
    while (!bench.update.announce) {
        bench.now_ms = bench.update.deadline_ms;
        step(&bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
    }
    assert_true(bench.update.persist);
    assert_true(bench.update.memory.epoch == candidate.stand);
    assert_int_equal(bench.update.memory.promise_ms, 5000);
    assert_true(bench.update.memory.until_ms == INT64_MAX);
    assert_true(bench.update.message.ballot.vote_epoch == candidate.stand);
    run(&bench, 104200);
    hear(&bench, 'b', 95, candidate);
    run(&bench, 105000); /* renewed, of the same epoch */
    assert_false(bench.update.persist);
    assert_int_equal(state_of(&bench)->promised_until_ms, 104200 + 5001);
    close_bench(&bench);
}

static void holder_is_answered_once_per_half_interval(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 0, 2);
    run(&bench, 102300);
    struct lg_legion_ballot lord = candidate;
    lord.title = lord.stand;
    hear(&bench, 'b', 95, lord);
    run(&bench, 103100);
    hear(&bench, 'b', 95, lord);
    assert_true(bench.update.answer && !bench.update.announce);
    assert_string_equal(bench.update.answer_to.name, "b");
    assert_true(bench.update.message.ballot.vote_echo_us == 103100000);
    assert_null(bench.update.message.ballot.echoes.ptr); /* others may read it too */
    for (unsigned i = 1; i < 5; i++) {
        bench.now_ms += 100;
        hear(&bench, 'b', 95, lord);
        assert_false(bench.update.answer);
    }
    bench.now_ms += 100;
    hear(&bench, 'b', 95, lord);
    assert_true(bench.update.answer);
    close_bench(&bench);
}

static void released_promise_binds_nobody(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 0, 2);
    run(&bench, 102300);
    hear(&bench, 'b', 95, candidate);
    hear(&bench, 'c', 90, candidate);
    run(&bench, 103000);
    assert_true(state_of(&bench)->promised_epoch == candidate.stand);
    struct lg_legion_ballot said = candidate;
    said.stand = 0;
    bench.now_ms = 103100;
    said.released_us = 102299999; /* before the stamp we echoed */
    hear(&bench, 'b', 95, said);
    assert_int_equal(state_of(&bench)->promised_until_ms, 107301);
    bench.now_ms = 103200;
    said.released_us = 102300000;
    hear(&bench, 'b', 95, said);
    /* c's epoch is the one we voted for, and it is another candidate */
    assert_true(state_of(&bench)->promised_epoch == 0);
    said = candidate;
    said.stand++;
    bench.now_ms = 103300;
    hear(&bench, 'c', 90, said);
    run(&bench, 104000);
    assert_true(state_of(&bench)->promised_epoch == said.stand);
    close_bench(&bench);
}

static void only_what_is_authentic_counts(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 0, 2);
    const struct lg_legion_message message = {.legion = LG_SLICE("test"),
        .valor = 95,
        .unix_s = (WALL_MS + bench.now_ms) / 1000,
        .name = LG_SLICE("b"),
        .uuid = LG_SLICE("bbbbbbbb-0000-4000-8000-000000000000"),
        .ballot = candidate};
    step(&bench, (struct lg_legion_event){.kind = LG_EVENT_RECEIVE, .message = &message});
    assert_int_equal(bench.update.refusal, LG_REFUSED_UNSAFE);
    close_bench(&bench);
}

#define CROWD 3999 /* members: more than one message has echoes for */

/* A message of member `at` of a crowd, in which `echoes` were heard. */
static void hear_of_crowd(struct bench *bench, unsigned at, struct lg_slice echoes)
{
    char uuid[UUID_LEN + 1];
    snprintf(uuid, sizeof uuid, "%08x-0000-4000-8000-000000000000", at);
    const struct lg_legion_message message = {.legion = LG_SLICE("test"),
        .unix_s = (WALL_MS + bench->now_ms) / 1000,
        .name = LG_SLICE("n"),
        .uuid = lg_slice_of(uuid),
        .ballot = {.stamp_us = (uint64_t)++bench->now_ms * 1000,
            .promise_ms = 60000,
            .quorum = 2,
            .echoes = echoes}};
    step(bench,
        (struct lg_legion_event){.kind = LG_EVENT_RECEIVE, .message = &message, .authentic = true});
    assert_int_equal(bench->update.refusal, LG_REFUSED_NOT);
}

static void open_crowd(struct bench *bench)
{
    const struct lg_legion_setup setup = {.legion = LG_SLICE("test"),
        .name = LG_SLICE("a"),
        .uuid = LG_SLICE(SELF),
        .quorum = 2,
        .freq_ms = 10000,
        .tolerance_ms = 60000,
        .skew_tolerance_s = 600,
        .members_max = CROWD,
        .safe = LG_SAFE_ON};
    *bench = (struct bench){.now_ms = 100000};
    assert_int_equal(lg_legion_new(&setup, &bench->legion), 0);
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_START, .memory = &clean});
}

/* Two messages have all of them, and a datagram has room for each. */
static void echoes_of_many_take_turns(void **state)
{
    (void)state;
    static char cleartext[LG_LEGION_DATA_MAX];
    static unsigned echoed[CROWD];
    struct bench bench;
    open_crowd(&bench);
    for (unsigned i = 0; i < CROWD; i++)
        hear_of_crowd(&bench, i, (struct lg_slice){"", 0});
    for (int round = 0; round < 2; round++) {
        size_t len;
        run(&bench, bench.update.deadline_ms);
        assert_true(bench.update.announce);
        const struct lg_slice echoes = bench.update.message.ballot.echoes;
        assert_int_equal(echoes.len, LG_LEGION_ECHOES_MAX * LG_LEGION_ECHO_SIZE);
        for (unsigned i = 0; i < CROWD; i++) {
            char uuid[UUID_LEN + 1];
            uint32_t place = i;
            snprintf(uuid, sizeof uuid, "%08x-0000-4000-8000-000000000000", i);
            echoed[i] += lg_legion_echo_find(echoes, lg_legion_id(uuid), &place) != 0;
        }
        assert_int_equal(
            lg_legion_encode(&bench.update.message, cleartext, sizeof cleartext, &len), 0);
    }
    for (unsigned i = 0; i < CROWD; i++)
        assert_in_range(echoed[i], 1, 2);
    close_bench(&bench);
}

/* A list that may have left us out does not say that we are not heard. */
static void echoes_left_out_stay(void **state)
{
    (void)state;
    static char echoes[LG_LEGION_ECHOES_MAX * LG_LEGION_ECHO_SIZE];
    size_t len = 0;
    struct bench bench;
    open_crowd(&bench);
    assert_int_equal(
        lg_legion_echo_put(echoes, sizeof echoes, &len, lg_legion_id(SELF), bench.sent_us), 0);
    hear_of_crowd(&bench, 0, lg_slice_from(echoes, len));
    run(&bench, bench.update.deadline_ms);
    assert_int_equal(state_of(&bench)->reach, 2);
    for (len = 0; len < sizeof echoes;)
        assert_int_equal(lg_legion_echo_put(echoes, sizeof echoes, &len, len + 1, 1), 0);
    hear_of_crowd(&bench, 0, lg_slice_from(echoes, len));
    run(&bench, bench.update.deadline_ms);
    assert_int_equal(state_of(&bench)->reach, 2);
    hear_of_crowd(&bench, 0, lg_slice_from(echoes, len - LG_LEGION_ECHO_SIZE)); /* a whole one */
    run(&bench, bench.update.deadline_ms);
    assert_int_equal(state_of(&bench)->reach, 1);
    close_bench(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lease_runs_from_the_echo),
        cmocka_unit_test(votes_that_do_not_count),
        cmocka_unit_test(quorum_is_the_nth_longest),
        cmocka_unit_test(promise_runs_from_the_receipt),
        cmocka_unit_test(first_vote_is_stored_before_it_is_said),
        cmocka_unit_test(holder_is_answered_once_per_half_interval),
        cmocka_unit_test(released_promise_binds_nobody),
        cmocka_unit_test(only_what_is_authentic_counts),
        cmocka_unit_test(echoes_of_many_take_turns),
        cmocka_unit_test(echoes_left_out_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
