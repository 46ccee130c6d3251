/* Media types by file name extension, from mime.types texts. Pure.
 *
 * Filled once, then only read: lookups from any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_HTTP_MIME_H
#define LG_HTTP_MIME_H

#include "base/err.h"
#include "base/slice.h"

#define LG_MIME_DEFAULT "application/octet-stream"

struct lg_mime; /* opaque; free with lg_mime_free */

/* An empty table; NULL when memory is out. */
struct lg_mime *lg_mime_new(void);
void lg_mime_free(struct lg_mime *mime);
/* Adds the lines of a mime.types text ("type ext ext...", '#' begins a comment;
 * nginx's trailing ';' and its "types {" frame are skipped). A later line wins
 * over an earlier one, so load the user's file last. Lines that make no sense
 * are skipped. 0 or -LG_E_NOMEM, -LG_E_LIMIT. Not while others look up. */
int lg_mime_load(struct lg_mime *mime, struct lg_slice text) LG_MUST_USE;
/* The type for a path's extension, upper or lower case; NULL when it has none
 * or nobody knows it. Lives as long as the table, whatever is loaded later. */
const char *lg_mime_find(const struct lg_mime *mime, struct lg_slice path);
size_t lg_mime_count(const struct lg_mime *mime); /* extensions */

#endif
