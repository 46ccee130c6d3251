/* See conf_world.h. Must not touch the real files or environment.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf_world.h"

#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *world_env(void *data, const char *name)
{
    struct world *world = data;
    size_t len = strlen(name);
    for (size_t i = 0; world->env[i]; i++)
        if (strncmp(world->env[i], name, len) == 0 && world->env[i][len] == '=')
            return world->env[i] + len + 1;
    return NULL;
}

static int world_read(void *data, const char *path, char **ret_text, size_t *ret_len)
{
    struct world *world = data;
    for (size_t i = 0; i < WORLD_MAX && world->files[i].path; i++) {
        const struct world_file *file = &world->files[i];
        if (strcmp(file->path, path) != 0)
            continue;
        size_t len = file->len ? file->len : strlen(file->text);
        *ret_text = malloc(len + 1);
        assert_non_null(*ret_text);
        memcpy(*ret_text, file->text, len);
        *ret_len = len;
        return 0;
    }
    return -LG_E_NOTFOUND;
}

static bool world_path_is(void *data, const char *path, char kind)
{
    struct world *world = data;
    for (size_t i = 0; i < WORLD_MAX && world->files[i].path; i++) {
        size_t len = strlen(world->files[i].path);
        bool is_dir = world->files[i].path[len - 1] == '/';
        if (strncmp(world->files[i].path, path, len - is_dir) == 0 && strlen(path) == len - is_dir)
            return kind == 'e' || (kind == 'd') == is_dir;
    }
    return false;
}

static void world_glob(
    void *data, const char *pattern, void (*each)(void *arg, const char *path), void *arg)
{
    struct world *world = data;
    for (size_t i = 0; i < WORLD_MAX && world->files[i].path; i++)
        if (fnmatch(pattern, world->files[i].path, FNM_PATHNAME) == 0)
            each(arg, world->files[i].path);
}

int world_load(struct world *world, struct lg_conf **ret_conf, ...)
{
    const struct lg_conf_facts facts = {.data = world,
        .env = world_env,
        .read_file = world_read,
        .path_is = world_path_is,
        .glob = world_glob,
        .hostname = "web1",
        .cwd = "/home",
        .cpu_count = 4,
        .uid = 33,
        .gid = 34,
        .user = "www-data",
        .group = "www",
        .now_us = INT64_C(1700000000000042),
        .environ = world->env};
    const char *argv[32];
    int argc = 0;
    va_list args;
    va_start(args, ret_conf);
    for (const char *arg; (arg = va_arg(args, const char *));) {
        assert_true(argc < 32);
        argv[argc++] = arg;
    }
    va_end(args);
    return lg_conf_load(&facts, argc, argv, ret_conf);
}

void assert_diags(const struct lg_conf *conf, const char *diags)
{
    struct lg_buf out = {0};
    size_t count;
    const struct lg_diag *all = lg_conf_diags(conf, &count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            lg_buf_printf(&out, "%s:%u: %s: %s\n", all[i].where.file, all[i].where.line,
                all[i].level == LG_DIAG_ERROR ? "error" : "warning", all[i].text),
            0);
    assert_int_equal(lg_buf_append(&out, "", 1), 0);
    assert_string_equal(out.ptr, diags);
    lg_buf_free(&out);
}

struct lg_conf *world_ini(struct world *world, const char *ini, const char *diags)
{
    struct lg_conf *conf;
    size_t i = 0;
    while (world->files[i].path && strcmp(world->files[i].path, "t.ini") != 0)
        i++;
    world->files[i] = (struct world_file){"t.ini", ini, 0};
    int err = world_load(world, &conf, "t.ini", NULL);
    assert_non_null(conf);
    assert_diags(conf, diags);
    assert_int_equal(err, strstr(diags, ": error: ") ? -LG_E_CONF : 0);
    return conf;
}

void assert_values(const struct lg_conf *conf, enum lg_opt opt, const char *values)
{
    struct lg_buf out = {0};
    for (size_t i = 0; i < lg_conf_count(conf, opt); i++)
        assert_int_equal(lg_buf_printf(&out, "%s|", lg_conf_at(conf, opt, i)->text), 0);
    assert_int_equal(lg_buf_append(&out, "", 1), 0);
    assert_string_equal(out.ptr, values);
    lg_buf_free(&out);
}
