/* The legion process's place before the scheduler and in memory. Must not depend
 * on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/realtime.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

/* Hooks and the resolver are forked from us and stay ordinary: a lord hook that
 * loops must not take the machine with it. */
static int schedule(bool on)
{
    struct sched_param param = {.sched_priority = on ? sched_get_priority_min(SCHED_RR) : 0};
    return sched_setscheduler(0, (on ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK, &param);
}

void lg_realtime_set(bool on)
{
    if (!on) {
        (void)munlockall();
        (void)schedule(false);
        return;
    }
    if (schedule(true))
        lg_log(LG_LOG_WARN, "legion",
            "legion-realtime: no real-time scheduling: %s (it takes CAP_SYS_NICE, or an "
            "RLIMIT_RTPRIO "
            "of 1 or more, and in some cgroups a share of real time)",
            strerror(errno));
    /* Not MCL_FUTURE: beyond RLIMIT_MEMLOCK an allocation would fail. Of the shared
     * memory most is never used: to bring all of it in would take longer than nodes
     * wait for each other. */
    if (mlockall(MCL_CURRENT | MCL_ONFAULT))
        lg_log(LG_LOG_WARN, "legion",
            "legion-realtime: memory may be paged out: %s (it takes CAP_IPC_LOCK, or a larger "
            "RLIMIT_MEMLOCK)",
            strerror(errno));
}
