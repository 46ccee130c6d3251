/* Promises, votes and leases: the arithmetic of docs/legion-protocol.md. Pure;
 * depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/internal.h"

#include <stdlib.h>

int lg_ballot_new(struct lg_legion *legion)
{
    struct lg_ballot *ballot = &legion->ballot;
    ballot->ends = calloc(legion->roster.max + 1, sizeof *ballot->ends);
    size_t echoes_max =
        legion->roster.max < LG_LEGION_ECHOES_MAX ? legion->roster.max : LG_LEGION_ECHOES_MAX;
    ballot->echoes_size = echoes_max * LG_LEGION_ECHO_SIZE;
    ballot->echoes = malloc(ballot->echoes_size);
    ballot->able_since_ms = INT64_MAX;
    return ballot->ends && ballot->echoes ? 0 : -LG_E_NOMEM;
}

void lg_ballot_free(struct lg_legion *legion)
{
    free(legion->ballot.ends);
    free(legion->ballot.echoes);
}

static void see(struct lg_legion *legion, uint64_t epoch)
{
    if (epoch > legion->ballot.seen && !lg_legion_is_mutant(legion, LG_MUTANT_EPOCH_NOT_IN_VOTE))
        legion->ballot.seen = epoch;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- Memory ------------------------------------------------------------------- */

/* How long promises of an earlier life may bind us, from now. */
static int64_t wait_ms(const struct lg_legion *legion, const struct lg_legion_memory *memory)
{
    const struct lg_legion_setup *setup = &legion->setup;
    if (lg_legion_is_mutant(legion, LG_MUTANT_NO_START_WAIT))
        return 0;
    if (!memory)
        return larger(setup->tolerance_ms, setup->start_wait_ms);
    if (memory->until_ms == INT64_MAX)
        return memory->promise_ms;
    int64_t left_ms = memory->until_ms > legion->now_ms ? memory->until_ms - legion->now_ms : 0;
    return left_ms < memory->promise_ms ? left_ms : memory->promise_ms;
}

void lg_ballot_start(struct lg_legion *legion, const struct lg_legion_memory *memory,
    struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    int64_t wait = wait_ms(legion, memory);
    ballot->wait_until_ms = legion->now_ms + wait;
    ballot->lordless_ms = legion->now_ms;
    if (wait > 0 && lg_safe_wanted_mode(legion) == LG_MODE_SAFE) {
        struct lg_legion_note spare;
        lg_legion_note(update, LG_NOTE_WAITING, &spare)->number = wait;
    }
    if (!memory)
        return;
    ballot->voted = memory->epoch;
    see(legion, memory->epoch);
    memcpy(ballot->voted_for, memory->candidate, LG_LEGION_UUID_LEN);
    memcpy(ballot->waits_for, memory->candidate, LG_LEGION_UUID_LEN);
    /* What an unclean stop echoed last is not known: only a death frees us then. */
    ballot->waits_echo_us = memory->until_ms == INT64_MAX ? 0 : memory->echo_us;
}

struct lg_legion_memory lg_ballot_memory(const struct lg_legion *legion, bool clean)
{
    const struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *promise = &ballot->promise;
    struct lg_legion_memory memory = {
        .epoch = ballot->voted,
        .promise_ms = legion->setup.tolerance_ms,
        .until_ms = INT64_MAX,
    };
    /* One whom a title of an older epoch binds was not voted for with this one. */
    if (!promise->epoch || lg_uuid_same(promise->uuid, ballot->voted_for))
        memcpy(memory.candidate, ballot->voted_for, sizeof memory.candidate);
    if (!clean)
        return memory;
    memory.until_ms = 0;
    if (promise->epoch && !promise->own) {
        memory.until_ms = promise->until_ms;
        memory.echo_us = promise->echo_us;
    }
    if (ballot->wait_until_ms > legion->now_ms) {
        memory.until_ms = ballot->wait_until_ms;
        memory.echo_us = ballot->waits_echo_us;
    }
    memory.promise_ms = larger(memory.promise_ms, memory.until_ms - legion->now_ms);
    return memory;
}

/* ---- The voter ------------------------------------------------------------------ */

static void free_of(struct lg_legion *legion)
{
    legion->ballot.promise = (struct lg_promise){0};
    legion->ballot.freed = true;
}

