/* The counters of a worker, declared once: shared memory takes its fields from
 * here, the statistics their keys and texts.
 *
 *   X(field, key, kind, help)
 *
 * field  in struct lg_shm_worker and struct lg_stats_worker
 * key    in the JSON; uWSGI's where it has one
 * kind   COUNTER (only grows while the slot lives) or GAUGE (a value of now)
 * Pure; depends on nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_STATS_COUNTERS_H
#define LG_STATS_COUNTERS_H

#define LG_WORKER_COUNTERS(X)                                                                      \
    X(requests_total, "requests", COUNTER, "requests answered")                                    \
    X(requests, "delta_requests", COUNTER, "requests answered since the worker was started")       \
    X(exceptions, "exceptions", COUNTER, "answers with status 500 and answers cut short")          \
    X(tx_bytes, "tx", COUNTER, "bytes written to clients")                                         \
    X(running_time_us, "running_time", COUNTER, "microseconds spent on requests")                  \
    X(connections, "connections", GAUGE, "connections open now")                                   \
    X(queued, "queued", GAUGE, "requests waiting for a thread now")

/* Answers by class of status: [1] 1xx to [5] 5xx; [0] cut short. */
#define LG_STATUS_CLASSES 6

#endif
