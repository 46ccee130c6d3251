/* Addresses of listening sockets. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#define HOST_MAX 256

static int parse_unix(const char *text, struct lg_listen_address *address)
{
    struct sockaddr_un *un = &address->at.un;
    size_t len = strlen(text);
    if (len == 0 || len >= sizeof un->sun_path)
        return -LG_E_INVALID;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, text, len);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (text[0] == '@')
        un->sun_path[0] = '\0';
    else
        address->len++; /* a path counts with its NUL */
    return 0;
}

static int resolve(const char *host, const char *port, struct lg_listen_address *address)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -LG_E_NOTFOUND;
    const struct addrinfo *pick = found;
    /* "localhost" is ::1 first on many systems, and 127.0.0.1 to everybody. */
    for (const struct addrinfo *at = found; at; at = at->ai_next)
        if (at->ai_family == AF_INET) {
            pick = at;
            break;
        }
    memcpy(&address->at.storage, pick->ai_addr, pick->ai_addrlen);
    address->len = pick->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int parse_tcp(
    const char *text, const char *colon, struct lg_listen_address *address, const char **ret_why)
{
    char host[HOST_MAX];
    uint64_t port;
    size_t len = (size_t)(colon - text);
    *ret_why = "the port is no number up to 65535";
    if (!lg_slice_u64(lg_slice_of(colon + 1), 65535, &port))
        return -LG_E_INVALID;
    *ret_why = "this is no host";
    if (len >= sizeof host)
        return -LG_E_INVALID;
    memcpy(host, text, len);
    host[len] = '\0';
    char *name = host;
    if (host[0] == '[' && len > 1 && host[len - 1] == ']') {
        host[len - 1] = '\0';
        name++;
    } else if (strchr(host, ':')) {
        *ret_why = "an IPv6 address needs brackets, as in [::1]:8080";
        return -LG_E_INVALID;
    }
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    *ret_why = "the host is unknown";
    return resolve(any ? "0.0.0.0" : name, colon + 1, address);
}

int lg_listen_parse(const char *text, struct lg_listen_address *ret_address, const char **ret_why)
{
    struct lg_listen_address address = {.fd = -1};
    uint64_t fd;
    int err;
    if (strncmp(text, "fd://", 5) == 0) {
        *ret_why = "expected fd://NUMBER";
        if (!lg_slice_u64(lg_slice_of(text + 5), 65535, &fd))
            return -LG_E_INVALID;
        address.fd = (int)fd;
        *ret_address = address;
        return 0;
    }
    const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : text;
    const char *colon = path == text && text[0] != '/' && text[0] != '@' && text[0] != '.'
                            ? strrchr(text, ':')
                            : NULL;
    *ret_why = "a unix socket's path has 1 to 107 bytes";
    err = colon ? parse_tcp(text, colon, &address, ret_why) : parse_unix(path, &address);
    if (!err)
        *ret_address = address;
    return err;
}
