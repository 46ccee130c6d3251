/* An arena: many small allocations, one free. libc only.
 *
 * Not thread-safe: one owner at a time. Memory is aligned for any type and is
 * NOT zeroed. Everything allocated is valid until lg_arena_free or
 * lg_arena_reset.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_ARENA_H
#define LG_BASE_ARENA_H

#include "base/slice.h"

#include <stdarg.h>

struct lg_arena_block;

struct lg_arena {
    struct lg_arena_block *blocks; /* newest first */
    size_t used;                   /* bytes handed out of the newest block */
    size_t total;                  /* bytes held in all blocks */
    size_t limit;                  /* bytes it may hold at most; 0 = LG_ARENA_MAX */
};

/* `limit` bounds the memory held, bytes; 0 = LG_ARENA_MAX. Allocates nothing. */
void lg_arena_init(struct lg_arena *arena, size_t limit);
/* NULL when `limit` would be passed or memory is out. */
void *lg_arena_alloc(struct lg_arena *arena, size_t size);
/* A NUL-terminated copy; NULL as above. */
char *lg_arena_copy(struct lg_arena *arena, const void *bytes, size_t len);
/* A NUL-terminated copy as a slice (len excludes the NUL); ptr NULL as above. */
struct lg_slice lg_arena_slice(struct lg_arena *arena, struct lg_slice s);
/* printf into the arena; NULL as above. */
char *lg_arena_printf(struct lg_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *lg_arena_vprintf(struct lg_arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Forgets everything but keeps the first block for the next user. */
void lg_arena_reset(struct lg_arena *arena);
/* Frees everything; the arena may be used again. NULL is fine. */
void lg_arena_free(struct lg_arena *arena);

#endif
