/* What processes share: made by the master before any fork, mapped by all.
 *
 * Every slot has one writer. Worker counters are single words read and written
 * with relaxed atomics; a legion's state is a versioned snapshot whose readers retry a
 * bounded number of times and then answer not-Lord.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SHM_SHM_H
#define LG_SHM_SHM_H

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"
#include "stats/counters.h"

#include <stdatomic.h>

/* During a reload old and new workers hold slots side by side. */
#define LG_SHM_WORKERS_MAX (2 * LG_WORKERS_MAX)

enum lg_worker_status { LG_WORKER_IDLE, LG_WORKER_BUSY, LG_WORKER_DRAINING };

/* Written by its worker. Before a worker is forked the master zeroes what counts
 * from its start: requests, connections, queued, state, ready, busy_since_ms. */
struct lg_shm_worker {
    /* requests, requests_total (over all lives of this slot), exceptions, ... */
#define LG_SHM_FIELD(field, key, kind, help) _Atomic uint64_t field;
    LG_WORKER_COUNTERS(LG_SHM_FIELD)
#undef LG_SHM_FIELD
    _Atomic uint64_t status[LG_STATUS_CLASSES]; /* answers by class; [0] cut short */
    _Atomic uint32_t state;                     /* enum lg_worker_status */
    _Atomic uint32_t ready;                     /* 1 once the loop accepts */
    /* When each handler thread began what it runs now, CLOCK_MONOTONIC ms; 0 =
     * idle. The master reads it for harakiri. */
    _Atomic uint64_t busy_since_ms[LG_THREADS_MAX];
    /* The plugins' own; who has which is in the worker's lg_counter_groups. Any
     * of its threads adds. Pages nobody counts in cost nothing. */
    _Atomic uint64_t plugin[LG_PLUGIN_COUNTERS_MAX];
};

/* Adds to a counter that has one writer: plainly, which costs a quarter of a locked
 * instruction. */
static inline void lg_shm_count(_Atomic uint64_t *counter, uint64_t delta)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + delta, memory_order_relaxed);
}

struct lg_shm_member {
    char name[256];
    char uuid[37];
    uint64_t valor;
    uint64_t checksum;
    int64_t last_seen_s; /* Unix time */
    bool arbiter;
    uint32_t scroll_at, scroll_len; /* in `scrolls` of the legion; len 0 = none */
};

#define LG_SHM_SCROLLS_SIZE 65536

/* A snapshot of one legion, as its process sees it. */
struct lg_shm_legion {
    char name[128];
    char addr[128];
    char uuid[37];
    uint64_t valor;
    uint64_t checksum;
    uint64_t quorum;
    uint64_t votes;            /* of the last tally */
    int64_t lord_since_s;      /* Unix time since which we are Lord; 0 = we are not */
    uint64_t lease_until_ms;   /* CLOCK_BOOTTIME; our title is void from then on */
    uint64_t epoch;            /* of the title; 0 = none */
    uint32_t mode;             /* enum lg_legion_mode */
    uint64_t reach;            /* nodes in two-way contact, us included; 0 = by uWSGI's rules */
    uint64_t waiting_until_ms; /* CLOCK_BOOTTIME: neither votes nor stands before; 0 = does */
    uint32_t is_falling;       /* the title is being given up: unlord hooks run */
    uint64_t lord_valor;
    char lord_uuid[37]; /* "" before the first election */
    char lord_name[256];
    uint32_t node_count;
    char nodes[LG_NODES_MAX][64]; /* configured addresses */
    uint32_t member_count;
    struct lg_shm_member members[LG_MEMBERS_MAX];
    uint32_t scroll_len;
    char scroll[4096];                        /* our own */
    uint32_t lord_scroll_at, lord_scroll_len; /* in `scrolls`; len 0 = none */
    /* Everybody's, u16le length and bytes each, ours first. Last: what is beyond
     * scrolls_len is neither published nor set. */
    uint32_t scrolls_len;
    char scrolls[LG_SHM_SCROLLS_SIZE];
};

struct lg_shm; /* opaque */

/* Maps shared memory for that many workers and legions. 0, -LG_E_NOMEM or
 * -LG_E_LIMIT. */
int lg_shm_new(unsigned workers, unsigned legions, struct lg_shm **ret_shm) LG_MUST_USE;
void lg_shm_free(struct lg_shm *shm);

unsigned lg_shm_worker_count(const struct lg_shm *shm);
struct lg_shm_worker *lg_shm_worker(struct lg_shm *shm, unsigned index); /* from 0 */

unsigned lg_shm_legion_count(const struct lg_shm *shm);
/* Legion process only: replaces the snapshot. */
void lg_shm_legion_publish(struct lg_shm *shm, unsigned index, const struct lg_shm_legion *state);
/* Any process: copies a consistent snapshot; false when none was had after a
 * bounded number of tries, or nothing was published yet (*ret_state is garbage then). */
bool lg_shm_legion_read(struct lg_shm *shm, unsigned index, struct lg_shm_legion *ret_state);
/* Any process: is this instance Lord of `name` now? Compares the lease with
 * CLOCK_BOOTTIME at this very call. Unknown legions and torn reads are false. */
bool lg_shm_is_lord(struct lg_shm *shm, const char *name);
/* Any process: copies of the Lord's scroll, and of everybody's as in struct
 * lg_shm_legion. The caller frees *ret_bytes. 0; -LG_E_NOTFOUND when there is no
 * such legion or no scroll, or the read was torn; -LG_E_NOMEM. */
int lg_shm_lord_scroll(
    struct lg_shm *shm, const char *name, char **ret_bytes, size_t *ret_len) LG_MUST_USE;
int lg_shm_scrolls(
    struct lg_shm *shm, const char *name, char **ret_bytes, size_t *ret_len) LG_MUST_USE;

#endif
