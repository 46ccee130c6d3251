/* Inside cluster/: sealing as the uwsgi wire has it. Any cipher of `openssl enc`;
 * the key is the secret itself, the initialisation vector never changes, nothing
 * is authenticated. It keeps curious eyes out, not attackers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_CIPHER_H
#define LG_CLUSTER_CIPHER_H

#include "base/err.h"
#include "base/slice.h"

struct lg_cipher; /* opaque; one thread at a time */

#define LG_CIPHER_GROWTH_MAX 32 /* bytes by which sealing may lengthen */

#define LG_CIPHER_NONCE_SIZE    12
#define LG_CIPHER_TAG_SIZE      16
#define LG_CIPHER_AEAD_KEY_SIZE 32 /* at most; a shorter key is the head of one */

/* 0; -LG_E_CONF with the reason and what was expected in `why` (unknown cipher,
 * one `openssl enc` does not have, legacy provider absent, empty secret);
 * -LG_E_NOMEM. */
int lg_cipher_new(struct lg_slice name, struct lg_slice secret, struct lg_slice iv,
    struct lg_cipher **ret_cipher, char *why, size_t why_size) LG_MUST_USE;
void lg_cipher_free(struct lg_cipher *cipher);
bool lg_cipher_is_aead(const struct lg_cipher *cipher);
/* Another secret from now on; nothing to an AEAD, whose keys come with each call. */
void lg_cipher_use(struct lg_cipher *cipher, struct lg_slice secret);

/* `out` must not overlap `in`. 0 with *ret_len; -LG_E_LIMIT when `size` is less
 * than in.len + LG_CIPHER_GROWTH_MAX; -LG_E_CRYPTO (open: a wrong key or a
 * stranger's bytes). */
int lg_cipher_seal(struct lg_cipher *cipher, struct lg_slice in, char *out, size_t size,
    size_t *ret_len) LG_MUST_USE;
int lg_cipher_open(struct lg_cipher *cipher, struct lg_slice in, char *out, size_t size,
    size_t *ret_len) LG_MUST_USE;

/* Of an AEAD: what goes with one packet. */
struct lg_aead {
    const unsigned char *key;                  /* LG_CIPHER_AEAD_KEY_SIZE bytes */
    unsigned char nonce[LG_CIPHER_NONCE_SIZE]; /* never twice with one key */
    struct lg_slice head;                      /* authenticated as well, not sealed */
};

/* Writes in.len + LG_CIPHER_TAG_SIZE bytes. 0, -LG_E_LIMIT, -LG_E_CRYPTO. */
int lg_cipher_seal_aead(struct lg_cipher *cipher, const struct lg_aead *aead, struct lg_slice in,
    char *out, size_t size) LG_MUST_USE;
/* Writes in.len - LG_CIPHER_TAG_SIZE bytes, which are worth nothing unless the
 * result is 0. -LG_E_LIMIT, -LG_E_CRYPTO. */
int lg_cipher_open_aead(struct lg_cipher *cipher, const struct lg_aead *aead, struct lg_slice in,
    char *out, size_t size) LG_MUST_USE;

#endif
