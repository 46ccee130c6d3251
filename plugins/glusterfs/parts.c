/* Which parts of a distributed volume are there, by what it says about its root's
 * whereabouts ("glusterfs.pathinfo"):
 *
 *   ((<DISTRIBUTE:v-dht> <POSIX(/b0):host:/b0/> (<REPLICATE:v-replicate-1> <POSIX...> ...))
 *    (v-dht-layout (v-client-0 0 2147483646) (v-replicate-1 2147483647 4294967295)))
 *
 * Parts that are away are missing in the first list and stand in the second. What
 * does not say DISTRIBUTE has one part. Pure; libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "parts.h"

#include <string.h>

/* Behind the item at `at`, "<...>" or "(...)"; NULL where it does not end. */
static const char *skip_item(const char *at)
{
    unsigned depth = 0;
    do {
        if (*at == '<')
            at = strchr(at, '>');
        else if (*at == '(')
            depth++;
        else if (*at == ')' && depth > 0)
            depth--;
        if (!at || !*at)
            return NULL;
        at++;
    } while (depth > 0);
    return at;
}

/* Of the list that goes on at `at`, up to its ')'. -1 where it is none. */
static int count_items(const char *at)
{
    int count = 0;
    for (;;) {
        at += strspn(at, " ");
        if (*at == ')')
            return count;
        if (*at != '<' && *at != '(')
            return -1;
        at = skip_item(at);
        if (!at)
            return -1;
        count++;
    }
}

int gl_parts_read(const char *pathinfo, unsigned *ret_here, unsigned *ret_all)
{
    static const char mark[] = "<DISTRIBUTE:";
    static const char layout_mark[] = "-layout ";
    const char *at = strstr(pathinfo, mark);
    int here = 1, all = 1;
    if (at) {
        const char *layout = strstr(at, layout_mark);
        const char *items = strchr(at, '>');
        if (!layout || !items)
            return -1;
        here = count_items(items + 1);
        all = count_items(layout + sizeof layout_mark - 1);
    } else if (!strchr(pathinfo, '<')) {
        return -1;
    }
    if (here < 0 || all < here || all == 0)
        return -1;
    *ret_here = (unsigned)here;
    *ret_all = (unsigned)all;
    return 0;
}
