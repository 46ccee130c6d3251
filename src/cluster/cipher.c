/* Ciphers of the uwsgi wire and authenticated ones, by OpenSSL. Must not depend on
 * server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cipher.h"

#include "conf/table.h" /* how near a misspelt name is */

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct lg_cipher {
    /* A context of our own: the legacy ciphers are for legions only. */
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *standard;
    OSSL_PROVIDER *legacy; /* NULL where it is not installed */
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *contexts[2]; /* to open, to seal */
    bool is_aead;
    unsigned char key[EVP_MAX_KEY_LENGTH]; /* not of an AEAD */
    unsigned char iv[EVP_MAX_IV_LENGTH];
};

struct why {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct why why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, why.size, format, args);
    va_end(args);
    return -LG_E_CONF;
}

struct nearest {
    struct lg_slice given;
    char name[64];
    size_t distance;
};

static void consider_name(const char *name, void *arg)
{
    struct nearest *nearest = arg;
    size_t distance = lg_conf_distance(nearest->given, lg_slice_of(name));
    if (distance >= nearest->distance || strchr(name, '.')) /* object identifiers */
        return;
    nearest->distance = distance;
    snprintf(nearest->name, sizeof nearest->name, "%s", name);
    for (char *c = nearest->name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
}

static bool enc_has(const EVP_CIPHER *cipher)
{
    switch (EVP_CIPHER_get_mode(cipher)) {
    case EVP_CIPH_STREAM_CIPHER:
    case EVP_CIPH_ECB_MODE:
    case EVP_CIPH_CBC_MODE:
    case EVP_CIPH_CFB_MODE:
    case EVP_CIPH_OFB_MODE:
    case EVP_CIPH_CTR_MODE:
        break;
    default:
        return false;
    }
    const unsigned long not_for_enc = EVP_CIPH_FLAG_AEAD_CIPHER | EVP_CIPH_FLAG_CTS;
    return !(EVP_CIPHER_get_flags(cipher) & not_for_enc) && EVP_CIPHER_get_key_length(cipher) > 0;
}

/* GCM and ChaCha20-Poly1305. CCM and SIV want their texts in other ways. */
static bool is_aead(const EVP_CIPHER *cipher)
{
    int mode = EVP_CIPHER_get_mode(cipher);
    return EVP_CIPHER_get_flags(cipher) & EVP_CIPH_FLAG_AEAD_CIPHER &&
           (mode == EVP_CIPH_GCM_MODE || mode == EVP_CIPH_STREAM_CIPHER) &&
           EVP_CIPHER_get_iv_length(cipher) == LG_CIPHER_NONCE_SIZE &&
           EVP_CIPHER_get_key_length(cipher) <= LG_CIPHER_AEAD_KEY_SIZE;
}

static void consider(EVP_CIPHER *cipher, void *arg)
{
    if (enc_has(cipher) || is_aead(cipher))
        EVP_CIPHER_names_do_all(cipher, consider_name, arg);
}

static int unknown(const struct lg_cipher *c, struct lg_slice name, bool known, struct why why)
{
    struct nearest nearest = {.given = name, .distance = SIZE_MAX};
    if (known && !c->legacy)
        return refuse(why,
            "cipher \"%.*s\" needs OpenSSL's legacy provider, which is not installed here: "
            "expected another cipher, such as aes-256-cbc",
            (int)name.len, name.ptr);
    EVP_CIPHER_do_all_provided(c->library, consider, &nearest);
    if (lg_conf_is_near(name, nearest.distance))
        return refuse(why, "unknown cipher \"%.*s\", did you mean \"%s\"?", (int)name.len, name.ptr,
            nearest.name);
    return refuse(why,
        "unknown cipher \"%.*s\": expected aes-256-gcm, or one of those \"openssl enc -list\" "
        "shows, such as aes-256-cbc",
        (int)name.len, name.ptr);
}

/* The names of `openssl enc`: those of the providers, and aliases of old. */
static int fetch(struct lg_cipher *c, struct lg_slice name, struct why why)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
    const EVP_CIPHER *alias = NULL;
    if (name.len < sizeof text) {
        c->cipher = EVP_CIPHER_fetch(c->library, text, NULL);
        alias = EVP_get_cipherbyname(text);
    }
    if (!c->cipher && alias)
        c->cipher = EVP_CIPHER_fetch(c->library, EVP_CIPHER_get0_name(alias), NULL);
    ERR_clear_error();
    if (!c->cipher)
        return unknown(c, name, alias != NULL, why);
    c->is_aead = is_aead(c->cipher);
    if (!c->is_aead && !enc_has(c->cipher))
        return refuse(why,
            "cipher \"%s\" is not supported: expected an authenticated one (aes-256-gcm, "
            "aes-128-gcm, chacha20-poly1305), or one of those \"openssl enc -list\" shows",
            text);
    return 0;
}

