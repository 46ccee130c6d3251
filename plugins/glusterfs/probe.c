/* Which server of a list is alive. libc only; the management protocol's first
 * question is asked here by hand.
 *
 * gfapi walks a server list by itself, but spends 3 s on a server that refuses,
 * up to 48 s on one that is silent, and waits for ever on a glusterd that
 * accepts and says nothing. So it is only ever given a server that has just
 * answered. Servers are asked on threads of their own, a quarter of a second
 * apart: a name server that hangs holds up nobody.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define STAGGER_MS  250
#define RUN_MS_MAX  3000
#define ASK_MS_MAX  2500
#define ADDR_MS_MAX 1500
#define WHY_SIZE    96

struct slot {
    bool busy; /* a thread is asking, perhaps since an earlier run */
    bool alive;
    bool failed;
    char why[WHY_SIZE];
};

struct gl_probe {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct gl_server *servers;
    size_t count;
    struct slot slots[GL_SERVERS_MAX];
};

struct ask {
    struct gl_probe *probe;
    size_t i;
};

struct gl_probe *gl_probe_new(const struct gl_server *servers, size_t count)
{
    struct gl_probe *probe = calloc(1, sizeof *probe);
    pthread_condattr_t attr;
    if (!probe)
        return NULL;
    probe->servers = servers;
    probe->count = count;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int err = pthread_mutex_init(&probe->lock, NULL) || pthread_cond_init(&probe->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (err) {
        free(probe);
        return NULL;
    }
    return probe;
}

/* ---- one server, on a thread of its own ---- */

/* 0, or an errno. */
static int wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    int64_t left_ms = deadline_ms - gl_now_ms();
    if (left_ms <= 0)
        return ETIMEDOUT;
    int ready = poll(&pollfd, 1, (int)left_ms);
    if (ready < 0)
        return errno;
    return ready == 0 ? ETIMEDOUT : 0;
}

/* 0 and a connected socket, or an errno. */
static int connect_to(
    const struct sockaddr *address, socklen_t len, int64_t deadline_ms, int *ret_fd)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int err = connect(fd, address, len) == 0 ? 0 : errno;
    if (err == EINPROGRESS) {
        socklen_t size = sizeof err;
        err = wait_for(fd, POLLOUT, deadline_ms);
        if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
            err = errno;
    }
    if (err) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

static int connect_unix(const char *path, int64_t deadline_ms, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, len);
    return connect_to((struct sockaddr *)&address, sizeof address, deadline_ms, ret_fd);
}

/* 0, or -1 with the reason in `why`. */
static int connect_tcp(const struct gl_server *server, int64_t deadline_ms, int *ret_fd, char *why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)server->port);
    int err = getaddrinfo(server->host, port, &hints, &found);
    if (err) {
        snprintf(why, WHY_SIZE, "%s", gai_strerror(err));
        return -1;
    }
    err = EADDRNOTAVAIL;
    for (const struct addrinfo *a = found; a && err; a = a->ai_next) {
        int64_t limit_ms = gl_now_ms() + ADDR_MS_MAX;
        err = connect_to(
            a->ai_addr, a->ai_addrlen, limit_ms < deadline_ms ? limit_ms : deadline_ms, ret_fd);
    }
    freeaddrinfo(found);
    if (err)
        snprintf(why, WHY_SIZE, "%s", strerror(err));
    return err ? -1 : 0;
}

/* Sends the question every GlusterFS client begins with, "which programs do you
 * speak?" (ONC RPC, program GF-DUMP, procedure 1, no credentials), and waits
 * for any bytes: who answers at all is alive. 0 or an errno. */
static int ask_programs(int fd, int64_t deadline_ms)
{
    const uint32_t call[] = {
        htonl(0x80000000u | 48),                /* last fragment, bytes that follow */
        htonl(1),                               /* transaction */
        htonl(0), htonl(2),                     /* a call, RPC version 2 */
        htonl(123451501), htonl(1), htonl(1),   /* program, version, procedure */
        htonl(0), htonl(0), htonl(0), htonl(0), /* no credentials, no verifier */
        htonl(0), htonl(1),                     /* the caller's number */
    };
    _Static_assert(sizeof call == 4 + 48, "the length above counts what follows it");
    char answer[64];
    if (send(fd, call, sizeof call, MSG_NOSIGNAL) != (ssize_t)sizeof call)
        return errno ? errno : EIO;
    int err = wait_for(fd, POLLIN, deadline_ms);
    if (err)
        return err;
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < 0)
        return errno;
    return got == 0 ? ECONNRESET : 0;
}

