/* Calls to the master over a pair of datagram sockets. Must not depend on server
 * or cluster.
 * SPDX-License-Identifier: Apache-2.0 */
#include "shm/calls.h"

#include "shm/inner.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_SIZE offsetof(struct lg_call, text)

int lg_calls_open(int ret_fds[2])
{
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0
               ? -LG_E_SYS
               : 0;
}

void lg_calls_close(const int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int lg_call_send(struct lg_shm *shm, const struct lg_call *call)
{
    size_t size = HEAD_SIZE + strnlen(call->text, LG_CALL_TEXT_MAX) + 1;
    ssize_t sent;
    do
        sent = send(lg_shm_call_fds(shm)[0], call, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    return errno == EAGAIN || errno == ENOBUFS ? -LG_E_LIMIT : -LG_E_SYS;
}

void lg_calls_leave(struct lg_shm *shm)
{
    int *fds = lg_shm_call_fds(shm);
    if (fds[1] >= 0)
        close(fds[1]);
    fds[1] = -1;
}

int lg_call_fd(struct lg_shm *shm)
{
    return lg_shm_call_fds(shm)[1];
}

bool lg_call_take(struct lg_shm *shm, struct lg_call *ret_call)
{
    *ret_call = (struct lg_call){0};
    ssize_t got = recv(lg_shm_call_fds(shm)[1], ret_call, sizeof *ret_call, MSG_DONTWAIT);
    if (got <= (ssize_t)HEAD_SIZE)
        return false;
    /* A wild child shall not be believed. */
    ret_call->from[sizeof ret_call->from - 1] = '\0';
    ret_call->name[sizeof ret_call->name - 1] = '\0';
    ret_call->text[sizeof ret_call->text - 1] = '\0';
    return true;
}
