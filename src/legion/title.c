/* The table of roles: what a node becomes, and which hooks that takes. Pure;
 * depends on base only. Who is elected is decided in classical.c and safe.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/internal.h"

#define NO_QUORUM_AGAIN_MS 60000

static void say(
    struct lg_legion_update *update, enum lg_legion_note_kind kind, const struct lg_legion_who *who)
{
    struct lg_legion_note spare;
    struct lg_legion_note *note = lg_legion_note(update, kind, &spare);
    if (who)
        note->who = *who;
}

/* ---- Roles ---------------------------------------------------------------------- */

typedef void action(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update);

static void ignore(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)legion, (void)who, (void)update;
}

bool lg_title_held(const struct lg_legion *legion)
{
    return legion->state.role == LG_ROLE_RISING || legion->state.role == LG_ROLE_LORD;
}

static void rise(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)who;
    struct lg_legion_state *state = &legion->state;
    state->role = LG_ROLE_RISING;
    state->epoch = legion->wall_ms > 0 ? (uint64_t)legion->wall_ms : 1;
    if (state->mode != LG_MODE_CLASSICAL) {
        if (!legion->ballot.stand) /* elected by uWSGI's rules before we could stand by ours */
            lg_ballot_stand(legion);
        state->epoch = legion->ballot.stand;
    }
    legion->ballot.unlord_retry_ms = 0;
    lg_phases_forget(&legion->phases, LG_PHASE_UNLORD);
    /* What is still undone of a title that lapsed keeps our lord hooks waiting no longer. */
    if (legion->phases.running == LG_PHASE_UNLORD && lg_phases_kill(&legion->phases, LG_PHASE_NONE))
        update->kill_hooks = true;
    state->title_s = legion->wall_ms / 1000 > 0 ? legion->wall_ms / 1000 : 1;
    /* The votes that made the first lease may be an interval old: new ones at once. */
    legion->announce_now = state->mode == LG_MODE_SAFE;
    state->lord = legion->self;
    say(update, LG_NOTE_ATTEMPTING, NULL);
    lg_phases_want(&legion->phases, LG_PHASE_LORD);
}

static void crown(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)who;
    legion->state.role = LG_ROLE_LORD;
    say(update, LG_NOTE_LORD, NULL);
}

static void end(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)who;
    legion->stopping = true;
    legion->state.role = LG_ROLE_ENDING;
    lg_phases_forget_all(&legion->phases);
    lg_phases_want(&legion->phases, LG_PHASE_DEATH);
    if (lg_phases_kill(&legion->phases, LG_PHASE_DEATH))
        update->kill_hooks = true;
}

static void give_up(struct lg_legion *legion)
{
    struct lg_legion_state *state = &legion->state;
    state->role = LG_ROLE_FOLLOWER;
    state->epoch = 0;
    state->title_s = 0;
    state->title_until_ms = 0;
    legion->ballot.stand = 0;
    legion->ballot.unlord_retry_ms = 0;
}

/* The title is free for others: they are told at once. */
static void release(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    bool classical = legion->state.mode == LG_MODE_CLASSICAL;
    give_up(legion);
    if (!classical)
        lg_ballot_release(legion);
    say(update, LG_NOTE_UNLORDED, NULL);
    legion->announce_now = !classical || !legion->stopping;
    if (legion->stopping) {
        end(legion, who, update);
        return;
    }
    legion->announce_dead = classical && lg_legion_suspended(legion);
}

/* The lease is over and the unlord hooks are not: nobody is told, everybody is
 * free anyhow. The hooks are tried again. */
static void lapsed(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    give_up(legion);
    if (legion->ballot.promise.own)
        legion->ballot.promise = (struct lg_promise){0};
    legion->ballot.unlord_retry_ms = legion->now_ms + legion->setup.tolerance_ms;
    say(update, LG_NOTE_LAPSED, NULL);
    if (legion->stopping)
        end(legion, who, update);
}

static void unlord_failed(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    if (legion->state.mode != LG_MODE_SAFE)
        release(legion, who, update);
    else if (legion->now_ms >= legion->ballot.unlord_until_ms)
        lapsed(legion, who, update);
    else
        legion->ballot.unlord_retry_ms = legion->now_ms + legion->setup.freq_ms;
}

