/* Finds the statistics socket of a running instance and asks it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operate/inner.h"

#include "base/slice.h"
#include "master/facts.h"
#include "master/listen.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS  3000 /* for all of it */
#define ANSWER_MAX ((size_t)64 << 20)

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list args;
    fputs("legatus legion status: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return 1;
}

/* ---- Asking --------------------------------------------------------------------------- */

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False, with errno, when the time is over. */
static bool wait_for(int fd, short events, int64_t end_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int64_t left_ms = end_ms - clock_ms();
    int ready = left_ms > 0 ? poll(&poll_fd, 1, (int)left_ms) : 0;
    if (ready == 0)
        errno = ETIMEDOUT;
    return ready > 0;
}

static bool connect_to(int fd, const struct lg_listen_address *address, int64_t end_ms)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (connect(fd, &address->at.base, address->len) == 0)
        return true;
    if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, end_ms) ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return false;
    errno = err;
    return err == 0;
}

static bool read_all(int fd, int64_t end_ms, struct lg_buf *out)
{
    for (;;) {
        if (out->len >= ANSWER_MAX || lg_buf_reserve(out, 65536)) {
            errno = EMSGSIZE;
            return false;
        }
        if (!wait_for(fd, POLLIN, end_ms))
            return false;
        ssize_t got = recv(fd, out->ptr + out->len, 65536, 0);
        if (got < 0)
            return false;
        if (got == 0)
            return true;
        out->len += (size_t)got;
    }
}

/* False, with errno, when nobody answers. */
static bool ask(const struct lg_listen_address *address, struct lg_buf *out)
{
    int64_t end_ms = clock_ms() + ANSWER_MS;
    int fd = socket(address->at.base.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool ok = connect_to(fd, address, end_ms) && read_all(fd, end_ms, out);
    int err = errno;
    close(fd);
    errno = err;
    return ok;
}

static int show(const char *address_text, const struct lg_buf *answer, bool why)
{
    struct lg_buf table = {0};
    const char *head_end = memmem(answer->ptr, answer->len, "\r\n\r\n", 4);
    bool is_http = answer->len > 5 && memcmp(answer->ptr, "HTTP/", 5) == 0;
    size_t skip = is_http && head_end ? (size_t)(head_end - answer->ptr) + 4 : 0;
    int err = (why ? lg_operate_why : lg_operate_legions)(
        answer->ptr + skip, answer->len - skip, (int64_t)time(NULL), &table);
    int status = 0;
    if (err == -LG_E_PROTO)
        status = complain("%s: what answers there is no statistics socket", address_text);
    else if (err)
        status = complain("%s", lg_err_text(err));
    else if (fwrite(table.ptr, 1, table.len, stdout) != table.len || fflush(stdout) != 0)
        status = 1;
    lg_buf_free(&table);
    return status;
}

/* 0, 1, or -1 when nobody answers (errno). */
static int ask_and_show(const char *text, const char *from, bool is_why)
{
    struct lg_listen_address address;
    struct lg_buf answer = {0};
    const char *why = NULL;
    if (lg_listen_parse(text, &address, &why) || address.len == 0)
        return complain("%s%s%s: %s", from ? from : "", from ? ": stats = " : "", text,
            why ? why : "a socket that only its owner can name");
    int status = ask(&address, &answer) && answer.len ? show(text, &answer, is_why) : -1;
    lg_buf_free(&answer);
    return status;
}

/* ---- Finding ------------------------------------------------------------------------------ */

static int ask_settings(const struct lg_conf *conf, const char *file, bool is_why)
{
    size_t count = lg_conf_count(conf, LG_OPT_stats);
    if (count == 0)
        return complain("%s has no stats option, by which a running instance is asked: expected "
                        "one, as in stats = 127.0.0.1:9191",
            file);
    for (size_t i = 0; i < count; i++) {
        const struct lg_setting *setting = lg_conf_at(conf, LG_OPT_stats, i);
        int status = ask_and_show(setting->text, file, is_why);
        if (status >= 0)
            return status;
        complain("nobody answers at %s (%s:%u): %s; is it running?", setting->text,
            setting->where.file, setting->where.line, strerror(errno));
    }
    return 1;
}

struct lg_conf *lg_operate_load(const char *file)
{
    struct lg_facts *facts;
    struct lg_conf *conf = NULL;
    const char *const arguments[] = {file};
    if (lg_facts_new(&facts))
        return NULL;
    (void)!lg_conf_load(lg_facts_conf(facts), 1, arguments, &conf);
    lg_facts_free(facts);
    return conf;
}

static int ask_file(const char *file, bool is_why)
{
    struct lg_conf *conf = lg_operate_load(file);
    int status = conf ? ask_settings(conf, file, is_why) : complain("%s", lg_err_text(-LG_E_NOMEM));
    lg_conf_free(conf);
    return status;
}

static bool looks_like_address(const char *text)
{
    uint64_t port;
    const char *colon = strrchr(text, ':');
    return text[0] == '@' || (colon && lg_slice_u64(lg_slice_of(colon + 1), UINT16_MAX, &port));
}

static int ask_target(const char *target, bool is_why)
{
    struct stat stat_buf;
    bool exists = stat(target, &stat_buf) == 0;
    if (exists && S_ISDIR(stat_buf.st_mode))
        return complain(
            "%s is a directory: expected an ini file or the address of its stats", target);
    if (exists && !S_ISSOCK(stat_buf.st_mode))
        return ask_file(target, is_why);
    if (!exists && !looks_like_address(target))
        return complain("%s: no such file, and no address as in 127.0.0.1:9191", target);
    int status = ask_and_show(target, NULL, is_why);
    return status >= 0
               ? status
               : complain("nobody answers at %s: %s; is it running?", target, strerror(errno));
}

bool lg_operate_is_asked(int argc, const char *const *argv)
{
    return argc >= 2 && strcmp(argv[0], "legion") == 0 &&
           (strcmp(argv[1], "status") == 0 || strcmp(argv[1], "resign") == 0 ||
               strcmp(argv[1], "maintenance") == 0);
}

static int ask_status(int argc, const char *const *argv)
{
    const char *target = NULL;
    bool is_why = false;
    int targets = 0;
    for (int i = 0; i < argc; i++) {
        bool is_flag = strcmp(argv[i], "--why") == 0;
        is_why = is_why || is_flag;
        if (!is_flag && targets++ == 0)
            target = argv[i];
    }
    if (targets != 1)
        return complain("expected an ini file or the address of its stats, as in "
                        "legatus legion status --why site.ini");
    return ask_target(target, is_why);
}

int lg_operate_run(int argc, const char *const *argv)
{
    if (strcmp(argv[1], "status") == 0)
        return ask_status(argc - 2, argv + 2);
    return lg_operate_command(argc - 1, argv + 1);
}
