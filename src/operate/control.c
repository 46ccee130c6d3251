/* Gives a command to the legion process and waits for what comes of it. The other
 * end is src/cluster/control.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"
#include "operate/inner.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_MS    5000 /* for the first word */
#define SLACK_MS    2000 /* beyond what the other end said it may take */
#define WAIT_MS_MAX INT64_C(86400000)
#define ANSWER_MAX  4096
#define NAME_MAX_   127

enum { DONE = 0, REFUSED = 1, NOT_GIVEN = 2 };

struct command {
    const char *verb;
    const char *target, *legion;
    int64_t hold_ms; /* 0 = as long as the node thinks fit */
    bool on;
};

__attribute__((format(printf, 2, 3))) static int complain(
    const struct command *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "legatus legion %s: ", command->verb);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return NOT_GIVEN;
}

/* ---- The other end ---------------------------------------------------------------------- */

/* "/path" or "@name". False, with errno. */
static bool connect_to(int fd, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(text);
    if (len >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, text, len);
    if (text[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] != '@'));
    return connect(fd, (struct sockaddr *)&address, size) == 0;
}

/* A name may have been taken by somebody who only wants to be believed. A file is
 * where its folder's owner lets it be: there root believes others as well. */
static bool is_trusted(int fd, const char *address, uid_t *ret_uid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return false;
    *ret_uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid() || (geteuid() == 0 && address[0] != '@');
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One line of what comes, without its end; false when none came in time. */
static bool read_line(int fd, int64_t end_ms, char line[ANSWER_MAX])
{
    for (size_t len = 0; len < ANSWER_MAX - 1;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int64_t left_ms = end_ms - clock_ms();
        int ready = left_ms > 0 ? poll(&poll_fd, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || recv(fd, line + len, 1, 0) != 1)
            return false;
        if (line[len] == '\n') {
            line[len] = '\0';
            return true;
        }
        len++;
    }
    return false;
}

static int await(const struct command *command, int fd)
{
    char line[ANSWER_MAX];
    struct lg_slice rest;
    uint64_t wait_ms;
    int64_t end_ms = clock_ms() + FIRST_MS;
    while (read_line(fd, end_ms, line)) {
        struct lg_slice word = lg_slice_cut(lg_slice_of(line), ' ', &rest);
        if (lg_slice_eq(word, LG_SLICE("done")))
            return printf("%.*s\n", (int)rest.len, rest.ptr) < 0 || fflush(stdout) ? REFUSED : DONE;
        if (lg_slice_eq(word, LG_SLICE("denied")))
            return complain(command, "%.*s", (int)rest.len, rest.ptr);
        if (lg_slice_eq(word, LG_SLICE("failed"))) {
            complain(command, "%.*s", (int)rest.len, rest.ptr);
            return REFUSED;
        }
        if (lg_slice_eq(word, LG_SLICE("wait")) && lg_slice_u64(rest, WAIT_MS_MAX, &wait_ms))
            end_ms = clock_ms() + (int64_t)wait_ms + SLACK_MS;
    }
    complain(command, "no answer from %s", command->target);
    return REFUSED;
}

static int give(const struct command *command, const char *address)
{
    char line[256];
    uid_t uid = 0;
    int status = NOT_GIVEN;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int len = strcmp(command->verb, "resign") == 0
                  ? snprintf(line, sizeof line, "resign %" PRId64 " %s\n", command->hold_ms,
                        command->legion)
                  : snprintf(line, sizeof line, "maintenance %s %s\n", command->on ? "on" : "off",
                        command->legion);
    if (fd < 0)
        return complain(command, "%s", strerror(errno));
    if (!connect_to(fd, address)) {
        bool is_denied = errno == EACCES || errno == EPERM;
        complain(command, "%s: %s%s", address, strerror(errno),
            is_denied ? ": expected root, or the user it runs as"
                      : "; is it running, and in a legion?");
    } else if (!is_trusted(fd, address, &uid)) {
        complain(
            command, "%s belongs to user %d, neither root nor you: not asked", address, (int)uid);
    } else if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len && errno != EPIPE) {
        complain(command, "%s: %s", address, strerror(errno));
    } else {
        status = await(command, fd);
    }
    close(fd);
    return status;
}

/* ---- The command line ------------------------------------------------------------------------ */

static int give_by_file(const struct command *command)
{
    char address[LG_CLUSTER_CONTROL_SIZE];
    struct lg_conf *conf = lg_operate_load(command->target);
    if (!conf)
        return complain(command, "%s", lg_err_text(-LG_E_NOMEM));
    int err = lg_cluster_control(conf, address);
    bool has_legion = lg_cluster_legion_count(conf) > 0;
    lg_conf_free(conf);
    if (!err)
        return give(command, address);
    return complain(command, "%s %s", command->target,
        !has_legion             ? "has no legion"
        : err == -LG_E_NOTFOUND ? "has legion-control = off: nobody can be told"
                                : "has no legion-control that can be used: see --check");
}

static int give_by_target(const struct command *command)
{
    struct stat seen;
    const char *target = command->target;
    bool exists = stat(target, &seen) == 0;
    if (strlen(command->legion) > NAME_MAX_ || strpbrk(command->legion, " \t\n"))
        return complain(command, "\"%.60s\" is no legion's name", command->legion);
    if (target[0] == '@' || (exists && S_ISSOCK(seen.st_mode)))
        return give(command, target);
    if (exists && S_ISDIR(seen.st_mode))
        return complain(
            command, "%s is a directory: expected an ini file or its legion-control", target);
    if (!exists)
        return complain(
            command, "%s: %s: expected an ini file or its legion-control", target, strerror(errno));
    return give_by_file(command);
}

/* --for TIME, wherever it stands; the other words move together. False after
 * complaining. */
static bool take_hold(struct command *command, int *argc, const char **words)
{
    int count = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(words[i], "--for") != 0) {
            words[count++] = words[i];
            continue;
        }
        if (++i == *argc || !lg_conf_duration(lg_slice_of(words[i]), &command->hold_ms) ||
            command->hold_ms <= 0 || command->hold_ms > INT64_C(2592000000)) {
            complain(command, "--for: expected a time up to 720h, as in --for 10m");
            return false;
        }
    }
    *argc = count;
    return true;
}

int lg_operate_command(int argc, const char *const *argv)
{
    enum { WORDS_MAX = 8 };
    const char *words[WORDS_MAX];
    struct command command = {.verb = argv[0], .legion = ""};
    bool is_resign = strcmp(argv[0], "resign") == 0;
    int count = argc - 1 < WORDS_MAX ? argc - 1 : WORDS_MAX, at = 0;
    for (int i = 0; i < count; i++)
        words[i] = argv[i + 1];
    if (is_resign && !take_hold(&command, &count, words))
        return NOT_GIVEN;
    bool ok = is_resign;
    if (!is_resign && count > 0) {
        command.on = strcmp(words[0], "on") == 0;
        ok = command.on || strcmp(words[0], "off") == 0;
        at = 1;
    }
    if (!ok || count - at < 1 || count - at > 2)
        return complain(&command, "expected %s",
            is_resign ? "an ini file or its legion-control, perhaps the legion's name and --for "
                        "TIME, as in legatus legion resign site.ini"
                      : "on or off, an ini file or its legion-control, and perhaps the legion's "
                        "name, as in legatus legion maintenance on site.ini");
    command.target = words[at];
    command.legion = count - at > 1 ? words[at + 1] : "";
    return give_by_target(&command);
}
