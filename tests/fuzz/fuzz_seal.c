/* A legion's datagram, from the outside inward. The first byte says how far in the
 * input begins: as the datagram itself, for one framing or the other; or as the
 * cleartext of one that is sealed as a member would. What opens must be authentic,
 * of the uuid its header names, and good once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kdf.h"
#include "cluster/seal.h"
#include "cluster/senders.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET LG_SLICE("correct-horse")
#define AT_KEY 4

struct fuzz {
    struct lg_seal *aead, *plain;
    struct lg_cipher *cipher;
    uint64_t counter; /* of the last one sealed here */
    char sealed[LG_DATAGRAM_SIZE], out[LG_DATAGRAM_SIZE];
};

static struct lg_seal *seal_of(const char *cipher)
{
    struct lg_seal *seal = NULL;
    char why[256];
    struct lg_seal_setup setup = {.legion = LG_SLICE("site"),
        .cipher = lg_slice_of(cipher),
        .uuid = LG_SLICE("ffffffff-0000-4000-8000-000000000000"),
        .secrets = {LG_SLICE("other"), SECRET},
        .secret_count = 2};
    if (lg_seal_new(&setup, &seal, why, sizeof why))
        abort();
    return seal;
}

static struct fuzz *fuzz_new(void)
{
    char why[256];
    struct fuzz *fuzz = calloc(1, sizeof *fuzz);
    if (!fuzz || lg_cipher_new(
                     LG_SLICE("aes-256-gcm"), SECRET, LG_SLICE(""), &fuzz->cipher, why, sizeof why))
        abort();
    fuzz->aead = seal_of("aes-256-gcm");
    fuzz->plain = seal_of("aes-128-ctr"); /* where every byte counts */
    return fuzz;
}

/* Header and tag as of a member that has the secret; the uuid is the input's. */
static size_t seal_input(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
    char info[14 + LG_UUID_SIZE] = "legatus packet";
    unsigned char key[LG_KEY_SIZE], id[LG_KEY_SIZE];
    if (size <= LG_UUID_SIZE || size - LG_UUID_SIZE > LG_LEGION_DATA_MAX)
        return 0;
    size_t len = size - LG_UUID_SIZE;
    memcpy(info + 14, data, LG_UUID_SIZE);
    if (lg_kdf_derive(SECRET, LG_SLICE("site"), LG_SLICE("legatus key id"), id) ||
        lg_kdf_derive(SECRET, LG_SLICE("site"), lg_slice_from(info, sizeof info), key))
        abort();
    memset(fuzz->sealed, 0, LG_SEAL_HEAD_SIZE);
    lg_legion_head_encode((uint16_t)len, (unsigned char *)fuzz->sealed);
    fuzz->sealed[3] = 1;
    fuzz->sealed[AT_KEY] = (char)id[0];
    memcpy(fuzz->sealed + AT_KEY + 1, data, LG_UUID_SIZE);
    struct lg_aead aead = {.key = key, .head = lg_slice_from(fuzz->sealed, LG_SEAL_HEAD_SIZE)};
    fuzz->counter++;
    for (int i = 0; i < 8; i++)
        aead.nonce[LG_CIPHER_NONCE_SIZE - 8 + i] = (unsigned char)(fuzz->counter >> 8 * i);
    memcpy(fuzz->sealed + LG_SEAL_HEAD_SIZE - 8, aead.nonce + LG_CIPHER_NONCE_SIZE - 8, 8);
    if (lg_cipher_seal_aead(fuzz->cipher, &aead, lg_slice_from(data + LG_UUID_SIZE, len),
            fuzz->sealed + LG_SEAL_HEAD_SIZE, sizeof fuzz->sealed - LG_SEAL_HEAD_SIZE))
        abort();
    return LG_SEAL_HEAD_SIZE + len + LG_CIPHER_TAG_SIZE;
}

static void open_all(struct fuzz *fuzz, struct lg_seal *seal, struct lg_slice datagram)
{
    struct lg_opened opened;
    enum lg_seal_verdict verdict = lg_seal_open(seal, datagram, fuzz->out, &opened);
    if (verdict >= LG_SEALED_COUNT)
        abort();
    if (verdict)
        return;
    if (!lg_legion_uuid_ok(opened.message.uuid) || opened.counted != lg_seal_is_aead(seal))
        abort();
    if (lg_seal_is_aead(seal) &&
        (!opened.authentic || lg_seal_open(seal, datagram, fuzz->out, &opened) != LG_SEALED_TWICE))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz *fuzz; /* loading ciphers takes longer than all the rest */
    fuzz = fuzz ? fuzz : fuzz_new();
    if (size == 0)
        return 0;
    uint8_t how = data[0];
    data++;
    size--;
    size_t len = how == 2 ? seal_input(fuzz, data, size) : 0;
    if (how == 2 && len)
        open_all(fuzz, fuzz->aead, lg_slice_from(fuzz->sealed, len));
    else if (how != 2)
        open_all(fuzz, how == 0 ? fuzz->aead : fuzz->plain, lg_slice_from(data, size));
    return 0;
}
