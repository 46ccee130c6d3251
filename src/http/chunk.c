/* Chunked bodies, strictly (RFC 9112 7.1): CRLF is CRLF, a size is hex digits
 * and nothing else, extensions and trailers are skipped but bounded. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "http/internal.h"

enum state {
    SIZE_FIRST,
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    DONE,
    FAILED,
};

#define SIZE_DIGITS_MAX 15 /* keeps a size within 60 bits */

void lg_http_chunk_init(struct lg_http_chunk *chunk)
{
    *chunk = (struct lg_http_chunk){.state = SIZE_FIRST};
}

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char folded = c | 0x20;
    return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

/* Each step takes one framing byte and returns the next state. */

static enum state step_size(struct lg_http_chunk *chunk, unsigned char c, const char **reason)
{
    int digit = hex(c);
    if (digit >= 0 && chunk->digits < SIZE_DIGITS_MAX) {
        chunk->left = chunk->left * 16 + (uint64_t)digit;
        chunk->digits++;
        return SIZE;
    }
    if (chunk->state == SIZE && c == ';')
        return EXTENSION;
    if (chunk->state == SIZE && c == '\r')
        return SIZE_LF;
    *reason = "bad chunk size";
    return FAILED;
}

static enum state step_extension(struct lg_http_chunk *chunk, unsigned char c, const char **reason)
{
    if (c == '\r')
        return SIZE_LF;
    if (!lg_http_is(c, LG_HTTP_FIELD)) {
        *reason = "bad byte in a chunk extension";
        return FAILED;
    }
    if (++chunk->extra > LG_CHUNK_EXTRA_MAX) {
        *reason = "chunk extensions too long";
        return FAILED;
    }
    return EXTENSION;
}

static enum state step_trailer(struct lg_http_chunk *chunk, unsigned char c, const char **reason)
{
    if (chunk->state == TRAILER_START && c == '\r')
        return LAST_LF;
    if (chunk->state == TRAILER_VALUE && c == '\r')
        return TRAILER_LF;
    if (chunk->state == TRAILER_NAME && c == ':')
        return TRAILER_VALUE;
    if (chunk->state == TRAILER_VALUE ? lg_http_is(c, LG_HTTP_FIELD) : lg_http_is(c, LG_HTTP_TCHAR))
        return chunk->state == TRAILER_START ? TRAILER_NAME : chunk->state;
    *reason = "malformed trailer";
    return FAILED;
}

static enum state want(unsigned char c, unsigned char wanted, enum state next, const char **reason)
{
    if (c == wanted)
        return next;
    *reason = "bad chunk terminator";
    return FAILED;
}

static enum state step(struct lg_http_chunk *chunk, unsigned char c, const char **reason)
{
    switch ((enum state)chunk->state) {
    case SIZE_FIRST:
    case SIZE:
        return step_size(chunk, c, reason);
    case EXTENSION:
        return step_extension(chunk, c, reason);
    case SIZE_LF:
        return want(c, '\n', chunk->left ? DATA : TRAILER_START, reason);
    case DATA_CR:
        return want(c, '\r', DATA_LF, reason);
    case DATA_LF:
        chunk->digits = 0;
        return want(c, '\n', SIZE_FIRST, reason);
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return step_trailer(chunk, c, reason);
    case TRAILER_LF:
        return want(c, '\n', TRAILER_START, reason);
    case LAST_LF:
        return want(c, '\n', DONE, reason);
    case DATA:
    case DONE:
    case FAILED:
        break;
    }
    *reason = "fed after the end";
    return FAILED;
}

static bool in_trailer(const struct lg_http_chunk *chunk)
{
    return chunk->state >= TRAILER_START && chunk->state <= TRAILER_LF;
}

static struct lg_feed failed(struct lg_http_chunk *chunk, int status, const char *reason)
{
    chunk->state = FAILED;
    return (struct lg_feed){.kind = LG_FEED_ERROR, .status = status, .reason = reason};
}

void lg_http_chunk_feed(struct lg_http_chunk *chunk, const char *data, size_t len,
    size_t *ret_consumed, struct lg_feed *ret_feed)
{
    size_t at = 0;
    const char *reason = NULL;
    *ret_feed = (struct lg_feed){.kind = LG_FEED_MORE};
    while (at < len && ret_feed->kind == LG_FEED_MORE) {
        if (chunk->state == DATA) {
            size_t take = len - at < chunk->left ? len - at : (size_t)chunk->left;
            ret_feed->kind = LG_FEED_BODY;
            ret_feed->body = lg_slice_from(data + at, take);
            at += take;
            chunk->left -= take;
            if (chunk->left == 0)
                chunk->state = DATA_CR;
            continue;
        }
        if (in_trailer(chunk) && ++chunk->trailer > LG_TRAILER_MAX) {
            *ret_feed = failed(chunk, 431, "trailers too long");
            break;
        }
        chunk->state = (uint8_t)step(chunk, (unsigned char)data[at], &reason);
        if (chunk->state == FAILED)
            *ret_feed = failed(chunk, 400, reason);
        else
            at++;
        if (chunk->state == DONE)
            ret_feed->kind = LG_FEED_END;
    }
    *ret_consumed = at;
}
