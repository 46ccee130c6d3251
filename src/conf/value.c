/* Values by type: text to number, what was expected, keys of key-value settings.
 * Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

#include <inttypes.h>

/* ---- What is expected ------------------------------------------------------------ */

const char *lg_conf_show_ms(struct lg_conf *conf, int64_t ms)
{
    if (ms && ms % 3600000 == 0)
        return lg_conf_printf(conf, "%" PRId64 "h", ms / 3600000);
    if (ms && ms % 1000)
        return lg_conf_printf(conf, "%" PRId64 "ms", ms);
    return lg_conf_printf(conf, ms ? "%" PRId64 "s" : "%" PRId64, ms / 1000);
}

static const char *expected_duration(struct lg_conf *conf, const struct lg_row *row)
{
    const char *min = lg_conf_show_ms(conf, row->min);
    const char *max = lg_conf_show_ms(conf, row->max);
    return lg_conf_printf(conf, "%sa duration from %s to %s (in %s, or with ms, s, m or h)",
        row->flags & LG_F_SWITCH ? "true, false or " : "", min ? min : "", max ? max : "",
        row->flags & LG_F_MS ? "milliseconds" : "seconds");
}

static const char *expected_choice(struct lg_conf *conf, const struct lg_row *row)
{
    struct lg_slice rest = lg_slice_of(row->values);
    struct lg_slice choice = lg_slice_cut(rest, '|', &rest);
    const char *text = lg_conf_copy(conf, choice.ptr, choice.len);
    while (text && rest.len) {
        choice = lg_slice_cut(rest, '|', &rest);
        text = lg_conf_printf(
            conf, "%s%s%.*s", text, rest.len ? ", " : " or ", (int)choice.len, choice.ptr);
    }
    return text;
}

static const char *expected_size(struct lg_conf *conf, const struct lg_row *row)
{
    if (row->max == INT64_MAX)
        return "a number of bytes (k, m or g may follow)";
    return lg_conf_printf(conf,
        "a number of bytes from %" PRId64 " to %" PRId64 " (k, m or g may follow)", row->min,
        row->max);
}

static const char *expected_keys(struct lg_conf *conf, const struct lg_row *row)
{
    struct lg_buf out = {0};
    const char *text = NULL;
    for (const char *c = row->values; *c; c++) {
        bool is_end = *c == ' ' || *c == '!' || *c == '*';
        int err = *c == '/'   ? lg_buf_puts(&out, "=... or ")
                  : *c == ' ' ? lg_buf_puts(&out, "=...,")
                  : is_end    ? 0
                              : lg_buf_append(&out, c, 1);
        if (err)
            conf->err = err;
    }
    if (!conf->err)
        text = lg_conf_printf(conf, "%.*s=...", (int)out.len, out.ptr);
    lg_buf_free(&out);
    return text;
}

static const char *expected_by_type(struct lg_conf *conf, const struct lg_row *row)
{
    switch (row->type) {
    case LG_TYPE_BOOL:
        return "true or false";
    case LG_TYPE_NUMBER:
        return lg_conf_printf(
            conf, "a whole number from %" PRId64 " to %" PRId64, row->min, row->max);
    case LG_TYPE_SIZE:
        return expected_size(conf, row);
    case LG_TYPE_DURATION:
        return expected_duration(conf, row);
    case LG_TYPE_CHOICE:
        return expected_choice(conf, row);
    case LG_TYPE_ADDRESS:
        return "ip:port, :port, [v6]:port, a path, @abstract or fd://n";
    case LG_TYPE_PATH:
        return "a path";
    case LG_TYPE_KEYVAL:
        return expected_keys(conf, row);
    case LG_TYPE_LIST:
        return "words separated by commas";
    default:
        break;
    }
    if (!row->values)
        return "a value";
    if (strcmp(row->values, "octal") == 0)
        return "an octal mode such as 660";
    return lg_conf_printf(conf, "\"%s = %s\"", row->name, row->values);
}

const char *lg_conf_expected(struct lg_conf *conf, enum lg_opt opt)
{
    const char *text = expected_by_type(conf, lg_opt_row(opt));
    return text ? text : "another value";
}

/* ---- Types ---------------------------------------------------------------------------- */

