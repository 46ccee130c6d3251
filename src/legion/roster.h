/* Inside legion/: who is in the legion, as this node sees it, and how it votes.
 * Pure arithmetic on a fixed table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_ROSTER_H
#define LG_LEGION_ROSTER_H

#include "legion/legion.h"

/* A member that is gone: what it said before stays said, and is not news. */
struct lg_roster_grave {
    uint64_t id, stamp_us;
};

struct lg_roster {
    struct lg_legion_member *members; /* in order of arrival */
    uint64_t *ids;                    /* of the members, in the same order */
    uint32_t *hints;                  /* where a member with such an id was last found */
    size_t hint_count;                /* a power of two */
    size_t count;
    size_t max;
    int64_t expiry_ms; /* nobody is lost before; INT64_MAX = never */
    uint64_t sum;      /* of the members' weights: the checksum without us */
    struct lg_roster_grave *graves;
    size_t grave_max, grave_next;
};

struct lg_tally {
    uint64_t votes; /* us and all members that agree; 0 when any member disagrees */
    bool agreed;    /* no member disagrees */
};

/* The member a message comes from, or NULL. With our keys (`safe`) the uuid alone
 * is its identity, else valor, name and uuid are. */
struct lg_legion_member *lg_roster_find(
    struct lg_roster *roster, const struct lg_legion_message *message, bool safe);
/* The member with that uuid and our keys, or NULL. */
struct lg_legion_member *lg_roster_by_uuid(struct lg_roster *roster, const char *uuid);
/* NULL when the table is full. */
struct lg_legion_member *lg_roster_add(
    struct lg_roster *roster, const struct lg_legion_message *message);
/* A living member has another name or valor than before. */
void lg_roster_rename(struct lg_roster *roster, struct lg_legion_member *member,
    const struct lg_legion_message *message);
/* The newest stamp heard of a member that is gone; 0 = not known. */
uint64_t lg_roster_buried_us(const struct lg_roster *roster, uint64_t id);
/* What a message says, into its member. */
void lg_roster_take(struct lg_legion_member *member, const struct lg_legion_message *message,
    int64_t now_ms, int64_t wall_s);
void lg_roster_remove(struct lg_roster *roster, struct lg_legion_member *member);

/* When a member's silence becomes too long: its own promise's length, or
 * `tolerance_ms` for one without our keys. */
int64_t lg_roster_member_expiry_ms(const struct lg_legion_member *member, int64_t tolerance_ms);
/* Sets expiry_ms to the first of them. */
void lg_roster_find_expiry(struct lg_roster *roster, int64_t tolerance_ms);
/* The order-free sum every node announces. `self` NULL = we do not count. */
uint64_t lg_roster_checksum(const struct lg_roster *roster, const struct lg_legion_who *self);
/* Whether `a` goes before `b`: higher valor, then higher uuid. */
bool lg_roster_better(const struct lg_legion_who *a, const struct lg_legion_who *b);
/* The best candidate: highest valor, then highest uuid; never an arbiter. NULL
 * when there is none. `self` NULL = we do not stand. */
const struct lg_legion_who *lg_roster_best(
    const struct lg_roster *roster, const struct lg_legion_who *self);
/* Counts our vote (unless `self` is NULL) and the members'. */
struct lg_tally lg_roster_tally(const struct lg_roster *roster, const struct lg_legion_who *self,
    uint64_t checksum, const struct lg_legion_who *vote);

#endif