static int ask_server(const struct gl_server *server, char *why)
{
    int64_t deadline_ms = gl_now_ms() + ASK_MS_MAX;
    int fd;
    if (server->unix_socket) {
        int err = connect_unix(server->host, deadline_ms, &fd);
        if (err) {
            snprintf(why, WHY_SIZE, "%s", strerror(err));
            return -1;
        }
    } else if (connect_tcp(server, deadline_ms, &fd, why)) {
        return -1;
    }
    int err = ask_programs(fd, deadline_ms);
    close(fd);
    if (err == ETIMEDOUT)
        snprintf(why, WHY_SIZE, "it accepts connections and answers nothing");
    else if (err)
        snprintf(why, WHY_SIZE, "%s", strerror(err));
    return err ? -1 : 0;
}

static void *ask_thread(void *arg)
{
    struct ask *ask = arg;
    struct gl_probe *probe = ask->probe;
    struct slot *slot = &probe->slots[ask->i];
    char why[WHY_SIZE] = "";
    bool alive = ask_server(&probe->servers[ask->i], why) == 0;
    free(ask);

    pthread_mutex_lock(&probe->lock);
    slot->busy = false;
    slot->alive = alive;
    slot->failed = !alive;
    memcpy(slot->why, why, sizeof why);
    pthread_cond_signal(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
    return NULL;
}

/* ---- all of them, on the mount's thread ---- */

/* With the lock held. */
static void start_asking(struct gl_probe *probe, size_t i)
{
    struct slot *slot = &probe->slots[i];
    if (slot->busy)
        return; /* still hanging in an earlier question: its answer will do */
    struct ask *ask = malloc(sizeof *ask);
    if (ask) {
        *ask = (struct ask){probe, i};
        slot->busy = gl_thread_start("gl-probe", ask_thread, ask) == 0;
    }
    if (!slot->busy) {
        free(ask);
        slot->failed = true;
        snprintf(slot->why, sizeof slot->why, "no thread to ask it");
    }
}

static int find_alive(const struct gl_probe *probe, size_t first, size_t started)
{
    for (size_t k = 0; k < started; k++) {
        size_t i = (first + k) % probe->count;
        if (probe->slots[i].alive)
            return (int)i;
    }
    return -1;
}

static bool all_failed(const struct gl_probe *probe, size_t first, size_t started)
{
    for (size_t k = 0; k < started; k++)
        if (!probe->slots[(first + k) % probe->count].failed)
            return false;
    return true;
}

static void wait_until(struct gl_probe *probe, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, (until_ms % 1000) * 1000000};
    pthread_cond_timedwait(&probe->changed, &probe->lock, &until);
}

int gl_probe_run(struct gl_probe *probe, size_t first)
{
    int64_t deadline_ms = gl_now_ms() + RUN_MS_MAX;
    int64_t next_ms = 0; /* when the next server's turn comes */
    size_t started = 0;
    int alive = -1;

    pthread_mutex_lock(&probe->lock);
    for (size_t i = 0; i < probe->count; i++) {
        probe->slots[i].alive = false;
        probe->slots[i].failed = false;
        probe->slots[i].why[0] = '\0';
    }
    for (;;) {
        int64_t now_ms = gl_now_ms();
        bool none = all_failed(probe, first, started);
        alive = find_alive(probe, first, started);
        if (alive >= 0 || now_ms >= deadline_ms || (none && started == probe->count))
            break;
        if (started < probe->count && (none || now_ms >= next_ms)) {
            start_asking(probe, (first + started++) % probe->count);
            next_ms = now_ms + STAGGER_MS;
        } else {
            wait_until(
                probe, started < probe->count && next_ms < deadline_ms ? next_ms : deadline_ms);
        }
    }
    for (size_t k = 0; k < started && alive < 0; k++) {
        struct slot *slot = &probe->slots[(first + k) % probe->count];
        if (!slot->failed)
            snprintf(slot->why, sizeof slot->why, "no answer within %d ms", RUN_MS_MAX);
        slot->failed = true;
    }
    pthread_mutex_unlock(&probe->lock);
    return alive;
}

bool gl_probe_why(struct gl_probe *probe, size_t i, char *ret_why, size_t why_size)
{
    const struct slot *slot = &probe->slots[i];
    pthread_mutex_lock(&probe->lock); /* a late answer may be coming in */
    bool failed = slot->failed;
    if (failed)
        snprintf(ret_why, why_size, "%s", slot->why);
    pthread_mutex_unlock(&probe->lock);
    return failed;
}
