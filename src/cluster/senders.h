/* Inside cluster/: what was received of whom, so that nothing is taken twice.
 *
 * A window per sender's uuid (RFC 4303, 3.4.3): a counter is fresh when it is
 * above all taken so far, or among the last LG_SENDERS_WINDOW and not taken yet.
 * Only packets that proved to be authentic get into the table, so strangers
 * cannot fill it. It is bounded: the sender that was silent for longest goes.
 * Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_SENDERS_H
#define LG_CLUSTER_SENDERS_H

#include "base/err.h"
#include "cluster/kdf.h"

#define LG_SENDERS_MAX    1024 /* uuids: members, and lives of theirs that ended */
#define LG_SENDERS_WINDOW 64   /* counters */
#define LG_UUID_SIZE      16   /* bytes of a binary uuid */

struct lg_sender {
    unsigned char uuid[LG_UUID_SIZE];
    uint64_t top;  /* the largest counter taken; 0 = none */
    uint64_t seen; /* bit i: top - i was taken */
    size_t after;  /* who was heard after it: they speak in turn */
    uint64_t used; /* when it was last heard, in packets */
    unsigned secret;
    bool has_key; /* of `secret` */
    unsigned char key[LG_KEY_SIZE];
};

struct lg_senders {
    struct lg_sender *all;
    size_t count, max;
    size_t last; /* who was heard */
    uint64_t packets;
};

/* 0 or -LG_E_NOMEM. */
int lg_senders_init(struct lg_senders *senders, size_t max) LG_MUST_USE;
void lg_senders_free(struct lg_senders *senders);

/* NULL for one that is not known. */
struct lg_sender *lg_senders_find(
    const struct lg_senders *senders, const unsigned char uuid[LG_UUID_SIZE]);
/* `sender` may be NULL: nothing was taken of it yet. */
bool lg_sender_is_fresh(const struct lg_sender *sender, uint64_t counter);
/* Takes an authentic and fresh packet. The sender's entry, made where needed. */
struct lg_sender *lg_senders_take(
    struct lg_senders *senders, const unsigned char uuid[LG_UUID_SIZE], uint64_t counter);
/* The keys kept with the senders are of secrets that may be no more. */
void lg_senders_forget_keys(struct lg_senders *senders);

#endif
