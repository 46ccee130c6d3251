/* Addresses of legions: text to socket. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int fail(
    int err, char why[LG_WHY_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, LG_WHY_SIZE, format, args);
    va_end(args);
    return err;
}

/* ---- Text ---------------------------------------------------------------------- */

static bool all_of(const char *text, const char *set)
{
    return text[strspn(text, set)] == '\0';
}

static int parse_path(struct lg_slice text, struct lg_address *address, char why[LG_WHY_SIZE])
{
    uint64_t port;
    if (lg_slice_u64(text, UINT16_MAX, &port))
        return fail(-LG_E_CONF, why,
            "\"%.*s\" would be a unix socket of that name: expected ip:port, or :%.*s",
            (int)text.len, text.ptr, (int)text.len, text.ptr);
    if (text.len == 0 || text.len >= sizeof((struct sockaddr_un *)0)->sun_path)
        return fail(-LG_E_CONF, why, "\"%.*s\": expected a path of 1 to %zu bytes", (int)text.len,
            text.ptr, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    address->kind = LG_ADDRESS_UNIX;
    memcpy(address->host, text.ptr, text.len);
    if (all_of(address->host, "0123456789."))
        return fail(-LG_E_CONF, why, "\"%s\" has no port: expected one, as in %s:4242",
            address->host, address->host);
    return 0;
}

static int parse_bracketed(struct lg_address *address, char why[LG_WHY_SIZE])
{
    size_t len = strlen(address->host);
    struct in6_addr ip6;
    if (len < 3 || address->host[len - 1] != ']')
        return fail(-LG_E_CONF, why, "\"%s\": expected [ipv6]:port", address->host);
    memmove(address->host, address->host + 1, len - 2);
    address->host[len - 2] = '\0';
    address->kind = LG_ADDRESS_IPV6;
    char plain[LG_ADDRESS_HOST_SIZE]; /* without the scope: fe80::1%eth0 */
    snprintf(plain, sizeof plain, "%s", address->host);
    plain[strcspn(plain, "%")] = '\0';
    if (inet_pton(AF_INET6, plain, &ip6) != 1)
        return fail(-LG_E_CONF, why, "\"[%s]\" is not an IPv6 address", address->host);
    if (!IN6_IS_ADDR_MULTICAST(&ip6))
        return 0;
    address->kind = LG_ADDRESS_MULTICAST6;
    bool is_local = IN6_IS_ADDR_MC_NODELOCAL(&ip6) || IN6_IS_ADDR_MC_LINKLOCAL(&ip6);
    if (is_local && !strchr(address->host, '%'))
        return fail(-LG_E_CONF, why,
            "[%s] is a group on every link there is: expected its interface too, as in [%s%%eth0]",
            address->host, address->host);
    return 0;
}

static int parse_host(struct lg_address *address, char why[LG_WHY_SIZE])
{
    struct in_addr ip;
    if (!address->host[0]) {
        address->kind = LG_ADDRESS_ANY;
        return 0;
    }
    if (address->host[0] == '[')
        return parse_bracketed(address, why);
    if (inet_pton(AF_INET, address->host, &ip) == 1) {
        unsigned first = ntohl(ip.s_addr) >> 24;
        address->kind = ip.s_addr == htonl(INADDR_BROADCAST) ? LG_ADDRESS_BROADCAST
                        : first >= 224 && first <= 239       ? LG_ADDRESS_MULTICAST
                        : ip.s_addr == htonl(INADDR_ANY)     ? LG_ADDRESS_ANY
                                                             : LG_ADDRESS_IPV4;
        return 0;
    }
    if (strchr(address->host, ':'))
        return fail(
            -LG_E_CONF, why, "\"%s\": expected [ipv6]:port, with the brackets", address->host);
    if (all_of(address->host, "0123456789."))
        return fail(-LG_E_CONF, why, "\"%s\" is not an IPv4 address", address->host);
    address->kind = LG_ADDRESS_NAME;
    return 0;
}

int lg_address_parse(struct lg_slice text, struct lg_address *ret_address, char why[LG_WHY_SIZE])
{
    struct lg_address address = {0};
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0) {
        int err = parse_path(text, &address, why);
        if (!err)
            *ret_address = address;
        return err;
    }
    uint64_t port;
    struct lg_slice digits = lg_slice_from(text.ptr + colon, text.len - colon);
    if (!lg_slice_u64(digits, UINT16_MAX, &port) || port == 0)
        return fail(-LG_E_CONF, why, "\"%.*s\": expected a port from 1 to 65535 after the colon",
            (int)text.len, text.ptr);
    if (colon - 1 >= sizeof address.host)
        return fail(
            -LG_E_CONF, why, "the host name is longer than %zu bytes", sizeof address.host - 1);
    memcpy(address.host, text.ptr, colon - 1);
    address.port = (uint16_t)port;
    int err = parse_host(&address, why);
    if (!err)
        *ret_address = address;
    return err;
}

