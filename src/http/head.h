/* Answers: response head -> bytes, chunk framing, error pages. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_HEAD_H
#define LG_HTTP_HEAD_H

#include "base/buf.h"
#include "base/err.h"
#include "request/request.h"

enum lg_http_wire {
    LG_HTTP_WIRE_HTTP,  /* straight to an HTTP client */
    LG_HTTP_WIRE_UWSGI, /* to a front server: no chunks, no keep-alive, no Connection */
};

enum lg_http_body {
    LG_HTTP_BODY_NONE,    /* head only (HEAD, 204, 304, empty): send no body bytes */
    LG_HTTP_BODY_LENGTH,  /* exactly response.length bytes */
    LG_HTTP_BODY_CHUNKED, /* in chunks, then LG_HTTP_CHUNK_LAST */
    LG_HTTP_BODY_CLOSE,   /* as it comes; closing ends it */
};

/* What the connection knows about the answer besides its head. */
struct lg_http_answer {
    enum lg_http_wire wire;
    uint8_t http_minor;            /* what the client speaks: 0 or 1 */
    bool is_head;                  /* the request was HEAD */
    bool keep_alive;               /* both the client and we are willing */
    struct lg_slice date;          /* lg_http_date_at; ptr NULL = no Date */
    struct lg_slice server;        /* Server's value; ptr NULL = none */
    const struct lg_header *extra; /* added behind the response's own; borrowed */
    size_t extra_count;
};

struct lg_http_framing {
    enum lg_http_body body;
    bool keep_alive; /* false: close after the body */
};

/* Appends the status line, the response's headers, Date, Server and the framing
 * (Content-Length or Transfer-Encoding, Connection), and the empty line. Headers
 * of the response that are the core's (Content-Length, Transfer-Encoding,
 * Connection, Keep-Alive, Date, Server) are left out. 0; -LG_E_NOMEM with `out` as it
 * was; -LG_E_INVALID for a status outside 100..999. */
int lg_http_head_render(const struct lg_response *response, const struct lg_http_answer *answer,
    struct lg_buf *out, struct lg_http_framing *ret_framing) LG_MUST_USE;

/* The reason phrase ("Not Found"); "" for a status nobody named. Never NULL. */
const char *lg_http_reason(int status);

/* "HTTP/1.1 100 Continue" and its empty line. */
#define LG_HTTP_CONTINUE LG_SLICE("HTTP/1.1 100 Continue\r\n\r\n")

/* A chunk is: its size line, its bytes, LG_HTTP_CHUNK_END. len is never 0. */
#define LG_HTTP_CHUNK_LINE_MAX 18 /* bytes of a size line */
#define LG_HTTP_CHUNK_END      LG_SLICE("\r\n")
#define LG_HTTP_CHUNK_LAST     LG_SLICE("0\r\n\r\n")
/* Writes the size line (no NUL); returns its length, bytes. */
size_t lg_http_chunk_line(char ret_line[LG_HTTP_CHUNK_LINE_MAX], size_t len);

/* The core's own page for `status`: begins `response` anew with Content-Type
 * and, where given, Allow (405; "GET, HEAD") and Retry-After (s, 0 = none).
 * *ret_body is in `arena` or static; empty for a status that has no body. 0,
 * -LG_E_NOMEM, or -LG_E_INVALID for an Allow that cannot be a header. */
int lg_http_error_page(struct lg_response *response, struct lg_arena *arena, int status,
    const char *allow, unsigned retry_after_s, struct lg_slice *ret_body) LG_MUST_USE;

#endif
