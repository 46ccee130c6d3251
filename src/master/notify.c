/* sd_notify(3) by hand: one datagram to the socket in the environment.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/notify.h"
#include "base/slice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int connect_socket(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof un.sun_path || (path[0] != '/' && path[0] != '@'))
        return -1;
    memcpy(un.sun_path, path, len);
    if (path[0] == '@')
        un.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&un, size) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int64_t watchdog_ms(void)
{
    uint64_t usec = 0;
    uint64_t pid = 0;
    if (!lg_slice_u64(lg_slice_of(getenv("WATCHDOG_USEC")), INT64_MAX, &usec))
        return 0;
    bool for_other = lg_slice_u64(lg_slice_of(getenv("WATCHDOG_PID")), INT32_MAX, &pid) &&
                     pid != (uint64_t)getpid();
    /* Twice as often as asked for, as sd_watchdog_enabled(3) advises. */
    return for_other ? 0 : (int64_t)(usec / 2000);
}

void lg_notify_init(struct lg_notify *notify)
{
    *notify = (struct lg_notify){
        .fd = connect_socket(getenv("NOTIFY_SOCKET")),
        .watchdog_ms = watchdog_ms(),
    };
    if (notify->fd < 0)
        notify->watchdog_ms = 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void lg_notify_close(struct lg_notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

void lg_notify_send(const struct lg_notify *notify, const char *format, ...)
{
    char text[512];
    if (notify->fd < 0)
        return;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof text)
        (void)send(notify->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void lg_notify_reloading(const struct lg_notify *notify)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long usec = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    lg_notify_send(notify, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading", usec);
}

void lg_notify_alive(struct lg_notify *notify, int64_t now_ms)
{
    if (notify->fd < 0 || notify->watchdog_ms == 0 || now_ms < notify->next_alive_ms)
        return;
    notify->next_alive_ms = now_ms + notify->watchdog_ms;
    lg_notify_send(notify, "WATCHDOG=1");
}
