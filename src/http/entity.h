/* Conditional requests and ranges over a file-like entity (RFC 9110 13, 14). Pure.
 *
 * The three structs have the layout of lg_entity, lg_segment and lg_plan in
 * legatus/plugin.h, field for field, so that the facade may assert that and
 * pass one for the other.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_ENTITY_H
#define LG_HTTP_ENTITY_H

#include "base/buf.h"
#include "base/err.h"
#include "request/request.h"

struct lg_http_entity {
    int64_t size;             /* bytes */
    int64_t mtime_s;          /* Unix time */
    const char *etag;         /* with its quotes; NULL = none */
    const char *content_type; /* NULL = application/octet-stream */
    const char *encoding;     /* Content-Encoding; NULL = none */
    const char *varies;       /* Vary, of every answer, whatever its status; NULL = none */
    int expires;              /* enum lg_http_expires */
    int64_t expires_after_s;
    const char *lines; /* of lg_http_entity_lines for this entity; NULL = none */
    size_t lines_len;
};

/* What Expires and Cache-Control: max-age count from. */
enum lg_http_expires {
    LG_HTTP_EXPIRES_UNSAID,
    LG_HTTP_EXPIRES_FROM_NOW,
    LG_HTTP_EXPIRES_FROM_MTIME
};

struct lg_http_segment {
    const char *text; /* NULL = from the file */
    int64_t offset;   /* bytes into the file; 0 for text */
    int64_t length;   /* bytes */
};

struct lg_http_plan {
    int64_t length; /* of the whole body, bytes */
    size_t segment_count;
    const struct lg_http_segment *segments; /* in the arena */
};

/* Begins `response` anew for a GET or HEAD of `entity`: evaluates If-Match,
 * If-Unmodified-Since, If-None-Match, If-Modified-Since, then (GET only) Range
 * and If-Range; sets status, length and the headers ETag, Last-Modified,
 * Accept-Ranges, Content-Type, Content-Range, and what `entity` says besides.
 *
 * `boundary` should be hard to guess and new for each request: it separates the
 * parts of a multipart/byteranges body. `now_s` is Unix time; an mtime later
 * than it is not announced (RFC 9110 8.8.2.1).
 *
 * Returns 1: send the segments of *ret_plan (its length is response->length).
 *         0: the head is all: 304, 412, 416 (all with no body), or HEAD, whose
 *            response->length is what GET would have sent.
 *         -LG_E_NOMEM, -LG_E_INVALID (an etag or type that cannot be a header).
 * What it allocates is in `arena`, normally the request's. */
int lg_http_entity_answer(const struct lg_request *request, const struct lg_http_entity *entity,
    uint64_t boundary, int64_t now_s, struct lg_arena *arena, struct lg_response *response,
    struct lg_http_plan *ret_plan) LG_MUST_USE;

/* Appends the lines of a head that answers with the whole of `entity`, so that they
 * need not be made for each request: ETag, Last-Modified, Accept-Ranges, Content-
 * Type. 0; -LG_E_NOMEM; -LG_E_INVALID as above, or for an mtime that may not be
 * announced yet; `out` is as it was then. */
int lg_http_entity_lines(
    const struct lg_http_entity *entity, int64_t now_s, struct lg_buf *out) LG_MUST_USE;

#endif
