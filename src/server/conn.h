/* A client's connection: bytes in, requests out; answers in, bytes out.
 * Loop thread only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SERVER_CONN_H
#define LG_SERVER_CONN_H

#include "server/exchange.h"

#include <sys/socket.h>

/* Takes ownership of `fd`; closes it when memory is out. */
void lg_conn_accept(
    struct lg_worker *worker, const struct lg_accepting *from, int fd, const struct sockaddr *peer);
/* Drain: an idle connection closes, a busy one ends with its answer. */
void lg_conn_drain(struct lg_conn *conn);
struct lg_conn *lg_conn_next(struct lg_conn *conn);
/* Flushes every dirty connection. */
void lg_conn_flush_all(struct lg_worker *worker);

/* Queues bytes; release(arg) once they are written or the connection is gone,
 * NULL = none. */
void lg_conn_send(
    struct lg_conn *conn, const void *ptr, size_t len, void (*release)(void *arg), void *arg);
/* What was queued last, if it is `ptr`, is in a file as well. */
void lg_conn_send_mapped(struct lg_conn *conn, const void *ptr, const struct lg_mapped *mapped);
size_t lg_conn_queued(const struct lg_conn *conn); /* bytes */
/* May this connection serve another request after the present one? */
bool lg_conn_keeps_alive(const struct lg_conn *conn);
/* The protocol's answer framing: chunked bodies are for HTTP alone. */
bool lg_conn_is_http(const struct lg_conn *conn);
const struct lg_listener *lg_conn_listener(const struct lg_conn *conn);
const char *lg_conn_peer(const struct lg_conn *conn); /* "127.0.0.1", or "unix" */
/* The answer of conn's exchange is wholly queued; `keep` = go on with the next. */
void lg_conn_answered(struct lg_conn *conn, bool keep);
/* The exchange is given up while its handler goes on: a refusal with `status`
 * takes its place, and the connection ends with it. */
void lg_conn_replace(struct lg_conn *conn, int status);
/* The answer cannot be completed: cut the connection. */
void lg_conn_abort(struct lg_conn *conn);
/* The handler waits for the body: read on, after 100 Continue where asked. */
void lg_conn_want_body(struct lg_conn *conn);

#endif
