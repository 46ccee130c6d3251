/* Connects a mount, and connects it again: one thread for each, which blocks as
 * long as it takes. Until it succeeds the mount has no session and requests
 * are answered 503 without a call.
 *
 * A glfs_t whose glfs_init failed is of no use any more, so every attempt makes
 * one. Once connected, gfapi finds bricks that come back by itself; only when
 * that does not happen for long is a second session tried and put in place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MS_MIN 200
#define BACKOFF_MS_MAX 5000
/* libgfapi never gives back all that an attempt took, some 100 KiB: after so many
 * that failed, though glusterd answered, they become rare. Asking whether a glusterd
 * is there costs nothing and stays frequent. */
#define FAILURES_MAX       20
#define BACKOFF_MS_SLOW    30000
#define PROBE_MS_MAX       2000
#define INIT_MS_MIN        15000 /* a first attempt's limit: gfapi itself gives up on most after 10 s */
#define INIT_MS_MAX        3600000
#define WATCH_MS_MAX       1000 /* how often a connected mount is looked after */
#define WATCH_MS_MIN       50
#define REPLACE_MS         30000 /* how long away before a second session is tried */
#define REPLACE_FACTOR_MAX 10    /* and so many times as long where that goes on failing */
#define SAY_AGAIN_MS       60000
#define LOOK_MS            1000 /* how often the volume is looked at, for health checks */
#define PARTS_LOOKS        60   /* and every so many times how many parts it has by now */
#define WELL_MS            3500 /* a look that hangs is none: so long the last one holds */
#define REASON_SIZE        768

struct connector {
    struct gl_mount *mount;
    struct gl_probe *probe; /* NULL with a volfile */
    size_t first;           /* the server to ask first in the next attempt */
    bool reached;           /* the last attempt got beyond asking for a server */
    int64_t limit_ms;       /* how long the next attempt may take */
    unsigned failures;      /* of glfs_init */
    unsigned looks;
    char reason[REASON_SIZE];
    char said[REASON_SIZE]; /* the last reason that was logged */
    int64_t said_ms;
};

static void sleep_ms(unsigned ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&left, NULL);
}

/* ---- why it failed ---- */

static void explain_servers(struct connector *c)
{
    const struct gl_mount_options *o = c->mount->options;
    char why[128];
    int len = snprintf(c->reason, REASON_SIZE, "no glusterd answers");
    for (size_t i = 0; i < o->server_count && len < REASON_SIZE; i++)
        if (gl_probe_why(c->probe, i, why, sizeof why))
            len += snprintf(c->reason + len, REASON_SIZE - (size_t)len, "%s %s (%s)", i ? "," : ":",
                o->servers[i].text, why);
}

/* Once for each reason, and again every minute. */
static void say_reason(struct connector *c)
{
    int64_t now_ms = gl_now_ms();
    if (strcmp(c->reason, c->said) == 0 && now_ms - c->said_ms < SAY_AGAIN_MS)
        return;
    snprintf(c->said, sizeof c->said, "%s", c->reason);
    c->said_ms = now_ms;
    lg_log(LG_LOG_WARN, GL_ROOM, "%s is not connected, trying again: %s",
        c->mount->options->mountpoint, c->reason);
}

static void say_skipped(struct connector *c, size_t taken)
{
    const struct gl_mount_options *o = c->mount->options;
    char why[128];
    for (size_t i = 0; i < o->server_count; i++)
        if (i != taken && gl_probe_why(c->probe, i, why, sizeof why))
            lg_log(LG_LOG_WARN, GL_ROOM, "server %s: %s; took %s instead", o->servers[i].text, why,
                o->servers[taken].text);
}

/* ---- one attempt ---- */

/* 0, or -1 with c->reason. */
static int connect_once(struct connector *c)
{
    const struct gl_mount_options *o = c->mount->options;
    struct gl_session *session;
    size_t alive = 0;
    c->reached = true;
    if (c->probe) {
        int found = gl_probe_run(c->probe, c->first);
        if (found < 0) {
            c->reached = false;
            explain_servers(c);
            return -1;
        }
        alive = (size_t)found;
        if (c->said[0] == '\0')
            say_skipped(c, alive);
    }
    int err = gl_session_new(c->mount, alive, c->limit_ms, &session, c->reason, sizeof c->reason);
    if (err == -ETIMEDOUT && c->limit_ms < INIT_MS_MAX)
        c->limit_ms *= 2; /* each attempt that hangs costs memory for good */
    if (err && c->probe)
        c->first = (alive + 1) % o->server_count; /* perhaps its neighbour knows more */
    c->failures = err ? c->failures + 1 : 0;
    if (err)
        return -1;
    /* The old session, if there is one, stays: calls may hang in it. */
    atomic_store(&c->mount->session, session);
    gl_upcall_start(c->mount, session);
    gl_mount_flush(c->mount);
    atomic_store(&c->mount->away, GL_HERE);
    c->said[0] = '\0';
    return 0;
}

