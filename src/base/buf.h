/* A growable byte buffer that owns its memory. libc only. Not thread-safe.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_BUF_H
#define LG_BASE_BUF_H

#include "base/slice.h"

#include <stdarg.h>

struct lg_buf {
    char *ptr; /* owned; NULL when empty from the start */
    size_t len;
    size_t cap;
};

/* All return 0, or -LG_E_NOMEM with the buffer as it was. A zeroed struct is
 * an empty buffer. */
int lg_buf_reserve(struct lg_buf *buf, size_t extra);
int lg_buf_append(struct lg_buf *buf, const void *bytes, size_t len);
int lg_buf_puts(struct lg_buf *buf, const char *text);
int lg_buf_printf(struct lg_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int lg_buf_vprintf(struct lg_buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Drops the first `len` bytes (at most all). */
void lg_buf_consume(struct lg_buf *buf, size_t len);
/* Frees the memory; the buffer is empty and usable. */
void lg_buf_free(struct lg_buf *buf);

static inline struct lg_slice lg_buf_slice(const struct lg_buf *buf)
{
    return (struct lg_slice){buf->ptr, buf->len};
}

#endif
