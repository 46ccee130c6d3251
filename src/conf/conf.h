/* The configuration: ini and command line in, checked settings out. Pure: every
 * fact of the outside world comes through struct lg_conf_facts.
 *
 * Flow: sources -> directives (text with FILE:LINE) -> the one option table
 * (options.def) -> struct lg_conf. Nothing here logs or exits: faults and
 * warnings are collected as diagnostics for the caller to print.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CONF_CONF_H
#define LG_CONF_CONF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "conf/options.h" /* enum lg_opt: LG_OPT_http_socket for "http-socket" */

struct lg_conf; /* opaque; immutable once loaded; free with lg_conf_free */

struct lg_where {
    const char *file; /* as given; "command line"; "environment" */
    unsigned line;    /* from 1; 0 when the source has no lines */
};

struct lg_setting {
    enum lg_opt opt;
    const char *text; /* the value as written, placeholders replaced; "" for a bare key */
    int64_t number;   /* in the option's base unit: plain, bytes, ms; 0/1 for booleans */
    struct lg_where where;
};

enum lg_diag_level { LG_DIAG_WARN, LG_DIAG_ERROR };

struct lg_diag {
    enum lg_diag_level level;
    struct lg_where where;
    const char *text; /* one line: what is wrong, what was expected, nearest name */
};

/* What the outside world looks like. `data` is passed back. */
struct lg_conf_facts {
    void *data;
    const char *(*env)(void *data, const char *name); /* NULL = unset */
    /* 0 and a malloc'ed *ret_text (caller frees), or -LG_E_NOTFOUND / -LG_E_SYS.
     * `path` may be "-". */
    int (*read_file)(void *data, const char *path, char **ret_text, size_t *ret_len);
    /* 'e' exists, 'f' regular file, 'd' directory */
    bool (*path_is)(void *data, const char *path, char kind);
    /* Calls each(arg, path) for every match, sorted. */
    void (*glob)(
        void *data, const char *pattern, void (*each)(void *arg, const char *path), void *arg);
    const char *hostname;
    const char *cwd;
    unsigned cpu_count;
    unsigned uid, gid;
    const char *user, *group;
    int64_t now_us;             /* Unix time in microseconds */
    const char *const *environ; /* NULL-terminated "NAME=value" list */
};

/* Loads environment, then `argv` (without the program's name) left to right.
 * Always sets *ret_conf (caller frees), even on failure, so that diagnostics can
 * be read. 0, or -LG_E_CONF when there is at least one error diagnostic, or
 * -LG_E_NOMEM. */
int lg_conf_load(const struct lg_conf_facts *facts, int argc, const char *const *argv,
    struct lg_conf **ret_conf) LG_MUST_USE;
void lg_conf_free(struct lg_conf *conf);

const struct lg_diag *lg_conf_diags(const struct lg_conf *conf, size_t *ret_count);
/* Adds a diagnostic found by a later check (plugins, sockets). */
void lg_conf_report(struct lg_conf *conf, enum lg_diag_level level, struct lg_where where,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Reading. Options never given answer with their default. */
size_t lg_conf_count(const struct lg_conf *conf, enum lg_opt opt); /* times given */
const struct lg_setting *lg_conf_at(const struct lg_conf *conf, enum lg_opt opt, size_t i);
bool lg_conf_bool(const struct lg_conf *conf, enum lg_opt opt);
int64_t lg_conf_number(const struct lg_conf *conf, enum lg_opt opt);   /* the last one's */
const char *lg_conf_text(const struct lg_conf *conf, enum lg_opt opt); /* last; NULL = none */
/* Every setting of every option in order of appearance. */
const struct lg_setting *lg_conf_all(const struct lg_conf *conf, size_t *ret_count);

/* A key of a key-value setting ("mountpoint=/,volume=v"), escapes undone; NULL
 * when absent. Lives as long as `conf`. */
const char *lg_conf_key(
    const struct lg_conf *conf, const struct lg_setting *setting, const char *key);

/* "5", "0.1", "100ms", "3s", "2m", "1h": seconds without a unit. False for
 * anything else. Any time, without a configuration. */
bool lg_conf_duration(struct lg_slice text, int64_t *ret_ms) LG_MUST_USE;

/* The option of that name or alias in any table; false when there is none. */
bool lg_opt_find(struct lg_slice name, enum lg_opt *ret_opt);
const char *lg_opt_name(enum lg_opt opt);
/* The plugin an option belongs to ("glusterfs"), or NULL for the core's. */
const char *lg_opt_plugin(enum lg_opt opt);
/* Plugins this configuration needs: named by plugin(s)=, by an option of theirs,
 * or by a modifier1 (27 = glusterfs). Unique names, in order. */
size_t lg_conf_plugins(const struct lg_conf *conf, const char **ret_names, size_t max);

/* Texts generated from the option table and the settings. 0 or -LG_E_NOMEM. */
int lg_conf_render(const struct lg_conf *conf, struct lg_buf *out) LG_MUST_USE; /* --show-config */
int lg_conf_help(struct lg_buf *out) LG_MUST_USE; /* --help, below its usage line */
int lg_conf_man(struct lg_buf *out) LG_MUST_USE;  /* OPTIONS section, roff */

#endif
