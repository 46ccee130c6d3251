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

static void tell_of_links(const struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    double ms = (double)fault->value / 1000, percent = (double)fault->value / 10;
    switch (fault->kind) {
    case LG_SIM_CUT:
    case LG_SIM_JOIN:
        lg_sim_tell(sim, -1, "link %s: from %.*s to %.*s",
            fault->kind == LG_SIM_CUT ? "cut" : "joined", NAME_OF(sim, fault->a),
            NAME_OF(sim, fault->b));
        return;
    case LG_SIM_LOSS:
        lg_sim_tell(sim, -1, "%.1f %% of all messages are lost", percent);
        return;
    case LG_SIM_TWICE:
        lg_sim_tell(sim, -1, "%.1f %% of all messages arrive twice", percent);
        return;
    case LG_SIM_LATENCY:
    case LG_SIM_LATE:
        lg_sim_tell(sim, -1, "messages take up to %.3f ms%s", ms,
            fault->kind == LG_SIM_LATE ? " more" : "");
        return;
    default:
        lg_sim_tell(sim, -1, "all links joined");
    }
}

/* As many names as a line has room for. */
static void tell_of_side(const struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    const bool *side = sim->spec.sides + fault->a * sim->count;
    char names[LG_LEGION_LINE_SIZE / 2] = "";
    size_t len = 0, count = 0;
    for (size_t i = 0; i < sim->count; i++) {
        size_t need = sim->actors[i].model.setup.name.len + 1;
        if (side[i] && len + need < sizeof names)
            len += (size_t)snprintf(
                names + len, sizeof names - len, "%s%.*s", len ? " " : "", NAME_OF(sim, i));
        count += side[i];
    }
    lg_sim_tell(sim, -1, "%s: %zu (%s) | %zu",
        fault->kind == LG_SIM_PART ? "partition" : "partition over", count, names,
        sim->count - count);
}

static void tell_of_node(const struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    int node = (int)fault->a;
    double s = (double)fault->value / 1000000, ms = (double)fault->value;
    switch (fault->kind) {
    case LG_SIM_PAUSE:
        lg_sim_tell(sim, node, "paused for %.3f s", s);
        return;
    case LG_SIM_FREEZE:
        lg_sim_tell(sim, node, "frozen for %.3f s, its clock with it", s);
        return;
    case LG_SIM_WALL:
        lg_sim_tell(sim, node, "wall clock jumps by %.3f s", ms / 1000);
        return;
    case LG_SIM_RESIGN:
        lg_sim_tell(sim, node, "told to resign for %.3f s", ms / 1000);
        return;
    case LG_SIM_CHECK:
        lg_sim_tell(sim, node, "its service is %s", fault->value ? "well" : "broken");
        return;
    case LG_SIM_MAINTENANCE:
        lg_sim_tell(sim, node, "maintenance %s", fault->value ? "on" : "off");
        return;
    case LG_SIM_QUORUM:
        lg_sim_tell(sim, node, "quorum set to %lld", (long long)fault->value);
        return;
    default:
        lg_sim_tell(sim, node, "%s",
            fault->kind == LG_SIM_KILL    ? "killed"
            : fault->kind == LG_SIM_CRASH ? "power cut"
            : fault->kind == LG_SIM_STOP  ? "stopped"
                                          : "started");
    }
}

void lg_sim_tell_fault(const struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    if (!sim->spec.story)
        return;
    if (fault->kind == LG_SIM_KILL_LORD)
        lg_sim_tell(sim, -1, "the Lord's power is cut");
    else if (fault->kind == LG_SIM_PART || fault->kind == LG_SIM_HEAL)
        tell_of_side(sim, fault);
    else if (lg_sim_is_of_links(fault->kind))
        tell_of_links(sim, fault);
    else
        tell_of_node(sim, fault);
}
