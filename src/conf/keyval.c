/* Key-value settings: "mountpoint=/,volume=v": "," separates, "=" assigns, "\"
 * escapes; and the checks their row in the table asks for. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

/* One key of a row's `values`: "server/servers/volfile!" is three of one group. */
struct key_name {
    struct lg_slice name;
    struct lg_slice group; /* the whole word, marks included */
};

/* Walks the names of `values`; false after the last. `word` and `rest` hold the
 * place and begin as {NULL, 0} and the whole text. */
static bool next_name(struct lg_slice *rest, struct lg_slice *word, struct key_name *ret_key)
{
    static const char ends[] = "/!*";
    if (!word->len) {
        if (!rest->len)
            return false;
        *word = lg_slice_cut(*rest, ' ', rest);
        ret_key->group = *word;
    }
    size_t n = 0;
    while (n < word->len && !strchr(ends, word->ptr[n]))
        n++;
    ret_key->name = lg_slice_from(word->ptr, n);
    bool has_more = n < word->len && word->ptr[n] == '/';
    *word = has_more ? lg_slice_from(word->ptr + n + 1, word->len - n - 1) : (struct lg_slice){0};
    return true;
}

static void check_key(struct lg_conf *conf, const struct lg_setting *setting, const char *key)
{
    const struct lg_row *row = lg_opt_row(setting->opt);
    struct lg_slice given = lg_slice_of(key), rest = lg_slice_of(row->values), word = {0};
    struct lg_slice best = {0};
    struct key_name name = {0};
    size_t distance = SIZE_MAX;
    while (next_name(&rest, &word, &name)) {
        size_t d = lg_conf_distance(given, name.name);
        if (d < distance) {
            distance = d;
            best = name.name;
        }
    }
    if (distance == 0 && lg_slice_eq(given, best))
        return;
    if (lg_conf_is_near(given, distance))
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "unknown key \"%s\" in \"%s\": did you mean \"%.*s\"?", key, row->name, (int)best.len,
            best.ptr);
    else
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
            "unknown key \"%s\" in \"%s\": expected %s", key, row->name,
            lg_conf_expected(conf, setting->opt));
}

static void push_pair(struct lg_conf *conf, size_t index, const char *key, const char *value)
{
    const struct lg_setting *setting = &conf->settings[index];
    if (lg_conf_key(conf, setting, key)) {
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "\"%s\" is given twice in \"%s\"", key,
            lg_opt_name(setting->opt));
        return;
    }
    check_key(conf, setting, key);
    if (lg_conf_grow(conf, &conf->pairs, &conf->pair_cap, conf->pair_count, sizeof *conf->pairs))
        conf->pairs[conf->pair_count++] = (struct lg_pair){index, key, value};
}

/* Copies up to an unescaped `stop1` or `stop2` into `out`; the rest of the text. */
static const char *unescape(const char *text, char stop1, char stop2, char *out)
{
    while (*text && *text != stop1 && *text != stop2) {
        if (*text == '\\' && text[1])
            text++;
        *out++ = *text++;
    }
    *out = '\0';
    return text;
}

static const char *trimmed(struct lg_conf *conf, const char *text)
{
    struct lg_slice s = lg_slice_trim(lg_slice_of(text));
    return lg_conf_copy(conf, s.ptr, s.len);
}

static void split_pairs(struct lg_conf *conf, size_t index, char *scratch)
{
    const struct lg_setting *setting = &conf->settings[index];
    const char *text = setting->text;
    while (*text && !conf->err) {
        text = unescape(text, '=', ',', scratch);
        const char *key = trimmed(conf, scratch);
        if (*text != '=') {
            if (key && *key)
                lg_conf_report(conf, LG_DIAG_ERROR, setting->where,
                    "\"%s\" in \"%s\": expected key=value", key, lg_opt_name(setting->opt));
        } else {
            text = unescape(text + 1, ',', ',', scratch);
            const char *value = trimmed(conf, scratch);
            if (key && value)
                push_pair(conf, index, key, value);
        }
        text += *text == ',';
    }
}

static bool group_is_given(
    const struct lg_conf *conf, const struct lg_setting *setting, struct lg_slice group)
{
    struct lg_slice rest = group, word = {0};
    struct key_name name = {0};
    size_t index = (size_t)(setting - conf->settings);
    while (next_name(&rest, &word, &name))
        for (size_t i = 0; i < conf->pair_count; i++)
            if (conf->pairs[i].setting == index && conf->pairs[i].value[0] &&
                lg_slice_eq(lg_slice_of(conf->pairs[i].key), name.name))
                return true;
    return false;
}

static void report_group(
    struct lg_conf *conf, const struct lg_setting *setting, struct lg_slice group)
{
    struct lg_slice rest = group, word = {0};
    struct key_name name = {0};
    const char *list = "";
    while (list && next_name(&rest, &word, &name))
        list = lg_conf_printf(
            conf, "%s%s%.*s=", list, *list ? " or " : "", (int)name.name.len, name.name.ptr);
    if (list)
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "\"%s\" lacks %s: expected %s",
            lg_opt_name(setting->opt), list, lg_conf_expected(conf, setting->opt));
}

static void check_groups(struct lg_conf *conf, const struct lg_setting *setting)
{
    struct lg_slice rest = lg_slice_of(lg_opt_row(setting->opt)->values);
    while (rest.len) {
        struct lg_slice group = lg_slice_cut(rest, ' ', &rest);
        if (memchr(group.ptr, '!', group.len) && !group_is_given(conf, setting, group))
            report_group(conf, setting, group);
    }
}

void lg_conf_parse_pairs(struct lg_conf *conf, size_t setting)
{
    size_t len = strlen(conf->settings[setting].text);
    char *scratch = lg_conf_copy(conf, conf->settings[setting].text, len);
    if (!scratch)
        return;
    split_pairs(conf, setting, scratch);
    check_groups(conf, &conf->settings[setting]);
}
