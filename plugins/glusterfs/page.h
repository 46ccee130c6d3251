/* The names in a directory as a page. Pure: names in, text out.
 *
 * A name is any bytes but a slash: in HTML what is not valid UTF-8, and every
 * control character, is shown as U+FFFD; links are of unreserved characters and
 * escapes only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GL_PAGE_H
#define GL_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gl_name_kind { GL_NAME_DIRECTORY, GL_NAME_FILE, GL_NAME_LINK };

struct gl_name {
    char *text;
    enum gl_name_kind kind;
    int64_t size; /* bytes; of files only */
    int64_t mtime_s;
};

struct gl_page {
    const char *path; /* as in the URL, decoded; ends with a slash */
    bool has_parent;
    bool cut;     /* there are more names */
    bool partial; /* there may be */
    struct gl_name *names;
    size_t count;
};

/* Bytes that a name takes on either page, at most. */
#define GL_PAGE_NAME_MAX(len) (9 * (len) + 256)

/* Directories first, then by their bytes. */
void gl_page_sort(struct gl_page *page);
/* NUL-terminated, to be freed; NULL when memory is out. */
char *gl_page_html(const struct gl_page *page, size_t *ret_len);
char *gl_page_json(const struct gl_page *page, size_t *ret_len);

#endif
