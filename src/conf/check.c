/* What only shows once everything is read: unknown names, unknown legions, and the
 * traps people report again and again. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

/* ---- Unknown options ------------------------------------------------------------- */

static bool mentions(const char *text, const char *pattern)
{
    return text && strstr(text, pattern);
}

/* uWSGI lets any unknown option be a variable for %(name). */
static bool is_used_as_variable(struct lg_conf *conf, struct lg_slice name)
{
    const char *pattern = lg_conf_printf(conf, "%%(%.*s)", (int)name.len, name.ptr);
    for (size_t i = 0; pattern && i < conf->setting_count; i++)
        if (mentions(conf->settings[i].text, pattern))
            return true;
    for (size_t i = 0; pattern && i < conf->variable_count; i++)
        if (mentions(conf->variables[i].text, pattern))
            return true;
    return false;
}

static void report_unknown(struct lg_conf *conf, const struct lg_unknown *unknown)
{
    struct lg_slice name = unknown->name, rest;
    struct lg_slice word = lg_slice_cut(name, ' ', &rest);
    struct lg_slice near = lg_opt_nearest(name);
    enum lg_opt opt;
    int len = name.len > 60 ? 60 : (int)name.len;
    if (unknown->is_bare && rest.len && lg_opt_find(word, &opt))
        lg_conf_report(conf, LG_DIAG_ERROR, unknown->where,
            "\"%.*s\" has no \"=\": expected \"%s = ...\"", len, name.ptr, lg_opt_name(opt));
    else if (is_used_as_variable(conf, name))
        lg_conf_report(conf, LG_DIAG_ERROR, unknown->where,
            "unknown option \"%.*s\": a variable is written \"set-placeholder = %.*s=...\"", len,
            name.ptr, len, name.ptr);
    else if (near.ptr)
        lg_conf_report(conf, LG_DIAG_ERROR, unknown->where,
            "unknown option \"%.*s\": did you mean \"%.*s\"?", len, name.ptr, (int)near.len,
            near.ptr);
    else
        lg_conf_report(
            conf, LG_DIAG_ERROR, unknown->where, "unknown option \"%.*s\"", len, name.ptr);
}

void lg_conf_check_unknown(struct lg_conf *conf)
{
    for (size_t i = 0; i < conf->unknown_count && conf->diag_count <= LG_CONF_DIAGS_MAX; i++)
        report_unknown(conf, &conf->unknowns[i]);
}

/* ---- Legions ------------------------------------------------------------------------ */

static struct lg_slice first_word(const char *text)
{
    struct lg_slice s = lg_slice_of(text);
    size_t n = strcspn(text, " \t");
    return lg_slice_from(s.ptr, n);
}

static bool has_flags(const struct lg_setting *setting, unsigned flags)
{
    return (lg_opt_row(setting->opt)->flags & flags) == flags;
}

static const struct lg_setting *find_legion(const struct lg_conf *conf, struct lg_slice name)
{
    for (size_t i = 0; i < conf->setting_count; i++)
        if (has_flags(&conf->settings[i], LG_F_DEFINES) &&
            lg_slice_eq(first_word(conf->settings[i].text), name))
            return &conf->settings[i];
    return NULL;
}

static void report_legion(struct lg_conf *conf, const struct lg_setting *setting)
{
    struct lg_slice name = first_word(setting->text), best = {0};
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < conf->setting_count; i++) {
        if (!has_flags(&conf->settings[i], LG_F_DEFINES))
            continue;
        struct lg_slice known = first_word(conf->settings[i].text);
        size_t d = lg_conf_distance(name, known);
        if (d < distance) {
            distance = d;
            best = known;
        }
    }
    if (best.ptr && lg_conf_is_near(name, distance))
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "unknown legion \"%.*s\", did you mean \"%.*s\"?", (int)name.len, name.ptr,
            (int)best.len, best.ptr);
    else
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "unknown legion \"%.*s\": expected a name that \"legion = name ...\" defines",
            (int)name.len, name.ptr);
}

/* A node of an unknown legion may be the one that is missing here: one slip, one
 * report. */
static bool has_node(const struct lg_conf *conf, struct lg_slice name)
{
    for (size_t i = 0; i < conf->setting_count; i++)
        if (conf->settings[i].opt == LG_OPT_legion_node &&
            (lg_slice_eq(first_word(conf->settings[i].text), name) ||
                !find_legion(conf, first_word(conf->settings[i].text))))
            return true;
    return false;
}

