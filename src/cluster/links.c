/* A legion's sockets. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/links.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FAILED_EVERY_MS    10000
#define RECONNECT_EVERY_MS 1000
#define STALE_MAX          4096 /* datagrams thrown away at start */

/* ---- The open socket -------------------------------------------------------------- */

int lg_links_open(struct lg_links *links, const struct lg_legion_plan *plan, int ttl, int loop)
{
    char why[LG_WHY_SIZE] = "";
    *links = (struct lg_links){
        .legion = plan->name, .addr_text = plan->addr_text, .fd = -1, .ready_fd = -1};
    int err = lg_address_listen(&plan->address, ttl, loop, &links->fd, &links->bound, why);
    if (err) {
        lg_log(LG_LOG_ERROR, "legion", "%s: %s: %s", plan->name, plan->addr_text,
            why[0] ? why : lg_err_text(err));
        return err;
    }
    lg_links_set(links, plan);
    return 0;
}

static bool watch(const struct lg_links *links, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(links->ready_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* What is closed would leave `ready_fd` by itself, were it not for a hook that is just
 * beginning and has our sockets still: so it is taken out. */
static void drop(const struct lg_links *links, struct lg_link *link)
{
    if (link->fd >= 0) {
        (void)epoll_ctl(links->ready_fd, EPOLL_CTL_DEL, link->fd, NULL);
        close(link->fd);
    }
    link->fd = -1;
}

void lg_links_close(struct lg_links *links)
{
    for (size_t i = 0; i < links->count; i++)
        drop(links, &links->all[i]);
    links->count = 0;
    if (links->ready_fd >= 0)
        close(links->ready_fd);
    links->ready_fd = -1;
    if (links->fd < 0)
        return;
    close(links->fd);
    links->fd = -1;
    if (links->unix_path)
        unlink(links->unix_path);
}

/* ---- Nodes --------------------------------------------------------------------------- */

static void resolve_plain(const struct lg_links *links, struct lg_link *link)
{
    char why[LG_WHY_SIZE];
    if (link->address->kind == LG_ADDRESS_NAME)
        return; /* that may block */
    if (lg_address_resolve(link->address, links->bound.addr.ss_family, &link->endpoint, why)) {
        lg_log(LG_LOG_ERROR, "legion", "%s: legion-node %s: %s", links->legion, link->text, why);
        return;
    }
    link->is_self =
        !lg_address_is_group(link->address) && lg_endpoint_eq(&link->endpoint, &links->bound);
}

/* The link to the same place among the `count` old ones, taken from them. */
static bool take_over(struct lg_link *old, size_t count, struct lg_link *link)
{
    for (size_t i = 0; i < count; i++) {
        if (!old[i].address || !lg_address_eq(old[i].address, link->address))
            continue;
        link->endpoint = old[i].endpoint;
        link->is_self = old[i].is_self;
        link->fd = old[i].fd;
        old[i].fd = -1;
        old[i].address = NULL;
        return true;
    }
    return false;
}

void lg_links_set(struct lg_links *links, const struct lg_legion_plan *plan)
{
    struct lg_link old[LG_NODES_MAX];
    size_t old_count = links->count;
    memcpy(old, links->all, old_count * sizeof *old);
    links->legion = plan->name;
    links->addr_text = plan->addr_text;
    links->unix_path = plan->address.kind == LG_ADDRESS_UNIX ? plan->address.host : NULL;
    links->count = plan->node_count;
    links->name_count = 0;
    links->reconnect_ms = 0;
    for (size_t i = 0; i < plan->node_count; i++) {
        struct lg_link *link = &links->all[i];
        *link = (struct lg_link){
            .text = plan->nodes[i].text, .address = &plan->nodes[i].address, .fd = -1};
        links->name_count += link->address->kind == LG_ADDRESS_NAME;
        if (!take_over(old, old_count, link))
            resolve_plain(links, link);
    }
    for (size_t i = 0; i < old_count; i++)
        drop(links, &old[i]);
}

/* ---- Connected sockets --------------------------------------------------------------------- */

static bool set_reuse(int fd, int value)
{
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value) == 0;
}

static void set_reuse_all(const struct lg_links *links, int value)
{
    set_reuse(links->fd, value);
    for (size_t i = 0; i < links->count; i++)
        if (links->all[i].fd >= 0)
            set_reuse(links->all[i].fd, value);
}

static int connect_one(const struct lg_links *links, const struct lg_endpoint *to)
{
    const struct sockaddr *own = (const struct sockaddr *)&links->bound.addr;
    int fd = socket(own->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (set_reuse(fd, 1) && bind(fd, own, links->bound.len) == 0 &&
        connect(fd, (const struct sockaddr *)&to->addr, to->len) == 0 && watch(links, fd))
        return fd;
    close(fd);
    return -1;
}

static bool may_connect(const struct lg_links *links, const struct lg_link *link)
{
    int family = links->bound.addr.ss_family;
    return link->fd < 0 && link->endpoint.len && !link->is_self &&
           (family == AF_INET || family == AF_INET6) && !lg_address_is_group(link->address) &&
           !lg_endpoint_is_group(&links->bound);
}

/* Several sockets may share a port only while all of them allow it, and that is
 * no longer than it takes: another process could take our datagrams otherwise,
 * and a second legion on the port would not be noticed. */
static void connect_missing(struct lg_links *links)
{
    bool any = false;
    for (size_t i = 0; i < links->count && !any; i++)
        any = may_connect(links, &links->all[i]);
    if (!any)
        return;
    set_reuse_all(links, 1);
    for (size_t i = 0; i < links->count; i++)
        if (may_connect(links, &links->all[i]))
            links->all[i].fd = connect_one(links, &links->all[i].endpoint);
    set_reuse_all(links, 0);
}

int lg_links_start(struct lg_links *links)
{
    char byte;
    links->ready_fd = epoll_create1(EPOLL_CLOEXEC);
    if (links->ready_fd < 0 || !watch(links, links->fd))
        return -LG_E_SYS;
    for (int i = 0; i < STALE_MAX; i++)
        if (recv(links->fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) < 0)
            break;
    connect_missing(links);
    return 0;
}

/* ---- Sending ------------------------------------------------------------------------------- */

static bool worth_a_line(int err)
{
    switch (err) {
    case EAGAIN:
    case ENOBUFS:
    case EINTR:
    case ECONNREFUSED: /* a peer that is down, as peers are now and then */
    case ENOENT:
        return false;
    default:
        return true;
    }
}

/* A connected socket also brings the bad news of the datagram before: once more,
 * then. */
static int send_one(
    const struct lg_links *links, struct lg_link *link, const char *datagram, size_t len)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (link->fd >= 0) {
        if (send(link->fd, datagram, len, flags) >= 0 ||
            (errno == ECONNREFUSED && send(link->fd, datagram, len, flags) >= 0))
            return 0;
        int err = errno;
        if (worth_a_line(err)) /* its route or our address may have changed */
            drop(links, link);
        return err;
    }
    const struct sockaddr *to = (const struct sockaddr *)&link->endpoint.addr;
    return sendto(links->fd, datagram, len, flags, to, link->endpoint.len) >= 0 ? 0 : errno;
}

static void note_failure(
    struct lg_links *links, const struct lg_link *link, int err, int64_t now_ms)
{
    links->wants_names |= link->address->kind == LG_ADDRESS_NAME;
    if (!worth_a_line(err) || now_ms < links->said_ms + FAILED_EVERY_MS)
        return;
    links->said_ms = now_ms;
    lg_log(LG_LOG_WARN, "legion", "%s: nothing goes out to %s: %s", links->legion, link->text,
        strerror(err));
}

void lg_links_send(struct lg_links *links, const char *datagram, size_t len, int64_t now_ms)
{
    if (now_ms >= links->reconnect_ms) {
        links->reconnect_ms = now_ms + RECONNECT_EVERY_MS;
        connect_missing(links);
    }
    for (size_t i = 0; i < links->count; i++) {
        struct lg_link *link = &links->all[i];
        if (link->is_self || link->endpoint.len == 0)
            continue;
        int err = send_one(links, link, datagram, len);
        if (err)
            note_failure(links, link, err, now_ms);
    }
}

/* A socket of a group hears nothing that is sent to its host alone. */
static bool in_group(const struct lg_links *links)
{
    for (size_t i = 0; i < links->count; i++)
        if (lg_address_is_group(links->all[i].address))
            return true;
    return lg_endpoint_is_group(&links->bound);
}

void lg_links_answer(struct lg_links *links, const struct lg_endpoint *to, const char *datagram,
    size_t len, int64_t now_ms)
{
    if (in_group(links)) {
        lg_links_send(links, datagram, len, now_ms);
        return;
    }
    for (size_t i = 0; i < links->count; i++) {
        struct lg_link *link = &links->all[i];
        if (link->fd < 0 || !lg_endpoint_eq(&link->endpoint, to))
            continue;
        int err = send_one(links, link, datagram, len);
        if (err)
            note_failure(links, link, err, now_ms);
        return;
    }
    /* One that is lost is followed by an announcement. */
    (void)sendto(links->fd, datagram, len, MSG_DONTWAIT | MSG_NOSIGNAL,
        (const struct sockaddr *)&to->addr, to->len);
}

void lg_links_heard(struct lg_links *links, int fd, int64_t now_ms)
{
    for (size_t i = 0; i < links->count && links->name_count; i++)
        if (links->all[i].fd == fd)
            links->all[i].heard_ms = now_ms;
}

void lg_links_failed(struct lg_links *links, int fd, int err, int64_t now_ms)
{
    for (size_t i = 0; i < links->count; i++)
        if (links->all[i].fd == fd) {
            note_failure(links, &links->all[i], err, now_ms);
            return;
        }
}

size_t lg_links_ready(const struct lg_links *links, int ret_fds[LG_NODES_MAX + 1])
{
    struct epoll_event events[LG_NODES_MAX + 1];
    int got = epoll_wait(links->ready_fd, events, LG_NODES_MAX + 1, 0);
    size_t count = 0;
    bool is_open_ready = false;
    for (int i = 0; i < got; i++)
        if (events[i].data.fd == links->fd)
            is_open_ready = true;
        else
            ret_fds[count++] = events[i].data.fd;
    if (is_open_ready)
        ret_fds[count++] = links->fd;
    return count;
}

/* ---- Names ------------------------------------------------------------------------------------
 */

bool lg_links_resolved(struct lg_links *links, size_t index, const struct lg_endpoint *endpoint)
{
    if (index >= links->count || links->all[index].address->kind != LG_ADDRESS_NAME)
        return false;
    struct lg_link *link = &links->all[index];
    if (lg_endpoint_eq(&link->endpoint, endpoint))
        return false;
    drop(links, link);
    link->endpoint = *endpoint;
    link->is_self = lg_endpoint_eq(endpoint, &links->bound);
    links->reconnect_ms = 0;
    return true;
}

bool lg_links_have_names(const struct lg_links *links)
{
    return lg_links_names_due_ms(links, 0) != INT64_MAX;
}

static int64_t name_due_ms(
    const struct lg_links *links, const struct lg_link *link, int64_t last_ms)
{
    if (link->endpoint.len == 0 || links->wants_names)
        return last_ms + LG_NAMES_FAILED_MS;
    int64_t silent_from_ms = link->heard_ms > last_ms ? link->heard_ms : last_ms;
    bool soon = !link->is_self && silent_from_ms + LG_NAMES_SILENT_MS < last_ms + LG_NAMES_EVERY_MS;
    return soon ? silent_from_ms + LG_NAMES_SILENT_MS : last_ms + LG_NAMES_EVERY_MS;
}

int64_t lg_links_names_due_ms(const struct lg_links *links, int64_t last_ms)
{
    int64_t due_ms = INT64_MAX;
    for (size_t i = 0; i < links->count && links->name_count; i++) {
        const struct lg_link *link = &links->all[i];
        int64_t at_ms =
            link->address->kind == LG_ADDRESS_NAME ? name_due_ms(links, link, last_ms) : INT64_MAX;
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    return due_ms;
}