static void take_release(struct lg_legion *legion, const struct lg_legion_member *member)
{
    struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *promise = &ballot->promise;
    if (promise->epoch && !promise->own && lg_uuid_same(promise->uuid, member->who.uuid) &&
        promise->echo_us <= member->released_us)
        free_of(legion);
    if (ballot->wait_until_ms > legion->now_ms && ballot->waits_echo_us &&
        lg_uuid_same(ballot->waits_for, member->who.uuid) &&
        ballot->waits_echo_us <= member->released_us)
        ballot->wait_until_ms = legion->now_ms;
}

void lg_ballot_bury(struct lg_legion *legion, const char *uuid)
{
    struct lg_ballot *ballot = &legion->ballot;
    if (ballot->promise.epoch && !ballot->promise.own && lg_uuid_same(ballot->promise.uuid, uuid))
        free_of(legion);
    if (ballot->wait_until_ms > legion->now_ms && lg_uuid_same(ballot->waits_for, uuid))
        ballot->wait_until_ms = legion->now_ms;
}

/* A vote is for a larger epoch than any before, or again for the same epoch and
 * candidate. (One for a title that is held, whatever its epoch, begins no title.) */
static bool epoch_ok(const struct lg_legion *legion, uint64_t epoch, const char *uuid)
{
    const struct lg_ballot *ballot = &legion->ballot;
    if (epoch == 0)
        return false;
    if (lg_legion_is_mutant(legion, LG_MUTANT_EPOCH_NOT_IN_VOTE))
        return true;
    return epoch > ballot->voted ||
           (epoch == ballot->voted && lg_uuid_same(ballot->voted_for, uuid));
}

/* The epoch and, before the vote leaves, what the state file must know. */
static void remember(struct lg_legion *legion, struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *promise = &ballot->promise;
    if (promise->epoch >= ballot->voted) {
        ballot->voted = promise->epoch;
        memcpy(ballot->voted_for, promise->uuid, sizeof ballot->voted_for);
        see(legion, promise->epoch);
    }
    struct lg_legion_memory memory = lg_ballot_memory(legion, false);
    if (memory.epoch == ballot->stored.epoch && memory.promise_ms <= ballot->stored.promise_ms &&
        lg_uuid_same(memory.candidate, ballot->stored.candidate))
        return;
    ballot->stored = memory;
    update->persist = true;
    update->memory = memory;
}

void lg_ballot_vote(struct lg_legion *legion, const struct lg_legion_member *member,
    struct lg_legion_update *update)
{
    struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *old = &ballot->promise;
    struct lg_promise new = {.own = !member, .length_ms = legion->setup.tolerance_ms};
    uint64_t now_us = (uint64_t)legion->now_ms * 1000;
    int64_t from_ms = legion->now_ms;
    memcpy(new.uuid, member ? member->who.uuid : legion->self.uuid, sizeof new.uuid);
    new.epoch = member ? member->stand : ballot->stand;
    new.echo_us = member ? member->stamp_us : now_us;
    if (member && !lg_legion_is_mutant(legion, LG_MUTANT_PROMISE_FROM_SENDING))
        from_ms = member->seen_ms;
    new.until_ms = from_ms + new.length_ms + 1;

    bool same = old->epoch && lg_uuid_same(old->uuid, new.uuid);
    if (old->epoch && !same && !lg_legion_is_mutant(legion, LG_MUTANT_VOTE_TWICE))
        return;
    uint64_t released_us = member ? member->released_us : ballot->released_us;
    bool held = member && member->title && member->title == new.epoch;
    if ((!held && !epoch_ok(legion, new.epoch, new.uuid)) || new.echo_us <= released_us ||
        new.until_ms <= legion->now_ms)
        return;
    if (same && old->until_ms > new.until_ms)
        new.until_ms = old->until_ms;
    ballot->promise = new;
    remember(legion, update);
}

/* ---- The candidate ---------------------------------------------------------------- */

static bool votes_for_us(const struct lg_legion *legion, const struct lg_legion_ballot *said)
{
    return said->vote_uuid.len == LG_LEGION_UUID_LEN &&
           lg_uuid_same(said->vote_uuid.ptr, legion->self.uuid) &&
           said->vote_echo_us <= legion->ballot.stamp_us;
}

