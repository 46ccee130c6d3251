/* Inside cluster/: where a legion listens and whom it tells.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_ADDRESS_H
#define LG_CLUSTER_ADDRESS_H

#include "base/err.h"
#include "base/slice.h"

#include <sys/socket.h>
#include <sys/un.h>

enum lg_address_kind {
    LG_ADDRESS_UNIX, /* a path: no colon in it */
    LG_ADDRESS_ANY,  /* ":port" */
    LG_ADDRESS_IPV4,
    LG_ADDRESS_MULTICAST,  /* IPv4, 224-239 */
    LG_ADDRESS_BROADCAST,  /* 255.255.255.255 */
    LG_ADDRESS_IPV6,       /* "[::1]:port" */
    LG_ADDRESS_MULTICAST6, /* "[ff05::1234]:port", "[ff02::1234%eth0]:port" */
    LG_ADDRESS_NAME,       /* resolved again and again (resolve.h) */
};

#define LG_ADDRESS_HOST_SIZE  256
#define LG_WHY_SIZE           256 /* bytes of an explanation */
#define LG_ENDPOINT_TEXT_SIZE 64

struct lg_address {
    enum lg_address_kind kind;
    char host[LG_ADDRESS_HOST_SIZE]; /* or the path */
    uint16_t port;
};

struct lg_endpoint {
    struct sockaddr_storage addr;
    socklen_t len;
};

/* Reads "ip:port", ":port", "[ip6]:port", "name:port" or a path. 0, or
 * -LG_E_CONF with the reason and what was expected in `why`. Resolves nothing. */
int lg_address_parse(
    struct lg_slice text, struct lg_address *ret_address, char why[LG_WHY_SIZE]) LG_MUST_USE;
/* Several nodes at once share it. */
bool lg_address_is_group(const struct lg_address *address);
bool lg_address_eq(const struct lg_address *a, const struct lg_address *b);
/* AF_UNIX, AF_INET, AF_INET6, or AF_UNSPEC for a name. */
int lg_address_family(const struct lg_address *address);
/* The socket address, of `family` where that is not AF_UNSPEC. May block on DNS.
 * 0, or -LG_E_NOTFOUND with the reason in `why`. */
int lg_address_resolve(const struct lg_address *address, int family,
    struct lg_endpoint *ret_endpoint, char why[LG_WHY_SIZE]) LG_MUST_USE;
bool lg_endpoint_eq(const struct lg_endpoint *a, const struct lg_endpoint *b);
bool lg_endpoint_is_group(const struct lg_endpoint *endpoint);
/* "10.0.0.1:4242", "[::1]:4242", "a unix socket". */
const char *lg_endpoint_text(const struct lg_endpoint *endpoint, char text[LG_ENDPOINT_TEXT_SIZE]);

/* A bound, non-blocking, close-on-exec datagram socket; groups are joined.
 * 0, or -LG_E_SYS with the reason in `why`. */
int lg_address_listen(const struct lg_address *address, int ttl, int loop, int *ret_fd,
    struct lg_endpoint *ret_bound, char why[LG_WHY_SIZE]) LG_MUST_USE;

#endif
