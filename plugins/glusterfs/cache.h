/* The worker's file cache: a path of a mount -> what it was when last looked at.
 * Pure: memory in, memory out; no clock, no gfapi, no plugin.h. One thread, the
 * loop.
 *
 * An entry is what is known about a path; its content (bytes and what HTTP says
 * about them) is an object of its own, because answers on their way out borrow
 * it longer than the entry may live. All of it is counted: entries, contents
 * that were admitted, until the last borrower is done, and the table itself. The
 * sum never passes the limit, except for entries that are pinned by a fetch
 * (they hold no content of their own making, and their number is the fetches').
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GL_CACHE_H
#define GL_CACHE_H

#include <legatus/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define GL_GFID_SIZE 16
#define GL_ETAG_SIZE 80

struct gl_cache; /* opaque */

/* Which file, and which state of it. */
struct gl_stamp {
    unsigned char gfid[GL_GFID_SIZE];
    int64_t size; /* bytes */
    struct timespec mtim, ctim;
};

/* Times of files may be any: as nanoseconds in 64 bits they would end in 2262. */
static inline bool gl_time_eq(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool gl_stamp_eq(const struct gl_stamp *a, const struct gl_stamp *b);

/* When a file was changed, to the second; any second is one, 0 as well. */
struct gl_mtime {
    bool known; /* it is a file that was seen */
    int64_t s;  /* Unix time */
};

struct gl_content {
    struct gl_cache *cache; /* that counts it; NULL = none */
    unsigned refs;
    size_t charge; /* bytes in all, set by its maker */
    struct gl_stamp stamp;
    bool young; /* it had changed so shortly before that its times may not show the next change */
    const char *type; /* Content-Type; lives as long as the process */
    char etag[GL_ETAG_SIZE];
    char *lines; /* of an answer's head, ready-made; NULL = none */
    size_t lines_len;
    const char *data; /* stamp.size bytes */
    int file;         /* that maps them from LG_LEAD_SIZE on; -1 = none */
    struct lg_lead lead;
    /* The last reference is gone. */
    void (*let_go)(struct gl_content *content);
};

enum gl_kind {
    GL_UNKNOWN,  /* nobody has looked yet, or looking failed */
    GL_FILE,     /* content */
    GL_ABSENT,   /* 404 */
    GL_LARGE,    /* a file that is not kept in memory, or a directory to be listed */
    GL_REDIRECT, /* a directory with an index, asked for without its slash */
};

struct gl_entry {
    struct gl_entry *next;          /* in its bucket */
    struct gl_entry *older, *newer; /* in the order of eviction */
    uint64_t hash;
    struct gl_content *content; /* GL_FILE only */
    enum gl_kind kind;
    unsigned mount;
    bool pinned;
    bool used; /* since eviction last looked */
    /* The owner's: what it is worth, and who is looking at it again. Zeroed when
     * the entry is made; forget (see gl_cache_new) undoes them. */
    bool hot; /* asked for since it was checked */
    int64_t checked_ms;
    uint64_t epoch;
    uint64_t seq;
    void *session;
    void *dir;
    void *fetch;
    const char *index; /* what answers for the directory `path`; lives as long as the process */
    struct gl_mtime mtime;
    bool judged;         /* the two below are known */
    bool varies;         /* it may have encoded neighbours */
    const void *expires; /* the rule for it */
    size_t charge;
    size_t path_len;
    char path[]; /* NUL-terminated */
};

/* `limit` in bytes; 0 = nothing stays. `seed` is secret and makes the hash
 * unpredictable. forget(entry, arg) is called before an entry is freed. NULL
 * when memory is out. */
struct gl_cache *gl_cache_new(
    size_t limit, uint64_t seed, void (*forget)(struct gl_entry *entry, void *arg), void *arg);
/* Entries must not be pinned, contents not borrowed. NULL is fine. */
void gl_cache_free(struct gl_cache *cache);

/* NULL when there is none. Marks it as used. */
struct gl_entry *gl_cache_find(
    struct gl_cache *cache, unsigned mount, const char *path, size_t path_len);
/* A new entry, GL_UNKNOWN and pinned. The path must not be there yet. NULL when
 * memory is out. */
struct gl_entry *gl_cache_add(
    struct gl_cache *cache, unsigned mount, const char *path, size_t path_len);
/* A pinned entry is not evicted. */
void gl_cache_pin(struct gl_cache *cache, struct gl_entry *entry);
/* The opposite; GL_UNKNOWN entries are removed, and others too where there is no
 * room for them. The entry may be gone afterwards. */
void gl_cache_unpin(struct gl_cache *cache, struct gl_entry *entry);

/* Replaces what a pinned entry knows; gives up the content it had. `content` is
 * taken over, one reference of it, when `kind` is GL_FILE, and NULL otherwise.
 * Returns false when there is no room for the content: the entry is GL_UNKNOWN
 * then and the reference is still the caller's. */
bool gl_cache_set(
    struct gl_cache *cache, struct gl_entry *entry, enum gl_kind kind, struct gl_content *content);

void gl_content_ref(struct gl_content *content);
void gl_content_unref(void *content);

/* For statistics. */
size_t gl_cache_bytes(const struct gl_cache *cache); /* pinned entries included */
size_t gl_cache_count(const struct gl_cache *cache);

#endif
