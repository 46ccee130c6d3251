/* UTF-8: is the next sequence valid? libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_UTF8_H
#define LG_BASE_UTF8_H

#include "base/slice.h"

/* Bytes of the sequence `s` begins with (1 to 4; RFC 3629: no surrogates, no
 * overlong forms), or 0 when it begins with none or is empty. */
size_t lg_utf8_len(struct lg_slice s);

#endif
