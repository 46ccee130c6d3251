/* A legion's datagrams, sealed and opened. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/seal.h"

#include "base/le.h"
#include "cluster/kdf.h"
#include "cluster/senders.h"

#include <stdlib.h>

#define MAGIC         109
#define KIND_AEAD     1
#define AT_KEY_ID     4
#define AT_UUID       5
#define AT_COUNTER    (AT_UUID + LG_UUID_SIZE)
#define LEGION_MAX    255 /* bytes of a legion's name */
#define MAC_ITEM_SIZE (4 + 3 + LG_MAC_SIZE)

_Static_assert(AT_COUNTER + 8 == LG_SEAL_HEAD_SIZE, "the header's fields fill it");
_Static_assert(LG_SEAL_HEAD_SIZE + LG_CIPHER_TAG_SIZE <= LG_SEAL_GROWTH_MAX &&
                   LG_LEGION_HEAD_SIZE + LG_CIPHER_GROWTH_MAX + MAC_ITEM_SIZE <= LG_SEAL_GROWTH_MAX,
    "both framings fit");
_Static_assert(LG_KEY_SIZE == LG_CIPHER_AEAD_KEY_SIZE, "a derived key is a cipher's");

struct secret {
    char *text; /* owned */
    size_t len;
    unsigned char id;
    unsigned char mac_key[LG_KEY_SIZE];
};

struct lg_seal {
    struct lg_cipher *cipher;
    bool is_aead;
    char legion[LEGION_MAX];
    size_t legion_len;
    unsigned char uuid[LG_UUID_SIZE];
    unsigned char own_key[LG_KEY_SIZE];
    uint64_t counter; /* the last one used */
    struct secret secrets[LG_SECRETS_MAX];
    size_t secret_count;
    struct lg_senders senders;
    char cleartext[LG_LEGION_DATA_MAX];
};

/* ---- Keys ---------------------------------------------------------------------------- */

static struct lg_slice legion_of(const struct lg_seal *seal)
{
    return lg_slice_from(seal->legion, seal->legion_len);
}

static struct lg_slice text_of(const struct secret *secret)
{
    return lg_slice_from(secret->text, secret->len);
}

/* The key of one sender under one secret. */
static int packet_key(const struct lg_seal *seal, const struct secret *secret,
    const unsigned char uuid[LG_UUID_SIZE], unsigned char ret_key[LG_KEY_SIZE])
{
    char info[sizeof "legatus packet" - 1 + LG_UUID_SIZE] = "legatus packet";
    memcpy(info + sizeof info - LG_UUID_SIZE, uuid, LG_UUID_SIZE);
    return lg_kdf_derive(
        text_of(secret), legion_of(seal), lg_slice_from(info, sizeof info), ret_key);
}

static void free_secrets(struct secret *secrets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (secrets[i].text)
            explicit_bzero(secrets[i].text, secrets[i].len);
        free(secrets[i].text);
    }
    explicit_bzero(secrets, count * sizeof *secrets);
}

static int make_secret(const struct lg_seal *seal, struct lg_slice text, struct secret *secret)
{
    unsigned char id[LG_KEY_SIZE];
    secret->text = malloc(text.len + 1);
    if (!secret->text)
        return -LG_E_NOMEM;
    memcpy(secret->text, text.ptr, text.len);
    secret->len = text.len;
    int err = lg_kdf_derive(text, legion_of(seal), LG_SLICE("legatus key id"), id);
    secret->id = id[0];
    return err ? err
               : lg_kdf_derive(text, legion_of(seal), LG_SLICE("legatus mac"), secret->mac_key);
}

int lg_seal_change(struct lg_seal *seal, const struct lg_slice *secrets, size_t count)
{
    struct secret next[LG_SECRETS_MAX] = {0};
    unsigned char own_key[LG_KEY_SIZE];
    if (count == 0 || count > LG_SECRETS_MAX)
        return -LG_E_LIMIT;
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = secrets[i].len ? make_secret(seal, secrets[i], &next[i]) : -LG_E_CONF;
    if (!err)
        err = packet_key(seal, &next[0], seal->uuid, own_key);
    if (err) {
        free_secrets(next, count);
        return err;
    }
    free_secrets(seal->secrets, seal->secret_count);
    memcpy(seal->secrets, next, sizeof next);
    memcpy(seal->own_key, own_key, sizeof own_key);
    seal->secret_count = count;
    lg_cipher_use(seal->cipher, secrets[0]);
    lg_senders_forget_keys(&seal->senders);
    return 0;
}

/* ---- Making ------------------------------------------------------------------------------ */

