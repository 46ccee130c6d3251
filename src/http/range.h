/* The Range field (RFC 9110 14.1, 14.2). Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_RANGE_H
#define LG_HTTP_RANGE_H

#include "base/limits.h"
#include "base/slice.h"

struct lg_http_range {
    int64_t first;  /* byte offset */
    int64_t length; /* bytes, at least 1 */
};

struct lg_http_ranges {
    size_t count;
    struct lg_http_range items[LG_RANGE_COUNT_MAX];
};

enum lg_http_range_verdict {
    LG_HTTP_RANGE_IGNORE, /* malformed, another unit, too many: send it all */
    LG_HTTP_RANGE_NONE,   /* well-formed and nothing in it exists: 416 */
    LG_HTTP_RANGE_SOME,   /* *ret_ranges holds at least one */
};

/* Reads `value` against an entity of `size` bytes. Ranges that overlap or touch
 * become one, at the place of the first of them, so that the parts never hold
 * more bytes than the entity; the order is the client's otherwise. */
enum lg_http_range_verdict lg_http_range_parse(
    struct lg_slice value, int64_t size, struct lg_http_ranges *ret_ranges);

#endif
