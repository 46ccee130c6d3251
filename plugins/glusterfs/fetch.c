/* A path -> its state, and its bytes where they fit in memory. Handler threads.
 *
 * A small file costs a look-up, a read without opening it, and a look at what it
 * has become meanwhile: only bytes that stood between two equal states are
 * passed on. Volumes with quick-read send the bytes along with the look-up. A
 * file that was seen before and is in the same state costs the look-up alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define READ_TRIES 3
#define LOOK_TRIES 5
#define MAPPED_MIN ((size_t)8192) /* larger ones are sent from a file in memory */
/* What such a file takes besides its bytes, roughly: room for a head, the rest of
 * the last page, what the kernel notes about it. */
#define MAPPED_COST ((size_t)LG_LEAD_SIZE + 4096 + 2048)
/* What gfapi keeps for an object that is open, roughly: an inode with the
 * contexts of a dozen translators. */
#define OBJECT_COST ((size_t)2048)

struct kept {
    struct gl_content base; /* first */
    struct gl_job job;
    struct gl_mount *mount;
    struct gl_session *session;
    glfs_object_t *object; /* held open, so that bricks tell about it */
    size_t taken;          /* bytes of the memory for bodies on their way */
    char *map;             /* of base.file, `mapped` bytes */
    size_t mapped;
    char *bytes; /* behind this, or mapped */
};

static struct kept *kept_of(const struct gl_content *content)
{
    return (struct kept *)(uintptr_t)content;
}

void gl_make_etag(const struct gl_node *node, const struct stat *stat, char ret_etag[GL_ETAG_SIZE])
{
    char hex[2 * GL_GFID_SIZE + 1];
    for (size_t i = 0; i < GL_GFID_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", node->gfid[i]);
    /* Nanoseconds since 1970, which begin anew every 584 years: a tag needs no order. */
    unsigned long long ns = (unsigned long long)stat->st_mtim.tv_sec * 1000000000 +
                            (unsigned long)stat->st_mtim.tv_nsec;
    snprintf(
        ret_etag, GL_ETAG_SIZE, "\"%s-%llx-%llx\"", hex, ns, (unsigned long long)stat->st_size);
}

/* ---- contents ---- */

/* The closing thread: gfapi may block. */
static void free_kept(struct gl_job *job)
{
    struct kept *kept = (struct kept *)(void *)((char *)job - offsetof(struct kept, job));
    if (kept->object)
        glfs_h_close(kept->object);
    if (kept->mapped)
        munmap(kept->map, kept->mapped);
    free(kept->base.lines);
    if (kept->base.file >= 0)
        close(kept->base.file);
    free(kept);
}

/* Loop. */
static void let_go(struct gl_content *content)
{
    struct kept *kept = kept_of(content);
    gl_content_settled(content);
    kept->job.run = free_kept;
    gl_queue_add(&kept->mount->closer, &kept->job);
}

void gl_content_settled(struct gl_content *content)
{
    struct kept *kept = kept_of(content);
    struct gl_mount *mount = kept->mount;
    if (kept->taken)
        gl_memory_give((struct gl_site *)(uintptr_t)mount->site, kept->taken);
    kept->taken = 0;
}

/* Memory that is a file as well, so that the kernel can send it without a copy. A
 * file for each: its pages are never used for anything else, however long the
 * kernel holds on to them. False where there are too many. */
static bool map_bytes(struct kept *kept, size_t size, int files_max)
{
    int file = memfd_create("legatus-cache", MFD_CLOEXEC);
    if (file < 0)
        return false;
    char *map = MAP_FAILED;
    size += LG_LEAD_SIZE;
    if (file < files_max && ftruncate(file, (off_t)size) == 0)
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        close(file);
        return false;
    }
    /* The head's page must go without the others: a larger one would be cleared in
     * part, under the kernel's hands. */
    (void)madvise(map, size, MADV_NOHUGEPAGE);
    kept->base.file = file;
    kept->map = map;
    kept->mapped = size;
    kept->bytes = map + LG_LEAD_SIZE;
    return true;
}

/* NULL when memory is out, or all that is set aside for bodies is on its way. */
static struct kept *new_kept(struct gl_fetch *fetch, size_t size)
{
    struct gl_site *site = (struct gl_site *)(uintptr_t)fetch->mount->site;
    size_t room = size + 1; /* one more shows growth */
    size_t whole = sizeof(struct kept) + (room < MAPPED_MIN ? room : room + MAPPED_COST);
    if (!gl_memory_take(site, whole, false))
        return NULL;
    struct kept *kept = calloc(1, sizeof *kept);
    bool mapped = false;
    if (kept) {
        kept->base.file = -1;
        mapped = room >= MAPPED_MIN && map_bytes(kept, room, site->files_max);
    }
    if (kept && !mapped) {
        struct kept *larger = realloc(kept, sizeof *kept + room);
        if (!larger)
            free(kept);
        kept = larger;
    }
    if (!kept) {
        gl_memory_untake(site, whole);
        return NULL;
    }
    if (!mapped)
        kept->bytes = (char *)(kept + 1);
    kept->base.refs = 1;
    kept->base.charge = whole + OBJECT_COST;
    kept->base.data = kept->bytes;
    kept->base.let_go = let_go;
    kept->mount = fetch->mount;
    kept->session = fetch->session;
    kept->taken = whole;
    return kept;
}

