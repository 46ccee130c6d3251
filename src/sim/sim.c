/* The outside of a simulation. Pure; depends on base and legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"
#include "sim/internal.h"

#include <stdlib.h>

/* splitmix64, to spread a seed. */
static uint64_t spread(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static size_t packet_size(const struct lg_sim_spec *spec)
{
    size_t members = spec->node_count;
    size_t size = 1024 + LG_LEGION_NAME_MAX + LG_LEGION_SCROLL_MAX + members * LG_LEGION_ECHO_SIZE;
    return size < LG_LEGION_DATA_MAX ? size : LG_LEGION_DATA_MAX;
}

static void make_actors(struct lg_sim *sim)
{
    for (size_t i = 0; i < sim->count; i++) {
        struct lg_sim_actor *actor = &sim->actors[i];
        actor->model = sim->spec.nodes[i];
        if (!actor->model.setup.members_max)
            actor->model.setup.members_max = (unsigned)(2 * sim->count + 8);
        actor->wall_ms = actor->model.wall_skew_ms;
        actor->clock_us = (int64_t)lg_sim_random(sim, 10000000000);
        actor->timer_us = INT64_MAX;
        if (actor->model.start_us >= 0)
            lg_sim_push(
                sim, (struct lg_sim_event){
                         .at_us = actor->model.start_us, .kind = LG_SIM_BOOT, .node = (uint32_t)i});
    }
}

int lg_sim_new(const struct lg_sim_spec *spec, struct lg_sim **ret_sim)
{
    if (spec->node_count == 0 || spec->node_count > LG_SIM_NODES_MAX)
        return -LG_E_LIMIT;
    struct lg_sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return -LG_E_NOMEM;
    size_t count = spec->node_count;
    sim->spec = *spec;
    sim->count = count;
    sim->packet_size = packet_size(spec);
    sim->latency_us = spec->latency_us ? spec->latency_us : 1000;
    sim->note_max = LG_LEGION_NOTES_FOR(2 * count + 8);
    sim->actors = calloc(count, sizeof *sim->actors);
    sim->cut = calloc(count * count, sizeof *sim->cut);
    sim->notes = calloc(sim->note_max, sizeof *sim->notes);
    sim->titled = calloc(count, sizeof *sim->titled);
    sim->parted = calloc(spec->side_count + 1, sizeof *sim->parted);
    if (!sim->actors || !sim->cut || !sim->notes || !sim->titled || !sim->parted) {
        lg_sim_free(sim);
        return -LG_E_NOMEM;
    }
    uint64_t seed = spec->seed;
    for (size_t i = 0; i < 4; i++)
        sim->random[i] = spread(&seed);
    sim->verdict.two_lords_at_us = -1;
    sim->verdict.last_title_us = -1;
    make_actors(sim);
    *ret_sim = sim;
    return 0;
}

void lg_sim_free(struct lg_sim *sim)
{
    if (!sim)
        return;
    for (size_t i = 0; i < sim->heap.count; i++)
        lg_sim_unref(sim, sim->heap.events[i].packet);
    while (sim->free_packets) {
        struct lg_sim_packet *packet = sim->free_packets;
        sim->free_packets = packet->next;
        free(packet);
    }
    for (size_t i = 0; sim->actors && i < sim->count; i++)
        lg_legion_free(sim->actors[i].legion);
    free(sim->heap.events);
    free(sim->actors);
    free(sim->cut);
    free(sim->notes);
    free(sim->titled);
    free(sim->parted);
    free(sim);
}

/* ---- Faults ------------------------------------------------------------------------ */

static void pause(struct lg_sim *sim, struct lg_sim_actor *actor, int64_t for_us)
{
    if (!actor->legion || actor->paused_until_us > sim->now_us)
        return;
    actor->paused_until_us = sim->now_us + for_us;
    int64_t now_us = actor->clock_us + sim->now_us + sim->now_us * actor->model.rate_ppm / 1000000;
    actor->stale_ms = now_us / 1000;
}

/* A title that others could read stays readable when the machine goes on. */
static void freeze(struct lg_sim *sim, struct lg_sim_actor *actor, int64_t for_us)
{
    if (!actor->legion || actor->paused_until_us > sim->now_us)
        return;
    pause(sim, actor, for_us);
    actor->frozen_until_us = sim->now_us + for_us;
    actor->clock_us -= for_us + for_us * actor->model.rate_ppm / 1000000;
    actor->title_until_us += for_us;
    actor->thawed = actor->titled;
}

static void tell_node(struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    struct lg_legion_event event = {.kind = LG_EVENT_RESIGN};
    struct lg_sim_actor *actor = &sim->actors[fault->a];
    if (!actor->legion || actor->paused_until_us > sim->now_us)
        return;
    if (fault->kind == LG_SIM_STOP) {
        event.kind = LG_EVENT_SHUTDOWN;
    } else if (fault->kind == LG_SIM_RESIGN) {
        event.hold_ms = fault->value;
    } else {
        event.kind = fault->kind == LG_SIM_CHECK ? LG_EVENT_CHECK : LG_EVENT_MAINTENANCE;
        event.on = fault->value != 0;
    }
    lg_sim_step(sim, fault->a, &event);
}

static void of_links(struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    switch (fault->kind) {
    case LG_SIM_CUT:
    case LG_SIM_JOIN:
        sim->cut[fault->a * sim->count + fault->b] = fault->kind == LG_SIM_CUT;
        return;
    case LG_SIM_JOIN_ALL:
        memset(sim->cut, 0, sim->count * sim->count * sizeof *sim->cut);
        memset(sim->parted, 0, sim->spec.side_count * sizeof *sim->parted);
        return;
    case LG_SIM_PART:
    case LG_SIM_HEAL:
        sim->parted[fault->a] = fault->kind == LG_SIM_PART;
        return;
    case LG_SIM_LOSS:
        sim->loss_permille = (unsigned)fault->value;
        return;
    case LG_SIM_LATENCY:
        sim->latency_us = fault->value;
        return;
    case LG_SIM_LATE:
        sim->late_us = fault->value;
        return;
    default: /* LG_SIM_TWICE */
        sim->twice_permille = (unsigned)fault->value;
    }
}

static void of_node(struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    struct lg_sim_actor *actor = &sim->actors[fault->a];
    lg_sim_catch_up(sim, fault->a);
    switch (fault->kind) {
    case LG_SIM_KILL:
    case LG_SIM_CRASH:
        lg_sim_kill(sim, fault->a, fault->kind == LG_SIM_CRASH);
        return;
    case LG_SIM_START:
        lg_sim_boot(sim, fault->a);
        return;
    case LG_SIM_PAUSE:
        pause(sim, actor, fault->value);
        return;
    case LG_SIM_FREEZE:
        freeze(sim, actor, fault->value);
        return;
    case LG_SIM_QUORUM:
        actor->model.setup.quorum = (uint64_t)fault->value;
        actor->untold = actor->legion != NULL;
        lg_sim_catch_up(sim, fault->a);
        return;
    case LG_SIM_WALL:
        actor->wall_ms += fault->value;
        return;
    default:
        tell_node(sim, fault);
    }
}

bool lg_sim_is_of_links(enum lg_sim_fault_kind kind)
{
    return kind <= LG_SIM_JOIN_ALL || kind == LG_SIM_PART || kind == LG_SIM_HEAL ||
           (kind >= LG_SIM_LOSS && kind <= LG_SIM_TWICE);
}

int lg_sim_fault(struct lg_sim *sim, const struct lg_sim_fault *fault)
{
    bool is_side = fault->kind == LG_SIM_PART || fault->kind == LG_SIM_HEAL;
    if (fault->a >= (is_side ? sim->spec.side_count : sim->count) || fault->b >= sim->count ||
        fault->kind >= LG_SIM_FAULT_COUNT)
        return -LG_E_INVALID;
    lg_sim_tell_fault(sim, fault);
    if (fault->kind == LG_SIM_KILL_LORD) {
        int lord = lg_sim_lord(sim);
        if (lord >= 0)
            lg_sim_kill(sim, (size_t)lord, true);
    } else if (lg_sim_is_of_links(fault->kind)) {
        of_links(sim, fault);
    } else {
        of_node(sim, fault);
    }
    return sim->err;
}

/* ---- Running --------------------------------------------------------------------------- */

static int64_t next_fault_us(const struct lg_sim *sim)
{
    return sim->next_fault < sim->spec.fault_count ? sim->spec.faults[sim->next_fault].at_us
                                                   : INT64_MAX;
}

int lg_sim_run(struct lg_sim *sim, int64_t until_us)
{
    while (!sim->err) {
        int64_t event_us = sim->heap.count ? sim->heap.events[0].at_us : INT64_MAX;
        int64_t fault_us = next_fault_us(sim);
        int64_t at_us = event_us < fault_us ? event_us : fault_us;
        if (at_us > until_us)
            break;
        if (at_us > sim->now_us)
            lg_sim_elapse(sim, at_us);
        if (fault_us <= event_us) {
            int err = lg_sim_fault(sim, &sim->spec.faults[sim->next_fault++]);
            if (err)
                return err;
            continue;
        }
        struct lg_sim_event event = lg_sim_heap_pop(&sim->heap);
        lg_sim_happen(sim, &event);
    }
    if (until_us > sim->now_us)
        lg_sim_elapse(sim, until_us);
    return sim->err;
}

/* ---- Looking ----------------------------------------------------------------------------- */

struct lg_sim_verdict lg_sim_verdict(const struct lg_sim *sim)
{
    return sim->verdict;
}

int64_t lg_sim_now_us(const struct lg_sim *sim)
{
    return sim->now_us;
}

int lg_sim_lord(const struct lg_sim *sim)
{
    int lord = -1;
    for (size_t i = 0; i < sim->titled_count; i++)
        if (lg_sim_holds(sim, sim->titled[i], sim->now_us) &&
            (lord < 0 || (int)sim->titled[i] < lord))
            lord = (int)sim->titled[i];
    return lord;
}

bool lg_sim_runs(const struct lg_sim *sim, size_t node)
{
    return sim->actors[node].legion != NULL;
}

bool lg_sim_is_cut(const struct lg_sim *sim, size_t from, size_t to)
{
    bool cut = sim->cut[from * sim->count + to];
    for (size_t i = 0; i < sim->spec.side_count && !cut; i++) {
        const bool *side = sim->spec.sides + i * sim->count;
        cut = sim->parted[i] && side[from] != side[to];
    }
    return cut;
}

const struct lg_legion_state *lg_sim_state(const struct lg_sim *sim, size_t node)
{
    const struct lg_legion *legion = sim->actors[node].legion;
    return legion ? lg_legion_state(legion) : NULL;
}
