/* Who is Lord by promises and leases: docs/legion-protocol.md, rules 5 to 8 and
 * 10. Pure; depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/internal.h"

static void say_number(
    struct lg_legion_update *update, enum lg_legion_note_kind kind, int64_t number)
{
    struct lg_legion_note spare;
    lg_legion_note(update, kind, &spare)->number = number;
}

/* ---- Whose rules decide ---------------------------------------------------------- */

enum lg_legion_mode lg_safe_wanted_mode(const struct lg_legion *legion)
{
    if (legion->setup.safe == LG_SAFE_OFF)
        return LG_MODE_CLASSICAL;
    if (legion->setup.safe == LG_SAFE_ON)
        return LG_MODE_SAFE;
    if (legion->setup.quorum < 2)
        return LG_MODE_CLASSICAL; /* no promise could be kept */
    for (size_t i = 0; i < legion->roster.count; i++)
        if (!legion->roster.members[i].safe)
            return LG_MODE_MIXED;
    return LG_MODE_SAFE;
}

static bool bound(const struct lg_legion *legion)
{
    const struct lg_promise *promise = &legion->ballot.promise;
    return promise->epoch && !promise->own && promise->until_ms > legion->now_ms;
}

static void hold_until_lease(struct lg_legion *legion)
{
    legion->state.title_until_ms = legion->ballot.lease_ms;
    legion->ballot.title_grace_ms = legion->ballot.grace_ms;
}

/* Into safe mode a title comes only with a lease. */
static void enter_safe(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    if (!lg_title_held(legion))
        return;
    lg_ballot_count(legion);
    if (legion->state.epoch == ballot->stand &&
        ballot->lease_ms - ballot->grace_ms > legion->now_ms) {
        hold_until_lease(legion);
        return;
    }
    lg_title_say_no_quorum(legion, ballot->votes, true, update);
    lg_title_signal(legion, LG_SIGNAL_LOST, NULL, update);
}

void lg_safe_mode(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    enum lg_legion_mode wanted = lg_safe_wanted_mode(legion);
    if (wanted == state->mode)
        return;
    bool busy = lg_title_held(legion) || state->role == LG_ROLE_FALLING || bound(legion);
    if (state->mode == LG_MODE_SAFE && busy)
        return;
    state->mode = wanted;
    say_number(update, LG_NOTE_MODE, wanted);
    if (wanted == LG_MODE_SAFE)
        enter_safe(legion, update);
}

/* ---- Who stands -------------------------------------------------------------------- */

enum lg_legion_reason lg_safe_reason(const struct lg_legion *legion)
{
    if (legion->setup.valor == 0)
        return lg_title_held(legion) ? LG_REASON_VALOR : LG_REASON_NONE;
    if (legion->maintenance)
        return LG_REASON_MAINTENANCE;
    if (legion->unwell)
        return LG_REASON_CHECK;
    if (legion->now_ms < legion->hold_until_ms)
        return LG_REASON_RESIGNED;
    enum lg_legion_mode wanted = lg_safe_wanted_mode(legion);
    if (legion->state.mode == LG_MODE_SAFE && wanted != LG_MODE_SAFE)
        return wanted == LG_MODE_MIXED ? LG_REASON_MIXED : LG_REASON_RULES;
    return LG_REASON_NONE;
}

static int64_t first_stand_ms(const struct lg_legion *legion)
{
    int64_t heard_ms = legion->start_ms + 2 * legion->setup.freq_ms;
    int64_t wait_ms = legion->ballot.wait_until_ms;
    return wait_ms > heard_ms ? wait_ms : heard_ms;
}

static bool able(const struct lg_legion *legion)
{
    return legion->setup.valor && !legion->stopping && legion->state.role == LG_ROLE_FOLLOWER &&
           legion->now_ms >= first_stand_ms(legion) && !lg_legion_suspended(legion) &&
           lg_safe_reason(legion) == LG_REASON_NONE;
}

static const struct lg_legion_member *holder(const struct lg_legion *legion)
{
    const struct lg_legion_member *found = NULL;
    for (size_t i = 0; i < legion->roster.count; i++) {
        const struct lg_legion_member *member = &legion->roster.members[i];
        if (member->title && (!found || member->title > found->title))
            found = member;
    }
    return found;
}

