/* Events and states as bytes, and back. Pure; depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/record.h"
#include "legion/internal.h"

#include <stdlib.h>

#define MARK_SIZE 8
static const char state_mark[MARK_SIZE + 1] = "\xf1LGSTATE",
                                         step_mark[MARK_SIZE + 1] = "\xf1LG STEP";

struct frame {
    char mark[MARK_SIZE];
    uint32_t format, size; /* of what follows */
    uint64_t check;
};

/* Which program wrote it: what its structs look like. */
struct build {
    uint32_t order, core, member, phase, grave, note;
};
static const struct build this_build = {0x01020304, sizeof(struct lg_legion),
    sizeof(struct lg_legion_member), sizeof(struct lg_legion_phase), sizeof(struct lg_roster_grave),
    sizeof(struct lg_legion_note)};

enum {
    FLAG_HOOK_FAILED = 1,
    FLAG_AUTHENTIC = 2,
    FLAG_COUNTED = 4,
    FLAG_ON = 8,
    FLAG_MEMORY = 16,
    FLAG_SETUP = 32,
    FLAG_MESSAGE = 64,
};

struct step {
    uint32_t kind, flags;
    int64_t now_ms, wall_ms, hold_ms;
    uint64_t digest;
};

/* FNV-1a: against accidents, not against forgers. */
#define HASH_START 0xcbf29ce484222325

static uint64_t hash(uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * 0x100000001b3;
    return sum;
}

static uint64_t hash_number(uint64_t sum, uint64_t number)
{
    return hash(sum, &number, sizeof number);
}

static uint64_t hash_text(uint64_t sum, const char *text)
{
    return hash(sum, text, strlen(text) + 1);
}

/* ---- Digest ------------------------------------------------------------------------ */

static uint64_t hash_note(uint64_t sum, const struct lg_legion_note *note)
{
    const uint64_t numbers[] = {note->kind, note->phase, note->who.valor, note->votes, note->quorum,
        note->checksum, note->vote_valor, (uint64_t)note->last_seen_s, (uint64_t)note->number};
    sum = hash(sum, numbers, sizeof numbers);
    sum = hash_text(sum, note->who.uuid);
    return hash_text(sum, note->vote_uuid);
}

static uint64_t hash_state(uint64_t sum, const struct lg_legion_state *state)
{
    const uint64_t numbers[] = {state->role, state->checksum, state->votes, state->quorate,
        state->epoch, (uint64_t)state->title_s, (uint64_t)state->title_until_ms,
        (uint64_t)state->suspended_until_ms, state->lord_epoch, state->mode, state->reason,
        (uint64_t)state->waiting_until_ms, state->reach, state->stand, state->promised_epoch,
        (uint64_t)state->promised_until_ms};
    sum = hash(sum, numbers, sizeof numbers);
    sum = hash_text(sum, state->vote.uuid);
    sum = hash_text(sum, state->lord.uuid);
    return hash_text(sum, state->promised_uuid);
}

static uint64_t hash_message(uint64_t sum, const struct lg_legion_message *message)
{
    const struct lg_legion_ballot *ballot = &message->ballot;
    const uint64_t numbers[] = {message->valor, (uint64_t)message->unix_s,
        (uint64_t)message->lord_s, message->checksum, message->lord_valor, message->dead,
        ballot->stamp_us, (uint64_t)ballot->promise_ms, ballot->quorum, ballot->stand,
        ballot->reach, ballot->title, ballot->released_us, ballot->voted, ballot->vote_epoch,
        ballot->vote_echo_us, (uint64_t)ballot->vote_promise_ms};
    sum = hash(sum, numbers, sizeof numbers);
    sum = hash(sum, message->lord_uuid.ptr, message->lord_uuid.len);
    sum = hash(sum, ballot->vote_uuid.ptr, ballot->vote_uuid.len);
    return hash(sum, ballot->echoes.ptr, ballot->echoes.len);
}

