/* Ways to break the promise on purpose, for tests of the simulator: each must be
 * found. Compiled in only where LG_LEGION_MUTANTS is defined (tests/sim); in
 * every other build lg_legion_is_mutant is the constant false.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_MUTANTS_H
#define LG_LEGION_MUTANTS_H

#include <stdbool.h>

struct lg_legion;

enum lg_legion_mutant {
    LG_MUTANT_NONE,
    LG_MUTANT_NO_LEASE,             /* a title has no end of its own */
    LG_MUTANT_NO_RELEASE,           /* a title given up is not said to be */
    LG_MUTANT_RELEASED_COUNTS,      /* votes count that were released */
    LG_MUTANT_NO_START_WAIT,        /* promises of an earlier life are forgotten */
    LG_MUTANT_NO_MAJORITY,          /* one vote less than the quorum will do */
    LG_MUTANT_PROMISE_FROM_SENDING, /* a promise runs from when the vote is said */
    LG_MUTANT_RENEW_ANY,            /* a promise to a mere candidate is renewed */
    LG_MUTANT_EPOCH_NOT_IN_VOTE,    /* votes do not name their epoch */
    LG_MUTANT_VOTE_TWICE,           /* a promise binds nobody */
    LG_MUTANT_OLD_TITLE_STAYS,      /* a Lord does not mind a later title */
    LG_MUTANT_COUNT
};

#ifdef LG_LEGION_MUTANTS
/* Once, before the first event. */
void lg_legion_mutate(struct lg_legion *legion, enum lg_legion_mutant mutant);
bool lg_legion_is_mutant(const struct lg_legion *legion, enum lg_legion_mutant mutant);
#else
static inline bool lg_legion_is_mutant(const struct lg_legion *legion, enum lg_legion_mutant mutant)
{
    (void)legion, (void)mutant;
    return false;
}
#endif

#endif
