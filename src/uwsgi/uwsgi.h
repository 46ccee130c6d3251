/* The uwsgi protocol: a packet's bytes in, struct lg_request and body slices
 * out. Pure. Must not depend on any room but base and request.
 *
 * A packet is `u8 modifier1, u16le size, u8 modifier2`, then `size` bytes of
 * variables (`u16le length, key, u16le length, value`), then a body of
 * CONTENT_LENGTH bytes. One request per connection. Answers are plain HTTP/1
 * (http/head.h, LG_HTTP_WIRE_UWSGI).
 *
 * Not thread-safe: one owner at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_UWSGI_UWSGI_H
#define LG_UWSGI_UWSGI_H

#include "request/feed.h"
#include "request/request.h"

/* Fields are the parser's own. */
struct lg_uwsgi_parser {
    struct lg_request *request; /* borrowed until HEAD or ERROR, else NULL */
    char *block;                /* the variables, in the request's arena */
    const char *reason;
    size_t buffer_size; /* bytes of variables at most */
    size_t have;        /* bytes of header or block so far */
    size_t size;        /* bytes of variables, as announced */
    int64_t body_left;  /* bytes */
    uint8_t header[4];
    uint16_t status; /* of the error, once there was one */
    uint8_t state;
};

/* `buffer_size` is the option buffer-size (bytes of variables at most, beyond:
 * 431); 0 = 65535, what the protocol can say. */
void lg_uwsgi_parser_init(struct lg_uwsgi_parser *parser, size_t buffer_size);

/* Before the first feed. `request` is fresh from lg_request_init or
 * lg_request_reset and is borrowed until HEAD or ERROR. */
void lg_uwsgi_parser_begin(struct lg_uwsgi_parser *parser, struct lg_request *request);

/* As lg_http_parser_feed: one event per call, END also by a call with len 0.
 *
 * At HEAD the request holds the packet's variables and both modifiers; PATH_INFO
 * is normalised (it comes decoded; empty stays empty); method, http_minor and
 * body_length are set; keep_alive and expect_continue are false. A variable
 * named twice: HTTP_* other than HTTP_HOST is two header lines and is joined
 * (", ", cookies "; "); of any other the last wins, as in uWSGI, because
 * `include uwsgi_params` followed by a `uwsgi_param` of one's own is how nginx
 * users override one. CONTENT_LENGTH twice with two values is an error.
 *
 * Errors: 400 (empty key, a length that passes the end, NUL, missing
 * REQUEST_METHOD, bad CONTENT_LENGTH, a PATH_INFO that is not absolute or leaves
 * the root), 431 (buffer-size, or too many variables), 500 (memory). */
void lg_uwsgi_parser_feed(struct lg_uwsgi_parser *parser, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed);

/* True while not one byte has arrived since begin. */
bool lg_uwsgi_parser_is_idle(const struct lg_uwsgi_parser *parser);

#endif
