/* The handler: a request -> a file of a volume -> an answer.
 *
 * `fast` decides on the loop what needs no call (method, mount, a volume that is
 * not connected) and sets the time limit; `handle` looks the file up. A small
 * file is one job: its bytes usually come with the look-up. A large one is
 * opened and left to body.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As much as quick-read sends along with a look-up. */
#define SMALL_MAX   ((size_t)65536)
#define GFID_SIZE   16
#define ETAG_SIZE   80
#define LATE_STATUS 504 /* a call outlived glusterfs-timeout */

struct call {
    struct gl_mount *mount;
    const char *path; /* in the volume */
    const char *url;  /* PATH_INFO before anything was cut off: what redirects name */
};

/* ---- the loop's door ---- */

static void answer_method(struct lg_request *request)
{
    static const char text[] = "405 Method Not Allowed\n";
    lg_answer(request, 405);
    lg_answer_header(request, "Allow", "GET, HEAD");
    lg_answer_header(request, "Content-Type", "text/plain");
    lg_answer_bytes(request, text, sizeof text - 1, NULL, NULL);
}

/* 0, or the status of an error. */
static int choose_mount(
    const struct gl_site *site, struct lg_request *request, struct call *ret_call)
{
    struct gl_choice choice;
    size_t len = 0;
    const char *path = lg_request_var(request, "PATH_INFO", &len);
    const struct gl_asked asked = {
        .appid = lg_request_var(request, "UWSGI_APPID", NULL),
        .script_name = lg_request_var(request, "SCRIPT_NAME", NULL),
        .path_info = path,
        .manages_script_name = lg_request_manages_script_name(request),
    };
    if (!path || len == 0)
        return 403;
    if (strlen(path) != len || !gl_choose(site, &asked, &choice))
        return 404;
    /* "/foo" of a mount "/foo" is its root, without the slash. */
    ret_call->path = choice.path;
    ret_call->url = path;
    if (choice.cut && asked.manages_script_name) {
        /* Replacing PATH_INFO must not pull the ground from under our strings. */
        ret_call->path = lg_request_printf(request, "%s", choice.path);
        ret_call->url = lg_request_printf(request, "%s", path);
        if (!ret_call->path || !ret_call->url ||
            lg_request_set_var(request, "SCRIPT_NAME", choice.mount->mountpoint) ||
            lg_request_set_var(request, "PATH_INFO", ret_call->path))
            return 500;
    }
    ret_call->mount = &site->running[choice.mount - site->mounts];
    return 0;
}

enum lg_verdict gl_file_fast(void *state, struct lg_request *request)
{
    const struct gl_site *site = state;
    struct call *call = lg_request_alloc(request, sizeof *call);
    if (!call) {
        lg_answer_error(request, 500, 0);
        return LG_ANSWERED;
    }
    const char *method = lg_request_var(request, "REQUEST_METHOD", NULL);
    if (!method || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)) {
        answer_method(request);
        return LG_ANSWERED;
    }
    int status = choose_mount(site, request, call);
    if (status) {
        lg_answer_error(request, status, 0);
        return LG_ANSWERED;
    }
    if (!atomic_load(&call->mount->session)) {
        lg_answer_error(request, 503, GL_RETRY_AFTER_S);
        return LG_ANSWERED;
    }
    lg_request_set_data(request, call);
    lg_request_lane(request, call->mount->lane, site->timeout_ms, LATE_STATUS);
    return LG_HANDLE;
}

/* ---- the handler's door ---- */

static void answer_failed(
    struct lg_request *request, const struct call *call, const char *what, int error)
{
    int status = gl_status(error);
    gl_mount_note(call->mount, error);
    if (status == 500 || error == EIO)
        lg_log(LG_LOG_ERROR, GL_ROOM, "volume \"%s\": %s %s: %s", call->mount->options->volume,
            what, call->path, strerror(error));
    lg_answer_error(request, status, status == 503 ? GL_RETRY_AFTER_S : 0);
}

