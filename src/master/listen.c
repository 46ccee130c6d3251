/* The listening sockets of a configuration. Must not depend on cluster.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* One socket; counted because a reload shares it between two sets. */
struct sock {
    unsigned refs;
    struct lg_listen_address address;
    int fd;
    char *path; /* owned; of a unix socket we made, NULL otherwise */
};

struct lg_sockets {
    size_t count;
    struct sock *socks[LG_LISTENERS_MAX];
    char *names[LG_LISTENERS_MAX]; /* owned; as configured */
    struct lg_listener serving[LG_LISTENERS_MAX];
    size_t serving_count;
    int stats[LG_LISTENERS_MAX];
    size_t stats_count;
};

/* The options that open sockets. */
struct kind {
    enum lg_opt opt;
    enum lg_protocol protocol;
    bool is_stats;
    bool is_router;
    enum lg_opt modifier1; /* LG_OPT_COUNT = none */
    enum lg_opt modifier2;
};

static const struct kind kinds[] = {
    {LG_OPT_socket, LG_PROTO_UWSGI, false, false, LG_OPT_COUNT, LG_OPT_COUNT},
    {LG_OPT_http_socket, LG_PROTO_HTTP, false, false, LG_OPT_http_socket_modifier1,
        LG_OPT_http_socket_modifier2},
    {LG_OPT_http, LG_PROTO_HTTP, false, true, LG_OPT_http_modifier1, LG_OPT_http_modifier2},
    {LG_OPT_stats, LG_PROTO_HTTP, true, false, LG_OPT_COUNT, LG_OPT_COUNT},
};

#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static int fault(struct lg_conf *conf, const struct lg_setting *setting, const char *why)
{
    lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "%s = %s: %s", lg_opt_name(setting->opt),
        setting->text, why);
    return -LG_E_CONF;
}

static int fault_errno(struct lg_conf *conf, const struct lg_setting *setting, const char *what)
{
    char why[256];
    snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
    return fault(conf, setting, why);
}

/* ---- checks -------------------------------------------------------------- */

static bool read_mode(const char *text, mode_t *ret_mode)
{
    char *end = NULL;
    unsigned long mode = text[0] ? strtoul(text, &end, 8) : 0666;
    if ((end && *end) || mode > 07777)
        return false;
    *ret_mode = (mode_t)mode;
    return true;
}

static int check_owner(struct lg_conf *conf)
{
    size_t count = lg_conf_count(conf, LG_OPT_chown_socket);
    const struct lg_setting *owner =
        count ? lg_conf_at(conf, LG_OPT_chown_socket, count - 1) : NULL;
    const char *unknown;
    uid_t uid;
    gid_t gid;
    if (!owner || lg_identity_owner(owner->text, &uid, &gid, &unknown) == 0)
        return 0;
    lg_conf_report(
        conf, LG_DIAG_ERROR, owner->where, "chown-socket: unknown user or group \"%s\"", unknown);
    return -LG_E_CONF;
}

static int check_mode(struct lg_conf *conf)
{
    size_t count = lg_conf_count(conf, LG_OPT_chmod_socket);
    const struct lg_setting *mode = count ? lg_conf_at(conf, LG_OPT_chmod_socket, count - 1) : NULL;
    mode_t bits;
    if (!mode || read_mode(mode->text, &bits))
        return 0;
    lg_conf_report(conf, LG_DIAG_ERROR, mode->where,
        "chmod-socket: expected an octal mode such as 660, not \"%s\"", mode->text);
    return -LG_E_CONF;
}

static void check_backlog(struct lg_conf *conf)
{
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    size_t count = lg_conf_count(conf, LG_OPT_listen);
    char text[32] = "";
    uint64_t max;
    bool known = file && fgets(text, sizeof text, file);
    if (file)
        fclose(file);
    text[strcspn(text, "\n")] = '\0';
    if (!known || !lg_slice_u64(lg_slice_of(text), UINT32_MAX, &max) || count == 0)
        return;
    const struct lg_setting *given = lg_conf_at(conf, LG_OPT_listen, count - 1);
    if (given->number > (int64_t)max)
        lg_conf_report(conf, LG_DIAG_WARN, given->where,
            "listen = %s is more than the kernel allows: net.core.somaxconn is %u, raise that "
            "first",
            given->text, (unsigned)max);
}

int lg_sockets_check(struct lg_conf *conf)
{
    int err = check_owner(conf) | check_mode(conf);
    size_t total = 0;
    check_backlog(conf);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        for (size_t i = 0; i < lg_conf_count(conf, kinds[k].opt); i++, total++) {
            const struct lg_setting *setting = lg_conf_at(conf, kinds[k].opt, i);
            struct lg_listen_address address;
            const char *why;
            if (total >= LG_LISTENERS_MAX)
                err = fault(conf, setting, "too many sockets");
            else if (lg_listen_parse(setting->text, &address, &why) < 0)
                err = fault(conf, setting, why);
        }
    }
    return err ? -LG_E_CONF : 0;
}

/* ---- opening --------------------------------------------------------------- */

