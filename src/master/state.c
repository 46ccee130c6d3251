/* The master's table. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/state.h"

#include <assert.h>

/* clang-format off */
#define IN(state)             [LG_STATE_##state]
#define ON(event, next, act)  [LG_EVENT_##event] = {LG_STATE_##next, LG_ACT_##act}

static const struct lg_master_step table[LG_STATE_COUNT][LG_EVENT_COUNT] = {
    IN(STARTING) = {
        ON(STOP,         STOPPING,  STOP),
        ON(QUIT,         KILLING,   KILL),
        ON(HUP,          STARTING,  LATER),
        ON(STATS,        STARTING,  STATS),
        ON(READY,        RUNNING,   ANNOUNCE),
        ON(ALL_READY,    RUNNING,   NOTHING),
        ON(WORKER_DIED,  STARTING,  RESPAWN),
        ON(START_FAILED, STOPPING,  GIVE_UP),
        ON(LEGION_DIED,  STARTING,  RESPAWN_LEGION),
        ON(CHECK_GOOD,   STARTING,  NOTHING),
        ON(CHECK_BAD,    STARTING,  NOTHING),
        ON(DRAINED,      STARTING,  NOTHING),
        ON(EMPTY,        STARTING,  NOTHING),
        ON(TIMEOUT,      STARTING,  NOTHING),
    },
    IN(RUNNING) = {
        ON(STOP,         STOPPING,  STOP),
        ON(QUIT,         KILLING,   KILL),
        ON(HUP,          CHECKING,  CHECK),
        ON(STATS,        RUNNING,   STATS),
        ON(READY,        RUNNING,   NOTHING),
        ON(ALL_READY,    RUNNING,   NOTHING),
        ON(WORKER_DIED,  RUNNING,   RESPAWN),
        ON(START_FAILED, RUNNING,   RESPAWN),
        ON(LEGION_DIED,  RUNNING,   RESPAWN_LEGION),
        ON(CHECK_GOOD,   RUNNING,   NOTHING),
        ON(CHECK_BAD,    RUNNING,   NOTHING),
        ON(DRAINED,      RUNNING,   NOTHING),
        ON(EMPTY,        RUNNING,   NOTHING),
        ON(TIMEOUT,      RUNNING,   NOTHING),
    },
    IN(CHECKING) = {
        ON(STOP,         STOPPING,  STOP),
        ON(QUIT,         KILLING,   KILL),
        ON(HUP,          CHECKING,  LATER),
        ON(STATS,        CHECKING,  STATS),
        ON(READY,        CHECKING,  NOTHING),
        ON(ALL_READY,    CHECKING,  NOTHING),
        ON(WORKER_DIED,  CHECKING,  RESPAWN),
        ON(START_FAILED, CHECKING,  RESPAWN),
        ON(LEGION_DIED,  CHECKING,  RESPAWN_LEGION),
        ON(CHECK_GOOD,   RELOADING, SWITCH),
        ON(CHECK_BAD,    RUNNING,   KEEP_OLD),
        ON(DRAINED,      CHECKING,  NOTHING),
        ON(EMPTY,        CHECKING,  NOTHING),
        ON(TIMEOUT,      CHECKING,  STOP_CHECK),
    },
    IN(RELOADING) = {
        ON(STOP,         STOPPING,  STOP),
        ON(QUIT,         KILLING,   KILL),
        ON(HUP,          RELOADING, LATER),
        ON(STATS,        RELOADING, STATS),
        ON(READY,        RELOADING, NOTHING),
        ON(ALL_READY,    RELOADING, DRAIN_OLD),
        ON(WORKER_DIED,  RELOADING, RESPAWN),
        ON(START_FAILED, RUNNING,   ABANDON),
        ON(LEGION_DIED,  RELOADING, RESPAWN_LEGION),
        ON(CHECK_GOOD,   RELOADING, NOTHING),
        ON(CHECK_BAD,    RUNNING,   KEEP_OLD),
        ON(DRAINED,      RUNNING,   RELOADED),
        ON(EMPTY,        RELOADING, NOTHING),
        ON(TIMEOUT,      RELOADING, KILL_OLD),
    },
    IN(STOPPING) = {
        ON(STOP,         KILLING,   KILL),
        ON(QUIT,         KILLING,   KILL),
        ON(HUP,          STOPPING,  NOTHING),
        ON(STATS,        STOPPING,  STATS),
        ON(READY,        STOPPING,  NOTHING),
        ON(ALL_READY,    STOPPING,  NOTHING),
        ON(WORKER_DIED,  STOPPING,  NOTHING),
        ON(START_FAILED, STOPPING,  NOTHING),
        ON(LEGION_DIED,  STOPPING,  NOTHING),
        ON(CHECK_GOOD,   STOPPING,  NOTHING),
        ON(CHECK_BAD,    STOPPING,  NOTHING),
        ON(DRAINED,      STOPPING,  NOTHING),
        ON(EMPTY,        DONE,      FINISH),
        ON(TIMEOUT,      KILLING,   KILL),
    },
    IN(KILLING) = {
        ON(STOP,         KILLING,   NOTHING),
        ON(QUIT,         KILLING,   NOTHING),
        ON(HUP,          KILLING,   NOTHING),
        ON(STATS,        KILLING,   STATS),
        ON(READY,        KILLING,   NOTHING),
        ON(ALL_READY,    KILLING,   NOTHING),
        ON(WORKER_DIED,  KILLING,   NOTHING),
        ON(START_FAILED, KILLING,   NOTHING),
        ON(LEGION_DIED,  KILLING,   NOTHING),
        ON(CHECK_GOOD,   KILLING,   NOTHING),
        ON(CHECK_BAD,    KILLING,   NOTHING),
        ON(DRAINED,      KILLING,   NOTHING),
        ON(EMPTY,        DONE,      FINISH),
        ON(TIMEOUT,      KILLING,   KILL_AGAIN),
    },
    IN(DONE) = {
        ON(STOP,         DONE,      NOTHING),
        ON(QUIT,         DONE,      NOTHING),
        ON(HUP,          DONE,      NOTHING),
        ON(STATS,        DONE,      NOTHING),
        ON(READY,        DONE,      NOTHING),
        ON(ALL_READY,    DONE,      NOTHING),
        ON(WORKER_DIED,  DONE,      NOTHING),
        ON(START_FAILED, DONE,      NOTHING),
        ON(LEGION_DIED,  DONE,      NOTHING),
        ON(CHECK_GOOD,   DONE,      NOTHING),
        ON(CHECK_BAD,    DONE,      NOTHING),
        ON(DRAINED,      DONE,      NOTHING),
        ON(EMPTY,        DONE,      NOTHING),
        ON(TIMEOUT,      DONE,      NOTHING),
    },
};
/* clang-format on */

struct lg_master_step lg_master_next(enum lg_master_state state, enum lg_master_event event)
{
    assert(state < LG_STATE_COUNT && event < LG_EVENT_COUNT);
    return table[state][event];
}

const char *lg_master_state_name(enum lg_master_state state)
{
    static const char *const names[] = {
#define LG_STATE_NAME(name) #name,
        LG_MASTER_STATES(LG_STATE_NAME)
#undef LG_STATE_NAME
    };
    return state < LG_STATE_COUNT ? names[state] : "?";
}
