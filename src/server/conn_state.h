/* A connection's inside, shared by conn.c (life and input) and out.c (output).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SERVER_CONN_STATE_H
#define LG_SERVER_CONN_STATE_H

#include "http/parser.h"
#include "server/conn.h"
#include "uwsgi/uwsgi.h"

#include <netinet/in.h>

struct lg_chunk {
    const char *ptr;
    size_t len;
    void (*release)(void *arg); /* NULL = none */
    void *arg;
    bool in_file;
    struct lg_mapped mapped; /* where, if it is */
};

struct lg_out {
    struct lg_chunk *chunks; /* a ring of `cap`, a power of two; freed when empty */
    size_t first, count, cap;
    size_t offset;     /* bytes of the first chunk that are written */
    size_t bytes;      /* not yet written */
    size_t in_flight;  /* chunks given to uv_write; 0 = none under way */
    uint64_t mark_ms;  /* when bytes last went out, or the queue was empty */
    size_t mark_bytes; /* lg_out_unsent then */
};

struct lg_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_timer_t timer;
    uv_write_t write;
    struct lg_worker *worker;
    const struct lg_accepting *accepting;
    struct lg_conn *next, **link; /* all connections */
    struct lg_conn *next_dirty;   /* those with something to write */
    union {
        struct lg_http_parser http;
        struct lg_uwsgi_parser uwsgi;
    } parser;
    struct lg_exchange *ex; /* the request being read or answered; NULL = idle */
    struct lg_buf pending;  /* bytes read and not yet parsed */
    struct lg_out out;
    uint64_t timer_due_ms; /* when the timer fires; 0 = it does not */
    uint64_t since_ms;     /* idle since; the head, the body or lingering began */
    uint64_t held_ms;      /* reading of a body was stopped by us; 0 = it was not */
    uint64_t read_ms;      /* the last byte came */
    uint64_t body_bytes;   /* of this request so far */
    size_t discarded;      /* while lingering */
    unsigned served;
    unsigned closing_handles;
    bool is_http : 1;
    bool is_unix : 1;
    bool dispatched : 1;  /* the head is complete; ex is the handler's */
    bool awaits_body : 1; /* its handler is not asked before the body is here */
    bool complete : 1;    /* the request is wholly read */
    bool answered : 1;    /* the answer is wholly queued; draining the body */
    bool continued : 1;   /* 100 Continue went out */
    bool reading : 1;
    bool processing : 1; /* inside process(): do not recurse */
    bool dirty : 1;
    bool ends : 1;   /* close once everything is written */
    bool cut : 1;    /* and then by a reset */
    bool broken : 1; /* bytes were lost: cut at once */
    bool eof : 1;    /* the client will send no more */
    bool lingering : 1;
    bool closing : 1;
    uint16_t peer_port;
    char peer[INET6_ADDRSTRLEN];
};

/* conn.c */
void lg_conn_close(struct lg_conn *conn, bool reset);
void lg_conn_arm(struct lg_conn *conn);
/* Output went out or ended: go on reading, or close. */
void lg_conn_written(struct lg_conn *conn);

/* out.c */
void lg_out_release(struct lg_conn *conn); /* drops all that is queued */
/* There is something to write, or to settle, before the loop sleeps. */
void lg_out_mark(struct lg_conn *conn);
/* Bytes the client has not acknowledged yet: less of them is progress, even when
 * the kernel takes no more just now. */
size_t lg_out_unsent(const struct lg_conn *conn);

#endif
