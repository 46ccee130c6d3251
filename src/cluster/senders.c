/* What was received of whom. Pure; depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/senders.h"

#include <stdlib.h>

int lg_senders_init(struct lg_senders *senders, size_t max)
{
    struct lg_sender *all = calloc(max, sizeof *all);
    if (!all)
        return -LG_E_NOMEM;
    *senders = (struct lg_senders){.all = all, .max = max};
    return 0;
}

void lg_senders_free(struct lg_senders *senders)
{
    if (senders->all)
        explicit_bzero(senders->all, senders->max * sizeof *senders->all);
    free(senders->all);
    *senders = (struct lg_senders){0};
}

struct lg_sender *lg_senders_find(
    const struct lg_senders *senders, const unsigned char uuid[LG_UUID_SIZE])
{
    size_t next = senders->count ? senders->all[senders->last].after : 0;
    if (next < senders->count && memcmp(senders->all[next].uuid, uuid, LG_UUID_SIZE) == 0)
        return &senders->all[next];
    for (size_t i = 0; i < senders->count; i++)
        if (memcmp(senders->all[i].uuid, uuid, LG_UUID_SIZE) == 0)
            return &senders->all[i];
    return NULL;
}

bool lg_sender_is_fresh(const struct lg_sender *sender, uint64_t counter)
{
    if (counter == 0)
        return false;
    if (!sender || counter > sender->top)
        return true;
    uint64_t age = sender->top - counter;
    return age < LG_SENDERS_WINDOW && !(sender->seen >> age & 1);
}

static struct lg_sender *make_room(struct lg_senders *senders)
{
    if (senders->count < senders->max)
        return &senders->all[senders->count++];
    struct lg_sender *oldest = &senders->all[0];
    for (size_t i = 1; i < senders->count; i++)
        if (senders->all[i].used < oldest->used)
            oldest = &senders->all[i];
    return oldest;
}

struct lg_sender *lg_senders_take(
    struct lg_senders *senders, const unsigned char uuid[LG_UUID_SIZE], uint64_t counter)
{
    struct lg_sender *sender = lg_senders_find(senders, uuid);
    if (!sender) {
        sender = make_room(senders);
        *sender = (struct lg_sender){0};
        memcpy(sender->uuid, uuid, LG_UUID_SIZE);
    }
    size_t at = (size_t)(sender - senders->all);
    senders->all[senders->last].after = at;
    senders->last = at;
    sender->used = ++senders->packets;
    if (counter > sender->top) {
        uint64_t step = counter - sender->top;
        sender->seen = step < LG_SENDERS_WINDOW ? sender->seen << step : 0;
        sender->seen |= 1;
        sender->top = counter;
    } else if (sender->top - counter < LG_SENDERS_WINDOW) {
        sender->seen |= (uint64_t)1 << (sender->top - counter);
    }
    return sender;
}

void lg_senders_forget_keys(struct lg_senders *senders)
{
    for (size_t i = 0; i < senders->count; i++) {
        senders->all[i].has_key = false;
        explicit_bzero(senders->all[i].key, LG_KEY_SIZE);
    }
}
