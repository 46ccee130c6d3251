/* Inside cluster/: the scrolls of a legion's members. The election knows nothing
 * of them; an entry is as good as the member it belongs to.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_SCROLLS_H
#define LG_CLUSTER_SCROLLS_H

#include "legion/legion.h"
#include "shm/shm.h"

struct lg_scroll {
    char uuid[LG_LEGION_UUID_LEN + 1];
    size_t len; /* never 0 */
    char text[LG_LEGION_SCROLL_MAX];
};

struct lg_scrolls {
    struct lg_scroll *all; /* LG_MEMBERS_MAX of them; touched only as they are used */
    size_t count;
    size_t size_max; /* bytes of one (legion-scroll-max-size); longer ones are cut */
    size_t list_max; /* bytes of all (legion-scroll-list-max-size) */
};

/* 0 or -LG_E_NOMEM. */
int lg_scrolls_init(struct lg_scrolls *scrolls, size_t size_max, size_t list_max) LG_MUST_USE;
void lg_scrolls_limit(struct lg_scrolls *scrolls, size_t size_max, size_t list_max);
void lg_scrolls_free(struct lg_scrolls *scrolls);
/* What a member has announced; "" = it has none. True when that is news. */
bool lg_scrolls_take(struct lg_scrolls *scrolls, const struct lg_legion_message *message);
/* Writes the list, our own and the Lord's first, and where each member's is.
 * `out` has its own scroll and its members. `lord` is a uuid, "" = nobody. */
void lg_scrolls_publish(struct lg_scrolls *scrolls, const char *lord, struct lg_shm_legion *out);

#endif
