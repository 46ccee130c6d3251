/* The glusterfs plugin: its descriptor, its options, its start in a worker.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODIFIER1 27 /* uWSGI's number for this plugin */

/* Calls at a time that one connection to a volume gains from. Measured on one node
 * 8 do all there is to do, and 30 no more than 8; slow links want some more of them
 * on their way. What is beyond costs a stack each. */
#define THREADS_BEST 8
#define THREADS_MAX  32

static void release(void *state)
{
    struct gl_site *site = state;
    if (!site)
        return;
    for (size_t i = 0; i < site->mount_count; i++)
        gl_servers_free(site->mounts[i].servers, site->mounts[i].server_count);
    for (size_t i = 0; i < site->index_count; i++)
        free(site->indexes[i]);
    gl_expires_free(site);
    gl_encoding_free(site);
    free(site->mounts);
    free(site->counters);
    free(site->indexes);
    free(site);
}

/* ---- options ---- */

static const char OPTION[] = "glusterfs-mount";

static bool read_mountpoint(
    struct lg_plugin_context *context, const struct gl_site *site, size_t i, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len == 0 || text[0] != '/') {
        lg_option_error(context, OPTION, i,
            "mountpoint=\"%s\" must begin with a slash, as in mountpoint=/", text ? text : "");
        return false;
    }
    while (len > 1 && text[len - 1] == '/')
        len--;
    for (size_t k = 0; k < i; k++) {
        const struct gl_mount_options *other = &site->mounts[k];
        if (other->mountpoint_len == len && memcmp(other->mountpoint, text, len) == 0) {
            lg_option_error(context, OPTION, i, "mountpoint %s is given twice", other->mountpoint);
            return false;
        }
    }
    char *copy = strndup(text, len);
    site->mounts[i].mountpoint = copy;
    site->mounts[i].mountpoint_len = len;
    if (!copy)
        lg_option_error(context, OPTION, i, "out of memory");
    return copy != NULL;
}

static bool read_mount(struct lg_plugin_context *context, const struct gl_site *site, size_t i)
{
    struct gl_mount_options *mount = &site->mounts[i];
    const char *servers = lg_option_key(context, OPTION, i, "server");
    char why[256];
    if (!servers)
        servers = lg_option_key(context, OPTION, i, "servers");
    mount->volume = lg_option_key(context, OPTION, i, "volume");
    mount->volfile = lg_option_key(context, OPTION, i, "volfile");
    if (!read_mountpoint(context, site, i, lg_option_key(context, OPTION, i, "mountpoint")))
        return false;
    if (!mount->volume || !mount->volume[0]) {
        lg_option_error(context, OPTION, i, "volume=NAME is missing");
        return false;
    }
    if (mount->volfile) {
        if (servers)
            lg_option_warn(context, OPTION, i, "volfile is used, server is ignored");
        if (access(mount->volfile, R_OK))
            lg_option_warn(context, OPTION, i, "volfile %s cannot be read now", mount->volfile);
        return true;
    }
    if (!servers) {
        lg_option_error(context, OPTION, i, "server=HOST:PORT or volfile=FILE is missing");
        return false;
    }
    if (gl_servers_parse(servers, &mount->servers, &mount->server_count, why, sizeof why)) {
        lg_option_error(context, OPTION, i, "%s", why);
        return false;
    }
    return true;
}

static bool read_mounts(struct lg_plugin_context *context, struct gl_site *site)
{
    bool ok = true;
    size_t count = lg_option_count(context, OPTION);
    if (count > GL_MOUNTS_MAX) {
        lg_option_error(context, OPTION, GL_MOUNTS_MAX, "more than %d mounts", GL_MOUNTS_MAX);
        return false;
    }
    site->mounts = calloc(count ? count : 1, sizeof *site->mounts);
    if (!site->mounts)
        return false;
    site->mount_count = count;
    for (size_t i = 0; i < count; i++)
        ok = read_mount(context, site, i) && ok;
    return ok;
}

static bool add_index(
    struct lg_plugin_context *context, struct gl_site *site, size_t i, const char *name)
{
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        lg_option_error(context, "glusterfs-index", i,
            "\"%s\" is not the name of a file in a directory, such as index.html", name);
        return false;
    }
    if (site->index_count == GL_INDEXES_MAX) {
        lg_option_error(context, "glusterfs-index", i, "more than %d names", GL_INDEXES_MAX);
        return false;
    }
    site->indexes[site->index_count] = strdup(name);
    return site->indexes[site->index_count++] != NULL;
}

