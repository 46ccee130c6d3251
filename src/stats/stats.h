/* The statistics as JSON. Pure: a snapshot in, text out.
 *
 * The keys are uWSGI's (so that its tools read them) and some of our own. Texts
 * that are no valid UTF-8 get U+FFFD: the JSON is valid whatever is in them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_STATS_STATS_H
#define LG_STATS_STATS_H

#include "base/buf.h"
#include "base/err.h"
#include "stats/counters.h"

#include <sys/types.h>

struct lg_stats_socket {
    const char *name;
    const char *protocol; /* "http", "uwsgi" */
    uint64_t queue;       /* connections waiting to be accepted */
    uint64_t queue_max;
};

struct lg_stats_core {
    uint64_t busy_ms; /* how long it runs what it runs; 0 = idle */
};

struct lg_stats_value {
    const char *key;
    uint64_t value;
};

/* Counters of a plugin, such as those of one mount. */
struct lg_stats_group {
    const char *plugin; /* groups of one plugin stand together */
    const char *name;
    const struct lg_stats_value *values;
    size_t value_count;
};

struct lg_stats_worker {
    unsigned id;
    pid_t pid; /* 0 = waiting to be started again */
    bool accepting;
    const char *status; /* "idle", "busy", "draining", "starting", "dead" */
    uint64_t harakiri_count;
    uint64_t respawn_count;
    int64_t last_spawn_s; /* Unix time */
    uint64_t rss_bytes;
    uint64_t vsz_bytes;
#define LG_STATS_FIELD(field, key, kind, help) uint64_t field;
    LG_WORKER_COUNTERS(LG_STATS_FIELD)
#undef LG_STATS_FIELD
    uint64_t by_class[LG_STATUS_CLASSES];
    const struct lg_stats_group *groups;
    size_t group_count;
    const struct lg_stats_core *cores;
    size_t core_count;
};

struct lg_stats_member {
    const char *name;
    const char *uuid;
    uint64_t valor;
    uint64_t checksum;
    int64_t last_seen_s;
    int64_t deaf_since_s; /* since when it does not hear us; 0 = it does; -1 = never did */
    bool arbiter;
    const char *scroll; /* scroll_len 0 = none */
    size_t scroll_len;
};

struct lg_stats_left {
    const char *name;
    const char *uuid;
    int64_t last_seen_s;
    bool died; /* it said so */
};

struct lg_stats_check {
    const char *name;
    bool well;
    int64_t changed_s;  /* Unix time; 0 = never */
    const char *result; /* of the last run, for people */
};

struct lg_stats_legion {
    const char *name;
    const char *addr;
    const char *uuid;
    uint64_t valor;
    uint64_t checksum;
    uint64_t quorum;
    uint64_t votes;
    uint64_t epoch;
    const char *mode;   /* whose rules decide: "classical", "mixed", "safe" */
    int64_t lease_ms;   /* what is left of the title; 0 = none */
    int64_t waiting_ms; /* after a start: neither votes nor stands for so long yet */
    bool maintenance;   /* operators want it not to stand */
    const char *aside;  /* why it does not stand: "maintenance", "check", ...; "" = it does */
    int64_t aside_ms;   /* of a resignation: for so long yet; else 0 */
    uint64_t freq_ms, tolerance_ms;
    uint64_t reach;       /* nodes in two-way contact, ourselves included; mode "safe" */
    int64_t lord_since_s; /* 0 = we are not Lord */
    uint64_t lord_valor;
    const char *lord_uuid;
    const char *lord_name;
    const char *scroll;
    size_t scroll_len;
    const char *const *nodes;
    size_t node_count;
    const struct lg_stats_member *members;
    size_t member_count;
    const struct lg_stats_left *left; /* heard no more */
    size_t left_count;
    const struct lg_stats_check *checks;
    size_t check_count;
};

/* One of 0 to 255 that was raised. */
struct lg_stats_signal {
    unsigned number;
    uint64_t count;
    int64_t last_s;   /* Unix time */
    const char *from; /* who raised it last */
};

struct lg_stats_alarm {
    const char *name;
    const char *action; /* "cmd", "log", "signal" */
    uint64_t count;
    uint64_t suppressed; /* repetitions within alarm-freq */
    uint64_t failures;
    int64_t last_s; /* Unix time; 0 = never */
};

struct lg_stats {
    const char *version;
    pid_t pid;
    uid_t uid;
    gid_t gid;
    const char *cwd;
    const struct lg_stats_socket *sockets;
    size_t socket_count;
    const struct lg_stats_worker *workers;
    size_t worker_count;
    const struct lg_stats_legion *legions;
    size_t legion_count;
    const struct lg_stats_signal *signals;
    size_t signal_count;
    const struct lg_stats_alarm *alarms;
    size_t alarm_count;
};

/* Appends one JSON object and a newline. 0 or -LG_E_NOMEM (`out` as it was). */
int lg_stats_json(const struct lg_stats *stats, struct lg_buf *out) LG_MUST_USE;

#endif