static unsigned digit_of(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Text that lg_legion_uuid_ok has passed. */
static void binary_uuid(struct lg_slice text, unsigned char out[LG_UUID_SIZE])
{
    size_t digits = 0;
    memset(out, 0, LG_UUID_SIZE);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '-') {
            out[digits / 2] =
                (unsigned char)((unsigned)out[digits / 2] << 4 | digit_of(text.ptr[i]));
            digits++;
        }
}

int lg_seal_new(
    const struct lg_seal_setup *setup, struct lg_seal **ret_seal, char *why, size_t why_size)
{
    if (setup->legion.len > LEGION_MAX || !lg_legion_uuid_ok(setup->uuid) ||
        setup->secret_count == 0)
        return -LG_E_INVALID;
    struct lg_seal *seal = calloc(1, sizeof *seal);
    if (!seal)
        return -LG_E_NOMEM;
    memcpy(seal->legion, setup->legion.ptr, setup->legion.len);
    seal->legion_len = setup->legion.len;
    binary_uuid(setup->uuid, seal->uuid);
    int err = lg_senders_init(&seal->senders, LG_SENDERS_MAX);
    if (!err)
        err = lg_cipher_new(
            setup->cipher, setup->secrets[0], setup->iv, &seal->cipher, why, why_size);
    if (!err) {
        seal->is_aead = lg_cipher_is_aead(seal->cipher);
        err = lg_seal_change(seal, setup->secrets, setup->secret_count);
    }
    if (err) {
        lg_seal_free(seal);
        return err;
    }
    *ret_seal = seal;
    return 0;
}

void lg_seal_free(struct lg_seal *seal)
{
    if (!seal)
        return;
    lg_cipher_free(seal->cipher);
    lg_senders_free(&seal->senders);
    free_secrets(seal->secrets, seal->secret_count);
    explicit_bzero(seal->own_key, sizeof seal->own_key);
    free(seal);
}

void lg_seal_start(struct lg_seal *seal, uint64_t counter)
{
    if (counter > seal->counter)
        seal->counter = counter;
}

bool lg_seal_is_aead(const struct lg_seal *seal)
{
    return seal->is_aead;
}

unsigned char lg_seal_key_id(const struct lg_seal *seal)
{
    return seal->secrets[0].id;
}

/* ---- Sealing ------------------------------------------------------------------------------- */

static void fill_nonce(struct lg_aead *aead, uint64_t counter)
{
    memset(aead->nonce, 0, sizeof aead->nonce);
    lg_le_put_u64((char *)aead->nonce + sizeof aead->nonce - 8, counter);
}

static int pack_aead(struct lg_seal *seal, size_t len, char *out, size_t size, size_t *ret_len)
{
    if (size < LG_SEAL_HEAD_SIZE || seal->counter == UINT64_MAX)
        return -LG_E_LIMIT;
    struct lg_aead aead = {.key = seal->own_key, .head = lg_slice_from(out, LG_SEAL_HEAD_SIZE)};
    uint64_t counter = ++seal->counter; /* spent even if what follows fails */
    lg_legion_head_encode((uint16_t)len, (unsigned char *)out);
    out[LG_LEGION_HEAD_SIZE - 1] = KIND_AEAD;
    out[AT_KEY_ID] = (char)seal->secrets[0].id;
    memcpy(out + AT_UUID, seal->uuid, LG_UUID_SIZE);
    lg_le_put_u64(out + AT_COUNTER, counter);
    fill_nonce(&aead, counter);
    int err = lg_cipher_seal_aead(seal->cipher, &aead, lg_slice_from(seal->cleartext, len),
        out + LG_SEAL_HEAD_SIZE, size - LG_SEAL_HEAD_SIZE);
    if (!err)
        *ret_len = LG_SEAL_HEAD_SIZE + len + LG_CIPHER_TAG_SIZE;
    return err;
}

static int pack_plain(struct lg_seal *seal, size_t len, char *out, size_t size, size_t *ret_len)
{
    unsigned char mac[LG_MAC_SIZE];
    size_t sealed_len;
    int err = lg_kdf_mac(seal->secrets[0].mac_key, lg_slice_from(seal->cleartext, len), mac);
    if (!err)
        err = lg_legion_dict_put(seal->cleartext, sizeof seal->cleartext, &len, LG_SLICE("mac"),
            lg_slice_from(mac, sizeof mac));
    if (!err)
        err = size < LG_LEGION_HEAD_SIZE
                  ? -LG_E_LIMIT
                  : lg_cipher_seal(seal->cipher, lg_slice_from(seal->cleartext, len),
                        out + LG_LEGION_HEAD_SIZE, size - LG_LEGION_HEAD_SIZE, &sealed_len);
    if (err)
        return err;
    lg_legion_head_encode((uint16_t)len, (unsigned char *)out);
    *ret_len = LG_LEGION_HEAD_SIZE + sealed_len;
    return 0;
}

