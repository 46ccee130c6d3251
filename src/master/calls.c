/* What children ask of the master: signals are counted, alarms raised.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/inner.h"

#include <stdio.h>

#define CALLS_MAX 64 /* per wake-up */

void lg_signal_raise(struct master *master, unsigned number, const char *from)
{
    struct signal_count *row = &master->signals[number % LG_SIGNALS_MAX];
    if (row->count++ == 0)
        lg_log(
            LG_LOG_WARN, "master", "signal %u from %s has no handler: it is counted", number, from);
    row->last_s = (int64_t)time(NULL);
    snprintf(row->from, sizeof row->from, "%s", from);
}

void lg_take_calls(struct master *master)
{
    struct lg_call call;
    for (int i = 0; i < CALLS_MAX && lg_call_take(master->shm, &call); i++) {
        if (call.kind == LG_CALL_SIGNAL)
            lg_signal_raise(master, call.number, call.from);
        else if (call.kind == LG_CALL_ALARM)
            lg_alarm_raise(master, call.name, call.text, call.from);
        /* LG_CALL_TITLE has woken us: the guard looks at every turn. */
    }
}

size_t lg_signals_fill(
    struct master *master, struct lg_arena *arena, const struct lg_stats_signal **ret_list)
{
    struct lg_stats_signal *list = lg_arena_alloc(arena, LG_SIGNALS_MAX * sizeof *list);
    size_t count = 0;
    for (unsigned i = 0; list && i < LG_SIGNALS_MAX; i++)
        if (master->signals[i].count)
            list[count++] = (struct lg_stats_signal){
                i, master->signals[i].count, master->signals[i].last_s, master->signals[i].from};
    *ret_list = list;
    return count;
}