uint64_t lg_record_digest(const struct lg_legion *legion, const struct lg_legion_update *update)
{
    const uint64_t numbers[] = {update->note_count, update->notes_lost, update->refusal,
        update->kill_hooks, update->run_hooks, update->run_hooks ? update->phase.kind : 0,
        update->run_hooks ? update->phase.epoch : 0,
        update->run_member_hooks ? update->member_phase.kind : 0, update->persist, update->announce,
        update->answer, update->finished, (uint64_t)update->deadline_ms};
    uint64_t sum = hash(HASH_START, numbers, sizeof numbers);
    for (size_t i = 0; i < update->note_count; i++)
        sum = hash_note(sum, &update->notes[i]);
    if (update->persist) {
        sum = hash_number(sum, update->memory.epoch);
        sum = hash_number(sum, (uint64_t)update->memory.until_ms);
        sum = hash_text(sum, update->memory.candidate);
    }
    if (update->run_member_hooks)
        sum = hash_text(sum, update->member_phase.who.uuid);
    if (update->answer)
        sum = hash_text(sum, update->answer_to.uuid);
    if (update->announce || update->answer)
        sum = hash_message(sum, &update->message);
    return hash_state(sum, &legion->state);
}

/* ---- Writing ------------------------------------------------------------------------- */

struct writer {
    char *out;
    size_t size, len;
    bool full;
};

static void put(struct writer *w, const void *bytes, size_t size)
{
    if (w->full || size > w->size - w->len) {
        w->full = true;
        return;
    }
    if (size)
        memcpy(w->out + w->len, bytes, size);
    w->len += size;
}

static size_t close_frame(struct writer *w, const char *mark)
{
    struct frame frame = {.format = LG_RECORD_FORMAT};
    if (w->full)
        return 0;
    memcpy(frame.mark, mark, MARK_SIZE);
    frame.size = (uint32_t)(w->len - sizeof frame);
    frame.check = hash(HASH_START, w->out + sizeof frame, frame.size);
    memcpy(w->out, &frame, sizeof frame);
    return w->len;
}

static struct writer open_frame(char *out, size_t size)
{
    struct writer w = {.out = out, .size = size, .len = sizeof(struct frame)};
    w.full = size < w.len;
    return w;
}

size_t lg_record_state_size(const struct lg_legion *legion)
{
    const struct lg_roster *roster = &legion->roster;
    return sizeof(struct frame) + sizeof(struct build) + sizeof *legion +
           roster->max * (sizeof *roster->members + sizeof *roster->graves) +
           legion->phases.waiting_max * sizeof *legion->phases.waiting;
}

/* Pointers say nothing, and scrolls may be private. */
static void put_core(struct writer *w, const struct lg_legion *legion)
{
    size_t at = w->len;
    put(w, legion, sizeof *legion);
    if (w->full)
        return;
    char *core = w->out + at;
    static const struct {
        size_t at, size;
    } blank[] = {
        {offsetof(struct lg_legion, scroll), sizeof legion->scroll},
        {offsetof(struct lg_legion, roster.members), sizeof(void *)},
        {offsetof(struct lg_legion, roster.ids), sizeof(void *)},
        {offsetof(struct lg_legion, roster.hints), sizeof(void *)},
        {offsetof(struct lg_legion, roster.graves), sizeof(void *)},
        {offsetof(struct lg_legion, phases.waiting), sizeof(void *)},
        {offsetof(struct lg_legion, ballot.ends), sizeof(void *)},
        {offsetof(struct lg_legion, ballot.echoes), sizeof(void *)},
    };
    for (size_t i = 0; i < sizeof blank / sizeof *blank; i++)
        memset(core + blank[i].at, 0, blank[i].size);
    struct lg_legion_setup setup = legion->setup;
    setup.scroll = setup.legion = setup.name = setup.uuid = (struct lg_slice){NULL, 0};
    setup.legion.len = legion->setup.legion.len;
    setup.name.len = legion->setup.name.len;
    memcpy(core + offsetof(struct lg_legion, setup), &setup, sizeof setup);
}

