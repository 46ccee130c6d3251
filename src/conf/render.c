/* --show-config: the settings as an ini that loads back to the same ones, secrets
 * masked. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

/* After the first pass turned "%%" into "%", a later pass would still take "%(",
 * "$(" and "@(" for placeholders: the sign then comes from a variable, which the
 * last pass puts in and nothing looks at again. */
struct guard {
    char sign;
    const char *name;
};
static const struct guard guards[] = {
    {'%', "legatus-percent"}, {'$', "legatus-dollar"}, {'@', "legatus-at"}};

#define LG_GUARD_COUNT (sizeof guards / sizeof guards[0])

static const struct guard *guard_of(const char *text)
{
    for (size_t i = 0; i < LG_GUARD_COUNT; i++)
        if (text[0] == guards[i].sign && text[1] == '(')
            return &guards[i];
    return NULL;
}

static int put_char(const char *at, struct lg_buf *out)
{
    const struct guard *guard = guard_of(at);
    if (guard)
        return lg_buf_printf(out, "%%(%s)", guard->name);
    if (*at == '%')
        return lg_buf_puts(out, "%%");
    if (*at == '\n' || *at == '\r')
        return lg_buf_puts(out, " "); /* an ini has no way to say it */
    return lg_buf_append(out, at, 1);
}

/* name address valor cipher:secret [iv] -> the secret and the iv starred out;
 * name secret -> the secret */
static size_t masked_from(const struct lg_setting *setting)
{
    const char *text = setting->text;
    size_t at = 0;
    if (!(lg_opt_row(setting->opt)->flags & LG_F_SECRET))
        return strlen(text);
    bool defines = lg_opt_row(setting->opt)->flags & LG_F_DEFINES;
    for (int word = 0; word < (defines ? 3 : 1); word++) {
        at += strspn(text + at, " \t");
        at += strcspn(text + at, " \t");
    }
    if (!defines)
        return text[at] ? at + 1 : at;
    at += strcspn(text + at, ":");
    return text[at] ? at + 1 : at;
}

static int put_value(const struct lg_setting *setting, struct lg_buf *out)
{
    size_t end = masked_from(setting);
    for (size_t i = 0; i < end; i++) {
        int err = put_char(setting->text + i, out);
        if (err)
            return err;
    }
    return setting->text[end] ? lg_buf_puts(out, "***") : 0;
}

/* Of an option that has one value only the last setting is in force. */
static bool is_in_force(const struct lg_conf *conf, const struct lg_setting *setting)
{
    const struct lg_row *row = lg_opt_row(setting->opt);
    if (setting->opt == LG_OPT_show_config || (row->flags & LG_F_CLI))
        return false;
    if ((row->flags & LG_F_REPEAT) || row->type == LG_TYPE_LIST)
        return true;
    return lg_conf_at(conf, setting->opt, lg_conf_count(conf, setting->opt) - 1) == setting;
}

static int put_guards(const struct lg_conf *conf, struct lg_buf *out)
{
    for (size_t g = 0; g < LG_GUARD_COUNT; g++) {
        bool is_needed = false;
        for (size_t i = 0; i < conf->setting_count; i++) {
            const struct lg_setting *setting = &conf->settings[i];
            size_t end = masked_from(setting);
            for (size_t k = 0; k < end; k++)
                is_needed = is_needed || guard_of(setting->text + k) == &guards[g];
        }
        int err = is_needed ? lg_buf_printf(out, "set-placeholder = %s=%s\n", guards[g].name,
                                  guards[g].sign == '%' ? "%%" : (char[]){guards[g].sign, 0})
                            : 0;
        if (err)
            return err;
    }
    return 0;
}

static int put_presets(const struct lg_conf *conf, struct lg_buf *out)
{
    int err = lg_buf_puts(out, "\n; defaults of what was not given\n");
    for (unsigned i = 0; !err && i < LG_OPT_COUNT; i++) {
        const struct lg_row *row = lg_opt_row((enum lg_opt)i);
        if (!row->preset || (row->flags & LG_F_CLI) || i == LG_OPT_show_config ||
            lg_conf_count(conf, (enum lg_opt)i))
            continue;
        err = lg_buf_printf(out, "; %s = %s\n", row->name, lg_conf_text(conf, (enum lg_opt)i));
    }
    return err;
}

int lg_conf_render(const struct lg_conf *conf, struct lg_buf *out)
{
    int err = lg_buf_puts(out, "[legatus]\n");
    if (!err)
        err = put_guards(conf, out);
    for (size_t i = 0; !err && i < conf->setting_count; i++) {
        const struct lg_setting *setting = &conf->settings[i];
        if (!is_in_force(conf, setting))
            continue;
        err = lg_buf_printf(out, "%s = ", lg_opt_name(setting->opt));
        if (!err)
            err = put_value(setting, out);
        if (!err)
            err = lg_buf_puts(out, "\n");
    }
    return err ? err : put_presets(conf, out);
}
