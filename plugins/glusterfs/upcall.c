/* What bricks tell about changes made by others (upcalls), and what is made of
 * it: doubts. Any thread; nothing here waits for the loop, so that a doubt holds
 * from the moment the brick's word arrived.
 *
 * What upcalls do not tell, and who does: dirs.c watches for renames over open
 * files; store.c renews what bricks have forgotten about, and believes nothing
 * that is older than the last failed call.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <string.h>

#define RENEW_MS_MAX 30000 /* half of a brick's usual memory of us */
#define RENEW_MS_MIN 500

/* ---- doubts ---- */

uint64_t gl_bytes_key(const unsigned char gfid[GL_GFID_SIZE])
{
    uint64_t words[2];
    memcpy(words, gfid, sizeof words);
    uint64_t key = (words[0] ^ (words[1] >> 7)) * 0x9e3779b97f4a7c15u ^ words[1];
    return key ? key : 1;
}

uint64_t gl_gfid_key(glfs_object_t *object)
{
    unsigned char gfid[GL_GFID_SIZE];
    if (!object || glfs_h_extract_handle(object, gfid, sizeof gfid) != sizeof gfid)
        return 0;
    return gl_bytes_key(gfid);
}

static size_t place(uint64_t key)
{
    return (size_t)(key >> 20) % GL_DOUBTS;
}

void gl_doubt(struct gl_mount *mount, uint64_t key)
{
    _Atomic uint64_t *last = &mount->doubts.last[place(key)];
    uint64_t seq = atomic_fetch_add(&mount->doubts.seq, 1) + 1;
    uint64_t seen = atomic_load(last);
    while (seen < seq && !atomic_compare_exchange_weak(last, &seen, seq))
        ;
}

bool gl_doubted(const struct gl_mount *mount, uint64_t key, uint64_t since_seq)
{
    return atomic_load(&mount->doubts.last[place(key)]) > since_seq;
}

void gl_mount_flush(struct gl_mount *mount)
{
    atomic_fetch_add(&mount->epoch, 1);
    gl_count(mount, GL_FLUSHES, 1);
}

/* ---- events ---- */

static void learn_trust(struct gl_mount *mount, uint64_t expire_s)
{
    int64_t renew_ms = (int64_t)expire_s * 1000 / 2;
    if (renew_ms > RENEW_MS_MAX || expire_s == 0)
        renew_ms = RENEW_MS_MAX;
    if (renew_ms < RENEW_MS_MIN)
        renew_ms = RENEW_MS_MIN;
    atomic_store(&mount->renew_ms, renew_ms);
    if (atomic_exchange(&mount->trusted, true))
        return;
    lg_count_set(mount->worker, mount->counters, GL_TRUSTED, 1);
    lg_log(LG_LOG_INFO, GL_ROOM,
        "volume \"%s\" tells about changes (upcalls): what is cached holds until then, and is "
        "renewed every %lld s",
        mount->options->volume, (long long)renew_ms / 1000);
}

static void doubt_object(struct gl_mount *mount, glfs_object_t *object)
{
    uint64_t key = gl_gfid_key(object);
    if (key)
        gl_doubt(mount, key);
}

/* gfapi's thread. A session that was replaced may still hear of its volume, which
 * need not be the one that is served now. */
static void on_event(glfs_upcall_t *event, void *arg)
{
    struct gl_session *session = arg;
    struct gl_mount *mount = session->dirs.mount;
    glfs_upcall_inode_t *inode = glfs_upcall_get_event(event);
    if (inode && atomic_load(&mount->session) == session &&
        glfs_upcall_get_reason(event) == GLFS_UPCALL_INODE_INVALIDATE) {
        uint64_t flags = glfs_upcall_inode_get_flags(inode);
        if (flags & ~(uint64_t)GFAPI_UP_ATIME) {
            doubt_object(mount, glfs_upcall_inode_get_object(inode));
            doubt_object(mount, glfs_upcall_inode_get_pobject(inode));
            doubt_object(mount, glfs_upcall_inode_get_oldpobject(inode));
            gl_count(mount, GL_EVENTS, 1);
        }
        learn_trust(mount, glfs_upcall_inode_get_expire(inode));
    }
    glfs_free(event);
}

void gl_upcall_start(struct gl_mount *mount, struct gl_session *session)
{
    const struct gl_site *site = mount->site;
    bool trusted = false;
    atomic_store(&mount->renew_ms, RENEW_MS_MAX);
    if (site->upcall != GL_UPCALL_OFF && site->cache_size > 0)
        trusted = glfs_upcall_register(
                      session->fs, GLFS_EVENT_INODE_INVALIDATE, on_event, session) >= 0 &&
                  site->upcall == GL_UPCALL_ON;
    atomic_store(&mount->trusted, trusted);
    lg_count_set(mount->worker, mount->counters, GL_TRUSTED, trusted);
    if (site->cache_size == 0)
        return;
    lg_log(LG_LOG_INFO, GL_ROOM, "volume \"%s\": what is cached holds %s", mount->options->volume,
        trusted ? "until the volume tells about changes (glusterfs-upcall = on)"
                : "for glusterfs-cache-age, then it is looked at again");
}