size_t lg_record_state(const struct lg_legion *legion, char *out, size_t size)
{
    const struct lg_roster *roster = &legion->roster;
    const struct lg_phases *phases = &legion->phases;
    struct writer w = open_frame(out, size);
    put(&w, &this_build, sizeof this_build);
    put_core(&w, legion);
    put(&w, roster->members, roster->count * sizeof *roster->members);
    put(&w, roster->graves, roster->grave_max * sizeof *roster->graves);
    for (size_t i = 0; i < phases->waiting_count; i++)
        put(&w, &phases->waiting[(phases->waiting_first + i) % phases->waiting_max],
            sizeof *phases->waiting);
    return close_frame(&w, state_mark);
}

/* What the election looks at, in as few bytes: of the echoes ours, no scroll, no
 * extensions. */
static void put_message(
    struct writer *w, const struct lg_legion *legion, const struct lg_legion_message *message)
{
    struct lg_legion_message own = *message;
    char echo[LG_LEGION_ECHO_SIZE];
    size_t len = 0;
    uint32_t place = 0;
    own.scroll = own.extra = (struct lg_slice){NULL, 0};
    if (own.ballot.echoes.ptr) {
        uint64_t stamp_us = lg_legion_echo_find(own.ballot.echoes, legion->self_id, &place);
        if (stamp_us && lg_legion_echo_put(echo, sizeof echo, &len, legion->self_id, stamp_us))
            w->full = true;
        own.ballot.echoes = lg_slice_from(echo, len);
    }
    /* Another legion's: whichever, it was refused. */
    if (own.legion.len > LG_LEGION_NAME_MAX)
        own.legion =
            lg_slice_eq(legion->setup.legion, LG_SLICE("-")) ? LG_SLICE("?") : LG_SLICE("-");
    if (w->full || lg_legion_encode(&own, w->out + w->len, w->size - w->len, &len))
        w->full = true;
    else
        w->len += len;
}

size_t lg_record_step(const struct lg_legion *legion, const struct lg_legion_event *event,
    const struct lg_legion_update *update, char *out, size_t size)
{
    struct step step = {.kind = event->kind,
        .now_ms = event->now_ms,
        .wall_ms = event->wall_ms,
        .hold_ms = event->hold_ms,
        .digest = lg_record_digest(legion, update)};
    step.flags = (event->hook_failed ? FLAG_HOOK_FAILED : 0) |
                 (event->authentic ? FLAG_AUTHENTIC : 0) | (event->counted ? FLAG_COUNTED : 0) |
                 (event->on ? FLAG_ON : 0) | (event->memory ? FLAG_MEMORY : 0) |
                 (event->setup ? FLAG_SETUP : 0) | (event->message ? FLAG_MESSAGE : 0);
    struct writer w = open_frame(out, size);
    put(&w, &step, sizeof step);
    if (event->memory)
        put(&w, event->memory, sizeof *event->memory);
    if (event->setup) {
        struct lg_legion_setup setup = *event->setup;
        setup.legion = setup.name = setup.uuid = setup.scroll = (struct lg_slice){NULL, 0};
        put(&w, &setup, sizeof setup);
    }
    if (event->message)
        put_message(&w, legion, event->message);
    return close_frame(&w, step_mark);
}

/* ---- Reading --------------------------------------------------------------------------- */

static bool take(struct lg_slice *rest, void *out, size_t size)
{
    if (rest->len < size)
        return false;
    memcpy(out, rest->ptr, size);
    *rest = lg_slice_from(rest->ptr + size, rest->len - size);
    return true;
}

/* NULL mark = not a whole record. States of other formats are whole enough. */
static const char *open_record(
    struct lg_slice bytes, struct frame *frame, struct lg_slice *ret_body)
{
    if (!take(&bytes, frame, sizeof *frame) || frame->size > bytes.len)
        return NULL;
    *ret_body = lg_slice_from(bytes.ptr, frame->size);
    if (hash(HASH_START, bytes.ptr, frame->size) != frame->check)
        return NULL;
    return memcmp(frame->mark, state_mark, MARK_SIZE) == 0  ? state_mark
           : memcmp(frame->mark, step_mark, MARK_SIZE) == 0 ? step_mark
                                                            : NULL;
}