/* legion-nopreempt and legion-preempt-delay: while another holds the title. */
static bool held_back(const struct lg_legion *legion)
{
    const struct lg_legion_setup *setup = &legion->setup;
    int64_t since_ms = legion->ballot.able_since_ms;
    bool too_soon = legion->now_ms - since_ms < setup->preempt_delay_ms;
    return (setup->nopreempt || too_soon) && holder(legion);
}

static void stand(struct lg_legion *legion)
{
    struct lg_ballot *ballot = &legion->ballot;
    ballot->reach = lg_ballot_reach(legion);
    if (lg_title_held(legion))
        return;
    if (!able(legion)) {
        ballot->able_since_ms = INT64_MAX;
        ballot->stand = 0;
        return;
    }
    if (ballot->able_since_ms == INT64_MAX)
        ballot->able_since_ms = legion->now_ms;
    if (held_back(legion))
        ballot->stand = 0;
    else
        lg_ballot_stand(legion);
}

/* The best that stands with a reach of a quorum: NULL = none, or ourselves
 * (*ret_self). */
static const struct lg_legion_member *best_of(const struct lg_legion *legion, bool *ret_self)
{
    const struct lg_legion_who *best = NULL;
    const struct lg_legion_member *found = NULL;
    uint64_t quorum = lg_ballot_quorum(legion);
    if (legion->ballot.stand && legion->ballot.reach >= quorum)
        best = &legion->self;
    for (size_t i = 0; i < legion->roster.count; i++) {
        const struct lg_legion_member *member = &legion->roster.members[i];
        if (!member->safe || !member->stand || !member->who.valor || member->reach < quorum ||
            member->reach < member->quorum)
            continue;
        /* Its own promise may be longer, but we could not vote on a stamp that old. */
        if (legion->now_ms - member->seen_ms >= legion->setup.tolerance_ms)
            continue;
        if (best && !lg_roster_better(&member->who, best))
            continue;
        best = &member->who;
        found = member;
    }
    *ret_self = best && !found;
    return found;
}

/* ---- Voting ------------------------------------------------------------------------- */

static void forget_old_promise(struct lg_legion *legion)
{
    struct lg_promise *promise = &legion->ballot.promise;
    if (!promise->epoch || promise->until_ms > legion->now_ms)
        return;
    legion->ballot.lapsed = !promise->own;
    *promise = (struct lg_promise){0};
}

/* Renews for one that holds the title or is the best; free, votes for the best. */
static void vote(struct lg_legion *legion, const struct lg_legion_member *best, bool self,
    struct lg_legion_update *update)
{
    const struct lg_promise *promise = &legion->ballot.promise;
    if (legion->now_ms < legion->ballot.wait_until_ms || legion->stopping)
        return;
    if (lg_legion_is_mutant(legion, LG_MUTANT_VOTE_TWICE) && best) {
        lg_ballot_vote(legion, best, update);
        return;
    }
    if (promise->epoch && promise->own) {
        if (lg_title_held(legion) || self)
            lg_ballot_vote(legion, NULL, update);
    } else if (promise->epoch) {
        const struct lg_legion_member *member = lg_roster_by_uuid(&legion->roster, promise->uuid);
        bool any = lg_legion_is_mutant(legion, LG_MUTANT_RENEW_ANY);
        if (member && (member->title || member == best || any))
            lg_ballot_vote(legion, member, update);
    } else if (self || best) {
        lg_ballot_vote(legion, self ? NULL : best, update);
    }
}

static bool has_others_votes(const struct lg_legion *legion)
{
    return legion->ballot.votes > (legion->ballot.promise.own ? 1U : 0U);
}

/* Votes on the timer, to answer a Lord, after a release; for another as soon as nothing
 * binds us any more, and for ourselves as soon as somebody does: whoever lost a Lord's
 * last packets and hears it again a moment later has then given nothing away. */
