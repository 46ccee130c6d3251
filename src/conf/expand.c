/* Placeholders, pass by pass, in uWSGI's order:
 *   1  %d %s %n ... over every raw line of a file
 *   2  $(ENV) and $(ENV:-default)
 *   3  @(file), the contents
 *   4  %(option) or %(variable): the first one given, wherever it stands
 * What nothing resolves stays as it stands, as in uWSGI. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- The first pass -------------------------------------------------------- */

struct magic {
    const struct lg_conf_facts *facts;
    const char *section;
    char *path;           /* absolute */
    struct lg_slice dir;  /* "/" included */
    struct lg_slice name; /* last part of the path */
    struct lg_slice stem; /* without extension */
    struct lg_slice extension;
};

static bool magic_init(struct magic *magic, const struct lg_source *source, const char *section)
{
    struct lg_conf *conf = source->conf;
    const char *file = source->file;
    const char *cwd = conf->facts->cwd ? conf->facts->cwd : "";
    magic->facts = conf->facts;
    magic->section = section ? section : "";
    while (strncmp(file, "./", 2) == 0)
        file += 2;
    magic->path = file[0] == '/' ? lg_conf_copy(conf, file, strlen(file))
                                 : lg_conf_printf(conf, "%s/%s", cwd, file);
    if (!magic->path)
        return false;
    const char *slash = strrchr(magic->path, '/');
    magic->name = lg_slice_of(slash ? slash + 1 : magic->path);
    magic->dir = lg_slice_from(magic->path, (size_t)(magic->name.ptr - magic->path));
    const char *dot = strrchr(magic->name.ptr, '.');
    magic->stem = magic->name;
    magic->extension = (struct lg_slice){"", 0};
    if (dot) {
        magic->stem.len = (size_t)(dot - magic->name.ptr);
        magic->extension = lg_slice_of(dot + 1);
    }
    return true;
}

static int put_text(struct lg_buf *out, const char *text)
{
    return lg_buf_puts(out, text ? text : "");
}

/* Appends what %`letter` stands for; 1 when it stands for nothing. */
static int put_magic(const struct magic *magic, char letter, struct lg_buf *out)
{
    const struct lg_conf_facts *facts = magic->facts;
    switch (letter) {
    case 'd':
        return lg_buf_append(out, magic->dir.ptr, magic->dir.len);
    case 's':
        return lg_buf_append(out, magic->name.ptr, magic->name.len);
    case 'n':
        return lg_buf_append(out, magic->stem.ptr, magic->stem.len);
    case 'e':
        return lg_buf_append(out, magic->extension.ptr, magic->extension.len);
    case 'p':
        return put_text(out, magic->path);
    case 'h':
        return put_text(out, facts->hostname);
    case 'v':
        return put_text(out, facts->cwd);
    case 'k':
        return lg_buf_printf(out, "%u", facts->cpu_count);
    case 'u':
        return lg_buf_printf(out, "%u", facts->uid);
    case 'U':
        return put_text(out, facts->user);
    case 'g':
        return lg_buf_printf(out, "%u", facts->gid);
    case 'G':
        return put_text(out, facts->group);
    case 't':
        return lg_buf_printf(out, "%" PRId64, facts->now_us / 1000000);
    case 'T':
        return lg_buf_printf(out, "%" PRId64, facts->now_us);
    case 'x':
        return put_text(out, magic->section);
    case '%':
        return lg_buf_puts(out, "%");
    default:
        return 1;
    }
}

static int replace_magic(const struct magic *magic, struct lg_slice raw, struct lg_buf *out)
{
    for (size_t i = 0; i < raw.len; i++) {
        int err = 1;
        if (raw.ptr[i] == '%' && i + 1 < raw.len)
            err = put_magic(magic, raw.ptr[i + 1], out);
        if (err < 0)
            return err;
        if (err == 0) {
            i++;
            continue;
        }
        err = lg_buf_append(out, raw.ptr + i, 1);
        if (err)
            return err;
    }
    return 0;
}