static bool same_address(const struct lg_listen_address *a, const struct lg_listen_address *b)
{
    if (a->len != b->len || a->fd != b->fd)
        return false;
    return a->len == 0 || memcmp(&a->at, &b->at, a->len) == 0;
}

static struct sock *find_sock(const struct lg_sockets *set, const struct lg_listen_address *address)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (same_address(&set->socks[i]->address, address))
            return set->socks[i];
    return NULL;
}

/* A file of a dead server goes; one that somebody serves, or that is no socket,
 * stays and is a fault. */
static int clear_stale(
    struct lg_conf *conf, const struct lg_setting *setting, const struct lg_listen_address *address)
{
    struct stat st;
    if (address->at.un.sun_path[0] == '\0' || lstat(address->at.un.sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return fault(conf, setting, "a file that is no socket is in the way");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_errno(conf, setting, "cannot make a socket");
    int err = connect(fd, &address->at.base, address->len);
    bool is_dead = err < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!is_dead)
        return fault(conf, setting, "another server answers there");
    if (unlink(address->at.un.sun_path) < 0 && errno != ENOENT)
        return fault_errno(conf, setting, "cannot remove the stale socket");
    return 0;
}

static int set_options(const struct lg_conf *conf, int fd, int family)
{
    int on = 1;
    if (family == AF_UNIX)
        return 0;
    int err = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (lg_conf_bool(conf, LG_OPT_reuse_port))
        err |= setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    /* So that [::]:80 and :80 can stand side by side. */
    if (family == AF_INET6)
        err |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return err;
}

static const char *bind_text(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "the address is in use: another server listens there (see ss -ltnp)";
    case EACCES:
        return "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE, paths a "
               "directory that may be written";
    case EADDRNOTAVAIL:
        return "no interface of this host has the address";
    case ENOENT:
    case ENOTDIR:
        return "the directory does not exist";
    default:
        return strerror(error);
    }
}

/* What opening needs to know. */
struct opening {
    struct lg_conf *conf;
    const struct lg_identity *identity;
    const struct lg_setting *setting;
};

/* Mode and owner of a unix socket's file. */
static int dress_file(const struct opening *opening, const char *path)
{
    uid_t uid = (uid_t)-1;
    gid_t gid = (gid_t)-1;
    mode_t mode;
    const char *unknown;
    const char *owner = lg_conf_text(opening->conf, LG_OPT_chown_socket);
    if (owner && lg_identity_owner(owner, &uid, &gid, &unknown) < 0)
        return fault(opening->conf, opening->setting, "chown-socket: unknown user or group");
    if (!owner && opening->identity->has_uid)
        uid = opening->identity->uid;
    if (!owner && opening->identity->has_gid)
        gid = opening->identity->gid;
    bool is_owned = uid != (uid_t)-1 || gid != (gid_t)-1;
    if (is_owned && chown(path, uid, gid) < 0)
        return fault_errno(opening->conf, opening->setting, "cannot change its owner");
    if (lg_conf_count(opening->conf, LG_OPT_chmod_socket) == 0)
        return 0;
    const char *text = lg_conf_text(opening->conf, LG_OPT_chmod_socket);
    if (!read_mode(text ? text : "", &mode) || chmod(path, mode) < 0)
        return fault_errno(opening->conf, opening->setting, "cannot change its mode");
    return 0;
}

static int bind_sock(const struct opening *opening, struct sock *sock)
{
    struct lg_conf *conf = opening->conf;
    const struct lg_setting *setting = opening->setting;
    const struct lg_listen_address *address = &sock->address;
    int family = address->at.base.sa_family;
    sock->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock->fd < 0 || set_options(conf, sock->fd, family) < 0)
        return fault_errno(conf, setting, "cannot make a socket");
    if (family == AF_UNIX && clear_stale(conf, setting, address) < 0)
        return -LG_E_CONF;
    if (bind(sock->fd, &address->at.base, address->len) < 0)
        return fault(conf, setting, bind_text(errno));
    if (family == AF_UNIX && address->at.un.sun_path[0]) {
        sock->path = strdup(address->at.un.sun_path);
        return sock->path ? dress_file(opening, sock->path) : -LG_E_NOMEM;
    }
    return 0;
}

/* fd://N: somebody else (systemd, say) made it and listens. */
static int adopt_sock(struct lg_conf *conf, const struct lg_setting *setting, struct sock *sock)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    int fd = sock->address.fd;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
        return fault(conf, setting, "this file descriptor is no listening socket");
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return fault_errno(conf, setting, "cannot set it up");
    sock->fd = fd;
    return 0;
}

static void unref_sock(struct sock *sock, bool vacuum, int home_fd)
{
    if (!sock || --sock->refs > 0)
        return;
    /* An adopted descriptor stays: a later reload may name it again. */
    if (sock->fd >= 0 && sock->address.fd < 0)
        close(sock->fd);
    if (sock->path && vacuum)
        (void)unlinkat(home_fd, sock->path, 0);
    free(sock->path);
    free(sock);
}

