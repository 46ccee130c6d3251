/* What is recorded can be gone through again: the files of legion-record, their
 * turns, torn ends and interruptions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SELF     "aaaaaaaa-0000-4000-8000-000000000000"
#define OTHER    "bbbbbbbb-0000-4000-8000-000000000000"
#define SCROLL   "the scroll is nobody's business"
#define WALL_MS  1700000000000
#define FILE_MAX (1 << 20)

struct bench {
    char folder[64], path[128], old[128];
    struct lg_legion *legion;
    struct lg_legion_note notes[32];
    struct lg_legion_update update;
    struct lg_recorder recorder;
    int64_t now_ms;
    uint64_t steps;
    char newer[FILE_MAX], older[FILE_MAX];
    struct lg_slice newer_bytes, older_bytes;
};

static struct lg_legion_setup setup_of(uint64_t valor)
{
    return (struct lg_legion_setup){.legion = LG_SLICE("test"),
        .name = LG_SLICE("a"),
        .uuid = LG_SLICE(SELF),
        .scroll = LG_SLICE(SCROLL),
        .valor = valor,
        .quorum = 2,
        .freq_ms = 1000,
        .tolerance_ms = 5000,
        .skew_tolerance_s = 60,
        .phases = 1U << LG_PHASE_NODE_JOINED | 1U << LG_PHASE_LORD | 1U << LG_PHASE_UNLORD,
        .members_max = 8,
        .safe = LG_SAFE_ON};
}

static void step(struct bench *bench, struct lg_legion_event event)
{
    event.now_ms = bench->now_ms;
    event.wall_ms = WALL_MS + bench->now_ms;
    bench->update.notes = bench->notes;
    bench->update.note_max = 32;
    assert_int_equal(lg_legion_step(bench->legion, &event, &bench->update), 0);
    lg_recorder_step(&bench->recorder, bench->legion, &event, &bench->update);
    bench->steps++;
    if (bench->update.run_hooks)
        step(bench, (struct lg_legion_event){.kind = LG_EVENT_HOOK_DONE});
}

/* A member that hears us and votes for us. */
static void hear(struct bench *bench)
{
    char echoes[2 * LG_LEGION_ECHO_SIZE];
    size_t len = 0;
    uint64_t stamp_us = (uint64_t)bench->now_ms * 1000;
    assert_int_equal(
        lg_legion_echo_put(echoes, sizeof echoes, &len, lg_legion_id(OTHER) + 1, stamp_us), 0);
    assert_int_equal(
        lg_legion_echo_put(echoes, sizeof echoes, &len, lg_legion_id(SELF), stamp_us - 1000), 0);
    const struct lg_legion_message message = {.legion = LG_SLICE("test"),
        .valor = 1,
        .unix_s = (WALL_MS + bench->now_ms) / 1000,
        .name = LG_SLICE("b"),
        .uuid = LG_SLICE(OTHER),
        .scroll = LG_SLICE(SCROLL),
        .ballot = {.stamp_us = stamp_us,
            .promise_ms = 5000,
            .quorum = 2,
            .reach = 2,
            .vote_uuid = LG_SLICE(SELF),
            .vote_epoch = lg_legion_state(bench->legion)->stand,
            .vote_echo_us = stamp_us - 1000,
            .vote_promise_ms = 5000,
            .echoes = lg_slice_from(echoes, len)}};
    step(bench,
        (struct lg_legion_event){.kind = LG_EVENT_RECEIVE, .message = &message, .authentic = true});
}

static void live(struct bench *bench, int64_t for_ms)
{
    for (int64_t end_ms = bench->now_ms + for_ms; bench->now_ms < end_ms; bench->now_ms += 999) {
        step(bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
        bench->now_ms++;
        hear(bench);
    }
}

static void begin(struct bench *bench, uint64_t size_max)
{
    static const struct lg_legion_memory memory = {.promise_ms = 5000};
    const struct lg_legion_setup setup = setup_of(90);
    assert_int_equal(lg_legion_new(&setup, &bench->legion), 0);
    lg_recorder_open(&bench->recorder, bench->folder, "test", bench->legion, size_max, 100000);
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_START, .memory = &memory});
}

static void end(struct bench *bench)
{
    lg_recorder_close(&bench->recorder);
    lg_legion_free(bench->legion);
    bench->legion = NULL;
}

static struct lg_slice read_all(const char *path, char *out)
{
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(out, 1, FILE_MAX, file) : 0;
    if (file)
        fclose(file);
    return lg_slice_from(out, len);
}

