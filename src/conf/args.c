/* The environment and the command line as sources of directives. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

#include <stdlib.h>

/* ---- Environment ------------------------------------------------------------ */

static char *option_name_of(struct lg_conf *conf, struct lg_slice variable)
{
    char *name = lg_conf_copy(conf, variable.ptr, variable.len);
    for (char *c = name; c && *c; c++) {
        if (*c == '_')
            *c = '-';
        else if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return name;
}

static void report_variable(
    struct lg_conf *conf, const struct lg_directive *row, struct lg_slice variable)
{
    struct lg_slice near = lg_opt_nearest(lg_slice_of(row->key));
    char *name = near.ptr ? lg_conf_copy(conf, near.ptr, near.len) : NULL;
    for (char *c = name; c && *c; c++)
        *c = (char)(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    lg_conf_report(conf, LG_DIAG_WARN, row->where, "unknown option \"%.*s\"%s%s%s",
        (int)variable.len, variable.ptr, name ? ": did you mean \"LEGATUS_" : "", name ? name : "",
        name ? "\"?" : "");
}

/* UWSGI_PROFILE and others like it are no options, so a strange UWSGI_ name says
 * nothing; a strange LEGATUS_ name was meant for us. */
static void read_variable(struct lg_source *source, const char *text)
{
    struct lg_conf *conf = source->conf;
    struct lg_slice whole = lg_slice_of(text), value;
    struct lg_slice variable = lg_slice_cut(whole, '=', &value);
    bool is_ours = lg_slice_starts(variable, LG_SLICE("LEGATUS_"));
    if ((!is_ours && !lg_slice_starts(variable, LG_SLICE("UWSGI_"))) || !value.ptr)
        return;
    size_t skip = is_ours ? sizeof "LEGATUS_" - 1 : sizeof "UWSGI_" - 1;
    char *name = option_name_of(conf, lg_slice_from(variable.ptr + skip, variable.len - skip));
    value = lg_slice_trim(value);
    struct lg_directive row = {.key = name,
        .value = lg_conf_copy(conf, value.ptr, value.len),
        .where = {source->file, 0},
        .has_equals = true};
    if (!name || !row.value)
        return;
    row.is_known = lg_opt_find(lg_slice_of(name), &row.opt);
    if (row.is_known) {
        lg_source_push(source, &row);
        return;
    }
    if (is_ours)
        report_variable(conf, &row, variable);
}

void lg_conf_run_environment(struct lg_conf *conf)
{
    struct lg_source source = {.conf = conf, .file = "environment"};
    const char *const *list = conf->facts->environ;
    for (size_t i = 0; list && list[i] && !conf->err; i++)
        read_variable(&source, list[i]);
    lg_conf_run(&source);
    free(source.rows);
}

/* ---- Command line ------------------------------------------------------------- */

struct cursor {
    struct lg_source source;
    const char *const *argv;
    int argc;
    int at;
};

static bool has_suffix(const char *text, const char *suffix)
{
    size_t len = strlen(text), tail = strlen(suffix);
    return len >= tail && strcmp(text + len - tail, suffix) == 0;
}

static bool looks_like_ini(const char *text)
{
    const char *colon = strrchr(text, ':');
    return has_suffix(text, ".ini") || strcmp(text, "-") == 0 ||
           (colon && colon - text > 4 && strncmp(colon - 4, ".ini", 4) == 0);
}

static bool value_is_optional(const struct lg_row *row)
{
    return row->type == LG_TYPE_BOOL || (row->flags & (LG_F_SWITCH | LG_F_BARE | LG_F_NO_VALUE));
}

/* "--master true", "--http-keepalive 30" */
static bool looks_like_value(const char *text)
{
    static const char *const words[] = {"true", "false", "on", "off", "yes", "no"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return text[0] >= '0' && text[0] <= '9';
}

/* The value of an option that wants one: the next word. */
static const char *next_value(struct cursor *cursor, const struct lg_directive *row)
{
    const struct lg_row *table = lg_opt_row(row->opt);
    const char *next = cursor->at < cursor->argc ? cursor->argv[cursor->at] : NULL;
    if (value_is_optional(table)) {
        if (!next || !looks_like_value(next))
            return "";
        cursor->at++;
        return next;
    }
    /* Whether a missing option has a value nobody knows: what looks like one is
     * skipped, so that one mistake is reported once. */
    if (table->status == LG_STATUS_MISSING && (!next || next[0] == '-' || looks_like_ini(next)))
        return "";
    if (next && strncmp(next, "--", 2) != 0) {
        cursor->at++;
        return next;
    }
    lg_conf_report(cursor->source.conf, LG_DIAG_ERROR, row->where, "\"%s\": expected %s after it",
        row->key, lg_conf_expected(cursor->source.conf, row->opt));
    return NULL;
}

static void push_argument(struct cursor *cursor, struct lg_directive *row, const char *value)
{
    struct lg_conf *conf = cursor->source.conf;
    if (!value && row->is_known)
        value = next_value(cursor, row);
    else if (!value)
        value = "";
    if (!value)
        return;
    struct lg_slice trimmed = lg_slice_trim(lg_slice_of(value));
    row->value = lg_conf_copy(conf, trimmed.ptr, trimmed.len);
    if (row->value)
        lg_source_push(&cursor->source, row);
}

static void read_long(struct cursor *cursor, struct lg_directive *row, const char *text)
{
    struct lg_slice value;
    struct lg_slice name = lg_slice_cut(lg_slice_of(text), '=', &value);
    row->key = lg_conf_copy(cursor->source.conf, name.ptr, name.len);
    if (!row->key)
        return;
    row->is_known = lg_opt_find(name, &row->opt);
    row->has_equals = true;
    if (!row->is_known && !value.ptr && cursor->at < cursor->argc &&
        cursor->argv[cursor->at][0] != '-' && !looks_like_ini(cursor->argv[cursor->at]))
        cursor->at++; /* most likely its value */
    push_argument(cursor, row, value.ptr);
}

/* "-M", "-p4", "-p 4"; letters of options without a value may follow each other. */
static void read_short(struct cursor *cursor, const char *text)
{
    struct lg_conf *conf = cursor->source.conf;
    for (const char *c = text; *c; c++) {
        struct lg_directive row = {.where = {cursor->source.file, 0}, .has_equals = true};
        if (!lg_opt_find_short(*c, &row.opt)) {
            lg_conf_report(conf, LG_DIAG_ERROR, row.where, "unknown option \"-%c\"", *c);
            return;
        }
        row.is_known = true;
        row.key = lg_opt_name(row.opt);
        if (lg_opt_row(row.opt)->type == LG_TYPE_BOOL) {
            push_argument(cursor, &row, "");
            continue;
        }
        push_argument(cursor, &row, c[1] ? c + 1 : NULL);
        return;
    }
}

static void read_word(struct cursor *cursor, const char *text)
{
    struct lg_conf *conf = cursor->source.conf;
    struct lg_directive row = {.where = {cursor->source.file, 0}};
    if (strncmp(text, "--", 2) == 0 && text[2]) {
        read_long(cursor, &row, text + 2);
    } else if (text[0] == '-' && text[1]) {
        read_short(cursor, text + 1);
    } else if (looks_like_ini(text)) {
        row.key = "ini";
        row.opt = LG_OPT_ini;
        row.is_known = true;
        push_argument(cursor, &row, text);
    } else {
        lg_conf_report(conf, LG_DIAG_ERROR, row.where,
            "\"%s\": expected an option (--name) or a file whose name ends in .ini", text);
    }
}

void lg_conf_run_arguments(struct lg_conf *conf, int argc, const char *const *argv)
{
    struct cursor cursor = {
        .source = {.conf = conf, .file = "command line"}, .argv = argv, .argc = argc};
    while (cursor.at < argc && !conf->err)
        read_word(&cursor, argv[cursor.at++]);
    lg_conf_run(&cursor.source);
    free(cursor.source.rows);
}
