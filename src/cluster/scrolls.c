/* The scrolls of a legion's members. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/scrolls.h"

#include <stdlib.h>

int lg_scrolls_init(struct lg_scrolls *scrolls, size_t size_max, size_t list_max)
{
    *scrolls = (struct lg_scrolls){.all = calloc(LG_MEMBERS_MAX, sizeof *scrolls->all)};
    lg_scrolls_limit(scrolls, size_max, list_max);
    return scrolls->all ? 0 : -LG_E_NOMEM;
}

void lg_scrolls_limit(struct lg_scrolls *scrolls, size_t size_max, size_t list_max)
{
    scrolls->size_max = size_max < LG_LEGION_SCROLL_MAX ? size_max : LG_LEGION_SCROLL_MAX;
    scrolls->list_max = list_max < LG_SHM_SCROLLS_SIZE ? list_max : LG_SHM_SCROLLS_SIZE;
}

void lg_scrolls_free(struct lg_scrolls *scrolls)
{
    free(scrolls->all);
    *scrolls = (struct lg_scrolls){0};
}

static struct lg_scroll *find(const struct lg_scrolls *scrolls, const char *uuid)
{
    for (size_t i = 0; i < scrolls->count; i++)
        if (memcmp(scrolls->all[i].uuid, uuid, LG_LEGION_UUID_LEN) == 0)
            return &scrolls->all[i];
    return NULL;
}

static void drop(struct lg_scrolls *scrolls, struct lg_scroll *scroll)
{
    struct lg_scroll *last = &scrolls->all[--scrolls->count];
    if (scroll != last)
        *scroll = *last;
}

bool lg_scrolls_take(struct lg_scrolls *scrolls, const struct lg_legion_message *message)
{
    struct lg_slice text = message->scroll;
    struct lg_scroll *scroll = find(scrolls, message->uuid.ptr);
    text.len = text.len < scrolls->size_max ? text.len : scrolls->size_max;
    if (message->dead)
        text.len = 0;
    if (text.len == 0) {
        if (scroll)
            drop(scrolls, scroll);
        return scroll != NULL;
    }
    if (scroll && lg_slice_eq(text, lg_slice_from(scroll->text, scroll->len)))
        return false;
    if (!scroll && scrolls->count == LG_MEMBERS_MAX)
        return false; /* until the next lg_scrolls_publish clears it */
    if (!scroll)
        scroll = &scrolls->all[scrolls->count++];
    memcpy(scroll->uuid, message->uuid.ptr, LG_LEGION_UUID_LEN);
    memcpy(scroll->text, text.ptr, text.len);
    scroll->len = text.len;
    return true;
}

static bool is_member(const struct lg_shm_legion *out, const char *uuid)
{
    for (uint32_t i = 0; i < out->member_count; i++)
        if (memcmp(out->members[i].uuid, uuid, LG_LEGION_UUID_LEN) == 0)
            return true;
    return false;
}

/* Appends u16le length and bytes; where the bytes are, 0 when there is no room. */
static uint32_t append(struct lg_shm_legion *out, size_t list_max, const char *text, size_t len)
{
    if (len == 0 || len > UINT16_MAX || out->scrolls_len + len + 2 > list_max)
        return 0;
    char *at = out->scrolls + out->scrolls_len;
    at[0] = (char)(len & 0xff);
    at[1] = (char)(len >> 8);
    memcpy(at + 2, text, len);
    out->scrolls_len += (uint32_t)len + 2;
    return out->scrolls_len - (uint32_t)len;
}

void lg_scrolls_publish(struct lg_scrolls *scrolls, const char *lord, struct lg_shm_legion *out)
{
    for (size_t i = scrolls->count; i-- > 0;)
        if (!is_member(out, scrolls->all[i].uuid))
            drop(scrolls, &scrolls->all[i]);
    out->scrolls_len = out->lord_scroll_at = out->lord_scroll_len = 0;
    uint32_t own_at = append(out, scrolls->list_max, out->scroll, out->scroll_len);
    const struct lg_scroll *first = lord[0] ? find(scrolls, lord) : NULL;
    if (first) {
        out->lord_scroll_at = append(out, scrolls->list_max, first->text, first->len);
        out->lord_scroll_len = out->lord_scroll_at ? (uint32_t)first->len : 0;
    } else if (lord[0] && strcmp(lord, out->uuid) == 0 && own_at) {
        out->lord_scroll_at = own_at;
        out->lord_scroll_len = out->scroll_len;
    }
    for (uint32_t i = 0; i < out->member_count; i++) {
        struct lg_shm_member *member = &out->members[i];
        const struct lg_scroll *scroll = find(scrolls, member->uuid);
        member->scroll_at = !scroll ? 0
                            : scroll == first
                                ? out->lord_scroll_at
                                : append(out, scrolls->list_max, scroll->text, scroll->len);
        member->scroll_len = member->scroll_at ? (uint32_t)scroll->len : 0;
    }
}
