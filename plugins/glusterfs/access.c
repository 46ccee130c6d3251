/* May this process read a file? Handler threads.
 *
 * Bricks check permissions when a file is opened. But the bytes of a small file
 * come along with its look-up (quick-read) and an open may be put off until the
 * first read (open-behind), so neither tells in time: the question is asked.
 *
 * With every look, for nothing that a look shows stands for the answer. A mode
 * that lets everybody read may lie beside an ACL that does not; setting an ACL
 * leaves the ctime that bricks report (features.ctime) as it was. The ACL does come
 * along with the look-up, but libgfapi passes on only what md-cache has kept, and
 * that cannot be told to keep attributes without keeping times as well, which would
 * then answer the second look of fetch.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>

int gl_access(struct gl_session *session, const struct gl_node *node)
{
    errno = 0;
    if (glfs_h_access(session->fs, node->object, R_OK))
        return errno ? errno : EIO;
    return 0;
}
