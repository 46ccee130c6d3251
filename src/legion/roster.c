/* The roster of a legion: members, checksum, best candidate, votes. Pure;
 * depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/roster.h"

static void copy_text(char *out, size_t size, struct lg_slice text)
{
    size_t len = text.len < size ? text.len : size - 1;
    if (len)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

/* Valor, name and uuid together are a member's identity on this wire. */
static bool same_node(const struct lg_legion_who *who, const struct lg_legion_message *message)
{
    return who->valor == message->valor &&
           memcmp(who->uuid, message->uuid.ptr, LG_LEGION_UUID_LEN) == 0 &&
           lg_slice_eq(lg_slice_of(who->name), message->name);
}

static uint64_t weight(const struct lg_legion_who *who)
{
    uint64_t sum = who->valor;
    for (size_t i = 0; i < LG_LEGION_UUID_LEN; i++)
        sum += (unsigned char)who->uuid[i];
    return sum;
}

static bool same_uuid(const struct lg_legion_member *member, const char *uuid)
{
    return memcmp(member->who.uuid, uuid, LG_LEGION_UUID_LEN) == 0;
}

/* In a large legion looking for the sender would be most of the work of a message.
 * The first place to look; where it is not there, look everywhere. */
static uint32_t *hint_of(const struct lg_roster *roster, uint64_t id)
{
    return &roster->hints[id & (roster->hint_count - 1)];
}

/* The next member with that id from `from` on; the count when there is none. */
static size_t next_with(const struct lg_roster *roster, uint64_t id, size_t from)
{
    while (from < roster->count && roster->ids[from] != id)
        from++;
    return from;
}

static bool is_sender(
    const struct lg_legion_member *member, const struct lg_legion_message *message, bool safe)
{
    return same_node(&member->who, message) ||
           (safe && member->safe && same_uuid(member, message->uuid.ptr));
}

struct lg_legion_member *lg_roster_find(
    struct lg_roster *roster, const struct lg_legion_message *message, bool safe)
{
    uint64_t id = lg_legion_id(message->uuid.ptr);
    uint32_t *hint = hint_of(roster, id);
    if (*hint < roster->count && roster->ids[*hint] == id &&
        is_sender(&roster->members[*hint], message, safe))
        return &roster->members[*hint];
    for (size_t i = next_with(roster, id, 0); i < roster->count; i = next_with(roster, id, i + 1)) {
        if (!is_sender(&roster->members[i], message, safe))
            continue;
        *hint = (uint32_t)i;
        return &roster->members[i];
    }
    return NULL;
}

struct lg_legion_member *lg_roster_by_uuid(struct lg_roster *roster, const char *uuid)
{
    uint64_t id = lg_legion_id(uuid);
    for (size_t i = next_with(roster, id, 0); i < roster->count; i = next_with(roster, id, i + 1))
        if (roster->members[i].safe && same_uuid(&roster->members[i], uuid))
            return &roster->members[i];
    return NULL;
}

struct lg_legion_member *lg_roster_add(
    struct lg_roster *roster, const struct lg_legion_message *message)
{
    if (roster->count == roster->max)
        return NULL;
    struct lg_legion_member *member = &roster->members[roster->count];
    *member = (struct lg_legion_member){.who.valor = message->valor};
    copy_text(member->who.name, sizeof member->who.name, message->name);
    copy_text(member->who.uuid, sizeof member->who.uuid, message->uuid);
    member->id = lg_legion_id(member->who.uuid);
    member->answered_ms = INT64_MIN;
    *hint_of(roster, member->id) = (uint32_t)roster->count;
    roster->ids[roster->count++] = member->id;
    roster->sum += weight(&member->who);
    return member;
}

void lg_roster_rename(struct lg_roster *roster, struct lg_legion_member *member,
    const struct lg_legion_message *message)
{
    if (same_node(&member->who, message))
        return;
    roster->sum -= weight(&member->who);
    member->who.valor = message->valor;
    copy_text(member->who.name, sizeof member->who.name, message->name);
    roster->sum += weight(&member->who);
}