static void ballot_round(struct lg_legion *legion, const struct lg_legion_member *best, bool self,
    struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *promise = &ballot->promise;
    /* We stand, and others do not know yet: they may be better. */
    if (self && !has_others_votes(legion) &&
        legion->now_ms - ballot->able_since_ms < legion->setup.freq_ms && !promise->epoch)
        self = false;
    bool lord =
        ballot->lord_spoke[0] && promise->epoch && lg_uuid_same(promise->uuid, ballot->lord_spoke);
    if (legion->tick || lord || ballot->freed || ballot->released || (ballot->lapsed && !self) ||
        (self && !promise->epoch && has_others_votes(legion)))
        vote(legion, best, self, update);
    /* What we got and do not want is given back. */
    bool idle = legion->state.role == LG_ROLE_FOLLOWER && !self;
    if (legion->tick && idle && (ballot->votes || promise->own))
        lg_ballot_release(legion);
    lg_ballot_count(legion);
}

/* ---- The title --------------------------------------------------------------------- */

/* At the end of the lease unlord hooks are killed: others may begin. */
static void expire_falling(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    bool over = legion->now_ms >= ballot->unlord_until_ms;
    if (ballot->unlord_retry_ms && (over || legion->now_ms >= ballot->unlord_retry_ms)) {
        ballot->unlord_retry_ms = 0;
        if (over)
            lg_title_signal(legion, LG_SIGNAL_LAPSED, NULL, update);
        else
            lg_phases_want(&legion->phases, LG_PHASE_UNLORD);
    } else if (over && legion->phases.running != LG_PHASE_UNLORD) {
        lg_title_signal(legion, LG_SIGNAL_LAPSED, NULL, update);
    } else if (over && lg_phases_kill(&legion->phases, LG_PHASE_NONE)) {
        update->kill_hooks = true;
    }
}

void lg_safe_expire(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    struct lg_legion_state *state = &legion->state;
    ballot->released = false;
    ballot->freed = false;
    ballot->lapsed = false;
    ballot->stirred = false;
    ballot->lord_spoke[0] = '\0';
    forget_old_promise(legion);
    if (state->mode != LG_MODE_SAFE)
        return;
    if (state->role == LG_ROLE_FALLING) {
        expire_falling(legion, update);
    } else if (lg_title_held(legion)) {
        if (legion->now_ms < state->title_until_ms - ballot->title_grace_ms ||
            lg_legion_is_mutant(legion, LG_MUTANT_NO_LEASE))
            return;
        uint64_t votes = lg_ballot_votes_after(legion, state->title_until_ms);
        lg_title_say_no_quorum(legion, votes, true, update);
        lg_title_signal(legion, LG_SIGNAL_LOST, NULL, update);
    } else if (ballot->unlord_retry_ms && legion->now_ms >= ballot->unlord_retry_ms) {
        ballot->unlord_retry_ms = 0;
        if (!legion->stopping)
            lg_phases_want(&legion->phases, LG_PHASE_UNLORD);
    }
}

/* Who holds a later title than ours. While clocks run there is none: ours, or the
 * machine's, stood still, and what our lease says is of the past. */
static const struct lg_legion_member *successor(const struct lg_legion *legion)
{
    const struct lg_legion_member *member = holder(legion);
    bool later = member && member->title > legion->state.epoch;
    return later && !lg_legion_is_mutant(legion, LG_MUTANT_OLD_TITLE_STAYS) ? member : NULL;
}

/* It stands although it has heard that we hold the title: one that would not take
 * it from us (legion-nopreempt) has had the time to say so. One that holds an older
 * title is about to learn that it is over. */
static bool insists(const struct lg_legion *legion, const struct lg_legion_member *member)
{
    if (member->title && !lg_legion_is_mutant(legion, LG_MUTANT_OLD_TITLE_STAYS))
        return false;
    return lg_roster_better(&member->who, &legion->self) &&
           member->echo_us > legion->ballot.title_stamp_us;
}

