/* What the master does with an event in a state: one complete table. Pure.
 *
 * The table names an action and the next state; the actions themselves are in
 * actions.c. Nothing is unhandled: what means nothing is LG_ACT_NOTHING.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_STATE_H
#define LG_MASTER_STATE_H

#define LG_MASTER_STATES(X)                                                                        \
    X(STARTING) /* no worker was ever ready */                                                     \
    X(RUNNING)                                                                                     \
    X(CHECKING)  /* a child tries the new configuration */                                         \
    X(RELOADING) /* old workers serve until all new ones are ready, then drain */                  \
    X(STOPPING)  /* workers drain, the legion process resigns */                                   \
    X(KILLING)   /* no more patience */                                                            \
    X(DONE)

#define LG_MASTER_EVENTS(X)                                                                        \
    X(STOP)         /* SIGTERM, SIGINT */                                                          \
    X(QUIT)         /* SIGQUIT */                                                                  \
    X(HUP)          /* SIGHUP */                                                                   \
    X(STATS)        /* SIGUSR1 */                                                                  \
    X(READY)        /* a worker of the current configuration accepts */                            \
    X(ALL_READY)    /* all of them do */                                                           \
    X(WORKER_DIED)  /* one of the current configuration */                                         \
    X(START_FAILED) /* one that keeps dying before it is ready */                                  \
    X(LEGION_DIED)                                                                                 \
    X(CHECK_GOOD)                                                                                  \
    X(CHECK_BAD)                                                                                   \
    X(DRAINED) /* no worker of an older configuration is left */                                   \
    X(EMPTY)   /* no child is left */                                                              \
    X(TIMEOUT) /* the state's own deadline */

#define LG_MASTER_ACTIONS(X)                                                                       \
    X(NOTHING)                                                                                     \
    X(STOP)       /* drain workers, let the legion process resign */                               \
    X(KILL)       /* SIGKILL workers, hurry the legion process */                                  \
    X(KILL_AGAIN) /* SIGKILL whatever is left */                                                   \
    X(FINISH)                                                                                      \
    X(STATS)          /* one line of figures in the log */                                         \
    X(ANNOUNCE)       /* tell the service manager that we serve */                                 \
    X(RESPAWN)        /* start the dead worker again, after its back-off */                        \
    X(RESPAWN_LEGION) /* guard the title, then start it again */                                   \
    X(GIVE_UP)        /* stop with a failure */                                                    \
    X(CHECK)          /* try the new configuration in a child */                                   \
    X(STOP_CHECK)     /* the child has had its time */                                             \
    X(SWITCH)         /* load it and start its workers */                                          \
    X(KEEP_OLD)       /* say why, go on as before */                                               \
    X(DRAIN_OLD)      /* the new ones serve */                                                     \
    X(KILL_OLD)       /* the old ones had their mercy */                                           \
    X(ABANDON)        /* the new workers do not start: back to the old configuration */            \
    X(RELOADED)                                                                                    \
    X(LATER) /* remember the HUP until we are RUNNING */

enum lg_master_state {
#define LG_STATE_ENUM(name) LG_STATE_##name,
    LG_MASTER_STATES(LG_STATE_ENUM)
#undef LG_STATE_ENUM
        LG_STATE_COUNT
};

enum lg_master_event {
#define LG_EVENT_ENUM(name) LG_EVENT_##name,
    LG_MASTER_EVENTS(LG_EVENT_ENUM)
#undef LG_EVENT_ENUM
        LG_EVENT_COUNT
};

enum lg_master_action {
#define LG_ACT_ENUM(name) LG_ACT_##name,
    LG_MASTER_ACTIONS(LG_ACT_ENUM)
#undef LG_ACT_ENUM
        LG_ACT_COUNT
};

struct lg_master_step {
    enum lg_master_state next;
    enum lg_master_action action;
};

struct lg_master_step lg_master_next(enum lg_master_state state, enum lg_master_event event);
const char *lg_master_state_name(enum lg_master_state state);

#endif
