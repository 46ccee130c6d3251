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

bool gl_health_is_whole(struct gl_session *session, glfs_object_t *directory)
{
    unsigned here = 0, all = 0;
    char *text = malloc(PATHINFO_SIZE);
    if (!text)
        return false;
    int len =
        glfs_h_getxattrs(session->fs, directory, "glusterfs.pathinfo", text, PATHINFO_SIZE - 1);
    text[len > 0 ? len : 0] = '\0';
    int err = gl_parts_read(text, &here, &all);
    free(text);
    if (err)
        return false;
    atomic_store(&session->parts, all);
    return here == all;
}

int gl_health_absent(struct gl_session *session)
{
    struct gl_mount *mount = session->dirs.mount;
    if (atomic_load(&session->parts) <= 1 || gl_health_is_whole(session, session->root))
        return ENOENT;
    lg_log_limited(&mount->partial, LG_LOG_WARN, GL_ROOM,
        "a part of volume \"%s\" is away: what may lie there is 503", mount->options->volume);
    return GL_EPART;
}
