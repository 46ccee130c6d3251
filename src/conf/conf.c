/* Loading from end to end, and reading what was loaded. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

#include <stdlib.h>

/* ---- Growing ------------------------------------------------------------------- */

bool lg_conf_grow(struct lg_conf *conf, void *items_ptr, size_t *cap, size_t count, size_t size)
{
    void *items;
    if (count < *cap)
        return true;
    memcpy(&items, items_ptr, sizeof items);
    size_t cap_new = *cap ? *cap * 2 : 16;
    items = reallocarray(items, cap_new, size);
    if (!items) {
        conf->err = -LG_E_NOMEM;
        return false;
    }
    memcpy(items_ptr, &items, sizeof items);
    *cap = cap_new;
    return true;
}

char *lg_conf_copy(struct lg_conf *conf, const char *text, size_t len)
{
    char *copy = lg_arena_copy(&conf->arena, len ? text : "", len);
    if (!copy)
        conf->err = -LG_E_NOMEM;
    return copy;
}

static __attribute__((format(printf, 2, 0))) char *vprintf_copy(
    struct lg_conf *conf, const char *format, va_list args)
{
    struct lg_buf out = {0};
    char *text = NULL;
    if (lg_buf_vprintf(&out, format, args))
        conf->err = -LG_E_NOMEM;
    else
        text = lg_conf_copy(conf, out.ptr, out.len);
    lg_buf_free(&out);
    return text;
}

char *lg_conf_printf(struct lg_conf *conf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = vprintf_copy(conf, format, args);
    va_end(args);
    return text;
}

bool lg_conf_step(struct lg_conf *conf, struct lg_where where)
{
    if (conf->steps >= LG_CONF_STEPS_MAX)
        return false;
    if (++conf->steps == LG_CONF_STEPS_MAX) {
        lg_conf_report(conf, LG_DIAG_ERROR, where,
            "more than %d lines and placeholders once loops are unrolled", LG_CONF_STEPS_MAX);
        return false;
    }
    return true;
}

void lg_conf_add(struct lg_conf *conf, enum lg_opt opt, const char *text, struct lg_where where)
{
    if (conf->setting_count == LG_CONF_SETTINGS_MAX) {
        conf->steps = LG_CONF_STEPS_MAX - 1;
        (void)lg_conf_step(conf, where);
        return;
    }
    if (lg_conf_grow(
            conf, &conf->settings, &conf->setting_cap, conf->setting_count, sizeof *conf->settings))
        conf->settings[conf->setting_count++] = (struct lg_setting){opt, text, 0, where};
}

/* ---- Diagnostics ------------------------------------------------------------------ */

void lg_conf_report(
    struct lg_conf *conf, enum lg_diag_level level, struct lg_where where, const char *format, ...)
{
    conf->error_count += level == LG_DIAG_ERROR;
    if (conf->diag_count > LG_CONF_DIAGS_MAX)
        return;
    if (!lg_conf_grow(conf, &conf->diags, &conf->diag_cap, conf->diag_count, sizeof *conf->diags))
        return;
    va_list args;
    va_start(args, format);
    const char *text = vprintf_copy(conf, format, args);
    va_end(args);
    if (conf->diag_count == LG_CONF_DIAGS_MAX) {
        level = LG_DIAG_ERROR;
        text = "too many faults: the rest is not shown";
    }
    if (text)
        conf->diags[conf->diag_count++] = (struct lg_diag){level, where, text};
}

const struct lg_diag *lg_conf_diags(const struct lg_conf *conf, size_t *ret_count)
{
    *ret_count = conf->diag_count;
    return conf->diags;
}

/* By file, in the order the files first spoke up, then by line. */
static size_t rank_of(const struct lg_conf *conf, const struct lg_diag *diag)
{
    size_t i = 0;
    while (strcmp(conf->files[i], diag->where.file) != 0)
        i++;
    return i;
}

static bool comes_before(
    const struct lg_conf *conf, const struct lg_diag *a, const struct lg_diag *b)
{
    size_t rank_a = rank_of(conf, a), rank_b = rank_of(conf, b);
    return rank_a != rank_b ? rank_a < rank_b : a->where.line < b->where.line;
}

static void remember_file(struct lg_conf *conf, const char *file)
{
    for (size_t i = 0; i < conf->file_count; i++)
        if (strcmp(conf->files[i], file) == 0)
            return;
    conf->files[conf->file_count++] = file; /* one per diagnostic at most */
}

