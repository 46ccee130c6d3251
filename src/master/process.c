/* Forking: what every child of the master begins with.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/inner.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int64_t lg_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL); /* those of libc itself refuse, rightly */
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_name(const struct master *master, const char *name)
{
    char text[16]; /* what the kernel keeps */
    const struct lg_conf *conf = master->now.loaded.conf;
    const char *given = lg_conf_text(conf, LG_OPT_procname);
    if (given && given[0])
        snprintf(text, sizeof text, "%.15s", given);
    else if (lg_conf_bool(conf, LG_OPT_auto_procname))
        snprintf(text, sizeof text, "legatus %.7s", name);
    else
        return;
    prctl(PR_SET_NAME, text, 0, 0, 0);
}

pid_t lg_fork(struct master *master, const char *name)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    /* A group of its own: Ctrl-C in a terminal is for the master to hand on,
     * a worker that got both would not drain. */
    setpgid(0, 0);
    reset_signals();
    lg_log_child(master->log_fds[0], name);
    lg_drop_master_fds(master);
    set_name(master, name);
    return 0;
}

void lg_drop_master_fds(struct master *master)
{
    close(master->signal_fd);
    close(master->log_fds[1]);
    if (master->shm)
        lg_calls_leave(master->shm);
    if (master->legion.guard_fd >= 0)
        close(master->legion.guard_fd);
    lg_notify_close(&master->notify);
    lg_statsd_close(&master->statsd);
}
