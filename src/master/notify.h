/* The service manager's notification socket (sd_notify(3)), without its library.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_NOTIFY_H
#define LG_MASTER_NOTIFY_H

#include <stdint.h>

struct lg_notify {
    int fd;                /* connected; -1 = nobody wants to know */
    int64_t watchdog_ms;   /* between two signs of life; 0 = none wanted */
    int64_t next_alive_ms; /* CLOCK_MONOTONIC */
};

/* Reads and removes NOTIFY_SOCKET and the WATCHDOG variables, so that children
 * do not speak for us. */
void lg_notify_init(struct lg_notify *notify);
void lg_notify_close(struct lg_notify *notify);
/* One datagram; best effort, never blocks. */
void lg_notify_send(const struct lg_notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* RELOADING=1 with the time systemd asks for. */
void lg_notify_reloading(const struct lg_notify *notify);
/* Sends a sign of life when it is time. */
void lg_notify_alive(struct lg_notify *notify, int64_t now_ms);

#endif