static void make_stamp(const struct gl_node *node, const struct stat *stat, struct gl_stamp *ret)
{
    *ret = (struct gl_stamp){
        .size = stat->st_size,
        .mtim = stat->st_mtim,
        .ctim = stat->st_ctim,
    };
    memcpy(ret->gfid, node->gfid, sizeof ret->gfid);
}

/* ---- reading ---- */

/* `size` bytes, or one more where the file has grown, or fewer; or -1 with errno.
 * Nothing is asked for at the end of the file: quick-read passes that on to the
 * brick, and the look afterwards tells whether there is more. */
static ssize_t read_whole(glfs_t *fs, glfs_object_t *object, char *bytes, size_t size)
{
    size_t got = 0;
    while (got < size) {
        errno = 0;
        ssize_t n = glfs_h_anonymous_read(fs, object, bytes + got, size + 1 - got, (off_t)got);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

enum read { READ_GOOD, READ_AGAIN, READ_TOO_LARGE, READ_FAILED };

/* The bytes of the state *stat; if they are not, *stat becomes the later state. */
static enum read read_once(
    struct gl_fetch *fetch, glfs_object_t *object, struct stat *stat, struct kept **ret_kept)
{
    glfs_t *fs = fetch->session->fs;
    size_t size = (size_t)stat->st_size;
    struct stat after;
    if (size > fetch->mount->site->file_max)
        return READ_TOO_LARGE;
    struct kept *kept = new_kept(fetch, size);
    if (!kept)
        return READ_TOO_LARGE; /* to be sent piece by piece, then */
    *ret_kept = kept;
    if (size == 0)
        return READ_GOOD;
    ssize_t got = read_whole(fs, object, kept->bytes, size);
    errno = got < 0 ? errno : 0;
    if (got < 0 || glfs_h_stat(fs, object, &after))
        return READ_FAILED;
    bool same = (size_t)got == size && after.st_size == stat->st_size &&
                gl_time_eq(&after.st_mtim, &stat->st_mtim) &&
                gl_time_eq(&after.st_ctim, &stat->st_ctim);
    *stat = after;
    return same ? READ_GOOD : READ_AGAIN;
}

/* Where contents are given back. Posted: memory is the loop's to give. */
static void give_back(void *arg)
{
    gl_content_unref(arg);
}

static void drop_kept(struct kept *kept)
{
    if (lg_worker_later(kept->mount->worker, 0, give_back, &kept->base))
        lg_log(LG_LOG_ERROR, GL_ROOM, "out of memory: %zu bytes are lost", kept->taken);
}

/* What every answer with it begins with, made once. */
static void make_lines(struct gl_content *content)
{
    const struct lg_entity entity = {
        .size = content->stamp.size,
        .mtime_s = content->stamp.mtim.tv_sec,
        .etag = content->etag,
        .content_type = content->type,
    };
    content->lines = lg_entity_lines(&entity, &content->lines_len);
    content->charge += content->lines_len;
}

static void read_file(struct gl_fetch *fetch, struct gl_node *node, const char *name)
{
    struct stat stat = node->stat;
    struct kept *kept = NULL;
    enum read verdict = READ_AGAIN;
    for (int i = 0; i < READ_TRIES && verdict == READ_AGAIN; i++) {
        kept = NULL;
        verdict = read_once(fetch, node->object, &stat, &kept);
        int error = errno;
        if (verdict != READ_GOOD && kept)
            drop_kept(kept);
        errno = error;
    }
    if (verdict == READ_FAILED) {
        fetch->error = errno ? errno : EIO;
        return;
    }
    fetch->kind = GL_LARGE; /* or one that never stands still: body.c sends it in pieces */
    fetch->mtime = (struct gl_mtime){true, stat.st_mtim.tv_sec};
    if (verdict != READ_GOOD)
        return;
    fetch->kind = GL_FILE;
    fetch->content = &kept->base;
    make_stamp(node, &stat, &kept->base.stamp);
    kept->base.young = gl_is_young(&stat);
    kept->base.type = lg_worker_mime_type(fetch->mount->worker, name);
    gl_make_etag(node, &stat, kept->base.etag);
    make_lines(&kept->base);
    kept->object = node->object;
    node->object = NULL;
}

/* ---- the path ---- */

static bool is_unchanged(const struct gl_fetch *fetch, const struct gl_node *node)
{
    struct gl_stamp stamp;
    if (!fetch->known || fetch->known->young || kept_of(fetch->known)->session != fetch->session)
        return false;
    make_stamp(node, &node->stat, &stamp);
    return gl_stamp_eq(&stamp, &fetch->known->stamp);
}

static void look_at_file(struct gl_fetch *fetch, struct gl_node *node, const char *name)
{
    fetch->error = gl_access(fetch->session, node);
    if (fetch->error)
        return;
    if (is_unchanged(fetch, node)) {
        fetch->kind = GL_FILE;
        fetch->unchanged = true;
        fetch->mtime = (struct gl_mtime){true, fetch->known->stamp.mtim.tv_sec};
        return;
    }
    read_file(fetch, node, name);
}

int gl_find_index(const struct gl_site *site, struct gl_session *session, const char *path,
    char *ret_path, const char **ret_index, struct gl_node *ret_node)
{
    for (size_t i = 0; i < site->index_count; i++) {
        struct gl_node node;
        int len = snprintf(ret_path, PATH_MAX, "%s/%s", path, site->indexes[i]);
        if (len < 0 || len >= PATH_MAX)
            return ENAMETOOLONG;
        int err = gl_walk(session, ret_path, &node);
        if (!err && S_ISREG(node.stat.st_mode)) {
            *ret_node = node;
            *ret_index = site->indexes[i];
            return 0;
        }
        if (!err)
            gl_node_close(session, &node);
        else if (gl_status(err) != 404)
            return err;
    }
    return ENOENT;
}

static void look_at_directory(struct gl_fetch *fetch, struct gl_node *node)
{
    char path[PATH_MAX];
    size_t len = strlen(fetch->path);
    gl_node_close(fetch->session, node);
    fetch->error =
        gl_find_index(fetch->mount->site, fetch->session, fetch->path, path, &fetch->index, node);
    bool has_slash = len > 0 && fetch->path[len - 1] == '/';
    bool lists = fetch->mount->site->autoindex && gl_status(fetch->error) == 404;
    if (lists)
        fetch->error = 0;
    else if (gl_status(fetch->error) == 404)
        fetch->kind = GL_ABSENT;
    if (fetch->error)
        return;
    if (!has_slash)
        fetch->kind = GL_REDIRECT;
    else if (lists)
        fetch->kind = GL_LARGE; /* whoever lists it looks for himself */
    else
        look_at_file(fetch, node, path);
}

static void note_latency(struct gl_mount *mount, int64_t took_us)
{
    /* 0.25 ms, 1 ms, 4 ms, ... 1 s, more */
    size_t i = 0;
    for (int64_t limit_us = 250; i + 1 < GL_LATENCIES && took_us > limit_us; limit_us *= 4)
        i++;
    lg_count(mount->worker, mount->counters, GL_LATENCY + i, 1);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A file that vanished after it was found: another one may have its name now. */
static bool has_moved(const struct gl_fetch *fetch)
{
    return fetch->error == ESTALE || (fetch->error == ENOENT && fetch->kind != GL_ABSENT);
}

static void look(struct gl_fetch *fetch, struct gl_node *node)
{
    fetch->kind = GL_UNKNOWN;
    fetch->confirmed_ms = gl_now_ms();
    fetch->error = gl_walk(fetch->session, fetch->path, node);
    if (gl_status(fetch->error) == 404)
        fetch->kind = GL_ABSENT;
    if (fetch->error)
        return;
    if (S_ISREG(node->stat.st_mode)) {
        look_at_file(fetch, node, fetch->path);
    } else if (S_ISDIR(node->stat.st_mode)) {
        look_at_directory(fetch, node);
    } else { /* fifos, devices, sockets */
        fetch->error = ENOENT;
        fetch->kind = GL_ABSENT;
    }
}

void gl_fetch_run(struct gl_fetch *fetch)
{
    struct gl_mount *mount = fetch->mount;
    struct gl_node node = {0};
    fetch->began_us = now_us();
    fetch->epoch = atomic_load(&mount->epoch);
    fetch->seq = atomic_load(&mount->doubts.seq);
    fetch->session = atomic_load(&mount->session);
    look(fetch, &node);
    for (int i = 1; i < LOOK_TRIES && has_moved(fetch); i++) {
        gl_node_close(fetch->session, &node);
        look(fetch, &node);
    }
    if (has_moved(fetch))
        fetch->error = ESTALE;
    if (!fetch->error || fetch->kind == GL_ABSENT)
        gl_mount_note(mount, 0);
    if (node.dir) {
        fetch->dir = node.dir;
        node.dir = NULL;
        fetch->linked = node.linked;
        fetch->confirmed_ms = node.confirmed_ms;
    }
    gl_node_close(fetch->session, &node);
    note_latency(mount, now_us() - fetch->began_us);
}
