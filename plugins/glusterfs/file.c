/* The handler: a request -> a file of a volume -> an answer.
 *
 * `fast` decides on the loop what needs no call (method, mount, a volume that is
 * not connected), sets the time limit and leaves the rest to store.c. What is too
 * large for memory comes to `handle`, which opens it and leaves it to body.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATE_STATUS 504 /* a call outlived glusterfs-timeout */

/* So many handles may wait to be closed before those who open more lend a hand. */
#define CLOSING_MAX 16
#define TRIES       5

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
    const struct gl_site *site, struct lg_request *request, struct gl_call *ret_call)
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
    struct gl_site *site = state;
    struct gl_call *call = lg_request_alloc(request, sizeof *call);
    if (!call) {
        lg_answer_error(request, 500, 0);
        return LG_ANSWERED;
    }
    *call = (struct gl_call){0};
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
    return gl_store_ask(site, request, call);
}

/* ---- the handler's door ---- */

void gl_answer_failed(
    struct lg_request *request, const struct gl_call *call, const char *what, int error)
{
    int status = gl_status(error);
    if (status == 500 || error == EIO)
        lg_log_limited(&call->mount->gripe, LG_LOG_ERROR, GL_ROOM, "volume \"%s\": %s %s: %s",
            call->mount->options->volume, what, call->path, strerror(error));
    lg_answer_error(request, status, status == 503 ? GL_RETRY_AFTER_S : 0);
}

static void answer_failed(
    struct lg_request *request, const struct gl_call *call, const char *what, int error)
{
    gl_mount_note(call->mount, error);
    gl_count(call->mount, GL_ERRORS, gl_status(error) >= 500);
    gl_answer_failed(request, call, what, error);
}

struct lg_entity gl_entity(const struct gl_call *call, const char *type)
{
    struct lg_entity entity = {
        .content_type = call->offer ? call->offer->type : type,
        .encoding = call->offer ? call->offer->asked->coding : NULL,
        .varies = call->varies ? "Accept-Encoding" : NULL,
    };
    gl_expires_apply(call->expires, &entity);
    return entity;
}

/* Begins the answer; as lg_answer_entity. */
static int answer_head(struct lg_request *request, const struct gl_call *call, const char *name,
    const struct gl_node *node, const struct stat *stat, struct lg_plan *ret_plan)
{
    struct lg_entity entity = gl_entity(call, lg_mime_type(request, name));
    char *etag = lg_request_alloc(request, GL_ETAG_SIZE);
    if (etag)
        gl_make_etag(node, stat, etag);
    entity.size = stat->st_size;
    entity.mtime_s = stat->st_mtim.tv_sec;
    entity.etag = etag;
    return lg_answer_entity(request, &entity, ret_plan);
}

/* 0 when it was answered, somehow; or the errno of an open, not answered. */
static int answer_large(struct lg_request *request, const struct gl_call *call, const char *name,
    struct gl_session *session, const struct gl_node *node)
{
    struct lg_plan plan;
    struct stat stat;
    gl_queue_help(&call->mount->closer, CLOSING_MAX);
    errno = 0;
    glfs_fd_t *fd = glfs_h_open(session->fs, node->object, O_RDONLY);
    if (!fd)
        return errno ? errno : EIO;
    /* Asked again: the file may have grown between the look-up and the open. */
    if (glfs_fstat(fd, &stat)) {
        int error = errno ? errno : EIO;
        gl_fd_close(call->mount, fd);
        return error;
    }
    if (answer_head(request, call, name, node, &stat, &plan) != 1) {
        gl_fd_close(call->mount, fd);
        return 0;
    }
    gl_count(call->mount, GL_BYTES, (uint64_t)plan.length);
    gl_body_answer(request, call->mount, fd, &stat, &plan);
    return 0;
}

/* As answer_large. */
static int answer_file(struct lg_request *request, const struct gl_call *call, const char *name,
    struct gl_session *session, const struct gl_node *node)
{
    struct lg_plan plan;
    int err = gl_access(session, node);
    if (err)
        return err;
    if (!lg_request_is_head(request))
        return answer_large(request, call, name, session, node);
    if (answer_head(request, call, name, node, &node->stat, &plan) == 1)
        lg_answer_error(request, 500, 0); /* HEAD has no body to plan */
    return 0;
}

/* ---- directories ---- */

char *gl_encode_path(struct lg_request *request, const char *text)
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

void gl_answer_redirect(struct lg_request *request, const struct gl_call *call)
{
    static const char text[] = "301 Moved Permanently\n";
    const char *query = lg_request_var(request, "QUERY_STRING", NULL);
    const char *path = gl_encode_path(request, call->url);
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

/* As answer_large. */
static int answer_directory(const struct gl_site *site, struct lg_request *request,
    const struct gl_call *call, struct gl_session *session, const struct gl_node *directory)
{
    struct gl_node node = {0};
    char path[PATH_MAX];
    const char *index = NULL;
    size_t len = strlen(call->path);
    int err = gl_find_index(site, session, call->path, path, &index, &node);
    bool lists = site->autoindex && gl_status(err) == 404;
    if (err && !lists)
        return err;
    err = 0;
    if (len == 0 || call->path[len - 1] != '/')
        gl_answer_redirect(request, call);
    else if (lists)
        err = gl_listing_answer(request, call, session, directory);
    else
        err = answer_file(request, call, path, session, &node);
    gl_node_close(session, &node);
    return err;
}

/* As answer_large. *ret_found: something was there when it was looked up. */
static int answer_path(const struct gl_site *site, struct lg_request *request,
    const struct gl_call *call, bool *ret_found)
{
    struct gl_session *session = atomic_load(&call->mount->session);
    struct gl_node node;
    int err = gl_walk(session, call->path, &node);
    *ret_found = !err;
    if (err)
        return err;
    gl_mount_note(call->mount, 0);
    if (S_ISREG(node.stat.st_mode))
        err = answer_file(request, call, call->path, session, &node);
    else if (S_ISDIR(node.stat.st_mode))
        err = answer_directory(site, request, call, session, &node);
    else
        err = ENOENT; /* fifos, devices, sockets */
    *ret_found = S_ISREG(node.stat.st_mode);
    gl_node_close(session, &node);
    return err;
}

/* The encoded file beside the one that was asked for. False when it is not (any
 * longer) what the loop saw. */
static bool answer_beside(struct lg_request *request, const struct gl_call *call)
{
    struct gl_session *session = atomic_load(&call->mount->session);
    struct gl_node node;
    if (gl_walk(session, call->beside, &node))
        return false;
    enum gl_kind kind = S_ISREG(node.stat.st_mode) ? GL_LARGE : GL_ABSENT;
    int err = ENOENT;
    const struct gl_mtime mtime = {true, node.stat.st_mtim.tv_sec};
    if (gl_encoding_is_usable(kind, mtime, call->offer))
        err = answer_file(request, call, call->name, session, &node);
    gl_node_close(session, &node);
    return !err;
}

void gl_file_handle(void *state, struct lg_request *request)
{
    struct gl_call *call = lg_request_data(request);
    bool found = false;
    int err = ESTALE;
    if (call->offer && answer_beside(request, call))
        return;
    call->offer = NULL;
    /* A file that vanished after it was found: another one may have its name now. */
    for (int i = 0; i < TRIES && (err == ESTALE || (err == ENOENT && found)); i++)
        err = answer_path(state, request, call, &found);
    if (err)
        answer_failed(request, call, "open", err);
}
