/* The election's outside: events, time, announcements. Pure; depends on base
 * only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/legion.h"
#include "legion/internal.h"

#include <stdlib.h>

struct lg_legion_note *lg_legion_note(
    struct lg_legion_update *update, enum lg_legion_note_kind kind, struct lg_legion_note *spare)
{
    struct lg_legion_note *note = spare;
    if (update->note_count < update->note_max)
        note = &update->notes[update->note_count++];
    else
        update->notes_lost++;
    *note = (struct lg_legion_note){.kind = kind};
    return note;
}

/* ---- Making one -------------------------------------------------------------------- */

static bool setup_ok(const struct lg_legion_setup *setup)
{
    return setup->legion.len > 0 && setup->legion.len <= LG_LEGION_NAME_MAX &&
           setup->name.len > 0 && setup->name.len <= LG_LEGION_NAME_MAX &&
           lg_legion_uuid_ok(setup->uuid) && setup->scroll.len <= LG_LEGION_SCROLL_MAX &&
           setup->freq_ms >= 1 && setup->tolerance_ms >= 1 && setup->skew_tolerance_s >= 0 &&
           setup->freq_ms <= INT32_MAX && setup->tolerance_ms <= INT32_MAX &&
           setup->start_wait_ms >= 0 && setup->start_wait_ms <= INT32_MAX &&
           setup->unlord_grace_ms >= 0 && setup->preempt_delay_ms >= 0 && setup->drift_ppm < 500000;
}

static struct lg_slice keep(char *buffer, struct lg_slice text)
{
    if (text.len)
        memcpy(buffer, text.ptr, text.len);
    return lg_slice_from(buffer, text.len);
}

/* Everything but who we are. */
static void take_setup(struct lg_legion *legion, const struct lg_legion_setup *setup)
{
    struct lg_legion_setup *own = &legion->setup;
    struct lg_slice name = own->legion, host = own->name, uuid = own->uuid;
    uint64_t pid = own->pid;
    *own = *setup;
    own->legion = name;
    own->name = host;
    own->uuid = uuid;
    own->pid = pid;
    own->scroll = keep(legion->scroll, setup->scroll);
    if (!own->start_wait_ms)
        own->start_wait_ms = LG_LEGION_START_WAIT_MS;
    if (!own->drift_ppm)
        own->drift_ppm = LG_LEGION_DRIFT_PPM;
    legion->self.valor = setup->valor;
}

static int make_tables(struct lg_legion *legion, size_t max)
{
    struct lg_roster *roster = &legion->roster;
    roster->max = max;
    roster->expiry_ms = INT64_MAX;
    roster->members = calloc(max, sizeof *roster->members);
    roster->ids = calloc(max, sizeof *roster->ids);
    roster->hint_count = 64;
    while (roster->hint_count < 4 * max)
        roster->hint_count *= 2;
    roster->hints = calloc(roster->hint_count, sizeof *roster->hints);
    roster->grave_max = max;
    roster->graves = calloc(max, sizeof *roster->graves);
    legion->phases.waiting_max = 2 * max;
    legion->phases.waiting = calloc(2 * max, sizeof *legion->phases.waiting);
    if (!roster->members || !roster->ids || !roster->hints || !roster->graves ||
        !legion->phases.waiting)
        return -LG_E_NOMEM;
    return lg_ballot_new(legion);
}

int lg_legion_new(const struct lg_legion_setup *setup, struct lg_legion **ret_legion)
{
    if (!setup_ok(setup))
        return -LG_E_INVALID;
    struct lg_legion *legion = calloc(1, sizeof *legion);
    if (!legion)
        return -LG_E_NOMEM;
    if (make_tables(legion, setup->members_max ? setup->members_max : LG_MEMBERS_MAX)) {
        lg_legion_free(legion);
        return -LG_E_NOMEM;
    }
    take_setup(legion, setup);
    legion->setup.legion = keep(legion->legion, setup->legion);
    legion->setup.name = keep(legion->self.name, setup->name);
    legion->setup.uuid = keep(legion->self.uuid, setup->uuid);
    legion->setup.pid = setup->pid;
    legion->self_id = lg_legion_id(legion->self.uuid);
    *ret_legion = legion;
    return 0;
}

void lg_legion_free(struct lg_legion *legion)
{
    if (!legion)
        return;
    lg_ballot_free(legion);
    free(legion->roster.members);
    free(legion->roster.ids);
    free(legion->roster.hints);
    free(legion->roster.graves);
    free(legion->phases.waiting);
    free(legion);
}