char *lg_conf_magic(const struct lg_source *source, const char *section, struct lg_slice raw)
{
    struct lg_conf *conf = source->conf;
    if (!memchr(raw.ptr, '%', raw.len))
        return lg_conf_copy(conf, raw.ptr, raw.len);
    struct magic magic;
    if (!magic_init(&magic, source, section))
        return NULL;
    struct lg_buf out = {0};
    char *text = NULL;
    if (replace_magic(&magic, raw, &out))
        conf->err = -LG_E_NOMEM;
    else
        text = lg_conf_copy(conf, out.ptr, out.len);
    lg_buf_free(&out);
    return text;
}

/* ---- The later passes -------------------------------------------------------- */

struct expansion {
    struct lg_conf *conf;
    const char *item; /* what %(_) stands for; NULL = nothing */
    struct lg_where where;
    unsigned depth;
    bool is_circular; /* reported; the rest stays as it stands */
};

/* Puts what `name` stands for into *ret_text: true, or false when it stays. */
typedef bool (*resolve_fn)(struct expansion *x, struct lg_slice name, const char **ret_text);

static const char *expand(struct expansion *x, const char *text);

static bool is_env_name(struct lg_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c != '_' && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

static bool resolve_env(struct expansion *x, struct lg_slice inner, const char **ret_text)
{
    struct lg_conf *conf = x->conf;
    const char *mark = inner.len > 1 ? memmem(inner.ptr, inner.len, ":-", 2) : NULL;
    struct lg_slice name = inner;
    if (mark)
        name.len = (size_t)(mark - inner.ptr);
    char *copy = lg_conf_copy(conf, name.ptr, name.len);
    if (!copy)
        return false;
    const char *value = conf->facts->env(conf->facts->data, copy);
    if (mark && (!value || !value[0]))
        value = lg_conf_copy(conf, mark + 2, inner.len - name.len - 2);
    if (!value) {
        /* $(date) in a hook is for its shell; a name in capitals was meant for us. */
        if (is_env_name(name))
            lg_conf_report(conf, LG_DIAG_WARN, x->where,
                "the environment has no %s: \"$(%s)\" is left as it stands", copy, copy);
        return false;
    }
    *ret_text = value;
    return true;
}

static bool resolve_file(struct expansion *x, struct lg_slice name, const char **ret_text)
{
    struct lg_conf *conf = x->conf;
    char *path = lg_conf_copy(conf, name.ptr, name.len);
    char *text = NULL;
    size_t len = 0;
    if (!path)
        return false;
    if (conf->facts->read_file(conf->facts->data, path, &text, &len)) {
        lg_conf_report(conf, LG_DIAG_ERROR, x->where, "\"@(%s)\": the file cannot be read", path);
        return false;
    }
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    const char *copy = NULL;
    if (len > LG_CONF_VALUE_MAX || (len && memchr(text, '\0', len)))
        lg_conf_report(conf, LG_DIAG_ERROR, x->where,
            "\"@(%s)\": expected a text file of at most 1 MiB", path);
    else
        copy = lg_conf_copy(conf, text, len);
    free(text);
    *ret_text = copy;
    return copy != NULL;
}

/* The raw text of the first variable, else the first option, of that name. */
static const char *raw_value(const struct lg_conf *conf, struct lg_slice name)
{
    for (size_t i = 0; i < conf->variable_count; i++)
        if (lg_slice_eq(conf->variables[i].name, name))
            return conf->variables[i].text;
    enum lg_opt opt;
    if (!lg_opt_find(name, &opt))
        return NULL;
    for (size_t i = 0; i < conf->setting_count; i++)
        if (conf->settings[i].opt == opt)
            return conf->settings[i].text;
    return NULL;
}

static bool resolve_option(struct expansion *x, struct lg_slice name, const char **ret_text)
{
    struct lg_conf *conf = x->conf;
    if (x->item && lg_slice_eq(name, LG_SLICE("_"))) {
        *ret_text = x->item;
        return true;
    }
    const char *raw = raw_value(conf, name);
    if (!raw || x->is_circular)
        return false;
    if (x->depth >= LG_CONF_NESTING_MAX) {
        lg_conf_report(conf, LG_DIAG_ERROR, x->where,
            "\"%%(%.*s)\" refers to itself, or nests more than %d deep", (int)name.len, name.ptr,
            LG_CONF_NESTING_MAX);
        x->is_circular = true; /* one report is enough */
        return false;
    }
    x->depth++;
    const char *text = expand(x, raw);
    x->depth--;
    *ret_text = text;
    return text != NULL;
}

static int append_bounded(struct expansion *x, struct lg_buf *out, const char *text, size_t len)
{
    if (len > LG_CONF_VALUE_MAX || out->len + len > LG_CONF_VALUE_MAX) {
        lg_conf_report(x->conf, LG_DIAG_ERROR, x->where,
            "the value is longer than 1 MiB once its placeholders are replaced");
        return -LG_E_LIMIT;
    }
    return lg_buf_append(out, text, len);
}

static int replace_all(
    struct expansion *x, const char *open, resolve_fn resolve, const char *text, struct lg_buf *out)
{
    for (;;) {
        const char *at = strstr(text, open);
        const char *close = at ? strchr(at + 2, ')') : NULL;
        if (!close)
            return append_bounded(x, out, text, strlen(text));
        struct lg_slice name = lg_slice_from(at + 2, (size_t)(close - at) - 2);
        const char *value = NULL;
        if (!lg_conf_step(x->conf, x->where))
            return -LG_E_LIMIT;
        bool is_resolved = name.len && resolve(x, name, &value);
        /* What stays is stepped over by its opening alone: another may be inside. */
        const char *next = is_resolved ? close + 1 : at + 2;
        int err = append_bounded(x, out, text, (size_t)((is_resolved ? at : next) - text));
        if (!err && is_resolved)
            err = append_bounded(x, out, value, strlen(value));
        if (err)
            return err;
        text = next;
    }
}

static const char *pass(struct expansion *x, const char *open, resolve_fn resolve, const char *text)
{
    if (!text || !strstr(text, open))
        return text;
    struct lg_buf out = {0};
    const char *copy = NULL;
    int err = replace_all(x, open, resolve, text, &out);
    if (err == -LG_E_NOMEM)
        x->conf->err = err;
    else if (!err)
        copy = lg_conf_copy(x->conf, out.ptr ? out.ptr : "", out.len);
    lg_buf_free(&out);
    return copy;
}

static const char *expand(struct expansion *x, const char *text)
{
    text = pass(x, "$(", resolve_env, text);
    text = pass(x, "@(", resolve_file, text);
    return pass(x, "%(", resolve_option, text);
}

static bool resolve_item(struct expansion *x, struct lg_slice name, const char **ret_text)
{
    if (!lg_slice_eq(name, LG_SLICE("_")))
        return false;
    *ret_text = x->item;
    return true;
}

const char *lg_conf_expand(
    struct lg_conf *conf, const char *text, const char *item, struct lg_where where)
{
    struct expansion x = {.conf = conf, .item = item, .where = where};
    const char *all = expand(&x, text);
    if (!all)
        return NULL;
    struct lg_slice trimmed = lg_slice_trim(lg_slice_of(all));
    return lg_conf_copy(conf, trimmed.ptr, trimmed.len);
}

const char *lg_conf_expand_item(
    struct lg_conf *conf, const char *text, const char *item, struct lg_where where)
{
    struct expansion x = {.conf = conf, .item = item, .where = where};
    return item ? pass(&x, "%(", resolve_item, text) : text;
}
