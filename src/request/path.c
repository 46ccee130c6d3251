/* Paths: percent-decoding and normalisation, both in place. Pure.
 *
 * Decoding happens once and before normalising, so that "%2e%2e" and "%2F" are
 * what they stand for by the time anything looks at the path.
 * SPDX-License-Identifier: Apache-2.0 */
#include "request/request.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int lg_path_decode(char *path, size_t len, size_t *ret_len)
{
    size_t to = 0;
    for (size_t at = 0; at < len; at++) {
        int byte = (unsigned char)path[at];
        if (byte == '%') {
            int high = at + 2 < len ? hex(path[at + 1]) : -1;
            int low = at + 2 < len ? hex(path[at + 2]) : -1;
            if (high < 0 || low < 0)
                return -LG_E_PROTO;
            byte = high * 16 + low;
            at += 2;
        }
        if (byte == '\0')
            return -LG_E_PROTO;
        path[to++] = (char)byte;
    }
    *ret_len = to;
    return 0;
}

/* Takes the last segment off path[0..len), which ends in '/'. */
static size_t parent(const char *path, size_t len)
{
    len--;
    while (path[len - 1] != '/')
        len--;
    return len;
}

int lg_path_normalise(char *path, size_t len, size_t *ret_len)
{
    if (len == 0 || path[0] != '/' || memchr(path, '\0', len))
        return -LG_E_PROTO;
    size_t to = 1; /* path[0..to) is done; at a segment's start it ends in '/' */
    size_t at = 1;
    while (at < len) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t end = slash ? (size_t)(slash - path) : len;
        size_t segment = end - at;
        if (segment == 2 && path[at] == '.' && path[at + 1] == '.') {
            if (to == 1)
                return -LG_E_PROTO;
            to = parent(path, to);
        } else if (segment > 0 && !(segment == 1 && path[at] == '.')) {
            memmove(path + to, path + at, segment);
            to += segment;
            if (slash)
                path[to++] = '/';
        }
        at = end + 1;
    }
    *ret_len = to;
    return 0;
}