int lg_seal_pack(struct lg_seal *seal, const struct lg_legion_message *message, char *out,
    size_t size, size_t *ret_len)
{
    size_t len;
    int err = lg_legion_encode(message, seal->cleartext, sizeof seal->cleartext, &len);
    if (err)
        return err;
    return seal->is_aead ? pack_aead(seal, len, out, size, ret_len)
                         : pack_plain(seal, len, out, size, ret_len);
}

/* ---- Opening, authenticated ----------------------------------------------------------------- */

static const unsigned char *uuid_at(struct lg_slice datagram)
{
    return (const unsigned char *)datagram.ptr + AT_UUID;
}

/* Everything that can be told from the header, and costs nothing to tell. */
static enum lg_seal_verdict look_at_head(
    const struct lg_seal *seal, struct lg_slice datagram, const struct lg_sender *sender)
{
    bool known = false;
    for (size_t i = 0; i < seal->secret_count; i++)
        known = known || seal->secrets[i].id == (unsigned char)datagram.ptr[AT_KEY_ID];
    if (!known)
        return LG_SEALED_KEY;
    if (memcmp(uuid_at(datagram), seal->uuid, LG_UUID_SIZE) == 0)
        return LG_SEALED_OWN;
    return lg_sender_is_fresh(sender, lg_le_get_u64(datagram.ptr + AT_COUNTER)) ? LG_SEALED_GOOD
                                                                                : LG_SEALED_TWICE;
}

struct attempt {
    struct lg_slice datagram;
    const struct lg_sender *sender;
    char *out;
    unsigned secret;                /* the one that fits */
    unsigned char key[LG_KEY_SIZE]; /* and its key for this sender */
};

static bool fits(struct lg_seal *seal, struct attempt *attempt, unsigned index)
{
    const struct lg_sender *sender = attempt->sender;
    struct lg_aead aead = {
        .key = attempt->key, .head = lg_slice_from(attempt->datagram.ptr, LG_SEAL_HEAD_SIZE)};
    if (sender && sender->has_key && sender->secret == index)
        memcpy(attempt->key, sender->key, LG_KEY_SIZE);
    else if (packet_key(seal, &seal->secrets[index], uuid_at(attempt->datagram), attempt->key))
        return false;
    fill_nonce(&aead, lg_le_get_u64(attempt->datagram.ptr + AT_COUNTER));
    attempt->secret = index;
    struct lg_slice sealed = lg_slice_from(
        attempt->datagram.ptr + LG_SEAL_HEAD_SIZE, attempt->datagram.len - LG_SEAL_HEAD_SIZE);
    return lg_cipher_open_aead(seal->cipher, &aead, sealed, attempt->out, LG_DATAGRAM_SIZE) == 0;
}

static bool try_secrets(struct lg_seal *seal, struct attempt *attempt)
{
    for (unsigned i = 0; i < seal->secret_count; i++)
        if (seal->secrets[i].id == (unsigned char)attempt->datagram.ptr[AT_KEY_ID] &&
            fits(seal, attempt, i))
            return true;
    return false;
}

static void take(struct lg_seal *seal, const struct attempt *attempt)
{
    struct lg_sender *sender = lg_senders_take(&seal->senders, uuid_at(attempt->datagram),
        lg_le_get_u64(attempt->datagram.ptr + AT_COUNTER));
    sender->secret = attempt->secret;
    sender->has_key = true;
    memcpy(sender->key, attempt->key, LG_KEY_SIZE);
}

static enum lg_seal_verdict open_aead(
    struct lg_seal *seal, struct lg_slice datagram, char *out, struct lg_opened *ret_opened)
{
    size_t len = (unsigned char)datagram.ptr[1] | (size_t)(unsigned char)datagram.ptr[2] << 8;
    if (len == 0 || len > LG_LEGION_DATA_MAX ||
        datagram.len != LG_SEAL_HEAD_SIZE + len + LG_CIPHER_TAG_SIZE)
        return LG_SEALED_NOT;
    struct attempt attempt = {.datagram = datagram,
        .out = out,
        .sender = lg_senders_find(&seal->senders, uuid_at(datagram))};
    enum lg_seal_verdict verdict = look_at_head(seal, datagram, attempt.sender);
    if (verdict)
        return verdict;
    struct lg_opened opened = {.authentic = true, .counted = true};
    unsigned char uuid[LG_UUID_SIZE];
    if (!try_secrets(seal, &attempt))
        verdict = LG_SEALED_ALTERED;
    else if (lg_legion_decode(lg_slice_from(out, len), &opened.message))
        verdict = LG_SEALED_NOT;
    else
        binary_uuid(opened.message.uuid, uuid);
    /* One member does not speak for another. */
    if (!verdict && memcmp(uuid, uuid_at(datagram), LG_UUID_SIZE) != 0)
        verdict = LG_SEALED_NOT;
    if (!verdict) {
        take(seal, &attempt);
        *ret_opened = opened;
    }
    explicit_bzero(attempt.key, sizeof attempt.key);
    return verdict;
}

