/* Server lists: "host:port;[v6]:port;/unix/socket". Pure; libc only.
 *
 * Port 0 is the usual one, 24007. An entry without a colon is the path of a
 * glusterd's unix socket.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, size_t len, uint16_t *ret_port)
{
    unsigned port = 0;
    if (len == 0 || len > 5)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port > UINT16_MAX)
        return -1;
    *ret_port = port ? (uint16_t)port : GL_DEFAULT_PORT;
    return 0;
}

static int parse_tcp(
    struct gl_server *server, const char *text, const char *colon, char *why, size_t why_size)
{
    const char *host = text;
    size_t len = (size_t)(colon - text);
    if (parse_port(colon + 1, strlen(colon + 1), &server->port)) {
        snprintf(why, why_size, "server \"%s\": \"%s\" is no port (0 to 65535; 0 is the usual %d)",
            text, colon + 1, GL_DEFAULT_PORT);
        return -1;
    }
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len)) {
        snprintf(why, why_size, "server \"%s\": an IPv6 address needs brackets, as in [fe80::1]:0",
            text);
        return -1;
    }
    if (len == 0) {
        snprintf(why, why_size, "server \"%s\" has no host", text);
        return -1;
    }
    server->host = strndup(host, len);
    return server->host ? 0 : -1;
}

static int parse_one(struct gl_server *server, const char *text, char *why, size_t why_size)
{
    *server = (struct gl_server){.text = strdup(text)};
    if (!server->text)
        return -1;
    const char *colon = strrchr(text, ':');
    if (text[0] != '/' && colon)
        return parse_tcp(server, text, colon, why, why_size);
    if (!strchr(text, '/')) {
        snprintf(why, why_size,
            "server \"%s\" has neither a port nor a slash: write %s:0 for the usual port, or the "
            "path of a unix socket",
            text, text);
        return -1;
    }
    server->unix_socket = true;
    server->host = strdup(text);
    return server->host ? 0 : -1;
}

int gl_servers_parse(
    const char *text, struct gl_server **ret_servers, size_t *ret_count, char *why, size_t why_size)
{
    snprintf(why, why_size, "out of memory");
    struct gl_server *servers = calloc(GL_SERVERS_MAX, sizeof *servers);
    char *copy = strdup(text);
    size_t count = 0;
    int err = servers && copy ? 0 : -1;
    char *next = copy;
    while (!err && next) {
        char *item = strsep(&next, ";");
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
        if (item[0] == '\0')
            continue;
        if (count == GL_SERVERS_MAX) {
            snprintf(why, why_size, "more than %d servers", GL_SERVERS_MAX);
            err = -1;
            break;
        }
        err = parse_one(&servers[count++], item, why, why_size);
    }
    if (!err && count == 0) {
        snprintf(why, why_size, "the server list is empty");
        err = -1;
    }
    free(copy);
    if (err) {
        gl_servers_free(servers, count);
        return -1;
    }
    *ret_servers = servers;
    *ret_count = count;
    return 0;
}

void gl_servers_free(struct gl_server *servers, size_t count)
{
    for (size_t i = 0; servers && i < count; i++) {
        free(servers[i].host);
        free(servers[i].text);
    }
    free(servers);
}
