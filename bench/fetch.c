/* The client that bench/gluster and bench/settings measure with. One thread, no copy of
 * what it need not look at: it should cost less than any server it asks, and tells how
 * busy it was. Depends on nothing of ours.
 *
 *   fetch [--seconds S] HOST PORT CONNECTIONS FOLDER FILES SIZE VERSION
 *
 * Asks for FOLDER/0 to FOLDER/FILES-1, SIZE bytes each, by HTTP/VERSION (1.0: a
 * connection each): each file once or, with --seconds, in turn for so long, after a
 * warm-up that is not counted. Prints one JSON object:
 *
 *   requests, bytes  right answers, and of their bodies, in the seconds that count
 *   errors           answers that were none, not 200 or of another length; connections
 *                    that could not be made. Of the warm-up, too
 *   seconds          between the answers that began and ended the counting
 *   p50_us ...       from the first byte asked (1.0: from connecting) to the last of the
 *                    body; with --seconds of those asked for after the warm-up, the
 *                    ones on their way at the end among them
 *   answers          right ones from the start to the end of it all
 *   busy             this program's share of a CPU
 *
 * Ends with 1 when nothing moved for STALL_MS: what was awaited then are errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE       16384 /* a head, and the body if it fits */
#define HEAD_USUAL      1024  /* read where it does not, so that little of it is copied */
#define HEAD_MAX        4096
#define CONNECTIONS_MAX 1024
#define EVENTS          64
#define WARM_UP_US      200000
#ifndef STALL_MS
#define STALL_MS 10000
#endif

/* Of latencies: 1 us each up to 2 ms, then 1024 for each doubling, 0.1 %. */
#define FINE_BITS 10
#define FINE      (1u << FINE_BITS)
#define LATEST_US (((int64_t)1 << 31) - 1)
#define BUCKETS   ((31 - FINE_BITS + 1) * FINE)

enum phase { WARMING, COUNTING, OVER };
enum progress { UNDER_WAY, GOOD, BAD };

struct request {
    size_t len;
    char *text;
};

struct client {
    struct sockaddr_in server;
    struct request *requests; /* of each file */
    long files, size;
    int64_t count_us; /* 0: each file once */
    bool keeps;       /* its connections */
    int epoll;
    size_t read_size;
    long next;       /* the file to ask for */
    unsigned asking; /* connections that await an answer */
    enum phase phase;
    int64_t turn_us; /* when the phase is over */
    int64_t began_us, ended_us, began_cpu_us, ended_cpu_us;
    long good, errors, answers;
    uint32_t took[BUCKETS];
    char bytes[HEAD_MAX + READ_SIZE];
};

struct conn {
    int fd;          /* -1: none */
    bool connecting; /* the request is still to be sent */
    const struct request *request;
    int64_t since_us;
    long body_left; /* -1: in the head */
    size_t head_len;
    char head[HEAD_MAX]; /* what came of it so far */
};

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
           used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

/* ---- latencies -------------------------------------------------------------- */

static unsigned bucket_of(int64_t us)
{
    uint64_t value = (uint64_t)(us < 0 ? 0 : us > LATEST_US ? LATEST_US : us);
    unsigned shift = value < 2 * FINE ? 0 : 63 - (unsigned)__builtin_clzll(value) - FINE_BITS;
    return shift * FINE + (unsigned)(value >> shift);
}

/* The middle of a bucket. */
static long bucket_us(unsigned bucket)
{
    unsigned shift = bucket < 2 * FINE ? 0 : bucket / FINE - 1;
    return ((long)(bucket - shift * FINE) << shift) + ((1L << shift) >> 1);
}

/* What so many of a thousand took at most; 0 when there is none. */
static long took_us(const struct client *client, uint64_t thousandths)
{
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        all += client->took[i];
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += client->took[i];
        if (seen > 0 && seen * 1000 >= all * thousandths)
            return bucket_us(i);
    }
    return 0;
}

/* ---- asking ----------------------------------------------------------------- */

static void begin_counting(struct client *client, int64_t now)
{
    client->phase = COUNTING;
    client->good = 0;
    client->began_us = now;
    client->began_cpu_us = cpu_us();
    client->turn_us = client->count_us ? now + client->count_us : INT64_MAX;
}

static void end_counting(struct client *client, int64_t now)
{
    client->phase = OVER;
    client->ended_us = now;
    client->ended_cpu_us = cpu_us();
    client->turn_us = INT64_MAX;
}

static void drop(struct conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}

