/* What a client accepts: Accept-Encoding and Accept (RFC 9110 12.4.2, 12.5). Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_ACCEPT_H
#define LG_HTTP_ACCEPT_H

#include "base/slice.h"

#define LG_HTTP_WEIGHT_MAX  1000 /* q=1 */
#define LG_HTTP_WEIGHT_NONE (-1) /* the field says nothing about it */

/* The weight that the value of Accept-Encoding gives to `coding` ("gzip", "br",
 * "identity"), in thousandths: 0 = refused. What is named counts before "*";
 * "x-gzip" is "gzip". LG_HTTP_WEIGHT_NONE where neither is there (identity is
 * acceptable then, anything else is not) and where there is no such field
 * (`value`.ptr NULL). An element that is malformed counts for nothing. */
int lg_http_accept_encoding(struct lg_slice value, struct lg_slice coding);
/* The same of Accept for a media type ("text/html"): "text/html" counts before
 * its whole range, that before the range of everything. Parameters other than q are not looked at.
 */
int lg_http_accept_type(struct lg_slice value, struct lg_slice type);

#endif
