/* Slices. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool lg_slice_ieq(struct lg_slice a, struct lg_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool lg_slice_starts(struct lg_slice s, struct lg_slice prefix)
{
    return s.len >= prefix.len && lg_slice_eq(lg_slice_from(s.ptr, prefix.len), prefix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct lg_slice lg_slice_trim(struct lg_slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct lg_slice lg_slice_cut(struct lg_slice s, char sep, struct lg_slice *rest)
{
    const char *at = s.len ? memchr(s.ptr, sep, s.len) : NULL;
    if (!at) {
        *rest = (struct lg_slice){NULL, 0};
        return s;
    }
    size_t head = (size_t)(at - s.ptr);
    *rest = lg_slice_from(at + 1, s.len - head - 1);
    return lg_slice_from(s.ptr, head);
}

bool lg_slice_u64(struct lg_slice s, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > max)
        return false;
    *ret_value = value;
    return true;
}
