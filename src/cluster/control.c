/* The door for operators' commands. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/control.h"
#include "cluster/node.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MS     5000 /* for the command to come */
#define ACCEPTS_MAX 4    /* per wake-up */
#define HOLD_MS_MAX INT64_C(2592000000)
#define SLACK_MS    1000

/* ---- The door ------------------------------------------------------------------------- */

void lg_control_init(struct lg_control *control)
{
    *control = (struct lg_control){.fd = -1};
    for (size_t i = 0; i < LG_CONTROL_CLIENTS_MAX; i++)
        control->clients[i].fd = -1;
}

static socklen_t fill_address(const char *text, struct sockaddr_un *ret_address)
{
    size_t len = strlen(text);
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, text, len);
    if (text[0] == '@')
        ret_address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] != '@'));
}

/* A file that a process which died has left: nobody answers there. */
static void remove_dead(const struct sockaddr_un *address, socklen_t len)
{
    struct stat seen;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    bool is_dead = connect(fd, (const struct sockaddr *)address, len) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (is_dead && lstat(address->sun_path, &seen) == 0 && S_ISSOCK(seen.st_mode))
        unlink(address->sun_path);
}

static int listen_at(const char *text)
{
    struct sockaddr_un address;
    socklen_t len = fill_address(text, &address);
    if (text[0] == '/')
        remove_dead(&address, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177); /* 0600 from its first moment on */
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
              listen(fd, LG_CONTROL_CLIENTS_MAX) == 0;
    int why = errno;
    umask(before);
    if (!ok && fd >= 0)
        close(fd);
    errno = why;
    return ok ? fd : -1;
}

static void close_door(struct lg_control *control)
{
    if (control->fd < 0)
        return;
    close(control->fd);
    control->fd = -1;
    if (control->address[0] == '/')
        unlink(control->address);
}

void lg_control_open(struct lg_control *control, const char *address)
{
    if (control->fd >= 0 && address && strcmp(control->address, address) == 0)
        return;
    close_door(control);
    if (!address)
        return;
    control->fd = listen_at(address);
    if (control->fd < 0)
        lg_log(LG_LOG_WARN, "legion", "no operator can be heard at %s: %s%s", address,
            strerror(errno),
            errno == EADDRINUSE ? ": another instance has it: expected a legion-control of its own"
                                : "");
    else
        snprintf(control->address, sizeof control->address, "%s", address);
}

/* ---- Answers ---------------------------------------------------------------------------- */

static void hang_up(struct lg_control_client *client)
{
    close(client->fd);
    *client = (struct lg_control_client){.fd = -1};
}

