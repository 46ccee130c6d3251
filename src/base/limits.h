/* The limits: every queue, loop and table has one, and it is named here unless
 * an option sets it. libc only. Units last: _SIZE and _MAX are bytes unless the
 * name says a count.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_LIMITS_H
#define LG_BASE_LIMITS_H

#define LG_ARENA_BLOCK ((size_t)4096)
#define LG_ARENA_MAX   ((size_t)16 << 20)

/* HTTP: a request line of 8 KiB and 100 header lines in 32 KiB are what nginx
 * and Apache users are used to. */
#define LG_URI_MAX          ((size_t)8192)
#define LG_HEAD_MAX         ((size_t)32768)
#define LG_HEADER_COUNT_MAX 100
#define LG_RANGE_COUNT_MAX  16
#define LG_FIELD_MAX        ((size_t)16384) /* one header line */
#define LG_TRAILER_MAX      ((size_t)8192)  /* all trailers of a chunked body */
#define LG_CHUNK_EXTRA_MAX  ((size_t)4096)  /* all chunk extensions of a body */

/* uwsgi packets: nginx sends some 20 variables and one for each header. */
#define LG_UWSGI_VAR_COUNT_MAX 256

#define LG_WORKERS_MAX 1024
#define LG_THREADS_MAX 1024
#define LG_LEGIONS_MAX 16
#define LG_NODES_MAX   256 /* configured nodes of one legion */
#define LG_MEMBERS_MAX 256 /* members of one legion */
#define LG_CHECKS_MAX  16  /* health checks of one legion */
#define LG_LEFT_MAX    16  /* members that have left one legion and are remembered */

/* What plugins may count in one worker, all groups together, and their groups. */
#define LG_PLUGIN_COUNTERS_MAX 8192
#define LG_PLUGIN_GROUPS_MAX   512
#define LG_PLUGIN_HEALTHS_MAX  256 /* counters of kind LG_HEALTH */

#endif
