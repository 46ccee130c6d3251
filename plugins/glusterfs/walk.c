/* A path -> the file it names inside the volume. Handler threads.
 *
 * gfapi could resolve whole paths, but it follows absolute symlinks from the
 * volume's root and stops ".." there without a word. A link that is absolute or
 * leaves the volume means nothing to a web client, so links are followed here,
 * one component at a time. That costs nothing: gfapi asks for every component
 * as well, and forgets the directories when the last handle to them is closed,
 * whereas dirs.c keeps them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARRIVED      (-1)
#define LINKS_MAX    40
#define DIR_AGE_MS   1000 /* at most: gfapi's own md-cache trusts as long by default */
#define DIR_FRESH_MS 100  /* younger than this it is not doubted after ENOENT */

/* ---- the walk ---- */

struct walk {
    struct gl_session *session;
    struct gl_dir *dir; /* where we are */
    char at[PATH_MAX];  /* its path; "" = the root */
    size_t at_len;
    char rest[PATH_MAX]; /* what is still to be walked */
    unsigned links;
    bool linked;
    bool use_kept;
    bool trusted_old; /* a kept directory was used that may be out of date */
    int64_t dir_age_ms;
    int64_t confirmed_ms; /* everything on the way was so at this time at the earliest */
};

static void confirm(struct walk *walk, int64_t when_ms)
{
    if (when_ms < walk->confirmed_ms)
        walk->confirmed_ms = when_ms;
}

static void go_to_root(struct walk *walk)
{
    struct gl_dirs *dirs = &walk->session->dirs;
    gl_dir_unref(dirs, walk->dir);
    walk->dir = gl_dir_ref(dirs, dirs->root);
    walk->at_len = 0;
    walk->at[0] = '\0';
}

/* Begins again from the root with head + "/" + tail; both may point into
 * `walk`. */
static int rewrite(struct walk *walk, const char *head, size_t head_len, const char *tail)
{
    char path[PATH_MAX];
    size_t tail_len = strlen(tail);
    if (++walk->links > LINKS_MAX)
        return ELOOP;
    if (head_len + 1 + tail_len >= sizeof path)
        return ENAMETOOLONG;
    memcpy(path, head, head_len);
    path[head_len] = '/';
    memcpy(path + head_len + 1, tail, tail_len + 1);
    memcpy(walk->rest, path, head_len + 1 + tail_len + 1);
    go_to_root(walk);
    return 0;
}

/* ".." with `tail` after it: up from a directory that is no link. */
static int go_up(struct walk *walk, const char *tail)
{
    char parent[PATH_MAX];
    size_t len = walk->at_len;
    if (len == 0)
        return ENOENT; /* would leave the volume */
    while (len > 0 && walk->at[len - 1] != '/')
        len--;
    len = len > 0 ? len - 1 : 0;
    memcpy(parent, walk->at, len);
    return rewrite(walk, parent, len, tail);
}

/* `tail` is what follows the link's name: empty, or from its slash on. */
static int follow_link(struct walk *walk, glfs_object_t *link, const char *tail)
{
    char target[PATH_MAX];
    size_t tail_len = strlen(tail);
    int len = glfs_h_readlink(walk->session->fs, link, target, sizeof target - 1);
    if (len < 0)
        return errno ? errno : EIO;
    if (len == 0 || target[0] == '/')
        return ENOENT; /* absolute: means something on the writer's machine only */
    if ((size_t)len + tail_len >= sizeof target)
        return ENAMETOOLONG;
    memcpy(target + len, tail, tail_len + 1);
    return rewrite(walk, walk->at, walk->at_len, target);
}

/* walk->at holds the path of the directory up to at_len and, after that, the
 * name of `len` bytes to enter; takes over `object`. */
static int enter(struct walk *walk, size_t len, glfs_object_t *object, const struct stat *stat)
{
    struct gl_dirs *dirs = &walk->session->dirs;
    struct gl_dir *dir = gl_dirs_put(
        dirs, walk->dir, walk->at, walk->at_len + 1 + len, object, stat, walk->confirmed_ms);
    if (!dir)
        return ENOMEM;
    gl_dir_unref(dirs, walk->dir);
    walk->dir = dir;
    walk->at_len += 1 + len;
    return 0;
}

/* As enter, if the directory is kept; else false. */
static bool enter_kept(struct walk *walk, size_t len)
{
    struct gl_dirs *dirs = &walk->session->dirs;
    if (!walk->use_kept)
        return false;
    struct gl_dir *dir = gl_dirs_get(dirs, walk->at, walk->at_len + 1 + len, walk->dir_age_ms);
    if (!dir)
        return false;
    int64_t confirmed_ms = atomic_load(&dir->confirmed_ms);
    confirm(walk, confirmed_ms);
    if (gl_now_ms() - confirmed_ms > DIR_FRESH_MS)
        walk->trusted_old = true;
    gl_dir_unref(dirs, walk->dir);
    walk->dir = dir;
    walk->at_len += 1 + len;
    return true;
}

/* The end of the path. */
static int arrive(struct walk *walk, glfs_object_t *object, const struct stat *stat,
    const char *tail, struct gl_node *ret_node)
{
    if (tail[0] == '/' && !S_ISDIR(stat->st_mode)) {
        glfs_h_close(object);
        return ENOTDIR;
    }
    struct gl_node node = {
        .object = object,
        .stat = *stat,
        .linked = walk->linked,
        .confirmed_ms = walk->confirmed_ms,
    };
    if (glfs_h_extract_handle(object, node.gfid, sizeof node.gfid) != sizeof node.gfid) {
        glfs_h_close(object);
        return EIO;
    }
    node.dir = gl_dir_ref(&walk->session->dirs, walk->dir);
    *ret_node = node;
    return ARRIVED;
}