bool lg_address_is_group(const struct lg_address *address)
{
    return address->kind == LG_ADDRESS_MULTICAST || address->kind == LG_ADDRESS_MULTICAST6 ||
           address->kind == LG_ADDRESS_BROADCAST;
}

bool lg_address_eq(const struct lg_address *a, const struct lg_address *b)
{
    return a->kind == b->kind && a->port == b->port && strcmp(a->host, b->host) == 0;
}

int lg_address_family(const struct lg_address *address)
{
    switch (address->kind) {
    case LG_ADDRESS_UNIX:
        return AF_UNIX;
    case LG_ADDRESS_IPV6:
    case LG_ADDRESS_MULTICAST6:
        return AF_INET6;
    case LG_ADDRESS_NAME:
        return AF_UNSPEC;
    default:
        return AF_INET;
    }
}

/* ---- Socket addresses -------------------------------------------------------------- */

static void unix_endpoint(const struct lg_address *address, struct lg_endpoint *endpoint)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&endpoint->addr;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, address->host, strlen(address->host) + 1);
    endpoint->len = sizeof *un;
}

int lg_address_resolve(const struct lg_address *address, int family,
    struct lg_endpoint *ret_endpoint, char why[LG_WHY_SIZE])
{
    struct lg_endpoint endpoint = {0};
    if (address->kind == LG_ADDRESS_UNIX) {
        unix_endpoint(address, &endpoint);
        *ret_endpoint = endpoint;
        return 0;
    }
    int own = lg_address_family(address);
    struct addrinfo hints = {
        .ai_family = own != AF_UNSPEC ? own : family,
        .ai_socktype = SOCK_DGRAM,
        .ai_flags = AI_NUMERICSERV | AI_PASSIVE,
    };
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo *found = NULL;
    const char *host = address->kind == LG_ADDRESS_ANY ? NULL : address->host;
    int err = getaddrinfo(host, port, &hints, &found);
    if (err)
        return fail(-LG_E_NOTFOUND, why, "%s: %s", host ? host : "any", gai_strerror(err));
    memcpy(&endpoint.addr, found->ai_addr, found->ai_addrlen);
    endpoint.len = found->ai_addrlen;
    freeaddrinfo(found);
    *ret_endpoint = endpoint;
    return 0;
}

bool lg_endpoint_eq(const struct lg_endpoint *a, const struct lg_endpoint *b)
{
    return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

bool lg_endpoint_is_group(const struct lg_endpoint *endpoint)
{
    if (endpoint->addr.ss_family == AF_INET6)
        return IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)&endpoint->addr)->sin6_addr);
    if (endpoint->addr.ss_family != AF_INET)
        return false;
    in_addr_t ip = ntohl(((const struct sockaddr_in *)&endpoint->addr)->sin_addr.s_addr);
    return IN_MULTICAST(ip) || ip == INADDR_BROADCAST;
}

const char *lg_endpoint_text(const struct lg_endpoint *endpoint, char text[LG_ENDPOINT_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (endpoint->addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&endpoint->addr;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, LG_ENDPOINT_TEXT_SIZE, "%s:%u", host, ntohs(in->sin_port));
    } else if (endpoint->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&endpoint->addr;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text, LG_ENDPOINT_TEXT_SIZE, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        snprintf(text, LG_ENDPOINT_TEXT_SIZE, "a unix socket");
    }
    return text;
}

