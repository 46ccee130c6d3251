/* Build tool: prints a man page's prose with its @OPTIONS@ line replaced by the
 * section generated from the option table, and @VERSION@ by the version.
 *
 *     man TEMPLATE VERSION
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <stdlib.h>

#define LINE_MAX_SIZE 4096

static int put_line(struct lg_buf *out, const char *line, const char *version)
{
    static const char mark[] = "@VERSION@";
    const char *at = strstr(line, mark);
    if (strcmp(line, "@OPTIONS@\n") == 0)
        return lg_conf_man(out);
    if (!at)
        return lg_buf_puts(out, line);
    return lg_buf_printf(out, "%.*s%s%s", (int)(at - line), line, version, at + sizeof mark - 1);
}

int main(int argc, char **argv)
{
    char line[LINE_MAX_SIZE];
    struct lg_buf out = {0};
    FILE *file = argc == 3 ? fopen(argv[1], "r") : NULL;
    int err = file ? 0 : -LG_E_SYS;
    while (!err && fgets(line, sizeof line, file))
        err = put_line(&out, line, argv[2]);
    if (file)
        fclose(file);
    if (!err && fwrite(out.ptr, 1, out.len, stdout) != out.len)
        err = -LG_E_SYS;
    lg_buf_free(&out);
    if (err)
        fprintf(stderr, "man: %s\n", lg_err_text(err));
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
