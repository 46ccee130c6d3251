/* The classical election of the uwsgi wire: everybody votes for the best
 * candidate it sees, and a quorum of equal views elects. Pure; depends on base
 * only.
 *
 * It cannot rule two Lords out; it is stricter than uWSGI's where the wire
 * allows: the title goes with the quorum, and a holder of the title is waited
 * for before it is taken over.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/internal.h"

static void say(
    struct lg_legion_update *update, enum lg_legion_note_kind kind, const struct lg_legion_who *who)
{
    struct lg_legion_note spare;
    lg_legion_note(update, kind, &spare)->who = *who;
}

static bool same_who(const struct lg_legion_who *a, const struct lg_legion_who *b)
{
    return a->valor == b->valor && strcmp(a->uuid, b->uuid) == 0;
}

/* A member that still says it holds the title is given time to stop: its unlord
 * hooks come before our lord hooks. At most a tolerance, since a node of another
 * make may never say so. */
static bool await_holder(struct lg_legion *legion, struct lg_legion_update *update)
{
    const struct lg_legion_member *holder = NULL;
    for (size_t i = 0; i < legion->roster.count && !holder; i++)
        if (legion->roster.members[i].lord_s)
            holder = &legion->roster.members[i];
    if (!holder)
        return false;
    if (!legion->awaiting_until_ms) {
        legion->awaiting_until_ms = legion->now_ms + legion->setup.tolerance_ms;
        say(update, LG_NOTE_AWAITING, &holder->who);
    }
    return legion->now_ms < legion->awaiting_until_ms;
}

static void won(struct lg_legion *legion, struct lg_legion_update *update)
{
    if (legion->state.role != LG_ROLE_FOLLOWER || await_holder(legion, update))
        return;
    legion->awaiting_until_ms = 0;
    lg_title_signal(legion, LG_SIGNAL_WIN, NULL, update);
}

static void have_quorum(
    struct lg_legion *legion, const struct lg_legion_who *best, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    legion->quorate_ms = legion->now_ms;
    legion->no_quorum_said_ms = 0;
    if (!legion->joined)
        lg_phases_want(&legion->phases, LG_PHASE_JOIN);
    legion->joined = true;
    lg_title_report_quorum(legion, update);
    if (best == &legion->self) {
        won(legion, update);
        return;
    }
    legion->awaiting_until_ms = 0;
    if (!best)
        return;
    lg_title_signal(legion, LG_SIGNAL_OUTVOTED, best, update);
    if (!same_who(&state->lord, best))
        say(update, LG_NOTE_LORD_IS, best);
    state->lord = *best;
}

/* Members that disagree are usually a moment's difference while somebody comes
 * or goes; agreement on too few, or too few members to ever agree, is final. */
static bool is_final(const struct lg_legion *legion, const struct lg_tally *tally)
{
    return tally->agreed || legion->roster.count + 1 < legion->setup.quorum ||
           legion->now_ms - legion->quorate_ms >= legion->setup.tolerance_ms;
}

static void have_no_quorum(
    struct lg_legion *legion, const struct lg_tally *tally, struct lg_legion_update *update)
{
    legion->awaiting_until_ms = 0;
    if (!is_final(legion, tally))
        return;
    legion->reported = false;
    lg_title_say_no_quorum(legion, tally->votes, lg_title_held(legion), update);
    lg_title_signal(legion, LG_SIGNAL_LOST, NULL, update);
    legion->state.lord = (struct lg_legion_who){0};
}

void lg_classical_elect(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    const struct lg_legion_who *self = lg_legion_suspended(legion) ? NULL : &legion->self;
    state->checksum = lg_roster_checksum(&legion->roster, self);
    if (legion->stopping || legion->now_ms < lg_legion_round_ms(legion))
        return;
    const struct lg_legion_who *best = lg_roster_best(&legion->roster, self);
    state->vote = best ? *best : (struct lg_legion_who){0};
    struct lg_tally tally = lg_roster_tally(&legion->roster, self, state->checksum, &state->vote);
    state->votes = tally.votes;
    state->quorate = tally.votes > 0 && tally.votes >= legion->setup.quorum;
    if (state->quorate)
        have_quorum(legion, best, update);
    else
        have_no_quorum(legion, &tally, update);
    if (lg_title_held(legion))
        state->title_until_ms = legion->now_ms + legion->setup.tolerance_ms;
}