/* ---- Opening, on the wire of uWSGI ------------------------------------------------------------
 */

enum mac { MAC_NONE, MAC_GOOD, MAC_BAD };

static enum mac check_mac(const struct secret *secret, struct lg_slice cleartext)
{
    unsigned char mac[LG_MAC_SIZE];
    if (cleartext.len < MAC_ITEM_SIZE)
        return MAC_NONE;
    size_t before = cleartext.len - MAC_ITEM_SIZE;
    struct lg_slice rest = cleartext, key = {NULL, 0}, value = {NULL, 0};
    while (rest.len && lg_legion_dict_next(&rest, &key, &value))
        continue;
    if (rest.len || !lg_slice_eq(key, LG_SLICE("mac")))
        return MAC_NONE;
    if (value.len != LG_MAC_SIZE ||
        lg_kdf_mac(secret->mac_key, lg_slice_from(cleartext.ptr, before), mac))
        return MAC_BAD;
    unsigned difference = 0;
    for (size_t i = 0; i < LG_MAC_SIZE; i++)
        difference |= mac[i] ^ (unsigned char)value.ptr[i];
    return difference ? MAC_BAD : MAC_GOOD;
}

static enum lg_seal_verdict open_with(struct lg_seal *seal, const struct secret *secret,
    struct lg_slice sealed, size_t expected, char *out, struct lg_opened *ret_opened)
{
    size_t len;
    lg_cipher_use(seal->cipher, text_of(secret));
    int err = lg_cipher_open(seal->cipher, sealed, out, LG_DATAGRAM_SIZE, &len);
    struct lg_opened opened = {0};
    if (err || len != expected || lg_legion_decode(lg_slice_from(out, len), &opened.message))
        return LG_SEALED_ALTERED;
    enum mac mac = check_mac(secret, lg_slice_from(out, len));
    if (mac == MAC_BAD)
        return LG_SEALED_ALTERED;
    opened.authentic = mac == MAC_GOOD;
    *ret_opened = opened;
    return LG_SEALED_GOOD;
}

static enum lg_seal_verdict open_plain(
    struct lg_seal *seal, struct lg_slice datagram, char *out, struct lg_opened *ret_opened)
{
    uint16_t expected;
    struct lg_slice sealed;
    if (lg_legion_head_decode(datagram, &expected, &sealed))
        return LG_SEALED_NOT;
    enum lg_seal_verdict verdict = LG_SEALED_ALTERED;
    for (size_t i = 0; i < seal->secret_count && verdict; i++)
        verdict = open_with(seal, &seal->secrets[i], sealed, expected, out, ret_opened);
    lg_cipher_use(seal->cipher, text_of(&seal->secrets[0]));
    return verdict;
}

enum lg_seal_verdict lg_seal_open(struct lg_seal *seal, struct lg_slice datagram,
    char out[LG_DATAGRAM_SIZE], struct lg_opened *ret_opened)
{
    if (datagram.len <= LG_LEGION_HEAD_SIZE || datagram.len > LG_DATAGRAM_SIZE ||
        datagram.ptr[0] != MAGIC)
        return LG_SEALED_NOT;
    char kind = datagram.ptr[LG_LEGION_HEAD_SIZE - 1];
    if (kind != 0 && kind != KIND_AEAD)
        return LG_SEALED_NOT;
    if ((kind == KIND_AEAD) != seal->is_aead)
        return LG_SEALED_OTHERWISE;
    if (!seal->is_aead)
        return open_plain(seal, datagram, out, ret_opened);
    return datagram.len < LG_SEAL_HEAD_SIZE ? LG_SEALED_NOT
                                            : open_aead(seal, datagram, out, ret_opened);
}

const char *lg_seal_verdict_text(enum lg_seal_verdict verdict)
{
    static const char *const texts[LG_SEALED_COUNT] = {
        [LG_SEALED_NOT] = "it is not a legion's",
        [LG_SEALED_OTHERWISE] = "it was sealed with a cipher of another kind",
        [LG_SEALED_KEY] = "it was sealed with a secret that is not accepted",
        [LG_SEALED_TWICE] = "it was received before",
        [LG_SEALED_ALTERED] = "it was altered, or sealed with another cipher, secret or iv",
    };
    return verdict < LG_SEALED_COUNT ? texts[verdict] : NULL;
}