/* ---- What can be believed ----------------------------------------------------------------
 *
 * The sum at the front guards against accidents; a file that somebody has made up gets
 * no further than here with what the core could not have written: a text without an
 * end, a truth that is neither, a time whose sum with another is none. */

#define TIME_MAX    ((int64_t)1 << 53)
#define PROMISE_MAX ((int64_t)1 << 40) /* millionths of it are counted */

enum field_kind {
    FIELD_BOOL,
    FIELD_TEXT,
    FIELD_PROMISE,
    FIELD_TIME,
    FIELD_TIME_OR_NEVER,
    FIELD_TIME_OR_NONE
};

struct field {
    enum field_kind kind;
    size_t at, size;
};

#define FIELD(kind, type, member)                                                                  \
    {                                                                                              \
        FIELD_##kind, offsetof(type, member), sizeof((type *)0)->member                            \
    }
#define WHO(type, member) FIELD(TEXT, type, member.uuid), FIELD(TEXT, type, member.name)

static const struct field setup_fields[] = {
    FIELD(BOOL, struct lg_legion_setup, nopreempt),
    FIELD(TIME, struct lg_legion_setup, freq_ms),
    FIELD(TIME, struct lg_legion_setup, tolerance_ms),
    FIELD(TIME, struct lg_legion_setup, skew_tolerance_s),
    FIELD(TIME, struct lg_legion_setup, death_on_lord_error_ms),
    FIELD(TIME, struct lg_legion_setup, start_wait_ms),
    FIELD(TIME, struct lg_legion_setup, unlord_grace_ms),
    FIELD(TIME, struct lg_legion_setup, preempt_delay_ms),
};

static const struct field memory_fields[] = {
    FIELD(PROMISE, struct lg_legion_memory, promise_ms),
    FIELD(TIME_OR_NEVER, struct lg_legion_memory, until_ms),
    FIELD(TEXT, struct lg_legion_memory, candidate),
};

static const struct field core_fields[] = {
    WHO(struct lg_legion, self),
    FIELD(TEXT, struct lg_legion, legion),
    FIELD(BOOL, struct lg_legion, state.quorate),
    FIELD(TIME, struct lg_legion, state.title_s),
    FIELD(TIME, struct lg_legion, state.title_grace_ms),
    FIELD(TIME_OR_NEVER, struct lg_legion, state.title_until_ms),
    FIELD(TIME_OR_NEVER, struct lg_legion, state.suspended_until_ms),
    WHO(struct lg_legion, state.vote),
    WHO(struct lg_legion, state.lord),
    FIELD(TIME, struct lg_legion, state.held_until_ms),
    FIELD(TIME, struct lg_legion, state.waiting_until_ms),
    FIELD(TEXT, struct lg_legion, state.promised_uuid),
    FIELD(TIME, struct lg_legion, state.promised_until_ms),
    FIELD(TIME_OR_NEVER, struct lg_legion, roster.expiry_ms),
    FIELD(BOOL, struct lg_legion, phases.killing),
    FIELD(TEXT, struct lg_legion, ballot.promise.uuid),
    FIELD(BOOL, struct lg_legion, ballot.promise.own),
    FIELD(PROMISE, struct lg_legion, ballot.promise.length_ms),
    FIELD(TIME, struct lg_legion, ballot.promise.until_ms),
    FIELD(TEXT, struct lg_legion, ballot.voted_for),
    FIELD(PROMISE, struct lg_legion, ballot.stored.promise_ms),
    FIELD(TIME_OR_NEVER, struct lg_legion, ballot.stored.until_ms),
    FIELD(TEXT, struct lg_legion, ballot.stored.candidate),
    FIELD(TIME, struct lg_legion, ballot.wait_until_ms),
    FIELD(TEXT, struct lg_legion, ballot.waits_for),
    FIELD(TIME_OR_NONE, struct lg_legion, ballot.lease_ms),
    FIELD(TIME, struct lg_legion, ballot.grace_ms),
    FIELD(TIME, struct lg_legion, ballot.title_grace_ms),
    FIELD(TIME_OR_NEVER, struct lg_legion, ballot.able_since_ms),
    FIELD(TIME, struct lg_legion, ballot.unlord_until_ms),
    FIELD(TIME, struct lg_legion, ballot.unlord_retry_ms),
    FIELD(TIME, struct lg_legion, ballot.lordless_ms),
    FIELD(BOOL, struct lg_legion, ballot.released),
    FIELD(BOOL, struct lg_legion, ballot.stirred),
    FIELD(BOOL, struct lg_legion, ballot.freed),
    FIELD(BOOL, struct lg_legion, ballot.lapsed),
    FIELD(TEXT, struct lg_legion, ballot.lord_spoke),
    FIELD(TIME, struct lg_legion, now_ms),
    FIELD(TIME, struct lg_legion, wall_ms),
    FIELD(TIME, struct lg_legion, start_ms),
    FIELD(TIME, struct lg_legion, round_base_ms),
    FIELD(TIME, struct lg_legion, next_announce_ms),
    FIELD(TIME, struct lg_legion, quorate_ms),
    FIELD(TIME, struct lg_legion, no_quorum_said_ms),
    FIELD(TIME, struct lg_legion, awaiting_until_ms),
    FIELD(TIME, struct lg_legion, hold_until_ms),
    FIELD(BOOL, struct lg_legion, heard),
    FIELD(BOOL, struct lg_legion, joined),
    FIELD(BOOL, struct lg_legion, stopping),
    FIELD(BOOL, struct lg_legion, maintenance),
    FIELD(BOOL, struct lg_legion, unwell),
    FIELD(BOOL, struct lg_legion, aside),
    FIELD(BOOL, struct lg_legion, received),
    FIELD(BOOL, struct lg_legion, tick),
    FIELD(BOOL, struct lg_legion, announce_now),
    FIELD(BOOL, struct lg_legion, announce_dead),
    FIELD(BOOL, struct lg_legion, reported),
    WHO(struct lg_legion, reported_vote),
};

