/* Wiring: the command line to what it asks for. The one place that may exit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/master.h"
#include "operate/operate.h"

#include <stdio.h>
#include <unistd.h>

static bool has_word(int argc, char **argv, const char *word, const char *other)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0 || (other && strcmp(argv[i], other) == 0))
            return true;
    return false;
}

/* Writes a text that was rendered; the exit status. */
static int print_text(int err, struct lg_buf *text)
{
    size_t written = err ? 0 : fwrite(text->ptr, 1, text->len, stdout);
    bool ok = !err && written == text->len && fflush(stdout) == 0;
    lg_buf_free(text);
    return ok ? 0 : 1;
}

static int print_help(void)
{
    struct lg_buf text = {0};
    int err = lg_buf_puts(&text, "usage: legatus [OPTION...] [FILE.ini...]\n"
                                 "       legatus --check FILE.ini\n"
                                 "       legatus legion status FILE.ini|ADDRESS\n\n");
    if (!err)
        err = lg_conf_help(&text);
    return print_text(err, &text);
}

static int print_man(void)
{
    struct lg_buf text = {0};
    int err = lg_conf_man(&text);
    return print_text(err, &text);
}

static int print_config(const struct lg_conf *conf)
{
    struct lg_buf text = {0};
    int err = lg_conf_render(conf, &text);
    return print_text(err, &text);
}

/* In a file show-config prints and goes on, as uWSGI does; on the command line
 * it is a question. */
static bool only_shows(const struct lg_conf *conf)
{
    size_t count = lg_conf_count(conf, LG_OPT_show_config);
    const struct lg_setting *last = count ? lg_conf_at(conf, LG_OPT_show_config, count - 1) : NULL;
    return last && last->where.line == 0 && last->where.file &&
           strcmp(last->where.file, "command line") == 0;
}

static int run(int argc, const char *const *argv)
{
    struct lg_loaded loaded;
    int err = lg_load(argc, argv, &loaded);
    int status = err ? 1 : 0;
    if (!loaded.conf) {
        fprintf(stderr, "legatus: %s\n", lg_err_text(err));
        lg_loaded_free(&loaded);
        return 1;
    }
    lg_diags_print(loaded.conf, 0, stderr);
    if (lg_conf_bool(loaded.conf, LG_OPT_show_config))
        status |= print_config(loaded.conf);
    bool is_check = lg_conf_bool(loaded.conf, LG_OPT_check);
    if (is_check && !status)
        puts("the configuration is good");
    if (status == 0 && !is_check && !only_shows(loaded.conf))
        status = lg_master_run(argc, argv, &loaded);
    lg_loaded_free(&loaded);
    return status;
}

int main(int argc, char **argv)
{
    const char *const *words = (const char *const *)argv + 1;
    if (argc > 1 && lg_operate_is_asked(argc - 1, words))
        return lg_operate_run(argc - 1, words);
    if (has_word(argc, argv, "--help", "-h"))
        return print_help();
    if (has_word(argc, argv, "--version", NULL)) {
        puts("legatus " LG_VERSION);
        return 0;
    }
    if (has_word(argc, argv, "--man", NULL))
        return print_man();
    if (argc < 2) {
        fputs("usage: legatus [OPTION...] [FILE.ini...], see legatus --help\n", stderr);
        return 1;
    }
    return run(argc - 1, words);
}
