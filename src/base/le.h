/* Little-endian numbers of the wire. Depends on libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_LE_H
#define LG_BASE_LE_H

#include <stdint.h>

/* Eight bytes at `at`, of any alignment. */
static inline void lg_le_put_u64(char *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (char)(value >> 8 * i & 0xff);
}

static inline uint64_t lg_le_get_u64(const char *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return value;
}

#endif