const struct lg_legion_state *lg_legion_state(const struct lg_legion *legion)
{
    return &legion->state;
}

const struct lg_legion_member *lg_legion_members(const struct lg_legion *legion, size_t *ret_count)
{
    *ret_count = legion->roster.count;
    return legion->roster.members;
}

/* ---- Time ------------------------------------------------------------------------------ */

/* As in uWSGI a first round without a packet is skipped: nobody crowns itself
 * before it could have heard of others. */
int64_t lg_legion_round_ms(const struct lg_legion *legion)
{
    return legion->round_base_ms + (legion->heard ? 1 : 2) * legion->setup.freq_ms;
}

/* Only once the title is given up in full does the suspension count. */
bool lg_legion_suspended(const struct lg_legion *legion)
{
    return legion->state.role == LG_ROLE_FOLLOWER &&
           legion->now_ms < legion->state.suspended_until_ms;
}

static void start_round(struct lg_legion *legion)
{
    legion->round_base_ms = legion->now_ms;
    legion->quorate_ms = legion->now_ms;
    legion->heard = false;
}

/* We step at least once per interval; a longer gap means that the process or
 * the machine stood still while others went on. What we believe is stale. */
static void check_pause(struct lg_legion *legion, int64_t now_ms, struct lg_legion_update *update)
{
    const struct lg_legion_setup *setup = &legion->setup;
    int64_t gap_ms = now_ms - legion->now_ms;
    int64_t most_ms =
        setup->tolerance_ms > 2 * setup->freq_ms ? setup->tolerance_ms : 2 * setup->freq_ms;
    legion->now_ms = now_ms;
    if (legion->state.role == LG_ROLE_IDLE || gap_ms <= most_ms)
        return;
    struct lg_legion_note spare;
    lg_legion_note(update, LG_NOTE_PAUSED, &spare)->number = gap_ms;
    start_round(legion);
    if (legion->state.mode != LG_MODE_SAFE) /* a lease knows by itself */
        lg_title_signal(legion, LG_SIGNAL_QUIT, NULL, update);
}

static void set_min(int64_t *value, int64_t other)
{
    if (other < *value)
        *value = other;
}

static int64_t classical_deadline_ms(const struct lg_legion *legion)
{
    int64_t at_ms = INT64_MAX;
    if (legion->now_ms < lg_legion_round_ms(legion))
        set_min(&at_ms, lg_legion_round_ms(legion));
    else if (!legion->state.quorate && legion->state.title_s)
        set_min(&at_ms, legion->quorate_ms + legion->setup.tolerance_ms);
    if (legion->awaiting_until_ms)
        set_min(&at_ms, legion->awaiting_until_ms);
    return at_ms;
}

static int64_t next_deadline_ms(const struct lg_legion *legion)
{
    if (legion->state.role == LG_ROLE_IDLE || legion->state.role == LG_ROLE_ENDED)
        return INT64_MAX;
    int64_t at_ms = legion->next_announce_ms;
    set_min(&at_ms, legion->roster.expiry_ms);
    if (legion->state.mode != LG_MODE_CLASSICAL)
        set_min(&at_ms, lg_safe_deadline_ms(legion));
    if (legion->state.mode != LG_MODE_SAFE)
        set_min(&at_ms, classical_deadline_ms(legion));
    if (legion->state.suspended_until_ms)
        set_min(&at_ms, legion->state.suspended_until_ms);
    /* What is overdue (a title being given up) has no timer of its own. */
    return at_ms > legion->now_ms ? at_ms : legion->next_announce_ms;
}

/* ---- Members -------------------------------------------------------------------------------- */

static void push_phase(struct lg_legion *legion, enum lg_legion_phase_kind kind,
    const struct lg_legion_who *who, struct lg_legion_update *update)
{
    if (legion->stopping || !(legion->setup.phases & 1U << kind))
        return;
    if (lg_phases_push(&legion->phases, kind, who))
        return;
    struct lg_legion_note spare;
    struct lg_legion_note *note = lg_legion_note(update, LG_NOTE_HOOKS_LOST, &spare);
    note->phase = kind;
    note->who = *who;
}