static bool parse_bool(struct lg_slice s, int64_t *ret_number)
{
    static const char *const words[2][4] = {
        {"false", "off", "no", "0"}, {"true", "on", "yes", "1"}};
    if (!s.len) { /* a bare key */
        *ret_number = 1;
        return true;
    }
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 4; i++) {
            if (lg_slice_ieq(s, lg_slice_of(words[value][i]))) {
                *ret_number = value;
                return true;
            }
        }
    }
    return false;
}

static bool parse_number(struct lg_slice s, int64_t *ret_number)
{
    uint64_t value;
    if (!lg_slice_u64(s, INT64_MAX, &value))
        return false;
    *ret_number = (int64_t)value;
    return true;
}

static bool parse_size(struct lg_slice s, int64_t *ret_number)
{
    static const char units[] = "kmg";
    unsigned shift = 0;
    char last = s.len ? s.ptr[s.len - 1] : '0';
    for (unsigned i = 0; i < 3; i++)
        if (last == units[i] || last == units[i] - 'a' + 'A')
            shift = 10 * (i + 1);
    if (shift)
        s.len--;
    if (!parse_number(s, ret_number) || *ret_number > INT64_MAX >> shift)
        return false;
    *ret_number <<= shift;
    return true;
}

/* Milliseconds of one `unit`; 0 when there is no such unit. */
static int64_t unit_ms(struct lg_slice unit, int64_t default_ms)
{
    if (!unit.len)
        return default_ms;
    if (lg_slice_eq(unit, LG_SLICE("ms")))
        return 1;
    if (lg_slice_eq(unit, LG_SLICE("s")))
        return 1000;
    if (lg_slice_eq(unit, LG_SLICE("m")))
        return 60000;
    return lg_slice_eq(unit, LG_SLICE("h")) ? 3600000 : 0;
}

static size_t digits(struct lg_slice s)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

static bool parse_duration(struct lg_slice s, int64_t default_ms, int64_t *ret_number)
{
    uint64_t whole = 0, part = 0, scale = 1;
    size_t n = digits(s);
    if (!lg_slice_u64(lg_slice_from(s.ptr, n), INT64_C(1000000000000), &whole))
        return false;
    s = lg_slice_from(s.ptr + n, s.len - n);
    if (s.len && s.ptr[0] == '.') {
        n = digits(lg_slice_from(s.ptr + 1, s.len - 1));
        if (n > 9 || !lg_slice_u64(lg_slice_from(s.ptr + 1, n), 999999999, &part))
            return false;
        for (size_t i = 0; i < n; i++)
            scale *= 10;
        s = lg_slice_from(s.ptr + 1 + n, s.len - 1 - n);
    }
    int64_t unit = unit_ms(lg_slice_trim(s), default_ms);
    if (!unit)
        return false;
    uint64_t ms = whole * (uint64_t)unit + part * (uint64_t)unit / scale;
    *ret_number = (int64_t)ms;
    return true;
}

bool lg_conf_duration(struct lg_slice text, int64_t *ret_ms)
{
    return parse_duration(text, 1000, ret_ms);
}

static bool parse_switch(struct lg_slice s, int64_t preset, int64_t default_ms, int64_t *ret_number)
{
    int64_t is_on;
    if (!parse_bool(s, &is_on))
        return parse_duration(s, default_ms, ret_number);
    *ret_number = is_on ? preset : 0;
    return true;
}

