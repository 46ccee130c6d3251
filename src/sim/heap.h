/* Inside sim/: what happens next. A binary heap by time, then by order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_HEAP_H
#define LG_SIM_HEAP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lg_sim_packet;

enum lg_sim_event_kind { LG_SIM_DELIVER, LG_SIM_TIMER, LG_SIM_HOOK_END, LG_SIM_BOOT };

struct lg_sim_event {
    int64_t at_us;
    uint64_t order;
    enum lg_sim_event_kind kind;
    uint32_t node;
    uint32_t life; /* of the node; a datagram's counts for none */
    uint32_t hook; /* which run */
    bool of_member;
    bool failed;
    struct lg_sim_packet *packet;
};

struct lg_sim_heap {
    struct lg_sim_event *events;
    size_t count, max;
    uint64_t order;
};

/* Sets event's order. 0 or -LG_E_NOMEM. */
int lg_sim_heap_push(struct lg_sim_heap *heap, struct lg_sim_event event) LG_MUST_USE;
/* The first one, of a heap that is not empty. */
struct lg_sim_event lg_sim_heap_pop(struct lg_sim_heap *heap);

#endif
