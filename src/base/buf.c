/* A growable byte buffer. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

int lg_buf_reserve(struct lg_buf *buf, size_t extra)
{
    if (buf->cap - buf->len >= extra)
        return 0;
    if (extra > SIZE_MAX / 2 - buf->len)
        return -LG_E_NOMEM;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap - buf->len < extra)
        cap *= 2;
    char *ptr = realloc(buf->ptr, cap);
    if (!ptr)
        return -LG_E_NOMEM;
    buf->ptr = ptr;
    buf->cap = cap;
    return 0;
}

int lg_buf_append(struct lg_buf *buf, const void *bytes, size_t len)
{
    int err = lg_buf_reserve(buf, len);
    if (err)
        return err;
    if (len)
        memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
    return 0;
}

int lg_buf_puts(struct lg_buf *buf, const char *text)
{
    return lg_buf_append(buf, text, strlen(text));
}

int lg_buf_vprintf(struct lg_buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    int err = len < 0 ? -LG_E_NOMEM : lg_buf_reserve(buf, (size_t)len + 1);
    if (!err) {
        vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    return err;
}

int lg_buf_printf(struct lg_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = lg_buf_vprintf(buf, format, args);
    va_end(args);
    return err;
}

void lg_buf_consume(struct lg_buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf->len = 0;
        return;
    }
    memmove(buf->ptr, buf->ptr + len, buf->len - len);
    buf->len -= len;
}

void lg_buf_free(struct lg_buf *buf)
{
    if (!buf)
        return;
    free(buf->ptr);
    *buf = (struct lg_buf){0};
}