static bool is_choice(struct lg_slice s, const char *values, int64_t *ret_number)
{
    struct lg_slice rest = lg_slice_of(values);
    for (int64_t i = 0; rest.len; i++) {
        struct lg_slice choice = lg_slice_cut(rest, '|', &rest);
        if (lg_slice_ieq(s, choice)) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

static bool is_octal(struct lg_slice s)
{
    bool ok = s.len >= 3 && s.len <= 4;
    for (size_t i = 0; ok && i < s.len; i++)
        ok = s.ptr[i] >= '0' && s.ptr[i] <= '7';
    return ok || !s.len;
}

static bool is_address(struct lg_slice s)
{
    uint64_t number;
    if (s.ptr[0] == '/' || s.ptr[0] == '.')
        return true;
    if (s.ptr[0] == '@')
        return s.len > 1;
    if (lg_slice_starts(s, LG_SLICE("fd://")))
        return lg_slice_u64(lg_slice_from(s.ptr + 5, s.len - 5), 1000000, &number);
    const char *colon = memrchr(s.ptr, ':', s.len);
    if (!colon) /* a relative path; a bare number was meant as a port */
        return digits(s) != s.len;
    struct lg_slice host = lg_slice_from(s.ptr, (size_t)(colon - s.ptr));
    struct lg_slice port = lg_slice_from(colon + 1, s.len - host.len - 1);
    if (!lg_slice_u64(port, 65535, &number))
        return false;
    bool is_bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    for (size_t i = 0; !is_bracketed && i < host.len; i++)
        if (strchr(":,[]\"' ", host.ptr[i]))
            return false;
    return true;
}

static struct lg_slice next_word(struct lg_slice *rest)
{
    struct lg_slice s = lg_slice_trim(*rest);
    size_t n = 0;
    while (n < s.len && s.ptr[n] != ' ' && s.ptr[n] != '\t')
        n++;
    *rest = lg_slice_from(s.ptr + n, s.len - n);
    return lg_slice_from(s.ptr, n);
}

/* Against a row such as "name address valor cipher:secret [iv]". */
static bool has_words(struct lg_slice s, const char *values)
{
    struct lg_slice pattern = lg_slice_of(values);
    for (;;) {
        struct lg_slice wanted = next_word(&pattern);
        if (!wanted.len || wanted.ptr[0] == '[')
            return true;
        struct lg_slice word = next_word(&s);
        if (!word.len)
            return false;
        for (const char *mark = ":="; *mark; mark++)
            if (memchr(wanted.ptr, *mark, wanted.len) && !memchr(word.ptr, *mark, word.len))
                return false;
    }
}

static bool parse_text(const struct lg_row *row, struct lg_slice s)
{
    if (!s.len)
        return row->flags & LG_F_BARE;
    if (row->type == LG_TYPE_ADDRESS)
        return is_address(s);
    if (row->type != LG_TYPE_TEXT || !row->values)
        return true;
    return strcmp(row->values, "octal") == 0 ? is_octal(s) : has_words(s, row->values);
}

static bool parse_by_type(
    const struct lg_row *row, struct lg_slice s, int64_t preset, int64_t *ret_number)
{
    int64_t default_ms = row->flags & LG_F_MS ? 1 : 1000;
    switch (row->type) {
    case LG_TYPE_BOOL:
        return parse_bool(s, ret_number);
    case LG_TYPE_NUMBER:
        return parse_number(s, ret_number);
    case LG_TYPE_SIZE:
        return parse_size(s, ret_number);
    case LG_TYPE_DURATION:
        return row->flags & LG_F_SWITCH ? parse_switch(s, preset, default_ms, ret_number)
                                        : parse_duration(s, default_ms, ret_number);
    case LG_TYPE_CHOICE:
        return is_choice(s, row->values, ret_number);
    default:
        return parse_text(row, s);
    }
}

/* People put comments behind values, where they are part of the value. */
static const char *comment_hint(const char *text)
{
    return strstr(text, " ;") || strstr(text, " #") ? " (a comment needs a line of its own)" : "";
}

bool lg_conf_parse_value(struct lg_conf *conf, enum lg_opt opt, const char *text,
    struct lg_where where, int64_t *ret_number)
{
    const struct lg_row *row = lg_opt_row(opt);
    int64_t number = 0;
    bool ok = parse_by_type(row, lg_slice_of(text), conf->presets[opt], &number);
    if (ok && row->max > 0)
        ok = number >= row->min && number <= row->max;
    if (ok) {
        *ret_number = number;
        return true;
    }
    if (row->flags & LG_F_SECRET)
        lg_conf_report(conf, LG_DIAG_ERROR, where, "bad value for \"%s\": expected %s", row->name,
            lg_conf_expected(conf, opt));
    else if (text[0])
        lg_conf_report(conf, LG_DIAG_ERROR, where, "bad value \"%s\" for \"%s\": expected %s%s",
            text, row->name, lg_conf_expected(conf, opt), comment_hint(text));
    else
        lg_conf_report(conf, LG_DIAG_ERROR, where, "\"%s\" has no value: expected %s", row->name,
            lg_conf_expected(conf, opt));
    return false;
}
