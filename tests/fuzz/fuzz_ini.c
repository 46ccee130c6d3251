/* Any bytes as an ini file: loaded, rendered, and what was rendered from a good one
 * loaded again. Includes reach the file itself (by its section), one other file,
 * and a few environment variables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const char *text;
    size_t len;
};

static const char *const variables[] = {
    "HOME=/root", "UWSGI_THREADS=2", "LEGATUS_PROCESSES=3", "LEGATUS_X=%(y)", NULL};

static const char *env(void *data, const char *name)
{
    (void)data;
    return strcmp(name, "HOME") == 0 ? "/root" : NULL;
}

static int read_file(void *data, const char *path, char **ret_text, size_t *ret_len)
{
    static const char other[] = "[legatus]\nthreads = 2\nset-ph = other=%(name)\n";
    const struct input *input = data;
    bool is_input = strcmp(path, "in.ini") == 0;
    if (!is_input && strcmp(path, "other") != 0)
        return -LG_E_NOTFOUND;
    size_t len = is_input ? input->len : sizeof other - 1;
    char *text = malloc(len + 1);
    if (!text)
        return -LG_E_SYS;
    memcpy(text, is_input ? input->text : other, len);
    *ret_text = text;
    *ret_len = len;
    return 0;
}

static bool path_is(void *data, const char *path, char kind)
{
    (void)data;
    return strcmp(path, "other") == 0 && kind != 'd';
}

static void each_path(
    void *data, const char *pattern, void (*each)(void *arg, const char *path), void *arg)
{
    (void)data;
    each(arg, "one");
    each(arg, pattern);
}

static int load(const struct input *input, struct lg_conf **ret_conf)
{
    static const char *const argv[] = {"in.ini"};
    struct input copy = *input;
    const struct lg_conf_facts facts = {.data = &copy,
        .env = env,
        .read_file = read_file,
        .path_is = path_is,
        .glob = each_path,
        .hostname = "host",
        .cwd = "/",
        .cpu_count = 2,
        .user = "u",
        .group = "g",
        .now_us = 1,
        .environ = variables};
    return lg_conf_load(&facts, 1, argv, ret_conf);
}

static void load_again(const struct lg_buf *text)
{
    struct lg_conf *conf;
    const struct input input = {text->ptr, text->len};
    int err = load(&input, &conf);
    size_t count = 0;
    const struct lg_diag *diags = conf ? lg_conf_diags(conf, &count) : NULL;
    /* A masked secret is no reason to fail, nor is anything else. */
    if (err == -LG_E_CONF)
        for (size_t i = 0; i < count; i++)
            if (diags[i].level == LG_DIAG_ERROR) {
                fprintf(stderr, "%.*s\n%u: %s\n", (int)text->len, text->ptr, diags[i].where.line,
                    diags[i].text);
                abort();
            }
    lg_conf_free(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lg_conf *conf;
    struct lg_buf out = {0};
    const struct input input = {(const char *)data, size};
    int err = load(&input, &conf);
    if (conf && err != -LG_E_NOMEM && lg_conf_render(conf, &out) == 0 && err == 0)
        load_again(&out);
    lg_buf_free(&out);
    lg_conf_free(conf);
    return 0;
}
