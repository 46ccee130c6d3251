/* Shared memory: worker slots and legion snapshots. Must not depend on server
 * or cluster.
 *
 * A legion has two buffers and a version: the writer fills the one that is not
 * current and then moves the version on. A reader copies and looks again; a
 * writer that died half-way leaves the last whole snapshot behind, so the master
 * still learns whether a title was held. Words are relaxed atomics with fences
 * (C11 7.17.4), which makes the copy free of data races.
 * SPDX-License-Identifier: Apache-2.0 */
#include "shm/shm.h"

#include "shm/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* newer than some libc's headers */
#endif

#define READ_TRIES_MAX 64
#define WORD_COUNT     ((sizeof(struct lg_shm_legion) + 7) / 8)

_Static_assert(offsetof(struct lg_shm_legion, name) == 0, "is_lord reads a prefix");

struct legion_slot {
    _Atomic uint64_t version; /* 0 = nothing published; low bit = current buffer */
    _Atomic int32_t hook_group;
    _Atomic uint64_t words[2][WORD_COUNT];
};

/* What only the master, the legion process and its hooks' leaders write. */
struct guarded {
    _Atomic uint32_t worker_end; /* slots from there on were never in use */
    struct legion_slot legions[];
};

struct lg_shm {
    unsigned worker_count;
    unsigned legion_count;
    struct lg_shm_worker *workers; /* shared mappings */
    struct guarded *guarded;
    int guarded_fd; /* of that memory, from which it can be mapped to be read only */
    int call_fds[2];
};