static void member_gone(struct lg_legion *legion, struct lg_legion_member *member,
    enum lg_legion_note_kind why, struct lg_legion_update *update)
{
    struct lg_legion_note spare;
    struct lg_legion_note *note = lg_legion_note(update, why, &spare);
    note->who = member->who;
    note->last_seen_s = member->seen_s;
    push_phase(legion, LG_PHASE_NODE_LEFT, &member->who, update);
    legion->ballot.stirred = true;
    legion->ballot.voters -= member->vote_epoch != 0;
    lg_roster_remove(&legion->roster, member);
}

static void expire_members(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_roster *roster = &legion->roster;
    if (legion->now_ms < roster->expiry_ms)
        return;
    for (size_t i = 0; i < roster->count;) {
        struct lg_legion_member *member = &roster->members[i];
        if (legion->now_ms >= lg_roster_member_expiry_ms(member, legion->setup.tolerance_ms))
            member_gone(legion, member, LG_NOTE_LEFT, update);
        else
            i++;
    }
    lg_roster_find_expiry(roster, legion->setup.tolerance_ms);
}

static enum lg_legion_refusal refusal_of(
    const struct lg_legion *legion, const struct lg_legion_event *event)
{
    const struct lg_legion_message *message = event->message;
    if (!lg_slice_eq(message->legion, legion->setup.legion))
        return LG_REFUSED_LEGION;
    if (lg_slice_eq(message->uuid, legion->setup.uuid))
        return LG_REFUSED_OWN;
    if (event->counted)
        return LG_REFUSED_NOT;
    int64_t wall_s = legion->wall_ms / 1000;
    int64_t skew_s = wall_s > message->unix_s ? wall_s - message->unix_s : message->unix_s - wall_s;
    return skew_s > legion->setup.skew_tolerance_s ? LG_REFUSED_SKEW : LG_REFUSED_NOT;
}

/* Of a member that has our keys only what has them counts, and nothing twice. */
static enum lg_legion_refusal refusal_of_member(const struct lg_legion *legion,
    const struct lg_legion_member *member, const struct lg_legion_message *message, bool safe)
{
    if (legion->setup.safe == LG_SAFE_OFF)
        return LG_REFUSED_NOT;
    if (!safe)
        return legion->setup.safe == LG_SAFE_ON || (member && member->safe) ? LG_REFUSED_UNSAFE
                                                                            : LG_REFUSED_NOT;
    uint64_t last_us = member
                           ? member->stamp_us
                           : lg_roster_buried_us(&legion->roster, lg_legion_id(message->uuid.ptr));
    return message->ballot.stamp_us <= last_us ? LG_REFUSED_STALE : LG_REFUSED_NOT;
}

static enum lg_legion_refusal take_death(struct lg_legion *legion, struct lg_legion_member *member,
    const struct lg_legion_message *message, bool safe, struct lg_legion_update *update)
{
    if (safe)
        lg_ballot_bury(legion, message->uuid.ptr);
    if (!member)
        return LG_REFUSED_NOT;
    if (message->unix_s < member->unix_s)
        return LG_REFUSED_STALE;
    if (safe)
        member->stamp_us = message->ballot.stamp_us;
    member_gone(legion, member, LG_NOTE_DIED, update);
    if (legion->state.mode != LG_MODE_SAFE)
        legion->announce_now = true; /* our new view: a successor need not wait for it */
    return LG_REFUSED_NOT;
}

static void joined(struct lg_legion *legion, const struct lg_legion_member *member,
    const struct lg_legion_message *message, bool safe, struct lg_legion_update *update)
{
    struct lg_legion_note spare;
    lg_legion_note(update, LG_NOTE_JOINED, &spare)->who = member->who;
    push_phase(legion, LG_PHASE_NODE_JOINED, &member->who, update);
    if (!safe || message->ballot.quorum == legion->setup.quorum)
        return;
    struct lg_legion_note *note = lg_legion_note(update, LG_NOTE_QUORUM_IS, &spare);
    note->who = member->who;
    note->quorum = message->ballot.quorum;
}

