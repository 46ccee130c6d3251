/* Which mount a request is for. Pure: strings in, a choice out.
 *
 * UWSGI_APPID names a mountpoint, else SCRIPT_NAME does, and PATH_INFO is opened
 * as it stands. Where the request names none, the longest mountpoint that is a
 * prefix of PATH_INFO is taken and cut off, so that several mounts work with
 * nothing in front.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <string.h>

static bool is_root(const struct gl_mount_options *mount)
{
    return mount->mountpoint_len == 1;
}

static const struct gl_mount_options *find_exact(const struct gl_site *site, const char *name)
{
    size_t len = strlen(name);
    while (len > 1 && name[len - 1] == '/')
        len--;
    for (size_t i = 0; i < site->mount_count; i++) {
        const struct gl_mount_options *mount = &site->mounts[i];
        if (mount->mountpoint_len == len && memcmp(mount->mountpoint, name, len) == 0)
            return mount;
    }
    return NULL;
}

/* "/foo" is a prefix of "/foo" and "/foo/x", not of "/fooz". */
static bool is_prefix(const struct gl_mount_options *mount, const char *path)
{
    if (is_root(mount))
        return true;
    if (strncmp(path, mount->mountpoint, mount->mountpoint_len) != 0)
        return false;
    char next = path[mount->mountpoint_len];
    return next == '\0' || next == '/';
}

static const struct gl_mount_options *find_prefix(const struct gl_site *site, const char *path)
{
    const struct gl_mount_options *best = NULL;
    for (size_t i = 0; i < site->mount_count; i++) {
        const struct gl_mount_options *mount = &site->mounts[i];
        if (is_prefix(mount, path) && (!best || mount->mountpoint_len > best->mountpoint_len))
            best = mount;
    }
    return best;
}

static bool choose_prefix(const struct gl_site *site, const char *path, struct gl_choice *ret)
{
    const struct gl_mount_options *mount = find_prefix(site, path);
    if (!mount)
        return false;
    ret->mount = mount;
    ret->cut = !is_root(mount);
    ret->path = ret->cut ? path + mount->mountpoint_len : path;
    return true;
}

static bool choose_named(
    const struct gl_site *site, const char *name, const char *path, struct gl_choice *ret)
{
    const struct gl_mount_options *mount = find_exact(site, name);
    if (!mount && !site->no_default_app)
        mount = find_exact(site, "/");
    if (!mount)
        return false;
    *ret = (struct gl_choice){.mount = mount, .path = path};
    return true;
}

bool gl_choose(
    const struct gl_site *site, const struct gl_asked *asked, struct gl_choice *ret_choice)
{
    const char *path = asked->path_info ? asked->path_info : "";
    if (asked->appid && asked->appid[0])
        return choose_named(site, asked->appid, path, ret_choice);

    if (asked->manages_script_name) {
        struct gl_choice choice;
        if (choose_prefix(site, path, &choice) && choice.cut) {
            *ret_choice = choice;
            return true;
        }
    }
    if (asked->script_name && asked->script_name[0])
        return choose_named(site, asked->script_name, path, ret_choice);
    return choose_prefix(site, path, ret_choice);
}
