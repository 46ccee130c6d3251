/* A legion in virtual time: nodes of the real core, a network and clocks that
 * misbehave as told, and the verdict: was there ever a second Lord?
 *
 * Pure: the same specification always gives the same story, to the last
 * microsecond. Depends on base and legion only. One thread per simulation.
 *
 * Times `_us` are true time from the simulation's begin, which no node knows:
 * every node has a clock of its own, with its own rate, origin and wall clock.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_SIM_H
#define LG_SIM_SIM_H

#include "legion/legion.h"

#define LG_SIM_NODES_MAX 4096

struct lg_sim; /* opaque */

/* How the hooks of a phase behave. */
struct lg_sim_hook {
    int64_t min_ms, max_ms; /* how long they run */
    unsigned fail_permille; /* how often they fail */
};

struct lg_sim_node {
    struct lg_legion_setup setup; /* the uuid is ours to make; texts outlive the simulation */
    int64_t start_us;             /* < 0 = only LG_SIM_START starts it */
    int rate_ppm;                 /* how much faster than true time its clock runs */
    int64_t wall_skew_ms;         /* its wall clock, to the true one */
    bool forgets;                 /* has no state file */
    struct lg_sim_hook hooks[LG_PHASE_COUNT];
};

enum lg_sim_fault_kind {
    LG_SIM_CUT,         /* messages from `a` to `b` are lost */
    LG_SIM_JOIN,        /* they are no longer */
    LG_SIM_JOIN_ALL,    /* every cut ends */
    LG_SIM_KILL,        /* `a` dies; what shared memory said of its title stays until it ends */
    LG_SIM_CRASH,       /* the host of `a` dies: nobody reads its shared memory */
    LG_SIM_START,       /* `a` starts, if it does not run */
    LG_SIM_STOP,        /* `a` is stopped cleanly */
    LG_SIM_PAUSE,       /* `a` stands still for `value` us; what is sent to it waits */
    LG_SIM_FREEZE,      /* the same, and its clock with it: a virtual machine */
    LG_SIM_LOSS,        /* `value` messages of 1000 are lost from now on */
    LG_SIM_LATENCY,     /* messages take between 1/4 of `value` us and `value` us */
    LG_SIM_LATE,        /* 1 message of 50 takes up to `value` us more */
    LG_SIM_TWICE,       /* `value` messages of 1000 arrive twice */
    LG_SIM_WALL,        /* the wall clock of `a` jumps by `value` ms */
    LG_SIM_RESIGN,      /* of `a`, for `value` ms */
    LG_SIM_CHECK,       /* `a` is well (1) or not (0) */
    LG_SIM_MAINTENANCE, /* of `a`: on (1) or off (0) */
    LG_SIM_QUORUM,      /* `a` is told, or will start with, a quorum of `value` */
    LG_SIM_PART,        /* side `a` of the specification and the others are cut off */
    LG_SIM_HEAL,        /* no longer */
    LG_SIM_KILL_LORD,   /* whoever holds the title now */
    LG_SIM_FAULT_COUNT
};

struct lg_sim_fault {
    int64_t at_us;
    enum lg_sim_fault_kind kind;
    unsigned a, b; /* nodes, from 0; a side */
    int64_t value;
};

/* A line of the story. */
struct lg_sim_line {
    int64_t at_us;
    int node; /* -1 = none */
    const char *text;
};

struct lg_sim_spec {
    const struct lg_sim_node *nodes; /* copied */
    size_t node_count;
    const struct lg_sim_fault *faults; /* in order of time; outlive the simulation */
    size_t fault_count;
    const bool *sides; /* of partitions, a row of node_count each; outlive the simulation */
    size_t side_count;
    uint64_t seed;
    int64_t latency_us; /* as LG_SIM_LATENCY; 0 = 1000 */
    bool group;         /* one multicast group: answers reach everybody */
    bool stale_clock;   /* for tests: after a pause datagrams are read with an old clock */
    int mutant;         /* enum lg_legion_mutant; for tests */
    void (*mutate)(struct lg_legion *legion, int mutant);     /* NULL = none */
    void (*story)(void *arg, const struct lg_sim_line *line); /* NULL = not told */
    void *arg;
};

struct lg_sim_verdict {
    uint64_t two_lords;      /* events after which two held the title */
    int64_t two_lords_at_us; /* the first; -1 = never */
    uint64_t epochs_twice, epochs_back;
    int64_t thawed_us; /* time in which one that was frozen thought itself Lord beside
                          another: what nobody can help. Not among two_lords */
    uint64_t titles;
    uint64_t last_epoch;
    int64_t lord_us; /* time with a Lord */
    int64_t longest_lordless_us;
    int64_t last_title_us; /* when the last title began; -1 = never */
    uint64_t events, messages;
};

/* 0; -LG_E_INVALID for a setup the core refuses; -LG_E_LIMIT; -LG_E_NOMEM. */
int lg_sim_new(const struct lg_sim_spec *spec, struct lg_sim **ret_sim) LG_MUST_USE;
void lg_sim_free(struct lg_sim *sim);
/* Runs until true time `until_us`. 0, or -LG_E_NOMEM. */
int lg_sim_run(struct lg_sim *sim, int64_t until_us) LG_MUST_USE;
/* Does it now. `at_us` is not looked at. */
int lg_sim_fault(struct lg_sim *sim, const struct lg_sim_fault *fault) LG_MUST_USE;

/* Up to now. */
struct lg_sim_verdict lg_sim_verdict(const struct lg_sim *sim);
int64_t lg_sim_now_us(const struct lg_sim *sim);
/* Who holds the title now by its own clock; -1 = nobody. The first of several. */
int lg_sim_lord(const struct lg_sim *sim);
bool lg_sim_runs(const struct lg_sim *sim, size_t node);
bool lg_sim_is_cut(const struct lg_sim *sim, size_t from, size_t to);
/* NULL while it does not run. Until the next run. */
const struct lg_legion_state *lg_sim_state(const struct lg_sim *sim, size_t node);

#endif
