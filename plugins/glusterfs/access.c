/* May this process read a file? Handler threads.
 *
 * Bricks check permissions when a file is opened. But the bytes of a small file
 * come along with its look-up (quick-read) and an open may be put off until the
 * first read (open-behind), so neither tells in time. The question is asked, and
 * a yes is remembered for the file as it is: whatever changes permissions
 * changes ctime. We are always the same user.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <string.h>

void gl_allowed_init(struct gl_allowed *allowed)
{
    pthread_mutex_init(&allowed->lock, NULL);
}

static struct gl_allowed_file *find_slot(struct gl_allowed *allowed, const struct gl_node *node)
{
    uint32_t hash; /* a gfid is random already */
    memcpy(&hash, node->gfid, sizeof hash);
    return &allowed->files[hash % GL_ALLOWED_MAX];
}

static bool is_known(struct gl_allowed *allowed, const struct gl_node *node)
{
    pthread_mutex_lock(&allowed->lock);
    const struct gl_allowed_file *file = find_slot(allowed, node);
    bool known = memcmp(file->gfid, node->gfid, sizeof file->gfid) == 0 &&
                 file->changed.tv_sec == node->stat.st_ctim.tv_sec &&
                 file->changed.tv_nsec == node->stat.st_ctim.tv_nsec;
    pthread_mutex_unlock(&allowed->lock);
    return known;
}

int gl_access(struct gl_session *session, const struct gl_node *node)
{
    struct gl_allowed *allowed = &session->allowed;
    if (is_known(allowed, node))
        return 0;
    errno = 0;
    if (glfs_h_access(session->fs, node->object, R_OK))
        return errno ? errno : EIO;
    pthread_mutex_lock(&allowed->lock);
    struct gl_allowed_file *file = find_slot(allowed, node);
    memcpy(file->gfid, node->gfid, sizeof file->gfid);
    file->changed = node->stat.st_ctim;
    pthread_mutex_unlock(&allowed->lock);
    return 0;
}