/* A line; one that does not fit the socket's buffer is nobody's. */
__attribute__((format(printf, 2, 3))) static void tell(
    const struct lg_control_client *client, const char *format, ...)
{
    char line[LG_CONTROL_LINE];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    size_t size = len < 0 ? 0 : (size_t)len < sizeof line - 2 ? (size_t)len : sizeof line - 2;
    line[size++] = '\n';
    (void)!send(client->fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whom we follow; NULL = nobody, or ourselves. */
static const struct lg_legion_who *other_lord(const struct lg_node *node, uint64_t *ret_epoch)
{
    const struct lg_legion_state *state = lg_legion_state(node->legion);
    const struct lg_legion_who *lord = state->mode == LG_MODE_SAFE ? &state->lord : &state->vote;
    *ret_epoch = state->mode == LG_MODE_SAFE ? state->lord_epoch : 0;
    return state->quorate && lord->uuid[0] && strcmp(lord->uuid, node->uuid) != 0 ? lord : NULL;
}

static void tell_done(const struct lg_control_client *client, const char *what)
{
    uint64_t epoch;
    const char *legion = client->node->plan->name;
    const struct lg_legion_who *lord = other_lord(client->node, &epoch);
    if (lord && epoch)
        tell(client, "done %s: %s; LORD %s epoch %" PRIu64, legion, what, lord->name, epoch);
    else if (lord)
        tell(client, "done %s: %s; LORD %s", legion, what, lord->name);
    else
        tell(client, "done %s: %s%s", legion, what, client->was_lord ? "; nobody is LORD yet" : "");
}

/* ---- Wishes ------------------------------------------------------------------------------- */

static bool is_free(const struct lg_node *node)
{
    return lg_legion_state(node->legion)->role == LG_ROLE_FOLLOWER;
}

/* The unlord hooks, then another's election: how long that may take. */
static int64_t patience_ms(const struct lg_node *node)
{
    const struct lg_cluster_plan *plan = &node->cluster->plan;
    int64_t ms = 4 * plan->tolerance_ms + 4 * plan->freq_ms + SLACK_MS;
    if (lg_legion_state(node->legion)->mode == LG_MODE_SAFE)
        return ms; /* the lease ends the hooks */
    for (size_t i = 0; i < node->plan->hook_count; i++)
        if (node->plan->hooks[i].phase == LG_PHASE_UNLORD)
            ms += plan->hook_timeout_ms;
    return ms;
}

static void wait_for_effect(
    struct lg_control_client *client, enum lg_control_wish wish, int64_t now_ms)
{
    int64_t ms = patience_ms(client->node);
    client->wish = wish;
    client->end_ms = now_ms + ms;
    tell(client, "wait %" PRId64, ms);
}

static bool holds_title(const struct lg_node *node)
{
    enum lg_legion_role role = lg_legion_state(node->legion)->role;
    return role == LG_ROLE_RISING || role == LG_ROLE_LORD || role == LG_ROLE_FALLING;
}

static void resign(struct lg_control_client *client, int64_t hold_ms, int64_t now_ms)
{
    struct lg_node *node = client->node;
    uint64_t epoch;
    const struct lg_legion_who *lord = other_lord(node, &epoch);
    if (!holds_title(node)) {
        tell(client, "failed %s: not Lord%s%s", node->plan->name, lord ? ", that is " : "",
            lord ? lord->name : ": nobody is, as far as this node knows");
        hang_up(client);
        return;
    }
    lg_log(LG_LOG_WARN, "legion", "%s: told to resign", node->plan->name);
    client->was_lord = true;
    wait_for_effect(client, LG_WISH_RESIGN, now_ms);
    lg_node_resign(node, hold_ms);
}

static void maintain(struct lg_control_client *client, bool on, int64_t now_ms)
{
    struct lg_node *node = client->node;
    if (node->maintenance == on) {
        tell_done(client, on ? "maintenance was on already" : "maintenance was off already");
        hang_up(client);
        return;
    }
    lg_log(LG_LOG_WARN, "legion", "%s: maintenance is %s", node->plan->name,
        on ? "on: it votes, and does not stand" : "off");
    client->was_lord = on && holds_title(node);
    bool kept = lg_node_maintain(node, on);
    if (on && client->was_lord) {
        wait_for_effect(client, LG_WISH_MAINTENANCE, now_ms);
        return;
    }
    tell_done(client, !on    ? "maintenance is off"
                      : kept ? "maintenance is on"
                             : "maintenance is on until the next restart (no legion-state)");
    hang_up(client);
}

/* ---- Commands ------------------------------------------------------------------------------- */

static bool find_node(
    struct lg_cluster *cluster, struct lg_control_client *client, struct lg_slice name)
{
    char names[LG_CONTROL_LINE - 128] = "";
    if (name.len == 0 && cluster->count == 1) {
        client->node = &cluster->nodes[0];
        return true;
    }
    for (size_t i = 0; i < cluster->count; i++) {
        const char *one = cluster->nodes[i].plan->name;
        size_t len = strlen(names);
        if (lg_slice_eq(name, lg_slice_of(one))) {
            client->node = &cluster->nodes[i];
            return true;
        }
        snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "", one);
    }
    if (name.len)
        tell(client, "denied no legion \"%.*s\": expected %s", (int)(name.len < 60 ? name.len : 60),
            name.ptr, names);
    else
        tell(client, "denied which legion? expected one of %s", names);
    return false;
}

/* False when the client is done with, having been told. */
static bool obey(struct lg_cluster *cluster, struct lg_control_client *client, struct lg_slice line,
    int64_t now_ms)
{
    struct lg_slice rest, name;
    struct lg_slice verb = lg_slice_cut(line, ' ', &rest);
    struct lg_slice how = lg_slice_cut(rest, ' ', &name);
    uint64_t hold_ms = 0;
    bool resigns =
        lg_slice_eq(verb, LG_SLICE("resign")) && lg_slice_u64(how, (uint64_t)HOLD_MS_MAX, &hold_ms);
    bool on = lg_slice_eq(how, LG_SLICE("on"));
    bool maintains =
        lg_slice_eq(verb, LG_SLICE("maintenance")) && (on || lg_slice_eq(how, LG_SLICE("off")));
    if (!resigns && !maintains) {
        tell(client, "denied this command is not known here");
        return false;
    }
    if (!find_node(cluster, client, lg_slice_trim(name)))
        return false;
    enum lg_legion_role role = lg_legion_state(client->node->legion)->role;
    if (role == LG_ROLE_ENDING || role == LG_ROLE_ENDED || client->node->checks.ended) {
        tell(client, "failed %s: this node is leaving", client->node->plan->name);
        return false;
    }
    if (resigns)
        resign(client, (int64_t)hold_ms, now_ms);
    else
        maintain(client, on, now_ms);
    return true;
}

static void read_line(struct lg_cluster *cluster, struct lg_control_client *client, int64_t now_ms)
{
    ssize_t got =
        recv(client->fd, client->line + client->len, sizeof client->line - client->len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    client->len += got > 0 ? (size_t)got : 0;
    const char *end = memchr(client->line, '\n', client->len);
    struct lg_slice line =
        end ? lg_slice_from(client->line, (size_t)(end - client->line)) : LG_SLICE("");
    if (end ? !obey(cluster, client, line, now_ms) : got <= 0 || client->len == sizeof client->line)
        hang_up(client);
}

/* Its effect, or the end of our patience. */
static void look_for_effect(struct lg_control_client *client, int64_t now_ms)
{
    uint64_t epoch;
    const struct lg_node *node = client->node;
    bool kept = node->memory.path[0];
    if (!client->is_free && is_free(node)) { /* done; a successor is nice to know of */
        const struct lg_cluster_plan *plan = &node->cluster->plan;
        client->is_free = true;
        client->end_ms = now_ms + plan->tolerance_ms + 4 * plan->freq_ms;
    }
    bool late = now_ms >= client->end_ms;
    bool over = client->is_free && (other_lord(node, &epoch) || late);
    if (over)
        tell_done(client, client->wish == LG_WISH_RESIGN ? "resigned"
                          : kept                         ? "maintenance is on, stepped down"
                                 : "maintenance is on until the next restart (no legion-state), "
                                   "stepped down");
    else if (late)
        tell(client, "failed %s: told to, but its unlord hooks still run", node->plan->name);
    if (over || late)
        hang_up(client);
}

static void take_client(struct lg_control *control, int fd, int64_t now_ms)
{
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    struct lg_control_client *client = NULL;
    for (size_t i = 0; i < LG_CONTROL_CLIENTS_MAX && !client; i++)
        if (control->clients[i].fd < 0)
            client = &control->clients[i];
    struct lg_control_client refused = {.fd = fd};
    bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;
    bool allowed = known && (peer.uid == 0 || peer.uid == geteuid());
    if (allowed && client) {
        *client = (struct lg_control_client){.fd = fd, .end_ms = now_ms + LINE_MS};
        return;
    }
    if (!allowed)
        lg_log_limited(&control->refusals, LG_LOG_WARN, "legion",
            "a command of user %d (pid %d) is refused", (int)peer.uid, (int)peer.pid);
    tell(&refused, allowed ? "failed too many commands at a time"
                           : "denied permission denied: expected root, or the user of the legion "
                             "process");
    close(fd);
}

static void accept_some(struct lg_control *control, int64_t now_ms)
{
    for (int i = 0; i < ACCEPTS_MAX && control->fd >= 0; i++) {
        int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        take_client(control, fd, now_ms);
    }
}

/* ---- The loop -------------------------------------------------------------------------------- */

size_t lg_control_poll(const struct lg_control *control, struct pollfd *polls, size_t max)
{
    size_t count = 0;
    if (control->fd >= 0 && count < max)
        polls[count++] = (struct pollfd){.fd = control->fd, .events = POLLIN};
    for (size_t i = 0; i < LG_CONTROL_CLIENTS_MAX && count < max; i++)
        if (control->clients[i].fd >= 0 && control->clients[i].wish == LG_WISH_NONE)
            polls[count++] = (struct pollfd){.fd = control->clients[i].fd, .events = POLLIN};
    return count;
}

void lg_control_tick(struct lg_cluster *cluster, bool knocked, int64_t now_ms)
{
    struct lg_control *control = &cluster->control;
    if (knocked)
        accept_some(control, now_ms);
    for (size_t i = 0; i < LG_CONTROL_CLIENTS_MAX; i++) {
        struct lg_control_client *client = &control->clients[i];
        if (knocked && client->fd >= 0 && client->wish == LG_WISH_NONE)
            read_line(cluster, client, now_ms);
        if (client->fd >= 0 && client->wish != LG_WISH_NONE)
            look_for_effect(client, now_ms);
        else if (client->fd >= 0 && now_ms >= client->end_ms)
            hang_up(client);
    }
}

int64_t lg_control_deadline_ms(const struct lg_control *control)
{
    int64_t at_ms = INT64_MAX;
    for (size_t i = 0; i < LG_CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0 && control->clients[i].end_ms < at_ms)
            at_ms = control->clients[i].end_ms;
    return at_ms;
}

void lg_control_close(struct lg_control *control)
{
    for (size_t i = 0; i < LG_CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i].fd < 0)
            continue;
        tell(&control->clients[i], "failed this node has left");
        hang_up(&control->clients[i]);
    }
    close_door(control);
}