/* After one of `last_ms`. */
static unsigned pause_ms(const struct connector *c, unsigned last_ms)
{
    unsigned most_ms = c->reached ? BACKOFF_MS_MAX : PROBE_MS_MAX;
    if (c->reached && c->failures >= FAILURES_MAX)
        return BACKOFF_MS_SLOW;
    return last_ms * 2 < most_ms ? last_ms * 2 : most_ms;
}

static void connect_first(struct connector *c)
{
    unsigned backoff_ms = BACKOFF_MS_MIN / 2;
    /* An attempt that was given up may make it meanwhile. */
    while (!atomic_load(&c->mount->session) && connect_once(c)) {
        if (atomic_load(&c->mount->session))
            return;
        say_reason(c);
        backoff_ms = pause_ms(c, backoff_ms);
        sleep_ms(backoff_ms);
    }
}

/* gfapi has had its time to find the volume again. */
static void replace_session(struct connector *c)
{
    if (gl_health_look(atomic_load(&c->mount->session)) == 0) {
        gl_mount_note(c->mount, 0);
        return;
    }
    if (connect_once(c))
        say_reason(c);
}

/* How long after the last attempt to replace a session there may be another. */
static int64_t replace_ms(const struct connector *c)
{
    unsigned factor = c->failures < REPLACE_FACTOR_MAX ? c->failures + 1 : REPLACE_FACTOR_MAX;
    return (int64_t)REPLACE_MS * factor;
}

static unsigned watch_ms(const struct gl_site *site)
{
    int64_t half_ms = site->cache_age_ms / 2;
    if (half_ms > WATCH_MS_MAX)
        return WATCH_MS_MAX;
    return half_ms < WATCH_MS_MIN ? WATCH_MS_MIN : (unsigned)half_ms;
}

/* Whether the volume can serve is asked of the volume: nobody else may ask it
 * for anything just now. */
static void look_at_volume(struct connector *c)
{
    const struct gl_mount *mount = c->mount;
    struct gl_session *session = atomic_load(&mount->session);
    bool well = gl_health_look(session) == 0;
    lg_count_well(mount->worker, mount->counters, GL_WELL, well ? WELL_MS : 0);
    if (well && ++c->looks % PARTS_LOOKS == 0)
        (void)gl_health_is_whole(session, session->root);
}

static void *connect_thread(void *arg)
{
    struct connector *c = arg;
    struct gl_mount *mount = c->mount;
    int64_t tried_ms = 0, looked_ms = 0;
    connect_first(c);
    for (;;) {
        if (looked_ms == 0 || gl_now_ms() - looked_ms >= LOOK_MS) {
            looked_ms = gl_now_ms();
            look_at_volume(c);
        }
        gl_mount_remind(mount);
        sleep_ms(watch_ms(mount->site));
        if (atomic_load(&mount->trusted)) {
            struct gl_session *session = atomic_load(&mount->session);
            int err = gl_dirs_watch(&session->dirs, session->fs);
            if (err)
                gl_mount_note(mount, err);
        }
        int64_t now_ms = gl_now_ms();
        if (atomic_load(&mount->away) != GL_HERE && now_ms - tried_ms > replace_ms(c) &&
            now_ms - atomic_load(&mount->away_since_ms) > REPLACE_MS) {
            replace_session(c);
            tried_ms = gl_now_ms();
        }
    }
    return NULL;
}

int gl_mount_start(struct gl_mount *mount)
{
    const struct gl_mount_options *o = mount->options;
    if (gl_queue_start(&mount->reader, "gl-read") || gl_queue_start(&mount->closer, "gl-close"))
        return -1;
    struct connector *c = calloc(1, sizeof *c);
    if (!c)
        return -1;
    c->mount = mount;
    c->limit_ms = INIT_MS_MIN;
    c->probe = o->volfile ? NULL : gl_probe_new(o->servers, o->server_count);
    if ((!c->probe && !o->volfile) || gl_thread_start("gl-connect", connect_thread, c)) {
        free(c->probe);
        free(c);
        return -1;
    }
    return 0;
}