static int new_sock(
    const struct opening *opening, const struct lg_listen_address *address, struct sock **ret_sock)
{
    struct lg_conf *conf = opening->conf;
    struct sock *sock = calloc(1, sizeof *sock);
    if (!sock)
        return -LG_E_NOMEM;
    *sock = (struct sock){.refs = 1, .address = *address, .fd = -1};
    int err = address->len ? bind_sock(opening, sock) : adopt_sock(conf, opening->setting, sock);
    if (!err && listen(sock->fd, (int)lg_conf_number(conf, LG_OPT_listen)) < 0)
        err = fault(conf, opening->setting, bind_text(errno)); /* two binds, then a listen */
    if (err) {
        unref_sock(sock, true, AT_FDCWD);
        return err;
    }
    *ret_sock = sock;
    return 0;
}

static void add_entry(struct lg_sockets *set, const struct lg_conf *conf, const struct kind *kind,
    struct sock *sock, char *name)
{
    set->socks[set->count] = sock;
    set->names[set->count++] = name;
    if (kind->is_stats) {
        set->stats[set->stats_count++] = sock->fd;
        return;
    }
    bool has_modifiers = kind->modifier1 != LG_OPT_COUNT;
    set->serving[set->serving_count++] = (struct lg_listener){
        .fd = sock->fd,
        .protocol = kind->protocol,
        .modifier1 = has_modifiers ? (uint8_t)lg_conf_number(conf, kind->modifier1) : 0,
        .modifier2 = has_modifiers ? (uint8_t)lg_conf_number(conf, kind->modifier2) : 0,
        .is_router = kind->is_router,
        .address = name,
    };
}

static int open_one(const struct opening *opening, const struct kind *kind,
    const struct lg_sockets *old, struct lg_sockets *set)
{
    struct lg_conf *conf = opening->conf;
    const struct lg_setting *setting = opening->setting;
    struct lg_listen_address address;
    const char *why;
    if (set->count >= LG_LISTENERS_MAX)
        return fault(conf, setting, "too many sockets");
    if (lg_listen_parse(setting->text, &address, &why) < 0)
        return fault(conf, setting, why);
    if (find_sock(set, &address))
        return fault(conf, setting, "this address was given before");
    char *name = strdup(setting->text);
    if (!name)
        return -LG_E_NOMEM;
    struct sock *sock = find_sock(old, &address);
    int err = 0;
    if (sock) {
        sock->refs++;
        (void)listen(sock->fd, (int)lg_conf_number(conf, LG_OPT_listen)); /* a new backlog */
    } else {
        err = new_sock(opening, &address, &sock);
    }
    if (err)
        free(name);
    else
        add_entry(set, conf, kind, sock, name);
    return err;
}

int lg_sockets_open(struct lg_conf *conf, const struct lg_identity *identity,
    const struct lg_sockets *old, struct lg_sockets **ret_sockets)
{
    struct lg_sockets *set = calloc(1, sizeof *set);
    if (!set)
        return -LG_E_NOMEM;
    int first = 0;
    for (size_t k = 0; k < KIND_COUNT; k++)
        for (size_t i = 0; i < lg_conf_count(conf, kinds[k].opt); i++) {
            struct opening opening = {conf, identity, lg_conf_at(conf, kinds[k].opt, i)};
            int err = open_one(&opening, &kinds[k], old, set);
            first = first ? first : err;
        }
    if (first) {
        lg_sockets_free(set, true, AT_FDCWD);
        return first;
    }
    *ret_sockets = set;
    return 0;
}

void lg_sockets_free(struct lg_sockets *sockets, bool vacuum, int home_fd)
{
    if (!sockets)
        return;
    for (size_t i = 0; i < sockets->count; i++) {
        unref_sock(sockets->socks[i], vacuum, home_fd);
        free(sockets->names[i]);
    }
    free(sockets);
}

void lg_sockets_close(struct lg_sockets *sockets, bool and_shared)
{
    for (size_t i = 0; sockets && i < sockets->count; i++) {
        struct sock *sock = sockets->socks[i];
        if (sock->fd < 0 || (sock->refs > 1 && !and_shared))
            continue;
        close(sock->fd);
        sock->fd = -1;
    }
}

void lg_sockets_close_stats(const struct lg_sockets *sockets)
{
    for (size_t i = 0; i < sockets->stats_count; i++)
        close(sockets->stats[i]);
}

const struct lg_listener *lg_sockets_serving(const struct lg_sockets *sockets, size_t *ret_count)
{
    *ret_count = sockets->serving_count;
    return sockets->serving;
}

const int *lg_sockets_stats(const struct lg_sockets *sockets, size_t *ret_count)
{
    *ret_count = sockets->stats_count;
    return sockets->stats;
}

void lg_socket_queue(int fd, uint64_t *ret_queue, uint64_t *ret_max)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    bool known = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0;
    /* For a socket that listens these two fields are its queue and backlog. */
    *ret_queue = known ? info.tcpi_unacked : 0;
    *ret_max = known ? info.tcpi_sacked : 0;
}
