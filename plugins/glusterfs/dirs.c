/* Directories kept open, and whether they are still what they were.
 *
 * gfapi forgets a directory when its last handle is closed, and bricks tell about
 * changes only those who hold one. A directory that is found again at its path
 * is confirmed; one whose times moved casts doubt on everything seen in it, which
 * is how a rename over a file shows: bricks keep silent about that as long as
 * anybody has the old file open.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_MAX 256 /* directories looked at in one round */

static size_t hash_path(const char *path, size_t len)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)path[i]) * 16777619u;
    return hash % GL_DIR_BUCKETS;
}

/* ---- references ---- */

struct gl_dir *gl_dir_ref(struct gl_dirs *dirs, struct gl_dir *dir)
{
    pthread_mutex_lock(&dirs->lock);
    dir->refs++;
    pthread_mutex_unlock(&dirs->lock);
    return dir;
}

void gl_dir_unref(struct gl_dirs *dirs, struct gl_dir *dir)
{
    while (dir) {
        struct gl_dir *parent = dir->parent;
        pthread_mutex_lock(&dirs->lock);
        bool last = --dir->refs == 0;
        pthread_mutex_unlock(&dirs->lock);
        if (!last)
            return;
        glfs_h_close(dir->object);
        free(dir);
        dir = parent;
    }
}

/* ---- the table ---- */

/* With the lock held. The link that points to the entry, or to NULL. */
static struct gl_dir **find_dir(struct gl_dirs *dirs, const char *path, size_t len)
{
    struct gl_dir **link = &dirs->buckets[hash_path(path, len)];
    while (*link && ((*link)->path_len != len || memcmp((*link)->path, path, len) != 0))
        link = &(*link)->next;
    return link;
}

/* With the lock held. Takes an entry out; the caller unrefs it later. */
static struct gl_dir *take_out(struct gl_dirs *dirs, struct gl_dir **link)
{
    struct gl_dir *dir = *link;
    if (dir) {
        *link = dir->next;
        dirs->count--;
        /* Nobody watches it any more: what was found in it is on its own. */
        atomic_store(&dir->confirmed_ms, 0);
    }
    return dir;
}

/* With the lock held. Any entry of the next bucket that has one. */
static struct gl_dir *evict_dir(struct gl_dirs *dirs)
{
    for (size_t i = 0; i < GL_DIR_BUCKETS; i++) {
        dirs->hand = (dirs->hand + 1) % GL_DIR_BUCKETS;
        if (dirs->buckets[dirs->hand])
            return take_out(dirs, &dirs->buckets[dirs->hand]);
    }
    return NULL;
}

/* With the lock held: it was seen again. True when it may have changed. */
static bool see(struct gl_dir *dir, const struct stat *stat, int64_t began_ms)
{
    bool changed = dir->young || !gl_time_eq(&dir->mtim, &stat->st_mtim) ||
                   !gl_time_eq(&dir->ctim, &stat->st_ctim);
    dir->mtim = stat->st_mtim;
    dir->ctim = stat->st_ctim;
    dir->young = gl_is_young(stat);
    if (atomic_load(&dir->confirmed_ms) < began_ms)
        atomic_store(&dir->confirmed_ms, began_ms);
    return changed;
}

static struct gl_dir *new_dir(struct gl_dir *parent, const char *path, size_t len,
    glfs_object_t *object, const struct stat *stat, int64_t began_ms)
{
    struct gl_dir *dir = calloc(1, sizeof *dir + len + 1);
    if (!dir)
        return NULL;
    dir->parent = parent;
    dir->depth = parent ? parent->depth + 1 : 0;
    dir->object = object;
    dir->key = gl_gfid_key(object);
    dir->path_len = len;
    memcpy(dir->path, path, len);
    (void)see(dir, stat, began_ms);
    return dir;
}

int gl_dirs_init(struct gl_dirs *dirs, struct gl_mount *mount, glfs_object_t *root,
    const struct stat *stat, int64_t began_ms)
{
    pthread_mutex_init(&dirs->lock, NULL);
    dirs->mount = mount;
    dirs->root = new_dir(NULL, "", 0, root, stat, began_ms);
    if (!dirs->root)
        return ENOMEM;
    dirs->root->refs = 1;
    return 0;
}

struct gl_dir *gl_dirs_get(struct gl_dirs *dirs, const char *path, size_t len, int64_t age_ms)
{
    pthread_mutex_lock(&dirs->lock);
    struct gl_dir *dir = *find_dir(dirs, path, len);
    if (dir && gl_now_ms() - atomic_load(&dir->confirmed_ms) > age_ms)
        dir = NULL;
    if (dir)
        dir->refs++;
    pthread_mutex_unlock(&dirs->lock);
    return dir;
}

