/* The process-wide log sink: a file or stderr in the master, a datagram to the
 * master in every child. Must not depend on server or cluster.
 *
 * The sink is the one thing in the program that is reached without being
 * handed over: a line must be possible from anywhere, also from a plugin's own
 * threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "log/log.h"
#include "log/line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS        1000    /* between lines of one lg_log_limit */
#define DRAIN_MAX       256     /* lines per lg_log_drain, so that nobody starves the master */
#define SINK_WAIT_MS    100     /* how long a stuck terminal or pipe may hold us up, */
#define SINK_REST_US    1000000 /* and for how long it is not waited for after that */
#define PAIR_BUFFER     1048576 /* bytes; a burst of lines waits here for the master */
#define WRITE_TRIES_MAX 32

static struct {
    int file;  /* where lines are written: stderr, or logto's file */
    int child; /* where a child sends them; -1 in the master */
    enum lg_log_format format;
    enum lg_level level;
    char name[LG_LOG_NAME_MAX + 1];
    _Atomic unsigned lost;          /* lines dropped since the last one that got through */
    atomic_bool broken;             /* the last line got there in part only */
    _Atomic int64_t stuck_until_us; /* until then nobody waits for the sink again */
} sink = {.file = STDERR_FILENO, .child = -1, .level = LG_LOG_INFO, .name = "master"};

int lg_log_open(const struct lg_log_setup *setup)
{
    int fd = STDERR_FILENO;
    if (setup->path) {
        fd = open(setup->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0)
            return -LG_E_SYS;
    }
    if (sink.file != STDERR_FILENO)
        close(sink.file);
    sink.file = fd;
    sink.format = setup->format;
    sink.level = setup->level;
    return 0;
}

int lg_log_pair(int ret_fds[2])
{
    int fds[2];
    /* A connected pair: its queue is bounded by bytes, not by max_dgram_qlen. */
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -LG_E_SYS;
    int size = PAIR_BUFFER;
    /* Best effort: the system's limit holds for whoever is not root. */
    if (setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

void lg_log_child(int fd, const char *name)
{
    sink.child = fd;
    snprintf(sink.name, sizeof sink.name, "%s", name);
    atomic_store_explicit(&sink.lost, 0, memory_order_relaxed);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* May the sink be written to? Waits for it a little, and not at all when it was
 * stuck a moment ago: the master has others to serve. */
static bool sink_ready(void)
{
    struct pollfd ready = {.fd = sink.file, .events = POLLOUT};
    bool is_stuck = now_us() < atomic_load(&sink.stuck_until_us);
    if (poll(&ready, 1, is_stuck ? 0 : SINK_WAIT_MS) != 0)
        return true;
    if (!is_stuck)
        atomic_store(&sink.stuck_until_us, now_us() + SINK_REST_US);
    return false;
}

/* A pipe that is ready takes PIPE_BUF bytes without blocking, not more: longer
 * lines go in pieces. What only the master writes to stays in order by that. */
static bool write_line(const char *line, size_t len)
{
    for (int tries = 0; tries < WRITE_TRIES_MAX && len > 0; tries++) {
        if (!sink_ready())
            return false;
        ssize_t n = write(sink.file, line, len < PIPE_BUF ? len : PIPE_BUF);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            line += n;
            len -= (size_t)n;
            atomic_store(&sink.broken, len > 0);
        }
    }
    return len == 0;
}

static bool write_record(const struct lg_log_record *record)
{
    char line[LG_LOG_LINE_MAX + 1];
    /* After a piece of a line that could not be finished, a line of its own. */
    bool broken = atomic_load(&sink.broken);
    line[0] = '\n';
    size_t len = lg_log_line_render(record, sink.format, line + broken) + broken;
    return write_line(line, len);
}

static bool send_record(const struct lg_log_record *record)
{
    char packet[LG_LOG_PACKET_MAX];
    size_t len = lg_log_line_pack(record, packet);
    if (send(sink.child, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return false;
    return write_record(record); /* the master is gone */
}

static bool emit_record(const struct lg_log_record *record)
{
    return sink.child >= 0 ? send_record(record) : write_record(record);
}

static void tell_lost(struct lg_log_record record)
{
    unsigned lost = atomic_exchange_explicit(&sink.lost, 0, memory_order_relaxed);
    char text[64];
    if (lost == 0)
        return;
    snprintf(text, sizeof text, "%u log lines were lost: the log could not keep up", lost);
    record.level = LG_LOG_WARN;
    record.room = LG_SLICE("log");
    record.text = lg_slice_of(text);
    record.cut = false;
    if (!emit_record(&record))
        atomic_fetch_add_explicit(&sink.lost, lost, memory_order_relaxed);
}

void lg_log(enum lg_level level, const char *room, const char *format, ...)
{
    if (level > sink.level)
        return;
    int saved = errno;
    char text[LG_LOG_TEXT_MAX + 1];
    va_list args;
    va_start(args, format);
    errno = saved; /* for %m */
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct lg_log_record record = {
        .time_us = now_us(),
        .level = level,
        .process = lg_slice_of(sink.name),
        .room = lg_slice_of(room),
        .text = lg_slice_of(len < 0 ? format : text),
        .cut = len > (int)LG_LOG_TEXT_MAX,
    };
    if (atomic_load_explicit(&sink.lost, memory_order_relaxed) > 0)
        tell_lost(record);
    if (!emit_record(&record))
        atomic_fetch_add_explicit(&sink.lost, 1, memory_order_relaxed);
    errno = saved;
}

/* Whether this line is said; then *ret_unsaid are those left out before it. */
static bool may_say(struct lg_log_limit *limit, unsigned *ret_unsaid)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    int64_t said_ms = __atomic_load_n(&limit->said_ms, __ATOMIC_RELAXED);
    bool soon = said_ms && now_ms - said_ms < LIMIT_MS;
    if (soon || !__atomic_compare_exchange_n(
                    &limit->said_ms, &said_ms, now_ms, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&limit->unsaid, 1, __ATOMIC_RELAXED);
        return false;
    }
    *ret_unsaid = __atomic_exchange_n(&limit->unsaid, 0, __ATOMIC_RELAXED);
    return true;
}

void lg_log_limited(
    struct lg_log_limit *limit, enum lg_level level, const char *room, const char *format, ...)
{
    char text[LG_LOG_TEXT_MAX + 1];
    char more[64] = "";
    unsigned unsaid = 0;
    va_list args;
    if (level > sink.level || !may_say(limit, &unsaid))
        return;
    if (unsaid)
        snprintf(more, sizeof more, " (and %u more like it before)", unsaid);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lg_log(level, room, "%s%s", text, more);
}

unsigned lg_log_drain(int fd)
{
    char packet[LG_LOG_PACKET_MAX];
    unsigned count = 0;
    while (count < DRAIN_MAX) {
        ssize_t len = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (len < 0)
            break;
        struct lg_log_record record;
        if (lg_log_line_unpack(packet, (size_t)len, &record) < 0)
            continue; /* only our own children hold the other end */
        count++;
        if (!write_record(&record))
            atomic_fetch_add_explicit(&sink.lost, 1, memory_order_relaxed);
    }
    return count;
}
