/* Executes directives: blocks (for, if), include, placeholders; everything else
 * becomes a setting. Pure.
 *
 * The blocks of a source are matched before it runs, so that an open one is
 * reported with its line whatever the conditions are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

#include <stdlib.h>

static void run_range(struct lg_source *source, size_t from, size_t to, const char *item,
    const char *loop_item, unsigned depth);

/* ---- Matching ------------------------------------------------------------------ */

static bool is_loop(enum lg_opt opt)
{
    return opt == LG_OPT_for || opt == LG_OPT_for_glob;
}

static bool is_condition(enum lg_opt opt)
{
    switch (opt) {
    case LG_OPT_if_env:
    case LG_OPT_if_not_env:
    case LG_OPT_if_file:
    case LG_OPT_if_not_file:
    case LG_OPT_if_dir:
    case LG_OPT_if_not_dir:
    case LG_OPT_if_exists:
    case LG_OPT_if_not_exists:
    case LG_OPT_if_hostname:
    case LG_OPT_if_not_hostname:
    case LG_OPT_if_opt:
    case LG_OPT_if_not_opt:
        return true;
    default:
        return false;
    }
}

struct blocks {
    struct lg_source *source;
    size_t open[LG_CONF_NESTING_MAX];
    unsigned depth;
};

static void misplaced(const struct blocks *blocks, const struct lg_directive *row)
{
    struct lg_conf *conf = blocks->source->conf;
    const struct lg_directive *opener =
        blocks->depth ? &blocks->source->rows[blocks->open[blocks->depth - 1]] : NULL;
    if (!opener)
        lg_conf_report(conf, LG_DIAG_ERROR, row->where, "\"%s\" without %s before it", row->key,
            row->opt == LG_OPT_endfor ? "a for" : "an if");
    else
        lg_conf_report(conf, LG_DIAG_ERROR, row->where,
            "\"%s\" inside \"%s\" of line %u: expected \"%s\" first", row->key, opener->key,
            opener->where.line, is_loop(opener->opt) ? "endfor" : "endif");
}

static bool open_block(struct blocks *blocks, size_t i)
{
    const struct lg_directive *row = &blocks->source->rows[i];
    if (blocks->depth == LG_CONF_NESTING_MAX) {
        lg_conf_report(blocks->source->conf, LG_DIAG_ERROR, row->where,
            "\"%s\" nests more than %d deep", row->key, LG_CONF_NESTING_MAX);
        return false;
    }
    blocks->open[blocks->depth++] = i;
    return true;
}

static bool close_block(struct blocks *blocks, size_t i)
{
    struct lg_directive *rows = blocks->source->rows;
    struct lg_directive *opener = blocks->depth ? &rows[blocks->open[blocks->depth - 1]] : NULL;
    bool wants_loop = rows[i].opt == LG_OPT_endfor;
    bool is_else = rows[i].opt == LG_OPT_else;
    if (!opener || is_loop(opener->opt) != wants_loop || (is_else && opener->branch)) {
        misplaced(blocks, &rows[i]);
        return false;
    }
    if (is_else) {
        opener->branch = i;
        return true;
    }
    opener->end = i;
    blocks->depth--;
    return true;
}

/* Fills `branch` and `end`; false when the blocks do not match. */
static bool match_blocks(struct lg_source *source)
{
    struct blocks blocks = {.source = source};
    bool ok = true;
    for (size_t i = 0; i < source->count; i++) {
        const struct lg_directive *row = &source->rows[i];
        if (!row->is_known)
            continue;
        if (is_loop(row->opt) || is_condition(row->opt))
            ok = open_block(&blocks, i);
        else if (row->opt == LG_OPT_endfor || row->opt == LG_OPT_endif || row->opt == LG_OPT_else)
            ok = close_block(&blocks, i);
        if (!ok)
            return false;
    }
    for (unsigned i = 0; i < blocks.depth; i++) {
        const struct lg_directive *row = &source->rows[blocks.open[i]];
        lg_conf_report(source->conf, LG_DIAG_ERROR, row->where,
            "\"%s = %s\" is never closed: expected \"%s\" before the end", row->key, row->value,
            is_loop(row->opt) ? "endfor" : "endif");
        ok = false;
    }
    return ok;
}

