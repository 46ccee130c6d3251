/* How long an answer stays fresh with the client: uWSGI's static-expires options.
 * The first rule that matches is taken, in the order of `families`, each in the
 * order of the configuration. The master reads them; the loop asks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECONDS_MAX ((int64_t)100 * 366 * 86400)

enum subject { BY_FILE, BY_PATH_INFO, BY_URI, BY_TYPE };

struct gl_rule {
    enum subject subject;
    enum lg_expires from;
    int64_t after_s;
    struct gl_regex *regex; /* NULL BY_TYPE */
    char *type;             /* only BY_TYPE */
};

static const struct family {
    const char *option;
    enum subject subject;
    enum lg_expires from;
} families[] = {
    {"static-expires", BY_FILE, LG_EXPIRES_FROM_NOW},
    {"static-expires-mtime", BY_FILE, LG_EXPIRES_FROM_MTIME},
    {"static-expires-path-info", BY_PATH_INFO, LG_EXPIRES_FROM_NOW},
    {"static-expires-path-info-mtime", BY_PATH_INFO, LG_EXPIRES_FROM_MTIME},
    {"static-expires-uri", BY_URI, LG_EXPIRES_FROM_NOW},
    {"static-expires-uri-mtime", BY_URI, LG_EXPIRES_FROM_MTIME},
    {"static-expires-type", BY_TYPE, LG_EXPIRES_FROM_NOW},
    {"static-expires-type-mtime", BY_TYPE, LG_EXPIRES_FROM_MTIME},
};
#define FAMILIES (sizeof families / sizeof *families)

/* ---- options ---- */

static bool read_seconds(const char *text, int64_t *ret_s)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 10)
        return false;
    *ret_s = strtoll(text, &end, 10);
    return *end == '\0' && *ret_s <= SECONDS_MAX;
}

/* The blank or '=' before the seconds; NULL with a report when there is none. */
static const char *find_seconds(struct lg_plugin_context *context, const struct family *family,
    size_t i, const char *text, struct gl_rule *rule)
{
    bool by_type = family->subject == BY_TYPE;
    const char *cut = strrchr(text, by_type ? '=' : ' ');
    if (!cut || cut == text || !read_seconds(cut + 1, &rule->after_s)) {
        lg_option_error(context, family->option, i,
            "\"%s\" is not %s, as in %s = %s; SECONDS is a number up to a hundred years", text,
            by_type ? "TYPE=SECONDS" : "REGEX SECONDS", family->option,
            by_type ? "text/css=3600" : "\\.css$ 3600");
        return NULL;
    }
    return cut;
}

static bool read_rule(
    struct lg_plugin_context *context, const struct family *family, size_t i, struct gl_rule *rule)
{
    const char *text = lg_option_text(context, family->option, i);
    const char *cut = find_seconds(context, family, i, text, rule);
    if (!cut)
        return false;
    size_t len = (size_t)(cut - text);
    rule->subject = family->subject;
    rule->from = family->from;
    if (family->subject == BY_TYPE)
        rule->type = strndup(text, len);
    else
        rule->regex = gl_regex_new(context, family->option, i, text, len);
    return rule->type || rule->regex;
}

bool gl_expires_read(struct lg_plugin_context *context, struct gl_site *site)
{
    bool ok = true;
    size_t count = 0;
    for (size_t f = 0; f < FAMILIES; f++)
        count += lg_option_count(context, families[f].option);
    if (count == 0)
        return true;
    site->rules = calloc(count, sizeof *site->rules);
    if (!site->rules)
        return false;
    for (size_t f = 0; f < FAMILIES; f++)
        for (size_t i = 0; i < lg_option_count(context, families[f].option); i++) {
            struct gl_rule *rule = &site->rules[site->rule_count++];
            ok = read_rule(context, &families[f], i, rule) && ok;
            site->rules_want_request |= rule->subject == BY_PATH_INFO || rule->subject == BY_URI;
        }
    return ok;
}

void gl_expires_free(struct gl_site *site)
{
    for (size_t i = 0; i < site->rule_count; i++) {
        gl_regex_free(site->rules[i].regex);
        free(site->rules[i].type);
    }
    free(site->rules);
}

/* ---- asking ---- */

/* "text/html" is also "text/html; charset=utf-8". */
static bool is_type(const char *type, const char *rule)
{
    size_t len = strcspn(type, "; ");
    return len == strlen(rule) && strncasecmp(type, rule, len) == 0;
}

static bool matches(const struct gl_rule *rule, const struct gl_subjects *subjects)
{
    switch (rule->subject) {
    case BY_FILE:
        return gl_regex_matches(rule->regex, subjects->file);
    case BY_PATH_INFO:
        return subjects->path_info && gl_regex_matches(rule->regex, subjects->path_info);
    case BY_URI:
        return subjects->uri && gl_regex_matches(rule->regex, subjects->uri);
    case BY_TYPE:
        break;
    }
    return is_type(subjects->type, rule->type);
}

const struct gl_rule *gl_expires_find(
    const struct gl_site *site, const struct gl_subjects *subjects)
{
    for (size_t i = 0; i < site->rule_count; i++)
        if (matches(&site->rules[i], subjects))
            return &site->rules[i];
    return NULL;
}

void gl_expires_apply(const struct gl_rule *rule, struct lg_entity *entity)
{
    if (!rule)
        return;
    entity->expires = (int)rule->from;
    entity->expires_after_s = rule->after_s;
}
