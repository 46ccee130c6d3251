/* Is the volume there, and all of it? Asked of the bricks themselves: gfapi's memory
 * (md-cache) may go on knowing a root whose bricks are all gone, for ten minutes with
 * cache-invalidation. Attributes that nobody has heard of it does not keep. Any thread
 * that may block.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"
#include "parts.h"

#include <errno.h>
#include <stdlib.h>

#define PATHINFO_SIZE ((size_t)256 << 10) /* a brick takes 100 to 200 bytes */

int gl_health_look(struct gl_session *session)
{
    char value[16];
    errno = 0;
    if (glfs_h_getxattrs(session->fs, session->root, "user.legatus", value, sizeof value) >= 0)
        return 0;
    switch (errno) {
    case ENODATA:
    case ERANGE:
    case EOPNOTSUPP:
    case EACCES: /* a brick has said so */
    case EPERM:
        return 0;
    default:
        return errno ? errno : EIO;
    }
}

/* 0; or an errno, EIO where the answer cannot be read. */
static int count_parts(
    struct gl_session *session, glfs_object_t *directory, unsigned *ret_here, unsigned *ret_all)
{
    char *text = malloc(PATHINFO_SIZE);
    if (!text)
        return ENOMEM;
    errno = 0;
    int len =
        glfs_h_getxattrs(session->fs, directory, "glusterfs.pathinfo", text, PATHINFO_SIZE - 1);
    int err = len < 0 && errno ? errno : EIO;
    text[len > 0 ? len : 0] = '\0';
    if (gl_parts_read(text, ret_here, ret_all) == 0)
        err = 0;
    free(text);
    if (!err)
        atomic_store(&session->parts, *ret_all);
    return err;
}

bool gl_health_is_whole(struct gl_session *session, glfs_object_t *directory)
{
    unsigned here = 0, all = 0;
    return count_parts(session, directory, &here, &all) == 0 && here == all;
}

int gl_health_absent(struct gl_session *session)
{
    struct gl_mount *mount = session->dirs.mount;
    unsigned here = 0, all = 0;
    if (atomic_load(&session->parts) <= 1)
        return ENOENT;
    int err = count_parts(session, session->root, &here, &all);
    /* Who may not read the root is told nothing: not every 404 is to be a 503. */
    if (err == EACCES || err == EPERM || (!err && here == all))
        return ENOENT;
    lg_log_limited(&mount->partial, LG_LOG_WARN, GL_ROOM,
        "a part of volume \"%s\" is away: what may lie there is 503", mount->options->volume);
    return GL_EPART;
}
