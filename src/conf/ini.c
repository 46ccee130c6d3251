/* ini text -> directives, with the line each stands on. Knows the shape of a
 * line, not what an option means. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/inner.h"

struct reader {
    struct lg_source *source;
    unsigned line;
    const char *section; /* the one we are in; NULL before the first */
    bool is_ours;        /* lines of this section count */
    const char *ours;    /* the first section that was ours */
    const char *other;   /* the first one that was not, for the advice */
    unsigned other_line;
};

static struct lg_where here(const struct reader *reader)
{
    return (struct lg_where){reader->source->file, reader->line};
}

bool lg_source_push(struct lg_source *source, const struct lg_directive *row)
{
    if (!lg_conf_grow(source->conf, &source->rows, &source->cap, source->count, sizeof *row))
        return false;
    source->rows[source->count++] = *row;
    return true;
}

static bool is_default_section(const char *name)
{
    return strcmp(name, "uwsgi") == 0 || strcmp(name, "legatus") == 0;
}

static void enter_section(struct reader *reader, const char *name)
{
    struct lg_conf *conf = reader->source->conf;
    const char *wanted = reader->source->section;
    reader->section = name;
    reader->is_ours = wanted ? strcmp(name, wanted) == 0 : is_default_section(name);
    if (!reader->is_ours) {
        if (!reader->other) {
            reader->other = name;
            reader->other_line = reader->line;
        }
        return;
    }
    if (!reader->ours)
        reader->ours = name;
    else if (strcmp(reader->ours, name) != 0)
        lg_conf_report(conf, LG_DIAG_ERROR, here(reader),
            "section [%s] after [%s]: expected one of the two in a file, not both", name,
            reader->ours);
}

static void read_header(struct reader *reader, struct lg_slice line)
{
    struct lg_conf *conf = reader->source->conf;
    const char *close = memchr(line.ptr, ']', line.len);
    if (!close) {
        lg_conf_report(
            conf, LG_DIAG_ERROR, here(reader), "\"%s\": expected \"]\" at the end", line.ptr);
        return;
    }
    struct lg_slice name =
        lg_slice_trim(lg_slice_from(line.ptr + 1, (size_t)(close - line.ptr) - 1));
    const char *copy = lg_conf_copy(conf, name.ptr, name.len);
    if (copy)
        enter_section(reader, copy);
}

static void read_pair(struct reader *reader, struct lg_slice line)
{
    struct lg_conf *conf = reader->source->conf;
    struct lg_slice value;
    struct lg_slice key = lg_slice_trim(lg_slice_cut(line, '=', &value));
    if (!reader->section) {
        lg_conf_report(conf, LG_DIAG_ERROR, here(reader),
            "\"%.60s\" stands before any section: expected [uwsgi] or [legatus] first", line.ptr);
        reader->section = "";
        return;
    }
    if (!reader->is_ours)
        return;
    if (!key.len) {
        lg_conf_report(
            conf, LG_DIAG_ERROR, here(reader), "\"%.60s\": expected \"option = value\"", line.ptr);
        return;
    }
    bool has_equals = value.ptr != NULL;
    value = lg_slice_trim(value);
    struct lg_directive row = {.key = lg_conf_copy(conf, key.ptr, key.len),
        .value = lg_conf_copy(conf, value.ptr, value.len),
        .where = here(reader),
        .has_equals = has_equals};
    if (!row.key || !row.value)
        return;
    row.is_known = lg_opt_find(key, &row.opt);
    lg_source_push(reader->source, &row);
}

/* The first pass runs over the raw line, so that keys take part as well. */
static void read_line(struct reader *reader, struct lg_slice raw)
{
    struct lg_source *source = reader->source;
    if (raw.len && memchr(raw.ptr, '\0', raw.len)) {
        lg_conf_report(source->conf, LG_DIAG_ERROR, here(reader),
            "a NUL byte: expected text (is this an ini file?)");
        return;
    }
    if (raw.len && raw.ptr[raw.len - 1] == '\r')
        raw.len--;
    raw = lg_slice_trim(raw);
    if (!raw.len || raw.ptr[0] == ';' || raw.ptr[0] == '#')
        return;
    const char *section = source->section ? source->section : reader->section;
    char *text = lg_conf_magic(source, section, raw);
    if (!text)
        return;
    if (text[0] == '[')
        read_header(reader, lg_slice_of(text));
    else
        read_pair(reader, lg_slice_of(text));
}

static void check_sections(const struct reader *reader)
{
    struct lg_source *source = reader->source;
    struct lg_where where = {source->file, reader->other_line};
    if (reader->ours)
        return;
    if (source->section)
        lg_conf_report(source->conf, LG_DIAG_ERROR, (struct lg_where){source->file, 0},
            "no section [%s]", source->section);
    else if (reader->other)
        lg_conf_report(source->conf, LG_DIAG_ERROR, where,
            "section [%s] is not read: expected a section [uwsgi] or [legatus]", reader->other);
    else if (!reader->section)
        lg_conf_report(source->conf, LG_DIAG_ERROR, (struct lg_where){source->file, 0},
            "expected a section [uwsgi] or [legatus]");
}

void lg_conf_parse_ini(struct lg_source *source, const char *text, size_t len)
{
    struct reader reader = {.source = source};
    struct lg_slice rest = lg_slice_from(text, len);
    if (lg_slice_starts(rest, LG_SLICE("\xEF\xBB\xBF"))) { /* some editors' mark */
        rest.ptr += 3;
        rest.len -= 3;
    }
    while (rest.ptr && rest.len && !source->conf->err) {
        struct lg_slice line = lg_slice_cut(rest, '\n', &rest);
        reader.line++;
        read_line(&reader, line);
    }
    check_sections(&reader);
}