static const struct field member_fields[] = {
    WHO(struct lg_legion_member, who),
    FIELD(TEXT, struct lg_legion_member, vote_uuid),
    FIELD(TIME, struct lg_legion_member, seen_ms),
    FIELD(TIME, struct lg_legion_member, seen_s),
    FIELD(BOOL, struct lg_legion_member, safe),
    FIELD(PROMISE, struct lg_legion_member, promise_ms),
    FIELD(PROMISE, struct lg_legion_member, vote_promise_ms),
    FIELD(TIME_OR_NONE, struct lg_legion_member, answered_ms),
};

static const struct field phase_fields[] = {
    WHO(struct lg_legion_phase, who),
    WHO(struct lg_legion_phase, lord),
};

static bool field_ok(const struct field *field, const char *at)
{
    int64_t time;
    if (field->kind == FIELD_BOOL)
        return (unsigned char)*at <= 1;
    if (field->kind == FIELD_TEXT)
        return memchr(at, '\0', field->size) != NULL;
    memcpy(&time, at, sizeof time);
    if (field->kind == FIELD_PROMISE)
        return time >= 0 && time <= PROMISE_MAX;
    if (field->kind == FIELD_TIME_OR_NEVER && (time == INT64_MAX || time == INT64_MAX / 2))
        return true;
    if (field->kind == FIELD_TIME_OR_NONE && time == INT64_MIN)
        return true;
    return time >= -TIME_MAX && time <= TIME_MAX;
}

static bool fields_ok(const struct field *fields, size_t count, const void *of)
{
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++)
        ok = field_ok(&fields[i], (const char *)of + fields[i].at);
    return ok;
}

#define ALL(fields) fields, sizeof(fields) / sizeof *(fields)

static bool setup_ok(const struct lg_legion_setup *setup)
{
    return fields_ok(ALL(setup_fields), setup) && setup->safe <= LG_SAFE_ON;
}

static bool times_ok(const struct step *step)
{
    return step->now_ms >= 0 && step->now_ms <= TIME_MAX && step->wall_ms >= -TIME_MAX &&
           step->wall_ms <= TIME_MAX && step->hold_ms >= 0 && step->hold_ms <= TIME_MAX;
}

