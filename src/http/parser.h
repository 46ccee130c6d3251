/* HTTP/1 requests: bytes in, struct lg_request and body slices out. Pure: no
 * clock, no system call, no log. Must not depend on any room but base and
 * request.
 *
 * llhttp cuts the head into tokens; what it is laxer about than RFC 9112 (bare
 * CR or LF, obs-fold, NUL, other protocols' request lines) is refused by a gate
 * that sees every byte first. Bodies are framed here, not by llhttp.
 *
 * Not thread-safe: one owner at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_PARSER_H
#define LG_HTTP_PARSER_H

#include "base/buf.h"
#include "request/feed.h"
#include "request/request.h"

#include <llhttp.h>

struct lg_http_limits {
    size_t uri_max;            /* bytes of the request target; beyond: 414 */
    size_t head_max;           /* bytes of request line and headers; beyond: 431 */
    size_t field_max;          /* bytes of one header line; beyond: 431 */
    unsigned header_count_max; /* header lines; beyond: 431 */
};

/* The defaults of base/limits.h. */
extern const struct lg_http_limits lg_http_limits_default;

/* A chunked body's decoder; internal to the parser. */
struct lg_http_chunk {
    uint8_t state;
    uint8_t digits;
    uint16_t extra;   /* bytes of extensions so far, in the whole body */
    uint16_t trailer; /* bytes of trailers so far */
    uint64_t left;    /* bytes of this chunk still to come */
};

/* The check of a head's raw bytes; internal to the parser. */
struct lg_http_gate {
    size_t head_len; /* bytes of the head so far */
    size_t line_len; /* bytes of the part of a line that is being counted */
    unsigned header_count;
    uint8_t state;
    uint8_t matched; /* bytes of the version so far */
    uint8_t major;
    uint8_t minor; /* of HTTP/1.x */
};

/* Under 512 bytes; the fields are the parser's own. Between requests it holds
 * no memory besides itself, and may be moved. */
struct lg_http_parser {
    llhttp_t llhttp;
    const struct lg_http_limits *limits;
    struct lg_request *request; /* borrowed while a head is parsed, else NULL */
    struct lg_http_gate gate;
    struct lg_http_chunk chunk;
    struct lg_slice token;     /* the piece of a token seen in this feed */
    struct lg_buf scratch;     /* a token begun in an earlier feed */
    struct lg_slice name;      /* variable of the header being read; arena */
    struct lg_slice authority; /* of an absolute-form target; arena */
    const char *reason;
    int64_t body_left; /* bytes of an identity body still to come */
    int status;        /* of the error, once there was one */
    uint16_t seen;     /* bits: what the head had so far */
    uint8_t state;     /* which part of a message comes next */
    uint8_t field;     /* which header is being read */
};

/* `limits` is borrowed for the parser's life; NULL = the defaults. */
void lg_http_parser_init(struct lg_http_parser *parser, const struct lg_http_limits *limits);
/* Frees what a half-read head holds. NULL is fine. */
void lg_http_parser_free(struct lg_http_parser *parser);

/* Before the first feed of every request. `request` is fresh from
 * lg_request_init or lg_request_reset and is borrowed until HEAD or ERROR. */
void lg_http_parser_begin(struct lg_http_parser *parser, struct lg_request *request);

/* Feeds bytes; at most one event per call, so call again (also with len 0)
 * until it says MORE, END or ERROR. After HEAD of a request without a body the
 * next call says END. Bytes after the END are not touched: *ret_consumed is
 * where the next request begins; feeding goes on after lg_http_parser_begin.
 *
 * At HEAD the request holds REQUEST_METHOD, REQUEST_URI (as sent; of an
 * absolute-form target the part behind the authority), PATH_INFO (decoded once,
 * normalised; "*" for OPTIONS *), QUERY_STRING, SERVER_PROTOCOL, SCRIPT_NAME
 * (""), CONTENT_TYPE and CONTENT_LENGTH where sent, and HTTP_*: duplicates are
 * joined, names with anything but letters, digits and '-' are dropped, and so
 * is "Proxy" (it would become HTTP_PROXY). HTTP_HOST is the authority where the
 * target has one. What only the connection knows (SERVER_NAME, SERVER_PORT,
 * REMOTE_ADDR, REMOTE_PORT, HTTPS) is the caller's to add. */
void lg_http_parser_feed(struct lg_http_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed);

/* True while nothing of a request has arrived since begin (empty lines do not
 * count): closing now cuts nobody off, and 408 would answer no question. */
bool lg_http_parser_is_idle(const struct lg_http_parser *parser);

#endif
