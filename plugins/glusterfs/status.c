/* What a failed call means: for the client a status, for the log a volume that
 * went away or is back. Depends on nothing but errno and the log.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <string.h>

#define SAY_AGAIN_MS   10000
#define FLUSH_AGAIN_MS 1000 /* for errors that may be one file's own, or go on for long */

int gl_status(int error)
{
    switch (error) {
    case 0:
        return 200;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case EPERM:
        return 403;
    case ESTALE: /* the file was replaced each time we looked */
    case GL_EPART:
    case ENOTCONN:
    case EIO:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ESHUTDOWN:
        return 503;
    default:
        return 500;
    }
}

static void note_away(struct gl_mount *mount, int error)
{
    int here = GL_HERE;
    int64_t now_ms = gl_now_ms();
    int64_t said_ms = atomic_load(&mount->away_said_ms);
    bool say = said_ms == 0 || now_ms - said_ms > SAY_AGAIN_MS;
    if (!atomic_compare_exchange_strong(&mount->away, &here, say ? GL_AWAY : GL_AWAY_UNSAID))
        return;
    atomic_store(&mount->away_since_ms, now_ms);
    if (!say)
        return;
    atomic_store(&mount->away_said_ms, now_ms);
    lg_log(LG_LOG_WARN, GL_ROOM, "volume \"%s\" is away (%s): 503 until it is back",
        mount->options->volume, strerror(error));
}

void gl_mount_remind(struct gl_mount *mount)
{
    int unsaid = GL_AWAY_UNSAID;
    int64_t now_ms = gl_now_ms();
    if (atomic_load_explicit(&mount->away, memory_order_relaxed) != GL_AWAY_UNSAID ||
        now_ms - atomic_load(&mount->away_said_ms) <= SAY_AGAIN_MS ||
        !atomic_compare_exchange_strong(&mount->away, &unsaid, GL_AWAY))
        return;
    atomic_store(&mount->away_said_ms, now_ms);
    lg_log(LG_LOG_WARN, GL_ROOM, "volume \"%s\" is away again, since %lld ms: 503 until it is back",
        mount->options->volume, (long long)(now_ms - atomic_load(&mount->away_since_ms)));
}

void gl_mount_note(struct gl_mount *mount, int error)
{
    int status = gl_status(error);
    int64_t now_ms = gl_now_ms();
    if (error == ESTALE)
        return;
    int64_t flushed_ms = atomic_load(&mount->flushed_ms);
    bool own = error == EIO || error == GL_EPART || status == 500;
    if (error && (status == 503 || status == 500) &&
        (!own || now_ms - flushed_ms > FLUSH_AGAIN_MS)) {
        atomic_store(&mount->flushed_ms, now_ms);
        gl_mount_flush(mount);
    }
    /* EIO may be one file's split brain or one bad disk, and a part is not the volume:
     * no sign that it is away. */
    if (error == EIO || error == GL_EPART)
        return;
    if (error && status == 503) {
        note_away(mount, error);
        return;
    }
    if (atomic_load_explicit(&mount->away, memory_order_relaxed) == GL_HERE)
        return;
    if (atomic_exchange(&mount->away, GL_HERE) == GL_AWAY)
        lg_log(LG_LOG_INFO, GL_ROOM, "volume \"%s\" is back after %lld ms", mount->options->volume,
            (long long)(gl_now_ms() - atomic_load(&mount->away_since_ms)));
}