static void check_legion(struct lg_conf *conf, size_t index)
{
    const struct lg_setting *setting = &conf->settings[index];
    struct lg_slice name = first_word(setting->text);
    const struct lg_setting *first = find_legion(conf, name);
    if (!first) {
        report_legion(conf, setting);
        return;
    }
    if (!has_flags(setting, LG_F_DEFINES))
        return;
    if (first != setting)
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "legion \"%.*s\" is defined twice (%s:%u)", (int)name.len, name.ptr, first->where.file,
            first->where.line);
    else if (setting->opt == LG_OPT_legion && !has_node(conf, name))
        lg_conf_report(conf, LG_DIAG_WARN, setting->where,
            "legion \"%.*s\" has no legion-node: it announces itself to nobody", (int)name.len,
            name.ptr);
}

/* ---- Traps ---------------------------------------------------------------------------- */

static const struct lg_setting *last_setting(const struct lg_conf *conf, enum lg_opt opt)
{
    size_t count = lg_conf_count(conf, opt);
    return count ? lg_conf_at(conf, opt, count - 1) : NULL;
}

/* A modifier whose kind of socket is not there, while the other kind is. */
static void check_modifier(
    struct lg_conf *conf, enum lg_opt modifier, enum lg_opt socket, enum lg_opt other)
{
    const struct lg_setting *setting = last_setting(conf, modifier);
    const struct lg_setting *used = last_setting(conf, other);
    if (!setting || lg_conf_count(conf, socket) || !used)
        return;
    enum lg_opt right = modifier == LG_OPT_http_socket_modifier1   ? LG_OPT_http_modifier1
                        : modifier == LG_OPT_http_socket_modifier2 ? LG_OPT_http_modifier2
                        : modifier == LG_OPT_http_modifier1        ? LG_OPT_http_socket_modifier1
                                                                   : LG_OPT_http_socket_modifier2;
    lg_conf_report(conf, LG_DIAG_WARN, setting->where,
        "\"%s\" is not used: \"%s\" (%s:%u) takes \"%s\"", lg_opt_name(modifier),
        lg_opt_name(other), used->where.file, used->where.line, lg_opt_name(right));
}

static bool serves(const struct lg_conf *conf, enum lg_opt socket, enum lg_opt modifier)
{
    return lg_conf_count(conf, socket) && lg_conf_number(conf, modifier) == 27;
}

/* Mounts that no socket leads to. `socket` takes the modifier from the packet. */
static void check_mounts(struct lg_conf *conf)
{
    const struct lg_setting *mount = lg_conf_at(conf, LG_OPT_glusterfs_mount, 0);
    const struct lg_setting *http_socket = lg_conf_at(conf, LG_OPT_http_socket, 0);
    const struct lg_setting *http = lg_conf_at(conf, LG_OPT_http, 0);
    if (!mount || lg_conf_count(conf, LG_OPT_socket) || (!http && !http_socket) ||
        serves(conf, LG_OPT_http_socket, LG_OPT_http_socket_modifier1) ||
        serves(conf, LG_OPT_http, LG_OPT_http_modifier1))
        return;
    lg_conf_report(conf, LG_DIAG_WARN, mount->where,
        "no request reaches \"glusterfs-mount\": expected \"%s = 27\"",
        http_socket ? "http-socket-modifier1" : "http-modifier1");
}

static void check_modifier_27(struct lg_conf *conf, enum lg_opt modifier)
{
    const struct lg_setting *setting = last_setting(conf, modifier);
    if (setting && setting->number == 27 && !lg_conf_count(conf, LG_OPT_glusterfs_mount))
        lg_conf_report(conf, LG_DIAG_WARN, setting->where,
            "modifier1 27 is the glusterfs plugin, and there is no \"glusterfs-mount\"");
}

/* An option of which only the last value counts, given again with another one. The
 * command line over a file, or either over the environment, is meant that way. */
static void check_repeated(struct lg_conf *conf, size_t index)
{
    const struct lg_setting *setting = &conf->settings[index];
    const struct lg_row *row = lg_opt_row(setting->opt);
    if ((row->flags & LG_F_REPEAT) || row->type == LG_TYPE_LIST)
        return;
    for (size_t i = index; i-- > 0;) {
        const struct lg_setting *old = &conf->settings[i];
        if (old->opt != setting->opt)
            continue;
        bool is_same_source =
            !old->where.line == !setting->where.line &&
            (old->where.line || strcmp(old->where.file, setting->where.file) == 0);
        bool is_same_value = row->type <= LG_TYPE_DURATION ? old->number == setting->number
                                                           : strcmp(old->text, setting->text) == 0;
        if (is_same_source && !is_same_value)
            lg_conf_report(conf, LG_DIAG_WARN, setting->where,
                "\"%s\" was \"%s\" before (%s:%u): the last value counts", row->name, old->text,
                old->where.file, old->where.line);
        return;
    }
}

