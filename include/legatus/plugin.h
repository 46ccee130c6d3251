/* legatus/plugin.h - all that a plugin may use, and the only installed header.
 *
 * A plugin is a shared object that exports one `const struct lg_plugin
 * legatus_plugin`. The master loads it before any fork (its configure hook
 * runs there); every worker starts it after privileges are dropped. A request
 * reaches the handler whose modifier1 it carries, through two doors:
 *
 *   fast    on the worker's loop: answers from memory, or declines. Never blocks.
 *   handle  on a handler thread: may block as long as it likes.
 *
 * Threads: each function says where it may be called. "owner" is whoever holds
 * the request just now: the loop inside `fast` and inside source callbacks, the
 * handler's thread inside `handle`. Strings passed in are copied unless said
 * otherwise. Depends on nothing of ours.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LEGATUS_PLUGIN_H
#define LEGATUS_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LG_PLUGIN_ABI 1
#define LG_API        __attribute__((visibility("default")))

struct lg_request;        /* one request and its answer */
struct lg_worker;         /* the worker process a plugin runs in */
struct lg_plugin_context; /* the master's side while it configures a plugin */
struct lg_lane;           /* a share of the handler threads */

/* ---- The plugin --------------------------------------------------------- */

enum lg_verdict {
    LG_ANSWERED = 0, /* an answer was begun; `handle` is not called */
    LG_HANDLE = 1,   /* not from memory: call `handle` on a handler thread */
    LG_PARKED = 2,   /* lg_request_park was called: lg_resume says how it goes on */
};

struct lg_handler {
    uint8_t modifier1;
    const char *name; /* for logs and stats */
    /* Loop thread. NULL = always LG_HANDLE. */
    enum lg_verdict (*fast)(void *state, struct lg_request *request);
    /* Handler thread. Must finish the answer (bytes, source, error or push
     * end); returning without one is answered 500 and logged. */
    void (*handle)(void *state, struct lg_request *request);
};

struct lg_plugin {
    uint32_t abi; /* LG_PLUGIN_ABI */
    const char *name;
    const char *version;
    /* Master, before fork, single-threaded, and in `--check`. Reads and checks
     * options; reports each fault with lg_option_error. *ret_state is handed to
     * all that follows. Returns 0, or -1 after reporting. */
    int (*configure)(struct lg_plugin_context *context, void **ret_state);
    /* Worker, after privileges are dropped, before its loop runs. Threads may
     * be started from here on. Returns 0 or -1 (logged; the worker exits). */
    int (*start)(void *state, struct lg_worker *worker);
    /* Worker, when its loop has ended and the process is about to exit: flush
     * what must not be lost. Handlers that hang may still be inside `handle`, so
     * what they use must stay. May be NULL. */
    void (*stop)(void *state);
    /* Master, when the configuration goes away (reload). May be NULL. */
    void (*release)(void *state);
    const struct lg_handler *handlers;
    size_t handler_count;
};

/* ---- Options: only inside configure -------------------------------------- */

/* How often `name` was given; unknown names are 0. */
LG_API size_t lg_option_count(const struct lg_plugin_context *context, const char *name);
/* The i-th value as text (the default when count is 0 and i is 0); NULL if
 * there is none. Lives as long as the configuration. */
LG_API const char *lg_option_text(
    const struct lg_plugin_context *context, const char *name, size_t i);
/* The last value as a number in the option's base unit (bytes, milliseconds,
 * plain count; booleans are 0 and 1), or its default. */
LG_API int64_t lg_option_number(const struct lg_plugin_context *context, const char *name);
/* One key of a key-value option's i-th value ("a=b,c=d"), with escapes undone.
 * NULL when the key is absent. Lives as long as the configuration. */
LG_API const char *lg_option_key(
    const struct lg_plugin_context *context, const char *name, size_t i, const char *key);
/* Reports a fault of the i-th value with its FILE:LINE; configure must then
 * return -1 in the end. */
