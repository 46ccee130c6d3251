/* What the files of the conf room share: the settings while they grow, and the
 * reading of one source. Pure; nobody outside the room includes it.
 *
 * Memory: every text lives in the arena of struct lg_conf. Running out of it is
 * remembered in `err`; later steps may go on, lg_conf_load reports it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CONF_INNER_H
#define LG_CONF_INNER_H

#include "base/arena.h"
#include "conf/conf.h"
#include "conf/table.h"

#define LG_CONF_MEMORY_MAX   ((size_t)64 << 20)
#define LG_CONF_FILE_MAX     ((size_t)16 << 20)
#define LG_CONF_VALUE_MAX    ((size_t)1 << 20) /* of one value, placeholders replaced */
#define LG_CONF_SETTINGS_MAX 16384             /* settings and variables */
#define LG_CONF_STEPS_MAX    200000            /* lines executed, placeholders replaced */
#define LG_CONF_DIAGS_MAX    256
#define LG_CONF_PLUGINS_MAX  64
#define LG_CONF_NESTING_MAX  16 /* include in include, block in block, %() in %() */

/* One key of a key-value setting, escapes undone. */
struct lg_pair {
    size_t setting; /* index */
    const char *key, *value;
};

/* set-placeholder name=value */
struct lg_variable {
    struct lg_slice name;
    const char *text; /* placeholders not replaced */
    struct lg_where where;
};

/* A name no table has: reported once everything is read, because what helps
 * depends on whether %(name) is used. */
struct lg_unknown {
    struct lg_slice name;
    struct lg_where where;
    bool is_bare;
};

struct lg_conf {
    struct lg_arena arena;
    struct lg_setting *settings;
    struct lg_diag *diags;
    struct lg_pair *pairs;
    struct lg_variable *variables;
    struct lg_unknown *unknowns;
    size_t setting_count, setting_cap;
    size_t diag_count, diag_cap;
    size_t pair_count, pair_cap;
    size_t variable_count, variable_cap;
    size_t unknown_count, unknown_cap;
    size_t error_count;
    size_t steps; /* against LG_CONF_STEPS_MAX */
    int64_t presets[LG_OPT_COUNT];
    const char *plugins[LG_CONF_PLUGINS_MAX];
    size_t plugin_count;
    const char *files[LG_CONF_DIAGS_MAX + 1]; /* that diagnostics name, for sorting them */
    size_t file_count;
    bool warned[LG_OPT_COUNT];         /* harmless options speak once */
    const struct lg_conf_facts *facts; /* only while loading */
    int err;                           /* 0 or -LG_E_NOMEM */
};

/* One "key = value", wherever it came from. */
struct lg_directive {
    const char *key;   /* as written */
    const char *value; /* "" for a bare key; placeholders of the second pass left in */
    struct lg_where where;
    bool has_equals; /* "key" and "key =" differ in what to advise */
    bool is_known;
    enum lg_opt opt; /* when known */
    /* Of the opening line of a block: the indices of its else (0 = none) and end.
     * Of an else: its end. */
    size_t branch, end;
};

/* The directives of one file, of the command line, or of the environment. */
struct lg_source {
    struct lg_conf *conf;
    const struct lg_source *parent; /* who included it; NULL at the top */
    const char *file;               /* as given */
    const char *section;            /* NULL = uwsgi or legatus */
    unsigned depth;
    struct lg_directive *rows;
    size_t count, cap;
};

/* conf.c: growing. Each answers false, with conf->err set, when memory is out. */
bool lg_conf_grow(struct lg_conf *conf, void *items_ptr, size_t *cap, size_t count, size_t size);
char *lg_conf_copy(struct lg_conf *conf, const char *text, size_t len);
char *lg_conf_printf(struct lg_conf *conf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Counts one step of work; false, with one error reported, when there were too many. */
bool lg_conf_step(struct lg_conf *conf, struct lg_where where);
/* Stores a value as written; it is replaced, parsed and checked later. */
void lg_conf_add(struct lg_conf *conf, enum lg_opt opt, const char *text, struct lg_where where);

/* ini.c: appends the directives of `text` to `source`; faults are reported. */
void lg_conf_parse_ini(struct lg_source *source, const char *text, size_t len);
bool lg_source_push(struct lg_source *source, const struct lg_directive *row);

/* expand.c. The first pass: %d %s %n ... over one raw line of a file. */
char *lg_conf_magic(const struct lg_source *source, const char *section, struct lg_slice raw);
/* The passes $(), @(), %(): `item` (may be NULL) is what %(_) stands for. Never
 * NULL unless memory is out or a limit was passed. */
const char *lg_conf_expand(
    struct lg_conf *conf, const char *text, const char *item, struct lg_where where);
/* The part of those passes a `for` needs: %(_) alone. */
const char *lg_conf_expand_item(
    struct lg_conf *conf, const char *text, const char *item, struct lg_where where);

/* run.c: executes a source's directives, including other files on the way. */
void lg_conf_run(struct lg_source *source);
void lg_conf_run_file(
    const struct lg_source *parent, struct lg_conf *conf, const char *spec, struct lg_where where);

/* args.c: the two sources that are no files. */
void lg_conf_run_environment(struct lg_conf *conf);
void lg_conf_run_arguments(struct lg_conf *conf, int argc, const char *const *argv);

/* value.c: text to number by the option's type; reports what is wrong. */
bool lg_conf_parse_value(struct lg_conf *conf, enum lg_opt opt, const char *text,
    struct lg_where where, int64_t *ret_number);
/* What the option takes, as in "a whole number from 1 to 1024". */
const char *lg_conf_expected(struct lg_conf *conf, enum lg_opt opt);
/* Splits a key-value setting into conf->pairs and checks its keys. */
void lg_conf_parse_pairs(struct lg_conf *conf, size_t setting);
/* A duration as one would write it ("24h", "1500ms"); a size likewise. */
const char *lg_conf_show_ms(struct lg_conf *conf, int64_t ms);

/* check.c: what only shows once all is read. */
void lg_conf_check_unknown(struct lg_conf *conf);
void lg_conf_check(struct lg_conf *conf);

#endif
