/* The outside world for the configuration, through libc. Must not depend on
 * anything of the master's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LG_FACTS_FILE_MAX ((size_t)64 << 20) /* the reader has its own, lower limit */
#define LG_FACTS_NAME_MAX 256

struct lg_facts {
    struct lg_conf_facts conf;
    char *cwd;
    char hostname[LG_FACTS_NAME_MAX];
    char user[LG_FACTS_NAME_MAX];
    char group[LG_FACTS_NAME_MAX];
};

static const char *read_env(void *data, const char *name)
{
    (void)data;
    return getenv(name);
}

static int read_all(int fd, struct lg_buf *out)
{
    for (;;) {
        if (lg_buf_reserve(out, 65536))
            return -LG_E_NOMEM;
        ssize_t n = read(fd, out->ptr + out->len, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -LG_E_SYS;
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > LG_FACTS_FILE_MAX)
            return -LG_E_LIMIT;
    }
}

static int read_file(void *data, const char *path, char **ret_text, size_t *ret_len)
{
    (void)data;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? -LG_E_NOTFOUND : -LG_E_SYS;
    struct lg_buf text = {0};
    int err = read_all(fd, &text);
    if (!is_stdin)
        close(fd);
    if (err) {
        lg_buf_free(&text);
        return err;
    }
    *ret_text = text.ptr; /* never NULL: read_all reserves first */
    *ret_len = text.len;
    return 0;
}

static bool path_is(void *data, const char *path, char kind)
{
    struct stat st;
    (void)data;
    if (stat(path, &st) < 0)
        return false;
    if (kind == 'f')
        return S_ISREG(st.st_mode);
    return kind == 'd' ? S_ISDIR(st.st_mode) : true;
}

static void each_glob(
    void *data, const char *pattern, void (*each)(void *arg, const char *path), void *arg)
{
    glob_t found = {0};
    (void)data;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            each(arg, found.gl_pathv[i]);
    globfree(&found);
}

/* A user or group without a name is known by its number. */
static void find_names(struct lg_facts *facts)
{
    struct passwd *user = getpwuid(getuid());
    struct group *group = getgrgid(getgid());
    if (user)
        snprintf(facts->user, sizeof facts->user, "%s", user->pw_name);
    else
        snprintf(facts->user, sizeof facts->user, "%u", (unsigned)getuid());
    if (group)
        snprintf(facts->group, sizeof facts->group, "%s", group->gr_name);
    else
        snprintf(facts->group, sizeof facts->group, "%u", (unsigned)getgid());
}

static int64_t now_us(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int lg_facts_new(struct lg_facts **ret_facts)
{
    struct lg_facts *facts = calloc(1, sizeof *facts);
    if (!facts)
        return -LG_E_NOMEM;
    facts->cwd = getcwd(NULL, 0);
    if (!facts->cwd || gethostname(facts->hostname, sizeof facts->hostname - 1) < 0) {
        lg_facts_free(facts);
        return -LG_E_SYS;
    }
    find_names(facts);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    facts->conf = (struct lg_conf_facts){
        .env = read_env,
        .read_file = read_file,
        .path_is = path_is,
        .glob = each_glob,
        .hostname = facts->hostname,
        .cwd = facts->cwd,
        .cpu_count = cpus > 0 ? (unsigned)cpus : 1,
        .uid = (unsigned)getuid(),
        .gid = (unsigned)getgid(),
        .user = facts->user,
        .group = facts->group,
        .now_us = now_us(),
        .environ = (const char *const *)environ,
    };
    *ret_facts = facts;
    return 0;
}

void lg_facts_free(struct lg_facts *facts)
{
    if (!facts)
        return;
    free(facts->cwd);
    free(facts);
}

const struct lg_conf_facts *lg_facts_conf(const struct lg_facts *facts)
{
    return &facts->conf;
}
