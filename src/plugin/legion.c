/* What plugins are told of legions, out of shared memory. Must not depend on master.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/legion.h"

#include "legatus/plugin.h"

#include <stdlib.h>

/* The one thing here that belongs to the process: uWSGI's calls name a legion and
 * nothing else. Set once by the worker, before any thread of it runs. */
static struct lg_shm *process_shm;

void lg_plugin_legion_set(struct lg_shm *shm)
{
    process_shm = shm;
}

int lg_legion_is_lord(const char *legion)
{
    return process_shm && legion && lg_shm_is_lord(process_shm, legion);
}

char *lg_legion_lord_scroll(const char *legion, size_t *ret_len)
{
    char *bytes = NULL;
    if (!process_shm || !legion || lg_shm_lord_scroll(process_shm, legion, &bytes, ret_len))
        return NULL;
    return bytes;
}

char *lg_legion_scrolls(const char *legion, size_t *ret_len)
{
    char *bytes = NULL;
    if (!process_shm || !legion || lg_shm_scrolls(process_shm, legion, &bytes, ret_len))
        return NULL;
    return bytes;
}

int uwsgi_legion_i_am_the_lord(char *legion)
{
    return lg_legion_is_lord(legion);
}

char *uwsgi_legion_lord_scroll(char *legion, uint16_t *len)
{
    size_t size = 0;
    char *bytes = lg_legion_lord_scroll(legion, &size);
    if (bytes)
        *len = (uint16_t)size; /* a scroll has at most LG_LEGION_SCROLL_MAX bytes */
    return bytes;
}

char *uwsgi_legion_scrolls(char *legion, uint64_t *len)
{
    size_t size = 0;
    char *bytes = lg_legion_scrolls(legion, &size);
    if (bytes)
        *len = size;
    return bytes;
}