static bool core_ok(const struct lg_legion *core)
{
    const struct lg_roster *roster = &core->roster;
    const struct lg_phases *phases = &core->phases;
    return fields_ok(ALL(core_fields), core) && setup_ok(&core->setup) && roster->max > 0 &&
           roster->max <= UINT16_MAX && roster->count <= roster->max &&
           roster->grave_max == roster->max && roster->grave_next < roster->max &&
           phases->waiting_max == 2 * roster->max && phases->waiting_count <= phases->waiting_max &&
           phases->running < LG_PHASE_COUNT && phases->member_running < LG_PHASE_COUNT &&
           core->state.role < LG_ROLE_COUNT && core->state.mode <= LG_MODE_SAFE &&
           core->state.reason < LG_REASON_COUNT && core->setup.legion.len <= LG_LEGION_NAME_MAX &&
           core->setup.name.len <= LG_LEGION_NAME_MAX;
}

static bool tables_ok(const struct lg_roster *roster, const struct lg_phases *phases)
{
    bool ok = true;
    for (size_t i = 0; i < roster->count && ok; i++)
        ok = fields_ok(ALL(member_fields), &roster->members[i]);
    for (size_t i = 0; i < phases->waiting_count && ok; i++)
        ok = fields_ok(ALL(phase_fields), &phases->waiting[i]) &&
             phases->waiting[i].kind < LG_PHASE_COUNT;
    return ok;
}

/* ---- Steps and states ----------------------------------------------------------------------- */

static bool read_step(struct lg_slice body, struct lg_record *record)
{
    struct step step;
    if (!take(&body, &step, sizeof step) || step.kind >= LG_EVENT_COUNT || !times_ok(&step))
        return false;
    record->digest = step.digest;
    record->event = (struct lg_legion_event){
        .kind = (enum lg_legion_event_kind)step.kind,
        .now_ms = step.now_ms,
        .wall_ms = step.wall_ms,
        .hold_ms = step.hold_ms,
        .hook_failed = (step.flags & FLAG_HOOK_FAILED) != 0,
        .authentic = (step.flags & FLAG_AUTHENTIC) != 0,
        .counted = (step.flags & FLAG_COUNTED) != 0,
        .on = (step.flags & FLAG_ON) != 0,
    };
    if (step.flags & FLAG_MEMORY && !(take(&body, &record->memory, sizeof record->memory) &&
                                        fields_ok(ALL(memory_fields), &record->memory)))
        return false;
    if (step.flags & FLAG_SETUP &&
        !(take(&body, &record->setup, sizeof record->setup) && setup_ok(&record->setup)))
        return false;
    if (step.flags & FLAG_MESSAGE && lg_legion_decode(body, &record->message))
        return false;
    record->event.memory = step.flags & FLAG_MEMORY ? &record->memory : NULL;
    record->event.setup = step.flags & FLAG_SETUP ? &record->setup : NULL;
    record->event.message = step.flags & FLAG_MESSAGE ? &record->message : NULL;
    return true;
}

/* Up to the next state. */
static void pass_torn(struct lg_slice *rest, struct lg_record *record)
{
    const char *next =
        rest->len > 1 ? memmem(rest->ptr + 1, rest->len - 1, state_mark, MARK_SIZE) : NULL;
    size_t lost = next ? (size_t)(next - rest->ptr) : rest->len;
    record->kind = LG_RECORD_TORN;
    record->lost = lost;
    *rest = lg_slice_from(rest->ptr + lost, rest->len - lost);
}

bool lg_record_is(struct lg_slice bytes)
{
    return bytes.len >= MARK_SIZE && memcmp(bytes.ptr, state_mark, MARK_SIZE) == 0;
}