static int load(struct lg_cipher *c)
{
    c->library = OSSL_LIB_CTX_new();
    if (!c->library)
        return -LG_E_NOMEM;
    c->standard = OSSL_PROVIDER_load(c->library, "default");
    c->legacy = OSSL_PROVIDER_load(c->library, "legacy");
    for (size_t i = 0; i < 2; i++)
        c->contexts[i] = EVP_CIPHER_CTX_new();
    ERR_clear_error();
    return c->standard && c->contexts[0] && c->contexts[1] ? 0 : -LG_E_NOMEM;
}

static void fill(unsigned char *out, size_t len, struct lg_slice text, char pad)
{
    memset(out, pad, len);
    if (text.len)
        memcpy(out, text.ptr, text.len < len ? text.len : len);
}

int lg_cipher_new(struct lg_slice name, struct lg_slice secret, struct lg_slice iv,
    struct lg_cipher **ret_cipher, char *why_text, size_t why_size)
{
    struct why why = {why_text, why_size};
    if (secret.len == 0)
        return refuse(why, "the secret is empty: expected cipher:secret, as in aes-256-cbc:%s",
            "correct-horse");
    struct lg_cipher *c = calloc(1, sizeof *c);
    if (!c)
        return -LG_E_NOMEM;
    int err = load(c);
    if (err == -LG_E_NOMEM)
        refuse(why, "OpenSSL cannot be set up");
    if (!err)
        err = fetch(c, name, why);
    if (!err && c->is_aead && iv.len)
        err = refuse(why, "an iv does not go with %.*s, whose packets have one each: expected none",
            (int)name.len, name.ptr);
    if (err) {
        lg_cipher_free(c);
        return err;
    }
    lg_cipher_use(c, secret);
    fill(c->iv, sizeof c->iv, iv, '0');
    *ret_cipher = c;
    return 0;
}

bool lg_cipher_is_aead(const struct lg_cipher *cipher)
{
    return cipher->is_aead;
}

void lg_cipher_use(struct lg_cipher *cipher, struct lg_slice secret)
{
    if (!cipher->is_aead)
        fill(cipher->key, sizeof cipher->key, secret, '\0');
}

void lg_cipher_free(struct lg_cipher *cipher)
{
    if (!cipher)
        return;
    for (size_t i = 0; i < 2; i++)
        EVP_CIPHER_CTX_free(cipher->contexts[i]);
    EVP_CIPHER_free(cipher->cipher);
    if (cipher->legacy)
        OSSL_PROVIDER_unload(cipher->legacy);
    if (cipher->standard)
        OSSL_PROVIDER_unload(cipher->standard);
    OSSL_LIB_CTX_free(cipher->library);
    OPENSSL_cleanse(cipher->key, sizeof cipher->key);
    free(cipher);
}

/* A context for one packet, or NULL. It keeps its cipher: told of it again it would
 * take itself apart and be made anew, which costs more than a packet does. */