/* The newest of our stamps that the member has heard. An answer has no echoes, and
 * may be read by others than its addressee: only what it says of us counts. A list as
 * long as it may be is not the whole: what it leaves out stays as it was. */
static void take_echo(struct lg_legion *legion, struct lg_legion_member *member,
    const struct lg_legion_ballot *said, bool ours)
{
    uint64_t echo_us = member->echo_us;
    if (said->echoes.ptr) {
        uint64_t now_us = lg_legion_echo_find(said->echoes, legion->self_id, &member->echo_place);
        bool whole = said->echoes.len < (size_t)LG_LEGION_ECHOES_MAX * LG_LEGION_ECHO_SIZE;
        if (now_us || whole)
            echo_us = now_us;
    }
    if (ours && said->vote_echo_us > echo_us)
        echo_us = said->vote_echo_us;
    member->echo_us = echo_us <= legion->ballot.stamp_us ? echo_us : 0;
    if (member->echo_us)
        member->heard_us = member->echo_us;
}

void lg_ballot_take(
    struct lg_legion *legion, struct lg_legion_member *member, const struct lg_legion_ballot *said)
{
    struct lg_ballot *ballot = &legion->ballot;
    bool ours = votes_for_us(legion, said), had_title = member->title != 0;
    ballot->voters -= member->vote_epoch != 0;
    member->safe = true;
    member->stamp_us = said->stamp_us;
    take_echo(legion, member, said, ours);
    member->promise_ms = said->promise_ms;
    member->quorum = said->quorum;
    member->stand = said->stand;
    member->reach = said->reach;
    member->title = said->title;
    if (said->released_us > member->released_us)
        member->released_us = said->released_us;
    member->voted = said->voted;
    member->vote_epoch = ours ? said->vote_epoch : 0;
    ballot->voters += member->vote_epoch != 0;
    member->vote_echo_us = ours ? said->vote_echo_us : 0;
    member->vote_promise_ms = ours ? said->vote_promise_ms : 0;
    see(legion, said->stand);
    if (said->title > ballot->seen)
        ballot->seen = said->title;
    see(legion, said->voted);
    see(legion, said->vote_epoch);
    take_release(legion, member);
    ballot->stirred |= had_title || member->title;
    if (had_title && !member->title && !ballot->promise.epoch)
        ballot->freed = true; /* nothing bound us, but now there is something to vote on */
    if (member->title)
        memcpy(ballot->lord_spoke, member->who.uuid, sizeof ballot->lord_spoke);
}

uint64_t lg_ballot_quorum(const struct lg_legion *legion)
{
    uint64_t quorum = legion->setup.quorum ? legion->setup.quorum : 1;
    if (lg_legion_is_mutant(legion, LG_MUTANT_NO_MAJORITY) && quorum > 1)
        quorum--;
    return quorum;
}

static bool in_contact(const struct lg_legion *legion, const struct lg_legion_member *member)
{
    if (!member->safe || !member->echo_us)
        return false;
    int64_t age_ms = legion->now_ms - (int64_t)(member->echo_us / 1000);
    return age_ms < larger(legion->setup.tolerance_ms, member->promise_ms);
}

uint64_t lg_ballot_reach(const struct lg_legion *legion)
{
    uint64_t reach = 1;
    for (size_t i = 0; i < legion->roster.count; i++)
        reach += in_contact(legion, &legion->roster.members[i]);
    return reach;
}

struct vote {
    uint64_t epoch, echo_us, quorum;
    int64_t promise_ms;
};

/* The vote of member `at`; of ourselves after the last one. */
static struct vote vote_at(const struct lg_legion *legion, size_t at)
{
    const struct lg_promise *own = &legion->ballot.promise;
    bool any = lg_legion_is_mutant(legion, LG_MUTANT_NO_MAJORITY);
    if (at < legion->roster.count) {
        const struct lg_legion_member *member = &legion->roster.members[at];
        return (struct vote){.epoch = member->vote_epoch,
            .echo_us = member->vote_echo_us,
            .quorum = any ? 0 : member->quorum,
            .promise_ms = member->vote_promise_ms};
    }
    if (!own->own)
        return (struct vote){0};
    return (struct vote){own->epoch, own->echo_us, 0, own->length_ms};
}

