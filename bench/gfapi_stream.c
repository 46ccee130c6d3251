/* The yardstick for long bodies: asynchronous reads through libgfapi, a window of
 * them in flight, written to a socket in order by the plainest server there can be.
 * Built and run by bench/gluster; depends on nothing of ours.
 *
 *   gfapi_stream HOST PORT VOLUME LISTEN-PORT WINDOW SIZE
 *
 * Answers GET on 127.0.0.1:LISTEN-PORT, one connection after the other, with WINDOW
 * reads of SIZE bytes in flight.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <glusterfs/api/glfs.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_MAX 64

struct block {
    sem_t done;
    ssize_t result;
    char *bytes;
};

struct stream {
    glfs_t *volume;
    unsigned window;
    size_t size;
    struct block blocks[WINDOW_MAX];
};

static void on_read(
    glfs_fd_t *fd, ssize_t result, struct glfs_stat *before, struct glfs_stat *after, void *arg)
{
    struct block *block = arg;
    (void)fd, (void)before, (void)after;
    block->result = result;
    sem_post(&block->done);
}

static int submit(struct stream *stream, glfs_fd_t *fd, off_t offset)
{
    struct block *block = &stream->blocks[(size_t)offset / stream->size % stream->window];
    return glfs_pread_async(fd, block->bytes, stream->size, offset, 0, on_read, block);
}

static int send_all(int client, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(client, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        bytes += sent;
        len -= (size_t)sent;
    }
    return 0;
}

/* All reads are waited for, also after a failure: their memory is used again. */
static int send_file(struct stream *stream, glfs_fd_t *fd, int client, off_t size)
{
    off_t asked = 0;
    int err = 0;
    for (off_t at = 0; at < size && at <= asked; at += (off_t)stream->size) {
        off_t end = at + (off_t)(stream->window * stream->size);
        for (; !err && asked < size && asked < end; asked += (off_t)stream->size)
            err = submit(stream, fd, asked);
        if (at >= asked)
            break;
        struct block *block = &stream->blocks[(size_t)at / stream->size % stream->window];
        off_t want = size - at < (off_t)stream->size ? size - at : (off_t)stream->size;
        sem_wait(&block->done);
        if (!err && block->result == want)
            err = send_all(client, block->bytes, (size_t)want);
        else
            err = -1;
    }
    return err;
}

static int answer(struct stream *stream, int client)
{
    char request[4096] = "";
    char head[128];
    struct stat st;
    size_t len = 0;
    while (len < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t got = recv(client, request + len, sizeof request - 1 - len, 0);
        if (got <= 0)
            return -1;
        len += (size_t)got;
        request[len] = '\0';
    }
    char *path = strchr(request, ' ');
    char *end = path ? strchr(++path, ' ') : NULL;
    if (!end)
        return -1;
    *end = '\0';
    glfs_fd_t *fd = glfs_open(stream->volume, path, O_RDONLY);
    int err = -1;
    if (fd && glfs_fstat(fd, &st) == 0) {
        int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n",
            (long long)st.st_size);
        err = send_all(client, head, (size_t)n);
        if (!err)
            err = send_file(stream, fd, client, st.st_size);
    }
    if (fd)
        glfs_close(fd);
    return err;
}

static glfs_t *open_volume(const char *host, int port, const char *name)
{
    glfs_t *volume = glfs_new(name);
    if (!volume || glfs_set_volfile_server(volume, "tcp", host, port) != 0)
        return NULL;
    glfs_set_logging(volume, "/dev/null", 0);
    return glfs_init(volume) == 0 ? volume : NULL;
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64))
        return -1;
    return fd;
}

int main(int argc, char **argv)
{
    static struct stream stream;
    if (argc != 7) {
        fprintf(stderr, "usage: %s HOST PORT VOLUME LISTEN-PORT WINDOW SIZE\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* gfapi writes to sockets, too */
    stream.window = (unsigned)strtoul(argv[5], NULL, 10);
    stream.size = strtoul(argv[6], NULL, 10);
    if (stream.window == 0 || stream.window > WINDOW_MAX || stream.size == 0) {
        fprintf(stderr, "%s: a window of 1 to %d reads of some size\n", argv[0], WINDOW_MAX);
        return 2;
    }
    stream.volume = open_volume(argv[1], atoi(argv[2]), argv[3]);
    for (unsigned i = 0; i < stream.window; i++) {
        sem_init(&stream.blocks[i].done, 0, 0);
        stream.blocks[i].bytes = malloc(stream.size);
    }
    int listener = listen_on(atoi(argv[4]));
    if (!stream.volume || listener < 0) {
        perror("gfapi_stream");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        while (client >= 0 && answer(&stream, client) == 0)
            ;
        close(client);
    }
}
