/* The names in a directory, for those without an index. Handler thread; the page is
 * made in memory, within glusterfs-memory, so that a slow client holds no thread.
 *
 * Names that begin with a dot are not shown, nor is what could not be opened
 * either: fifos, devices, sockets. Links are shown as such: where they lead to is
 * looked at when they are followed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"
#include "page.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    struct gl_site *site;
    struct gl_session *session;
    const struct gl_node *node;
    struct gl_page page;
    size_t room;  /* names */
    size_t taken; /* of the memory for bodies */
    int64_t until_ms;
};

struct body {
    struct gl_site *site;
    size_t taken;
    char *text;
};

static void free_names(struct gl_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        free(page->names[i].text);
    free(page->names);
    page->names = NULL;
    page->count = 0;
}

/* 0 or an errno. */
static int add_name(struct listing *listing, const char *text, const struct stat *stat)
{
    struct gl_page *page = &listing->page;
    size_t len = strlen(text);
    size_t cost = GL_PAGE_NAME_MAX(len) + 2 * sizeof *page->names + len;
    if (!gl_memory_take(listing->site, cost, false))
        return EAGAIN;
    listing->taken += cost;
    if (page->count == listing->room) {
        size_t room = listing->room ? listing->room * 2 : 64;
        struct gl_name *names = realloc(page->names, room * sizeof *names);
        if (!names)
            return ENOMEM;
        page->names = names;
        listing->room = room;
    }
    struct gl_name *name = &page->names[page->count];
    *name = (struct gl_name){
        .text = strdup(text), .size = stat->st_size, .mtime_s = stat->st_mtim.tv_sec};
    name->kind = S_ISDIR(stat->st_mode)   ? GL_NAME_DIRECTORY
                 : S_ISLNK(stat->st_mode) ? GL_NAME_LINK
                                          : GL_NAME_FILE;
    if (!name->text)
        return ENOMEM;
    page->count++;
    return 0;
}

/* Bricks do not send along what each name is in every case. False when it is gone
 * or nothing to be shown. */
static bool find_stat(const struct listing *listing, const char *name, struct stat *stat)
{
    if (stat->st_mode == 0) {
        glfs_object_t *object =
            glfs_h_lookupat(listing->session->fs, listing->node->object, name, stat, 0);
        if (!object)
            return false;
        glfs_h_close(object);
    }
    return S_ISREG(stat->st_mode) || S_ISDIR(stat->st_mode) || S_ISLNK(stat->st_mode);
}

/* 0 or an errno; ETIME is no volume's. */
static int read_names(struct listing *listing, glfs_fd_t *fd)
{
    struct gl_page *page = &listing->page;
    int err = 0;
    while (!err && !page->cut) {
        struct stat stat = {0};
        struct dirent room;
        struct dirent *entry = NULL;
        errno = 0;
        if (glfs_readdirplus_r(fd, &stat, &room, &entry))
            return errno ? errno : EIO;
        if (!entry)
            return 0;
        if (listing->until_ms && gl_now_ms() > listing->until_ms)
            return ETIME; /* the client has had its 504; the volume is well */
        if (entry->d_name[0] == '.' || !find_stat(listing, entry->d_name, &stat))
            continue;
        page->cut = page->count == listing->site->autoindex_max;
        if (!page->cut)
            err = add_name(listing, entry->d_name, &stat);
    }
    return err;
}

/* What the query says, else what the client would rather have; HTML otherwise. */
static bool wants_json(const struct lg_request *request)
{
    const char *query = lg_request_var(request, "QUERY_STRING", NULL);
    for (const char *at = query; at && *at; at += *at == '&') {
        size_t len = strcspn(at, "&");
        if (len == 11 && memcmp(at, "format=json", len) == 0)
            return true;
        if (len == 11 && memcmp(at, "format=html", len) == 0)
            return false;
        at += len;
    }
    return lg_request_accepts_type(request, "application/json") >
           lg_request_accepts_type(request, "text/html");
}

/* Loop. */
static void free_body(void *arg)
{
    struct body *body = arg;
    gl_memory_give(body->site, body->taken);
    free(body->text);
    free(body);
}

static int answer_page(
    struct lg_request *request, const struct gl_call *call, struct listing *listing)
{
    bool json = wants_json(request);
    size_t len = 0;
    gl_page_sort(&listing->page);
    struct body *body = malloc(sizeof *body);
    char *text = json ? gl_page_json(&listing->page, &len) : gl_page_html(&listing->page, &len);
    if (!body || !text) {
        free(body);
        free(text);
        return ENOMEM;
    }
    size_t kept = len < listing->taken ? len : listing->taken;
    gl_memory_untake(listing->site, listing->taken - kept);
    listing->taken = 0;
    *body = (struct body){listing->site, kept, text};
    lg_answer(request, 200);
    lg_answer_header(
        request, "Content-Type", json ? "application/json" : "text/html; charset=utf-8");
    lg_answer_header(request, "Vary", "Accept");
    gl_count(call->mount, GL_LISTINGS, 1);
    gl_count(call->mount, GL_BYTES, lg_request_is_head(request) ? 0 : len);
    lg_answer_bytes(request, text, len, free_body, body);
    return 0;
}

int gl_listing_answer(struct lg_request *request, const struct gl_call *call,
    struct gl_session *session, const struct gl_node *node)
{
    struct gl_site *site = (struct gl_site *)(uintptr_t)call->mount->site;
    struct listing listing = {
        .site = site,
        .session = session,
        .node = node,
        .page = {.path = call->url, .has_parent = call->path[strspn(call->path, "/")] != '\0'},
        .until_ms = site->timeout_ms ? gl_now_ms() + site->timeout_ms : 0,
    };
    int err = gl_access(session, node);
    errno = 0;
    glfs_fd_t *fd = err ? NULL : glfs_h_opendir(session->fs, node->object);
    if (!err && !fd)
        err = errno ? errno : EIO;
    if (fd) {
        /* Parts that are away are passed over in silence, from the opening on. */
        listing.page.partial = !gl_health_is_whole(session, node->object);
        err = read_names(&listing, fd);
        glfs_closedir(fd);
        if (!err && !gl_health_is_whole(session, node->object))
            listing.page.partial = true;
    }
    if (!err)
        err = answer_page(request, call, &listing);
    if (err == EAGAIN || err == ETIME) {
        lg_answer_error(request, err == ETIME ? 504 : 503, err == ETIME ? 0 : GL_RETRY_AFTER_S);
        err = 0;
    }
    free_names(&listing.page);
    gl_memory_untake(site, listing.taken);
    return err;
}