static bool read_indexes(struct lg_plugin_context *context, struct gl_site *site)
{
    bool ok = true;
    site->indexes = calloc(GL_INDEXES_MAX, sizeof *site->indexes);
    if (!site->indexes)
        return false;
    for (size_t i = 0; i < lg_option_count(context, "glusterfs-index"); i++) {
        char *copy = strdup(lg_option_text(context, "glusterfs-index", i));
        char *next = copy;
        ok = ok && copy;
        for (char *name = strsep(&next, " \t"); name; name = strsep(&next, " \t"))
            if (name[0])
                ok = add_index(context, site, i, name) && ok;
        free(copy);
    }
    return ok;
}

/* ---- counters: in the order of enum gl_counter ---- */

static const struct lg_counter counters[] = {
    [GL_HITS] = {"hits", LG_COUNTER, "requests answered from memory at once"},
    [GL_MISSES] = {"misses", LG_COUNTER, "requests that had the volume looked at"},
    [GL_SHARED] = {"shared", LG_COUNTER, "requests that waited for what another one had begun"},
    [GL_STREAMS] = {"streams", LG_COUNTER, "requests for files that are not kept in memory"},
    [GL_RENEWALS] = {"renewals", LG_COUNTER, "cached files found unchanged by one look-up"},
    [GL_CHANGES] = {"changes", LG_COUNTER, "cached files found changed or gone"},
    [GL_EVENTS] = {"events", LG_COUNTER, "changes the volume told about (upcalls)"},
    [GL_FLUSHES] = {"flushes", LG_COUNTER, "times everything cached was in doubt"},
    [GL_BYTES] = {"bytes", LG_COUNTER, "bytes of bodies of answers"},
    [GL_ERRORS] = {"errors", LG_COUNTER, "calls that failed"},
    [GL_ENCODED] = {"precompressed", LG_COUNTER, "answers with the encoded file beside a file"},
    [GL_LISTINGS] = {"listings", LG_COUNTER, "listings of directories"},
    [GL_TRUSTED] = {"upcalls_trusted", LG_GAUGE, "1 while changes are told about by the volume"},
    [GL_CACHED] = {"cache_bytes", LG_GAUGE, "memory of this worker's cache, all mounts together"},
    [GL_WELL] = {"well", LG_HEALTH, "1 while a brick answers about the volume's root"},
    [GL_LATENCY] = {"fetch_us_250", LG_COUNTER, "fetches that took at most 0.25 ms"},
    {"fetch_us_1000", LG_COUNTER, "at most 1 ms"},
    {"fetch_us_4000", LG_COUNTER, "at most 4 ms"},
    {"fetch_us_16000", LG_COUNTER, "at most 16 ms"},
    {"fetch_us_64000", LG_COUNTER, "at most 64 ms"},
    {"fetch_us_256000", LG_COUNTER, "at most 256 ms"},
    {"fetch_us_1024000", LG_COUNTER, "at most 1.024 s"},
    {"fetch_us_more", LG_COUNTER, "longer"},
};
_Static_assert(sizeof counters / sizeof *counters == GL_COUNTER_COUNT, "one text per counter");

static bool add_counters(struct lg_plugin_context *context, struct gl_site *site)
{
    site->counters = calloc(site->mount_count + 1, sizeof *site->counters);
    if (!site->counters)
        return false;
    for (size_t i = 0; i < site->mount_count; i++) {
        const char *name = site->mounts[i].mountpoint;
        site->counters[i] = lg_counters_add(context, name ? name : "", counters, GL_COUNTER_COUNT);
        if (site->counters[i] < 0)
            return false;
    }
    return true;
}

static void read_cache(struct lg_plugin_context *context, struct gl_site *site)
{
    const char *upcall = lg_option_text(context, "glusterfs-upcall", 0);
    size_t count = lg_option_count(context, "glusterfs-upcall");
    if (count > 0)
        upcall = lg_option_text(context, "glusterfs-upcall", count - 1);
    site->upcall = GL_UPCALL_AUTO;
    if (upcall && strcmp(upcall, "auto") != 0)
        site->upcall = strcmp(upcall, "on") == 0 ? GL_UPCALL_ON : GL_UPCALL_OFF;
    site->cache_size = (size_t)lg_option_number(context, "glusterfs-cache");
    site->file_max = (size_t)lg_option_number(context, "glusterfs-cache-file-max");
    site->cache_age_ms = lg_option_number(context, "glusterfs-cache-age");
    site->read_ahead = (size_t)lg_option_number(context, "glusterfs-read-ahead");
    site->memory.limit = (size_t)lg_option_number(context, "glusterfs-memory");
}

