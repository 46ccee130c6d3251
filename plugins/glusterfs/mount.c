/* Connects a mount, and connects it again: one thread for each, which blocks as
 * long as gfapi does. Until it succeeds the mount has no session and requests
 * are answered 503 without a call.
 *
 * A glfs_t whose glfs_init failed is of no use any more, so every attempt makes
 * one. Once connected, gfapi finds bricks that come back by itself; only when
 * that does not happen for long is a second session tried and put in place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define BACKOFF_MS_MIN   200
#define BACKOFF_MS_MAX   5000
#define WATCH_MS         2000  /* how often a connected mount is looked after */
#define REPLACE_MS       30000 /* how long away before a second session is tried */
#define SAY_AGAIN_MS     60000
#define PATIENCE_MS      15000 /* a glfs_init that takes longer is worth a line */
#define INIT_GIVES_UP_MS 8000  /* gfapi gives up on silent bricks after 10 s */
#define GFAPI_LOG_INFO   7
#define REASON_SIZE      768

struct connector {
    struct gl_mount *mount;
    struct gl_probe *probe; /* NULL with a volfile */
    size_t first;           /* the server to ask first in the next attempt */
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

static bool may_bind_low_ports(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data))
        return true; /* unknown: no hint is better than a false one */
    return data[0].effective & (1u << CAP_NET_BIND_SERVICE);
}

static void explain_init(struct connector *c, const char *through, int error, int64_t took_ms)
{
    const struct gl_mount_options *o = c->mount->options;
    char *r = c->reason;
    if (o->volfile && (error == 0 || error == ENOENT || error == EINVAL))
        snprintf(r, REASON_SIZE, "volfile %s: %s", o->volfile,
            error ? strerror(error) : "not a volume file that gfapi understands");
    else if (error == ENOENT)
        snprintf(r, REASON_SIZE,
            "glusterd at %s knows no volume \"%s\" (gluster volume list shows those it has)",
            through, o->volume);
    else if (error == EIO && took_ms < INIT_GIVES_UP_MS)
        snprintf(r, REASON_SIZE,
            "%s answers, but no brick of volume \"%s\" is up: is it started (gluster volume "
            "start %s)?",
            through, o->volume, o->volume);
    else if (error == EIO && !may_bind_low_ports())
        snprintf(r, REASON_SIZE,
            "%s answers, but the bricks of volume \"%s\" took no connection for %lld s. If the "
            "volume has server.allow-insecure off, they only talk to ports below 1024: run with "
            "cap = net_bind_service, or as root. Otherwise look at firewalls",
            through, o->volume, (long long)took_ms / 1000);
    else if (error == EIO)
        snprintf(r, REASON_SIZE,
            "%s answers, but the bricks of volume \"%s\" took no connection for %lld s: are their "
            "ports reachable from here?",
            through, o->volume, (long long)took_ms / 1000);
    else
        snprintf(r, REASON_SIZE, "volume \"%s\" through %s: %s", o->volume, through,
            error ? strerror(error) : "glfs_init failed and does not say why");
}

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

/* Loop. A hung brick makes glfs_init wait, without a word, until it moves. */
static void lose_patience(void *arg)
{
    struct gl_mount *mount = arg;
    int64_t since_ms = atomic_load(&mount->init_since_ms);
    if (atomic_load(&mount->session))
        return;
    if (since_ms && gl_now_ms() - since_ms >= PATIENCE_MS)
        lg_log(LG_LOG_WARN, GL_ROOM,
            "%s: glusterd answered, but volume \"%s\" has kept us waiting for %lld s: a brick may "
            "be hanging",
            mount->options->mountpoint, mount->options->volume,
            (long long)(gl_now_ms() - since_ms) / 1000);
    lg_worker_later(mount->worker, PATIENCE_MS, lose_patience, mount);
}

/* ---- one attempt ---- */

struct fini_job {
    struct gl_job job;
    glfs_t *fs;
};

static void run_fini(struct gl_job *job)
{
    struct fini_job *fini = (struct fini_job *)job;
    glfs_fini(fini->fs);
    free(fini);
}

/* glfs_fini takes 1 to 11 s: not on the connecting thread. */
static void put_away(struct gl_mount *mount, glfs_t *fs)
{
    struct fini_job *fini = calloc(1, sizeof *fini);
    if (!fini)
        return; /* leaked: memory is out anyway */
    fini->job.run = run_fini;
    fini->fs = fs;
    gl_queue_add(&mount->closer, &fini->job);
}

static int add_server(glfs_t *fs, const struct gl_server *server)
{
    return glfs_set_volfile_server(
        fs, server->unix_socket ? "unix" : "tcp", server->host, server->port);
}