/* ---- Conditions ------------------------------------------------------------------ */

/* "NAME" or "NAME=value" against `value` (NULL = not there). */
static bool matches(const char *value, struct lg_slice wanted)
{
    return value && (!wanted.ptr || lg_slice_eq(lg_slice_of(value), wanted));
}

static const char *given_value(struct lg_conf *conf, struct lg_slice name, struct lg_where where)
{
    enum lg_opt opt;
    if (!lg_opt_find(name, &opt))
        return NULL;
    for (size_t i = 0; i < conf->setting_count; i++)
        if (conf->settings[i].opt == opt)
            return lg_conf_expand(conf, conf->settings[i].text, NULL, where);
    return NULL;
}

static bool test_named(struct lg_conf *conf, enum lg_opt opt, const char *text,
    struct lg_where where, const char **ret_item)
{
    struct lg_slice wanted;
    struct lg_slice name = lg_slice_cut(lg_slice_of(text), '=', &wanted);
    const char *value = NULL;
    name = lg_slice_trim(name);
    wanted = lg_slice_trim(wanted);
    if (opt == LG_OPT_if_env || opt == LG_OPT_if_not_env) {
        char *copy = lg_conf_copy(conf, name.ptr, name.len);
        value = copy ? conf->facts->env(conf->facts->data, copy) : NULL;
    } else {
        value = given_value(conf, name, where);
    }
    *ret_item = value;
    return matches(value, wanted);
}

/* Whether the `if` holds, its "not" taken into account. */
static bool test(struct lg_conf *conf, enum lg_opt opt, const char *text, struct lg_where where,
    const char **ret_item)
{
    const struct lg_conf_facts *facts = conf->facts;
    *ret_item = text;
    switch (opt) {
    case LG_OPT_if_env:
    case LG_OPT_if_opt:
        return test_named(conf, opt, text, where, ret_item);
    case LG_OPT_if_not_env:
    case LG_OPT_if_not_opt:
        return !test_named(conf, opt, text, where, ret_item);
    case LG_OPT_if_file:
        return facts->path_is(facts->data, text, 'f');
    case LG_OPT_if_not_file:
        return !facts->path_is(facts->data, text, 'f');
    case LG_OPT_if_dir:
        return facts->path_is(facts->data, text, 'd');
    case LG_OPT_if_not_dir:
        return !facts->path_is(facts->data, text, 'd');
    case LG_OPT_if_exists:
        return facts->path_is(facts->data, text, 'e');
    case LG_OPT_if_not_exists:
        return !facts->path_is(facts->data, text, 'e');
    case LG_OPT_if_hostname:
        return facts->hostname && strcmp(facts->hostname, text) == 0;
    default: /* LG_OPT_if_not_hostname */
        return !facts->hostname || strcmp(facts->hostname, text) != 0;
    }
}

static void run_if(struct lg_source *source, size_t at, const char *argument, const char *loop_item,
    unsigned depth)
{
    const struct lg_directive row = source->rows[at];
    const char *item = NULL;
    bool holds = test(source->conf, row.opt, argument, row.where, &item);
    /* Inside a for, %(_) stays the word of the for: what the if is about can be
     * written out, the word cannot. */
    if (loop_item)
        item = loop_item;
    if (holds)
        run_range(source, at + 1, row.branch ? row.branch : row.end, item, loop_item, depth + 1);
    else if (row.branch)
        run_range(source, row.branch + 1, row.end, loop_item, loop_item, depth + 1);
}

/* ---- Loops ------------------------------------------------------------------------- */

struct loop {
    struct lg_source *source;
    size_t at;
    unsigned depth;
};