static enum lg_legion_refusal take_message(
    struct lg_legion *legion, const struct lg_legion_event *event, struct lg_legion_update *update)
{
    const struct lg_legion_message *message = event->message;
    bool safe = legion->setup.safe != LG_SAFE_OFF && event->authentic && message->ballot.stamp_us;
    enum lg_legion_refusal refusal = refusal_of(legion, event);
    if (refusal)
        return refusal;
    struct lg_legion_member *member = lg_roster_find(&legion->roster, message, safe);
    refusal = refusal_of_member(legion, member, message, safe);
    if (refusal)
        return refusal;
    if (message->dead)
        return take_death(legion, member, message, safe, update);
    bool new = !member;
    if (new)
        member = lg_roster_add(&legion->roster, message);
    if (!member)
        return LG_REFUSED_FULL;
    if (safe) {
        lg_roster_rename(&legion->roster, member, message);
        lg_ballot_take(legion, member, &message->ballot);
    }
    lg_roster_take(member, message, legion->now_ms, legion->wall_ms / 1000);
    set_min(
        &legion->roster.expiry_ms, lg_roster_member_expiry_ms(member, legion->setup.tolerance_ms));
    if (new)
        joined(legion, member, message, safe, update);
    legion->heard = true;
    return LG_REFUSED_NOT;
}

/* ---- Announcing ---------------------------------------------------------------------------- */

static void fill_message(struct lg_legion *legion, bool answer, struct lg_legion_update *update)
{
    const struct lg_legion_state *state = &legion->state;
    update->message = (struct lg_legion_message){
        .legion = legion->setup.legion,
        .valor = legion->setup.valor,
        .unix_s = legion->wall_ms / 1000,
        .lord_s = state->title_s,
        .name = legion->setup.name,
        .pid = legion->setup.pid,
        .uuid = legion->setup.uuid,
        .checksum = state->checksum,
        .lord_valor = state->vote.valor,
        .lord_uuid = lg_slice_of(state->vote.uuid),
        .scroll = legion->setup.scroll,
        .dead = legion->announce_dead,
    };
    if (state->mode != LG_MODE_CLASSICAL)
        lg_ballot_fill(legion, answer, &update->message.ballot);
}

/* The timer alone moves the next announcement. */
static void check_tick(struct lg_legion *legion)
{
    bool due = legion->now_ms >= legion->next_announce_ms;
    if (due) {
        legion->next_announce_ms += legion->setup.freq_ms;
        if (legion->next_announce_ms <= legion->now_ms)
            legion->next_announce_ms = legion->now_ms + legion->setup.freq_ms;
    }
    legion->tick = due;
}

static void announce(struct lg_legion *legion, struct lg_legion_update *update)
{
    bool classical = legion->state.mode == LG_MODE_CLASSICAL;
    update->announce =
        legion->announce_now || (legion->tick && !(classical && lg_legion_suspended(legion)));
    if (update->announce) {
        fill_message(legion, false, update);
    } else if (!classical) {
        const struct lg_legion_member *member = lg_safe_answer(legion);
        if (member) {
            update->answer = true;
            update->answer_to = member->who;
            fill_message(legion, true, update);
        }
    }
    legion->announce_now = false;
    legion->announce_dead = false;
}

static void check_suspension(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    if (!state->suspended_until_ms || legion->now_ms < state->suspended_until_ms ||
        state->role != LG_ROLE_FOLLOWER)
        return;
    struct lg_legion_note spare;
    lg_legion_note(update, LG_NOTE_RESUMED, &spare);
    state->suspended_until_ms = 0;
}

/* ---- Events ---------------------------------------------------------------------- */

static int start(
    struct lg_legion *legion, const struct lg_legion_event *event, struct lg_legion_update *update)
{
    legion->state.role = LG_ROLE_FOLLOWER;
    legion->start_ms = legion->now_ms;
    legion->next_announce_ms = legion->now_ms;
    start_round(legion);
    lg_ballot_start(legion, event->memory, update);
    lg_phases_want(&legion->phases, LG_PHASE_SETUP);
    return 0;
}

static void resign(struct lg_legion *legion, const struct lg_legion_event *event)
{
    int64_t hold_ms = event->hold_ms > 0 ? event->hold_ms : 2 * legion->setup.tolerance_ms;
    legion->hold_until_ms = legion->now_ms + hold_ms;
}

static int take_event(
    struct lg_legion *legion, const struct lg_legion_event *event, struct lg_legion_update *update)
{
    switch (event->kind) {
    case LG_EVENT_START:
        return start(legion, event, update);
    case LG_EVENT_RECEIVE:
        update->refusal = take_message(legion, event, update);
        return 0;
    case LG_EVENT_HOOK_DONE:
        lg_title_phase_over(legion, event->hook_failed, update);
        return 0;
    case LG_EVENT_MEMBER_HOOK_DONE:
        lg_title_member_phase_over(legion, event->hook_failed, update);
        return 0;
    case LG_EVENT_SHUTDOWN:
        lg_title_signal(legion, LG_SIGNAL_STOP, NULL, update);
        return 0;
    case LG_EVENT_RECONFIGURE:
        take_setup(legion, event->setup);
        lg_roster_find_expiry(&legion->roster, legion->setup.tolerance_ms);
        return 0;
    case LG_EVENT_RESIGN:
        resign(legion, event);
        return 0;
    case LG_EVENT_MAINTENANCE:
        legion->maintenance = event->on;
        return 0;
    case LG_EVENT_CHECK:
        legion->unwell = !event->on;
        return 0;
    default: /* LG_EVENT_TIMEOUT: everything due is done after the switch */
        return 0;
    }
}

