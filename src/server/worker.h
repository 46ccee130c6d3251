/* A worker: one libuv loop that owns every socket, and the handler threads.
 *
 * Runs in a process forked by the master, which has already dropped privileges
 * and set the log sink. Must not depend on plugin, cluster or master: handlers
 * arrive as a table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SERVER_WORKER_H
#define LG_SERVER_WORKER_H

#include "conf/conf.h"
#include "http/mime.h"
#include "legatus/plugin.h"
#include "shm/shm.h"

enum lg_protocol { LG_PROTO_HTTP, LG_PROTO_UWSGI };

/* A listening socket, bound by the master and shared by all workers. */
struct lg_listener {
    int fd;
    enum lg_protocol protocol;
    uint8_t modifier1; /* what its HTTP requests carry; 0 for uwsgi */
    uint8_t modifier2;
    bool is_router;      /* `http`: http-var applies */
    const char *address; /* as configured, for logs */
};

/* One plugin's handlers as a worker sees them. */
struct lg_started_plugin {
    const struct lg_plugin *plugin;
    void *state; /* what configure made */
};

/* Counters of plugins, as configure declared them. */
struct lg_counter_group {
    const char *plugin;
    char *name; /* owned by the groups */
    const struct lg_counter *counters;
    size_t count;
    size_t first; /* in lg_shm_worker.plugin */
};

struct lg_counter_groups {
    size_t count;
    size_t health_count; /* counters of kind LG_HEALTH among them */
    struct lg_counter_group groups[LG_PLUGIN_GROUPS_MAX];
};

struct lg_worker_setup {
    unsigned id; /* from 1 */
    const struct lg_conf *conf;
    const struct lg_listener *listeners;
    size_t listener_count;
    const struct lg_started_plugin *plugins;
    size_t plugin_count;
    const struct lg_counter_groups *counters; /* NULL = none */
    const struct lg_mime *mime;               /* may be NULL */
    struct lg_shm *shm;
    struct lg_shm_worker *slot;
};

/* Starts plugins, threads and the loop; serves until told to stop. SIGTERM,
 * SIGINT or SIGHUP drain: accept no more, finish what is under way (at most
 * worker-reload-mercy), then return; a second one returns at once. Returns the
 * process's exit status; the caller then uses _exit (a plugin's library may
 * take long to shut down). */
int lg_worker_run(const struct lg_worker_setup *setup);

#endif