static void run_turn(void *arg, const char *word)
{
    const struct loop *loop = arg;
    const char *copy = lg_conf_copy(loop->source->conf, word, strlen(word));
    if (copy)
        run_range(loop->source, loop->at + 1, loop->source->rows[loop->at].end, copy, copy,
            loop->depth + 1);
}

static void run_for(struct lg_source *source, size_t at, const char *argument, unsigned depth)
{
    struct lg_conf *conf = source->conf;
    struct loop loop = {source, at, depth};
    if (source->rows[at].opt == LG_OPT_for_glob) {
        conf->facts->glob(conf->facts->data, argument, run_turn, &loop);
        return;
    }
    for (const char *text = argument; *text && !conf->err;) {
        size_t blanks = strspn(text, " \t\r\n");
        size_t len = strcspn(text + blanks, " \t\r\n");
        char *word = len ? lg_conf_copy(conf, text + blanks, len) : NULL;
        if (word)
            run_turn(&loop, word);
        text += blanks + len;
    }
}

/* ---- Single directives --------------------------------------------------------------- */

static void set_variable(
    struct lg_conf *conf, struct lg_slice name, struct lg_slice value, struct lg_where where)
{
    for (size_t i = 0; i < conf->variable_count; i++) {
        const struct lg_variable *old = &conf->variables[i];
        if (!lg_slice_eq(old->name, name) || lg_slice_eq(lg_slice_of(old->text), value))
            continue;
        lg_conf_report(conf, LG_DIAG_WARN, where,
            "placeholder \"%.*s\" was set before (%s:%u): the first value counts", (int)name.len,
            name.ptr, old->where.file, old->where.line);
        return;
    }
    char *text = lg_conf_copy(conf, value.ptr ? value.ptr : "", value.len);
    if (!text || conf->variable_count >= LG_CONF_SETTINGS_MAX ||
        !lg_conf_grow(conf, &conf->variables, &conf->variable_cap, conf->variable_count,
            sizeof *conf->variables))
        return;
    conf->variables[conf->variable_count++] = (struct lg_variable){name, text, where};
}

/* `argument` outlives the call: it is in the arena. */
static void run_set(struct lg_source *source, const struct lg_directive *row, const char *argument)
{
    struct lg_conf *conf = source->conf;
    struct lg_slice value;
    struct lg_slice name = lg_slice_trim(lg_slice_cut(lg_slice_of(argument), '=', &value));
    if (!name.len || !value.ptr) {
        lg_conf_report(conf, LG_DIAG_ERROR, row->where, "\"%s = %s\": expected \"%s = name=value\"",
            row->key, argument, row->key);
        return;
    }
    value = lg_slice_trim(value);
    enum lg_opt opt;
    if (row->opt != LG_OPT_set || !lg_opt_find(name, &opt)) {
        set_variable(conf, name, value, row->where);
        return;
    }
    char *text = lg_conf_copy(conf, value.ptr, value.len);
    if (text)
        lg_conf_add(conf, opt, text, row->where);
}

static void run_unknown(struct lg_conf *conf, const struct lg_directive *row)
{
    if (lg_conf_grow(
            conf, &conf->unknowns, &conf->unknown_cap, conf->unknown_count, sizeof *conf->unknowns))
        conf->unknowns[conf->unknown_count++] =
            (struct lg_unknown){lg_slice_of(row->key), row->where, !row->has_equals};
}