static void sort_diags(struct lg_conf *conf)
{
    for (size_t i = 0; i < conf->diag_count; i++)
        remember_file(conf, conf->diags[i].where.file);
    for (size_t i = 1; i < conf->diag_count; i++) {
        struct lg_diag diag = conf->diags[i];
        size_t to = i;
        for (size_t j = i; j > 0; j--)
            if (comes_before(conf, &diag, &conf->diags[j - 1]))
                to = j - 1;
        memmove(&conf->diags[to + 1], &conf->diags[to], (i - to) * sizeof diag);
        conf->diags[to] = diag;
    }
}

/* ---- Loading -------------------------------------------------------------------------- */

/* All are replaced before any is stored: %(option) looks at what was written. */
static void expand_settings(struct lg_conf *conf)
{
    const char **texts = calloc(conf->setting_count + 1, sizeof *texts);
    if (!texts) {
        conf->err = -LG_E_NOMEM;
        return;
    }
    for (size_t i = 0; i < conf->setting_count; i++)
        texts[i] = lg_conf_expand(conf, conf->settings[i].text, NULL, conf->settings[i].where);
    for (size_t i = 0; i < conf->setting_count; i++)
        conf->settings[i].text = texts[i]; /* NULL: reported, and dropped below */
    free(texts);
}

/* Answers whether the setting stays. */
static bool check_status(struct lg_conf *conf, const struct lg_setting *setting)
{
    const struct lg_row *row = lg_opt_row(setting->opt);
    if (row->status == LG_STATUS_MISSING) {
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "\"%s\" is a uWSGI option Legatus does not have yet", row->name);
        return false;
    }
    if (row->status == LG_STATUS_HARMLESS) {
        if (!conf->warned[setting->opt])
            lg_conf_report(conf, LG_DIAG_WARN, setting->where,
                "\"%s\" does nothing in Legatus, and nothing is lost: %s", row->name, row->help);
        conf->warned[setting->opt] = true;
        return false;
    }
    if ((row->flags & LG_F_CLI) && setting->where.line) {
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "\"%s\" belongs on the command line, as --%s", row->name, row->name);
        return false;
    }
    return true;
}

static void parse_settings(struct lg_conf *conf)
{
    size_t kept = 0;
    for (size_t i = 0; i < conf->setting_count; i++) {
        struct lg_setting setting = conf->settings[i];
        if (!check_status(conf, &setting) || !setting.text)
            continue;
        if (!lg_conf_parse_value(conf, setting.opt, setting.text, setting.where, &setting.number))
            continue;
        conf->settings[kept++] = setting;
    }
    conf->setting_count = kept;
    for (size_t i = 0; i < kept; i++)
        if (lg_opt_row(conf->settings[i].opt)->type == LG_TYPE_KEYVAL)
            lg_conf_parse_pairs(conf, i);
}

static void parse_presets(struct lg_conf *conf)
{
    for (unsigned i = 0; i < LG_OPT_COUNT; i++) {
        const char *preset = lg_opt_row((enum lg_opt)i)->preset;
        if (preset && strncmp(preset, "%(", 2) != 0)
            (void)lg_conf_parse_value(conf, (enum lg_opt)i, preset,
                (struct lg_where){"option table", 0}, &conf->presets[i]);
    }
}

static void add_plugin(struct lg_conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->plugin_count; i++)
        if (strcmp(conf->plugins[i], name) == 0)
            return;
    if (name[0] && conf->plugin_count < LG_CONF_PLUGINS_MAX)
        conf->plugins[conf->plugin_count++] = name;
}

static void collect_plugins(struct lg_conf *conf)
{
    for (size_t i = 0; i < conf->setting_count; i++) {
        const struct lg_setting *setting = &conf->settings[i];
        struct lg_slice rest = lg_slice_of(setting->text);
        while (setting->opt == LG_OPT_plugin && rest.len) {
            struct lg_slice name = lg_slice_trim(lg_slice_cut(rest, ',', &rest));
            const char *copy = lg_conf_copy(conf, name.ptr, name.len);
            if (copy)
                add_plugin(conf, copy);
        }
        if (lg_opt_plugin(setting->opt))
            add_plugin(conf, lg_opt_plugin(setting->opt));
        bool is_modifier =
            setting->opt == LG_OPT_http_socket_modifier1 || setting->opt == LG_OPT_http_modifier1;
        if (is_modifier && setting->number == 27)
            add_plugin(conf, "glusterfs");
    }
}

