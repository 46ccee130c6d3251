/* The worker's file cache; see cache.h. libc only.
 *
 * Eviction is second chance: entries stand in the order they came; one that was
 * used since the hand last passed goes to the front again. A hit thus only sets
 * a flag.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#define MALLOC_COST    16   /* of the allocator, per piece */
#define BYTES_PER_SLOT 4096 /* of the limit, for each bucket of the table */
#define SLOTS_MIN      64
#define SLOTS_MAX      ((size_t)1 << 20)

struct gl_cache {
    struct gl_entry **slots;
    size_t slot_count; /* a power of two */
    size_t limit;
    size_t bytes;  /* the table, entries that are not pinned, contents */
    size_t pinned; /* bytes of pinned entries without their contents */
    size_t held;   /* of `bytes`: contents that eviction cannot free now */
    size_t count;
    uint64_t seed;
    struct gl_entry *oldest, *newest; /* those not pinned */
    void (*forget)(struct gl_entry *entry, void *arg);
    void *arg;
};

bool gl_stamp_eq(const struct gl_stamp *a, const struct gl_stamp *b)
{
    return memcmp(a->gfid, b->gfid, sizeof a->gfid) == 0 && a->size == b->size &&
           gl_time_eq(&a->mtim, &b->mtim) && gl_time_eq(&a->ctim, &b->ctim);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_key(const struct gl_cache *cache, unsigned mount, const char *path, size_t len)
{
    uint64_t hash = mix(cache->seed, ((uint64_t)mount << 32) ^ len);
    uint64_t word = 0;
    for (; len >= sizeof word; path += sizeof word, len -= sizeof word) {
        memcpy(&word, path, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, path, len);
    return mix(mix(hash, word), cache->seed);
}

static struct gl_entry **slot_of(const struct gl_cache *cache, uint64_t hash)
{
    return &cache->slots[hash & (cache->slot_count - 1)];
}

struct gl_cache *gl_cache_new(
    size_t limit, uint64_t seed, void (*forget)(struct gl_entry *entry, void *arg), void *arg)
{
    struct gl_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    cache->slot_count = SLOTS_MIN;
    while (cache->slot_count < limit / BYTES_PER_SLOT && cache->slot_count < SLOTS_MAX)
        cache->slot_count *= 2;
    cache->slots = calloc(cache->slot_count, sizeof *cache->slots);
    if (!cache->slots) {
        free(cache);
        return NULL;
    }
    cache->limit = limit;
    cache->bytes = sizeof *cache + cache->slot_count * sizeof *cache->slots + 2 * MALLOC_COST;
    cache->seed = seed;
    cache->forget = forget;
    cache->arg = arg;
    return cache;
}

/* ---- contents ---- */

void gl_content_ref(struct gl_content *content)
{
    content->refs++;
}

void gl_content_unref(void *arg)
{
    struct gl_content *content = arg;
    if (--content->refs > 0)
        return;
    if (content->cache) { /* evicted while it was borrowed */
        content->cache->bytes -= content->charge;
        content->cache->held -= content->charge;
    }
    content->let_go(content);
}

/* The entry's share of its content; the entry may be pinned or not. */
static void drop_content(struct gl_cache *cache, struct gl_entry *entry)
{
    struct gl_content *content = entry->content;
    entry->content = NULL;
    if (!content)
        return;
    if (!entry->pinned)
        cache->held += content->charge; /* until it is released, perhaps right now */
    gl_content_unref(content);
}

/* ---- the order of eviction ---- */

static void link_newest(struct gl_cache *cache, struct gl_entry *entry)
{
    entry->older = cache->newest;
    entry->newer = NULL;
    if (cache->newest)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static void unlink_order(struct gl_cache *cache, struct gl_entry *entry)
{
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    entry->older = entry->newer = NULL;
}

/* Frees an entry that is not pinned. */
static void remove_entry(struct gl_cache *cache, struct gl_entry *entry)
{
    struct gl_entry **link = slot_of(cache, entry->hash);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    unlink_order(cache, entry);
    drop_content(cache, entry);
    cache->bytes -= entry->charge;
    cache->count--;
    if (cache->forget)
        cache->forget(entry, cache->arg);
    free(entry);
}

/* Makes room for `need` bytes more. False when there is no use in trying. */
static bool make_room(struct gl_cache *cache, size_t need)
{
    size_t fixed = sizeof *cache + cache->slot_count * sizeof *cache->slots + 2 * MALLOC_COST;
    if (cache->limit < fixed || need > cache->limit - fixed ||
        cache->held > cache->limit - fixed - need)
        return false;
    while (cache->bytes + need > cache->limit && cache->oldest) {
        struct gl_entry *entry = cache->oldest;
        if (entry->used) {
            entry->used = false;
            unlink_order(cache, entry);
            link_newest(cache, entry);
        } else {
            remove_entry(cache, entry);
        }
    }
    return cache->bytes + need <= cache->limit;
}

/* ---- entries ---- */

struct gl_entry *gl_cache_find(
    struct gl_cache *cache, unsigned mount, const char *path, size_t path_len)
{
    uint64_t hash = hash_key(cache, mount, path, path_len);
    struct gl_entry *entry = *slot_of(cache, hash);
    while (entry && (entry->hash != hash || entry->mount != mount || entry->path_len != path_len ||
                        memcmp(entry->path, path, path_len) != 0))
        entry = entry->next;
    if (entry)
        entry->used = true;
    return entry;
}

struct gl_entry *gl_cache_add(
    struct gl_cache *cache, unsigned mount, const char *path, size_t path_len)
{
    size_t size = sizeof(struct gl_entry) + path_len + 1;
    struct gl_entry *entry = calloc(1, size);
    if (!entry)
        return NULL;
    entry->hash = hash_key(cache, mount, path, path_len);
    entry->mount = mount;
    entry->pinned = true;
    entry->charge = size + MALLOC_COST;
    entry->path_len = path_len;
    memcpy(entry->path, path, path_len);
    struct gl_entry **slot = slot_of(cache, entry->hash);
    entry->next = *slot;
    *slot = entry;
    cache->pinned += entry->charge;
    cache->count++;
    return entry;
}

void gl_cache_pin(struct gl_cache *cache, struct gl_entry *entry)
{
    if (entry->pinned)
        return;
    unlink_order(cache, entry);
    entry->pinned = true;
    cache->bytes -= entry->charge;
    cache->pinned += entry->charge;
    if (entry->content)
        cache->held += entry->content->charge;
}

void gl_cache_unpin(struct gl_cache *cache, struct gl_entry *entry)
{
    if (!entry->pinned)
        return;
    entry->pinned = false;
    cache->pinned -= entry->charge;
    cache->bytes += entry->charge;
    if (entry->content)
        cache->held -= entry->content->charge;
    link_newest(cache, entry);
    if (entry->kind == GL_UNKNOWN)
        remove_entry(cache, entry);
    else if (cache->bytes > cache->limit && !make_room(cache, 0))
        /* Only what is held is left, or the limit is for nothing at all. */
        while (cache->bytes > cache->limit && cache->oldest)
            remove_entry(cache, cache->oldest);
}

bool gl_cache_set(
    struct gl_cache *cache, struct gl_entry *entry, enum gl_kind kind, struct gl_content *content)
{
    drop_content(cache, entry);
    entry->kind = kind;
    if (!content)
        return true;
    /* The entry itself must find room as well once it is no longer pinned. */
    if (!make_room(cache, content->charge + entry->charge)) {
        entry->kind = GL_UNKNOWN;
        return false;
    }
    content->cache = cache;
    cache->bytes += content->charge;
    cache->held += content->charge; /* the entry is pinned */
    entry->content = content;
    return true;
}

void gl_cache_free(struct gl_cache *cache)
{
    if (!cache)
        return;
    while (cache->oldest)
        remove_entry(cache, cache->oldest);
    free(cache->slots);
    free(cache);
}

size_t gl_cache_bytes(const struct gl_cache *cache)
{
    return cache->bytes + cache->pinned;
}

size_t gl_cache_count(const struct gl_cache *cache)
{
    return cache->count;
}