/* Of a title that lapsed: again, until it succeeds or another title begins. */
static void unlord_failed_later(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)who, (void)update;
    if (legion->state.mode == LG_MODE_SAFE)
        legion->ballot.unlord_retry_ms = legion->now_ms + legion->setup.tolerance_ms;
}

static void fall(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    int64_t least_ms = legion->now_ms + legion->ballot.title_grace_ms;
    legion->state.role = LG_ROLE_FALLING;
    legion->ballot.unlord_until_ms = legion->state.title_until_ms;
    if (legion->ballot.unlord_until_ms < least_ms) /* we slept: others are free already */
        legion->ballot.unlord_until_ms = least_ms;
    if (lg_phases_wants(&legion->phases, LG_PHASE_LORD)) {
        /* No lord hook has begun: there is nothing to undo. */
        lg_phases_forget(&legion->phases, LG_PHASE_LORD);
        release(legion, who, update);
        return;
    }
    lg_phases_want(&legion->phases, LG_PHASE_UNLORD);
    if (lg_phases_kill(&legion->phases, LG_PHASE_UNLORD))
        update->kill_hooks = true;
}

/* A title that lapsed is undone at last. */
static void undone(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)legion, (void)who;
    say(update, LG_NOTE_UNLORDED, NULL);
}

static void outvoted(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    legion->state.lord = *who;
    say(update, LG_NOTE_NEW_LORD, who);
    fall(legion, who, update);
}

static void lost(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    say(update, LG_NOTE_CANNOT, NULL);
    fall(legion, who, update);
}

static void stop_lord(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    legion->stopping = true;
    fall(legion, who, update);
}

static void stop_later(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)who, (void)update;
    legion->stopping = true;
}

/* A Lord whose hook failed stays, as in uWSGI, unless told otherwise. */
static void lord_failed(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    if (legion->setup.death_on_lord_error_ms <= 0) {
        crown(legion, who, update);
        return;
    }
    struct lg_legion_note spare;
    lg_legion_note(update, LG_NOTE_SUSPENDED, &spare)->number =
        legion->setup.death_on_lord_error_ms;
    legion->state.suspended_until_ms = legion->now_ms + legion->setup.death_on_lord_error_ms;
    fall(legion, who, update);
}

static void ended(
    struct lg_legion *legion, const struct lg_legion_who *who, struct lg_legion_update *update)
{
    (void)who;
    legion->state.role = LG_ROLE_ENDED;
    legion->announce_now = true;
    legion->announce_dead = true;
    update->finished = true;
    update->persist = legion->state.mode != LG_MODE_CLASSICAL;
    update->memory = lg_ballot_memory(legion, true);
}

/* Every role has an answer to everything. */
static action *const table[LG_ROLE_COUNT][LG_SIGNAL_COUNT] = {
    /* WIN, OUTVOTED, LOST, QUIT; LORD_OK, LORD_FAILED; UNLORD_OVER, UNLORD_FAILED, LAPSED;
       DEATH_OVER, STOP */
    [LG_ROLE_IDLE] = {ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore,
        ignore, ignore},
    [LG_ROLE_FOLLOWER] = {rise, ignore, ignore, ignore, ignore, ignore, undone, unlord_failed_later,
        ignore, ignore, end},
    [LG_ROLE_RISING] = {ignore, outvoted, lost, fall, crown, lord_failed, ignore, ignore, ignore,
        ignore, stop_lord},
    [LG_ROLE_LORD] = {ignore, outvoted, lost, fall, ignore, ignore, ignore, ignore, ignore, ignore,
        stop_lord},
    [LG_ROLE_FALLING] = {ignore, ignore, ignore, ignore, ignore, ignore, release, unlord_failed,
        lapsed, ignore, stop_later},
    [LG_ROLE_ENDING] = {ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore,
        ended, ignore},
    [LG_ROLE_ENDED] = {ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore,
        ignore, ignore},
};

void lg_title_signal(struct lg_legion *legion, enum lg_title_signal signal,
    const struct lg_legion_who *who, struct lg_legion_update *update)
{
    table[legion->state.role][signal](legion, who, update);
}

/* ---- Phases ------------------------------------------------------------------------ */

