/* Cores made to break the promise, each in a plot made for it: the promise must
 * be seen to break. The core as it is keeps it in all of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/mutants.h"
#include "schedule.h"

#include <stdio.h>
#include <string.h>

#define S      ((int64_t)1000000) /* us */
#define NODES  5
#define FAULTS 24

struct plot {
    const char *name;
    enum lg_legion_mutant mutant;
    bool stale_clock; /* instead of a mutant: the driver is at fault */
    size_t count;
    int64_t tolerance_ms;
    uint64_t quorum;
    uint64_t old_quorum; /* instead of a mutant: of the first three; 0 = the same */
    uint64_t valors[NODES];
    int64_t starts_us[NODES];
    struct lg_sim_fault faults[FAULTS];
    int64_t lord_due_us; /* somebody must be Lord then; 0 = need not */
    int64_t end_us;
};

#define BOTH(at, x, y)                                                                             \
    {.at_us = (at), .kind = LG_SIM_CUT, .a = (x), .b = (y)},                                       \
    {                                                                                              \
        .at_us = (at), .kind = LG_SIM_CUT, .a = (y), .b = (x)                                      \
    }
#define DO(at, what, x)                                                                            \
    {                                                                                              \
        .at_us = (at), .kind = (what), .a = (x)                                                    \
    }

/* Node 0 is Lord from second 7 or so where all start at 0. */
static const struct plot plots[] = {
    {.name = "a Lord that is cut off has no end",
        .mutant = LG_MUTANT_NO_LEASE,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {BOTH(20 * S, 0, 1), BOTH(20 * S, 0, 2)},
        .end_us = 40 * S},
    {.name = "a Lord that resigns tells nobody",
        .mutant = LG_MUTANT_NO_RELEASE,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {{.at_us = 20 * S, .kind = LG_SIM_RESIGN, .a = 0, .value = 30000}},
        .lord_due_us = 20 * S + S / 2,
        .end_us = 40 * S},
    {.name = "a voter that starts again has forgotten its promise",
        .mutant = LG_MUTANT_NO_START_WAIT,
        .count = 3,
        .tolerance_ms = 8000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {BOTH(20 * S, 0, 2), BOTH(20 * S, 1, 2), DO(30 * S, LG_SIM_KILL, 1),
            BOTH(30 * S, 0, 1), DO(30 * S + 10000, LG_SIM_START, 1),
            {.at_us = 30 * S + 20000, .kind = LG_SIM_JOIN, .a = 1, .b = 2},
            {.at_us = 30 * S + 20000, .kind = LG_SIM_JOIN, .a = 2, .b = 1}},
        .end_us = 50 * S},
    {.name = "a Lord that is cut off is content with itself",
        .mutant = LG_MUTANT_NO_MAJORITY,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {BOTH(20 * S, 0, 1), BOTH(20 * S, 0, 2)},
        .end_us = 40 * S},
    {.name = "promises outlive a dead Lord twice as long",
        .mutant = LG_MUTANT_PROMISE_FROM_SENDING,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {DO(20 * S, LG_SIM_CRASH, 0)},
        .lord_due_us = 26 * S + S / 10,
        .end_us = 40 * S},
    /* 3 votes for 1 while 2 starts; 0 and 1 do not see each other. */
    {.name = "two candidates with half of the votes each, for ever",
        .mutant = LG_MUTANT_RENEW_ANY,
        .count = 4,
        .tolerance_ms = 5000,
        .quorum = 3,
        .valors = {40, 30, 20, 10},
        .starts_us = {18 * S, 0, 20 * S, 0},
        .faults = {BOTH(0, 0, 1)},
        .lord_due_us = 45 * S,
        .end_us = 60 * S},
    /* 2 wakes, renews what it reads, and thinks it did so when it fell asleep. */
    {.name = "a voter that wakes takes old time for new",
        .stale_clock = true,
        .count = 3,
        .tolerance_ms = 10000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {{.at_us = 30 * S, .kind = LG_SIM_PAUSE, .a = 2, .value = 6 * S + S / 2},
            BOTH(31 * S, 0, 1), BOTH(36 * S + 520000, 0, 2)},
        .end_us = 60 * S},
    /* 0 wakes with a title that 1 has had a successor of. */
    {.name = "a Lord that was frozen goes on with its old epoch",
        .mutant = LG_MUTANT_OLD_TITLE_STAYS,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .faults = {{.at_us = 20 * S, .kind = LG_SIM_FREEZE, .a = 0, .value = 20 * S}},
        .lord_due_us = 50 * S,
        .end_us = 60 * S},
    /* Three nodes become five, and the three were not told. */
    {.name = "a legion that grows before its quorum is raised",
        .count = 5,
        .tolerance_ms = 5000,
        .quorum = 3,
        .old_quorum = 2,
        .valors = {50, 40, 30, 20, 10},
        .starts_us = {0, 0, 0, 20 * S, 20 * S},
        .faults = {BOTH(40 * S, 0, 2), BOTH(40 * S, 0, 3), BOTH(40 * S, 0, 4), BOTH(40 * S, 1, 2),
            BOTH(40 * S, 1, 3), BOTH(40 * S, 1, 4)},
        .end_us = 60 * S},
    /* 2 never hears of 0's title, and 1, which made 0 Lord, votes for 2. */
    {.name = "a second title with the epoch of the first",
        .mutant = LG_MUTANT_EPOCH_NOT_IN_VOTE,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 0, 10},
        .starts_us = {0, 0, 20 * S},
        .faults = {BOTH(0, 0, 2), DO(30 * S, LG_SIM_CRASH, 0)},
        .end_us = 60 * S},
    /* 1 is Lord and does not hear 0, which is better: 2 hears both. */
    {.name = "a voter votes for two at once",
        .mutant = LG_MUTANT_VOTE_TWICE,
        .count = 3,
        .tolerance_ms = 5000,
        .quorum = 2,
        .valors = {30, 20, 10},
        .starts_us = {20 * S, 0, 0},
        .faults = {{.at_us = 0, .kind = LG_SIM_CUT, .a = 0, .b = 1}},
        .end_us = 60 * S},
};

