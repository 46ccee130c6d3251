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
           setup->freq_ms <= INT32_MAX && setup->tolerance_ms <= INT32_MAX;
}

static struct lg_slice keep(char *buffer, struct lg_slice text)
{
    if (text.len)
        memcpy(buffer, text.ptr, text.len);
    return lg_slice_from(buffer, text.len);
}

int lg_legion_new(const struct lg_legion_setup *setup, struct lg_legion **ret_legion)
{
    if (!setup_ok(setup))
        return -LG_E_INVALID;
    struct lg_legion *legion = calloc(1, sizeof *legion);
    if (!legion)
        return -LG_E_NOMEM;
    size_t max = setup->members_max ? setup->members_max : LG_MEMBERS_MAX;
    legion->roster.max = max;
    legion->roster.members = calloc(max, sizeof *legion->roster.members);
    legion->phases.waiting_max = 2 * max;
    legion->phases.waiting = calloc(2 * max, sizeof *legion->phases.waiting);
    if (!legion->roster.members || !legion->phases.waiting) {
        lg_legion_free(legion);
        return -LG_E_NOMEM;
    }
    legion->setup = *setup;
    legion->self.valor = setup->valor;
    legion->setup.legion = keep(legion->legion, setup->legion);
    legion->setup.name = keep(legion->self.name, setup->name);
    legion->setup.uuid = keep(legion->self.uuid, setup->uuid);
    legion->setup.scroll = keep(legion->scroll, setup->scroll);
    *ret_legion = legion;
    return 0;
}

void lg_legion_free(struct lg_legion *legion)
{
    if (!legion)
        return;
    free(legion->roster.members);
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
    lg_title_signal(legion, LG_SIGNAL_PAUSED, NULL, update);
}

static void set_min(int64_t *value, int64_t other)
{
    if (other < *value)
        *value = other;
}

static int64_t next_deadline_ms(const struct lg_legion *legion)
{
    if (legion->state.role == LG_ROLE_IDLE || legion->state.role == LG_ROLE_ENDED)
        return INT64_MAX;
    int64_t at_ms = legion->next_announce_ms;
    set_min(&at_ms, lg_roster_expiry_ms(&legion->roster, legion->setup.tolerance_ms));
    if (legion->now_ms < lg_legion_round_ms(legion))
        set_min(&at_ms, lg_legion_round_ms(legion));
    else if (!legion->state.quorate && legion->state.title_s)
        set_min(&at_ms, legion->quorate_ms + legion->setup.tolerance_ms);
    if (legion->awaiting_until_ms)
        set_min(&at_ms, legion->awaiting_until_ms);
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
    lg_legion_note(update, why, &spare)->who = member->who;
    push_phase(legion, LG_PHASE_NODE_LEFT, &member->who, update);
    lg_roster_remove(&legion->roster, member);
}

static void expire_members(struct lg_legion *legion, struct lg_legion_update *update)
{
    for (size_t i = 0; i < legion->roster.count;) {
        struct lg_legion_member *member = &legion->roster.members[i];
        if (legion->now_ms - member->seen_ms >= legion->setup.tolerance_ms)
            member_gone(legion, member, LG_NOTE_LEFT, update);
        else
            i++;
    }
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

static enum lg_legion_refusal take_death(struct lg_legion *legion, struct lg_legion_member *member,
    const struct lg_legion_message *message, struct lg_legion_update *update)
{
    if (!member)
        return LG_REFUSED_NOT;
    if (message->unix_s < member->unix_s)
        return LG_REFUSED_STALE;
    member_gone(legion, member, LG_NOTE_DIED, update);
    legion->announce_now = true; /* our new view, so that a successor need not wait for it */
    return LG_REFUSED_NOT;
}

static enum lg_legion_refusal take_message(struct lg_legion *legion,
    const struct lg_legion_event *event, struct lg_legion_update *update)
{
    const struct lg_legion_message *message = event->message;
    enum lg_legion_refusal refusal = refusal_of(legion, event);
    if (refusal)
        return refusal;
    struct lg_legion_member *member = lg_roster_find(&legion->roster, message);
    if (message->dead)
        return take_death(legion, member, message, update);
    if (!member) {
        member = lg_roster_add(&legion->roster, message);
        if (!member)
            return LG_REFUSED_FULL;
        struct lg_legion_note spare;
        lg_legion_note(update, LG_NOTE_JOINED, &spare)->who = member->who;
        push_phase(legion, LG_PHASE_NODE_JOINED, &member->who, update);
    }
    lg_roster_take(member, message, legion->now_ms, legion->wall_ms / 1000);
    legion->heard = true;
    return LG_REFUSED_NOT;
}

/* ---- Announcing ---------------------------------------------------------------------------- */

static void fill_message(struct lg_legion *legion, struct lg_legion_update *update)
{
    const struct lg_legion_state *state = &legion->state;
    update->announce = true;
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
}

static void announce(struct lg_legion *legion, struct lg_legion_update *update)
{
    bool due = legion->now_ms >= legion->next_announce_ms;
    if (due) {
        legion->next_announce_ms += legion->setup.freq_ms;
        if (legion->next_announce_ms <= legion->now_ms)
            legion->next_announce_ms = legion->now_ms + legion->setup.freq_ms;
    }
    if (legion->announce_now || (due && !lg_legion_suspended(legion)))
        fill_message(legion, update);
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

/* ---- Events ------------------------------------------------------------------------------------
 */

static int start(struct lg_legion *legion)
{
    legion->state.role = LG_ROLE_FOLLOWER;
    legion->next_announce_ms = legion->now_ms;
    start_round(legion);
    lg_phases_want(&legion->phases, LG_PHASE_SETUP);
    return 0;
}

static int take_event(
    struct lg_legion *legion, const struct lg_legion_event *event, struct lg_legion_update *update)
{
    switch (event->kind) {
    case LG_EVENT_START:
        return start(legion);
    case LG_EVENT_RECEIVE:
        update->refusal = take_message(legion, event, update);
        return 0;
    case LG_EVENT_HOOK_DONE:
        lg_title_phase_over(legion, event->hook_failed, update);
        return 0;
    case LG_EVENT_SHUTDOWN:
        lg_title_signal(legion, LG_SIGNAL_STOP, NULL, update);
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
    case LG_EVENT_TIMEOUT:
    case LG_EVENT_SHUTDOWN:
        return !idle;
    default:
        return false;
    }
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
    int err = take_event(legion, event, update);
    if (err)
        return err;
    expire_members(legion, update);
    check_suspension(legion, update);
    lg_title_elect(legion, update);
    lg_title_pump(legion, update);
    announce(legion, update);
    update->deadline_ms = next_deadline_ms(legion);
    return 0;
}
