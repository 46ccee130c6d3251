/* Wiring: the command line to what it asks for. The one place that may exit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/setup.h"
#include "master/load.h"
#include "master/master.h"
#include "operate/operate.h"
#include "sim/command.h"
#include "sim/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static const char usage[] = "usage: legatus [OPTION...] [FILE.ini...]\n"
                            "       legatus --check FILE.ini\n";
static const char legion_usage[] =
    "       legatus legion status [--why] FILE.ini|ADDRESS\n"
    "       legatus legion resign FILE.ini|SOCKET [LEGION] [--for TIME]\n"
    "       legatus legion maintenance on|off FILE.ini|SOCKET [LEGION]\n"
    "       legatus legion-sim FILE.ini... [--nodes N] [--for TIME] [FAULT...]\n"
    "       legatus legion-sim --replay FILE.ring.old FILE.ring\n\n";
static const char faults_usage[] =
    "Faults of legion-sim, nodes numbered from 1 in the order of the files:\n"
    "  --kill|--crash|--stop|--resign N@TIME[+TIME]   --pause|--freeze N@TIME+TIME\n"
    "  --partition A,B@TIME[+TIME]   --cut A-B@TIME[+TIME]   --loss P%   --latency TIME\n"
    "  --hooks TIME   --grow|--grow-unprepared N@TIME\n"
    "and --seed N, --json, --brief. TIME as in 90, 1.5s, 200ms, 10m, 1h.\n"
    "See docs/legion-stories.md.\n";

static int print_help(void)
{
    struct lg_buf text = {0};
    int err = lg_buf_puts(&text, usage);
    if (!err)
        err = lg_buf_puts(&text, legion_usage);
    if (!err)
        err = lg_conf_help(&text);
    return print_text(err, &text);
}

/* Does the command line (without the program's name) ask how to ask? */
static bool wants_legion_help(int argc, const char *const *words)
{
    bool is_legion = strcmp(words[0], "legion") == 0;
    if (!is_legion && strcmp(words[0], "legion-sim") != 0)
        return false;
    for (int i = 1; i < argc; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
            return true;
    return is_legion && argc == 1;
}

static int print_legion_help(void)
{
    struct lg_buf text = {0};
    int err = lg_buf_puts(&text, "usage: ");
    if (!err)
        err = lg_buf_puts(&text, legion_usage + strlen("usage: "));
    if (!err)
        err = lg_buf_puts(&text, faults_usage);
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

/* ---- legion-sim ------------------------------------------------------------------ */

/* The first legion of a file; the node is called as the file is. */
static int read_setup(const char *file, struct lg_arena *arena, struct lg_legion_setup *ret_setup)
{
    struct lg_loaded loaded;
    int err = lg_load(1, &file, &loaded);
    if (loaded.conf)
        lg_diags_print(loaded.conf, 0, stderr);
    if (!err)
        err = lg_cluster_setup(loaded.conf, arena, ret_setup);
    lg_loaded_free(&loaded);
    if (err == -LG_E_NOTFOUND)
        fprintf(stderr, "legatus: legion-sim: %s: expected a legion in it\n", file);
    else if (err && err != -LG_E_CONF)
        fprintf(stderr, "legatus: legion-sim: %s: %s\n", file, lg_err_text(err));
    if (err)
        return err;
    const char *slash = strrchr(file, '/');
    struct lg_slice name = lg_slice_of(slash ? slash + 1 : file);
    if (name.len > 4 && strcmp(name.ptr + name.len - 4, ".ini") == 0)
        name.len -= 4;
    name.len = name.len < LG_LEGION_NAME_MAX ? name.len : LG_LEGION_NAME_MAX;
    ret_setup->name = name;
    return 0;
}

static void print_line(void *arg, const char *line)
{
    (void)arg;
    puts(line);
}

/* Maps it: these are large, and read once. */
static bool map_file(const char *name, struct lg_sim_replay_file *ret_file)
{
    struct stat seen;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &seen) == 0;
    void *bytes = NULL;
    if (ok && seen.st_size > 0) {
        bytes = mmap(NULL, (size_t)seen.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = bytes != MAP_FAILED;
    }
    if (!ok)
        fprintf(stderr, "legatus: legion-sim: %s: %s\n", name, strerror(errno));
    else
        *ret_file = (struct lg_sim_replay_file){
            name, lg_slice_from(bytes ? bytes : "", (size_t)seen.st_size)};
    if (fd >= 0)
        close(fd);
    return ok;
}

static int replay_files(struct lg_sim_command *command, bool *ret_same)
{
    struct lg_sim_replay_file files[LG_SIM_FILES_MAX] = {0};
    char error[LG_SIM_REPLAY_ERROR_SIZE] = "";
    size_t count;
    const char *const *names = lg_sim_command_files(command, &count);
    for (size_t i = 0; i < count; i++)
        if (!map_file(names[i], &files[i]))
            return -LG_E_SYS;
    int err = lg_sim_replay(
        files, count, lg_sim_command_is_json(command), print_line, NULL, ret_same, error);
    if (err)
        fprintf(stderr, "legatus: legion-sim: %s\n", error[0] ? error : lg_err_text(err));
    return err; /* the process ends, and the maps with it */
}

static int simulate_files(struct lg_sim_command *command, bool *ret_kept)
{
    struct lg_legion_setup setups[LG_SIM_FILES_MAX] = {0};
    struct lg_arena arenas[LG_SIM_FILES_MAX] = {0};
    char error[LG_SIM_ERROR_SIZE] = "";
    size_t count;
    int err = 0;
    const char *const *files = lg_sim_command_files(command, &count);
    for (size_t i = 0; i < count && !err; i++)
        err = read_setup(files[i], &arenas[i], &setups[i]);
    if (!err)
        err = lg_sim_command_run(command, setups, count, print_line, NULL, ret_kept, error);
    if (error[0])
        fprintf(stderr, "legatus: %s\n", error);
    for (size_t i = 0; i < count; i++)
        lg_arena_free(&arenas[i]);
    return err;
}

/* 0 = never two Lords (a replay: all as recorded), 1 = there were, 2 = it could not be
 * run. */
static int simulate(int argc, const char *const *words)
{
    struct lg_sim_command *command;
    char error[LG_SIM_ERROR_SIZE] = "";
    bool kept = false;
    int err = lg_sim_command_new(argc, words, &command, error);
    if (err) {
        fprintf(stderr, "legatus: %s\n", error[0] ? error : lg_err_text(err));
        return 2;
    }
    err = lg_sim_command_replays(command) ? replay_files(command, &kept)
                                          : simulate_files(command, &kept);
    lg_sim_command_free(command);
    if (fflush(stdout) != 0)
        return 2;
    return err ? 2 : kept ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *const *words = (const char *const *)argv + 1;
    if (argc > 1 && wants_legion_help(argc - 1, words))
        return print_legion_help();
    if (argc > 1 && lg_operate_is_asked(argc - 1, words))
        return lg_operate_run(argc - 1, words);
    if (argc > 1 && strcmp(words[0], "legion-sim") == 0)
        return simulate(argc - 2, words + 1);
    if (argc > 1 && strcmp(words[0], "legion") == 0) {
        fprintf(stderr, "legatus legion %s: expected status, resign or maintenance\n", words[1]);
        return 2;
    }
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
