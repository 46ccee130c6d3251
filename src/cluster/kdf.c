/* Keys from secrets, by OpenSSL. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kdf.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

static OSSL_PARAM octets(const char *name, struct lg_slice text)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)text.ptr, text.len);
}

int lg_kdf_derive(struct lg_slice secret, struct lg_slice salt, struct lg_slice info,
    unsigned char ret_key[LG_KEY_SIZE])
{
    char digest[] = "SHA256";
    unsigned char key[LG_KEY_SIZE];
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = context && EVP_KDF_derive(context, key, sizeof key, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    if (ok)
        memcpy(ret_key, key, sizeof key);
    else
        ERR_clear_error();
    OPENSSL_cleanse(key, sizeof key);
    return ok ? 0 : -LG_E_CRYPTO;
}

int lg_kdf_mac(
    const unsigned char key[LG_KEY_SIZE], struct lg_slice text, unsigned char ret_mac[LG_MAC_SIZE])
{
    unsigned len = LG_MAC_SIZE;
    unsigned char mac[LG_MAC_SIZE];
    if (!HMAC(
            EVP_sha256(), key, LG_KEY_SIZE, (const unsigned char *)text.ptr, text.len, mac, &len)) {
        ERR_clear_error();
        return -LG_E_CRYPTO;
    }
    memcpy(ret_mac, mac, sizeof mac);
    return 0;
}