void lg_roster_take(struct lg_legion_member *member, const struct lg_legion_message *message,
    int64_t now_ms, int64_t wall_s)
{
    member->checksum = message->checksum;
    member->vote_valor = message->lord_valor;
    copy_text(member->vote_uuid, sizeof member->vote_uuid, message->lord_uuid);
    member->seen_ms = now_ms;
    member->seen_s = wall_s;
    member->unix_s = message->unix_s;
    member->lord_s = message->lord_s;
}

static void bury(struct lg_roster *roster, const struct lg_legion_member *member)
{
    if (!member->safe || roster->grave_max == 0)
        return;
    roster->graves[roster->grave_next] = (struct lg_roster_grave){member->id, member->stamp_us};
    roster->grave_next = (roster->grave_next + 1) % roster->grave_max;
}

uint64_t lg_roster_buried_us(const struct lg_roster *roster, uint64_t id)
{
    uint64_t newest_us = 0;
    for (size_t i = 0; i < roster->grave_max; i++)
        if (roster->graves[i].id == id && roster->graves[i].stamp_us > newest_us)
            newest_us = roster->graves[i].stamp_us;
    return newest_us;
}

void lg_roster_remove(struct lg_roster *roster, struct lg_legion_member *member)
{
    size_t at = (size_t)(member - roster->members), after = roster->count - at - 1;
    bury(roster, member);
    roster->sum -= weight(&member->who);
    memmove(member, member + 1, after * sizeof *member);
    memmove(&roster->ids[at], &roster->ids[at + 1], after * sizeof *roster->ids);
    roster->count--;
}

int64_t lg_roster_member_expiry_ms(const struct lg_legion_member *member, int64_t tolerance_ms)
{
    return member->seen_ms + (member->safe ? member->promise_ms : tolerance_ms);
}

void lg_roster_find_expiry(struct lg_roster *roster, int64_t tolerance_ms)
{
    roster->expiry_ms = INT64_MAX;
    for (size_t i = 0; i < roster->count; i++) {
        int64_t at_ms = lg_roster_member_expiry_ms(&roster->members[i], tolerance_ms);
        if (at_ms < roster->expiry_ms)
            roster->expiry_ms = at_ms;
    }
}

uint64_t lg_roster_checksum(const struct lg_roster *roster, const struct lg_legion_who *self)
{
    return roster->sum + (self ? weight(self) : 0);
}

bool lg_roster_better(const struct lg_legion_who *a, const struct lg_legion_who *b)
{
    if (a->valor != b->valor)
        return a->valor > b->valor;
    return memcmp(a->uuid, b->uuid, LG_LEGION_UUID_LEN) > 0;
}

const struct lg_legion_who *lg_roster_best(
    const struct lg_roster *roster, const struct lg_legion_who *self)
{
    const struct lg_legion_who *best = self && self->valor ? self : NULL;
    for (size_t i = 0; i < roster->count; i++) {
        const struct lg_legion_who *who = &roster->members[i].who;
        if (who->valor && (!best || lg_roster_better(who, best)))
            best = who;
    }
    return best;
}

struct lg_tally lg_roster_tally(const struct lg_roster *roster, const struct lg_legion_who *self,
    uint64_t checksum, const struct lg_legion_who *vote)
{
    struct lg_tally tally = {.votes = self ? 1 : 0, .agreed = true};
    for (size_t i = 0; i < roster->count; i++) {
        const struct lg_legion_member *member = &roster->members[i];
        if (member->checksum != checksum || member->vote_valor != vote->valor ||
            strcmp(member->vote_uuid, vote->uuid) != 0)
            return (struct lg_tally){.votes = 0, .agreed = false};
        tally.votes++;
    }
    return tally;
}