void gl_node_close(struct gl_session *session, struct gl_node *node)
{
    if (node->object)
        glfs_h_close(node->object);
    gl_dir_unref(&session->dirs, node->dir);
    *node = (struct gl_node){0};
}

/* Asks the volume for the name at walk->at + at_len. As step. */
static int look_up(
    struct walk *walk, size_t len, const char *tail, bool last, struct gl_node *ret_node)
{
    glfs_object_t *dir = walk->dir->object;
    char *slash = walk->at + walk->at_len;
    struct stat stat;
    errno = 0;
    glfs_object_t *object = glfs_h_lookupat(walk->session->fs, dir, slash + 1, &stat, 0);
    if (!object)
        return errno ? errno : EIO;
    if (S_ISLNK(stat.st_mode)) {
        *slash = '\0';
        walk->linked = true;
        int err = follow_link(walk, object, tail);
        glfs_h_close(object);
        return err;
    }
    if (last)
        return arrive(walk, object, &stat, tail, ret_node);
    if (!S_ISDIR(stat.st_mode)) {
        glfs_h_close(object);
        return ENOTDIR;
    }
    int err = enter(walk, len, object, &stat);
    if (!err)
        memmove(walk->rest, tail, strlen(tail) + 1);
    return err;
}

/* What is no content in a volume's root: gfapi shows its innards in .meta, the
 * volume's options and passwords among them; bricks keep their books in
 * .glusterfs (and refuse it, which is nobody's business either). */
static bool is_hidden(const char *name, size_t len)
{
    return (len == 5 && memcmp(name, ".meta", 5) == 0) ||
           (len == 10 && memcmp(name, ".glusterfs", 10) == 0);
}

/* Walks one component; `tail` is what follows it in walk->rest. 0 to go on,
 * ARRIVED with *ret_node, or an errno. */
static int step(
    struct walk *walk, const char *name, size_t len, const char *tail, struct gl_node *ret_node)
{
    char *slash = walk->at + walk->at_len;
    bool last = tail[strspn(tail, "/")] == '\0';
    if (len > NAME_MAX || walk->at_len + 1 + len >= sizeof walk->at)
        return ENAMETOOLONG;
    if (walk->at_len == 0 && is_hidden(name, len))
        return ENOENT;
    slash[0] = '/';
    memcpy(slash + 1, name, len);
    slash[1 + len] = '\0';
    if (!last && enter_kept(walk, len)) {
        memmove(walk->rest, tail, strlen(tail) + 1);
        return 0;
    }
    return look_up(walk, len, tail, last, ret_node);
}

static int find_root(struct walk *walk, struct gl_node *ret_node)
{
    struct stat stat;
    errno = 0;
    glfs_object_t *object = glfs_h_lookupat(walk->session->fs, walk->session->root, ".", &stat, 0);
    if (!object)
        return errno ? errno : EIO;
    int err = arrive(walk, object, &stat, "", ret_node);
    return err == ARRIVED ? 0 : err;
}

static int walk_path(struct walk *walk, struct gl_node *ret_node)
{
    for (;;) {
        const char *name = walk->rest + strspn(walk->rest, "/");
        size_t len = strcspn(name, "/");
        const char *tail = name + len;
        int err = 0;
        if (len == 0 || (len == 1 && name[0] == '.')) {
            if (tail[strspn(tail, "/")] != '\0')
                memmove(walk->rest, tail, strlen(tail) + 1);
            else if (walk->at_len == 0)
                return find_root(walk, ret_node);
            else /* "dir/." or a link that ends so: name the directory itself */
                err = rewrite(walk, walk->at, walk->at_len, "");
        } else if (len == 2 && memcmp(name, "..", 2) == 0) {
            err = go_up(walk, tail);
        } else {
            err = step(walk, name, len, tail, ret_node);
        }
        if (err)
            return err == ARRIVED ? 0 : err;
    }
}

int gl_walk(struct gl_session *session, const char *path, struct gl_node *ret_node)
{
    struct gl_dirs *dirs = &session->dirs;
    int64_t half_ms = dirs->mount->site->cache_age_ms / 2;
    size_t len = strlen(path);
    struct walk walk;
    if (len >= sizeof walk.rest)
        return ENAMETOOLONG;
    for (bool use_kept = true;; use_kept = false) {
        walk.session = session;
        walk.dir = gl_dir_ref(dirs, dirs->root);
        walk.dir_age_ms = half_ms < DIR_AGE_MS ? half_ms : DIR_AGE_MS;
        walk.confirmed_ms = gl_now_ms();
        walk.linked = false;
        walk.at[0] = '\0';
        walk.at_len = 0;
        walk.links = 0;
        walk.use_kept = use_kept;
        walk.trusted_old = false;
        memcpy(walk.rest, path, len + 1);
        int err = walk_path(&walk, ret_node);
        gl_dir_unref(dirs, walk.dir);
        /* A kept directory may have been renamed away: look again, from the root. */
        bool doubt = use_kept && (err == ESTALE || (walk.trusted_old && err == ENOENT));
        if (!doubt)
            return err == ENOENT ? gl_health_absent(session) : err;
    }
}
