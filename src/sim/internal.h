/* Inside sim/: the world. world.c moves time and nodes, net.c messages, story.c
 * tells; sim.c is the outside.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_INTERNAL_H
#define LG_SIM_INTERNAL_H

#include "sim/heap.h"
#include "sim/sim.h"

/* What an announcement looks like on the wire; every receiver reads the same. */
struct lg_sim_packet {
    struct lg_sim_packet *next; /* of the free ones */
    unsigned references;
    struct lg_legion_message message; /* points into data */
    size_t size;
    char data[];
};

struct lg_sim_actor {
    struct lg_sim_node model;
    struct lg_legion *legion; /* NULL = does not run */
    char uuid[LG_LEGION_UUID_LEN + 1];
    uint32_t life;
    int64_t clock_us; /* what its clock showed at true time 0 */
    int64_t wall_ms;  /* wall clock's distance from the true one */
    int64_t paused_until_us, stale_ms;
    int64_t frozen_until_us; /* its clock stands still; 0 = never did */
    bool untold;             /* of its new quorum, since it is paused: told when it wakes */
    bool thawed;             /* its title has been through a freeze */
    bool beside;             /* that it is Lord beside another was told */
    int64_t deadline_ms;
    int64_t timer_us;           /* the earliest timer in the heap; INT64_MAX = none */
    uint32_t hook, member_hook; /* runs so far */
    bool hook_runs, member_hook_runs;
    bool stored; /* there is a state file */
    struct lg_legion_memory memory;
    bool titled;            /* as shared memory says: in the list */
    uint64_t epoch;         /* of that title */
    int64_t title_until_us; /* true time at which its clock ends the title */
};

struct lg_sim {
    struct lg_sim_spec spec;
    struct lg_sim_actor *actors;
    size_t count;
    int64_t now_us;
    uint64_t random[4];
    struct lg_sim_heap heap;
    struct lg_sim_packet *free_packets;
    size_t packet_size;
    size_t *titled; /* who has a title in shared memory, in no order */
    size_t titled_count;
    bool *cut;    /* count * count, row = from */
    bool *parted; /* by that side */
    int64_t latency_us, late_us;
    unsigned loss_permille, twice_permille;
    size_t next_fault;
    struct lg_sim_verdict verdict;
    int64_t lordless_since_us; /* the last time with a Lord ended; INT64_MAX = has not */
    int err;
    struct lg_legion_note *notes;
    size_t note_max;
};

/* For "%.*s". */
#define NAME_OF(sim, at)                                                                           \
    (int)(sim)->actors[at].model.setup.name.len, (sim)->actors[at].model.setup.name.ptr

/* ---- sim.c ---- */
bool lg_sim_is_of_links(enum lg_sim_fault_kind kind);

/* ---- world.c ---- */
uint64_t lg_sim_random(struct lg_sim *sim, uint64_t below);
void lg_sim_boot(struct lg_sim *sim, size_t at);
void lg_sim_step(struct lg_sim *sim, size_t at, const struct lg_legion_event *event);
/* What a node was told while it stood still. */
void lg_sim_catch_up(struct lg_sim *sim, size_t at);
void lg_sim_happen(struct lg_sim *sim, const struct lg_sim_event *event);
void lg_sim_kill(struct lg_sim *sim, size_t at, bool host);
void lg_sim_push(struct lg_sim *sim, struct lg_sim_event event);
/* Accounts for the time until `until_us`, with and without a Lord. */
void lg_sim_elapse(struct lg_sim *sim, int64_t until_us);
/* The title of `at`, as others see it now, ends when its clock says so. */
bool lg_sim_holds(const struct lg_sim *sim, size_t at, int64_t at_us);

/* ---- net.c ---- */
void lg_sim_send(struct lg_sim *sim, size_t from, const struct lg_legion_message *message,
    const struct lg_legion_who *only);
void lg_sim_unref(struct lg_sim *sim, struct lg_sim_packet *packet);

/* ---- story.c ---- */
__attribute__((format(printf, 3, 4))) void lg_sim_tell(
    const struct lg_sim *sim, int node, const char *format, ...);
void lg_sim_tell_update(const struct lg_sim *sim, size_t at, const struct lg_legion_update *update);
void lg_sim_tell_fault(const struct lg_sim *sim, const struct lg_sim_fault *fault);

#endif