static void phase_ended(struct lg_legion *legion, enum lg_legion_phase_kind kind, bool failed,
    struct lg_legion_update *update)
{
    switch (kind) {
    case LG_PHASE_LORD:
        lg_title_signal(legion, failed ? LG_SIGNAL_LORD_FAILED : LG_SIGNAL_LORD_OK, NULL, update);
        return;
    case LG_PHASE_UNLORD:
        lg_title_signal(
            legion, failed ? LG_SIGNAL_UNLORD_FAILED : LG_SIGNAL_UNLORD_OVER, NULL, update);
        return;
    case LG_PHASE_DEATH:
        lg_title_signal(legion, LG_SIGNAL_DEATH_OVER, NULL, update);
        return;
    default:
        return;
    }
}

void lg_title_phase_over(struct lg_legion *legion, bool failed, struct lg_legion_update *update)
{
    enum lg_legion_phase_kind kind = legion->phases.running;
    bool killed = legion->phases.killing;
    legion->phases.running = LG_PHASE_NONE;
    legion->phases.killing = false;
    if (failed && !killed) {
        struct lg_legion_note spare;
        lg_legion_note(update, LG_NOTE_PHASE_FAILED, &spare)->phase = kind;
    }
    phase_ended(legion, kind, failed, update);
}

void lg_title_member_phase_over(
    struct lg_legion *legion, bool failed, struct lg_legion_update *update)
{
    struct lg_legion_note spare;
    if (failed)
        lg_legion_note(update, LG_NOTE_PHASE_FAILED, &spare)->phase = legion->phases.member_running;
    legion->phases.member_running = LG_PHASE_NONE;
}

/* What is pushed has hooks to run. */
static void pump_members(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_phase phase;
    if (legion->phases.member_running != LG_PHASE_NONE ||
        !lg_phases_next_member(&legion->phases, &phase))
        return;
    phase.lord = legion->state.lord;
    phase.epoch = legion->state.epoch;
    legion->phases.member_running = phase.kind;
    update->run_member_hooks = true;
    update->member_phase = phase;
}

void lg_title_pump(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_phase phase;
    while (legion->phases.running == LG_PHASE_NONE && lg_phases_next(&legion->phases, &phase)) {
        if (!(legion->setup.phases & 1U << phase.kind)) {
            phase_ended(legion, phase.kind, false, update);
            continue;
        }
        phase.lord = legion->state.lord;
        phase.epoch = legion->state.epoch;
        legion->phases.running = phase.kind;
        update->run_hooks = true;
        update->phase = phase;
    }
    pump_members(legion, update);
}

/* ---- What is said of quorums ----------------------------------------------------------- */

static bool same_who(const struct lg_legion_who *a, const struct lg_legion_who *b)
{
    return a->valor == b->valor && strcmp(a->uuid, b->uuid) == 0;
}

/* uWSGI prints the report whenever what was agreed upon is new. */
void lg_title_report_quorum(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    if (legion->reported && legion->reported_checksum == state->checksum &&
        same_who(&legion->reported_vote, &state->vote))
        return;
    legion->reported = true;
    legion->reported_checksum = state->checksum;
    legion->reported_vote = state->vote;

    struct lg_legion_note spare;
    struct lg_legion_note *note = lg_legion_note(update, LG_NOTE_QUORUM, &spare);
    note->who = state->vote;
    note->checksum = state->checksum;
    note->votes = state->votes;
    for (size_t i = 0; i < legion->roster.count; i++) {
        const struct lg_legion_member *member = &legion->roster.members[i];
        note = lg_legion_note(update, LG_NOTE_QUORUM_NODE, &spare);
        note->who = member->who;
        note->last_seen_s = member->seen_s;
        note->vote_valor = member->vote_valor;
        memcpy(note->vote_uuid, member->vote_uuid, sizeof note->vote_uuid);
    }
    lg_legion_note(update, LG_NOTE_QUORUM_END, &spare);
}

void lg_title_say_no_quorum(
    struct lg_legion *legion, uint64_t votes, bool now, struct lg_legion_update *update)
{
    if (!now && legion->now_ms < legion->no_quorum_said_ms)
        return;
    struct lg_legion_note spare;
    struct lg_legion_note *note = lg_legion_note(update, LG_NOTE_NO_QUORUM, &spare);
    note->votes = votes;
    note->quorum = legion->setup.quorum;
    legion->no_quorum_said_ms = legion->now_ms + NO_QUORUM_AGAIN_MS;
}
