/* Schedules made of a seed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "schedule.h"

#include <stdio.h>
#include <stdlib.h>

#define MS     ((int64_t)1000) /* us */
#define DAY_MS ((int64_t)86400000)

struct maker {
    struct schedule *s;
    uint64_t state;
    int64_t freq_ms, tolerance_ms; /* the longest of all nodes */
    unsigned count;
    bool forgetful, still_clocks;
};

static uint64_t draw(struct maker *m, uint64_t below)
{
    uint64_t z = m->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

static int64_t between(struct maker *m, int64_t low, int64_t high)
{
    return low + (int64_t)draw(m, (uint64_t)(high - low) + 1);
}

static bool one_in(struct maker *m, uint64_t n)
{
    return draw(m, n) == 0;
}

/* ---- Nodes -------------------------------------------------------------------------- */

static void make_hooks(struct maker *m, struct lg_sim_node *node)
{
    struct lg_sim_hook *lord = &node->hooks[LG_PHASE_LORD], *un = &node->hooks[LG_PHASE_UNLORD];
    lord->max_ms = one_in(m, 4) ? 3 * m->tolerance_ms : m->freq_ms / 2;
    un->max_ms = one_in(m, 8) ? 2 * m->tolerance_ms : m->freq_ms / 4;
    un->fail_permille = one_in(m, 6) ? 300 : 0;
    node->hooks[LG_PHASE_DEATH].max_ms = m->freq_ms / 4;
}

static void make_node(struct maker *m, unsigned at, bool mixed)
{
    struct lg_sim_node *node = &m->s->nodes[at];
    int64_t freq_ms = m->freq_ms, tolerance_ms = m->tolerance_ms;
    if (mixed) {
        freq_ms = between(m, m->freq_ms / 3, m->freq_ms);
        tolerance_ms = between(m, 3 * m->freq_ms, m->tolerance_ms);
    }
    snprintf(m->s->names[at], sizeof m->s->names[at], "n%u", at);
    node->setup = (struct lg_legion_setup){
        .legion = LG_SLICE("sim"),
        .name = lg_slice_of(m->s->names[at]),
        .pid = 1 + at,
        .valor = 10 * (uint64_t)(m->count - at),
        .quorum = m->count / 2 + 1,
        .freq_ms = freq_ms,
        .tolerance_ms = tolerance_ms,
        .skew_tolerance_s = INT32_MAX,
        .phases = 1U << LG_PHASE_LORD | 1U << LG_PHASE_UNLORD | 1U << LG_PHASE_DEATH,
        .members_max = 64,
        .safe = LG_SAFE_ON,
        .start_wait_ms = 2 * m->tolerance_ms,
    };
    if (one_in(m, 6))
        node->setup.nopreempt = true;
    else if (one_in(m, 6))
        node->setup.preempt_delay_ms = between(m, 0, m->tolerance_ms);
    node->start_us = between(m, 0, 2 * m->freq_ms) * MS;
    node->rate_ppm = (int)between(m, -9700, 9700);
    node->wall_skew_ms =
        m->still_clocks ? between(m, -m->freq_ms, m->freq_ms) : between(m, -DAY_MS, DAY_MS);
    node->forgets = m->forgetful && !one_in(m, 3);
    make_hooks(m, node);
}

static void make_nodes(struct maker *m)
{
    static const unsigned counts[] = {3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7, 9};
    static const int64_t freqs_ms[] = {1000, 1000, 3000, 100};
    m->count = counts[draw(m, sizeof counts / sizeof *counts)];
    m->freq_ms = freqs_ms[draw(m, 4)];
    m->tolerance_ms = m->freq_ms * between(m, 3, 6);
    m->forgetful = one_in(m, 3);
    m->still_clocks = m->forgetful || one_in(m, 2);
    bool mixed = one_in(m, 4), equal = one_in(m, 5), arbiters = one_in(m, 5);
    for (unsigned i = 0; i < m->count; i++)
        make_node(m, i, mixed);
    for (unsigned i = 0; i < m->count && equal; i++)
        m->s->nodes[i].setup.valor = 50;
    for (unsigned i = 2; i < m->count && arbiters; i++)
        if (one_in(m, 2))
            m->s->nodes[i].setup.valor = 0;
    m->s->mixed = one_in(m, 20);
    for (unsigned i = 0; i < m->count && m->s->mixed; i++)
        m->s->nodes[i].setup.safe = one_in(m, 3) ? LG_SAFE_OFF : LG_SAFE_AUTO;
    m->s->spec.nodes = m->s->nodes;
    m->s->spec.node_count = m->count;
}

/* ---- Faults --------------------------------------------------------------------------- */

static void add(struct maker *m, int64_t at_us, enum lg_sim_fault_kind kind, unsigned a, unsigned b,
    int64_t value)
{
    struct schedule *s = m->s;
    if (s->spec.fault_count < SCHEDULE_FAULTS_MAX && at_us <= s->quiet_us)
        s->faults[s->spec.fault_count++] =
            (struct lg_sim_fault){.at_us = at_us, .kind = kind, .a = a, .b = b, .value = value};
}

static void cut_forever(struct maker *m, int64_t at_us)
{
    for (unsigned a = 0; a < m->count; a++)
        for (unsigned b = 0; b < m->count; b++)
            if (m->s->forever[a][b])
                add(m, at_us, LG_SIM_CUT, a, b, 0);
}

static void join_all(struct maker *m, int64_t at_us)
{
    add(m, at_us, LG_SIM_JOIN_ALL, 0, 0, 0);
    cut_forever(m, at_us);
}

static void part(struct maker *m, int64_t at_us)
{
    uint64_t side = draw(m, 1U << m->count);
    bool one_way = one_in(m, 4);
    for (unsigned a = 0; a < m->count; a++)
        for (unsigned b = 0; b < m->count; b++)
            if ((side >> a & 1) > (side >> b & 1)) {
                add(m, at_us, LG_SIM_CUT, a, b, 0);
                if (!one_way)
                    add(m, at_us, LG_SIM_CUT, b, a, 0);
            }
}

static void die(struct maker *m, int64_t at_us, unsigned a)
{
    static const enum lg_sim_fault_kind kinds[] = {LG_SIM_KILL, LG_SIM_CRASH, LG_SIM_STOP};
    enum lg_sim_fault_kind kind = kinds[draw(m, 3)];
    int64_t down_us =
        one_in(m, 3) ? between(m, 1, 50) * MS : between(m, 0, 3 * m->tolerance_ms) * MS;
    add(m, at_us, kind, a, 0, 0);
    add(m, at_us + down_us, LG_SIM_START, a, 0, 0);
}

static void weather(struct maker *m, int64_t at_us)
{
    int64_t until_us = at_us + between(m, 0, 3 * m->tolerance_ms) * MS;
    switch (draw(m, 4)) {
    case 0:
        add(m, at_us, LG_SIM_LOSS, 0, 0, between(m, 0, 500));
        add(m, until_us, LG_SIM_LOSS, 0, 0, 0);
        return;
    case 1:
        add(m, at_us, LG_SIM_LATENCY, 0, 0, between(m, 1, m->tolerance_ms) * MS);
        add(m, until_us, LG_SIM_LATENCY, 0, 0, between(m, 1, m->freq_ms / 5) * MS);
        return;
    case 2:
        add(m, at_us, LG_SIM_LATE, 0, 0, between(m, 1, 2 * m->tolerance_ms) * MS);
        return;
    default:
        add(m, at_us, LG_SIM_TWICE, 0, 0, between(m, 0, 300));
    }
}

static void operate(struct maker *m, int64_t at_us, unsigned a)
{
    int64_t until_us = at_us + between(m, 0, 2 * m->tolerance_ms) * MS;
    switch (draw(m, 3)) {
    case 0:
        add(m, at_us, LG_SIM_RESIGN, a, 0, between(m, 1, m->tolerance_ms));
        return;
    case 1:
        add(m, at_us, LG_SIM_CHECK, a, 0, 0);
        add(m, until_us, LG_SIM_CHECK, a, 0, 1);
        return;
    default:
        add(m, at_us, LG_SIM_MAINTENANCE, a, 0, 1);
        add(m, until_us, LG_SIM_MAINTENANCE, a, 0, 0);
    }
}

static void strike(struct maker *m, int64_t at_us)
{
    unsigned a = (unsigned)draw(m, m->count), b = (unsigned)draw(m, m->count);
    switch (draw(m, 12)) {
    case 0:
        add(m, at_us, LG_SIM_CUT, a, b, 0);
        add(m, at_us, LG_SIM_CUT, b, a, 0);
        return;
    case 1:
        add(m, at_us, LG_SIM_CUT, a, b, 0);
        return;
    case 2:
    case 3:
        join_all(m, at_us);
        return;
    case 4:
        part(m, at_us);
        return;
    case 5:
    case 6: {
        int64_t most_us = m->s->quiet_us - at_us,
                pause_us = between(m, 1, 4 * m->tolerance_ms) * MS;
        add(m, at_us, LG_SIM_PAUSE, a, 0, pause_us < most_us ? pause_us : most_us);
        return;
    }
    case 7:
    case 8:
        die(m, at_us, a);
        return;
    case 9:
        weather(m, at_us);
        return;
    case 10:
        operate(m, at_us, a);
        return;
    default:
        if (m->still_clocks)
            add(m, at_us, LG_SIM_KILL_LORD, 0, 0, 0);
        else
            add(m, at_us, LG_SIM_WALL, a, 0, between(m, -DAY_MS, DAY_MS));
    }
}

static void make_forever(struct maker *m)
{
    if (!one_in(m, 5))
        return;
    for (int64_t i = between(m, 1, m->count); i > 0; i--) {
        unsigned a = (unsigned)draw(m, m->count), b = (unsigned)draw(m, m->count);
        m->s->forever[a][b] = true;
        if (!one_in(m, 3))
            m->s->forever[b][a] = true;
    }
    cut_forever(m, 0);
}

/* The legion grows: first every node is told of the larger quorum, also those that
 * are down or paused just now; once all must have heard of it, more nodes start. */
static void grow(struct maker *m, int64_t from_us)
{
    int64_t longest_us = m->tolerance_ms * MS;
    unsigned more = 1 + (unsigned)draw(m, 2), count = m->count + more;
    int64_t raised_us = from_us + between(m, 0, 5 * m->freq_ms) * MS;
    /* Pauses are of four tolerances at most. */
    int64_t start_us = raised_us + m->freq_ms * MS + 4 * longest_us + MS;
    if (count > SCHEDULE_NODES_MAX || m->s->mixed || start_us > m->s->quiet_us)
        return;
    for (unsigned i = 0; i < m->count; i++)
        add(m, raised_us + between(m, 0, m->freq_ms) * MS, LG_SIM_QUORUM, i, 0, count / 2 + 1);
    for (unsigned i = m->count; i < count; i++) {
        make_node(m, i, false);
        m->s->nodes[i].setup.quorum = count / 2 + 1;
        m->s->nodes[i].setup.valor = 1 + draw(m, 100);
        m->s->nodes[i].start_us = -1;
        add(m, start_us, LG_SIM_START, i, 0, 0);
    }
    m->count = count;
    m->s->spec.node_count = count;
    m->s->grown = more;
}

static void calm(struct maker *m)
{
    int64_t at_us = m->s->quiet_us;
    join_all(m, at_us);
    add(m, at_us, LG_SIM_LOSS, 0, 0, 0);
    add(m, at_us, LG_SIM_LATE, 0, 0, 0);
    add(m, at_us, LG_SIM_TWICE, 0, 0, 0);
    add(m, at_us, LG_SIM_LATENCY, 0, 0, m->freq_ms * MS / 50);
    for (unsigned i = 0; i < m->count; i++) {
        add(m, at_us, LG_SIM_CHECK, i, 0, 1);
        add(m, at_us, LG_SIM_MAINTENANCE, i, 0, 0);
        add(m, at_us, LG_SIM_START, i, 0, 0);
    }
    /* One that was being stopped may have taken until now. */
    m->s->quiet_us = at_us + m->tolerance_ms * MS;
    for (unsigned i = 0; i < m->count; i++)
        add(m, m->s->quiet_us, LG_SIM_START, i, 0, 0);
}

/* Insertion sort: stable, and the list is nearly in order. */
static void sort_faults(struct schedule *s)
{
    for (size_t i = 1; i < s->spec.fault_count; i++) {
        struct lg_sim_fault fault = s->faults[i];
        size_t at = i;
        for (; at > 0 && s->faults[at - 1].at_us > fault.at_us; at--)
            s->faults[at] = s->faults[at - 1];
        s->faults[at] = fault;
    }
}

/* ---- The whole ------------------------------------------------------------------------- */

/* Some node that can be Lord has two-way links with a quorum. */
static bool can_live(const struct schedule *s)
{
    size_t count = s->spec.node_count;
    for (size_t a = 0; a < count; a++) {
        size_t reach = 1;
        for (size_t b = 0; b < count; b++)
            reach += b != a && !s->forever[a][b] && !s->forever[b][a];
        if (s->nodes[a].setup.valor && reach > count / 2)
            return true;
    }
    return false;
}

void schedule_make(uint64_t seed, struct schedule *ret_schedule)
{
    *ret_schedule = (struct schedule){.spec.seed = seed};
    struct maker m = {.s = ret_schedule, .state = seed * 0x2545f4914f6cdd1d + 1};
    struct schedule *s = ret_schedule;
    make_nodes(&m);
    int64_t freq_us = m.freq_ms * MS, longest_us = m.tolerance_ms * MS;
    s->spec.latency_us = between(&m, 1, m.freq_ms / 5) * MS;
    s->spec.faults = s->faults;
    s->spec.group = one_in(&m, 4);
    int64_t at_us = 3 * freq_us + 2 * longest_us;
    s->quiet_us = at_us + between(&m, 20, 40) * freq_us;
    make_forever(&m);
    while (at_us < s->quiet_us) {
        strike(&m, at_us);
        at_us += between(&m, 1, 5 * m.freq_ms) * MS;
    }
    /* Old and new quorums need not have a voter in common: that epochs rise from one to
     * the other rests on wall clocks. */
    if (one_in(&m, 8) && m.still_clocks)
        grow(&m, 3 * freq_us + 2 * longest_us);
    sort_faults(s);
    calm(&m);
    /* New nodes have no file yet. */
    int64_t wait_us = m.forgetful || s->grown ? 2 * longest_us : longest_us;
    s->bound_us = wait_us + longest_us + 6 * freq_us;
    s->end_us = s->quiet_us + s->bound_us + 3 * freq_us;
    s->live = can_live(s) && !s->mixed;
}

const char *schedule_fault_text(enum schedule_fault fault)
{
    static const char *const texts[] = {"good", "the simulation broke", "two Lords",
        "an epoch used twice", "an epoch that went back", "no Lord after the bound",
        "titles change hands after the bound"};
    return texts[fault];
}

enum schedule_fault schedule_run(
    const struct schedule *schedule, struct lg_sim_verdict *ret_verdict)
{
    struct lg_sim *sim;
    if (lg_sim_new(&schedule->spec, &sim))
        return SCHEDULE_BROKE;
    int err = lg_sim_run(sim, schedule->end_us);
    struct lg_sim_verdict verdict = lg_sim_verdict(sim);
    int lord = lg_sim_lord(sim);
    lg_sim_free(sim);
    *ret_verdict = verdict;
    if (err)
        return SCHEDULE_BROKE;
    if (schedule->mixed)
        return SCHEDULE_GOOD; /* it ended, and nothing broke */
    if (verdict.two_lords)
        return SCHEDULE_TWO_LORDS;
    if (verdict.epochs_twice)
        return SCHEDULE_EPOCH_TWICE;
    if (verdict.epochs_back)
        return SCHEDULE_EPOCH_BACK;
    if (schedule->live && lord < 0)
        return SCHEDULE_NO_LORD;
    if (schedule->live && verdict.last_title_us > schedule->quiet_us + schedule->bound_us)
        return SCHEDULE_UNSTEADY;
    return SCHEDULE_GOOD;
}