static void mutate(struct lg_legion *legion, int mutant)
{
    lg_legion_mutate(legion, (enum lg_legion_mutant)mutant);
}

static void tell(void *arg, const struct lg_sim_line *line)
{
    (void)arg;
    printf("%12.6f n%d %s\n", (double)line->at_us / 1e6, line->node, line->text);
}

static void make_node(const struct plot *plot, size_t at, uint64_t seed, struct lg_sim_node *node)
{
    static const char *const names[NODES] = {"n0", "n1", "n2", "n3", "n4"};
    *node = (struct lg_sim_node){.start_us = plot->starts_us[at]};
    /* So that timers do not run in step. */
    node->start_us += (int64_t)(seed * (at + 1) * 271 % 1000) * 1000;
    node->setup = (struct lg_legion_setup){
        .legion = LG_SLICE("sim"),
        .name = lg_slice_of(names[at]),
        .pid = 1,
        .valor = plot->valors[at],
        .quorum = plot->quorum,
        .freq_ms = 1000,
        .tolerance_ms = plot->tolerance_ms,
        .skew_tolerance_s = 60,
        .phases = 1U << LG_PHASE_LORD | 1U << LG_PHASE_UNLORD,
        .safe = LG_SAFE_ON,
        .start_wait_ms = plot->tolerance_ms,
    };
    node->hooks[LG_PHASE_UNLORD].min_ms = node->hooks[LG_PHASE_UNLORD].max_ms = 100;
}

/* The rest of a list is zeroes: a node cut off from itself. */
static bool given(const struct lg_sim_fault *fault)
{
    return fault->at_us || fault->kind != LG_SIM_CUT || fault->a != fault->b;
}

