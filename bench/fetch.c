/* The client that asks for every file just once, where wrk would ask again: cold
 * files and long streams. Built and run by bench/gluster; depends on nothing of ours.
 *
 *   fetch HOST PORT CONNECTIONS FOLDER FILES SIZE VERSION
 *
 * Asks for FOLDER/0 to FOLDER/FILES-1, SIZE bytes each, by HTTP/VERSION (1.0: a
 * connection each), and prints one JSON object: requests, errors, seconds, p50_us,
 * p99_us. One thread.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX        4096
#define READ_SIZE       ((size_t)1 << 18)
#define CONNECTIONS_MAX 1024
#define STALL_MS        30000

struct client {
    struct sockaddr_in server;
    const char *folder;
    const char *version;
    long files, size;
    long next; /* the file to ask for */
    long done, errors;
    int64_t *took_us; /* of each file */
    int epoll;
    char *bytes;
};

struct conn {
    int fd;
    bool asking;
    int64_t since_us;
    size_t head_len;
    long body_left; /* -1 = in the head */
    char head[HEAD_MAX + 1];
};

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int dial(struct client *client, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    conn->fd = socket(AF_INET, SOCK_STREAM, 0);
    return conn->fd < 0 ||
                   connect(conn->fd, (struct sockaddr *)&client->server, sizeof client->server) ||
                   epoll_ctl(client->epoll, EPOLL_CTL_ADD, conn->fd, &event)
               ? -1
               : 0;
}

/* The next file, or nothing when all are asked for. -1 = no connection. */
static int ask(struct client *client, struct conn *conn)
{
    char text[1024];
    conn->asking = client->next < client->files;
    if (!conn->asking)
        return 0;
    conn->since_us = now_us();
    if (conn->fd < 0 && dial(client, conn))
        return -1;
    int len = snprintf(text, sizeof text, "GET %s/%ld HTTP/%s\r\nHost: bench\r\n\r\n",
        client->folder, client->next++, client->version);
    conn->head_len = 0;
    conn->body_left = -1;
    return send(conn->fd, text, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -1;
}

/* An answer is over: counts it and asks for the next. */
static int finish(struct client *client, struct conn *conn, bool good)
{
    client->took_us[client->done++] = now_us() - conn->since_us;
    client->errors += !good;
    if (!good || strcmp(client->version, "1.0") == 0) {
        close(conn->fd);
        conn->fd = -1;
    }
    return ask(client, conn);
}

/* Takes what belongs to the head; true once it is whole and good. */
static bool take_head(
    struct client *client, struct conn *conn, const char **bytes, size_t *len, bool *ret_bad)
{
    size_t before = conn->head_len;
    size_t take = *len < HEAD_MAX - before ? *len : HEAD_MAX - before;
    memcpy(conn->head + before, *bytes, take);
    conn->head_len += take;
    conn->head[conn->head_len] = '\0';
    char *end = strstr(conn->head, "\r\n\r\n");
    if (!end) {
        *ret_bad = conn->head_len == HEAD_MAX;
        return false;
    }
    size_t used = (size_t)(end + 4 - conn->head) - before;
    *bytes += used;
    *len -= used;
    conn->body_left = client->size;
    *ret_bad = strncmp(conn->head, "HTTP/1.", 7) != 0 || strncmp(conn->head + 8, " 200", 4) != 0;
    return !*ret_bad;
}

static int on_readable(struct client *client, struct conn *conn)
{
    ssize_t got = recv(conn->fd, client->bytes, READ_SIZE, 0);
    const char *bytes = client->bytes;
    size_t len = got > 0 ? (size_t)got : 0;
    bool bad = got <= 0 || !conn->asking;
    if (!bad && conn->body_left < 0 && !take_head(client, conn, &bytes, &len, &bad) && !bad)
        return 0;
    if (!conn->asking) { /* the end of a connection we are done with */
        close(conn->fd);
        conn->fd = -1;
        return 0;
    }
    bad = bad || len > (size_t)conn->body_left;
    if (!bad)
        conn->body_left -= (long)len;
    return bad || conn->body_left == 0 ? finish(client, conn, !bad) : 0;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int run(struct client *client, struct conn *conns, unsigned count)
{
    struct epoll_event events[64];
    int64_t began_us = now_us();
    for (unsigned i = 0; i < count; i++) {
        conns[i].fd = -1;
        if (ask(client, &conns[i]))
            return -1;
    }
    while (client->done < client->files) {
        int n = epoll_wait(client->epoll, events, 64, STALL_MS);
        if (n <= 0)
            return -1;
        for (int i = 0; i < n; i++)
            if (on_readable(client, events[i].data.ptr))
                return -1;
    }
    double seconds = (double)(now_us() - began_us) / 1e6;
    size_t files = (size_t)client->files;
    qsort(client->took_us, files, sizeof *client->took_us, compare);
    printf("{\"requests\": %ld, \"errors\": %ld, \"seconds\": %.4f, \"p50_us\": %lld, "
           "\"p99_us\": %lld}\n",
        client->done, client->errors, seconds, (long long)client->took_us[files / 2],
        (long long)client->took_us[files * 99 / 100]);
    return 0;
}

int main(int argc, char **argv)
{
    struct client client = {.server = {.sin_family = AF_INET}};
    if (argc != 8) {
        fprintf(stderr, "usage: %s HOST PORT CONNECTIONS FOLDER FILES SIZE VERSION\n", argv[0]);
        return 2;
    }
    client.server.sin_port = htons((uint16_t)atoi(argv[2]));
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    client.folder = argv[4];
    client.files = strtol(argv[5], NULL, 10);
    client.size = strtol(argv[6], NULL, 10);
    client.version = argv[7];
    if (inet_pton(AF_INET, argv[1], &client.server.sin_addr) != 1 || count == 0 ||
        count > CONNECTIONS_MAX || client.files <= 0 || client.size <= 0) {
        fprintf(stderr, "%s: bad address or numbers\n", argv[0]);
        return 2;
    }
    client.epoll = epoll_create1(0);
    client.bytes = malloc(READ_SIZE);
    client.took_us = calloc((size_t)client.files, sizeof *client.took_us);
    struct conn *conns = calloc(count, sizeof *conns);
    if (client.epoll < 0 || !client.bytes || !client.took_us || !conns ||
        run(&client, conns, count)) {
        perror("fetch");
        return 1;
    }
    return 0;
}