/* ---- Sockets --------------------------------------------------------------------------- */

static bool set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static bool add_membership(const struct lg_endpoint *group, int fd)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&group->addr;
    if (group->addr.ss_family == AF_INET6) {
        struct ipv6_mreq join = {in6->sin6_addr, in6->sin6_scope_id};
        return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join, sizeof join) == 0;
    }
    struct ip_mreqn join = {.imr_multiaddr = ((const struct sockaddr_in *)&group->addr)->sin_addr};
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) == 0;
}

static int join_group(const struct lg_endpoint *group, int fd, char why[LG_WHY_SIZE])
{
    if (add_membership(group, fd))
        return 0;
    if (errno == ENODEV)
        return fail(-LG_E_SYS, why,
            "no interface leads to the multicast group: add a route, as in \"ip route add %s dev "
            "eth0\"",
            group->addr.ss_family == AF_INET6 ? "multicast ff00::/8" : "224.0.0.0/4");
    return fail(-LG_E_SYS, why, "joining the multicast group: %s", strerror(errno));
}

/* A socket file that nobody reads any more is a dead process's. */
static bool remove_stale(int fd, const struct lg_endpoint *endpoint)
{
    if (connect(fd, (const struct sockaddr *)&endpoint->addr, endpoint->len) == 0 ||
        errno != ECONNREFUSED)
        return false;
    return unlink(((const struct sockaddr_un *)&endpoint->addr)->sun_path) == 0;
}

static int bind_it(int fd, const struct lg_endpoint *endpoint, char why[LG_WHY_SIZE])
{
    const struct sockaddr *addr = (const struct sockaddr *)&endpoint->addr;
    if (bind(fd, addr, endpoint->len) == 0)
        return 0;
    int err = errno;
    if (err == EADDRINUSE && addr->sa_family == AF_UNIX && remove_stale(fd, endpoint) &&
        bind(fd, addr, endpoint->len) == 0)
        return 0;
    return fail(-LG_E_SYS, why, "%s%s", strerror(err),
        err == EADDRNOTAVAIL ? ": this host has no such address" : "");
}

static int set_up(const struct lg_address *address, const struct lg_endpoint *endpoint, int ttl,
    int loop, int fd, char why[LG_WHY_SIZE])
{
    bool ok = true;
    struct lg_endpoint bound = *endpoint;
    if (endpoint->addr.ss_family == AF_INET)
        ok = set_int(fd, SOL_SOCKET, SO_BROADCAST, 1) &&
             set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, ttl) &&
             set_int(fd, IPPROTO_IP, IP_MULTICAST_LOOP, loop);
    if (endpoint->addr.ss_family == AF_INET6) /* what IPv4 sends is not for us */
        ok = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
             set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ttl) &&
             set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, loop);
    if (lg_address_is_group(address))
        ok = ok && set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->kind == LG_ADDRESS_BROADCAST)
        ((struct sockaddr_in *)&bound.addr)->sin_addr.s_addr = htonl(INADDR_ANY);
    if (!ok)
        return fail(-LG_E_SYS, why, "socket options: %s", strerror(errno));
    int err = bind_it(fd, &bound, why);
    if (!err && lg_endpoint_is_group(endpoint) && address->kind != LG_ADDRESS_BROADCAST)
        err = join_group(endpoint, fd, why);
    return err;
}

/* A group's socket is bound to the group itself, so that it hears nothing else
 * that comes to the port. */
int lg_address_listen(const struct lg_address *address, int ttl, int loop, int *ret_fd,
    struct lg_endpoint *ret_bound, char why[LG_WHY_SIZE])
{
    struct lg_endpoint endpoint;
    int err = lg_address_resolve(address, AF_UNSPEC, &endpoint, why);
    if (err)
        return -LG_E_SYS;
    int fd = socket(endpoint.addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(-LG_E_SYS, why, "socket: %s", strerror(errno));
    err = set_up(address, &endpoint, ttl, loop, fd, why);
    if (err) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    *ret_bound = endpoint;
    return 0;
}