/* Begins to connect: loopback is there at once, another machine later. */
static int dial(struct client *client, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (conn->fd < 0)
        return -1;
    if (connect(conn->fd, (struct sockaddr *)&client->server, sizeof client->server) &&
        errno != EINPROGRESS)
        return -1;
    return epoll_ctl(client->epoll, EPOLL_CTL_ADD, conn->fd, &event);
}

/* 0, also when the connection has to be waited for; -1 = there is none. */
static int send_request(struct client *client, struct conn *conn)
{
    const struct request *request = conn->request;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    ssize_t sent = send(conn->fd, request->text, request->len, MSG_NOSIGNAL);
    bool was_connecting = conn->connecting;
    conn->connecting = sent < 0 && errno == EAGAIN;
    if (conn->connecting)
        event.events = EPOLLOUT;
    else if (sent != (ssize_t)request->len)
        return -1;
    return conn->connecting == was_connecting
               ? 0
               : epoll_ctl(client->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

/* Asks for the next file, if one is wanted still, on a new connection if there is none
 * or if the one there was is gone. Where none can be made, that is the connection's end. */
static void ask(struct client *client, struct conn *conn, int64_t now)
{
    bool wanted = client->count_us ? client->phase != OVER : client->next < client->files;
    if (!wanted) {
        drop(conn);
        return;
    }
    if (client->next == client->files)
        client->next = 0;
    conn->request = &client->requests[client->next++];
    conn->since_us = now;
    conn->body_left = -1;
    conn->head_len = 0;
    conn->connecting = false;
    if ((conn->fd < 0 && dial(client, conn)) || send_request(client, conn)) {
        client->errors++;
        drop(conn);
        return;
    }
    client->asking++;
}

/* An answer is over. The one look at the clock ends it and begins the next. */
static void finish(struct client *client, struct conn *conn, bool good)
{
    int64_t now = now_us();
    client->asking--;
    if (good) {
        client->answers++;
        client->good += client->phase != OVER;
        if (client->phase != WARMING && conn->since_us >= client->began_us)
            client->took[bucket_of(now - conn->since_us)]++;
    } else {
        client->errors++;
    }
    if (now >= client->turn_us) {
        if (client->phase == WARMING)
            begin_counting(client, now);
        else
            end_counting(client, now);
    }
    if (!good || !client->keeps)
        drop(conn);
    ask(client, conn, now);
}

/* ---- answers ---------------------------------------------------------------- */

static enum progress nothing_came(ssize_t got)
{
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? UNDER_WAY : BAD;
}

/* Reads the head, and the body as far as it came along. *ret_more: there may be more
 * to read at once. */
static enum progress read_head(struct client *client, struct conn *conn, bool *ret_more)
{
    char *bytes = client->bytes;
    memcpy(bytes, conn->head, conn->head_len);
    ssize_t got = recv(conn->fd, bytes + conn->head_len, client->read_size, 0);
    if (got <= 0)
        return nothing_came(got);
    size_t len = conn->head_len + (size_t)got;
    *ret_more = (size_t)got == client->read_size;
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end) {
        if (len > HEAD_MAX)
            return BAD;
        memcpy(conn->head, bytes, len);
        conn->head_len = len;
        return UNDER_WAY;
    }
    if (end - bytes < 12 || memcmp(bytes, "HTTP/1.", 7) != 0 || memcmp(bytes + 8, " 200", 4) != 0)
        return BAD;
    conn->body_left = client->size - (bytes + len - (end + 4));
    return conn->body_left < 0 ? BAD : conn->body_left > 0 ? UNDER_WAY : GOOD;
}

/* Counts what has come of the body and throws it away, where it is: in the kernel. A
 * byte more than is wanted is asked for, so that a longer body is noticed. */
static enum progress skip_body(struct conn *conn)
{
    ssize_t got = recv(conn->fd, NULL, (size_t)conn->body_left + 1, MSG_TRUNC);
    if (got <= 0)
        return nothing_came(got);
    conn->body_left -= got;
    return conn->body_left < 0 ? BAD : conn->body_left > 0 ? UNDER_WAY : GOOD;
}

static void on_ready(struct client *client, struct conn *conn)
{
    enum progress progress = UNDER_WAY;
    bool more = true;
    if (conn->connecting) {
        if (send_request(client, conn))
            finish(client, conn, false);
        return;
    }
    if (conn->body_left < 0)
        progress = read_head(client, conn, &more);
    if (progress == UNDER_WAY && conn->body_left > 0 && more)
        progress = skip_body(conn);
    if (progress != UNDER_WAY)
        finish(client, conn, progress == GOOD);
}

/* ---- the whole -------------------------------------------------------------- */

static int make_requests(struct client *client, const char *folder, const char *version)
{
    client->requests = calloc((size_t)client->files, sizeof *client->requests);
    if (!client->requests)
        return -1;
    for (long i = 0; i < client->files; i++) {
        struct request *request = &client->requests[i];
        int len = asprintf(
            &request->text, "GET %s/%ld HTTP/%s\r\nHost: bench\r\n\r\n", folder, i, version);
        if (len < 0)
            return -1;
        request->len = (size_t)len;
    }
    return 0;
}

static void print_result(const struct client *client)
{
    double seconds = (double)(client->ended_us - client->began_us) / 1e6;
    double cpu = (double)(client->ended_cpu_us - client->began_cpu_us) / 1e6;
    printf("{\"requests\": %ld, \"errors\": %ld, \"seconds\": %.6f, \"bytes\": %ld, "
           "\"p50_us\": %ld, \"p99_us\": %ld, \"p999_us\": %ld, \"answers\": %ld, "
           "\"busy\": %.3f}\n",
        client->good, client->errors, seconds, client->good * client->size, took_us(client, 500),
        took_us(client, 990), took_us(client, 999), client->answers,
        seconds > 0 ? cpu / seconds : 0);
}

/* 0, or -1 when nothing moved any more. */
static int run(struct client *client, struct conn *conns, unsigned count)
{
    struct epoll_event events[EVENTS];
    bool stalled = false;
    begin_counting(client, now_us());
    if (client->count_us) {
        client->phase = WARMING;
        client->turn_us = client->began_us + WARM_UP_US;
    }
    for (unsigned i = 0; i < count; i++) {
        conns[i].fd = -1;
        ask(client, &conns[i], now_us());
    }
    while (client->asking > 0 && !stalled) {
        int n = epoll_wait(client->epoll, events, EVENTS, STALL_MS);
        stalled = n == 0 || (n < 0 && errno != EINTR);
        for (int i = 0; i < n; i++)
            on_ready(client, events[i].data.ptr);
    }
    if (client->phase != OVER)
        end_counting(client, now_us());
    if (stalled)
        client->errors += client->asking;
    return stalled ? -1 : 0;
}

static int parse(struct client *client, char **argv, unsigned *ret_count)
{
    client->server.sin_family = AF_INET;
    client->server.sin_port = htons((uint16_t)atoi(argv[2]));
    *ret_count = (unsigned)strtoul(argv[3], NULL, 10);
    client->files = strtol(argv[5], NULL, 10);
    client->size = strtol(argv[6], NULL, 10);
    client->keeps = strcmp(argv[7], "1.0") != 0;
    client->read_size = client->size + HEAD_USUAL <= READ_SIZE ? READ_SIZE : HEAD_USUAL;
    return inet_pton(AF_INET, argv[1], &client->server.sin_addr) == 1 && *ret_count > 0 &&
                   *ret_count <= CONNECTIONS_MAX && client->files > 0 && client->size > 0
               ? 0
               : -1;
}

int main(int argc, char **argv)
{
    const char *name = argv[0];
    double seconds = 0;
    unsigned count = 0;
    if (argc == 10 && strcmp(argv[1], "--seconds") == 0) {
        seconds = strtod(argv[2], NULL);
        if (!(seconds > 0 && seconds < 3600)) {
            fprintf(stderr, "%s: bad seconds\n", name);
            return 2;
        }
        argc -= 2;
        argv += 2;
    }
    if (argc != 8) {
        fprintf(stderr, "usage: %s [--seconds S] HOST PORT CONNECTIONS FOLDER FILES SIZE VERSION\n",
            name);
        return 2;
    }
    struct client *client = calloc(1, sizeof *client);
    struct conn *conns = calloc(CONNECTIONS_MAX, sizeof *conns);
    if (!client || !conns || parse(client, argv, &count)) {
        fprintf(stderr, "%s: bad address or numbers\n", name);
        return 2;
    }
    client->count_us = (int64_t)(seconds * 1e6);
    client->epoll = epoll_create1(0);
    if (client->epoll < 0 || make_requests(client, argv[4], argv[7])) {
        perror(name);
        return 1;
    }
    int result = run(client, conns, count);
    print_result(client);
    if (result)
        fprintf(stderr, "%s: nothing for %d ms\n", name, STALL_MS);
    return result ? 1 : 0;
}
