/* Inside cluster/: a legion's datagrams, sealed and opened.
 *
 * Two framings, by the cipher (docs/legion-sealing.md):
 *
 *   AEAD   109 | u16le length | 1 | key id | uuid 16 | u64le counter | ciphertext | tag 16
 *   other  109 | u16le length | 0 | ciphertext              the wire of uWSGI
 *
 * The first has a key per sender and refuses what was altered or comes twice. The
 * second can do neither; of Legatus' own packets a `mac` at the end tells whether
 * they were altered. Secrets beside the own one only open.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_SEAL_H
#define LG_CLUSTER_SEAL_H

#include "cluster/cipher.h"
#include "legion/codec.h"

#define LG_SECRETS_MAX     8  /* the own one and those accepted besides */
#define LG_SEAL_HEAD_SIZE  29 /* bytes before the ciphertext of an AEAD */
#define LG_SEAL_GROWTH_MAX 96 /* bytes a datagram may be longer than its cleartext */
#define LG_DATAGRAM_SIZE   (LG_LEGION_DATA_MAX + LG_SEAL_GROWTH_MAX)

struct lg_seal; /* opaque; one thread at a time */

struct lg_seal_setup {
    struct lg_slice legion;
    struct lg_slice cipher;                  /* a name of `openssl enc`, or of an AEAD */
    struct lg_slice iv;                      /* not for an AEAD */
    struct lg_slice secrets[LG_SECRETS_MAX]; /* the first seals, all open */
    size_t secret_count;                     /* at least 1 */
    struct lg_slice uuid;                    /* our own, as text */
};

/* Texts are copied. 0; -LG_E_CONF with the reason and what was expected in `why`;
 * -LG_E_NOMEM; -LG_E_CRYPTO. */
int lg_seal_new(const struct lg_seal_setup *setup, struct lg_seal **ret_seal, char *why,
    size_t why_size) LG_MUST_USE;
void lg_seal_free(struct lg_seal *seal);

/* Other secrets from now on; counters and windows stay. 0, or a code (then
 * nothing has changed). */
int lg_seal_change(struct lg_seal *seal, const struct lg_slice *secrets, size_t count) LG_MUST_USE;
/* Counters start above `counter`, which must not be less than any that a process
 * before us has used with this uuid. */
void lg_seal_start(struct lg_seal *seal, uint64_t counter);
bool lg_seal_is_aead(const struct lg_seal *seal);
/* The identifier of the secret we seal with, in the header of an AEAD. */
unsigned char lg_seal_key_id(const struct lg_seal *seal);

/* Writes a whole datagram. 0 with *ret_len; -LG_E_LIMIT, -LG_E_CRYPTO. */
int lg_seal_pack(struct lg_seal *seal, const struct lg_legion_message *message, char *out,
    size_t size, size_t *ret_len) LG_MUST_USE;

enum lg_seal_verdict {
    LG_SEALED_GOOD,
    LG_SEALED_OWN,       /* ours, back from the group: not worth a word */
    LG_SEALED_NOT,       /* no datagram of any legion */
    LG_SEALED_OTHERWISE, /* of the other framing */
    LG_SEALED_KEY,       /* with a secret we do not know */
    LG_SEALED_TWICE,     /* received before, or older than the window */
    LG_SEALED_ALTERED,   /* by somebody, or another secret or iv after all */
    LG_SEALED_COUNT
};

struct lg_opened {
    struct lg_legion_message message; /* points into `out` of lg_seal_open */
    bool authentic;                   /* by tag or mac: nobody has altered it */
    bool counted;                     /* and it is no repetition: its clock does not matter */
};

/* Opens a datagram; what can be refused before anything is deciphered, is.
 * `out` has LG_DATAGRAM_SIZE bytes and does not overlap. *ret_opened is set when
 * the verdict is LG_SEALED_GOOD. */
enum lg_seal_verdict lg_seal_open(struct lg_seal *seal, struct lg_slice datagram,
    char out[LG_DATAGRAM_SIZE], struct lg_opened *ret_opened);
/* "it was received before"; NULL where there is nothing to say. */
const char *lg_seal_verdict_text(enum lg_seal_verdict verdict);

#endif
