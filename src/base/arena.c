/* An arena: blocks chained newest first. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/limits.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

struct lg_arena_block {
    struct lg_arena_block *older;
    size_t size; /* bytes in `bytes` */
    alignas(max_align_t) char bytes[];
};

void lg_arena_init(struct lg_arena *arena, size_t limit)
{
    *arena = (struct lg_arena){.limit = limit ? limit : LG_ARENA_MAX};
}

static bool add_block(struct lg_arena *arena, size_t need)
{
    size_t size = need > LG_ARENA_BLOCK ? need : LG_ARENA_BLOCK;
    size_t limit = arena->limit ? arena->limit : LG_ARENA_MAX;
    if (size > limit || arena->total > limit - size)
        return false;
    struct lg_arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return false;
    block->older = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->used = 0;
    arena->total += size;
    return true;
}

void *lg_arena_alloc(struct lg_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX - align)
        return NULL;
    size = (size + align - 1) & ~(align - 1);
    if (!arena->blocks || arena->blocks->size - arena->used < size)
        if (!add_block(arena, size))
            return NULL;
    void *at = arena->blocks->bytes + arena->used;
    arena->used += size;
    return at;
}

char *lg_arena_copy(struct lg_arena *arena, const void *bytes, size_t len)
{
    char *copy = len == SIZE_MAX ? NULL : lg_arena_alloc(arena, len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

struct lg_slice lg_arena_slice(struct lg_arena *arena, struct lg_slice s)
{
    char *copy = lg_arena_copy(arena, s.ptr, s.len);
    return (struct lg_slice){copy, copy ? s.len : 0};
}

char *lg_arena_vprintf(struct lg_arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = len < 0 ? NULL : lg_arena_alloc(arena, (size_t)len + 1);
    if (text)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

char *lg_arena_printf(struct lg_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = lg_arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

void lg_arena_reset(struct lg_arena *arena)
{
    while (arena->blocks && arena->blocks->older) {
        struct lg_arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    arena->used = 0;
    arena->total = arena->blocks ? arena->blocks->size : 0;
}

void lg_arena_free(struct lg_arena *arena)
{
    if (!arena)
        return;
    while (arena->blocks) {
        struct lg_arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    arena->used = 0;
    arena->total = 0;
}
