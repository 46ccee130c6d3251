/* Request targets and hosts (RFC 9112 3.2). Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/internal.h"

/* A name or IPv4 address: the unreserved bytes of RFC 3986. Names with other
 * bytes exist in the grammar but not in DNS, and ',' or '%' only mislead. */
static size_t name_len(struct lg_slice host)
{
    size_t i = 0;
    while (i < host.len && (lg_http_is((unsigned char)host.ptr[i], LG_HTTP_ALNUM) ||
                               (host.ptr[i] != '\0' && strchr("-._~", host.ptr[i]))))
        i++;
    return i;
}

/* "[...]" with what an IPv6 address is made of; 0 when it is not that. */
static size_t bracket_len(struct lg_slice host)
{
    size_t i = 1;
    while (i < host.len && host.ptr[i] != '\0' && strchr("0123456789abcdefABCDEF:.", host.ptr[i]))
        i++;
    return i >= 3 && i < host.len && host.ptr[i] == ']' ? i + 1 : 0;
}

bool lg_http_host_is_valid(struct lg_slice host)
{
    size_t len = host.len > 0 && host.ptr[0] == '[' ? bracket_len(host) : name_len(host);
    if (len == 0)
        return false;
    struct lg_slice port = lg_slice_from(host.ptr + len, host.len - len);
    uint64_t number;
    if (port.len == 0 || (port.len == 1 && port.ptr[0] == ':'))
        return true;
    return port.ptr[0] == ':' && port.len <= 6 &&
           lg_slice_u64(lg_slice_from(port.ptr + 1, port.len - 1), 65535, &number);
}

static int fail(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return -LG_E_PROTO;
}

static int add(struct lg_request *request, struct lg_slice name, struct lg_slice value)
{
    return value.ptr ? lg_request_add(request, name, value) : -LG_E_NOMEM;
}

/* Cuts "http://authority" off; what is left begins with '/', '?' or nothing. */
static bool cut_authority(struct lg_slice *target, struct lg_slice *ret_authority)
{
    static const struct lg_slice schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < 2; i++) {
        size_t len = schemes[i].len;
        if (target->len < len || !lg_slice_ieq(lg_slice_from(target->ptr, len), schemes[i]))
            continue;
        size_t end = len;
        while (end < target->len && target->ptr[end] != '/' && target->ptr[end] != '?')
            end++;
        *ret_authority = lg_slice_from(target->ptr + len, end - len);
        *target = lg_slice_from(target->ptr + end, target->len - end);
        return true;
    }
    return false;
}

static int add_path(struct lg_request *request, struct lg_slice raw, const char **ret_reason)
{
    char *path = lg_arena_copy(&request->arena, raw.ptr, raw.len);
    size_t len = raw.len;
    if (!path)
        return -LG_E_NOMEM;
    if (lg_path_decode(path, len, &len))
        return fail(ret_reason, "bad escape in the target");
    if (lg_path_normalise(path, len, &len))
        return fail(ret_reason, "the path leaves the root");
    path[len] = '\0';
    return add(request, LG_SLICE("PATH_INFO"), lg_slice_from(path, len));
}

static int add_asterisk(struct lg_request *request)
{
    int err = add(request, LG_SLICE("REQUEST_URI"), LG_SLICE("*"));
    if (!err)
        err = add(request, LG_SLICE("PATH_INFO"), LG_SLICE("*"));
    return err ? err : add(request, LG_SLICE("QUERY_STRING"), LG_SLICE(""));
}

/* The origin form of an absolute target: "/" stands for an empty path. */
static struct lg_slice origin_form(struct lg_arena *arena, struct lg_slice rest)
{
    if (rest.len > 0 && rest.ptr[0] == '/')
        return lg_arena_slice(arena, rest);
    char *uri = lg_arena_alloc(arena, rest.len + 2);
    if (!uri)
        return (struct lg_slice){NULL, 0};
    uri[0] = '/';
    if (rest.len)
        memcpy(uri + 1, rest.ptr, rest.len);
    uri[rest.len + 1] = '\0';
    return lg_slice_from(uri, rest.len + 1);
}

int lg_http_target_add(struct lg_request *request, struct lg_slice target, bool is_options,
    struct lg_slice *ret_authority, const char **ret_reason)
{
    if (lg_slice_eq(target, LG_SLICE("*")))
        return is_options ? add_asterisk(request) : fail(ret_reason, "'*' is for OPTIONS only");
    struct lg_slice authority = {NULL, 0};
    if (cut_authority(&target, &authority)) {
        if (!lg_http_host_is_valid(authority))
            return fail(ret_reason, "bad authority in the target");
        authority = lg_arena_slice(&request->arena, authority);
        if (!authority.ptr)
            return -LG_E_NOMEM;
    } else if (target.len == 0 || target.ptr[0] != '/') {
        return fail(ret_reason, "the target is neither a path nor an http URL");
    }
    struct lg_slice uri = origin_form(&request->arena, target);
    int err = add(request, LG_SLICE("REQUEST_URI"), uri);
    if (err)
        return err;
    struct lg_slice query;
    struct lg_slice raw = lg_slice_cut(uri, '?', &query);
    err = add_path(request, raw, ret_reason);
    if (!err)
        err = add(request, LG_SLICE("QUERY_STRING"), query.ptr ? query : LG_SLICE(""));
    if (!err)
        *ret_authority = authority;
    return err;
}
