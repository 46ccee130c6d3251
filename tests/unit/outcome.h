/* What a request codec made of a stream of bytes, as text: two ways of feeding
 * the same bytes must give the same text. Shared by unit tests and fuzz targets.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_TESTS_OUTCOME_H
#define LG_TESTS_OUTCOME_H

#include "base/buf.h"
#include "http/parser.h"

/* Feeds `data` in pieces of `step` bytes (0 = whole), each a heap copy of its
 * own that is freed before the next. Appends, per request, a line
 * "HEAD minor=1 keep=1 length=0 expect=0", a line "NAME=value" per variable,
 * "BODY=" with the bytes, and "END"; in the end "MORE" (with " idle" between
 * requests) or "ERROR status". Aborts where the codec breaks its contract. */
void outcome_http(const char *data, size_t len, size_t step, const struct lg_http_limits *limits,
    struct lg_buf *out);
void outcome_uwsgi(
    const char *data, size_t len, size_t step, size_t buffer_size, struct lg_buf *out);

#endif
