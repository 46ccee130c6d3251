/* Slices: a pointer and a length into memory somebody else owns. libc only.
 *
 * A slice never owns its bytes and need not end in NUL. Functions here neither
 * allocate nor fail.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_SLICE_H
#define LG_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lg_slice {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;      /* bytes */
};

/* A slice over a string literal or a NUL-terminated string that outlives it. */
#define LG_SLICE(literal) ((struct lg_slice){"" literal, sizeof(literal) - 1})

static inline struct lg_slice lg_slice_of(const char *text)
{
    return (struct lg_slice){text, text ? strlen(text) : 0};
}

static inline struct lg_slice lg_slice_from(const void *ptr, size_t len)
{
    return (struct lg_slice){ptr, len};
}

static inline bool lg_slice_eq(struct lg_slice a, struct lg_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool lg_slice_ieq(struct lg_slice a, struct lg_slice b); /* ASCII case folded */
bool lg_slice_starts(struct lg_slice s, struct lg_slice prefix);
/* Without spaces and tabs at either end. */
struct lg_slice lg_slice_trim(struct lg_slice s);
/* The part before the first `sep`; *rest is what follows it (empty, with a
 * NULL ptr, when there was none). */
struct lg_slice lg_slice_cut(struct lg_slice s, char sep, struct lg_slice *rest);
/* Decimal digits only, no sign, no blanks; false when empty, malformed or above `max`. */
bool lg_slice_u64(struct lg_slice s, uint64_t max, uint64_t *ret_value);

/* A number's decimal digits, at most 20, without a NUL; returns how many. For
 * where every request passes: printf reads its format each time. */
#define LG_DIGITS_MAX 20
static inline size_t lg_digits(char ret_text[LG_DIGITS_MAX], uint64_t value)
{
    char digits[LG_DIGITS_MAX];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t i = 0; i < n; i++)
        ret_text[i] = digits[n - 1 - i];
    return n;
}

#endif