static void *map_shared(size_t size)
{
    /* Not reserved: slots that nobody uses cost address space only. */
    void *at = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static size_t guarded_size(const struct lg_shm *shm)
{
    return sizeof *shm->guarded + shm->legion_count * sizeof *shm->guarded->legions;
}

/* Sealed: who maps it anew can never write it, nor make it shorter. */
static int map_guarded(struct lg_shm *shm)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    size_t size = guarded_size(shm);
    int fd = memfd_create("legatus", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 */
        fd = memfd_create("legatus", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    shm->guarded_fd = fd;
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return -LG_E_SYS;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return -LG_E_NOMEM;
    shm->guarded = at;
    return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -LG_E_SYS : 0;
}

int lg_shm_only_read(struct lg_shm *shm)
{
    void *at = mmap(
        shm->guarded, guarded_size(shm), PROT_READ, MAP_SHARED | MAP_FIXED, shm->guarded_fd, 0);
    if (at == MAP_FAILED)
        return -LG_E_SYS;
    close(shm->guarded_fd);
    shm->guarded_fd = -1;
    return 0;
}

int lg_shm_new(unsigned workers, unsigned legions, struct lg_shm **ret_shm)
{
    if (workers > LG_SHM_WORKERS_MAX || legions > LG_LEGIONS_MAX)
        return -LG_E_LIMIT;
    struct lg_shm *shm = calloc(1, sizeof *shm);
    if (!shm)
        return -LG_E_NOMEM;
    shm->call_fds[0] = shm->call_fds[1] = -1;
    shm->guarded_fd = -1;
    shm->worker_count = workers;
    shm->legion_count = legions;
    shm->workers = map_shared(workers * sizeof *shm->workers);
    int err = shm->workers ? map_guarded(shm) : -LG_E_NOMEM;
    if (!err)
        err = lg_calls_open(shm->call_fds);
    if (err) {
        lg_shm_free(shm);
        return err;
    }
    *ret_shm = shm;
    return 0;
}

int *lg_shm_call_fds(struct lg_shm *shm)
{
    return shm->call_fds;
}

static void unmap(void *at, size_t size)
{
    if (at)
        munmap(at, size ? size : 1);
}

void lg_shm_free(struct lg_shm *shm)
{
    if (!shm)
        return;
    unmap(shm->workers, shm->worker_count * sizeof *shm->workers);
    unmap(shm->guarded, guarded_size(shm));
    if (shm->guarded_fd >= 0)
        close(shm->guarded_fd);
    lg_calls_close(shm->call_fds);
    free(shm);
}

unsigned lg_shm_worker_count(const struct lg_shm *shm)
{
    return shm->worker_count;
}

struct lg_shm_worker *lg_shm_worker(struct lg_shm *shm, unsigned index)
{
    return index < shm->worker_count ? &shm->workers[index] : NULL;
}

/* ---- How workers are ---------------------------------------------------------------- */

void lg_shm_set_worker_end(struct lg_shm *shm, unsigned end)
{
    if (end <= shm->worker_count && end > atomic_load(&shm->guarded->worker_end))
        atomic_store(&shm->guarded->worker_end, end);
}

static bool is_serving(const struct lg_shm_worker *slot, uint64_t now_ms)
{
    return atomic_load_explicit(&slot->ready, memory_order_acquire) &&
           atomic_load_explicit(&slot->state, memory_order_relaxed) != LG_WORKER_DRAINING &&
           now_ms <
               atomic_load_explicit(&slot->beat_ms, memory_order_relaxed) + LG_SHM_BEAT_LATE_MS;
}

unsigned lg_shm_workers_serving(struct lg_shm *shm, uint64_t now_ms)
{
    unsigned count = 0;
    unsigned end = atomic_load(&shm->guarded->worker_end);
    for (unsigned i = 0; i < end; i++)
        count += is_serving(&shm->workers[i], now_ms);
    return count;
}

static void read_name(_Atomic uint64_t *words, char out[LG_SHM_HEALTH_NAME_SIZE])
{
    for (size_t i = 0; i < LG_SHM_HEALTH_NAME_SIZE / 8; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        memcpy(out + 8 * i, &word, 8);
    }
    out[LG_SHM_HEALTH_NAME_SIZE - 1] = '\0';
}

/* "glusterfs" is about "glusterfs:/", "glusterfs:/a" about itself alone. */
static bool is_about(struct lg_slice asked, const char *name)
{
    size_t len = asked.len < LG_SHM_HEALTH_NAME_SIZE - 1 ? asked.len : LG_SHM_HEALTH_NAME_SIZE - 1;
    bool is_whole = memchr(asked.ptr, ':', asked.len) != NULL;
    return strncmp(name, asked.ptr, len) == 0 && name[len] == (is_whole ? '\0' : ':');
}

static void add_health(
    struct lg_shm_worker *slot, struct lg_slice name, uint64_t now_ms, struct lg_shm_health *health)
{
    char text[LG_SHM_HEALTH_NAME_SIZE];
    bool told = false, ill = false;
    uint32_t count = atomic_load_explicit(&slot->health_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count && i < LG_PLUGIN_HEALTHS_MAX; i++) {
        read_name(slot->healths[i].name, text);
        if (!is_about(name, text))
            continue;
        uint32_t at = atomic_load_explicit(&slot->healths[i].counter, memory_order_relaxed);
        bool well = at < LG_PLUGIN_COUNTERS_MAX &&
                    now_ms < atomic_load_explicit(&slot->plugin[at], memory_order_relaxed);
        told = true;
        if (!well && !health->first[0])
            memcpy(health->first, text, sizeof text);
        ill = ill || !well;
    }
    health->workers++;
    health->told += told;
    health->ill += ill;
}

void lg_shm_health(
    struct lg_shm *shm, struct lg_slice name, uint64_t now_ms, struct lg_shm_health *ret_health)
{
    *ret_health = (struct lg_shm_health){0};
    unsigned end = atomic_load(&shm->guarded->worker_end);
    for (unsigned i = 0; i < end; i++)
        if (is_serving(&shm->workers[i], now_ms))
            add_health(&shm->workers[i], name, now_ms, ret_health);
}

/* ---- Legions -------------------------------------------------------------------------- */

unsigned lg_shm_legion_count(const struct lg_shm *shm)
{
    return shm->legion_count;
}

_Atomic int32_t *lg_shm_hook_group(struct lg_shm *shm, unsigned index)
{
    return index < shm->legion_count ? &shm->guarded->legions[index].hook_group : NULL;
}

void lg_shm_legion_publish(struct lg_shm *shm, unsigned index, const struct lg_shm_legion *state)
{
    if (index >= shm->legion_count)
        return;
    struct legion_slot *slot = &shm->guarded->legions[index];
    uint64_t next = atomic_load_explicit(&slot->version, memory_order_relaxed) + 1;
    _Atomic uint64_t *words = slot->words[next & 1];
    const char *bytes = (const char *)state;
    size_t used =
        state->scrolls_len < sizeof state->scrolls ? state->scrolls_len : sizeof state->scrolls;
    size_t size = offsetof(struct lg_shm_legion, scrolls) + used;
    /* Whoever sees a word written below also sees the version before it. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i * 8 < size; i++) {
        uint64_t word = 0;
        size_t left = size - i * 8;
        memcpy(&word, bytes + i * 8, left < 8 ? left : 8);
        atomic_store_explicit(&words[i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&slot->version, next, memory_order_release);
}

static void copy_words(_Atomic uint64_t *words, size_t offset, size_t size, void *out)
{
    for (size_t done = 0; done < size;) {
        uint64_t word = atomic_load_explicit(&words[(offset + done) / 8], memory_order_relaxed);
        size_t skip = (offset + done) % 8;
        size_t part = 8 - skip < size - done ? 8 - skip : size - done;
        memcpy((char *)out + done, (const char *)&word + skip, part);
        done += part;
    }
}

struct piece {
    size_t offset; /* into struct lg_shm_legion, bytes */
    size_t size;
    void *out;
};

/* Copies the pieces out of one and the same snapshot. */
static bool read_pieces(struct legion_slot *slot, const struct piece *pieces, size_t count)
{
    for (int tries = 0; tries < READ_TRIES_MAX; tries++) {
        uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
        if (version == 0)
            return false;
        for (size_t i = 0; i < count; i++)
            copy_words(slot->words[version & 1], pieces[i].offset, pieces[i].size, pieces[i].out);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&slot->version, memory_order_relaxed) == version)
            return true;
    }
    return false;
}

