/* The legion process's loop: signals, timers, sockets, children; one thread.
 * Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/node.h"
#include "cluster/realtime.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_SIGNAL, POLL_TIMER, POLL_MASTER, POLL_RESOLVER, POLL_FIXED };
#define POLLS_MAX (POLL_FIXED + LG_LEGIONS_MAX + LG_OUTPUTS_MAX + LG_CONTROL_CLIENTS_MAX + 1)

struct loop {
    struct lg_cluster *cluster;
    int signal_fd, timer_fd;
    int64_t armed_ms; /* what the timer is set to; 0 = nothing, or it has rung */
    int master_fd;    /* -1 once it has read EOF */
    unsigned stops;   /* asked for so far */
    int64_t stopped_ms;
    size_t control_at, control_count; /* the operators' door, in `polls` */
    struct pollfd polls[POLLS_MAX];
};

/* Ctrl-C reaches us from the terminal and again from the master: that is one
 * wish. A second one within this time is not counted. */
#define SAME_WISH_MS 300

/* ---- Set-up ------------------------------------------------------------------------- */

static bool open_fds(struct loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    signal(SIGCHLD, SIG_DFL);
    /* What a killed hook or check leaves is ours to reap: not every process 1 does, and
     * a check that was killed is waited for (checks.c). */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
        return false;
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return loop->signal_fd >= 0 && loop->timer_fd >= 0;
}

static void close_fds(struct loop *loop)
{
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
}

/* ---- Time ------------------------------------------------------------------------------ */

static void arm_timer(struct loop *loop)
{
    int64_t at_ms = lg_resolver_due_ms(&loop->cluster->resolver);
    for (size_t i = 0; i < loop->cluster->count; i++) {
        int64_t node_ms = lg_node_deadline_ms(&loop->cluster->nodes[i]);
        at_ms = node_ms < at_ms ? node_ms : at_ms;
    }
    int64_t control_ms = lg_control_deadline_ms(&loop->cluster->control);
    at_ms = control_ms < at_ms ? control_ms : at_ms;
    struct itimerspec when = {0};
    if (at_ms != INT64_MAX) {
        at_ms = at_ms > 0 ? at_ms : 1; /* zero would disarm it */
        when.it_value.tv_sec = (time_t)(at_ms / 1000);
        when.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000;
    }
    if (at_ms == loop->armed_ms) /* as it is while datagrams come */
        return;
    loop->armed_ms = at_ms;
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- Signals ------------------------------------------------------------------------------ */

/* The one place that waits for children: hooks, checks, the resolver. */
static void reap(struct lg_cluster *cluster)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (lg_resolver_reaped(&cluster->resolver, pid))
            continue;
        for (size_t i = 0; i < cluster->count; i++)
            if (lg_node_reaped(&cluster->nodes[i], pid, status))
                break;
    }
}

static void stop(struct loop *loop, const char *why)
{
    struct lg_cluster *cluster = loop->cluster;
    int64_t now_ms = lg_node_now_ms();
    if (loop->stops > 0) {
        loop->stops += now_ms >= loop->stopped_ms + SAME_WISH_MS;
        return;
    }
    loop->stops = 1;
    loop->stopped_ms = now_ms;
    lg_log(LG_LOG_INFO, "legion", "leaving %zu legion(s): %s", cluster->count, why);
    for (size_t i = 0; i < cluster->count; i++) {
        lg_checks_end(&cluster->nodes[i].checks);
        lg_node_feed(&cluster->nodes[i], LG_EVENT_SHUTDOWN);
    }
}

static void read_signals(struct loop *loop)
{
    struct signalfd_siginfo info;
    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap(loop->cluster);
        else if (info.ssi_signo != SIGHUP) /* a reload is the master's affair */
            stop(loop, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void read_master(struct loop *loop)
{
    char byte;
    ssize_t got = read(loop->master_fd, &byte, 1);
    if (got > 0)
        loop->cluster->wants_reload |= byte == LG_CLUSTER_RELOAD;
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    loop->master_fd = -1;
    if (loop->stops == 0) /* it may well go while we are leaving */
        stop(loop, "the master is gone");
}

/* ---- Reload -------------------------------------------------------------------------------- */

static bool hooks_run(const struct lg_cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++)
        if (lg_runner_is_busy(&cluster->nodes[i].runner) ||
            lg_runner_is_busy(&cluster->nodes[i].member_runner))
            return true;
    return false;
}

/* Once the hooks that run have ended: they are of the old plan. */
static void reload(struct loop *loop)
{
    struct lg_cluster *cluster = loop->cluster;
    struct lg_conf *conf = NULL;
    if (!cluster->wants_reload || hooks_run(cluster) || loop->stops)
        return;
    cluster->wants_reload = false;
    if (!cluster->load || cluster->load(cluster->load_arg, &conf))
        return;
    bool was_realtime = cluster->plan.realtime;
    if (lg_cluster_change(cluster, conf, false) == 0) {
        lg_control_open(&cluster->control, cluster->plan.control);
        lg_log(LG_LOG_INFO, "legion", "the new legion options are in use");
    }
    lg_conf_free(conf);
    if (was_realtime || cluster->plan.realtime)
        lg_realtime_set(cluster->plan.realtime);
}

/* ---- The loop ------------------------------------------------------------------------------- */

static bool finished(const struct lg_cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++)
        if (!cluster->nodes[i].finished)
            return false;
    return true;
}

