/* Log lines: levels, formats, sinks.
 *
 * One process-wide sink, set by whoever starts the process: the master writes
 * to its file or stderr, every child sends each line to the master as one
 * datagram, so that lines never mix. Must not depend on server or cluster.
 * lg_log itself is declared in legatus/plugin.h. Any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LOG_LOG_H
#define LG_LOG_LOG_H

#include "base/err.h"
#include "legatus/plugin.h"

enum lg_log_format { LG_LOG_HUMAN, LG_LOG_JSON };

struct lg_log_setup {
    const char *path; /* logto: appended to; NULL = stderr */
    enum lg_log_format format;
    enum lg_level level; /* lines above it are dropped */
};

/* Master: opens the sink. Returns 0, or -LG_E_SYS (errno says why; the old sink
 * stays). May be called again (reload, log reopen). */
int lg_log_open(const struct lg_log_setup *setup) LG_MUST_USE;
/* The pair of sockets between the master and its children: children write to
 * the first, the master reads from the second. 0 or -LG_E_SYS. */
int lg_log_pair(int ret_fds[2]) LG_MUST_USE;
/* Child, right after fork: lines go to `fd` from now on, under this name
 * ("worker 1", "legion"). Never blocks: what does not fit is counted and said
 * later. Falls back to stderr when the master is gone. */
void lg_log_child(int fd, const char *name);
/* Master: writes every line waiting in `fd` (at most a bounded number) to the
 * sink. Returns how many. */
unsigned lg_log_drain(int fd);

#endif
