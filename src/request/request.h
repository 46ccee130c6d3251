/* A request as CGI-style variables, and the head of its answer. Pure.
 *
 * Built by http/ or uwsgi/, read by route/ and by handlers. Everything a
 * request holds lives in its arena. Not thread-safe: one owner at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_REQUEST_REQUEST_H
#define LG_REQUEST_REQUEST_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum lg_method { LG_METHOD_GET, LG_METHOD_HEAD, LG_METHOD_OTHER };

struct lg_var {
    struct lg_slice name;  /* NUL-terminated, in the arena or static */
    struct lg_slice value; /* NUL-terminated, in the arena or static */
};

#define LG_BODY_CHUNKED (-1) /* body_length: length not known beforehand */

struct lg_request {
    struct lg_arena arena;
    struct lg_var *vars; /* in order of arrival; names are unique */
    size_t var_count;
    size_t var_cap;
    uint64_t names; /* a bit for each name: most questions are about what is not there */
    enum lg_method method;
    uint8_t modifier1;
    uint8_t modifier2;
    uint8_t http_minor;   /* 0 or 1: what the client speaks */
    bool keep_alive;      /* the client's side of it */
    bool expect_continue; /* Expect: 100-continue and a body to come */
    int64_t body_length;  /* bytes, 0 = none, LG_BODY_CHUNKED */
};

struct lg_header {
    struct lg_slice name;
    struct lg_slice value;
};

struct lg_response {
    int status;                /* 0 = not begun */
    struct lg_header *headers; /* in the request's arena */
    size_t header_count;
    size_t header_cap;
    struct lg_slice lines; /* more headers, ready-made: whole lines with their ends; arena */
    int64_t length;        /* bytes of body, -1 = not known */
};

/* `arena_limit` as in lg_arena_init. */
void lg_request_init(struct lg_request *request, size_t arena_limit);
/* Ready for the next request on the same connection; keeps one arena block. */
void lg_request_reset(struct lg_request *request);
void lg_request_free(struct lg_request *request);

/* The value, or a slice with ptr NULL when there is none of that name. */
struct lg_slice lg_request_get(const struct lg_request *request, struct lg_slice name);
/* False when there is certainly none of that name. Costs next to nothing. */
bool lg_request_may_have(const struct lg_request *request, struct lg_slice name);
/* Sets or replaces. Copies the value; copies the name unless it is one
 * already there. 0 or -LG_E_NOMEM / -LG_E_LIMIT. */
int lg_request_set(
    struct lg_request *request, struct lg_slice name, struct lg_slice value) LG_MUST_USE;
/* Adds without looking for a namesake and without copying: both slices must be
 * NUL-terminated and outlive the request. 0 or -LG_E_NOMEM. */
int lg_request_add(
    struct lg_request *request, struct lg_slice name, struct lg_slice value) LG_MUST_USE;

/* Appends a header to the response, copied into `arena`. A value with CR, LF
 * or NUL, or a name that is no token, is -LG_E_INVALID (header injection). */
int lg_response_header(struct lg_response *response, struct lg_arena *arena, struct lg_slice name,
    struct lg_slice value) LG_MUST_USE;

/* No CR, LF or NUL in it: it may be a header's value. */
bool lg_response_is_value(struct lg_slice value);

/* ---- paths ---- */

/* Percent-decodes once, in place; *ret_len is the new length. -LG_E_PROTO for a
 * bad escape or a decoded NUL. */
int lg_path_decode(char *path, size_t len, size_t *ret_len) LG_MUST_USE;
/* Normalises an absolute path in place: "//" and "/./" collapse, "/../" goes up;
 * a trailing slash stays. -LG_E_PROTO when it would leave the root, does not
 * begin with '/', or holds NUL. */
int lg_path_normalise(char *path, size_t len, size_t *ret_len) LG_MUST_USE;

#endif
