/* Which hooks run next. Pure; depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/phases.h"

/* Giving up comes before everything. Setup cleans what an earlier life left, so
 * it precedes lord; join precedes lord as in uWSGI. Members' phases are apart:
 * somebody's slow notification delays no title. */
static const enum lg_legion_phase_kind order[] = {
    LG_PHASE_UNLORD, LG_PHASE_DEATH, LG_PHASE_SETUP, LG_PHASE_JOIN, LG_PHASE_LORD};

const char *lg_legion_phase_name(enum lg_legion_phase_kind kind)
{
    static const char *const names[LG_PHASE_COUNT] = {
        [LG_PHASE_NONE] = "none",
        [LG_PHASE_SETUP] = "setup",
        [LG_PHASE_JOIN] = "join",
        [LG_PHASE_LORD] = "lord",
        [LG_PHASE_UNLORD] = "unlord",
        [LG_PHASE_DEATH] = "death",
        [LG_PHASE_NODE_JOINED] = "node-joined",
        [LG_PHASE_NODE_LEFT] = "node-left",
    };
    return kind < LG_PHASE_COUNT ? names[kind] : "unknown";
}

void lg_phases_want(struct lg_phases *phases, enum lg_legion_phase_kind kind)
{
    phases->wanted |= 1U << kind;
}

bool lg_phases_wants(const struct lg_phases *phases, enum lg_legion_phase_kind kind)
{
    return (phases->wanted & 1U << kind) != 0;
}

void lg_phases_forget(struct lg_phases *phases, enum lg_legion_phase_kind kind)
{
    phases->wanted &= ~(1U << kind);
}

void lg_phases_forget_all(struct lg_phases *phases)
{
    phases->wanted = 0;
    phases->waiting_count = 0;
}

bool lg_phases_push(
    struct lg_phases *phases, enum lg_legion_phase_kind kind, const struct lg_legion_who *who)
{
    if (phases->waiting_count == phases->waiting_max)
        return false;
    size_t at = (phases->waiting_first + phases->waiting_count++) % phases->waiting_max;
    phases->waiting[at] = (struct lg_legion_phase){.kind = kind, .who = *who};
    return true;
}

bool lg_phases_next(struct lg_phases *phases, struct lg_legion_phase *ret_phase)
{
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!lg_phases_wants(phases, order[i]))
            continue;
        lg_phases_forget(phases, order[i]);
        *ret_phase = (struct lg_legion_phase){.kind = order[i]};
        return true;
    }
    return false;
}

bool lg_phases_next_member(struct lg_phases *phases, struct lg_legion_phase *ret_phase)
{
    if (phases->waiting_count == 0)
        return false;
    *ret_phase = phases->waiting[phases->waiting_first];
    phases->waiting_first = (phases->waiting_first + 1) % phases->waiting_max;
    phases->waiting_count--;
    return true;
}

bool lg_phases_kill(struct lg_phases *phases, enum lg_legion_phase_kind spared)
{
    if (phases->running == LG_PHASE_NONE || phases->running == spared || phases->killing)
        return false;
    phases->killing = true;
    return true;
}