/* The gfid names the file on every node, and another one after a replacement. */
static char *make_etag(
    struct lg_request *request, const struct gl_node *node, const struct stat *stat)
{
    char hex[2 * GL_GFID_SIZE + 1];
    for (size_t i = 0; i < GL_GFID_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", node->gfid[i]);
    return lg_request_printf(request, "\"%s-%llx-%llx\"", hex,
        (unsigned long long)stat->st_mtim.tv_sec * 1000000000ull +
            (unsigned long long)stat->st_mtim.tv_nsec,
        (unsigned long long)stat->st_size);
}

/* Begins the answer; as lg_answer_entity. */
static int answer_head(struct lg_request *request, const char *name, const struct gl_node *node,
    const struct stat *stat, struct lg_plan *ret_plan)
{
    const struct lg_entity entity = {
        .size = stat->st_size,
        .mtime_s = stat->st_mtim.tv_sec,
        .etag = make_etag(request, node, stat),
        .content_type = lg_mime_type(request, name),
    };
    return lg_answer_entity(request, &entity, ret_plan);
}

/* The plan's segments of a file that is in memory, as one piece. NULL when
 * memory is out; may be `bytes` itself, moved to the front of *ret_data. */
static char *gather(char *bytes, const struct lg_plan *plan, const char **ret_data)
{
    if (plan->segment_count == 1 && !plan->segments[0].text) {
        *ret_data = bytes + plan->segments[0].offset;
        return bytes;
    }
    char *whole = malloc((size_t)plan->length);
    char *to = whole;
    for (size_t i = 0; whole && i < plan->segment_count; i++) {
        const struct lg_segment *segment = &plan->segments[i];
        memcpy(
            to, segment->text ? segment->text : bytes + segment->offset, (size_t)segment->length);
        to += segment->length;
    }
    free(bytes);
    *ret_data = whole;
    return whole;
}

/* The whole of a small file, or NULL when it has another size than `stat` says,
 * or the read fails: then the file is opened and read by the long way. */
static char *read_small(struct gl_session *session, glfs_object_t *object, const struct stat *stat)
{
    size_t size = (size_t)stat->st_size;
    char *bytes = calloc(1, size + 1); /* one more shows growth */
    if (!bytes)
        return NULL;
    if (size > 0 &&
        glfs_h_anonymous_read(session->fs, object, bytes, size + 1, 0) != (ssize_t)size) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static void answer_small(
    struct lg_request *request, const char *name, const struct gl_node *node, char *bytes)
{
    struct lg_plan plan;
    const char *data;
    if (answer_head(request, name, node, &node->stat, &plan) != 1) {
        free(bytes);
        return;
    }
    char *memory = gather(bytes, &plan, &data);
    if (memory)
        lg_answer_bytes(request, data, (size_t)plan.length, free, memory);
    else
        lg_answer_error(request, 500, 0);
}

static void answer_large(struct lg_request *request, const struct call *call, const char *name,
    struct gl_session *session, const struct gl_node *node)
{
    struct lg_plan plan;
    struct stat stat;
    glfs_fd_t *fd = glfs_h_open(session->fs, node->object, O_RDONLY);
    if (!fd) {
        answer_failed(request, call, "open", errno ? errno : EIO);
        return;
    }
    /* Asked again: the file may have grown between the look-up and the open. */
    if (glfs_fstat(fd, &stat)) {
        answer_failed(request, call, "stat", errno ? errno : EIO);
        gl_fd_close(call->mount, fd);
        return;
    }
    if (answer_head(request, name, node, &stat, &plan) != 1) {
        gl_fd_close(call->mount, fd);
        return;
    }
    gl_body_answer(request, call->mount, fd, &stat, &plan);
}

static void answer_file(struct lg_request *request, const struct call *call, const char *name,
    struct gl_session *session, const struct gl_node *node)
{
    struct lg_plan plan;
    char *bytes = NULL;
    int err = gl_access(session, node);
    if (err) {
        answer_failed(request, call, "read", err);
        return;
    }
    if (lg_request_is_head(request)) {
        if (answer_head(request, name, node, &node->stat, &plan) == 1)
            lg_answer_error(request, 500, 0); /* HEAD has no body to plan */
        return;
    }
    if ((size_t)node->stat.st_size <= SMALL_MAX)
        bytes = read_small(session, node->object, &node->stat);
    if (bytes)
        answer_small(request, name, node, bytes);
    else
        answer_large(request, call, name, session, node);
}

/* ---- directories ---- */

/* `text` as the path of a Location: one slash in front (two would name another
 * host), everything that is not plain escaped. */
static char *encode_path(struct lg_request *request, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~!$&'()*+,;=:@/";
    static const char hex[] = "0123456789ABCDEF";
    char *coded = lg_request_alloc(request, 3 * strlen(text) + 2);
    if (!coded)
        return NULL;
    char *to = coded;
    *to++ = '/';
    for (text += strspn(text, "/"); *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (strchr(plain, byte)) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = hex[byte >> 4];
            *to++ = hex[byte & 15];
        }
    }
    *to = '\0';
    return coded;
}

static void answer_redirect(struct lg_request *request, const struct call *call)
{
    static const char text[] = "301 Moved Permanently\n";
    const char *query = lg_request_var(request, "QUERY_STRING", NULL);
    const char *path = encode_path(request, call->url);
    bool asks = query && query[0];
    char *location =
        path ? lg_request_printf(request, "%s/%s%s", path, asks ? "?" : "", asks ? query : "")
             : NULL;
    lg_answer(request, 301);
    if (!location || lg_answer_header(request, "Location", location)) {
        lg_answer_error(request, 500, 0);
        return;
    }
    lg_answer_header(request, "Content-Type", "text/plain");
    lg_answer_bytes(request, text, sizeof text - 1, NULL, NULL);
}

/* The first index name that is a file of the directory. 0, or an errno. */
static int find_index(const struct gl_site *site, struct lg_request *request,
    const struct call *call, struct gl_session *session, char **ret_path, struct gl_node *ret_node)
{
    for (size_t i = 0; i < site->index_count; i++) {
        struct gl_node node;
        char *path = lg_request_printf(request, "%s/%s", call->path, site->indexes[i]);
        if (!path)
            return ENOMEM;
        int err = gl_walk(session, path, &node);
        if (!err && S_ISREG(node.stat.st_mode)) {
            *ret_path = path;
            *ret_node = node;
            return 0;
        }
        if (!err)
            glfs_h_close(node.object);
        else if (gl_status(err) != 404)
            return err;
    }
    return ENOENT;
}

static void answer_directory(const struct gl_site *site, struct lg_request *request,
    const struct call *call, struct gl_session *session)
{
    struct gl_node node;
    char *path = NULL;
    size_t len = strlen(call->path);
    int err = find_index(site, request, call, session, &path, &node);
    if (err) {
        answer_failed(request, call, "look up an index of", err);
        return;
    }
    if (len > 0 && call->path[len - 1] == '/')
        answer_file(request, call, path, session, &node);
    else
        answer_redirect(request, call);
    glfs_h_close(node.object);
}

void gl_file_handle(void *state, struct lg_request *request)
{
    const struct gl_site *site = state;
    const struct call *call = lg_request_data(request);
    struct gl_session *session = atomic_load(&call->mount->session);
    struct gl_node node;
    int err = gl_walk(session, call->path, &node);
    if (err) {
        answer_failed(request, call, "look up", err);
        return;
    }
    gl_mount_note(call->mount, 0);
    if (S_ISREG(node.stat.st_mode))
        answer_file(request, call, call->path, session, &node);
    else if (S_ISDIR(node.stat.st_mode))
        answer_directory(site, request, call, session);
    else
        lg_answer_error(request, 404, 0); /* fifos, devices, sockets */
    glfs_h_close(node.object);
}
