/* What happens next. Pure; depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/heap.h"

#include <stdlib.h>

static bool before(const struct lg_sim_event *a, const struct lg_sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

int lg_sim_heap_push(struct lg_sim_heap *heap, struct lg_sim_event event)
{
    if (heap->count == heap->max) {
        size_t max = heap->max ? 2 * heap->max : 256;
        struct lg_sim_event *events = realloc(heap->events, max * sizeof *events);
        if (!events)
            return -LG_E_NOMEM;
        heap->events = events;
        heap->max = max;
    }
    event.order = heap->order++;
    size_t at = heap->count++;
    while (at > 0 && before(&event, &heap->events[(at - 1) / 2])) {
        heap->events[at] = heap->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->events[at] = event;
    return 0;
}

struct lg_sim_event lg_sim_heap_pop(struct lg_sim_heap *heap)
{
    struct lg_sim_event first = heap->events[0], last = heap->events[--heap->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(&heap->events[child + 1], &heap->events[child]))
            child++;
        if (!before(&heap->events[child], &last))
            break;
        heap->events[at] = heap->events[child];
        at = child;
    }
    heap->events[at] = last;
    return first;
}