/* Runs the directive at `at`; the index of the next one. */
static size_t run_one(
    struct lg_source *source, size_t at, const char *item, const char *loop_item, unsigned depth)
{
    struct lg_conf *conf = source->conf;
    const struct lg_directive row = source->rows[at]; /* rows never move while running */
    if (!row.is_known) {
        run_unknown(conf, &row);
        return at + 1;
    }
    const char *value = lg_conf_expand_item(conf, row.value, item, row.where);
    if (!value)
        return at + 1;
    if (!(lg_opt_row(row.opt)->flags & LG_F_DIRECTIVE)) {
        lg_conf_add(conf, row.opt, value, row.where);
        return at + 1;
    }
    if (row.opt == LG_OPT_set || row.opt == LG_OPT_set_placeholder) {
        run_set(source, &row, value);
        return at + 1;
    }
    value = lg_conf_expand(conf, value, item, row.where);
    if (!value)
        return row.end ? row.end + 1 : at + 1;
    if (is_loop(row.opt))
        run_for(source, at, value, depth);
    else if (is_condition(row.opt))
        run_if(source, at, value, loop_item, depth);
    else
        lg_conf_run_file(source, conf, value, row.where);
    return row.end ? row.end + 1 : at + 1;
}

static void run_range(struct lg_source *source, size_t from, size_t to, const char *item,
    const char *loop_item, unsigned depth)
{
    size_t at = from;
    while (at < to && !source->conf->err && lg_conf_step(source->conf, source->rows[at].where))
        at = run_one(source, at, item, loop_item, depth);
}

void lg_conf_run(struct lg_source *source)
{
    if (match_blocks(source))
        run_range(source, 0, source->count, NULL, NULL, 0);
}

/* ---- Files ------------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_open_already(const struct lg_source *source)
{
    for (const struct lg_source *s = source->parent; s; s = s->parent)
        if (same_text(s->file, source->file) && same_text(s->section, source->section))
            return true;
    return false;
}

static bool may_open(const struct lg_source *source, struct lg_where where)
{
    struct lg_conf *conf = source->conf;
    if (is_open_already(source)) {
        lg_conf_report(
            conf, LG_DIAG_ERROR, where, "\"%s\" includes itself by way of this line", source->file);
        return false;
    }
    if (source->depth > LG_CONF_NESTING_MAX) {
        lg_conf_report(conf, LG_DIAG_ERROR, where, "\"%s\": includes nest more than %d deep",
            source->file, LG_CONF_NESTING_MAX);
        return false;
    }
    return true;
}

/* "file", "file:section", ":section" of the same file. A path with a colon that
 * exists is a file. */
static void split_spec(struct lg_source *source, const char *spec)
{
    const struct lg_conf_facts *facts = source->conf->facts;
    const char *colon = strrchr(spec, ':');
    source->file = spec;
    if (!colon || facts->path_is(facts->data, spec, 'e'))
        return;
    source->section = colon + 1;
    source->file = lg_conf_copy(source->conf, spec, (size_t)(colon - spec));
    if (colon == spec && source->parent)
        source->file = source->parent->file;
}

static void read_source(struct lg_source *source, struct lg_where where)
{
    struct lg_conf *conf = source->conf;
    char *text = NULL;
    size_t len = 0;
    int err = conf->facts->read_file(conf->facts->data, source->file, &text, &len);
    if (err) {
        lg_conf_report(conf, LG_DIAG_ERROR, where, "\"%s\": the file %s", source->file,
            err == -LG_E_NOTFOUND ? "does not exist" : "cannot be read");
        return;
    }
    if (len > LG_CONF_FILE_MAX)
        lg_conf_report(conf, LG_DIAG_ERROR, where, "\"%s\" is larger than 16 MiB", source->file);
    else
        lg_conf_parse_ini(source, text, len);
    free(text);
    lg_conf_run(source);
}

void lg_conf_run_file(
    const struct lg_source *parent, struct lg_conf *conf, const char *spec, struct lg_where where)
{
    struct lg_source source = {
        .conf = conf, .parent = parent, .depth = parent ? parent->depth + 1 : 0};
    if (!spec[0]) {
        lg_conf_report(conf, LG_DIAG_ERROR, where, "expected the name of an ini file");
        return;
    }
    split_spec(&source, spec);
    if (source.file && may_open(&source, where))
        read_source(&source, where);
    free(source.rows);
}
