/* A plugin that does on request what handlers can do: the tests' instrument,
 * and the smallest complete example of legatus/plugin.h. Never installed.
 *
 *   /pid            the worker's pid, from `fast`
 *   /vars           some variables, NAME=value lines, from `fast`
 *   /bytes/N        N bytes (at most 1 MiB) out of memory, from `fast`
 *   /sleep/MS       waits, then answers "slept MS"
 *   /lane/MS        the same in a lane of one that lets two wait; ?timeout=MS
 *   /echo           the request's body
 *   /push/N         N bytes by lg_push, length not announced
 *   /late/MS        100 bytes at once, and the end of the answer MS later
 *   /source/N       N bytes by a pulled source
 *   /short/N        a source that announces N bytes and fails halfway
 *   /lord/NAME      "1" while we are Lord of that legion, else "0", from `fast`
 *   /scroll/NAME    its Lord's scroll; /scrolls/NAME everybody's, each in []
 *   /never          returns without an answer
 *   /crash          aborts the worker
 * SPDX-License-Identifier: Apache-2.0 */
#include <legatus/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 65536
#define BYTES (1 << 20)

struct probe {
    struct lg_lane *lane;
    char block[BYTES]; /* what bodies are made of */
};

static const char *path_of(const struct lg_request *request)
{
    const char *path = lg_request_var(request, "PATH_INFO", NULL);
    return path ? path : "";
}

static bool starts(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

/* The number behind the last slash. */
static long number(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strtol(slash + 1, NULL, 10) : 0;
}

static void answer_text(struct lg_request *request, const char *text)
{
    lg_answer(request, 200);
    lg_answer_header(request, "Content-Type", "text/plain");
    lg_answer_bytes(request, text, text ? strlen(text) : 0, NULL, NULL);
}

static void answer_vars(struct lg_request *request)
{
    static const char *const names[] = {"REQUEST_METHOD", "REQUEST_URI", "PATH_INFO",
        "QUERY_STRING", "SCRIPT_NAME", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT",
        "REMOTE_ADDR", "REMOTE_PORT", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_HOST", "HTTP_X_REAL",
        "HTTP_X_UNDER_SCORE", "UWSGI_APPID"};
    char *text = lg_request_printf(request, "%s", "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = lg_request_var(request, names[i], NULL);
        if (value)
            text = lg_request_printf(request, "%s%s=%s\n", text, names[i], value);
    }
    answer_text(request, text);
}

static const char *name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void answer_scrolls(struct lg_request *request, const char *legion)
{
    size_t len = 0;
    char *all = lg_legion_scrolls(legion, &len);
    char *text = lg_request_printf(request, "%s", "");
    for (size_t at = 0; all && text && at + 2 <= len;) {
        const unsigned char *head = (const unsigned char *)all + at;
        size_t size = head[0] | (size_t)head[1] << 8;
        text = lg_request_printf(request, "%s[%.*s]", text, (int)size, all + at + 2);
        at += 2 + size;
    }
    answer_text(request, text);
    free(all);
}

/* By uWSGI's names as well: they shall say the same. */
static void answer_lord(struct lg_request *request, const char *legion)
{
    char name[128];
    snprintf(name, sizeof name, "%s", legion);
    int is_lord = lg_legion_is_lord(legion);
    int is_same = is_lord == uwsgi_legion_i_am_the_lord(name);
    answer_text(request, lg_request_printf(request, "%d%s", is_lord, is_same ? "" : "?"));
}

static void answer_scroll(struct lg_request *request, const char *legion)
{
    char name[128];
    uint16_t len = 0;
    snprintf(name, sizeof name, "%s", legion);
    char *scroll = uwsgi_legion_lord_scroll(name, &len);
    answer_text(request, scroll ? lg_request_printf(request, "%.*s", (int)len, scroll) : "none");
    free(scroll);
}

static enum lg_verdict probe_fast(void *state, struct lg_request *request)
{
    struct probe *probe = state;
    const char *path = path_of(request);
    if (strcmp(path, "/pid") == 0) {
        answer_text(request, lg_request_printf(request, "%d", (int)getpid()));
        return LG_ANSWERED;
    }
    if (starts(path, "/bytes/") && number(path) >= 0 && number(path) <= BYTES) {
        lg_answer(request, 200);
        lg_answer_bytes(request, probe->block, (size_t)number(path), NULL, NULL);
        return LG_ANSWERED;
    }
    if (starts(path, "/vars")) {
        answer_vars(request);
        return LG_ANSWERED;
    }
    if (starts(path, "/lord/")) {
        answer_lord(request, name_of(path));
        return LG_ANSWERED;
    }
    if (starts(path, "/scroll/")) {
        answer_scroll(request, name_of(path));
        return LG_ANSWERED;
    }
    if (starts(path, "/scrolls/")) {
        answer_scrolls(request, name_of(path));
        return LG_ANSWERED;
    }
    if (starts(path, "/lane/")) {
        const char *query = lg_request_var(request, "QUERY_STRING", NULL);
        long timeout_ms = query && starts(query, "timeout=") ? strtol(query + 8, NULL, 10) : 0;
        lg_request_lane(request, probe->lane, (unsigned)timeout_ms, 504);
    }
    return LG_HANDLE;
}

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void echo(struct lg_request *request)
{
    char *body = NULL;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0) {
        char *grown = realloc(body, len + BLOCK);
        if (!grown)
            break;
        body = grown;
        got = lg_body_read(request, body + len, BLOCK);
        len += got > 0 ? (size_t)got : 0;
    }
    lg_answer(request, got < 0 ? 400 : 200);
    lg_answer_bytes(request, body, len, free, body);
}

