/* The option table: rows to structs, look-up by name, nearest name. Pure; knows
 * nothing of files or values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/table.h"
#include "conf/conf.h"

#define LG_DISTANCE_MAX 63 /* bytes of a name that is compared */
#define LG_NEAR_MAX     4  /* edits that still make a name "near" */

#define LG_OPTION(id, name_, aliases_, type_, flags_, min_, max_, preset_, values_, group_, help_) \
    [LG_OPT_##id] = {.name = name_,                                                                \
        .aliases = aliases_,                                                                       \
        .plugin = LG_ROW_PLUGIN,                                                                   \
        .preset = preset_,                                                                         \
        .values = values_,                                                                         \
        .help = help_,                                                                             \
        .min = min_,                                                                               \
        .max = max_,                                                                               \
        .flags = flags_,                                                                           \
        .type = LG_TYPE_##type_,                                                                   \
        .status = LG_STATUS_WORKS,                                                                 \
        .group = LG_GROUP_##group_},
#define LG_HARMLESS(id, name_, aliases_, type_, why)                                               \
    [LG_OPT_##id] = {.name = name_,                                                                \
        .aliases = aliases_,                                                                       \
        .help = why,                                                                               \
        .type = LG_TYPE_##type_,                                                                   \
        .status = LG_STATUS_HARMLESS},
#define LG_MISSING(id, name_, aliases_)                                                            \
    [LG_OPT_##id] = {                                                                              \
        .name = name_, .aliases = aliases_, .type = LG_TYPE_TEXT, .status = LG_STATUS_MISSING},

static const struct lg_row rows[LG_OPT_COUNT] = {
#define LG_ROW_PLUGIN "glusterfs"
#include "../../plugins/glusterfs/options.def"
#undef LG_ROW_PLUGIN
#define LG_ROW_PLUGIN NULL
#include "conf/options.def"
#include "conf/options_uwsgi.def"
#undef LG_ROW_PLUGIN
};

static const char *const group_titles[LG_GROUP_COUNT] = {
#define LG_GROUP_TITLE(id, title) title,
    LG_GROUPS(LG_GROUP_TITLE)
#undef LG_GROUP_TITLE
};

const struct lg_row *lg_opt_row(enum lg_opt opt)
{
    return &rows[opt];
}

const char *lg_group_title(enum lg_group group)
{
    return group_titles[group];
}

const char *lg_opt_name(enum lg_opt opt)
{
    return rows[opt].name;
}

const char *lg_opt_plugin(enum lg_opt opt)
{
    return rows[opt].plugin;
}

static bool row_has_alias(const struct lg_row *row, struct lg_slice name)
{
    struct lg_slice rest = lg_slice_of(row->aliases);
    while (rest.len) {
        struct lg_slice alias = lg_slice_cut(rest, ' ', &rest);
        if (lg_slice_eq(alias, name))
            return true;
    }
    return false;
}

static bool row_is_called(const struct lg_row *row, struct lg_slice name)
{
    bool is_name = strncmp(row->name, name.ptr, name.len) == 0 && !row->name[name.len];
    return is_name || (row->aliases[0] && row_has_alias(row, name));
}

bool lg_opt_find(struct lg_slice name, enum lg_opt *ret_opt)
{
    if (!name.len || name.ptr[0] == '-')
        return false;
    for (unsigned i = 0; i < LG_OPT_COUNT; i++) {
        if (row_is_called(&rows[i], name)) {
            *ret_opt = (enum lg_opt)i;
            return true;
        }
    }
    return false;
}

bool lg_opt_find_short(char letter, enum lg_opt *ret_opt)
{
    const char text[] = {'-', letter};
    struct lg_slice name = {text, sizeof text};
    for (unsigned i = 0; i < LG_OPT_COUNT; i++) {
        if (row_has_alias(&rows[i], name)) {
            *ret_opt = (enum lg_opt)i;
            return true;
        }
    }
    return false;
}

static unsigned char folded(char c)
{
    if (c == '_')
        return '-'; /* the usual slip between a variable and an option */
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein, the restricted one: three rows of the table suffice. */
size_t lg_conf_distance(struct lg_slice a, struct lg_slice b)
{
    size_t row[3][LG_DISTANCE_MAX + 1];
    if (a.len > LG_DISTANCE_MAX || b.len > LG_DISTANCE_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        const size_t *above = row[(i - 1) % 3];
        size_t *here = row[i % 3];
        here[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = folded(a.ptr[i - 1]) == folded(b.ptr[j - 1]);
            here[j] = least(above[j - 1] + !same, least(above[j], here[j - 1]) + 1);
            if (i > 1 && j > 1 && folded(a.ptr[i - 1]) == folded(b.ptr[j - 2]) &&
                folded(a.ptr[i - 2]) == folded(b.ptr[j - 1]))
                here[j] = least(here[j], row[(i - 2) % 3][j - 2] + 1);
        }
    }
    return row[a.len % 3][b.len];
}

bool lg_conf_is_near(struct lg_slice given, size_t distance)
{
    /* One slip in a short name, a third of a long one, never more than four. */
    size_t bound = given.len < 4 ? 1 : least(given.len / 3 + 1, LG_NEAR_MAX);
    return distance <= bound && distance < given.len;
}

struct nearest {
    struct lg_slice given;
    struct lg_slice name;
    size_t distance;
};

static void consider(struct nearest *best, struct lg_slice name)
{
    size_t longer = name.len > best->given.len ? name.len : best->given.len;
    size_t shorter = name.len + best->given.len - longer;
    if (name.ptr[0] == '-' || longer - shorter > LG_NEAR_MAX)
        return;
    size_t distance = lg_conf_distance(best->given, name);
    if (distance < best->distance) {
        best->distance = distance;
        best->name = name;
    }
}

static void consider_rows(struct nearest *best, enum lg_status status)
{
    for (unsigned i = 0; i < LG_OPT_COUNT; i++) {
        if (rows[i].status != status)
            continue;
        consider(best, lg_slice_of(rows[i].name));
        struct lg_slice rest = lg_slice_of(rows[i].aliases);
        while (rest.len) {
            struct lg_slice alias = lg_slice_cut(rest, ' ', &rest);
            consider(best, alias);
        }
    }
}

struct lg_slice lg_opt_nearest(struct lg_slice given)
{
    struct nearest best = {given, {NULL, 0}, SIZE_MAX};
    consider_rows(&best, LG_STATUS_WORKS);
    if (best.distance > 1) /* a missing one must be strictly nearer to be named */
        consider_rows(&best, LG_STATUS_MISSING);
    if (!best.name.ptr || !lg_conf_is_near(given, best.distance))
        return (struct lg_slice){NULL, 0};
    return best.name;
}
