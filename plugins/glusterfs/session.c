/* One attempt to connect a volume, on a thread of its own: glfs_init has no
 * limit. Where a brick or glusterd hangs, or a brick refuses us for our port, it
 * waits for as long as that lasts, and the glfs_t in it cannot be let go.
 *
 * So an attempt that takes too long is abandoned, not ended: its thread stays,
 * and should it succeed one day while the mount still has no session, its
 * session is as good as any.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOW_MS        8000 /* gfapi gives up on bricks that take no connection after 10 s */
#define GFAPI_LOG_INFO 7

struct attempt {
    struct gl_mount *mount;
    size_t server; /* index of the one that answered */
    int64_t began_ms;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;                  /* the thread has the result */
    bool abandoned;             /* nobody waits for it */
    struct gl_session *session; /* NULL = failed */
    int error;
};

/* ---- why it failed ---- */

static bool may_bind_low_ports(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data))
        return true; /* unknown: no hint is better than a false one */
    return data[0].effective & (1u << CAP_NET_BIND_SERVICE);
}

/* What keeps us from bricks that are there. */
static const char *port_hint(void)
{
    return may_bind_low_ports()
               ? "are they hanging, or their ports not reachable from here?"
               : "if the volume has server.allow-insecure off, they only talk to ports below 1024: "
                 "run with cap = net_bind_service, or as root; otherwise they hang, or a firewall "
                 "is in the way";
}

static void explain(const struct attempt *attempt, char *ret_why, size_t size)
{
    const struct gl_mount_options *o = attempt->mount->options;
    const char *through = o->volfile ? o->volfile : o->servers[attempt->server].text;
    int64_t took_ms = gl_now_ms() - attempt->began_ms;
    int error = attempt->error;
    if (!attempt->done)
        snprintf(ret_why, size,
            "%s answers, but the bricks of volume \"%s\" have kept us waiting for %lld s: %s",
            through, o->volume, (long long)took_ms / 1000, port_hint());
    else if (o->volfile && (error == 0 || error == ENOENT || error == EINVAL))
        snprintf(ret_why, size, "volfile %s: %s", o->volfile,
            error ? strerror(error) : "not a volume file that gfapi understands");
    else if (error == ENOENT)
        snprintf(ret_why, size,
            "glusterd at %s knows no volume \"%s\" (gluster volume list shows those it has)",
            through, o->volume);
    else if ((error == EIO || error == ENOTCONN) && took_ms >= SLOW_MS)
        snprintf(ret_why, size,
            "%s answers, but the bricks of volume \"%s\" took no connection for %lld s: %s",
            through, o->volume, (long long)took_ms / 1000, port_hint());
    else if ((error == EIO || error == ENOTCONN) && !o->volfile)
        snprintf(ret_why, size,
            "%s answers, but no brick of volume \"%s\" is up: is it started (gluster volume "
            "start %s)?",
            through, o->volume, o->volume);
    else
        snprintf(ret_why, size, "volume \"%s\" through %s: %s", o->volume, through,
            error ? strerror(error) : "glfs_init failed and does not say why");
}

/* ---- the attempt's thread ---- */

static void *run_fini(void *fs)
{
    glfs_fini(fs);
    return NULL;
}

/* glfs_fini takes 1 to 11 s: on no thread that anybody waits for. One whose volfile
 * gfapi could not take is leaked instead: glfs_fini frees it under a timer of its
 * log, which goes off after two minutes and takes the process along. */
static void put_away(glfs_t *fs, const struct gl_mount_options *options, int error)
{
    bool loaded = !options->volfile || error == ENOTCONN || error == EIO || error == ETIMEDOUT;
    if (loaded)
        (void)gl_thread_start("gl-fini", run_fini, fs); /* else it is leaked */
}

static int add_server(glfs_t *fs, const struct gl_server *server)
{
    return glfs_set_volfile_server(
        fs, server->unix_socket ? "unix" : "tcp", server->host, server->port);
}

/* Both calls set the locale of the whole process: one at a time. */
static glfs_t *new_fs(const struct attempt *attempt, int *ret_err)
{
    const struct gl_site *site = attempt->mount->site;
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&site->making;
    pthread_mutex_lock(lock);
    glfs_t *fs = glfs_new(attempt->mount->options->volume);
    if (fs)
        *ret_err = glfs_set_logging(
            fs, site->log ? site->log : "/dev/null", site->log ? GFAPI_LOG_INFO : 0);
    pthread_mutex_unlock(lock);
    return fs;
}

/* Takes what we have ourselves out of every call's way. What volumes have is named
 * VOLUME-KIND by glusterd; names that are not there are ignored. 0, or -1. */
static int lighten(glfs_t *fs, bool has_cache)
{
    int err = 0;
    /* Our handler threads are that many already; its own cost each call another
     * hand-over from thread to thread, half as much again for a small file. */
    err |= glfs_set_xlator_option(fs, "*-io-threads", "pass-through", "on");
    if (!has_cache)
        return err;
    /* Every look-up of ours is meant to reach a brick: what may be answered from
     * memory we have ourselves. The first is what counts (also for volume files
     * whose names are others); with the second nothing is remembered in vain, nor
     * are bricks asked for attributes of each file that nobody reads. */
    err |= glfs_set_xlator_option(fs, "*", "md-cache-timeout", "0");
    err |= glfs_set_xlator_option(fs, "*-md-cache", "pass-through", "on");
    return err;
}

