/* A virtual legion: nodes of the real core, in virtual time. Messages take 1 ms
 * and pass through the real codec; links can be cut one way; nodes can be
 * killed, paused, started again. What happens is written down as a trace, and
 * the trace is what tests compare.
 *
 * A trace line: seconds, node, what. "a" is node 0, "b" node 1.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_TESTS_LEGION_WORLD_H
#define LG_TESTS_LEGION_WORLD_H

#include "base/buf.h"
#include "legion/legion.h"

#define WORLD_NODES_MAX 6 /* a letter of their names is a digit of their uuids */

struct world;

struct world_node {
    uint64_t valor;
    char uuid_digit; /* the uuid is made of this digit; 0 = the node's letter */
    unsigned phases; /* hooks it has; 0 = all but node-joined, node-left and join */
    bool classical;  /* legion-safe = off, whatever the world's is */
};

struct world_setup {
    size_t count;
    struct world_node nodes[WORLD_NODES_MAX];
    uint64_t quorum;
    int64_t freq_ms, tolerance_ms;
    int64_t death_on_lord_error_ms;
    enum lg_legion_safety safe;
    bool forgets;          /* no state file */
    int64_t start_wait_ms; /* 0 = the default */
    bool nopreempt;
    int64_t preempt_delay_ms, unlord_grace_ms;
};

struct world *world_new(const struct world_setup *setup);
void world_free(struct world *world);

void world_start(struct world *world, size_t node); /* a new life: a new uuid when it had one */
void world_start_all(struct world *world);
void world_kill(struct world *world, size_t node); /* kill -9 */
void world_stop(struct world *world, size_t node); /* SIGTERM */
void world_resign(struct world *world, size_t node, int64_t hold_ms);
void world_maintain(struct world *world, size_t node, bool on);
void world_check(struct world *world, size_t node, bool well);
/* `change` is called with the setup the node has, and gives it a new one. */
void world_reconfigure(
    struct world *world, size_t node, void (*change)(struct lg_legion_setup *setup));
void world_pause(struct world *world, size_t node, int64_t ms); /* SIGSTOP, SIGCONT */
void world_cut(struct world *world, size_t from, size_t to, bool cut);
/* How long a phase's hooks run and how they end; 0 ms and success by default. */
void world_hook(
    struct world *world, size_t node, enum lg_legion_phase_kind kind, int64_t ms, bool failed);
/* The node's wall clock is off by so much. */
void world_skew(struct world *world, size_t node, int64_t ms);

void world_run(struct world *world, int64_t until_ms);
int64_t world_now_ms(const struct world *world);
const struct lg_legion_state *world_state(const struct world *world, size_t node);
const struct lg_legion *world_legion(const struct world *world, size_t node);
/* Hands a message to a node as if it came from the net. */
enum lg_legion_refusal world_inject(
    struct world *world, size_t node, const struct lg_legion_message *message);
/* The only Lord (role LORD), or -1. */
int world_lord(const struct world *world);
/* Instants with two nodes whose lord hooks had begun and unlord hooks had not ended. */
size_t world_overlaps(const struct world *world);

/* Nodes that hold a title whose time is not over, now. */
size_t world_titles(const struct world *world);
/* What is in the state file of a node; NULL = nothing. */
const struct lg_legion_memory *world_memory(const struct world *world, size_t node);

/* The trace since the last call. Lives until the next call. */
const char *world_trace(struct world *world);

#endif