/* A key marked "*" in the table may not have the same value twice. */
static void check_unique_keys(struct lg_conf *conf)
{
    for (size_t i = 0; i < conf->pair_count; i++) {
        const struct lg_pair *pair = &conf->pairs[i];
        const struct lg_setting *setting = &conf->settings[pair->setting];
        const char *values = lg_opt_row(setting->opt)->values;
        const char *at = strstr(values, pair->key);
        if (!at || !pair->key[0] || strcspn(at, " ") != strlen(pair->key) + 2 ||
            at[strlen(pair->key) + 1] != '*')
            continue;
        for (size_t j = 0; j < i; j++) {
            const struct lg_setting *old = &conf->settings[conf->pairs[j].setting];
            if (old->opt != setting->opt || strcmp(conf->pairs[j].key, pair->key) != 0 ||
                strcmp(conf->pairs[j].value, pair->value) != 0)
                continue;
            lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
                "%s \"%s\" is taken by the \"%s\" of %s:%u", pair->key, pair->value,
                lg_opt_name(old->opt), old->where.file, old->where.line);
            break;
        }
    }
}

/* ---- Placeholders nothing resolved ------------------------------------------------------ */

static struct lg_slice nearest_variable(const struct lg_conf *conf, struct lg_slice name)
{
    struct lg_slice best = {0};
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < conf->variable_count; i++) {
        size_t d = lg_conf_distance(name, conf->variables[i].name);
        if (d < distance) {
            distance = d;
            best = conf->variables[i].name;
        }
    }
    return lg_conf_is_near(name, distance) ? best : (struct lg_slice){0};
}

static void check_unresolved(struct lg_conf *conf, const struct lg_setting *setting)
{
    const char *at = strstr(setting->text, "%(");
    const char *close = at ? strchr(at, ')') : NULL;
    if (!close)
        return;
    struct lg_slice name = lg_slice_from(at + 2, (size_t)(close - at) - 2);
    struct lg_slice near = nearest_variable(conf, name);
    enum lg_opt opt;
    bool is_set = (near.ptr && lg_slice_eq(near, name)) ||
                  (lg_opt_find(name, &opt) && lg_conf_count(conf, opt));
    if (is_set) /* in a circle, which was reported */
        return;
    bool is_strict = lg_conf_bool(conf, LG_OPT_strict);
    lg_conf_report(conf, is_strict ? LG_DIAG_ERROR : LG_DIAG_WARN, setting->where,
        "nothing sets \"%%(%.*s)\"%s%.*s%s", (int)name.len, name.ptr,
        near.ptr    ? ": did you mean \"%("
        : is_strict ? ""
                    : ": it is left as it stands",
        (int)near.len, near.ptr ? near.ptr : "", near.ptr ? ")\"?" : "");
}

void lg_conf_check(struct lg_conf *conf)
{
    for (size_t i = 0; i < conf->setting_count && conf->diag_count <= LG_CONF_DIAGS_MAX; i++) {
        if (has_flags(&conf->settings[i], LG_F_LEGION))
            check_legion(conf, i);
        if (has_flags(&conf->settings[i], LG_F_ALWAYS) && !conf->settings[i].number)
            lg_conf_report(conf, LG_DIAG_WARN, conf->settings[i].where,
                "\"%s\" is always true in Legatus", lg_opt_name(conf->settings[i].opt));
        check_repeated(conf, i);
        check_unresolved(conf, &conf->settings[i]);
    }
    check_unique_keys(conf);
    check_modifier(conf, LG_OPT_http_socket_modifier1, LG_OPT_http_socket, LG_OPT_http);
    check_modifier(conf, LG_OPT_http_socket_modifier2, LG_OPT_http_socket, LG_OPT_http);
    check_modifier(conf, LG_OPT_http_modifier1, LG_OPT_http, LG_OPT_http_socket);
    check_modifier(conf, LG_OPT_http_modifier2, LG_OPT_http, LG_OPT_http_socket);
    check_mounts(conf);
    check_modifier_27(conf, LG_OPT_http_socket_modifier1);
    check_modifier_27(conf, LG_OPT_http_modifier1);
}
