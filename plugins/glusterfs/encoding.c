/* Encoded files beside a file: FILE.br, FILE.zst, FILE.gz. Which files may have
 * them, and which of them a client is to have. Loop and master; the looking is
 * store.c's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <stdlib.h>
#include <string.h>

static const struct known {
    struct gl_encoding encoding; /* first */
    const char *other_name;
} known[] = {
    {{"br", ".br"}, "brotli"},
    {{"zstd", ".zst"}, "zst"},
    {{"gzip", ".gz"}, "gz"},
};
#define KNOWN_COUNT (sizeof known / sizeof *known)
_Static_assert(KNOWN_COUNT <= GL_ENCODINGS_MAX, "room for all of them");

/* ---- options ---- */

static bool add_encoding(
    struct lg_plugin_context *context, struct gl_site *site, size_t i, const char *name)
{
    for (size_t k = 0; k < KNOWN_COUNT; k++) {
        const struct gl_encoding *encoding = &known[k].encoding;
        if (strcmp(name, encoding->coding) != 0 && strcmp(name, known[k].other_name) != 0)
            continue;
        for (size_t e = 0; e < site->encoding_count; e++)
            if (site->encodings[e] == encoding)
                return true;
        site->encodings[site->encoding_count++] = encoding;
        return true;
    }
    lg_option_error(context, "glusterfs-precompressed", i,
        "\"%s\" is no encoding that can lie beside a file: br, zst and gz can", name);
    return false;
}

static bool read_encodings(
    struct lg_plugin_context *context, struct gl_site *site, size_t i, const char *text)
{
    bool ok = true;
    char *copy = strdup(text);
    char *next = copy;
    if (!copy)
        return false;
    for (char *name = strsep(&next, " \t,"); name; name = strsep(&next, " \t,"))
        if (name[0])
            ok = add_encoding(context, site, i, name) && ok;
    free(copy);
    return ok;
}

static bool read_texts(
    struct lg_plugin_context *context, const char *option, struct gl_texts *ret_texts)
{
    size_t count = lg_option_count(context, option);
    ret_texts->items = calloc(count ? count : 1, sizeof *ret_texts->items);
    for (size_t i = 0; ret_texts->items && i < count; i++) {
        const char *text = lg_option_text(context, option, i);
        if (!text[0]) {
            lg_option_error(context, option, i,
                "an empty text would mean every file: use "
                "static-gzip-all for that");
            return false;
        }
        ret_texts->items[ret_texts->count++] = text;
    }
    return ret_texts->items != NULL;
}

static bool read_regexes(struct lg_plugin_context *context, struct gl_site *site)
{
    size_t count = lg_option_count(context, "static-gzip");
    bool ok = true;
    site->gzip_regexes = calloc(count ? count : 1, sizeof *site->gzip_regexes);
    for (size_t i = 0; site->gzip_regexes && i < count; i++) {
        const char *text = lg_option_text(context, "static-gzip", i);
        struct gl_regex *regex = gl_regex_new(context, "static-gzip", i, text, strlen(text));
        site->gzip_regexes[site->gzip_regex_count++] = regex;
        ok = ok && regex;
    }
    return ok && site->gzip_regexes;
}

bool gl_encoding_read(struct lg_plugin_context *context, struct gl_site *site)
{
    const char *option = "glusterfs-precompressed";
    size_t count = lg_option_count(context, option);
    bool all = lg_option_number(context, "static-gzip-all") != 0;
    if (!read_regexes(context, site) ||
        !read_texts(context, "static-gzip-dir", &site->gzip_prefixes) ||
        !read_texts(context, "static-gzip-ext", &site->gzip_suffixes))
        return false;
    bool some = site->gzip_regex_count + site->gzip_prefixes.count + site->gzip_suffixes.count > 0;
    site->gzip_all = all || !some;
    if (count > 0)
        return read_encodings(context, site, count - 1, lg_option_text(context, option, count - 1));
    return !(all || some) || read_encodings(context, site, 0, "br gz");
}

void gl_encoding_free(struct gl_site *site)
{
    for (size_t i = 0; i < site->gzip_regex_count; i++)
        gl_regex_free(site->gzip_regexes[i]);
    free(site->gzip_regexes);
    free(site->gzip_prefixes.items);
    free(site->gzip_suffixes.items);
}

/* ---- which files ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    size_t end_len = strlen(end);
    return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* What lies beside a file is not encoded once more. */
static bool is_encoded(const struct gl_site *site, const char *path)
{
    for (size_t i = 0; i < site->encoding_count; i++)
        if (ends_with(path, site->encodings[i]->suffix))
            return true;
    return false;
}

bool gl_encoding_applies(const struct gl_site *site, const char *path)
{
    if (site->encoding_count == 0 || is_encoded(site, path))
        return false;
    if (site->gzip_all)
        return true;
    for (size_t i = 0; i < site->gzip_suffixes.count; i++)
        if (ends_with(path, site->gzip_suffixes.items[i]))
            return true;
    for (size_t i = 0; i < site->gzip_prefixes.count; i++)
        if (strncmp(path, site->gzip_prefixes.items[i], strlen(site->gzip_prefixes.items[i])) == 0)
            return true;
    for (size_t i = 0; i < site->gzip_regex_count; i++)
        if (gl_regex_matches(site->gzip_regexes[i], path))
            return true;
    return false;
}

/* ---- which of them ---- */

bool gl_encoding_choose(
    const struct gl_site *site, const struct lg_request *request, struct gl_offer *offer)
{
    int weights[GL_ENCODINGS_MAX];
    int plain = lg_request_accepts_encoding(request, "identity");
    offer->plain_refused = plain == 0;
    offer->count = 0;
    for (size_t i = 0; i < site->encoding_count; i++) {
        int weight = lg_request_accepts_encoding(request, site->encodings[i]->coding);
        if (weight <= 0 || weight < plain)
            continue;
        size_t at = offer->count++;
        for (; at > 0 && weights[at - 1] < weight; at--) {
            weights[at] = weights[at - 1];
            offer->order[at] = offer->order[at - 1];
        }
        weights[at] = weight;
        offer->order[at] = site->encodings[i];
    }
    return offer->count > 0;
}

const char *gl_encoding_next(struct lg_request *request, struct gl_offer *offer, const char *name)
{
    if (offer->at >= offer->count)
        return NULL;
    offer->asked = offer->order[offer->at++];
    return lg_request_printf(request, "%s%s", name, offer->asked->suffix);
}

bool gl_encoding_is_usable(enum gl_kind kind, struct gl_mtime mtime, const struct gl_offer *offer)
{
    return (kind == GL_FILE || kind == GL_LARGE) && mtime.known && mtime.s >= offer->mtime.s;
}
