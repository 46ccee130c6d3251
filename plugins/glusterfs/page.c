/* The names in a directory -> HTML or JSON. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* ---- bytes ---- */

/* The bytes of the UTF-8 character at `text`, which is NUL-terminated; 0 when there
 * is none (overlong forms and surrogates are none). */
static size_t utf8_len(const unsigned char *text)
{
    unsigned char c = text[0];
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) ||
        (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

/* C0 and C1 controls, of `len` bytes. */
static bool is_control(const unsigned char *text, size_t len)
{
    return text[0] < 0x20 || text[0] == 0x7f || (len == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

static void put_html(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        size_t len = utf8_len(at);
        if (len == 0 || is_control(at, len))
            fputs(REPLACEMENT, out);
        else if (strchr("&<>\"'", at[0]))
            fprintf(out, "&#%d;", at[0]);
        else
            fwrite(at, 1, len, out);
        at += len ? len : 1;
    }
}

static void put_json(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    putc('"', out);
    while (*at) {
        size_t len = utf8_len(at);
        if (len == 0)
            fputs(REPLACEMENT, out);
        else if (at[0] < 0x20)
            fprintf(out, "\\u%04x", at[0]);
        else if (at[0] == '"' || at[0] == '\\')
            fprintf(out, "\\%c", at[0]);
        else
            fwrite(at, 1, len, out);
        at += len ? len : 1;
    }
    putc('"', out);
}

/* Relative to the page; of a directory with its slash. */
static void put_url(FILE *out, const struct gl_name *name)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const char *at = name->text; *at; at++)
        if (strchr(plain, *at))
            putc(*at, out);
        else
            fprintf(out, "%%%02X", (unsigned)(unsigned char)*at);
    if (name->kind == GL_NAME_DIRECTORY)
        putc('/', out);
}

static void put_time(FILE *out, int64_t unix_s, char between, const char *end)
{
    struct tm tm;
    time_t when = (time_t)unix_s;
    if (gmtime_r(&when, &tm))
        fprintf(out, "%04d-%02d-%02d%c%02d:%02d:%02d%s", tm.tm_year + 1900, tm.tm_mon + 1,
            tm.tm_mday, between, tm.tm_hour, tm.tm_min, tm.tm_sec, end);
}

/* ---- pages ---- */

static int compare(const void *a, const void *b)
{
    const struct gl_name *left = a;
    const struct gl_name *right = b;
    int kinds = (left->kind != GL_NAME_DIRECTORY) - (right->kind != GL_NAME_DIRECTORY);
    return kinds ? kinds : strcmp(left->text, right->text);
}

void gl_page_sort(struct gl_page *page)
{
    if (page->count > 1)
        qsort(page->names, page->count, sizeof *page->names, compare);
}

static void put_row(FILE *out, const struct gl_name *name)
{
    fputs("<tr><td><a href=\"", out);
    put_url(out, name);
    fputs("\">", out);
    put_html(out, name->text);
    fputs(name->kind == GL_NAME_DIRECTORY ? "/</a><td>" : "</a><td>", out);
    if (name->kind == GL_NAME_FILE)
        fprintf(out, "%" PRId64, name->size);
    fputs("<td>", out);
    put_time(out, name->mtime_s, ' ', "");
    putc('\n', out);
}

static void put_page_html(FILE *out, const struct gl_page *page)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>", out);
    put_html(out, page->path);
    fputs("</title>\n<style>td{padding:0 1em}td+td{text-align:right}</style>\n<h1>", out);
    put_html(out, page->path);
    fputs("</h1>\n<table>\n<tr><th>Name<th>Bytes<th>Changed (UTC)\n", out);
    if (page->has_parent)
        fputs("<tr><td><a href=\"../\">../</a><td><td>\n", out);
    for (size_t i = 0; i < page->count; i++)
        put_row(out, &page->names[i]);
    fputs("</table>\n", out);
    if (page->cut)
        fprintf(out, "<p>There are more names than these %zu.\n", page->count);
    else if (page->partial)
        fputs("<p>Names may be missing: a part of the volume is away.\n", out);
    fputs("</html>\n", out);
}

static void put_page_json(FILE *out, const struct gl_page *page)
{
    static const char *const kinds[] = {"directory", "file", "link"};
    fputs("{\"path\":", out);
    put_json(out, page->path);
    fprintf(out, ",\"complete\":%s,\"entries\":[", page->cut || page->partial ? "false" : "true");
    for (size_t i = 0; i < page->count; i++) {
        const struct gl_name *name = &page->names[i];
        fputs(i ? ",\n{\"name\":" : "\n{\"name\":", out);
        put_json(out, name->text);
        fputs(",\"url\":\"", out);
        put_url(out, name);
        fprintf(out, "\",\"type\":\"%s\"", kinds[name->kind]);
        if (name->kind == GL_NAME_FILE)
            fprintf(out, ",\"size\":%" PRId64, name->size);
        fputs(",\"mtime\":\"", out);
        put_time(out, name->mtime_s, 'T', "Z");
        fputs("\"}", out);
    }
    fputs("\n]}\n", out);
}

static char *render(
    const struct gl_page *page, void (*put)(FILE *, const struct gl_page *), size_t *ret_len)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    put(out, page);
    bool failed = ferror(out);
    if (fclose(out) || failed) {
        free(text);
        return NULL;
    }
    *ret_len = len;
    return text;
}

char *gl_page_html(const struct gl_page *page, size_t *ret_len)
{
    return render(page, put_page_html, ret_len);
}

char *gl_page_json(const struct gl_page *page, size_t *ret_len)
{
    return render(page, put_page_json, ret_len);
}
