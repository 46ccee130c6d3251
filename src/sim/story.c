/* The story of a simulated legion, a line an event. Pure; depends on base and
 * legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/notes.h"
#include "sim/internal.h"

#include <stdarg.h>
#include <stdio.h>

void lg_sim_tell(const struct lg_sim *sim, int node, const char *format, ...)
{
    if (!sim->spec.story)
        return;
    char text[LG_LEGION_LINE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct lg_sim_line line = {sim->now_us, node, text};
    sim->spec.story(sim->spec.arg, &line);
}

void lg_sim_tell_update(const struct lg_sim *sim, size_t at, const struct lg_legion_update *update)
{
    if (!sim->spec.story)
        return;
    struct lg_slice name = sim->actors[at].model.setup.legion;
    for (size_t i = 0; i < update->note_count; i++) {
        char text[LG_LEGION_LINE_SIZE];
        lg_legion_note_render(&update->notes[i], name, text, sizeof text);
        lg_sim_tell(sim, (int)at, "%s", text);
    }
    if (update->run_hooks)
        lg_sim_tell(sim, (int)at, "runs its %s hooks", lg_legion_phase_name(update->phase.kind));
    if (update->run_member_hooks)
        lg_sim_tell(
            sim, (int)at, "runs its %s hooks", lg_legion_phase_name(update->member_phase.kind));
    if (update->kill_hooks)
        lg_sim_tell(sim, (int)at, "kills its hooks");
}

void lg_sim_tell_fault(const struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    static const char *const texts[LG_SIM_FAULT_COUNT] = {
        [LG_SIM_CUT] = "link cut",
        [LG_SIM_JOIN] = "link joined",
        [LG_SIM_JOIN_ALL] = "all links joined",
        [LG_SIM_KILL] = "killed",
        [LG_SIM_CRASH] = "host crashed",
        [LG_SIM_START] = "started",
        [LG_SIM_STOP] = "stopped",
        [LG_SIM_PAUSE] = "paused",
        [LG_SIM_LOSS] = "loss",
        [LG_SIM_LATENCY] = "latency",
        [LG_SIM_LATE] = "late messages",
        [LG_SIM_TWICE] = "doubled messages",
        [LG_SIM_WALL] = "wall clock jumps",
        [LG_SIM_RESIGN] = "resigns",
        [LG_SIM_CHECK] = "check",
        [LG_SIM_MAINTENANCE] = "maintenance",
        [LG_SIM_KILL_LORD] = "the Lord is killed",
    };
    if (!sim->spec.story)
        return;
    if (fault->kind == LG_SIM_CUT || fault->kind == LG_SIM_JOIN)
        lg_sim_tell(sim, -1, "%s: %u to %u", texts[fault->kind], fault->a, fault->b);
    else if (fault->kind == LG_SIM_LOSS || fault->kind == LG_SIM_LATENCY ||
             fault->kind == LG_SIM_LATE || fault->kind == LG_SIM_TWICE)
        lg_sim_tell(sim, -1, "%s: %lld", texts[fault->kind], (long long)fault->value);
    else if (fault->kind == LG_SIM_JOIN_ALL || fault->kind == LG_SIM_KILL_LORD)
        lg_sim_tell(sim, -1, "%s", texts[fault->kind]);
    else
        lg_sim_tell(sim, (int)fault->a, "%s (%lld)", texts[fault->kind], (long long)fault->value);
}