/* `alive` goes first; the others follow, for the day it dies. */
static glfs_t *make_fs(const struct gl_mount *mount, size_t alive)
{
    const struct gl_mount_options *o = mount->options;
    const char *log = mount->site->log;
    glfs_t *fs = glfs_new(o->volume);
    if (!fs)
        return NULL;
    int err = glfs_set_logging(fs, log ? log : "/dev/null", log ? GFAPI_LOG_INFO : 0);
    if (o->volfile) {
        err |= glfs_set_volfile(fs, o->volfile);
    } else {
        err |= add_server(fs, &o->servers[alive]);
        for (size_t i = 0; i < o->server_count; i++)
            if (i != alive)
                err |= add_server(fs, &o->servers[i]);
    }
    if (err)
        lg_log(LG_LOG_WARN, GL_ROOM, "%s: gfapi did not take every setting (%s)", o->mountpoint,
            strerror(errno));
    return fs;
}

/* 0 and a session that has seen the volume's root, or -1 with c->reason. */
static int init_session(struct connector *c, size_t alive, struct gl_session **ret_session)
{
    struct gl_mount *mount = c->mount;
    const struct gl_mount_options *o = mount->options;
    const char *through = o->volfile ? o->volfile : o->servers[alive].text;
    struct stat stat;
    struct gl_session *session = calloc(1, sizeof *session);
    glfs_t *fs = session ? make_fs(mount, alive) : NULL;
    if (!fs) {
        free(session);
        snprintf(c->reason, REASON_SIZE, "out of memory");
        return -1;
    }
    int64_t began_ms = gl_now_ms();
    atomic_store(&mount->init_since_ms, began_ms);
    errno = 0;
    int err = glfs_init(fs) ? -1 : 0;
    if (!err) {
        session->root = glfs_h_lookupat(fs, NULL, "/", &stat, 0);
        err = session->root ? 0 : -1;
    }
    int error = errno;
    atomic_store(&mount->init_since_ms, 0);
    if (err) {
        explain_init(c, through, error, gl_now_ms() - began_ms);
        put_away(mount, fs);
        free(session);
        return -1;
    }
    session->fs = fs;
    gl_dirs_init(&session->dirs);
    lg_log(LG_LOG_INFO, GL_ROOM, "%s: volume \"%s\" connected through %s in %lld ms", o->mountpoint,
        o->volume, through, (long long)(gl_now_ms() - began_ms));
    *ret_session = session;
    return 0;
}

/* 0, or -1 with c->reason. */
static int connect_once(struct connector *c)
{
    const struct gl_mount_options *o = c->mount->options;
    struct gl_session *session;
    size_t alive = 0;
    if (c->probe) {
        int found = gl_probe_run(c->probe, c->first);
        if (found < 0) {
            explain_servers(c);
            return -1;
        }
        alive = (size_t)found;
        if (c->said[0] == '\0')
            say_skipped(c, alive);
    }
    if (init_session(c, alive, &session)) {
        if (c->probe)
            c->first = (alive + 1) % o->server_count; /* perhaps its neighbour knows more */
        return -1;
    }
    /* The old session, if there is one, stays: calls may hang in it. */
    atomic_store(&c->mount->session, session);
    atomic_store(&c->mount->away, GL_HERE);
    c->said[0] = '\0';
    return 0;
}

static void connect_first(struct connector *c)
{
    unsigned backoff_ms = BACKOFF_MS_MIN;
    while (connect_once(c)) {
        say_reason(c);
        sleep_ms(backoff_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MS_MAX ? backoff_ms * 2 : BACKOFF_MS_MAX;
    }
}

/* gfapi has had its time to find the volume again. */
static void replace_session(struct connector *c)
{
    struct gl_session *session = atomic_load(&c->mount->session);
    struct stat stat;
    if (glfs_h_stat(session->fs, session->root, &stat) == 0) {
        gl_mount_note(c->mount, 0);
        return;
    }
    if (connect_once(c))
        say_reason(c);
}

static void *connect_thread(void *arg)
{
    struct connector *c = arg;
    struct gl_mount *mount = c->mount;
    int64_t tried_ms = 0;
    connect_first(c);
    for (;;) {
        sleep_ms(WATCH_MS);
        int64_t now_ms = gl_now_ms();
        if (atomic_load(&mount->away) != GL_HERE && now_ms - tried_ms > REPLACE_MS &&
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
    c->probe = o->volfile ? NULL : gl_probe_new(o->servers, o->server_count);
    if ((!c->probe && !o->volfile) ||
        lg_worker_later(mount->worker, PATIENCE_MS, lose_patience, mount) ||
        gl_thread_start("gl-connect", connect_thread, c)) {
        free(c->probe);
        free(c);
        return -1;
    }
    return 0;
}