int lg_conf_load(
    const struct lg_conf_facts *facts, int argc, const char *const *argv, struct lg_conf **ret_conf)
{
    struct lg_conf *conf = calloc(1, sizeof *conf);
    *ret_conf = conf;
    if (!conf)
        return -LG_E_NOMEM;
    conf->facts = facts;
    lg_arena_init(&conf->arena, LG_CONF_MEMORY_MAX);
    parse_presets(conf);
    lg_conf_run_environment(conf);
    lg_conf_run_arguments(conf, argc, argv);
    lg_conf_check_unknown(conf);
    expand_settings(conf);
    parse_settings(conf);
    collect_plugins(conf);
    lg_conf_check(conf);
    sort_diags(conf);
    conf->facts = NULL;
    if (conf->err)
        return conf->err;
    return conf->error_count ? -LG_E_CONF : 0;
}

void lg_conf_free(struct lg_conf *conf)
{
    if (!conf)
        return;
    free(conf->settings);
    free(conf->diags);
    free(conf->pairs);
    free(conf->variables);
    free(conf->unknowns);
    lg_arena_free(&conf->arena);
    free(conf);
}

/* ---- Reading ---------------------------------------------------------------------------- */

size_t lg_conf_count(const struct lg_conf *conf, enum lg_opt opt)
{
    size_t count = 0;
    for (size_t i = 0; i < conf->setting_count; i++)
        count += conf->settings[i].opt == opt;
    return count;
}

const struct lg_setting *lg_conf_at(const struct lg_conf *conf, enum lg_opt opt, size_t i)
{
    for (size_t k = 0; k < conf->setting_count; k++)
        if (conf->settings[k].opt == opt && i-- == 0)
            return &conf->settings[k];
    return NULL;
}

static const struct lg_setting *last_of(const struct lg_conf *conf, enum lg_opt opt)
{
    for (size_t k = conf->setting_count; k-- > 0;)
        if (conf->settings[k].opt == opt)
            return &conf->settings[k];
    return NULL;
}

/* The option whose value is this one's default, as glusterfs-timeout's is. */
static bool preset_refers(enum lg_opt opt, enum lg_opt *ret_other)
{
    const char *preset = lg_opt_row(opt)->preset;
    if (!preset || strncmp(preset, "%(", 2) != 0)
        return false;
    return lg_opt_find(lg_slice_from(preset + 2, strlen(preset) - 3), ret_other);
}

int64_t lg_conf_number(const struct lg_conf *conf, enum lg_opt opt)
{
    const struct lg_setting *setting = last_of(conf, opt);
    enum lg_opt other;
    if (!setting && preset_refers(opt, &other))
        return lg_conf_number(conf, other);
    return setting ? setting->number : conf->presets[opt];
}

bool lg_conf_bool(const struct lg_conf *conf, enum lg_opt opt)
{
    return lg_conf_number(conf, opt) != 0;
}

const char *lg_conf_text(const struct lg_conf *conf, enum lg_opt opt)
{
    const struct lg_setting *setting = last_of(conf, opt);
    enum lg_opt other;
    if (!setting && preset_refers(opt, &other))
        return lg_conf_text(conf, other);
    return setting ? setting->text : lg_opt_row(opt)->preset;
}

const struct lg_setting *lg_conf_all(const struct lg_conf *conf, size_t *ret_count)
{
    *ret_count = conf->setting_count;
    return conf->settings;
}

const char *lg_conf_key(
    const struct lg_conf *conf, const struct lg_setting *setting, const char *key)
{
    size_t index = (size_t)(setting - conf->settings);
    for (size_t i = 0; i < conf->pair_count; i++)
        if (conf->pairs[i].setting == index && strcmp(conf->pairs[i].key, key) == 0)
            return conf->pairs[i].value;
    return NULL;
}

size_t lg_conf_plugins(const struct lg_conf *conf, const char **ret_names, size_t max)
{
    size_t count = conf->plugin_count < max ? conf->plugin_count : max;
    for (size_t i = 0; i < count; i++)
        ret_names[i] = conf->plugins[i];
    return count;
}
