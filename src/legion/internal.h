/* Inside legion/: the state of one node.
 *
 * legion.c takes events and keeps time; title.c decides and moves between
 * roles; roster.c counts; phases.c sequences hooks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_INTERNAL_H
#define LG_LEGION_INTERNAL_H

#include "legion/legion.h"
#include "legion/phases.h"
#include "legion/roster.h"

struct lg_legion {
    struct lg_legion_setup setup; /* its texts point into the buffers below */
    struct lg_legion_who self;
    char legion[LG_LEGION_NAME_MAX + 1];
    char scroll[LG_LEGION_SCROLL_MAX];

    struct lg_legion_state state;
    struct lg_roster roster;
    struct lg_phases phases;

    int64_t now_ms, wall_ms; /* of this step; now_ms never goes back */
    int64_t round_base_ms;   /* the first round is counted from here */
    int64_t next_announce_ms;
    int64_t quorate_ms;        /* when the last tally was enough */
    int64_t no_quorum_said_ms; /* when to say so again; 0 = at once */
    int64_t awaiting_until_ms; /* a holder of the title is waited for; 0 = none */
    bool heard;                /* somebody, since round_base_ms */
    bool joined;               /* a quorum was seen once */
    bool stopping;             /* SHUTDOWN came */
    bool announce_now;         /* besides the timer */
    bool announce_dead;

    bool reported; /* the quorum report below was made */
    uint64_t reported_checksum;
    struct lg_legion_who reported_vote;
};

/* What may befall a node, whatever its role: columns of the table in title.c. */
enum lg_title_signal {
    LG_SIGNAL_WIN,      /* elected */
    LG_SIGNAL_OUTVOTED, /* another was elected: `who` */
    LG_SIGNAL_LOST,     /* no quorum any more */
    LG_SIGNAL_PAUSED,   /* we did not run for longer than anyone waits */
    LG_SIGNAL_LORD_OK,  /* lord hooks have run */
    LG_SIGNAL_LORD_FAILED,
    LG_SIGNAL_UNLORD_OVER,
    LG_SIGNAL_DEATH_OVER,
    LG_SIGNAL_STOP,
    LG_SIGNAL_COUNT
};

void lg_title_signal(struct lg_legion *legion, enum lg_title_signal signal,
    const struct lg_legion_who *who, struct lg_legion_update *update);
/* Counts votes and draws the consequences. */
void lg_title_elect(struct lg_legion *legion, struct lg_legion_update *update);
/* Starts the next phase, if one waits and none runs. */
void lg_title_pump(struct lg_legion *legion, struct lg_legion_update *update);
/* The running phase has ended. */
void lg_title_phase_over(struct lg_legion *legion, bool failed, struct lg_legion_update *update);

/* When the next round may be counted. */
int64_t lg_legion_round_ms(const struct lg_legion *legion);
/* Gave a failed title up: neither stands nor counts just now. */
bool lg_legion_suspended(const struct lg_legion *legion);
/* A fresh note of *update to fill in; never NULL (a spare when it is full). */
struct lg_legion_note *lg_legion_note(
    struct lg_legion_update *update, enum lg_legion_note_kind kind, struct lg_legion_note *spare);

#endif