static void read_files(struct bench *bench)
{
    bench->newer_bytes = read_all(bench->path, bench->newer);
    bench->older_bytes = read_all(bench->old, bench->older);
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    snprintf(bench->folder, sizeof bench->folder, "/tmp/recorder.XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    snprintf(bench->path, sizeof bench->path, "%s/test.ring", bench->folder);
    snprintf(bench->old, sizeof bench->old, "%s/test.ring.old", bench->folder);
    bench->now_ms = 100000;
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    unlink(bench->path);
    unlink(bench->old);
    rmdir(bench->folder);
    free(bench);
    return 0;
}

struct seen {
    uint64_t steps, states, torn, different;
    bool was_lord;
};

/* Goes through it as a reader must. */
static void replay(struct lg_slice bytes, struct lg_legion **legion, struct seen *seen)
{
    static struct lg_legion_note notes[32];
    struct lg_record record;
    for (lg_record_next(&bytes, &record); record.kind != LG_RECORD_END;
         lg_record_next(&bytes, &record)) {
        struct lg_legion_update update = {.notes = notes, .note_max = 32};
        uint32_t format;
        if (record.kind == LG_RECORD_STATE) {
            struct lg_legion *next;
            assert_int_equal(lg_record_restore(record.state, &next, &format), 0);
            /* Where it goes on, it goes on as it was. */
            if (*legion && lg_legion_state(next)->role != LG_ROLE_IDLE)
                assert_true(lg_record_digest(*legion, &update) == lg_record_digest(next, &update));
            lg_legion_free(*legion);
            *legion = next;
            seen->states++;
        } else if (record.kind == LG_RECORD_TORN) {
            seen->torn += record.lost;
            lg_legion_free(*legion);
            *legion = NULL;
        } else if (*legion) {
            lg_record_adopt(*legion, &record);
            assert_int_equal(lg_legion_step(*legion, &record.event, &update), 0);
            seen->different += lg_record_digest(*legion, &update) != record.digest;
            seen->was_lord |= lg_legion_state(*legion)->role == LG_ROLE_LORD;
            seen->steps++;
        }
    }
}

static void all_kinds_of_events_come_back(void **state)
{
    struct bench *bench = *state;
    struct lg_legion *legion = NULL;
    struct seen seen = {0};
    begin(bench, FILE_MAX);
    live(bench, 10000);
    assert_int_equal(lg_legion_state(bench->legion)->role, LG_ROLE_LORD);
    const struct lg_legion_setup other = setup_of(70);
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_RECONFIGURE, .setup = &other});
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_MAINTENANCE, .on = true});
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_MAINTENANCE});
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_CHECK, .on = true});
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_RESIGN, .hold_ms = 3000});
    live(bench, 20000);
    const struct lg_legion_message foreign = {.legion = LG_SLICE("foreign"),
        .name = LG_SLICE("c"),
        .uuid = LG_SLICE("cccccccc-0000-4000-8000-000000000000")};
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_RECEIVE, .message = &foreign});
    assert_int_equal(bench->update.refusal, LG_REFUSED_LEGION);
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_SHUTDOWN});
    end(bench);
    read_files(bench);
    replay(bench->newer_bytes, &legion, &seen);
    assert_int_equal(seen.steps, bench->steps);
    assert_int_equal(seen.different, 0);
    assert_int_equal(seen.states, 1);
    assert_int_equal(seen.torn, 0);
    assert_true(seen.was_lord);
    assert_int_equal(lg_legion_state(legion)->role, LG_ROLE_ENDED);
    assert_null(memmem(bench->newer, bench->newer_bytes.len, SCROLL, strlen(SCROLL)));
    lg_legion_free(legion);
}

static void files_take_turns(void **state)
{
    struct bench *bench = *state;
    struct lg_legion *legion = NULL;
    struct seen seen = {0};
    begin(bench, 100000);
    live(bench, 200000);
    end(bench);
    read_files(bench);
    assert_in_range(bench->newer_bytes.len, 1, 50000 + 20000);
    assert_in_range(bench->older_bytes.len, 50000, 50000 + LG_RECORD_STEP_MAX);
    replay(bench->older_bytes, &legion, &seen);
    replay(bench->newer_bytes, &legion, &seen);
    assert_true(seen.states == 2 && seen.different == 0 && seen.torn == 0);
    assert_true(seen.steps > 20 && seen.steps < bench->steps);
    lg_legion_free(legion);
}