/* When a vote stops counting for us; INT64_MIN when it does not count. */
static int64_t vote_end_ms(const struct lg_legion *legion, const struct vote *vote)
{
    const struct lg_ballot *ballot = &legion->ballot;
    bool named =
        vote->epoch == ballot->stand || lg_legion_is_mutant(legion, LG_MUTANT_EPOCH_NOT_IN_VOTE);
    bool fresh = vote->echo_us > ballot->released_us ||
                 lg_legion_is_mutant(legion, LG_MUTANT_RELEASED_COUNTS);
    if (!vote->epoch || !ballot->stand || !named || !fresh)
        return INT64_MIN;
    int64_t good_ppm = 1000000 - (int64_t)legion->setup.drift_ppm;
    int64_t end_ms = (int64_t)(vote->echo_us / 1000) + vote->promise_ms * good_ppm / 1000000;
    return end_ms > legion->now_ms ? end_ms : INT64_MIN;
}

/* The nth largest (from 1) of `count` values, which it reorders. */
static int64_t nth_largest(int64_t *values, size_t count, size_t nth)
{
    int64_t low = 0, high = (int64_t)count - 1, want = (int64_t)nth - 1;
    while (low < high) {
        int64_t pivot = values[low + (high - low) / 2], i = low, j = high;
        while (i <= j) {
            while (values[i] > pivot)
                i++;
            while (values[j] < pivot)
                j--;
            if (i > j)
                break;
            int64_t swap = values[i];
            values[i++] = values[j];
            values[j--] = swap;
        }
        if (want > j && want < i)
            break;
        if (want <= j)
            high = j;
        else
            low = i;
    }
    return values[want];
}

/* The lease that `quorum` votes of voters content with that many make. */
static int64_t lease_of(struct lg_legion *legion, uint64_t quorum, int64_t *ret_shortest_ms)
{
    size_t count = 0;
    for (size_t i = 0; i <= legion->roster.count; i++) {
        struct vote vote = vote_at(legion, i);
        int64_t end_ms = vote_end_ms(legion, &vote);
        if (end_ms == INT64_MIN || vote.quorum > quorum)
            continue;
        legion->ballot.ends[count++] = end_ms;
        if (vote.promise_ms < *ret_shortest_ms)
            *ret_shortest_ms = vote.promise_ms;
    }
    return count && count >= quorum ? nth_largest(legion->ballot.ends, count, quorum) : INT64_MIN;
}

void lg_ballot_count(struct lg_legion *legion)
{
    struct lg_ballot *ballot = &legion->ballot;
    uint64_t largest = lg_ballot_quorum(legion);
    ballot->votes = 0;
    ballot->lease_ms = INT64_MIN;
    ballot->grace_ms = 0;
    if (!ballot->voters && !ballot->promise.own)
        return;
    for (size_t i = 0; i <= legion->roster.count; i++) {
        struct vote vote = vote_at(legion, i);
        if (vote_end_ms(legion, &vote) == INT64_MIN)
            continue;
        ballot->votes++;
        if (vote.quorum > largest)
            largest = vote.quorum;
    }
    for (uint64_t quorum = lg_ballot_quorum(legion); quorum <= largest; quorum++) {
        if (quorum > ballot->votes)
            break;
        int64_t shortest_ms = INT64_MAX;
        int64_t lease_ms = lease_of(legion, quorum, &shortest_ms);
        if (lease_ms <= ballot->lease_ms)
            continue;
        int64_t grace_ms = legion->setup.unlord_grace_ms;
        if (grace_ms <= 0)
            grace_ms = shortest_ms / 3;
        ballot->grace_ms = grace_ms < shortest_ms / 2 ? grace_ms : shortest_ms / 2;
        ballot->lease_ms = lease_ms;
    }
}

uint64_t lg_ballot_votes_after(const struct lg_legion *legion, int64_t at_ms)
{
    uint64_t votes = 0;
    for (size_t i = 0; i <= legion->roster.count; i++) {
        struct vote vote = vote_at(legion, i);
        votes += vote_end_ms(legion, &vote) > at_ms;
    }
    return votes;
}

/* Those whose vote went elsewhere with an epoch as large as ours will never vote
 * for ours: are there too few others? */
static bool refused(const struct lg_legion *legion)
{
    uint64_t stand = legion->ballot.stand, willing = 1;
    for (size_t i = 0; i < legion->roster.count; i++) {
        const struct lg_legion_member *member = &legion->roster.members[i];
        if (in_contact(legion, member))
            willing += member->voted < stand || member->vote_epoch == stand;
    }
    return willing < lg_ballot_quorum(legion) && legion->ballot.reach > willing;
}

