/* Many clients of a web server at once, for tests: thousands of connections that
 * take their answers slowly, or stay open without a word. Nothing of ours in it.
 *
 *   crowd ADDRESS PORT
 *
 * Does what it is told on standard input, one line each, and answers with one:
 *
 *   open COUNT PATH     connects COUNT times, asks for PATH on each, waits for the
 *                       heads; takes as little of the bodies as it can
 *   whole               waits until every body is wholly here, then leaves its
 *                       connection idle
 *   ask PATH            asks for PATH on every idle connection
 *   each PREFIX         asks for PREFIX0, PREFIX1 ... on the idle connections, all at
 *                       the same time
 *   slow SECONDS RATE   takes RATE bytes a second on every connection
 *   close
 *
 * The answer: "open N failed N whole N least N bytes N": connections, those among
 * them that ended or were refused, those with a whole body, the fewest body bytes
 * any of them has, and the bytes of all. A body is 64-bit numbers, 0, 1, 2 ...,
 * little-endian; another byte counts as a failure.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

#define CLIENTS_MAX 50000
#define HEAD_MAX    2048
#define PENDING_MAX 64    /* that wait for a head at a time */
#define WAIT_MS     20000 /* without any progress: give up */
#define SLICES      20    /* of a second, when slow */

enum state { FAILED, HEAD, BODY, WHOLE };

struct client {
    int fd;
    enum state state;
    unsigned head_len;
    int64_t length; /* of the body */
    int64_t got;
    char *head;
};

static struct client *clients;
static size_t client_count;
static struct sockaddr_in server;
static char bytes[65536];

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fail(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->state = FAILED;
    free(client->head);
    client->head = NULL;
}

static void take_body(struct client *client, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t at = (uint64_t)client->got + i;
        if ((unsigned char)data[i] != (unsigned char)((at / 8) >> (8 * (at % 8)))) {
            fail(client);
            return;
        }
    }
    client->got += (int64_t)len;
    if (client->got == client->length)
        client->state = WHOLE;
}

static void take_head(struct client *client, const char *data, size_t len)
{
    if (!client->head)
        client->head = calloc(1, HEAD_MAX + 1);
    if (!client->head || client->head_len + len > HEAD_MAX) {
        fail(client);
        return;
    }
    memcpy(client->head + client->head_len, data, len);
    client->head_len += (unsigned)len;
    client->head[client->head_len] = '\0';
    char *end = strstr(client->head, "\r\n\r\n");
    if (!end)
        return;
    const char *length = strstr(client->head, "Content-Length: ");
    if (strncmp(client->head, "HTTP/1.1 200 ", 13) != 0 || !length || length > end) {
        fail(client);
        return;
    }
    char *head = client->head;
    size_t body = client->head_len - (size_t)(end + 4 - head);
    client->length = strtoll(length + 16, NULL, 10);
    client->got = 0;
    client->state = BODY;
    client->head = NULL;
    take_body(client, end + 4, body);
    free(head);
}

