/* The memory for bodies on their way, of a worker: a bound, and those who wait for
 * some to come back. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

bool gl_memory_take(struct gl_site *site, size_t size, bool least)
{
    struct gl_memory *memory = &site->memory;
    size_t limit = least ? memory->limit : memory->limit / 2;
    size_t now = atomic_load(&memory->used);
    while (size <= limit && now <= limit - size)
        if (atomic_compare_exchange_weak(&memory->used, &now, now + size))
            return true;
    return false;
}

void gl_memory_untake(struct gl_site *site, size_t size)
{
    atomic_fetch_sub(&site->memory.used, size);
}

void gl_memory_give(struct gl_site *site, size_t size)
{
    struct gl_memory *memory = &site->memory;
    atomic_fetch_sub(&memory->used, size);
    /* As many as there is room for: those who gave it may have had large blocks. */
    while (memory->thirsty && atomic_load(&memory->used) + GL_MEMORY_LEAST <= memory->limit) {
        struct gl_thirst *first = memory->thirsty;
        gl_memory_wait_not(first);
        first->wake(first);
        if (first->link) /* another was faster, or the process is out of memory */
            return;
    }
}

void gl_memory_wait(struct gl_site *site, struct gl_thirst *thirst)
{
    struct gl_memory *memory = &site->memory;
    if (thirst->link)
        return;
    thirst->next = NULL;
    thirst->memory = memory;
    struct gl_thirst **end = &memory->thirsty;
    if (memory->thirsty)
        end = memory->thirsty_tail;
    *end = thirst;
    thirst->link = end;
    memory->thirsty_tail = &thirst->next;
}

void gl_memory_wait_not(struct gl_thirst *thirst)
{
    if (!thirst->link)
        return;
    *thirst->link = thirst->next;
    if (thirst->next)
        thirst->next->link = thirst->link;
    else
        thirst->memory->thirsty_tail = thirst->link;
    thirst->link = NULL;
}