/* How far an epoch may stay behind the wall clock. */
static uint64_t stand_age_ms(const struct lg_legion *legion)
{
    const struct lg_legion_setup *setup = &legion->setup;
    if (legion->state.quorate)
        return (uint64_t)setup->tolerance_ms / 4;
    return (uint64_t)larger(setup->tolerance_ms / 2, 2 * setup->freq_ms);
}

void lg_ballot_stand(struct lg_legion *legion)
{
    struct lg_ballot *ballot = &legion->ballot;
    uint64_t wall = legion->wall_ms > 0 ? (uint64_t)legion->wall_ms : 0;
    uint64_t age = wall > ballot->stand ? wall - ballot->stand : 0;
    /* An interval later while others vote for it: what they vote for will be gone, but a
     * few may go on with that for long. */
    uint64_t spared_ms = ballot->votes ? (uint64_t)legion->setup.freq_ms : 0;
    bool old = legion->tick && age >= stand_age_ms(legion) + spared_ms;
    if (ballot->stand && !old && epoch_ok(legion, ballot->stand, legion->self.uuid) &&
        !refused(legion))
        return;
    ballot->stand = ballot->seen + 1 > wall ? ballot->seen + 1 : wall;
    if (lg_legion_is_mutant(legion, LG_MUTANT_EPOCH_NOT_IN_VOTE))
        ballot->stand = ballot->seen + 1;
    see(legion, ballot->stand);
}

void lg_ballot_release(struct lg_legion *legion)
{
    struct lg_ballot *ballot = &legion->ballot;
    ballot->released = true;
    if (lg_legion_is_mutant(legion, LG_MUTANT_NO_RELEASE))
        return;
    ballot->released_us = ballot->stamp_us;
    if (ballot->promise.own)
        ballot->promise = (struct lg_promise){0};
}

/* ---- What we say ----------------------------------------------------------------------- */

/* Of as many as there is room for, from where the last message ended. */
static void fill_echoes(struct lg_legion *legion, struct lg_legion_ballot *said)
{
    struct lg_ballot *ballot = &legion->ballot;
    const struct lg_roster *roster = &legion->roster;
    size_t len = 0, at = ballot->echoes_from < roster->count ? ballot->echoes_from : 0;
    for (size_t i = 0; i < roster->count; i++, at = at + 1 < roster->count ? at + 1 : 0) {
        const struct lg_legion_member *member = &roster->members[at];
        if (member->safe && lg_legion_echo_put(ballot->echoes, ballot->echoes_size, &len,
                                member->id, member->stamp_us))
            break;
    }
    ballot->echoes_from = at;
    said->echoes = lg_slice_from(ballot->echoes, len);
}

void lg_ballot_fill(struct lg_legion *legion, bool answer, struct lg_legion_ballot *ret_ballot)
{
    struct lg_ballot *ballot = &legion->ballot;
    const struct lg_promise *promise = &ballot->promise;
    uint64_t now_us = (uint64_t)legion->now_ms * 1000;
    ballot->stamp_us = now_us > ballot->stamp_us ? now_us : ballot->stamp_us + 1;
    bool holds = legion->state.role >= LG_ROLE_RISING && legion->state.role <= LG_ROLE_FALLING;
    bool stands = legion->state.role == LG_ROLE_FOLLOWER || lg_title_held(legion);
    *ret_ballot = (struct lg_legion_ballot){
        .stamp_us = ballot->stamp_us,
        .promise_ms = legion->setup.tolerance_ms,
        .quorum = legion->setup.quorum,
        .stand = stands ? ballot->stand : 0,
        .reach = ballot->reach,
        .title = holds ? legion->state.epoch : 0,
        .released_us = ballot->released_us,
        .voted = ballot->voted,
    };
    if (promise->epoch) {
        ret_ballot->vote_uuid = lg_slice_from(promise->uuid, LG_LEGION_UUID_LEN);
        ret_ballot->vote_epoch = promise->epoch;
        ret_ballot->vote_echo_us = promise->echo_us;
        ret_ballot->vote_promise_ms = promise->length_ms;
    }
    if (!answer)
        fill_echoes(legion, ret_ballot);
}
