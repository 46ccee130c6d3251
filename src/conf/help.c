/* --help and the OPTIONS section of the man page, both from the table. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

#include <inttypes.h>

#define LG_HELP_COLUMN 36

static const char *const type_names[] = {
    [LG_TYPE_BOOL] = "",
    [LG_TYPE_NUMBER] = "N",
    [LG_TYPE_SIZE] = "BYTES",
    [LG_TYPE_DURATION] = "TIME",
    [LG_TYPE_TEXT] = "TEXT",
    [LG_TYPE_PATH] = "PATH",
    [LG_TYPE_ADDRESS] = "ADDR",
    [LG_TYPE_LIST] = "A,B",
    [LG_TYPE_KEYVAL] = "K=V,...",
    [LG_TYPE_CHOICE] = "",
};

/* "N", "error|warn", "legion address": what stands for the value. */
static const char *value_name(const struct lg_row *row)
{
    if (row->flags & LG_F_NO_VALUE)
        return "";
    if (row->values && row->type != LG_TYPE_KEYVAL)
        return row->values;
    return type_names[row->type];
}

static int put_ms(struct lg_buf *out, int64_t ms)
{
    if (ms && ms % 3600000 == 0)
        return lg_buf_printf(out, "%" PRId64 "h", ms / 3600000);
    if (ms % 1000)
        return lg_buf_printf(out, "%" PRId64 "ms", ms);
    return lg_buf_printf(out, "%" PRId64 "s", ms / 1000);
}

static int put_range(struct lg_buf *out, const struct lg_row *row)
{
    int err = 0;
    if (row->type == LG_TYPE_NUMBER)
        return lg_buf_printf(out, "%" PRId64 " to %" PRId64, row->min, row->max);
    if (row->type == LG_TYPE_SIZE && row->max != INT64_MAX)
        return lg_buf_printf(out, "%" PRId64 " to %" PRId64 " bytes", row->min, row->max);
    if (row->type != LG_TYPE_DURATION)
        return 0;
    err = put_ms(out, row->min);
    if (!err)
        err = lg_buf_puts(out, " to ");
    if (!err)
        err = put_ms(out, row->max);
    if (!err)
        err = lg_buf_puts(out, row->flags & LG_F_MS ? ", in milliseconds" : ", in seconds");
    return err;
}

/* " [1 to 1024; default 1; repeatable]" */
static int put_facts(struct lg_buf *out, const struct lg_row *row)
{
    struct lg_buf facts = {0};
    int err = put_range(&facts, row);
    bool has_default = row->preset && strcmp(row->preset, "false") != 0;
    if (!err && has_default)
        err = lg_buf_printf(&facts, "%sdefault %s", facts.len ? "; " : "", row->preset);
    if (!err && (row->flags & LG_F_REPEAT))
        err = lg_buf_printf(&facts, "%srepeatable", facts.len ? "; " : "");
    if (!err && facts.len)
        err = lg_buf_printf(out, " [%.*s]", (int)facts.len, facts.ptr);
    lg_buf_free(&facts);
    return err;
}

static int put_names(struct lg_buf *out, const struct lg_row *row, const char *dashes)
{
    struct lg_slice rest = lg_slice_of(row->aliases);
    int err = lg_buf_printf(out, "%s%s", dashes, row->name);
    while (!err && rest.len) {
        struct lg_slice alias = lg_slice_cut(rest, ' ', &rest);
        err = lg_buf_printf(
            out, ", %s%.*s", alias.ptr[0] == '-' ? "" : dashes, (int)alias.len, alias.ptr);
    }
    if (!err && value_name(row)[0])
        err = lg_buf_printf(out, " %s", value_name(row));
    return err;
}

static int help_row(struct lg_buf *out, const struct lg_row *row)
{
    size_t start = out->len;
    int err = lg_buf_puts(out, "  ");
    if (!err)
        err = put_names(out, row, "--");
    if (err)
        return err;
    size_t width = out->len - start;
    if (width + 2 > LG_HELP_COLUMN)
        err = lg_buf_printf(out, "\n%*s", LG_HELP_COLUMN, "");
    else
        err = lg_buf_printf(out, "%*s", (int)(LG_HELP_COLUMN - width), "");
    if (!err)
        err = lg_buf_puts(out, row->help);
    if (!err)
        err = put_facts(out, row);
    return err ? err : lg_buf_puts(out, "\n");
}

static int each_row(
    struct lg_buf *out, unsigned group, int (*put)(struct lg_buf *, const struct lg_row *))
{
    int err = 0;
    /* The core's rows stand after the plugins' in the table; groups set the order. */
    for (unsigned i = 0; !err && i < LG_OPT_COUNT; i++) {
        const struct lg_row *row = lg_opt_row((enum lg_opt)i);
        if (row->status == LG_STATUS_WORKS && row->group == group)
            err = put(out, row);
    }
    return err;
}

int lg_conf_help(struct lg_buf *out)
{
    int err = lg_buf_puts(out,
        "In an ini, under [uwsgi] or [legatus]: OPTION = VALUE. In the environment:\n"
        "UWSGI_OPTION=VALUE or LEGATUS_OPTION=VALUE, upper case, _ for -.\n"
        "TIME is in seconds, or with ms, s, m, h; BYTES may end in k, m, g.\n");
    for (unsigned g = 0; !err && g < LG_GROUP_COUNT; g++) {
        err = lg_buf_printf(out, "\n%s\n", lg_group_title((enum lg_group)g));
        if (!err)
            err = each_row(out, g, help_row);
    }
    return err;
}

/* ---- roff -------------------------------------------------------------------------- */

static int put_roff(struct lg_buf *out, const char *text, size_t len)
{
    /* A line that begins with either would be a request. */
    int err = len && strchr(".'", text[0]) ? lg_buf_puts(out, "\\&") : 0;
    for (size_t i = 0; !err && i < len; i++) {
        if (text[i] == '-')
            err = lg_buf_puts(out, "\\-");
        else if (text[i] == '\\')
            err = lg_buf_puts(out, "\\e");
        else
            err = lg_buf_append(out, text + i, 1);
    }
    return err;
}

static int man_row(struct lg_buf *out, const struct lg_row *row)
{
    struct lg_buf text = {0};
    int err = put_names(&text, row, "");
    if (!err)
        err = lg_buf_puts(out, ".TP\n.B ");
    if (!err)
        err = put_roff(out, text.ptr, text.len);
    if (!err)
        err = lg_buf_puts(out, "\n");
    text.len = 0;
    if (!err)
        err = lg_buf_puts(&text, row->help);
    if (!err)
        err = put_facts(&text, row);
    if (!err)
        err = put_roff(out, text.ptr, text.len);
    lg_buf_free(&text);
    return err ? err : lg_buf_puts(out, "\n");
}

int lg_conf_man(struct lg_buf *out)
{
    int err = lg_buf_puts(out, ".SH OPTIONS\n");
    for (unsigned g = 0; !err && g < LG_GROUP_COUNT; g++) {
        err = lg_buf_printf(out, ".SS %s\n", lg_group_title((enum lg_group)g));
        if (!err)
            err = each_row(out, g, man_row);
    }
    return err;
}