static void check_threads(struct lg_plugin_context *context, const struct gl_site *site)
{
    long long threads = lg_option_number(context, "threads");
    long long most = THREADS_MAX * (long long)site->mount_count;
    size_t count = lg_option_count(context, "threads");
    if (site->mount_count > 0 && threads > most)
        lg_option_warn(context, "threads", count ? count - 1 : 0,
            "%lld threads for %zu volume%s: one is at its best with about %d calls at a time, and "
            "more than %d only cost memory; processes = N gives it more connections",
            threads, site->mount_count, site->mount_count > 1 ? "s" : "", THREADS_BEST,
            THREADS_MAX);
}

static int configure(struct lg_plugin_context *context, void **ret_state)
{
    struct gl_site *site = calloc(1, sizeof *site);
    if (!site)
        return -1;
    int64_t timeout_ms = lg_option_number(context, "glusterfs-timeout");
    site->timeout_ms = timeout_ms > 0 ? (unsigned)timeout_ms : 0;
    if (lg_option_count(context, "glusterfs-calls-max"))
        site->calls_max = (unsigned)lg_option_number(context, "glusterfs-calls-max");
    if (lg_option_count(context, "glusterfs-log"))
        site->log = lg_option_text(context, "glusterfs-log", 0);
    site->no_default_app = lg_option_number(context, "no-default-app") != 0;
    bool ok = read_mounts(context, site);
    ok = read_indexes(context, site) && ok;
    read_cache(context, site);
    check_threads(context, site);
    ok = gl_expires_read(context, site) && ok;
    ok = gl_encoding_read(context, site) && ok;
    site->autoindex = lg_option_number(context, "glusterfs-autoindex") != 0;
    site->autoindex_max = (size_t)lg_option_number(context, "glusterfs-autoindex-max");
    ok = ok && add_counters(context, site);
    if (!ok) {
        release(site);
        return -1;
    }
    *ret_state = site;
    return 0;
}

/* ---- the worker ---- */

/* A glusterd or brick that dies is a broken pipe to gfapi, which does not mind
 * the error but does not block the signal either. */
static int ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action))
        return -1;
    if (action.sa_handler != SIG_DFL)
        return 0;
    action.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &action, NULL);
}

static int start_mount(struct gl_site *site, struct lg_worker *worker, size_t i)
{
    struct gl_mount *mount = &site->running[i];
    char name[64];
    unsigned limit = site->calls_max;
    if (limit == 0)
        limit = lg_worker_threads(worker) * 3 / 4;
    mount->options = &site->mounts[i];
    mount->site = site;
    mount->worker = worker;
    mount->counters = site->counters[i];
    mount->number = (unsigned)i;
    snprintf(name, sizeof name, "glusterfs %s", site->mounts[i].mountpoint);
    mount->lane = lg_lane_new(worker, name, limit ? limit : 1, GL_QUEUE_MAX);
    return mount->lane && gl_mount_start(mount) == 0 ? 0 : -1;
}

/* A worker that stops does not undo this: calls may hang in gfapi, and the
 * process ends right after. */
static int start(void *state, struct lg_worker *worker)
{
    struct gl_site *site = state;
    site->running = calloc(site->mount_count ? site->mount_count : 1, sizeof *site->running);
    if (!site->running || ignore_sigpipe() || pthread_mutex_init(&site->making, NULL))
        return -1;
    if (gl_store_start(site, worker)) {
        lg_log(LG_LOG_ERROR, GL_ROOM, "no memory for the cache");
        return -1;
    }
    for (size_t i = 0; i < site->mount_count; i++)
        if (start_mount(site, worker, i)) {
            lg_log(LG_LOG_ERROR, GL_ROOM, "%s: no threads or memory to connect it",
                site->mounts[i].mountpoint);
            return -1;
        }
    return 0;
}

static const struct lg_handler handlers[] = {
    {.modifier1 = MODIFIER1, .name = "glusterfs", .fast = gl_file_fast, .handle = gl_file_handle},
};

extern LG_API const struct lg_plugin legatus_plugin;
const struct lg_plugin legatus_plugin = {
    .abi = LG_PLUGIN_ABI,
    .name = "glusterfs",
    .version = "0.1.0",
    .configure = configure,
    .start = start,
    .release = release,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof handlers[0],
};