static void hold(
    struct lg_legion *legion, const struct lg_legion_member *best, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    struct lg_legion_state *state = &legion->state;
    if (ballot->lease_ms > state->title_until_ms)
        hold_until_lease(legion);
    if (lg_legion_is_mutant(legion, LG_MUTANT_NO_LEASE))
        state->title_until_ms = INT64_MAX / 2;
    enum lg_legion_reason reason = lg_safe_reason(legion);
    const struct lg_legion_member *later = successor(legion);
    if (later) {
        lg_title_signal(legion, LG_SIGNAL_OUTVOTED, &later->who, update);
    } else if (reason) {
        say_number(update, LG_NOTE_STEPS_DOWN, reason);
        lg_title_signal(legion, LG_SIGNAL_QUIT, NULL, update);
    } else if (best && insists(legion, best)) {
        lg_title_signal(legion, LG_SIGNAL_OUTVOTED, &best->who, update);
    }
}

static void seek(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    if (legion->state.role != LG_ROLE_FOLLOWER || !ballot->stand || legion->stopping ||
        ballot->lease_ms == INT64_MIN ||
        ballot->lease_ms - ballot->grace_ms - legion->setup.freq_ms / 5 <= legion->now_ms)
        return;
    legion->state.votes = ballot->votes;
    hold_until_lease(legion);
    ballot->title_stamp_us = ballot->stamp_us;
    lg_title_report_quorum(legion, update);
    lg_title_signal(legion, LG_SIGNAL_WIN, NULL, update);
}

/* Members that think it best, as far as they say, and we where we vote for it. */
static uint64_t votes_for(const struct lg_legion *legion, const struct lg_legion_who *lord)
{
    const struct lg_promise *promise = &legion->ballot.promise;
    uint64_t votes = promise->epoch && lg_uuid_same(promise->uuid, lord->uuid);
    for (size_t i = 0; i < legion->roster.count; i++)
        votes += strcmp(legion->roster.members[i].vote_uuid, lord->uuid) == 0;
    return votes;
}

/* Whom we know to be Lord, for people and for uWSGI's keys. */
static void know_lord(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    const struct lg_legion_member *member = holder(legion);
    bool own = lg_title_held(legion) && (!member || state->epoch > member->title);
    const struct lg_legion_who *lord = own ? &legion->self : member ? &member->who : NULL;
    uint64_t epoch = own ? state->epoch : member ? member->title : 0;
    state->quorate = lord != NULL;
    if (!lord) {
        if (!legion->ballot.lordless_ms)
            legion->ballot.lordless_ms = legion->now_ms;
        int64_t since_ms = first_stand_ms(legion);
        if (since_ms < legion->ballot.lordless_ms)
            since_ms = legion->ballot.lordless_ms;
        if (legion->now_ms - since_ms >= legion->setup.tolerance_ms)
            lg_title_say_no_quorum(legion, state->votes, false, update);
        state->lord = (struct lg_legion_who){0};
        state->lord_epoch = 0;
        return;
    }
    legion->ballot.lordless_ms = 0;
    legion->no_quorum_said_ms = 0;
    if (epoch == state->lord_epoch)
        return;
    state->lord = *lord;
    state->lord_epoch = epoch;
    if (!legion->joined && (legion->setup.phases & 1U << LG_PHASE_JOIN))
        lg_phases_want(&legion->phases, LG_PHASE_JOIN);
    legion->joined = true;
    if (own)
        return; /* said when it was won */
    state->votes = votes_for(legion, lord);
    lg_title_report_quorum(legion, update);
    struct lg_legion_note spare;
    lg_legion_note(update, LG_NOTE_LORD_IS, &spare)->who = *lord;
}

/* Most messages change nothing: in a large legion that is most of the work. */
static bool nothing_new(const struct lg_legion *legion)
{
    const struct lg_ballot *ballot = &legion->ballot;
    return legion->received && !legion->tick && !ballot->stirred && !ballot->freed &&
           !ballot->lapsed && !ballot->released && !ballot->voters && !ballot->promise.own &&
           legion->state.role == LG_ROLE_FOLLOWER;
}

