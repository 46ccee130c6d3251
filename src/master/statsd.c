/* Serves the statistics from the master's poll loop.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/statsd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS     1000
#define CLIENT_MS    2000
#define ACCEPTS_MAX  16   /* per wake-up */
#define DISCARD_SIZE 4096 /* of a client's own bytes, per wake-up */

void lg_statsd_init(struct lg_statsd *statsd)
{
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++)
        statsd->clients[i] = (struct lg_stats_client){.fd = -1};
}

static void drop(struct lg_stats_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    lg_buf_free(&client->out);
    *client = (struct lg_stats_client){.fd = -1};
}

void lg_statsd_close(struct lg_statsd *statsd)
{
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++)
        drop(&statsd->clients[i]);
}

static void write_some(struct lg_stats_client *client)
{
    ssize_t n = send(client->fd, client->out.ptr, client->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            drop(client);
        return;
    }
    lg_buf_consume(&client->out, (size_t)n);
    if (client->out.len > 0)
        return;
    /* Closing with the client's request unread would reset the connection and
     * take our answer with it: wait for its end of file, up to the deadline. */
    shutdown(client->fd, SHUT_WR);
    client->written = true;
}

static void read_some(struct lg_stats_client *client)
{
    char discard[DISCARD_SIZE];
    ssize_t n = recv(client->fd, discard, sizeof discard, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        drop(client);
}

static struct lg_stats_client *free_client(struct lg_statsd *statsd)
{
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++)
        if (statsd->clients[i].fd < 0)
            return &statsd->clients[i];
    return NULL;
}

void lg_statsd_accept(
    struct lg_statsd *statsd, int listener, int64_t now_ms, lg_stats_make *make, void *arg)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                statsd->paused_ms = now_ms + PAUSE_MS;
            return;
        }
        struct lg_stats_client *client = free_client(statsd);
        if (!client) {
            close(fd);
            continue;
        }
        *client = (struct lg_stats_client){.fd = fd, .deadline_ms = now_ms + CLIENT_MS};
        if (make(arg, &client->out) < 0)
            drop(client);
        else
            write_some(client);
    }
}

size_t lg_statsd_polls(const struct lg_statsd *statsd, struct pollfd *polls)
{
    size_t count = 0;
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++) {
        const struct lg_stats_client *client = &statsd->clients[i];
        if (client->fd >= 0)
            polls[count++] =
                (struct pollfd){.fd = client->fd, .events = client->written ? POLLIN : POLLOUT};
    }
    return count;
}

static struct lg_stats_client *client_of(struct lg_statsd *statsd, int fd)
{
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++)
        if (statsd->clients[i].fd == fd)
            return &statsd->clients[i];
    return NULL;
}

void lg_statsd_serve(
    struct lg_statsd *statsd, const struct pollfd *polls, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct lg_stats_client *client = client_of(statsd, polls[i].fd);
        if (!client || polls[i].revents == 0)
            continue;
        if (client->written)
            read_some(client);
        else
            write_some(client);
    }
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++)
        if (statsd->clients[i].fd >= 0 && now_ms >= statsd->clients[i].deadline_ms)
            drop(&statsd->clients[i]);
}

bool lg_statsd_listens(const struct lg_statsd *statsd, int64_t now_ms)
{
    return now_ms >= statsd->paused_ms;
}

int64_t lg_statsd_due(const struct lg_statsd *statsd, int64_t now_ms)
{
    int64_t due = lg_statsd_listens(statsd, now_ms) ? INT64_MAX : statsd->paused_ms;
    for (size_t i = 0; i < LG_STATS_CLIENTS_MAX; i++)
        if (statsd->clients[i].fd >= 0 && statsd->clients[i].deadline_ms < due)
            due = statsd->clients[i].deadline_ms;
    return due;
}