bool lg_shm_legion_read(struct lg_shm *shm, unsigned index, struct lg_shm_legion *ret_state)
{
    if (index >= shm->legion_count)
        return false;
    struct piece whole = {0, sizeof *ret_state, ret_state};
    return read_pieces(&shm->guarded->legions[index], &whole, 1);
}

static uint64_t boottime_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct name {
    char text[sizeof((struct lg_shm_legion *)0)->name];
};

/* Reads the pieces, the first of which is the legion's name, of the legion of that
 * name. */
static bool read_of(struct lg_shm *shm, const char *name, const struct name *found,
    const struct piece *pieces, size_t count)
{
    for (unsigned i = 0; i < shm->legion_count; i++)
        if (read_pieces(&shm->guarded->legions[i], pieces, count) &&
            strncmp(found->text, name, sizeof found->text) == 0)
            return true;
    return false;
}

#define PIECE(field, out)                                                                          \
    {                                                                                              \
        offsetof(struct lg_shm_legion, field), sizeof((struct lg_shm_legion *)0)->field, (out)     \
    }

bool lg_shm_title_read(struct lg_shm *shm, unsigned index, struct lg_shm_title *ret_title)
{
    struct lg_shm_title title = {0};
    const struct piece pieces[] = {PIECE(epoch, &title.epoch),
        PIECE(lease_until_ms, &title.lease_until_ms), PIECE(unlord_at_ms, &title.unlord_at_ms),
        PIECE(is_falling, &title.is_falling)};
    if (index >= shm->legion_count ||
        !read_pieces(&shm->guarded->legions[index], pieces, sizeof pieces / sizeof *pieces))
        return false;
    *ret_title = title;
    return true;
}

bool lg_shm_is_lord(struct lg_shm *shm, const char *name)
{
    struct name found;
    int64_t since_s = 0;
    uint64_t lease_ms = 0;
    const struct piece pieces[] = {
        PIECE(name, found.text), PIECE(lord_since_s, &since_s), PIECE(lease_until_ms, &lease_ms)};
    return read_of(shm, name, &found, pieces, sizeof pieces / sizeof *pieces) && since_s != 0 &&
           boottime_ms() < lease_ms;
}

/* All scrolls; the Lord's is *ret_at, *ret_len of them. */
static int read_scrolls(struct lg_shm *shm, const char *name, char **ret_all, uint32_t *ret_size,
    uint32_t *ret_at, uint32_t *ret_len)
{
    struct name found;
    char *all = malloc(LG_SHM_SCROLLS_SIZE);
    if (!all)
        return -LG_E_NOMEM;
    const struct piece pieces[] = {PIECE(name, found.text), PIECE(lord_scroll_at, ret_at),
        PIECE(lord_scroll_len, ret_len), PIECE(scrolls_len, ret_size), PIECE(scrolls, all)};
    if (read_of(shm, name, &found, pieces, sizeof pieces / sizeof *pieces) &&
        *ret_size <= LG_SHM_SCROLLS_SIZE && *ret_at <= *ret_size &&
        *ret_len <= *ret_size - *ret_at) {
        *ret_all = all;
        return 0;
    }
    free(all);
    return -LG_E_NOTFOUND;
}

static int give(char *all, size_t at, size_t len, char **ret_bytes, size_t *ret_len)
{
    if (len == 0) {
        free(all);
        return -LG_E_NOTFOUND;
    }
    memmove(all, all + at, len);
    char *fitting = realloc(all, len);
    *ret_bytes = fitting ? fitting : all;
    *ret_len = len;
    return 0;
}

int lg_shm_lord_scroll(struct lg_shm *shm, const char *name, char **ret_bytes, size_t *ret_len)
{
    char *all;
    uint32_t size, at, len;
    int err = read_scrolls(shm, name, &all, &size, &at, &len);
    return err ? err : give(all, at, len, ret_bytes, ret_len);
}

int lg_shm_scrolls(struct lg_shm *shm, const char *name, char **ret_bytes, size_t *ret_len)
{
    char *all;
    uint32_t size, at, len;
    int err = read_scrolls(shm, name, &all, &size, &at, &len);
    return err ? err : give(all, 0, size, ret_bytes, ret_len);
}
