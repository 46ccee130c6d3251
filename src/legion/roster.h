/* Inside legion/: who is in the legion, as this node sees it, and how it votes.
 * Pure arithmetic on a fixed table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_ROSTER_H
#define LG_LEGION_ROSTER_H

#include "legion/legion.h"

struct lg_roster {
    struct lg_legion_member *members; /* in order of arrival */
    size_t count;
    size_t max;
};

struct lg_tally {
    uint64_t votes; /* us and all members that agree; 0 when any member disagrees */
    bool agreed;    /* no member disagrees */
};

/* The member a message comes from, or NULL. */
struct lg_legion_member *lg_roster_find(
    struct lg_roster *roster, const struct lg_legion_message *message);
/* NULL when the table is full. */
struct lg_legion_member *lg_roster_add(
    struct lg_roster *roster, const struct lg_legion_message *message);
/* What a message says, into its member. */
void lg_roster_take(struct lg_legion_member *member, const struct lg_legion_message *message,
    int64_t now_ms, int64_t wall_s);
void lg_roster_remove(struct lg_roster *roster, struct lg_legion_member *member);

/* When the first member's silence becomes too long; INT64_MAX = never. */
int64_t lg_roster_expiry_ms(const struct lg_roster *roster, int64_t tolerance_ms);
/* The order-free sum every node announces. `self` NULL = we do not count. */
uint64_t lg_roster_checksum(const struct lg_roster *roster, const struct lg_legion_who *self);
/* The best candidate: highest valor, then highest uuid; never an arbiter. NULL
 * when there is none. `self` NULL = we do not stand. */
const struct lg_legion_who *lg_roster_best(
    const struct lg_roster *roster, const struct lg_legion_who *self);
/* Counts our vote (unless `self` is NULL) and the members'. */
struct lg_tally lg_roster_tally(const struct lg_roster *roster, const struct lg_legion_who *self,
    uint64_t checksum, const struct lg_legion_who *vote);

#endif
