/* HTTP dates, from and to Unix time. Pure; never asks a clock or a time zone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_DATE_H
#define LG_HTTP_DATE_H

#include "base/err.h"
#include "base/slice.h"

#define LG_HTTP_DATE_LEN 29 /* bytes of an IMF-fixdate */

/* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL. Seconds outside the years 1970 to
 * 9999 are clamped to them. */
void lg_http_date_format(int64_t unix_s, char ret_text[LG_HTTP_DATE_LEN + 1]);

/* Any of the three formats of RFC 9110 5.6.7. `now_s` places the two-digit
 * years of the RFC 850 one. 0 or -LG_E_PROTO. */
int lg_http_date_parse(struct lg_slice text, int64_t now_s, int64_t *ret_unix_s) LG_MUST_USE;

/* A rendering kept for a second. The owner zeroes it once. */
struct lg_http_date {
    int64_t unix_s;
    char text[LG_HTTP_DATE_LEN + 1];
};

/* The text for `now_s`, rendered anew only when the second changed. Lives in
 * `date` until the next call. */
struct lg_slice lg_http_date_at(struct lg_http_date *date, int64_t now_s);

#endif