void lg_safe_elect(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    struct lg_legion_state *state = &legion->state;
    bool self;
    state->checksum = lg_roster_checksum(&legion->roster, &legion->self);
    if (nothing_new(legion))
        return;
    lg_ballot_count(legion);
    stand(legion);
    const struct lg_legion_member *best = best_of(legion, &self);
    state->vote = self ? legion->self : best ? best->who : (struct lg_legion_who){0};
    ballot_round(legion, best, self, update);
    if (lg_title_held(legion) || !state->lord_epoch)
        state->votes = ballot->votes;
    if (lg_title_held(legion))
        hold(legion, best, update);
    else
        seek(legion, update);
    know_lord(legion, update);
}

/* ---- Beside the classical election ------------------------------------------------------ */

void lg_safe_keep(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_legion_state *state = &legion->state;
    lg_ballot_count(legion);
    stand(legion);
    bool self = state->vote.uuid[0] && lg_uuid_same(state->vote.uuid, legion->self.uuid) &&
                legion->ballot.stand;
    const struct lg_legion_member *best = NULL;
    if (state->vote.uuid[0] && !self)
        best = lg_roster_by_uuid(&legion->roster, state->vote.uuid);
    ballot_round(legion, best, self, update);
}

/* ---- For the step ------------------------------------------------------------------------ */

struct lg_legion_member *lg_safe_answer(struct lg_legion *legion)
{
    const struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *promise = &ballot->promise;
    bool free = ballot->freed || ballot->lapsed;
    if (!promise->epoch || promise->own || (!free && !ballot->lord_spoke[0]))
        return NULL;
    struct lg_legion_member *member = lg_roster_by_uuid(&legion->roster, promise->uuid);
    if (!member || (!free && !lg_uuid_same(ballot->lord_spoke, promise->uuid)) ||
        promise->echo_us != member->stamp_us)
        return NULL;
    if (member->answered_ms != INT64_MIN && !free &&
        legion->now_ms - member->answered_ms < (legion->setup.freq_ms + 1) / 2)
        return NULL;
    member->answered_ms = legion->now_ms;
    return member;
}

static void set_min(int64_t *value, int64_t other)
{
    if (other < *value)
        *value = other;
}

int64_t lg_safe_deadline_ms(const struct lg_legion *legion)
{
    const struct lg_ballot *ballot = &legion->ballot;
    const struct lg_legion_state *state = &legion->state;
    int64_t at_ms = INT64_MAX;
    if (ballot->promise.epoch && !ballot->promise.own)
        set_min(&at_ms, ballot->promise.until_ms);
    if (lg_title_held(legion) && state->mode == LG_MODE_SAFE)
        set_min(&at_ms, state->title_until_ms - ballot->title_grace_ms);
    if (state->role == LG_ROLE_FALLING && state->mode == LG_MODE_SAFE &&
        ballot->unlord_until_ms > legion->now_ms)
        set_min(&at_ms, ballot->unlord_until_ms);
    if (ballot->unlord_retry_ms)
        set_min(&at_ms, ballot->unlord_retry_ms);
    return at_ms;
}

/* By uWSGI's rules no vote says how long it binds: as if all had our tolerance. */
static int64_t classical_grace_ms(const struct lg_legion_setup *setup)
{
    int64_t grace_ms = setup->unlord_grace_ms ? setup->unlord_grace_ms : setup->tolerance_ms / 3;
    return grace_ms < setup->tolerance_ms / 2 ? grace_ms : setup->tolerance_ms / 2;
}

void lg_safe_publish(struct lg_legion *legion)
{
    const struct lg_ballot *ballot = &legion->ballot;
    struct lg_legion_state *state = &legion->state;
    state->title_grace_ms =
        state->mode == LG_MODE_SAFE ? ballot->title_grace_ms : classical_grace_ms(&legion->setup);
    state->reason = lg_safe_reason(legion);
    state->held_until_ms = state->reason == LG_REASON_RESIGNED ? legion->hold_until_ms : 0;
    state->waiting_until_ms = ballot->wait_until_ms > legion->now_ms ? ballot->wait_until_ms : 0;
    state->reach = ballot->reach;
    state->stand = ballot->stand;
    state->promised_epoch = ballot->promise.epoch;
    state->promised_until_ms = ballot->promise.until_ms;
    memcpy(state->promised_uuid, ballot->promise.uuid, sizeof state->promised_uuid);
}