/* Takes at most `limit` bytes that are here. */
static void step(struct client *client, size_t limit)
{
    if (client->fd < 0 || client->state == WHOLE)
        return;
    ssize_t got =
        recv(client->fd, bytes, limit < sizeof bytes ? limit : sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail(client);
    else if (client->state == HEAD)
        take_head(client, bytes, (size_t)got);
    else
        take_body(client, bytes, (size_t)got);
}

static void ask(struct client *client, const char *path)
{
    char text[1200];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    client->state = HEAD;
    client->head_len = 0;
    if (send(client->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        fail(client);
}

static void dial(struct client *client)
{
    const int small = 16384;
    const int segment = 1448; /* as on a real network: loopback's 64 KiB fit no small buffer */
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (client->fd < 0 || setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment) ||
        connect(client->fd, (const struct sockaddr *)&server, sizeof server)) {
        perror("crowd");
        fail(client);
    }
}

/* Those between `from` and `to` take what comes until none is in a state before
 * `until`, or nothing has come for WAIT_MS. */
static void gather(int poll, size_t from, size_t to, enum state until, size_t limit)
{
    struct epoll_event ready[256];
    size_t left = 0;
    for (size_t i = from; i < to; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        if (clients[i].fd < 0 || clients[i].state >= until)
            continue;
        epoll_ctl(poll, EPOLL_CTL_ADD, clients[i].fd, &event);
        left++;
    }
    while (left > 0) {
        int count = epoll_wait(poll, ready, 256, WAIT_MS);
        for (int i = 0; i < count; i++) {
            struct client *client = &clients[ready[i].data.u64];
            int fd = client->fd;
            step(client, limit);
            if (client->fd >= 0 && client->state < until)
                continue;
            left--;
            if (client->fd >= 0)
                epoll_ctl(poll, EPOLL_CTL_DEL, fd, NULL);
        }
        if (count <= 0)
            break;
    }
    for (size_t i = from; i < to; i++)
        if (clients[i].fd >= 0 && clients[i].state < until)
            fail(&clients[i]);
}

static void open_all(int poll, size_t count, const char *path)
{
    while (count > 0 && client_count < CLIENTS_MAX) {
        size_t from = client_count;
        while (count > 0 && client_count < from + PENDING_MAX && client_count < CLIENTS_MAX) {
            struct client *client = &clients[client_count++];
            count--;
            dial(client);
            if (client->fd >= 0)
                ask(client, path);
        }
        gather(poll, from, client_count, BODY, 512);
    }
}

static void ask_all(int poll, const char *path)
{
    for (size_t from = 0; from < client_count; from += PENDING_MAX) {
        size_t to = from + PENDING_MAX < client_count ? from + PENDING_MAX : client_count;
        for (size_t i = from; i < to; i++)
            if (clients[i].fd >= 0 && clients[i].state == WHOLE)
                ask(&clients[i], path);
        gather(poll, from, to, WHOLE, sizeof bytes);
    }
}

static void ask_each(int poll, const char *prefix)
{
    char path[1100];
    for (size_t i = 0; i < client_count; i++) {
        snprintf(path, sizeof path, "%s%zu", prefix, i);
        if (clients[i].fd >= 0 && clients[i].state == WHOLE)
            ask(&clients[i], path);
    }
    gather(poll, 0, client_count, WHOLE, sizeof bytes);
}

static void take_slowly(long seconds, size_t rate)
{
    int64_t began = now_ms();
    for (long tick = 0; tick < seconds * SLICES; tick++) {
        for (size_t i = (size_t)(tick % SLICES); i < client_count; i += SLICES)
            step(&clients[i], rate);
        int64_t wait = began + (tick + 1) * 1000 / SLICES - now_ms();
        if (wait > 0)
            usleep((useconds_t)wait * 1000);
    }
}

static void report(void)
{
    size_t failed = 0, whole = 0;
    int64_t least = INT64_MAX, sum = 0;
    for (size_t i = 0; i < client_count; i++) {
        failed += clients[i].fd < 0;
        whole += clients[i].fd >= 0 && clients[i].state == WHOLE;
        least = clients[i].got < least ? clients[i].got : least;
        sum += clients[i].got;
    }
    printf("open %zu failed %zu whole %zu least %lld bytes %lld\n", client_count, failed, whole,
        (long long)(client_count ? least : 0), (long long)sum);
    fflush(stdout);
}

static void obey(int poll, const char *line)
{
    char path[1024];
    size_t count = 0;
    long seconds = 0;
    if (sscanf(line, "open %zu %1023s", &count, path) == 2)
        open_all(poll, count, path);
    else if (sscanf(line, "slow %ld %zu", &seconds, &count) == 2)
        take_slowly(seconds, count);
    else if (sscanf(line, "ask %1023s", path) == 1)
        ask_all(poll, path);
    else if (sscanf(line, "each %1023s", path) == 1)
        ask_each(poll, path);
    else if (strncmp(line, "whole", 5) == 0)
        gather(poll, 0, client_count, WHOLE, sizeof bytes);
    else if (strncmp(line, "close", 5) == 0)
        for (; client_count > 0; client_count--)
            fail(&clients[client_count - 1]);
    report();
}

int main(int argc, char **argv)
{
    char line[2048];
    struct rlimit files;
    int poll = epoll_create1(0);
    clients = calloc(CLIENTS_MAX, sizeof *clients);
    server.sin_family = AF_INET;
    if (argc != 3 || !clients || poll < 0 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
        fprintf(stderr, "crowd ADDRESS PORT\n");
        return 1;
    }
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    while (fgets(line, sizeof line, stdin))
        obey(poll, line);
    return 0;
}