static EVP_CIPHER_CTX *begin(
    struct lg_cipher *c, bool seal, const unsigned char *key, const unsigned char *iv)
{
    EVP_CIPHER_CTX *x = c->contexts[seal];
    const EVP_CIPHER *cipher = EVP_CIPHER_CTX_get0_cipher(x) ? NULL : c->cipher;
    return EVP_CipherInit_ex2(x, cipher, key, iv, seal, NULL) == 1 ? x : NULL;
}

/* Every packet starts anew with the same vector. */
static int crypt_one(
    struct lg_cipher *c, bool seal, struct lg_slice in, char *out, size_t size, size_t *ret_len)
{
    if (in.len > INT_MAX - LG_CIPHER_GROWTH_MAX || size < in.len + LG_CIPHER_GROWTH_MAX)
        return -LG_E_LIMIT;
    int len = 0, tail = 0;
    unsigned char *at = (unsigned char *)out;
    EVP_CIPHER_CTX *x = begin(c, seal, c->key, c->iv);
    bool ok = x && EVP_CipherUpdate(x, at, &len, (const unsigned char *)in.ptr, (int)in.len) == 1 &&
              EVP_CipherFinal_ex(x, at + len, &tail) == 1;
    if (!ok) {
        ERR_clear_error();
        return -LG_E_CRYPTO;
    }
    *ret_len = (size_t)(len + tail);
    return 0;
}

int lg_cipher_seal(
    struct lg_cipher *cipher, struct lg_slice in, char *out, size_t size, size_t *ret_len)
{
    return crypt_one(cipher, true, in, out, size, ret_len);
}

int lg_cipher_open(
    struct lg_cipher *cipher, struct lg_slice in, char *out, size_t size, size_t *ret_len)
{
    return crypt_one(cipher, false, in, out, size, ret_len);
}

/* ---- Authenticated ----------------------------------------------------------------- */

static int crypt_aead(struct lg_cipher *c, const struct lg_aead *aead, struct lg_slice in,
    char *out, void *tag, bool seal)
{
    int len = 0, tail = 0;
    unsigned char *at = (unsigned char *)out;
    const unsigned char *from = (const unsigned char *)in.ptr;
    const unsigned char *head = (const unsigned char *)aead->head.ptr;
    EVP_CIPHER_CTX *x = begin(c, seal, aead->key, aead->nonce);
    bool ok = x != NULL;
    if (ok && !seal)
        ok = EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, LG_CIPHER_TAG_SIZE, tag) == 1;
    ok = ok && EVP_CipherUpdate(x, NULL, &len, head, (int)aead->head.len) == 1 &&
         EVP_CipherUpdate(x, at, &len, from, (int)in.len) == 1 &&
         EVP_CipherFinal_ex(x, at + len, &tail) == 1;
    if (ok && seal)
        ok = EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, LG_CIPHER_TAG_SIZE, tag) == 1;
    if (!ok)
        ERR_clear_error();
    return ok && (size_t)(len + tail) == in.len ? 0 : -LG_E_CRYPTO;
}

int lg_cipher_seal_aead(struct lg_cipher *cipher, const struct lg_aead *aead, struct lg_slice in,
    char *out, size_t size)
{
    if (in.len > INT_MAX || aead->head.len > INT_MAX || size < LG_CIPHER_TAG_SIZE ||
        size - LG_CIPHER_TAG_SIZE < in.len)
        return -LG_E_LIMIT;
    return crypt_aead(cipher, aead, in, out, out + in.len, true);
}

int lg_cipher_open_aead(struct lg_cipher *cipher, const struct lg_aead *aead, struct lg_slice in,
    char *out, size_t size)
{
    if (in.len > INT_MAX || aead->head.len > INT_MAX || in.len < LG_CIPHER_TAG_SIZE ||
        size < in.len - LG_CIPHER_TAG_SIZE)
        return -LG_E_LIMIT;
    char tag[LG_CIPHER_TAG_SIZE];
    size_t len = in.len - LG_CIPHER_TAG_SIZE;
    memcpy(tag, in.ptr + len, sizeof tag);
    return crypt_aead(cipher, aead, lg_slice_from(in.ptr, len), out, tag, false);
}