/* At every byte of the end of a file: what is whole counts, the rest is told. */
static void a_torn_end_is_passed_over(void **state)
{
    struct bench *bench = *state;
    begin(bench, FILE_MAX);
    live(bench, 3000);
    end(bench);
    read_files(bench);
    size_t len = bench->newer_bytes.len;
    uint64_t steps = bench->steps;
    for (size_t cut = 1; cut < 900; cut++) {
        struct lg_legion *legion = NULL;
        struct seen seen = {0};
        replay(lg_slice_from(bench->newer, len - cut), &legion, &seen);
        assert_true(seen.different == 0 && seen.torn < LG_RECORD_STEP_MAX);
        assert_true(seen.steps == steps || (seen.steps == steps - 1 && seen.torn < 900));
        steps = seen.steps;
        lg_legion_free(legion);
    }
    assert_true(steps < bench->steps - 1);
}

/* The next life writes behind what the last one left, whole or not. */
static void lives_follow_each_other(void **state)
{
    struct bench *bench = *state;
    struct lg_legion *legion = NULL;
    struct seen seen = {0};
    begin(bench, FILE_MAX);
    live(bench, 3000);
    uint64_t first = bench->steps;
    end(bench);
    struct stat file;
    assert_int_equal(stat(bench->path, &file), 0);
    assert_int_equal(truncate(bench->path, file.st_size - 10), 0);
    begin(bench, FILE_MAX);
    live(bench, 3000);
    end(bench);
    read_files(bench);
    replay(bench->newer_bytes, &legion, &seen);
    assert_int_equal(seen.states, 2);
    assert_int_equal(seen.steps, bench->steps - 1);
    assert_true(seen.torn > 0 && first > 1 && seen.different == 0);
    lg_legion_free(legion);
}

static void another_core_is_told_by_its_digest(void **state)
{
    struct bench *bench = *state;
    struct lg_legion *legion = NULL;
    struct seen seen = {0};
    begin(bench, FILE_MAX);
    live(bench, 10000);
    /* As if something had come that nobody recorded. */
    struct lg_legion_update update = {.notes = bench->notes, .note_max = 32};
    const struct lg_legion_event event = {
        .kind = LG_EVENT_MAINTENANCE, .on = true, .now_ms = bench->now_ms, .wall_ms = WALL_MS};
    assert_int_equal(lg_legion_step(bench->legion, &event, &update), 0);
    live(bench, 3000);
    end(bench);
    read_files(bench);
    replay(bench->newer_bytes, &legion, &seen);
    assert_true(seen.different > 0);
    lg_legion_free(legion);
}

static void what_cannot_be_written_stops_nothing(void **state)
{
    struct bench *bench = *state;
    const struct lg_legion_setup setup = setup_of(90);
    assert_int_equal(lg_legion_new(&setup, &bench->legion), 0);
    lg_recorder_open(&bench->recorder, "/nowhere/at/all", "test", bench->legion, FILE_MAX, 1000);
    assert_string_equal(bench->recorder.path, "");
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_START});
    assert_int_equal(mkdir(bench->path, 0700), 0); /* where the file should be */
    lg_recorder_open(&bench->recorder, bench->folder, "test", bench->legion, FILE_MAX, 1000);
    assert_true(bench->recorder.fd < 0 && bench->recorder.again_ms > 0);
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
    assert_int_equal(rmdir(bench->path), 0);
    bench->recorder.again_ms = 0;
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT}); /* the state */
    step(bench, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
    end(bench);
    struct lg_legion *legion = NULL;
    struct seen seen = {0};
    read_files(bench);
    replay(bench->newer_bytes, &legion, &seen);
    assert_true(seen.states == 1 && seen.steps == 1 && seen.different == 0);
    lg_legion_free(legion);
}

/* Bytes that were changed never reach the core as they are. */
static void damaged_bytes_are_found(void **state)
{
    struct bench *bench = *state;
    begin(bench, FILE_MAX);
    live(bench, 2000);
    end(bench);
    read_files(bench);
    for (size_t at = 0; at < bench->newer_bytes.len; at += 7) {
        struct lg_legion *legion = NULL;
        bench->newer[at] ^= 0x20;
        struct lg_slice rest = bench->newer_bytes;
        struct lg_record record;
        uint32_t format;
        bool torn = !lg_record_is(rest);
        for (lg_record_next(&rest, &record); record.kind != LG_RECORD_END && !torn;
             lg_record_next(&rest, &record))
            torn = record.kind == LG_RECORD_TORN ||
                   (record.kind == LG_RECORD_STATE && !legion &&
                       lg_record_restore(record.state, &legion, &format) != 0);
        assert_true(torn);
        lg_legion_free(legion);
        bench->newer[at] ^= 0x20;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_kinds_of_events_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(files_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_end_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(lives_follow_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(another_core_is_told_by_its_digest, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_stops_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_bytes_are_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
