/* Inside legion/: which hooks run next. One phase about ourselves at a time: an
 * address is never being taken and given back at once. Beside it one about a
 * member, which nothing waits for and nothing ends. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_PHASES_H
#define LG_LEGION_PHASES_H

#include "legion/legion.h"

struct lg_phases {
    unsigned wanted;                          /* bit 1 << kind: phases about ourselves */
    enum lg_legion_phase_kind running;        /* or LG_PHASE_NONE */
    bool killing;                             /* its end was asked for */
    enum lg_legion_phase_kind member_running; /* or LG_PHASE_NONE */
    struct lg_legion_phase *waiting;          /* a ring: node-joined and node-left */
    size_t waiting_max, waiting_count, waiting_first;
};

void lg_phases_want(struct lg_phases *phases, enum lg_legion_phase_kind kind);
bool lg_phases_wants(const struct lg_phases *phases, enum lg_legion_phase_kind kind);
void lg_phases_forget(struct lg_phases *phases, enum lg_legion_phase_kind kind);
/* Everything that waits. */
void lg_phases_forget_all(struct lg_phases *phases);
/* A member came or went. False when the ring is full. */
bool lg_phases_push(
    struct lg_phases *phases, enum lg_legion_phase_kind kind, const struct lg_legion_who *who);
/* Takes the next phase about ourselves; false when nothing waits. */
bool lg_phases_next(struct lg_phases *phases, struct lg_legion_phase *ret_phase);
/* The same about a member. */
bool lg_phases_next_member(struct lg_phases *phases, struct lg_legion_phase *ret_phase);
/* The running phase, unless it is `spared`, is to end now: true when the caller
 * has to kill it. */
bool lg_phases_kill(struct lg_phases *phases, enum lg_legion_phase_kind spared);

#endif