struct gl_dir *gl_dirs_put(struct gl_dirs *dirs, struct gl_dir *parent, const char *path,
    size_t len, glfs_object_t *object, const struct stat *stat, int64_t began_ms)
{
    struct gl_dir *fresh = new_dir(parent, path, len, object, stat, began_ms);
    struct gl_dir *old = NULL;
    struct gl_dir *victim = NULL;
    bool changed = false;
    if (!fresh) {
        glfs_h_close(object);
        return NULL;
    }
    pthread_mutex_lock(&dirs->lock);
    struct gl_dir **link = find_dir(dirs, path, len);
    struct gl_dir *dir = *link;
    if (dir && dir->key == fresh->key && dir->parent == parent) {
        changed = see(dir, stat, began_ms);
        dir->refs++;
    } else {
        old = take_out(dirs, link);
        victim = dirs->count >= GL_DIRS_MAX ? evict_dir(dirs) : NULL;
        dir = fresh;
        fresh = NULL;
        dir->refs = 2;
        parent->refs++;
        size_t bucket = hash_path(path, len);
        dir->next = dirs->buckets[bucket];
        dirs->buckets[bucket] = dir;
        dirs->count++;
    }
    pthread_mutex_unlock(&dirs->lock);
    if (changed)
        gl_doubt(dirs->mount, dir->key);
    if (fresh) { /* the one that was there goes on */
        glfs_h_close(fresh->object);
        free(fresh);
    }
    gl_dir_unref(dirs, old);
    gl_dir_unref(dirs, victim);
    return dir;
}

/* ---- watching ---- */

/* Is it still at its path? Its parents must have been seen in this round. */
static int look_again(struct gl_dirs *dirs, glfs_t *fs, struct gl_dir *dir)
{
    const char *slash = strrchr(dir->path, '/');
    struct gl_dir *parent = dir->parent ? dir->parent : dir;
    struct stat stat;
    int64_t began_ms = gl_now_ms();
    errno = 0;
    glfs_object_t *object =
        glfs_h_lookupat(fs, parent->object, dir->parent ? slash + 1 : ".", &stat, 0);
    int err = object ? 0 : errno ? errno : EIO;
    bool same = object && gl_gfid_key(object) == dir->key;
    bool gone = false;
    bool changed = false;
    if (object)
        glfs_h_close(object);
    pthread_mutex_lock(&dirs->lock);
    if (same) {
        changed = see(dir, &stat, began_ms);
    } else {
        struct gl_dir **link = find_dir(dirs, dir->path, dir->path_len);
        gone = *link == dir;
        if (gone)
            take_out(dirs, link);
        atomic_store(&dir->confirmed_ms, 0);
    }
    pthread_mutex_unlock(&dirs->lock);
    if (changed)
        gl_doubt(dirs->mount, dir->key);
    if (gone)
        gl_dir_unref(dirs, dir); /* the table's */
    return err;
}

/* From the root down. */
static int confirm(struct gl_dirs *dirs, glfs_t *fs, struct gl_dir *dir, int64_t round_ms)
{
    struct gl_dir *way[GL_DIR_DEPTH + 1];
    size_t count = 0;
    int err = 0;
    for (struct gl_dir *at = dir; at && count <= GL_DIR_DEPTH; at = at->parent)
        way[count++] = at;
    while (count > 0 && !err) {
        struct gl_dir *at = way[--count];
        if (atomic_load(&at->confirmed_ms) < round_ms)
            err = look_again(dirs, fs, at);
        if (!err && atomic_load(&at->confirmed_ms) < round_ms)
            err = ENOENT; /* another one is there now */
    }
    return err;
}

static size_t gather_wanted(struct gl_dirs *dirs, struct gl_dir **list)
{
    size_t count = 0;
    pthread_mutex_lock(&dirs->lock);
    if (atomic_exchange(&dirs->root->wanted, false))
        list[count++] = dirs->root;
    for (size_t i = 0; i < GL_DIR_BUCKETS; i++)
        for (struct gl_dir *dir = dirs->buckets[i]; dir && count < WATCH_MAX; dir = dir->next)
            if (atomic_exchange(&dir->wanted, false) && dir->depth <= GL_DIR_DEPTH)
                list[count++] = dir;
    for (size_t i = 0; i < count; i++)
        list[i]->refs++;
    pthread_mutex_unlock(&dirs->lock);
    return count;
}

int gl_dirs_watch(struct gl_dirs *dirs, glfs_t *fs)
{
    struct gl_dir *list[WATCH_MAX + 1];
    size_t count = gather_wanted(dirs, list);
    int64_t round_ms = gl_now_ms();
    int trouble = 0;
    for (size_t i = 0; i < count; i++) {
        int err = trouble ? 0 : confirm(dirs, fs, list[i], round_ms);
        if (err && gl_status(err) == 503)
            trouble = err;
        gl_dir_unref(dirs, list[i]);
    }
    return trouble;
}
