/* Media types: a sorted array in an arena. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/mime.h"

#include "base/arena.h"

#define EXTENSION_MAX 32 /* bytes; longer ones are skipped */

struct row {
    const char *extension; /* lower case */
    const char *type;
    size_t order; /* a later row wins over an earlier one */
};

struct lg_mime {
    struct lg_arena arena;
    struct row *rows; /* owned; sorted by extension, each once */
    size_t count;
    size_t cap;
};

struct lg_mime *lg_mime_new(void)
{
    struct lg_mime *mime = calloc(1, sizeof *mime);
    if (mime)
        lg_arena_init(&mime->arena, 0);
    return mime;
}

void lg_mime_free(struct lg_mime *mime)
{
    if (!mime)
        return;
    lg_arena_free(&mime->arena);
    free(mime->rows);
    free(mime);
}

static void lower(struct lg_slice text, char *ret_text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        ret_text[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    ret_text[text.len] = '\0';
}

static int add_row(struct lg_mime *mime, struct lg_slice extension, const char *type)
{
    char text[EXTENSION_MAX + 1];
    if (extension.len > EXTENSION_MAX)
        return 0;
    if (mime->count == mime->cap) {
        size_t cap = mime->cap ? mime->cap * 2 : 1024;
        struct row *rows = reallocarray(mime->rows, cap, sizeof *rows);
        if (!rows)
            return -LG_E_NOMEM;
        mime->rows = rows;
        mime->cap = cap;
    }
    lower(extension, text);
    const char *copy = lg_arena_copy(&mime->arena, text, extension.len);
    if (!copy)
        return -LG_E_LIMIT;
    mime->rows[mime->count] = (struct row){copy, type, mime->count};
    mime->count++;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct lg_slice next_word(struct lg_slice *line)
{
    while (line->len > 0 && is_blank(line->ptr[0])) {
        line->ptr++;
        line->len--;
    }
    size_t len = 0;
    while (len < line->len && !is_blank(line->ptr[len]))
        len++;
    struct lg_slice word = lg_slice_from(line->ptr, len);
    line->ptr = len ? line->ptr + len : line->ptr;
    line->len -= len;
    return word;
}

/* Something that may stand in a Content-Type header. */
static bool is_type(struct lg_slice word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] <= ' ' || word.ptr[i] > '~')
            return false;
    return word.len > 0 && memchr(word.ptr, '/', word.len);
}

static int load_line(struct lg_mime *mime, struct lg_slice line)
{
    struct lg_slice comment;
    line = lg_slice_cut(line, '#', &comment);
    struct lg_slice type = next_word(&line);
    if (!is_type(type))
        return 0;
    const char *type_copy = NULL;
    struct lg_slice word = next_word(&line);
    for (; word.len > 0; word = next_word(&line)) {
        if (word.ptr[word.len - 1] == ';') /* nginx's own mime.types */
            word.len--;
        if (word.len == 0)
            continue;
        if (!type_copy)
            type_copy = lg_arena_copy(&mime->arena, type.ptr, type.len);
        int err = type_copy ? add_row(mime, word, type_copy) : -LG_E_LIMIT;
        if (err)
            return err;
    }
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;
    int names = strcmp(left->extension, right->extension);
    if (names)
        return names;
    return left->order < right->order ? -1 : left->order > right->order;
}

/* Sorts, and keeps the last row of each extension. */
static void settle(struct lg_mime *mime)
{
    size_t kept = 0;
    if (mime->count == 0)
        return;
    qsort(mime->rows, mime->count, sizeof mime->rows[0], compare_rows);
    for (size_t i = 0; i < mime->count; i++)
        if (i + 1 == mime->count ||
            strcmp(mime->rows[i].extension, mime->rows[i + 1].extension) != 0)
            mime->rows[kept++] = mime->rows[i];
    mime->count = kept;
    for (size_t i = 0; i < kept; i++)
        mime->rows[i].order = i; /* before whatever a later load adds */
}

int lg_mime_load(struct lg_mime *mime, struct lg_slice text)
{
    int err = 0;
    while (text.len > 0 && !err)
        err = load_line(mime, lg_slice_cut(text, '\n', &text));
    settle(mime);
    return err;
}

static int compare_key(const void *key, const void *row)
{
    return strcmp(key, ((const struct row *)row)->extension);
}

const char *lg_mime_find(const struct lg_mime *mime, struct lg_slice path)
{
    char text[EXTENSION_MAX + 1];
    const char *slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;
    if (slash) {
        path.len -= (size_t)(slash + 1 - path.ptr);
        path.ptr = slash + 1;
    }
    const char *dot = path.len ? memrchr(path.ptr, '.', path.len) : NULL;
    if (!dot || dot == path.ptr) /* none, or a dotfile's own name */
        return NULL;
    struct lg_slice extension = {dot + 1, path.len - (size_t)(dot + 1 - path.ptr)};
    if (extension.len == 0 || extension.len > EXTENSION_MAX ||
        memchr(extension.ptr, '\0', extension.len))
        return NULL;
    lower(extension, text);
    const struct row *row =
        mime->count ? bsearch(text, mime->rows, mime->count, sizeof *row, compare_key) : NULL;
    return row ? row->type : NULL;
}

size_t lg_mime_count(const struct lg_mime *mime)
{
    return mime->count;
}
