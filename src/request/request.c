/* Requests and response heads: a list of variables in an arena. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "request/request.h"

#define VARS_FIRST    32 /* a browser's request has about 25 */
#define HEADERS_FIRST 8

void lg_request_init(struct lg_request *request, size_t arena_limit)
{
    *request = (struct lg_request){.method = LG_METHOD_OTHER};
    lg_arena_init(&request->arena, arena_limit);
}

void lg_request_reset(struct lg_request *request)
{
    lg_arena_reset(&request->arena);
    struct lg_arena arena = request->arena;
    *request = (struct lg_request){.arena = arena, .method = LG_METHOD_OTHER};
}

void lg_request_free(struct lg_request *request)
{
    if (!request)
        return;
    lg_arena_free(&request->arena);
    struct lg_arena arena = request->arena;
    *request = (struct lg_request){.arena = arena, .method = LG_METHOD_OTHER};
}

/* One of 64, by what tells names apart: they begin alike (HTTP_, SERVER_). */
static uint64_t bit_of(struct lg_slice name)
{
    if (name.len == 0)
        return 1;
    size_t hash = name.len * 7 + (unsigned char)name.ptr[name.len - 1] * (size_t)3 +
                  (unsigned char)name.ptr[name.len / 2];
    return (uint64_t)1 << (hash & 63);
}

bool lg_request_may_have(const struct lg_request *request, struct lg_slice name)
{
    return request->names & bit_of(name);
}

static struct lg_var *find(const struct lg_request *request, struct lg_slice name)
{
    if (!lg_request_may_have(request, name))
        return NULL;
    for (size_t i = 0; i < request->var_count; i++)
        if (lg_slice_eq(request->vars[i].name, name))
            return &request->vars[i];
    return NULL;
}

struct lg_slice lg_request_get(const struct lg_request *request, struct lg_slice name)
{
    const struct lg_var *var = find(request, name);
    return var ? var->value : (struct lg_slice){NULL, 0};
}

int lg_request_add(struct lg_request *request, struct lg_slice name, struct lg_slice value)
{
    if (request->var_count == request->var_cap) {
        size_t cap = request->var_cap ? request->var_cap * 2 : VARS_FIRST;
        struct lg_var *vars = lg_arena_alloc(&request->arena, cap * sizeof *vars);
        if (!vars)
            return -LG_E_NOMEM;
        if (request->var_count)
            memcpy(vars, request->vars, request->var_count * sizeof *vars);
        request->vars = vars;
        request->var_cap = cap;
    }
    request->vars[request->var_count++] = (struct lg_var){name, value};
    request->names |= bit_of(name);
    return 0;
}

int lg_request_set(struct lg_request *request, struct lg_slice name, struct lg_slice value)
{
    struct lg_slice value_copy = lg_arena_slice(&request->arena, value);
    if (!value_copy.ptr)
        return -LG_E_NOMEM;
    struct lg_var *var = find(request, name);
    if (var) {
        var->value = value_copy;
        return 0;
    }
    struct lg_slice name_copy = lg_arena_slice(&request->arena, name);
    if (!name_copy.ptr)
        return -LG_E_NOMEM;
    return lg_request_add(request, name_copy, value_copy);
}

/* tchar of RFC 9110 5.6.2. */
static bool is_token(struct lg_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

bool lg_response_is_value(struct lg_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0')
            return false;
    return true;
}

static int grow_headers(struct lg_response *response, struct lg_arena *arena)
{
    if (response->header_count < response->header_cap)
        return 0;
    size_t cap = response->header_cap ? response->header_cap * 2 : HEADERS_FIRST;
    struct lg_header *headers = lg_arena_alloc(arena, cap * sizeof *headers);
    if (!headers)
        return -LG_E_NOMEM;
    if (response->header_count)
        memcpy(headers, response->headers, response->header_count * sizeof *headers);
    response->headers = headers;
    response->header_cap = cap;
    return 0;
}

int lg_response_header(struct lg_response *response, struct lg_arena *arena, struct lg_slice name,
    struct lg_slice value)
{
    if (!is_token(name) || !lg_response_is_value(value))
        return -LG_E_INVALID;
    int err = grow_headers(response, arena);
    if (err)
        return err;
    struct lg_header header = {lg_arena_slice(arena, name), lg_arena_slice(arena, value)};
    if (!header.name.ptr || !header.value.ptr)
        return -LG_E_NOMEM;
    response->headers[response->header_count++] = header;
    return 0;
}
