/* What a byte may be where, and comma-separated lists. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/internal.h"

#define VISIBLE (LG_HTTP_FIELD | LG_HTTP_TARGET)
#define TOKEN   (VISIBLE | LG_HTTP_TCHAR)
#define ALNUM   (TOKEN | LG_HTTP_ALNUM)

const uint8_t lg_http_byte_classes[256] = {
    ['\t'] = LG_HTTP_FIELD,
    [' '] = LG_HTTP_FIELD,
    ['!'] = TOKEN,
    ['"'] = VISIBLE,
    ['#'] = LG_HTTP_FIELD | LG_HTTP_TCHAR,
    ['$' ... '\''] = TOKEN,
    ['(' ... ')'] = VISIBLE,
    ['*' ... '+'] = TOKEN,
    [','] = VISIBLE,
    ['-' ... '.'] = TOKEN,
    ['/'] = VISIBLE,
    ['0' ... '9'] = ALNUM,
    [':' ... '@'] = VISIBLE,
    ['A' ... 'Z'] = ALNUM,
    ['[' ... ']'] = VISIBLE,
    ['^' ... '`'] = TOKEN,
    ['a' ... 'z'] = ALNUM,
    ['{'] = VISIBLE,
    ['|'] = TOKEN,
    ['}'] = VISIBLE,
    ['~'] = TOKEN,
    [0x80 ... 0xff] = VISIBLE,
};

bool lg_http_is_token(struct lg_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!lg_http_is((unsigned char)text.ptr[i], LG_HTTP_TCHAR))
            return false;
    return text.len > 0;
}

bool lg_http_list_next(struct lg_slice *rest, struct lg_slice *ret_element)
{
    while (rest->len > 0) {
        struct lg_slice element = lg_slice_trim(lg_slice_cut(*rest, ',', rest));
        if (element.len > 0) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}