/* `alive` goes first; the others follow, for the day it dies. */
static glfs_t *make_fs(const struct attempt *attempt)
{
    const struct gl_mount_options *o = attempt->mount->options;
    size_t alive = attempt->server;
    int err = 0;
    glfs_t *fs = new_fs(attempt, &err);
    if (!fs)
        return NULL;
    if (o->volfile) {
        err |= glfs_set_volfile(fs, o->volfile);
    } else {
        err |= add_server(fs, &o->servers[alive]);
        for (size_t i = 0; i < o->server_count; i++)
            if (i != alive)
                err |= add_server(fs, &o->servers[i]);
    }
    /* gfapi does not use the ports below 1024 unless told to. */
    if (may_bind_low_ports())
        err |= glfs_set_xlator_option(
            fs, o->volfile ? "*" : "*-client-*", "client-bind-insecure", "off");
    err |= lighten(fs, attempt->mount->site->cache_size > 0);
    if (err)
        lg_log(LG_LOG_WARN, GL_ROOM, "%s: gfapi did not take every setting (%s)", o->mountpoint,
            strerror(errno));
    return fs;
}

/* A session that has seen the volume's root, or NULL with *ret_error. */
static struct gl_session *init_session(const struct attempt *attempt, int *ret_error)
{
    struct stat stat;
    const struct gl_mount_options *o = attempt->mount->options;
    if (o->volfile && access(o->volfile, R_OK)) { /* costs gfapi's memory to find out */
        *ret_error = errno;
        return NULL;
    }
    struct gl_session *session = calloc(1, sizeof *session);
    glfs_t *fs = session ? make_fs(attempt) : NULL;
    if (!fs) {
        free(session);
        *ret_error = ENOMEM;
        return NULL;
    }
    int64_t asked_ms = 0;
    errno = 0;
    if (glfs_init(fs) == 0) {
        asked_ms = gl_now_ms();
        session->root = glfs_h_lookupat(fs, NULL, "/", &stat, 0);
    }
    if (!session->root ||
        gl_dirs_init(&session->dirs, attempt->mount, session->root, &stat, asked_ms)) {
        *ret_error = errno;
        put_away(fs, o, *ret_error);
        free(session);
        return NULL;
    }
    session->fs = fs;
    (void)gl_health_is_whole(session, session->root); /* learns how many parts there are */
    return session;
}

static void free_attempt(struct attempt *attempt)
{
    pthread_cond_destroy(&attempt->changed);
    pthread_mutex_destroy(&attempt->lock);
    free(attempt);
}

static void say_connected(const struct attempt *attempt)
{
    const struct gl_mount_options *o = attempt->mount->options;
    lg_log(LG_LOG_INFO, GL_ROOM, "%s: volume \"%s\" connected through %s in %lld ms", o->mountpoint,
        o->volume, o->volfile ? o->volfile : o->servers[attempt->server].text,
        (long long)(gl_now_ms() - attempt->began_ms));
}

/* Better late than never, unless another attempt was faster: then the session
 * stays unused, like every session that was replaced. */
static void offer_late(struct attempt *attempt)
{
    struct gl_session *none = NULL;
    if (attempt->session &&
        atomic_compare_exchange_strong(&attempt->mount->session, &none, attempt->session)) {
        say_connected(attempt);
        gl_upcall_start(attempt->mount, attempt->session);
        gl_mount_flush(attempt->mount);
    }
    free_attempt(attempt);
}

static void *attempt_thread(void *arg)
{
    struct attempt *attempt = arg;
    int error = 0;
    struct gl_session *session = init_session(attempt, &error);
    pthread_mutex_lock(&attempt->lock);
    attempt->session = session;
    attempt->error = error;
    attempt->done = true;
    bool abandoned = attempt->abandoned;
    pthread_cond_signal(&attempt->changed);
    pthread_mutex_unlock(&attempt->lock);
    if (abandoned)
        offer_late(attempt);
    return NULL;
}

/* ---- the connecting thread ---- */

static struct attempt *new_attempt(struct gl_mount *mount, size_t server)
{
    pthread_condattr_t attr;
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (!attempt)
        return NULL;
    attempt->mount = mount;
    attempt->server = server;
    attempt->began_ms = gl_now_ms();
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&attempt->lock, NULL);
    pthread_cond_init(&attempt->changed, &attr);
    pthread_condattr_destroy(&attr);
    return attempt;
}

/* With the lock held: until it is done or `limit_ms` have passed. */
static void wait_done(struct attempt *attempt, int64_t limit_ms)
{
    int64_t until_ms = attempt->began_ms + limit_ms;
    const struct timespec until = {until_ms / 1000, (until_ms % 1000) * 1000000};
    while (!attempt->done && gl_now_ms() < until_ms)
        pthread_cond_timedwait(&attempt->changed, &attempt->lock, &until);
}

int gl_session_new(struct gl_mount *mount, size_t server, int64_t limit_ms,
    struct gl_session **ret_session, char *ret_why, size_t why_size)
{
    struct attempt *attempt = new_attempt(mount, server);
    if (!attempt || gl_thread_start("gl-init", attempt_thread, attempt)) {
        free(attempt);
        snprintf(ret_why, why_size, "no thread or memory to connect with");
        return -1;
    }
    pthread_mutex_lock(&attempt->lock);
    wait_done(attempt, limit_ms);
    bool done = attempt->done;
    struct gl_session *session = attempt->session;
    attempt->abandoned = !done;
    if (!session)
        explain(attempt, ret_why, why_size);
    pthread_mutex_unlock(&attempt->lock);
    if (!done)
        return -ETIMEDOUT; /* the attempt is its thread's now */
    if (session) {
        say_connected(attempt);
        *ret_session = session;
    }
    free_attempt(attempt);
    return session ? 0 : -1;
}
