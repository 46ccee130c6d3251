/* Serves the statistics: one text per connection, then close. Runs in the
 * master's poll loop and never blocks it: few clients, each with 2 s.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_STATSD_H
#define LG_MASTER_STATSD_H

#include "base/buf.h"
#include "base/err.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define LG_STATS_CLIENTS_MAX 8

struct lg_stats_client {
    int fd; /* -1 = free */
    int64_t deadline_ms;
    struct lg_buf out; /* what is still to be written */
    bool written;      /* all out; waiting for the client to close */
};

struct lg_statsd {
    int64_t paused_ms; /* no accepting before: descriptors ran out */
    struct lg_stats_client clients[LG_STATS_CLIENTS_MAX];
};

/* Makes the text of now, HTTP head included where wanted. 0 or a code. */
typedef int lg_stats_make(void *arg, struct lg_buf *out);

void lg_statsd_init(struct lg_statsd *statsd);
/* Closes all clients. */
void lg_statsd_close(struct lg_statsd *statsd);
/* May new clients be accepted? */
bool lg_statsd_listens(const struct lg_statsd *statsd, int64_t now_ms);
/* Accepts what waits on the listening socket `fd`; a client too many is closed. */
void lg_statsd_accept(
    struct lg_statsd *statsd, int fd, int64_t now_ms, lg_stats_make *make, void *arg);
/* Fills `polls` (LG_STATS_CLIENTS_MAX); returns how many. */
size_t lg_statsd_polls(const struct lg_statsd *statsd, struct pollfd *polls);
/* After poll: writes, closes who is through or late. */
void lg_statsd_serve(
    struct lg_statsd *statsd, const struct pollfd *polls, size_t count, int64_t now_ms);
/* The soonest deadline after `now_ms`; INT64_MAX = none. */
int64_t lg_statsd_due(const struct lg_statsd *statsd, int64_t now_ms);

#endif
