/* Inside cluster/: keys from secrets, and codes over messages (SHA-256).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_KDF_H
#define LG_CLUSTER_KDF_H

#include "base/err.h"
#include "base/slice.h"

#define LG_KEY_SIZE 32 /* bytes of a derived key; a cipher with a shorter one takes its head */
#define LG_MAC_SIZE 32

/* HKDF-SHA256 (RFC 5869) of `secret`. 0, or -LG_E_CRYPTO. */
int lg_kdf_derive(struct lg_slice secret, struct lg_slice salt, struct lg_slice info,
    unsigned char ret_key[LG_KEY_SIZE]) LG_MUST_USE;
/* HMAC-SHA256. 0, or -LG_E_CRYPTO. */
int lg_kdf_mac(const unsigned char key[LG_KEY_SIZE], struct lg_slice text,
    unsigned char ret_mac[LG_MAC_SIZE]) LG_MUST_USE;

#endif