LG_API void lg_option_error(struct lg_plugin_context *context, const char *name, size_t i,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
LG_API void lg_option_warn(struct lg_plugin_context *context, const char *name, size_t i,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- Counters ------------------------------------------------------------- */

enum lg_counter_kind {
    LG_COUNTER, /* only grows */
    LG_GAUGE,   /* a value of now */
    LG_HEALTH,  /* whether a thing the service needs is well: lg_count_well. The statistics
                   show 1 or 0; legion-check = LEGION PLUGIN[:GROUP] asks for it */
};

struct lg_counter {
    const char *key; /* in the statistics: "hits" */
    enum lg_counter_kind kind;
    const char *help;
};

/* Only in configure: a group of counters, such as those of one mount. Every
 * worker has its own, in memory that the master reads: the statistics show them
 * as workers[].plugins.PLUGIN[], an object with `name` and the keys. `counters`
 * lives as long as the plugin, `name` is copied. The group's number, or -1 after
 * reporting (too many, or memory is out). */
LG_API int lg_counters_add(struct lg_plugin_context *context, const char *name,
    const struct lg_counter *counters, size_t count);
/* Adds to, or sets, the i-th counter of a group in this worker. Any thread of
 * the worker; no order among counters is promised. */
LG_API void lg_count(struct lg_worker *worker, int group, size_t i, uint64_t delta);
LG_API void lg_count_set(struct lg_worker *worker, int group, size_t i, uint64_t value);
/* Of kind LG_HEALTH: it is well for the next `for_ms`; 0 = it is not. Unwell until
 * the first call, and again when no call comes: a probe that hangs says nothing. */
LG_API void lg_count_well(struct lg_worker *worker, int group, size_t i, unsigned for_ms);

/* ---- Logging: any thread -------------------------------------------------- */

enum lg_level { LG_LOG_ERROR, LG_LOG_WARN, LG_LOG_INFO, LG_LOG_DEBUG };

/* One atomic line; no newline at the end; `room` names the speaker, as in
 * "glusterfs". */
LG_API void lg_log(enum lg_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For lines that may come by the thousand: at most one in a second for each
 * `limit`, with the number of those left out before it. The owner zeroes it once. */
struct lg_log_limit {
    int64_t said_ms;
    unsigned unsaid;
};
LG_API void lg_log_limited(struct lg_log_limit *limit, enum lg_level level, const char *room,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- Legions: any thread of a worker --------------------------------------- */

/* 1 while this instance is Lord of `legion`, else 0; also 0 for a legion it is
 * not in. Answers from shared memory, and compares the title's lease with the
 * clock at this very call: ask again before each thing that only a Lord may do. */
LG_API int lg_legion_is_lord(const char *legion);
/* What the Lord announces (legion-scroll), and what everybody does: for each a
 * length of two bytes, little-endian, and the bytes; our own first. Not NUL-
 * terminated; NULL when there is none. The caller frees it. */
LG_API char *lg_legion_lord_scroll(const char *legion, size_t *ret_len);
LG_API char *lg_legion_scrolls(const char *legion, size_t *ret_len);

/* The same under the names and types of uWSGI, for code written for it. */
LG_API int uwsgi_legion_i_am_the_lord(char *legion);
LG_API char *uwsgi_legion_lord_scroll(char *legion, uint16_t *len);
LG_API char *uwsgi_legion_scrolls(char *legion, uint64_t *len);

/* ---- The worker ------------------------------------------------------------ */

LG_API unsigned lg_worker_id(const struct lg_worker *worker);      /* from 1 */
LG_API unsigned lg_worker_threads(const struct lg_worker *worker); /* handler threads */

/* A lane runs at most `limit` handlers at a time on the worker's threads; more
 * wait in its own queue of at most `queue_max` (beyond: 503 at once). A lane
 * whose running handlers have ALL outlived their deadline answers 503 at once.
 * Only in `start`. Owned by the worker. NULL when memory is out. */
LG_API struct lg_lane *lg_lane_new(
    struct lg_worker *worker, const char *name, unsigned limit, unsigned queue_max);

/* Runs run(arg) on a handler thread in `lane`, then done(arg) on the loop: work
 * that belongs to no request, or to many. One that takes longer than `timeout_ms`
 * (0 = none) is to the lane what a request past its deadline is. Loop only. 0,
 * or -1 when the lane takes no more or memory is out; then neither is called. A
 * worker that ends does not wait for it. */
LG_API int lg_lane_run(struct lg_worker *worker, struct lg_lane *lane, unsigned timeout_ms,
    void (*run)(void *arg), void (*done)(void *arg), void *arg);

/* Runs fn(arg) once on the loop after `delay_ms`. Any thread. 0, or -1 when
 * memory is out. Timers pending when the worker stops never run. */
LG_API int lg_worker_later(
    struct lg_worker *worker, unsigned delay_ms, void (*fn)(void *arg), void *arg);

/* ---- The request: owner ----------------------------------------------------- */

/* A CGI-style variable ("PATH_INFO", "HTTP_RANGE", "UWSGI_APPID"), or NULL when
 * the request has none of that name. NUL-terminated; *ret_len (may be NULL) is
 * its length. Valid as long as the request. */
LG_API const char *lg_request_var(
    const struct lg_request *request, const char *name, size_t *ret_len);
/* Sets or replaces a variable. 0, or -1 when memory is out. */
LG_API int lg_request_set_var(struct lg_request *request, const char *name, const char *value);
/* Zeroable memory that lives as long as the request; NULL when out. */
LG_API void *lg_request_alloc(struct lg_request *request, size_t size);
LG_API char *lg_request_printf(struct lg_request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A place for the handler's own data between its two doors. */
LG_API void lg_request_set_data(struct lg_request *request, void *data);
LG_API void *lg_request_data(const struct lg_request *request);
LG_API bool lg_request_is_head(const struct lg_request *request);
/* The option manage-script-name as this request sees it. */
LG_API bool lg_request_manages_script_name(const struct lg_request *request);
/* When its head was complete, CLOCK_MONOTONIC in ms: in `fast` that is now, and
 * costs no reading of the clock. */
LG_API int64_t lg_request_begun_ms(const struct lg_request *request);
/* In `fast` only: `handle` will run in `lane` (NULL = the worker's own), and if
 * no answer has begun `timeout_ms` from now (0 = none) the client gets `status`
 * (504, say) while the handler may go on; its answer is then dropped. */
LG_API void lg_request_lane(
    struct lg_request *request, struct lg_lane *lane, unsigned timeout_ms, int status);

/* In `fast` only, which then returns LG_PARKED: the request waits on the loop and
 * holds no thread until lg_resume. The time limit of lg_request_lane runs. Its
 * memory stays until it is resumed, or until `gone` returns, which is called on
 * the loop when the client is gone or was told that it took too long; do not
 * resume it then. */
LG_API void lg_request_park(struct lg_request *request, void (*gone)(struct lg_request *request));
/* Loop only: a parked request goes on. LG_ANSWERED: its answer was given just
 * now, as in `fast`. LG_HANDLE: `handle` is to answer it. Its handler's memory is
 * not to be touched afterwards. */
LG_API void lg_resume(struct lg_request *request, enum lg_verdict verdict);

/* Keeps the request's memory alive across threads and callbacks. Any thread. */
LG_API void lg_request_ref(struct lg_request *request);
LG_API void lg_request_unref(struct lg_request *request);
/* Runs fn(request, arg) on the loop, holding a reference meanwhile. The only
 * call of this header besides ref, unref, lg_log and lg_worker_later that is
 * legal from any thread. 0, or -1 when memory is out (fn never runs). */
LG_API int lg_post(
    struct lg_request *request, void (*fn)(struct lg_request *request, void *arg), void *arg);

/* Request body, in `handle` only: blocks until bytes, the end (0), or failure
 * (-1: client gone, too slow, malformed). Sends 100 Continue where asked for. */
LG_API ssize_t lg_body_read(struct lg_request *request, void *buffer, size_t size);

/* ---- The answer: owner -------------------------------------------------------- */

/* Begins the answer. Framing (Content-Length, Transfer-Encoding, Connection),
 * Date and Server are the core's. */
LG_API void lg_answer(struct lg_request *request, int status);
LG_API int lg_answer_header(struct lg_request *request, const char *name, const char *value);

/* Then exactly one of these finishes it. ------------------------------------- */

/* The core's own short page for `status`, with Retry-After where given (s, 0 =
 * none). May replace an answer that was begun but not finished. */
LG_API void lg_answer_error(struct lg_request *request, int status, unsigned retry_after_s);

/* `data` stays valid until release(arg) is called, on the loop, exactly once,
 * whatever happens; release NULL = the bytes live as long as the request. */
LG_API void lg_answer_bytes(struct lg_request *request, const void *data, size_t len,
    void (*release)(void *arg), void *arg);

/* The same for bytes that are in the file `fd` at `offset` as well: the kernel may
 * take them from there without a copy, and may still be at it after release. So
 * they are never written over; give the pages back instead (close the file). */
LG_API void lg_answer_mapped(struct lg_request *request, const void *data, size_t len, int fd,
    int64_t offset, void (*release)(void *arg), void *arg);

/* A body pulled on the loop. `length` in bytes, or -1 when not known (chunked,
 * or until close). All callbacks run on the loop:
 *   pull    up to `credit` bytes are wanted: deliver with lg_source_data, now
 *           or later (by lg_post); called again when what was delivered has
 *           gone out. Not called again before the last credit was delivered in
 *           part at least.
 *   cancel  the client is gone: deliver nothing more. May be NULL.
 *   free    the core will not call again; exactly once, after end, fail or cancel. */
struct lg_source {
    void (*pull)(struct lg_request *request, void *context, size_t credit);
    void (*cancel)(struct lg_request *request, void *context);
    void (*free)(void *context);
};
LG_API void lg_answer_source(
    struct lg_request *request, const struct lg_source *source, void *context, int64_t length);
/* Loop only, and not after cancel. Bytes as in lg_answer_bytes. */
LG_API void lg_source_data(struct lg_request *request, const void *data, size_t len,
    void (*release)(void *arg), void *arg);
LG_API void lg_source_end(struct lg_request *request);
/* The body cannot be completed: the connection is cut, so that nobody takes it
 * for complete, and `why` is logged with the request. */
LG_API void lg_source_fail(struct lg_request *request, const char *why);

/* Pushes from `handle`: blocks while the client is slow. 0, or -1 when it is
 * gone. The first push sends the head; length as in lg_answer_source. */
LG_API int lg_push_begin(struct lg_request *request, int64_t length);
LG_API int lg_push(struct lg_request *request, const void *data, size_t len);
LG_API void lg_push_end(struct lg_request *request);

/* ---- Files over HTTP: owner ------------------------------------------------------ */

/* What a file is, as far as HTTP cares. */
struct lg_entity {
    int64_t size;             /* bytes */
    int64_t mtime_s;          /* Unix time */
    const char *etag;         /* with its quotes; NULL = none */
    const char *content_type; /* NULL = by lg_mime_type */
    const char
        *encoding;      /* Content-Encoding: size and etag are of the encoded bytes; NULL = none */
    const char *varies; /* Vary, of every answer, whatever its status; NULL = none */
    int expires;        /* enum lg_expires: Cache-Control: max-age and Expires */
    int64_t expires_after_s;
    const char *lines; /* of lg_entity_lines for this very entity; NULL = none */
    size_t lines_len;
};

enum lg_expires { LG_EXPIRES_UNSAID, LG_EXPIRES_FROM_NOW, LG_EXPIRES_FROM_MTIME };

/* A piece of the body: literal text (multipart boundaries) or a stretch of the
 * file. Text lives as long as the request. */
struct lg_segment {
    const char *text; /* NULL = from the file */
    int64_t offset;   /* bytes into the file; 0 for text */
    int64_t length;   /* bytes */
};

struct lg_plan {
    int64_t length; /* of the whole body, bytes */
    size_t segment_count;
    const struct lg_segment *segments; /* in order; lives as long as the request */
};

/* Begins the answer to a GET or HEAD for `entity`: evaluates If-Match,
 * If-None-Match, If-Modified-Since, If-Unmodified-Since, Range and If-Range
 * (RFC 9110), sets status and headers. Returns 1 when the handler is to finish
 * with the segments of *ret_plan, 0 when the answer is finished already (304,
 * 412, 416, HEAD), -1 when memory is out (answered 500). */
LG_API int lg_answer_entity(
    struct lg_request *request, const struct lg_entity *entity, struct lg_plan *ret_plan);

/* What the client thinks of a content coding ("gzip", "identity") and of a media
 * type: thousandths as in q=0.5, 0 = refused, -1 = its header says nothing about
 * it or is not there. */
LG_API int lg_request_accepts_encoding(const struct lg_request *request, const char *coding);
LG_API int lg_request_accepts_type(const struct lg_request *request, const char *type);

/* The lines of the head of an answer with the whole of `entity`, whose content_type is
 * given, so that they need not be made for each request. The caller frees them. NULL
 * when they cannot be made (memory; an mtime in the future): do without. Any thread. */
LG_API char *lg_entity_lines(const struct lg_entity *entity, size_t *ret_len);

/* The type of a file name by its extension; "application/octet-stream" when
 * there is none. Lives as long as the process. */
LG_API const char *lg_mime_type(const struct lg_request *request, const char *path);
/* The same without a request. Any thread. */
LG_API const char *lg_worker_mime_type(const struct lg_worker *worker, const char *path);

#ifdef __cplusplus
}
#endif

#endif