static void push(struct probe *probe, struct lg_request *request, long bytes)
{
    lg_answer(request, 200);
    if (lg_push_begin(request, -1))
        return;
    while (bytes > 0) {
        size_t len = bytes < BLOCK ? (size_t)bytes : BLOCK;
        if (lg_push(request, probe->block, len))
            return;
        bytes -= (long)len;
    }
    lg_push_end(request);
}

static void end_late(struct probe *probe, struct lg_request *request, long ms)
{
    lg_answer(request, 200);
    if (lg_push_begin(request, 100) || lg_push(request, probe->block, 100))
        return;
    sleep_ms(ms);
    lg_push_end(request);
}

struct stretch {
    const char *block;
    int64_t left;
    int64_t fail_at; /* bytes left when it fails; -1 = never */
};

static void stretch_pull(struct lg_request *request, void *context, size_t credit)
{
    struct stretch *stretch = context;
    size_t len = credit < BLOCK ? credit : BLOCK;
    if (stretch->left < (int64_t)len)
        len = (size_t)stretch->left;
    if (stretch->left <= stretch->fail_at) {
        lg_source_fail(request, "probe was asked to fail");
        return;
    }
    stretch->left -= (int64_t)len;
    bool last = stretch->left == 0;
    /* What follows may pull again and free the context: touch it no more. */
    lg_source_data(request, stretch->block, len, NULL, NULL);
    if (last)
        lg_source_end(request);
}

static const struct lg_source stretch_source = {.pull = stretch_pull, .free = free};

static void answer_stretch(
    struct probe *probe, struct lg_request *request, int64_t bytes, bool fail)
{
    struct stretch *stretch = malloc(sizeof *stretch);
    if (!stretch) {
        lg_answer_error(request, 500, 0);
        return;
    }
    *stretch = (struct stretch){probe->block, bytes, fail ? bytes / 2 : -1};
    lg_answer(request, 200);
    lg_answer_source(request, &stretch_source, stretch, bytes);
}

static void probe_handle(void *state, struct lg_request *request)
{
    struct probe *probe = state;
    const char *path = path_of(request);
    long n = number(path);
    if (starts(path, "/sleep/") || starts(path, "/lane/")) {
        sleep_ms(n);
        answer_text(request, lg_request_printf(request, "slept %ld", n));
    } else if (starts(path, "/echo")) {
        echo(request);
    } else if (starts(path, "/push/")) {
        push(probe, request, n);
    } else if (starts(path, "/late/")) {
        end_late(probe, request, n);
    } else if (starts(path, "/source/")) {
        answer_stretch(probe, request, n, false);
    } else if (starts(path, "/short/")) {
        answer_stretch(probe, request, n, true);
    } else if (starts(path, "/crash")) {
        abort();
    } else if (!starts(path, "/never")) {
        lg_answer_error(request, 404, 0);
    }
}

static int probe_configure(struct lg_plugin_context *context, void **ret_state)
{
    struct probe *probe = calloc(1, sizeof *probe);
    (void)context;
    if (!probe)
        return -1;
    memset(probe->block, 'x', sizeof probe->block);
    *ret_state = probe;
    return 0;
}

static int probe_start(void *state, struct lg_worker *worker)
{
    struct probe *probe = state;
    probe->lane = lg_lane_new(worker, "probe", 1, 2);
    return probe->lane ? 0 : -1;
}

static const struct lg_handler probe_handlers[] = {
    {.modifier1 = 200, .name = "probe", .fast = probe_fast, .handle = probe_handle},
};

LG_API const struct lg_plugin legatus_plugin = {
    .abi = LG_PLUGIN_ABI,
    .name = "probe",
    .version = "1",
    .configure = probe_configure,
    .start = probe_start,
    .release = free,
    .handlers = probe_handlers,
    .handler_count = 1,
};