void lg_record_next(struct lg_slice *rest, struct lg_record *ret_record)
{
    struct frame frame;
    struct lg_slice body;
    *ret_record = (struct lg_record){.kind = LG_RECORD_END};
    if (rest->len == 0)
        return;
    const char *mark = open_record(*rest, &frame, &body);
    struct lg_slice whole = *rest;
    if (mark == state_mark) {
        ret_record->kind = LG_RECORD_STATE;
        ret_record->state = lg_slice_from(whole.ptr, sizeof frame + frame.size);
    } else if (mark == step_mark && frame.format == LG_RECORD_FORMAT &&
               read_step(body, ret_record)) {
        ret_record->kind = LG_RECORD_STEP;
    } else {
        pass_torn(rest, ret_record);
        return;
    }
    size_t size = sizeof frame + frame.size;
    *rest = lg_slice_from(whole.ptr + size, whole.len - size);
    return;
}

/* `core` over the fresh `legion`, whose tables stay. */
static bool fill(struct lg_legion *legion, const struct lg_legion *core, struct lg_slice rest)
{
    struct lg_legion fresh = *legion;
    *legion = *core;
    legion->setup.legion = fresh.setup.legion;
    legion->setup.name = fresh.setup.name;
    legion->setup.uuid = fresh.setup.uuid;
    legion->setup.scroll = fresh.setup.scroll;
    legion->roster.members = fresh.roster.members;
    legion->roster.ids = fresh.roster.ids;
    legion->roster.hints = fresh.roster.hints;
    legion->roster.hint_count = fresh.roster.hint_count;
    legion->roster.graves = fresh.roster.graves;
    legion->phases.waiting = fresh.phases.waiting;
    legion->phases.waiting_first = 0;
    legion->ballot.ends = fresh.ballot.ends;
    legion->ballot.echoes = fresh.ballot.echoes;
    legion->ballot.echoes_size = fresh.ballot.echoes_size;
    struct lg_roster *roster = &legion->roster;
    struct lg_phases *phases = &legion->phases;
    if (!take(&rest, roster->members, roster->count * sizeof *roster->members) ||
        !take(&rest, roster->graves, roster->grave_max * sizeof *roster->graves) ||
        !take(&rest, phases->waiting, phases->waiting_count * sizeof *phases->waiting))
        return false;
    if (!tables_ok(roster, phases))
        return false;
    for (size_t i = 0; i < roster->count; i++)
        roster->ids[i] = roster->members[i].id;
    return rest.len == 0;
}

static int restore(struct lg_slice body, struct lg_legion **ret_legion)
{
    struct build build;
    if (!take(&body, &build, sizeof build) || memcmp(&build, &this_build, sizeof build) != 0)
        return -LG_E_PROTO;
    struct lg_legion *core = malloc(sizeof *core), *legion = NULL;
    int err = core ? -LG_E_PROTO : -LG_E_NOMEM;
    if (core && take(&body, core, sizeof *core) && core_ok(core)) {
        struct lg_legion_setup setup = core->setup;
        setup.legion = lg_slice_from(core->legion, core->setup.legion.len);
        setup.name = lg_slice_of(core->self.name);
        setup.uuid = lg_slice_of(core->self.uuid);
        setup.scroll = (struct lg_slice){NULL, 0};
        setup.members_max = (unsigned)core->roster.max;
        err = lg_legion_new(&setup, &legion);
    }
    if (!err && !fill(legion, core, body))
        err = -LG_E_PROTO;
    free(core);
    if (err)
        lg_legion_free(legion);
    else
        *ret_legion = legion;
    return err == -LG_E_INVALID ? -LG_E_PROTO : err;
}

int lg_record_restore(struct lg_slice state, struct lg_legion **ret_legion, uint32_t *ret_format)
{
    struct frame frame;
    struct lg_slice body;
    *ret_format = 0;
    if (open_record(state, &frame, &body) != state_mark)
        return -LG_E_PROTO;
    *ret_format = frame.format;
    return frame.format == LG_RECORD_FORMAT ? restore(body, ret_legion) : -LG_E_PROTO;
}

void lg_record_adopt(const struct lg_legion *legion, struct lg_record *record)
{
    record->setup.legion = legion->setup.legion;
    record->setup.name = legion->setup.name;
    record->setup.uuid = legion->setup.uuid;
    record->setup.scroll = (struct lg_slice){NULL, 0};
}

const struct lg_legion_setup *lg_record_setup(const struct lg_legion *legion)
{
    return &legion->setup;
}
