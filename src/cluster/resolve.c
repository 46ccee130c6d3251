/* Host names to addresses, by a child process. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/resolve.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* One write of it is atomic: far below PIPE_BUF. */
struct answer {
    unsigned legion, link;
    struct lg_endpoint endpoint; /* len 0 = `why` tells */
    char why[LG_WHY_SIZE];
};

void lg_resolver_init(struct lg_resolver *resolver, struct lg_links *const *links, size_t count)
{
    *resolver = (struct lg_resolver){.links = links, .count = count, .fd = -1};
}

/* ---- The child ----------------------------------------------------------------------- */

static void answer_all(const struct lg_resolver *resolver, int fd, bool unresolved)
{
    for (unsigned i = 0; i < resolver->count; i++) {
        const struct lg_links *links = resolver->links[i];
        for (unsigned k = 0; k < links->count; k++) {
            const struct lg_link *link = &links->all[k];
            struct answer answer = {.legion = i, .link = k};
            if (link->address->kind != LG_ADDRESS_NAME || unresolved != (link->endpoint.len == 0))
                continue;
            if (lg_address_resolve(
                    link->address, links->bound.addr.ss_family, &answer.endpoint, answer.why))
                answer.endpoint.len = 0;
            if (write(fd, &answer, sizeof answer) != (ssize_t)sizeof answer)
                return;
        }
    }
}

static _Noreturn void run_child(const struct lg_resolver *resolver, int fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < SIGRTMIN; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        dup2(fd, STDIN_FILENO); /* our only descriptor: no socket stays bound by us */
        close_range(STDIN_FILENO + 1, ~0U, 0);
        answer_all(resolver, STDIN_FILENO, true); /* news first */
        answer_all(resolver, STDIN_FILENO, false);
    }
    _exit(0);
}

/* ---- Starting and ending ----------------------------------------------------------------- */

static void begin(struct lg_resolver *resolver, int64_t now_ms)
{
    int fds[2];
    resolver->began_ms = now_ms;
    for (size_t i = 0; i < resolver->count; i++)
        resolver->links[i]->wants_names = false;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        run_child(resolver, fds[1], parent);
    close(fds[1]);
    if (pid < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) {
        close(fds[0]);
        return;
    }
    resolver->pid = pid;
    resolver->fd = fds[0];
}

/* The child itself is reaped with all the others, or by lg_resolver_run. */
void lg_resolver_end(struct lg_resolver *resolver)
{
    if (resolver->fd < 0)
        return;
    close(resolver->fd);
    resolver->fd = -1;
    if (resolver->pid > 0)
        kill(resolver->pid, SIGKILL);
    resolver->pid = 0;
}

bool lg_resolver_reaped(struct lg_resolver *resolver, pid_t pid)
{
    if (pid != resolver->pid)
        return false;
    resolver->pid = 0;
    return true;
}

static bool has_names(const struct lg_resolver *resolver)
{
    for (size_t i = 0; i < resolver->count; i++)
        if (lg_links_have_names(resolver->links[i]))
            return true;
    return false;
}

int64_t lg_resolver_due_ms(const struct lg_resolver *resolver)
{
    int64_t due_ms = INT64_MAX;
    if (resolver->fd >= 0)
        return resolver->began_ms + LG_RESOLVE_LIMIT_MS;
    for (size_t i = 0; i < resolver->count; i++) {
        int64_t at_ms = lg_links_names_due_ms(resolver->links[i], resolver->began_ms);
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    return due_ms;
}

void lg_resolver_tick(struct lg_resolver *resolver, int64_t now_ms)
{
    if (now_ms < lg_resolver_due_ms(resolver))
        return;
    if (resolver->fd >= 0)
        lg_resolver_end(resolver);
    else
        begin(resolver, now_ms);
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

static void take_answer(struct lg_resolver *resolver, struct answer *answer)
{
    if (answer->legion >= resolver->count)
        return;
    struct lg_links *links = resolver->links[answer->legion];
    if (answer->link >= links->count)
        return;
    struct lg_link *link = &links->all[answer->link];
    bool has_failed = answer->endpoint.len == 0;
    char plain[LG_ENDPOINT_TEXT_SIZE];
    answer->why[sizeof answer->why - 1] = '\0';
    if (has_failed && !link->has_failed)
        lg_log(LG_LOG_WARN, "legion", "%s: legion-node %s: %s: %s", links->legion, link->text,
            answer->why,
            link->endpoint.len ? "its last address stays in use" : "it is tried again and again");
    link->has_failed = has_failed;
    if (!has_failed && lg_links_resolved(links, answer->link, &answer->endpoint))
        lg_log(LG_LOG_INFO, "legion", "%s: legion-node %s is %s", links->legion, link->text,
            lg_endpoint_text(&answer->endpoint, plain));
}

void lg_resolver_read(struct lg_resolver *resolver)
{
    struct answer answer;
    if (resolver->fd < 0)
        return;
    for (size_t i = 0; i < 2 * LG_NODES_MAX; i++) {
        ssize_t got = read(resolver->fd, &answer, sizeof answer);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got != (ssize_t)sizeof answer) {
            lg_resolver_end(resolver);
            return;
        }
        take_answer(resolver, &answer);
    }
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void lg_resolver_run(struct lg_resolver *resolver, int64_t wait_ms)
{
    int64_t end_ms = now() + wait_ms;
    if (!has_names(resolver))
        return;
    begin(resolver, now());
    pid_t pid = resolver->pid;
    while (resolver->fd >= 0 && now() < end_ms) {
        struct pollfd poll_fd = {.fd = resolver->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)(end_ms - now()) + 1) > 0)
            lg_resolver_read(resolver);
    }
    lg_resolver_end(resolver);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}
