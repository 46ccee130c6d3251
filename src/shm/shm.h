/* What processes share: made by the master before any fork, mapped by all.
 *
 * Every slot has one writer at a time. Worker counters are single words read and written
 * with relaxed atomics; a legion's state is a versioned snapshot whose readers retry a
 * bounded number of times and then answer not-Lord. What workers have no business to
 * write, titles above all, they map so that they cannot (lg_shm_only_read).
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

#define LG_SHM_HEALTH_NAME_SIZE 128 /* longer ones are cut */
#define LG_SHM_BEAT_MS          1000
#define LG_SHM_BEAT_LATE_MS     5000 /* a loop that shows no sign of life for so long hangs */

/* Written by its worker. Before a worker is forked the master zeroes what counts
 * from its start: requests, connections, queued, state, ready, busy_since_ms. */
struct lg_shm_worker {
    /* requests, requests_total (over all lives of this slot), exceptions, ... */
#define LG_SHM_FIELD(field, key, kind, help) _Atomic uint64_t field;
    LG_WORKER_COUNTERS(LG_SHM_FIELD)
#undef LG_SHM_FIELD
    _Atomic uint64_t status[LG_STATUS_CLASSES]; /* answers by class; [0] cut short */
    _Atomic uint32_t state;                     /* enum lg_worker_status */
    _Atomic uint32_t ready;                     /* 1 once the loop accepts, 0 when it has died */
    _Atomic uint64_t beat_ms;                   /* the loop's last sign of life, CLOCK_MONOTONIC */
    /* When each handler thread began what it runs now, CLOCK_MONOTONIC ms; 0 =
     * idle. The master reads it for harakiri. */
    _Atomic uint64_t busy_since_ms[LG_THREADS_MAX];
    /* The plugins' own; who has which is in the worker's lg_counter_groups. Any
     * of its threads adds. Pages nobody counts in cost nothing. */
    _Atomic uint64_t plugin[LG_PLUGIN_COUNTERS_MAX];
    /* Those of kind LG_HEALTH, which hold the CLOCK_MONOTONIC ms until which a
     * thing is well: told apart here for those who do not know the plugins. */
    _Atomic uint32_t health_count;
    struct {
        _Atomic uint32_t counter;                           /* in `plugin` */
        _Atomic uint64_t name[LG_SHM_HEALTH_NAME_SIZE / 8]; /* "glusterfs:/media", NUL-padded */
    } healths[LG_PLUGIN_HEALTHS_MAX];
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
    int64_t last_seen_s;  /* Unix time */
    int64_t deaf_since_s; /* since when it does not hear us; 0 = it does; -1 = it never did */
    bool arbiter;
    uint32_t scroll_at, scroll_len; /* in `scrolls` of the legion; len 0 = none */
};

/* A member that is heard no more. */
struct lg_shm_left {
    char name[256];
    char uuid[37];
    int64_t last_seen_s; /* Unix time */
    uint32_t died;       /* it said so */
};

#define LG_SHM_CHECK_WELL 1

struct lg_shm_check {
    char name[128];    /* as configured, perhaps cut */
    uint32_t verdict;  /* enum lg_check_verdict: 0 none yet, 1 well, 2 unwell */
    int64_t changed_s; /* Unix time; 0 = never */
    char result[128];  /* of the last run, for people; "" = none yet */
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
    uint64_t votes;          /* of the last tally */
    int64_t lord_since_s;    /* Unix time since which we are Lord; 0 = we are not */
    uint64_t lease_until_ms; /* CLOCK_BOOTTIME; our title is void from then on */
    uint64_t unlord_at_ms;   /* CLOCK_BOOTTIME; at the latest it is being given up by then */
    uint64_t epoch;          /* of the title; 0 = none */
    uint64_t freq_ms, tolerance_ms;
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
    uint32_t left_count;
    struct lg_shm_left left[LG_LEFT_MAX];
    uint32_t check_count;
    struct lg_shm_check checks[LG_CHECKS_MAX];
    uint32_t maintenance;   /* operators want us not to stand */
    uint32_t reason;        /* enum lg_legion_reason: why we do not stand, if we should otherwise */
    int64_t aside_until_ms; /* CLOCK_BOOTTIME: when the hold after a resignation ends; 0 = none */
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
 * -LG_E_LIMIT; -LG_E_SYS. */
int lg_shm_new(unsigned workers, unsigned legions, struct lg_shm **ret_shm) LG_MUST_USE;
void lg_shm_free(struct lg_shm *shm);
/* A child that only reads what the master and the legion process write (titles, the
 * workers' end): from here on a write there is a fault, and cannot be allowed again.
 * The workers' slots stay as they were. 0 or -LG_E_SYS. */
int lg_shm_only_read(struct lg_shm *shm) LG_MUST_USE;

unsigned lg_shm_worker_count(const struct lg_shm *shm);
struct lg_shm_worker *lg_shm_worker(struct lg_shm *shm, unsigned index); /* from 0 */
/* Master: slots from `end` on were never in use; nobody need look at them. */
void lg_shm_set_worker_end(struct lg_shm *shm, unsigned end);

/* Any process. How many workers are up, accept and show signs of life at `now_ms`
 * (CLOCK_MONOTONIC). */
unsigned lg_shm_workers_serving(struct lg_shm *shm, uint64_t now_ms);
/* Any process: is what `name` tells of well in each of them? "glusterfs" is about
 * all things of the plugin, "glusterfs:/media" about one. */
struct lg_shm_health {
    unsigned workers;                    /* that serve */
    unsigned told;                       /* of those, that have such a thing at all */
    unsigned ill;                        /* of those, in which it is not well */
    char first[LG_SHM_HEALTH_NAME_SIZE]; /* that is not well */
};
void lg_shm_health(
    struct lg_shm *shm, struct lg_slice name, uint64_t now_ms, struct lg_shm_health *ret_health);

unsigned lg_shm_legion_count(const struct lg_shm *shm);
/* Legion process only: replaces the snapshot. */
void lg_shm_legion_publish(struct lg_shm *shm, unsigned index, const struct lg_shm_legion *state);
/* Any process: copies a consistent snapshot; false when none was had after a
 * bounded number of tries, or nothing was published yet (*ret_state is garbage then). */
bool lg_shm_legion_read(struct lg_shm *shm, unsigned index, struct lg_shm_legion *ret_state);
/* The process group of the hook about the title that runs, 0 = none: written before
 * the hook may act, by the process that leads the group, cleared by the legion process
 * after the hook's end, and taken by the master when the legion process has died. May be
 * stale for a moment after the hook's end. */
_Atomic int32_t *lg_shm_hook_group(struct lg_shm *shm, unsigned index);
/* What matters of it to who guards a title. */
struct lg_shm_title {
    uint64_t epoch, lease_until_ms, unlord_at_ms;
    uint32_t is_falling;
};
/* As lg_shm_legion_read, without copying the rest. */
bool lg_shm_title_read(struct lg_shm *shm, unsigned index, struct lg_shm_title *ret_title);
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