static size_t fill_polls(struct loop *loop)
{
    struct lg_cluster *cluster = loop->cluster;
    struct pollfd *polls = loop->polls;
    polls[POLL_SIGNAL] = (struct pollfd){.fd = loop->signal_fd, .events = POLLIN};
    polls[POLL_TIMER] = (struct pollfd){.fd = loop->timer_fd, .events = POLLIN};
    polls[POLL_MASTER] = (struct pollfd){.fd = loop->master_fd, .events = POLLIN};
    polls[POLL_RESOLVER] = (struct pollfd){.fd = cluster->resolver.fd, .events = POLLIN};
    size_t count = POLL_FIXED;
    for (size_t i = 0; i < cluster->count; i++) {
        const struct lg_node *node = &cluster->nodes[i];
        int fd = node->finished ? -1 : node->links.ready_fd;
        polls[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    loop->control_at = count;
    loop->control_count = lg_control_poll(&cluster->control, polls + count, POLLS_MAX - count);
    count += loop->control_count;
    return count + lg_outputs_poll(&cluster->outputs, polls + count, POLLS_MAX - count);
}

/* Of each node the open socket, which a flood may fill, is last. */
static void receive(struct loop *loop)
{
    int fds[LG_NODES_MAX + 1];
    for (size_t i = 0; i < loop->cluster->count; i++) {
        struct lg_node *node = &loop->cluster->nodes[i];
        if (!loop->polls[POLL_FIXED + i].revents)
            continue;
        size_t count = lg_links_ready(&node->links, fds);
        for (size_t k = 0; k < count; k++)
            lg_node_receive(node, fds[k]);
    }
}

static bool has_knocked(const struct loop *loop)
{
    for (size_t i = 0; i < loop->control_count; i++)
        if (loop->polls[loop->control_at + i].revents)
            return true;
    return false;
}

static bool turn(struct loop *loop)
{
    struct lg_cluster *cluster = loop->cluster;
    const struct pollfd *polls = loop->polls;
    size_t count = fill_polls(loop);
    arm_timer(loop);
    if (poll(loop->polls, (nfds_t)count, -1) < 0)
        return errno == EINTR;
    uint64_t expirations;
    if (polls[POLL_TIMER].revents && read(loop->timer_fd, &expirations, sizeof expirations) < 0 &&
        errno != EAGAIN)
        return false;
    if (polls[POLL_TIMER].revents)
        loop->armed_ms = 0;
    receive(loop);
    if (polls[POLL_RESOLVER].revents)
        lg_resolver_read(&cluster->resolver);
    if (polls[POLL_SIGNAL].revents)
        read_signals(loop);
    if (polls[POLL_MASTER].revents)
        read_master(loop);
    for (size_t i = 0; i < cluster->count; i++)
        lg_node_tick(&cluster->nodes[i]);
    lg_control_tick(cluster, has_knocked(loop), lg_node_now_ms());
    reload(loop);
    lg_resolver_tick(&cluster->resolver, lg_node_now_ms());
    lg_outputs_drain(&cluster->outputs);
    return true;
}

static void end_hooks(struct lg_cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++) {
        lg_runner_kill(&cluster->nodes[i].runner);
        lg_checks_end(&cluster->nodes[i].checks);
        lg_runner_kill(&cluster->nodes[i].member_runner);
    }
}

int lg_cluster_run(struct lg_cluster *cluster, int master_fd)
{
    struct loop loop = {
        .cluster = cluster, .signal_fd = -1, .timer_fd = -1, .master_fd = master_fd};
    int status = 1;
    lg_outputs_init(&cluster->outputs);
    lg_control_init(&cluster->control);
    if (!open_fds(&loop)) {
        lg_log(LG_LOG_ERROR, "legion", "signals and timers: %s", strerror(errno));
        goto out;
    }
    for (size_t i = 0; i < cluster->count; i++) {
        int err = lg_node_start(&cluster->nodes[i]);
        if (err) {
            lg_log(
                LG_LOG_ERROR, "legion", "%s: %s", cluster->nodes[i].plan->name, lg_err_text(err));
            goto out;
        }
    }
    lg_control_open(&cluster->control, cluster->plan.control);
    if (cluster->plan.realtime)
        lg_realtime_set(true);
    while (!finished(cluster) && loop.stops < 2)
        if (!turn(&loop)) {
            lg_log(LG_LOG_ERROR, "legion", "waiting for events: %s", strerror(errno));
            goto out;
        }
    if (finished(cluster))
        status = 0;
    else
        lg_log(LG_LOG_WARN, "legion", "stopped at once: hooks were left out");
out:
    lg_control_close(&cluster->control);
    end_hooks(cluster);
    lg_resolver_end(&cluster->resolver);
    lg_outputs_close(&cluster->outputs);
    close_fds(&loop);
    return status;
}