static bool event_ok(const struct lg_legion *legion, const struct lg_legion_event *event)
{
    bool idle = legion->state.role == LG_ROLE_IDLE;
    switch (event->kind) {
    case LG_EVENT_START:
        return idle;
    case LG_EVENT_RECEIVE:
        return !idle && event->message;
    case LG_EVENT_HOOK_DONE:
        return legion->phases.running != LG_PHASE_NONE;
    case LG_EVENT_MEMBER_HOOK_DONE:
        return legion->phases.member_running != LG_PHASE_NONE;
    case LG_EVENT_RECONFIGURE:
        return !idle && event->setup && setup_ok(event->setup);
    case LG_EVENT_TIMEOUT:
    case LG_EVENT_SHUTDOWN:
    case LG_EVENT_RESIGN:
    case LG_EVENT_MAINTENANCE:
    case LG_EVENT_CHECK:
        return !idle;
    default:
        return false;
    }
}

/* By uWSGI's rules there is nothing between standing and not being there: who
 * must not stand is silent, as after a failed lord hook. */
static void stand_aside(struct lg_legion *legion, struct lg_legion_update *update)
{
    enum lg_legion_reason reason = lg_safe_reason(legion);
    bool must =
        reason != LG_REASON_NONE && reason != LG_REASON_VALOR && legion->state.mode != LG_MODE_SAFE;
    if (must == legion->aside)
        return;
    legion->aside = must;
    legion->state.suspended_until_ms = must ? INT64_MAX / 2 : legion->now_ms;
    if (!must || !lg_title_held(legion))
        return;
    struct lg_legion_note spare;
    lg_legion_note(update, LG_NOTE_STEPS_DOWN, &spare)->number = reason;
    lg_title_signal(legion, LG_SIGNAL_QUIT, NULL, update);
}

static void elect(struct lg_legion *legion, struct lg_legion_update *update)
{
    if (legion->setup.safe != LG_SAFE_OFF)
        lg_safe_mode(legion, update);
    stand_aside(legion, update);
    if (legion->state.mode == LG_MODE_SAFE) {
        lg_safe_elect(legion, update);
        return;
    }
    lg_classical_elect(legion, update);
    if (legion->state.mode == LG_MODE_MIXED)
        lg_safe_keep(legion, update);
}

int lg_legion_step(
    struct lg_legion *legion, const struct lg_legion_event *event, struct lg_legion_update *update)
{
    *update = (struct lg_legion_update){
        .notes = update->notes,
        .note_max = update->note_max,
        .deadline_ms = next_deadline_ms(legion),
    };
    if (!event_ok(legion, event))
        return -LG_E_INVALID;
    if (legion->state.role == LG_ROLE_ENDED)
        return 0;
    legion->wall_ms = event->wall_ms > 0 ? event->wall_ms : 0;
    check_pause(legion, event->now_ms > legion->now_ms ? event->now_ms : legion->now_ms, update);
    lg_safe_expire(legion, update);
    legion->received = event->kind == LG_EVENT_RECEIVE;
    int err = take_event(legion, event, update);
    if (err)
        return err;
    expire_members(legion, update);
    check_suspension(legion, update);
    check_tick(legion);
    elect(legion, update);
    lg_title_pump(legion, update);
    if (legion->ballot.released) { /* free again: we may vote for another at once */
        elect(legion, update);
        lg_title_pump(legion, update);
    }
    announce(legion, update);
    lg_safe_publish(legion);
    update->deadline_ms = next_deadline_ms(legion);
    return 0;
}

#ifdef LG_LEGION_MUTANTS
void lg_legion_mutate(struct lg_legion *legion, enum lg_legion_mutant mutant)
{
    legion->mutant = mutant;
}

bool lg_legion_is_mutant(const struct lg_legion *legion, enum lg_legion_mutant mutant)
{
    return legion->mutant == mutant;
}
#endif
