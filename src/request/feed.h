/* What a request codec (http/ or uwsgi/) says about the bytes it was fed: one
 * shape for both, so that a connection drives either with the same loop. Pure.
 *
 *   while (!done) {
 *       codec_feed(codec, data, len, &consumed, &feed);
 *       data += consumed; len -= consumed;
 *       ... act on feed.kind; MORE means all of it was consumed ...
 *   }
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_REQUEST_FEED_H
#define LG_REQUEST_FEED_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

enum lg_feed_kind {
    LG_FEED_MORE, /* everything was consumed; feed what arrives next */
    LG_FEED_HEAD, /* the request's head is complete; its struct is filled */
    LG_FEED_BODY, /* `body` is a piece of the body, inside the caller's bytes */
    LG_FEED_END,  /* the request is complete; the next one begins at `consumed` */
    LG_FEED_ERROR /* answer `status` and close; nothing more is parsed */
};

struct lg_feed {
    enum lg_feed_kind kind;
    struct lg_slice body; /* BODY: never empty */
    int status;           /* ERROR: 400, 414, 431, 500, 501 or 505 */
    const char *reason;   /* ERROR: static text for the log, never for the client */
};

/* A body whose length is known: of `len` bytes takes what belongs to it, at most
 * `*left`, and counts that down. Nothing happens when `len` is 0. */
static inline void lg_feed_take(
    int64_t *left, const char *data, size_t len, size_t *ret_consumed, struct lg_feed *ret_feed)
{
    if (len == 0)
        return;
    size_t take = (uint64_t)len < (uint64_t)*left ? len : (size_t)*left;
    *left -= (int64_t)take;
    *ret_consumed = take;
    *ret_feed = (struct lg_feed){.kind = LG_FEED_BODY, .body = lg_slice_from(data, take)};
}

#endif