/* What went wrong, or NULL. */
static const char *run(const struct plot *plot, bool broken, uint64_t seed, bool trace)
{
    struct lg_sim_node nodes[NODES];
    struct lg_sim *sim;
    for (size_t i = 0; i < plot->count; i++)
        make_node(plot, i, seed, &nodes[i]);
    for (size_t i = 0; broken && plot->old_quorum && i < 3; i++)
        nodes[i].setup.quorum = plot->old_quorum;
    struct lg_sim_spec spec = {.nodes = nodes,
        .node_count = plot->count,
        .faults = plot->faults,
        .seed = seed,
        .mutate = mutate,
        .mutant = broken ? (int)plot->mutant : LG_MUTANT_NONE,
        .stale_clock = broken && plot->stale_clock,
        .story = trace ? tell : NULL};
    while (spec.fault_count < FAULTS && given(&plot->faults[spec.fault_count]))
        spec.fault_count++;
    if (lg_sim_new(&spec, &sim))
        return "the simulation broke";
    bool lordless = false;
    int err = 0;
    if (plot->lord_due_us) {
        err = lg_sim_run(sim, plot->lord_due_us);
        lordless = lg_sim_lord(sim) < 0;
    }
    if (!err)
        err = lg_sim_run(sim, plot->end_us);
    struct lg_sim_verdict verdict = lg_sim_verdict(sim);
    int lord = err ? -1 : lg_sim_lord(sim);
    bool old = lord >= 0 && lg_sim_state(sim, (size_t)lord) &&
               lg_sim_state(sim, (size_t)lord)->epoch < verdict.last_epoch;
    lg_sim_free(sim);
    return err                    ? "the simulation broke"
           : verdict.two_lords    ? "two Lords"
           : verdict.epochs_twice ? "an epoch used twice"
           : verdict.epochs_back  ? "an epoch that went back"
           : old                  ? "a Lord with an epoch older than the last"
           : lordless             ? "no Lord when one was due"
                                  : NULL;
}

/* Votes that were given back matter rarely: only when their voter elects another
 * within its promise and the epoch they name is still ours. A schedule by seed,
 * and should schedules change, the first of many that finds it. */
static bool released_votes_are_found(void)
{
    static struct schedule schedule;
    struct lg_sim_verdict verdict;
    for (uint64_t seed = 1815, tried = 0; tried < 6000; tried++, seed = tried) {
        schedule_make(seed, &schedule);
        schedule.spec.mutate = mutate;
        schedule.spec.mutant = LG_MUTANT_RELEASED_COUNTS;
        enum schedule_fault fault = schedule_run(&schedule, &verdict);
        if (fault != SCHEDULE_TWO_LORDS)
            continue;
        printf("found: votes that were given back count: two Lords (schedule %llu)\n",
            (unsigned long long)seed);
        return true;
    }
    printf("MISSED: votes that were given back count\n");
    return false;
}

int main(int argc, char **argv)
{
    bool trace = argc > 1 && strcmp(argv[1], "--trace") == 0;
    int failed = 0;
    for (size_t i = 0; i < sizeof plots / sizeof *plots; i++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            const char *whole = run(&plots[i], false, seed, false);
            if (whole) {
                printf("FAILED: %s: the core as it is, seed %llu: %s\n", plots[i].name,
                    (unsigned long long)seed, whole);
                failed++;
                if (trace)
                    run(&plots[i], false, seed, true);
                break;
            }
        }
        const char *found = NULL;
        uint64_t seed = 0;
        while (!found && seed < 20)
            found = run(&plots[i], true, ++seed, false);
        printf("%s: %s: %s (seed %llu)\n", found ? "found" : "MISSED", plots[i].name,
            found ? found : "nothing was seen", (unsigned long long)seed);
        failed += !found;
        if (!found && trace)
            run(&plots[i], true, 1, true);
    }
    failed += !released_votes_are_found();
    return failed != 0;
}
