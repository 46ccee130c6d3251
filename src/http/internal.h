/* What the files of http/ share among themselves; nobody outside includes it.
 * Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_INTERNAL_H
#define LG_HTTP_INTERNAL_H

#include "http/parser.h"

/* ---- bytes.c: what a byte may be, RFC 9110 5.5, 5.6 ---- */

enum lg_http_byte_class {
    LG_HTTP_ALNUM = 1,
    LG_HTTP_TCHAR = 2,  /* tokens: methods, header names */
    LG_HTTP_FIELD = 4,  /* header values: visible, blanks, the high half */
    LG_HTTP_TARGET = 8, /* request targets: visible but '#', the high half */
};
extern const uint8_t lg_http_byte_classes[256];

static inline bool lg_http_is(unsigned char c, unsigned classes)
{
    return (lg_http_byte_classes[c] & classes) != 0;
}

/* A non-empty run of tchar. */
bool lg_http_is_token(struct lg_slice text);
/* The next element of a comma-separated list, trimmed; empty elements are
 * skipped. False at the end. */
bool lg_http_list_next(struct lg_slice *rest, struct lg_slice *ret_element);

/* ---- chunk.c ---- */

void lg_http_chunk_init(struct lg_http_chunk *chunk);
/* As lg_http_parser_feed, for the bytes of a chunked body with its trailers.
 * ERROR leaves status and reason in *ret_feed. */
void lg_http_chunk_feed(struct lg_http_chunk *chunk, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed);

/* ---- gate.c ---- */

enum lg_http_gate_result { LG_HTTP_GATE_MORE, LG_HTTP_GATE_DONE, LG_HTTP_GATE_FAILED };

/* Skips empty lines before a request (RFC 9112 2.2). *ret_len is how many bytes
 * were skipped. FAILED sets status and reason of *ret_feed. */
enum lg_http_gate_result lg_http_gate_skip(struct lg_http_gate *gate,
    const struct lg_http_limits *limits, const char *data, size_t len, size_t *ret_len,
    struct lg_feed *ret_feed);
/* Checks bytes of a head up to its end. *ret_len is how many are good: up to
 * the bad one, or all the head. The verdict never depends on how the bytes were
 * cut. FAILED sets status and reason of *ret_feed. */
enum lg_http_gate_result lg_http_gate_scan(struct lg_http_gate *gate,
    const struct lg_http_limits *limits, const char *data, size_t len, size_t *ret_len,
    struct lg_feed *ret_feed);
/* Nothing of a request yet. */
bool lg_http_gate_is_idle(const struct lg_http_gate *gate);
/* The request line was complete and well-formed. */
bool lg_http_gate_has_line(const struct lg_http_gate *gate);

/* ---- target.c ---- */

/* Host, or an authority, without userinfo: a name or address and a port. */
bool lg_http_host_is_valid(struct lg_slice host);
/* Adds REQUEST_URI, PATH_INFO and QUERY_STRING for a request target (origin,
 * absolute or asterisk form) and finds its authority (ptr NULL = none).
 * 0, -LG_E_NOMEM, or -LG_E_PROTO with *ret_reason set. */
int lg_http_target_add(struct lg_request *request, struct lg_slice target, bool is_options,
    struct lg_slice *ret_authority, const char **ret_reason);

#endif
