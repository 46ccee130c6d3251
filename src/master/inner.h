/* The master's own data, shared by the files of the room. Nobody else's.
 *
 * Single-threaded. Times are CLOCK_MONOTONIC milliseconds unless the name says
 * otherwise; 0 = not set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_INNER_H
#define LG_MASTER_INNER_H

#include "base/arena.h"
#include "cluster/cluster.h"
#include "log/log.h"
#include "master/identity.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/notify.h"
#include "master/state.h"
#include "master/statsd.h"
#include "shm/calls.h"
#include "stats/stats.h"

#include <signal.h>
#include <sys/types.h>

#define LG_RESCUES_MAX    32 /* unlord hooks the master runs itself */
#define LG_ALARMS_MAX     64
#define LG_ALARM_RUNS_MAX 8 /* commands at a time */
#define LG_START_TRIES    5 /* deaths before a start is given up */
#define LG_SETTLED_MS     1000
#define LG_BACKOFF_MS     100
#define LG_BACKOFF_MAX    10000
#define LG_CHECK_MS       30000 /* for a child to try a configuration */
#define LG_KILL_MS        1000  /* for the legion process after its second SIGTERM */
#define LG_KILL_REST_MS   5000  /* for hooks that take a virtual address away */

/* A configuration in use, with what was opened for it. */
struct generation {
    unsigned number; /* from 1; 0 = none */
    struct lg_loaded loaded;
    struct lg_sockets *sockets;
    unsigned processes; /* workers wanted; 0 when there is nothing to serve */
    unsigned threads;
    int64_t harakiri_ms;
    int64_t mercy_ms;    /* a worker's time to drain on reload */
    int64_t shutdown_ms; /* and on shutdown */
    bool ever_ready;     /* one of its workers was */
};

/* A worker; its place in the table is its slot in shared memory. */
struct worker {
    bool used;
    bool ready;
    bool draining; /* told to go; not started again */
    bool harakiri; /* killed for a request that took too long */
    pid_t pid;     /* 0 = waiting for retry_ms */
    unsigned id;   /* from 1, as the world knows it */
    unsigned generation;
    unsigned fails; /* short lives in a row */
    uint64_t spawn_count;
    uint64_t harakiri_count;
    int64_t spawned_ms;
    int64_t retry_ms;
    int64_t kill_ms;      /* end of its mercy */
    int64_t last_spawn_s; /* Unix time */
};

struct legion_process {
    pid_t pid;
    int guard_fd; /* write end of a pipe: its EOF tells the child that we are gone */
    unsigned fails;
    bool stopped; /* by SIGSTOP */
    bool killed;  /* by us: its end is near */
    int64_t spawned_ms;
    int64_t retry_ms;
    int64_t late_ms; /* since when a title is held that should not be; 0 = none is */
};

/* Of one of the signals 0 to 255, by whoever raised it. */
struct signal_count {
    uint64_t count;
    int64_t last_s; /* Unix time */
    char from[LG_CALL_FROM_SIZE];
};

struct alarm_count {
    char name[LG_CALL_NAME_MAX + 1]; /* "" = free */
    uint64_t count, suppressed, failures;
    int64_t last_s; /* Unix time */
    int64_t last_ms;
    char text[LG_CALL_TEXT_MAX + 1]; /* the last that was told */
};

struct alarm_run {
    pid_t pid; /* 0 = free */
    int64_t kill_ms;
    struct alarm_count *alarm;
};

struct master {
    enum lg_master_state state;
    int exit_status;
    pid_t pid;
    int argc;
    const char *const *argv;
    struct generation now;
    struct generation old;       /* while RELOADING */
    unsigned generations;        /* how many there ever were */
    struct lg_conf *legion_conf; /* what the legion process runs on; may outlive its generation */
    struct lg_cluster *cluster;
    struct lg_shm *shm;
    struct legion_process legion;
    pid_t rescues[LG_RESCUES_MAX]; /* 0 = free */
    pid_t check_pid;
    bool hup_later;
    bool reload_failed;  /* SWITCH could not finish */
    bool stop_draining;  /* old workers were told to go */
    int64_t deadline_ms; /* the state's own */
    int signal_fd;
    int log_fds[2]; /* children write to the first */
    int home_fd;    /* the directory we were started in */
    char *pidfile;  /* owned; relative to home_fd */
    struct lg_notify notify;
    struct lg_statsd statsd;
    struct signal_count signals[LG_SIGNALS_MAX];
    struct alarm_count alarms[LG_ALARMS_MAX];
    struct alarm_run alarm_runs[LG_ALARM_RUNS_MAX];
    unsigned worker_end; /* workers beyond it are unused */
    struct worker workers[LG_SHM_WORKERS_MAX];
};

