/* What --replay is given: a ring that a node recorded, with bytes of it changed. The
 * ring is made here, by a core that lives for a while, since states are structs as
 * they are in memory; an input is a list of changes, so that it outlives changes of
 * those structs. Sums are put right again afterwards: they guard against accidents
 * only, and would stop every change at the door. With none the replay must be the same.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/record.h"
#include "sim/replay.h"

#include <stdlib.h>

#define SELF        "aaaaaaaa-0000-4000-8000-000000000000"
#define OTHER       "bbbbbbbb-0000-4000-8000-000000000000"
#define WALL_MS     1700000000000
#define MEMBERS     4
#define RECORDS_MAX 128
#define RING_MAX    (256 << 10)
#define HEAD_SIZE   24 /* mark, format, size, sum */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct life {
    struct lg_legion *legion;
    struct lg_legion_update update;
    struct lg_legion_note notes[LG_LEGION_NOTES_FOR(MEMBERS)];
    int64_t now_ms;
    char ring[RING_MAX];
    size_t len, count;
    size_t at[RECORDS_MAX + 1];
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void add(struct life *life, size_t len)
{
    must(len > 0 && life->count < RECORDS_MAX);
    life->at[life->count++] = life->len;
    life->len += len;
    life->at[life->count] = life->len;
}

static void add_state(struct life *life)
{
    add(life, lg_record_state(life->legion, life->ring + life->len, RING_MAX - life->len));
}

static void step(struct life *life, struct lg_legion_event event)
{
    event.now_ms = life->now_ms;
    event.wall_ms = WALL_MS + life->now_ms;
    life->update.notes = life->notes;
    life->update.note_max = sizeof life->notes / sizeof *life->notes;
    if (lg_legion_step(life->legion, &event, &life->update))
        return;
    add(life, lg_record_step(life->legion, &event, &life->update, life->ring + life->len,
                  RING_MAX - life->len));
    if (life->update.run_hooks)
        step(life, (struct lg_legion_event){.kind = LG_EVENT_HOOK_DONE});
}

/* A member that hears us and votes for us. */
static void hear(struct life *life)
{
    char echoes[LG_LEGION_ECHO_SIZE];
    size_t len = 0;
    uint64_t stamp_us = (uint64_t)life->now_ms * 1000;
    must(lg_legion_echo_put(echoes, sizeof echoes, &len, lg_legion_id(SELF), stamp_us - 1000) == 0);
    const struct lg_legion_message message = {.legion = LG_SLICE("test"),
        .valor = 1,
        .unix_s = (WALL_MS + life->now_ms) / 1000,
        .name = LG_SLICE("b"),
        .uuid = LG_SLICE(OTHER),
        .ballot = {.stamp_us = stamp_us,
            .promise_ms = 5000,
            .quorum = 2,
            .reach = 2,
            .vote_uuid = LG_SLICE(SELF),
            .vote_epoch = lg_legion_state(life->legion)->stand,
            .vote_echo_us = stamp_us - 1000,
            .vote_promise_ms = 5000,
            .echoes = lg_slice_from(echoes, len)}};
    step(life,
        (struct lg_legion_event){.kind = LG_EVENT_RECEIVE, .message = &message, .authentic = true});
}

static void live(struct life *life, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        step(life, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
        life->now_ms++;
        hear(life);
        life->now_ms += 999;
    }
}

static struct life *make_life(enum lg_legion_safety safe)
{
    static const struct lg_legion_memory memory = {.promise_ms = 3000};
    struct lg_legion_setup setup = {.legion = LG_SLICE("test"),
        .name = LG_SLICE("a"),
        .uuid = LG_SLICE(SELF),
        .valor = 90,
        .quorum = 2,
        .freq_ms = 1000,
        .tolerance_ms = 5000,
        .skew_tolerance_s = 60,
        .phases = 1U << LG_PHASE_NODE_JOINED | 1U << LG_PHASE_NODE_LEFT | 1U << LG_PHASE_LORD |
                  1U << LG_PHASE_UNLORD,
        .members_max = MEMBERS,
        .safe = safe};
    struct life *life = calloc(1, sizeof *life);
    must(life && lg_legion_new(&setup, &life->legion) == 0);
    life->now_ms = 100000;
    add_state(life);
    step(life, (struct lg_legion_event){.kind = LG_EVENT_START, .memory = &memory});
    live(life, 8);
    add_state(life); /* as Lord, where files turn */
    setup.valor = 80;
    step(life, (struct lg_legion_event){.kind = LG_EVENT_RECONFIGURE, .setup = &setup});
    step(life, (struct lg_legion_event){.kind = LG_EVENT_MEMBER_HOOK_DONE, .hook_failed = true});
    live(life, 2);
    step(life, (struct lg_legion_event){.kind = LG_EVENT_RESIGN, .hold_ms = 1000});
    live(life, 3);
    life->now_ms += 20000; /* the member is lost */
    step(life, (struct lg_legion_event){.kind = LG_EVENT_TIMEOUT});
    step(life, (struct lg_legion_event){.kind = LG_EVENT_MAINTENANCE, .on = true});
    step(life, (struct lg_legion_event){.kind = LG_EVENT_SHUTDOWN});
    lg_legion_free(life->legion);
    return life;
}

/* As record.c's. */
static void put_sum_right(char *record, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325;
    for (size_t i = HEAD_SIZE; i < size; i++)
        sum = (sum ^ (unsigned char)record[i]) * 0x100000001b3;
    memcpy(record + HEAD_SIZE - sizeof sum, &sum, sizeof sum);
}

/* Each: which record, where in it, how many bytes, the bytes. */
static void change(const struct life *life, char *ring, const uint8_t *data, size_t size)
{
    while (size >= 5) {
        size_t which = ((size_t)data[0] | (size_t)data[1] << 8) % life->count;
        size_t at = life->at[which], record = life->at[which + 1] - at;
        size_t from = ((size_t)data[2] | (size_t)data[3] << 8) % record, count = data[4] % 8 + 1;
        data += 5;
        size -= 5;
        count = count < size ? count : size;
        count = count < record - from ? count : record - from;
        memcpy(ring + at + from, data, count);
        put_sum_right(ring + at, record);
        data += count;
        size -= count;
    }
}

static void ignore(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct life *lives[2];
    char error[LG_SIM_REPLAY_ERROR_SIZE];
    bool same;
    if (!lives[0]) {
        lives[0] = make_life(LG_SAFE_ON);
        lives[1] = make_life(LG_SAFE_OFF);
    }
    const struct life *life = lives[size ? data[0] & 1 : 0];
    char *ring = malloc(life->len);
    must(ring != NULL);
    memcpy(ring, life->ring, life->len);
    if (size)
        change(life, ring, data + 1, size - 1);
    const struct lg_sim_replay_file file = {"ring", lg_slice_from(ring, life->len)};
    int err = lg_sim_replay(&file, 1, false, ignore, NULL, &same, error);
    if (size <= 1 && (err || !same))
        abort();
    free(ring);
    return 0;
}