int64_t lg_now_ms(void);

/* ---- generation.c ---- */

/* Opens what `gen->loaded` names; faults are diagnostics of its conf. */
int lg_generation_open(struct master *master, struct generation *gen) LG_MUST_USE;
void lg_generation_free(struct master *master, struct generation *gen);
/* The log as gen wants it. Faults are diagnostics. */
int lg_generation_log(struct generation *gen) LG_MUST_USE;

/* ---- process.c: forking ---- */

/* Forks; in the child signals are as at birth and lines go through the master
 * as `name`. As fork. */
pid_t lg_fork(struct master *master, const char *name);
/* Child: closes what only the master may hold. */
void lg_drop_master_fds(struct master *master);

/* ---- workers.c ---- */

/* Makes entries for the workers of `now`, to be started at once. */
int lg_workers_plan(struct master *master) LG_MUST_USE;
/* Starts those whose time has come. */
void lg_workers_start_due(struct master *master, int64_t now_ms);
/* Looks at shared memory who became ready. True when all of `now` are. */
bool lg_workers_note_ready(struct master *master);
void lg_workers_harakiri(struct master *master, int64_t now_ms);
struct worker *lg_workers_find(struct master *master, pid_t pid);
/* Logs why, prepares what comes next; returns the event for the table. */
enum lg_master_event lg_workers_reap(struct master *master, struct worker *worker, int status);
/* Tells those of other generations than `keep` (0 = all) to drain until `mercy_ms` is over. */
void lg_workers_drain(struct master *master, unsigned keep, int64_t mercy_ms);
/* SIGKILL for those that drain (or all), when `past_ms` is past their mercy. */
void lg_workers_kill(struct master *master, bool all, int64_t past_ms);
unsigned lg_workers_alive(const struct master *master);
unsigned lg_workers_draining(const struct master *master);
/* The soonest time anything is due; INT64_MAX = never. */
int64_t lg_workers_due(const struct master *master);

/* ---- guard.c: the legion process ---- */

int lg_guard_start(struct master *master) LG_MUST_USE; /* 0 also when there is no legion */
void lg_guard_reap(struct master *master, int status);
/* Starts it again when its time has come. */
void lg_guard_start_due(struct master *master, int64_t now_ms);
int64_t lg_guard_start_at(const struct master *master); /* INT64_MAX = not at all */
/* Ends one that does not give its title up in time, also while all is stopping. */
void lg_guard_tick(struct master *master, int64_t now_ms);
bool lg_guard_reap_rescue(struct master *master, pid_t pid, int status);
unsigned lg_guard_rescues(const struct master *master);
/* The legion options of `now` from here on, as far as they can be. */
void lg_guard_change(struct master *master);
int64_t lg_guard_due(const struct master *master, int64_t now_ms);

/* ---- calls.c: what children ask for ---- */

/* A bounded number of calls. */
void lg_take_calls(struct master *master);
/* Nothing can register a handler yet: it is counted, and said once. */
void lg_signal_raise(struct master *master, unsigned number, const char *from);
/* Those that were ever raised; in the arena. */
size_t lg_signals_fill(
    struct master *master, struct lg_arena *arena, const struct lg_stats_signal **ret_list);

/* ---- alarms.c ---- */

/* By the alarm options of `now`. */
void lg_alarm_raise(struct master *master, const char *name, const char *text, const char *from);
bool lg_alarms_reap(struct master *master, pid_t pid, int status);
/* Ends commands whose time is over. */
void lg_alarms_kill(struct master *master, int64_t now_ms);
int64_t lg_alarms_due(const struct master *master);
unsigned lg_alarms_running(const struct master *master);
/* Those of the configuration; in the arena, and names in the table. */
size_t lg_alarms_fill(
    struct master *master, struct lg_arena *arena, const struct lg_stats_alarm **ret_list);

/* ---- reload.c ---- */

void lg_reload_check(struct master *master);
enum lg_master_event lg_reload_checked(struct master *master, int status);
void lg_reload_switch(struct master *master);
void lg_reload_keep(struct master *master);
void lg_reload_drain(struct master *master);
void lg_reload_abandon(struct master *master);
void lg_reload_done(struct master *master);

/* ---- collect.c ---- */

/* Appends the statistics of now as JSON. */
int lg_collect_json(struct master *master, struct lg_buf *out) LG_MUST_USE;
void lg_collect_log(struct master *master);

#endif
