/* The election: one node's view of one legion. Events and time in, updates out.
 *
 * Pure: no clock, no system call, no allocation after lg_legion_new, no log. The
 * same code runs in the legion process and, in virtual time, in src/sim. Rules:
 * docs/legion-protocol.md.
 *
 * Times: now_ms is monotonic (CLOCK_BOOTTIME in the daemon) and decides
 * everything; wall_s is the wall clock, for the wire and for people only.
 * One thread per legion at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_LEGION_H
#define LG_LEGION_LEGION_H

#include "base/err.h"
#include "base/limits.h"
#include "legion/codec.h"

struct lg_legion; /* opaque */

/* ---- What a node is told once ---------------------------------------------- */

enum lg_legion_phase_kind {
    LG_PHASE_NONE,
    LG_PHASE_SETUP,
    LG_PHASE_JOIN,
    LG_PHASE_LORD,
    LG_PHASE_UNLORD,
    LG_PHASE_DEATH,
    LG_PHASE_NODE_JOINED,
    LG_PHASE_NODE_LEFT,
    LG_PHASE_COUNT
};

/* "setup", "node-joined": as in the names of the options. */
const char *lg_legion_phase_name(enum lg_legion_phase_kind kind);

/* legion-safe: whether promises and leases decide, or uWSGI's rules. */
enum lg_legion_safety {
    LG_SAFE_OFF,  /* uWSGI's rules; none of our keys on the wire */
    LG_SAFE_AUTO, /* promises, while no member without our keys is alive */
    LG_SAFE_ON,   /* promises; packets without our keys are refused */
};

#define LG_LEGION_START_WAIT_MS 15000
#define LG_LEGION_DRIFT_PPM     20000 /* how far the rates of two clocks may differ */

/* What the legion-state file remembers. */
struct lg_legion_memory {
    uint64_t epoch;                         /* the largest voted for; 0 = none ever */
    char candidate[LG_LEGION_UUID_LEN + 1]; /* whom that vote was for; "" = unknown */
    int64_t promise_ms;                     /* how long such a vote binds */
    uint64_t echo_us;                       /* the stamp it echoed, after a clean stop */
    int64_t until_ms; /* clean stop: when the promise ends, 0 = none; INT64_MAX = was
                         running. Of this boot's clock: in a file from another boot
                         the reader takes INT64_MAX for all but 0 */
};

struct lg_legion_setup {
    struct lg_slice legion; /* texts are copied */
    struct lg_slice name;   /* this host, at most LG_LEGION_NAME_MAX bytes */
    struct lg_slice uuid;   /* LG_LEGION_UUID_LEN characters */
    struct lg_slice scroll; /* empty = none */
    uint64_t pid;
    uint64_t valor;                 /* 0 = arbiter: votes, is never Lord */
    uint64_t quorum;                /* votes needed to elect; 0 = none, any agreement will do */
    int64_t freq_ms;                /* between announcements; at least 1 */
    int64_t tolerance_ms;           /* silence after which a member has left; at least 1 */
    int64_t skew_tolerance_s;       /* how far a member's wall clock may be from ours */
    int64_t death_on_lord_error_ms; /* a failed lord phase suspends us so long; 0 = never */
    unsigned phases;                /* bit 1 << kind: the phase has hooks to run */
    unsigned members_max;           /* 0 = LG_MEMBERS_MAX */
    enum lg_legion_safety safe;
    int64_t start_wait_ms;    /* of a start without memory; 0 = LG_LEGION_START_WAIT_MS */
    int64_t unlord_grace_ms;  /* 0 = a third of the smallest promise */
    int64_t preempt_delay_ms; /* able to stand for so long before a worse Lord gives way */
    bool nopreempt;           /* never makes a worse Lord give way */
    unsigned drift_ppm;       /* 0 = LG_LEGION_DRIFT_PPM */
};

/* ---- What happens to it ------------------------------------------------------ */

enum lg_legion_event_kind {
    LG_EVENT_START,     /* first, once; `memory`, NULL = there is no file */
    LG_EVENT_RECEIVE,   /* a decoded message: `message`, `authentic` */
    LG_EVENT_TIMEOUT,   /* the deadline came; harmless at any other time */
    LG_EVENT_HOOK_DONE, /* the phase that was to run has ended, or was killed: `hook_failed` */
    LG_EVENT_MEMBER_HOOK_DONE, /* the same of a member's phase */
    LG_EVENT_RECONFIGURE,      /* `setup`: everything but legion, name, uuid, pid, members_max */
    LG_EVENT_SHUTDOWN,         /* leave: unlord and death phases, then `finished` */
    LG_EVENT_RESIGN,      /* give the title up, do not stand for `hold_ms` (0 = 2 x tolerance) */
    LG_EVENT_MAINTENANCE, /* `on`: give the title up and do not stand until it is off */
    LG_EVENT_CHECK,       /* `on` = the service is well; while it is not, as in maintenance */
    LG_EVENT_COUNT
};

struct lg_legion_event {
    enum lg_legion_event_kind kind;
    int64_t now_ms;
    int64_t wall_ms;                         /* Unix time */
    const struct lg_legion_message *message; /* borrowed for the call */
    bool hook_failed;
    bool authentic; /* RECEIVE: AEAD, or a valid mac; else our keys in it are void */
    bool counted;   /* RECEIVE: no repetition, so that its sender's clock does not matter */
    bool on;
    int64_t hold_ms;
    const struct lg_legion_memory *memory; /* borrowed for the call */
    const struct lg_legion_setup *setup;   /* texts are copied */
};

/* ---- What it wants done -------------------------------------------------------- */

struct lg_legion_who {
    uint64_t valor;
    char uuid[LG_LEGION_UUID_LEN + 1]; /* "" = nobody */
    char name[LG_LEGION_NAME_MAX + 1];
};

/* A row of `lg_legion_note_render` (notes.c) each. */
enum lg_legion_note_kind {
    LG_NOTE_JOINED,      /* who */
    LG_NOTE_LEFT,        /* who, last_seen_s */
    LG_NOTE_DIED,        /* the same */
    LG_NOTE_QUORUM,      /* who = the elected, checksum, votes */
    LG_NOTE_QUORUM_NODE, /* who, last_seen_s, vote_valor, vote_uuid */
    LG_NOTE_QUORUM_END,
    LG_NOTE_ATTEMPTING,
    LG_NOTE_LORD,
    LG_NOTE_NEW_LORD,     /* who: we were Lord, a better one takes over */
    LG_NOTE_LORD_IS,      /* who: somebody else was elected */
    LG_NOTE_NO_QUORUM,    /* votes, quorum */
    LG_NOTE_CANNOT,       /* Lord no more, for want of a quorum */
    LG_NOTE_UNLORDED,     /* the title is given up, the unlord hooks have run */
    LG_NOTE_AWAITING,     /* who: elected, but that one still holds the title */
    LG_NOTE_PAUSED,       /* number = ms we were not running */
    LG_NOTE_PHASE_FAILED, /* phase */
    LG_NOTE_SUSPENDED,    /* number = ms for which we do not stand */
    LG_NOTE_RESUMED,      /* we stand again */
    LG_NOTE_HOOKS_LOST,   /* phase: too many hooks waiting, this one is dropped */
    LG_NOTE_MODE,         /* number = enum lg_legion_mode: whose rules decide from now on */
    LG_NOTE_WAITING,      /* number = ms for which promises of an earlier life may bind */
    LG_NOTE_STEPS_DOWN,   /* number = enum lg_legion_reason */
    LG_NOTE_LAPSED,       /* the title is over, its unlord hooks did not succeed: an alarm */
    LG_NOTE_QUORUM_IS,    /* who, quorum: a member has another quorum than ours */
    LG_NOTE_COUNT
};

/* Whose rules decide. */
enum lg_legion_mode {
    LG_MODE_CLASSICAL, /* uWSGI's */
    LG_MODE_MIXED,     /* uWSGI's, while a member without our keys is alive; promises are kept */
    LG_MODE_SAFE,      /* promises and leases */
};

/* Why a Lord gives the title up of its own accord, and does not stand. */
enum lg_legion_reason {
    LG_REASON_NONE,
    LG_REASON_RESIGNED,
    LG_REASON_MAINTENANCE,
    LG_REASON_CHECK,
    LG_REASON_MIXED, /* a member without our keys has come */
    LG_REASON_VALOR, /* an arbiter, after RECONFIGURE */
    LG_REASON_RULES, /* RECONFIGURE wants uWSGI's rules: legion-safe, or a quorum below 2 */
    LG_REASON_COUNT
};

struct lg_legion_note {
    enum lg_legion_note_kind kind;
    enum lg_legion_phase_kind phase;
    struct lg_legion_who who;
    uint64_t votes, quorum, checksum, vote_valor;
    char vote_uuid[LG_LEGION_UUID_LEN + 1];
    int64_t last_seen_s; /* Unix time */
    int64_t number;
};

struct lg_legion_phase {
    enum lg_legion_phase_kind kind;
    struct lg_legion_who who;  /* node-joined, node-left: whom it is about */
    struct lg_legion_who lord; /* the Lord as we know it, for the environment */
    uint64_t epoch;            /* of the title; 0 without one */
};

/* Why a message was not taken in. */
enum lg_legion_refusal {
    LG_REFUSED_NOT,    /* it was */
    LG_REFUSED_OWN,    /* our own, back from the group: not worth a word */
    LG_REFUSED_LEGION, /* of another legion */
    LG_REFUSED_SKEW,   /* its clock is too far from ours */
    LG_REFUSED_STALE,  /* older than what we last heard of the member: late, twice, replayed */
    LG_REFUSED_FULL,   /* no room for another member */
    LG_REFUSED_UNSAFE, /* without our keys: legion-safe = on, or of a member that has them */
};

/* Written by lg_legion_step; `notes` and `note_max` are the caller's and set
 * once. Do in this order: persist, log notes, kill, publish, run, announce or
 * answer. A title that others may read before `persist` is on disk, or a message
 * sent before, breaks the promise. */
struct lg_legion_update {
    struct lg_legion_note *notes;
    size_t note_max;
    size_t note_count;
    size_t notes_lost; /* did not fit */
    enum lg_legion_refusal refusal;
    bool kill_hooks; /* end the running phase now; HOOK_DONE is owed all the same */
    bool run_hooks;  /* start `phase`; HOOK_DONE is owed when it ends */
    struct lg_legion_phase phase;
    bool run_member_hooks; /* start `member_phase` beside it; MEMBER_HOOK_DONE is owed. What
                              still runs when `finished` is the caller's to end */
    struct lg_legion_phase member_phase; /* node-joined or node-left */
    bool persist; /* write `memory` to the state file and sync it, first of all */
    struct lg_legion_memory memory;
    bool announce; /* send `message` to every node; slices live until the next step */
    bool answer;   /* send `message` to the member `answer_to` only; never with `announce` */
    struct lg_legion_who answer_to;
    struct lg_legion_message message;
    bool finished;       /* after SHUTDOWN: nothing is left to do */
    int64_t deadline_ms; /* TIMEOUT is due then; INT64_MAX = never */
};

/* A good note_max for that many members. */
#define LG_LEGION_NOTES_FOR(members) (2 * (size_t)(members) + 16)

/* 0; -LG_E_INVALID when the setup is out of its ranges; -LG_E_NOMEM. */
int lg_legion_new(const struct lg_legion_setup *setup, struct lg_legion **ret_legion) LG_MUST_USE;
void lg_legion_free(struct lg_legion *legion);

/* Feeds one event. 0, or -LG_E_INVALID for an event that makes no sense now
 * (nothing has changed then). *update is written in either case. */
int lg_legion_step(struct lg_legion *legion, const struct lg_legion_event *event,
    struct lg_legion_update *update) LG_MUST_USE;

/* ---- What it looks like ------------------------------------------------------------ */

enum lg_legion_role {
    LG_ROLE_IDLE,     /* not started */
    LG_ROLE_FOLLOWER, /* votes */
    LG_ROLE_RISING,   /* elected; lord hooks run */
    LG_ROLE_LORD,     /* lord hooks have run */
    LG_ROLE_FALLING,  /* gives the title up; unlord hooks run */
    LG_ROLE_ENDING,   /* death hooks run */
    LG_ROLE_ENDED,
    LG_ROLE_COUNT
};

struct lg_legion_state {
    enum lg_legion_role role;
    uint64_t checksum;
    uint64_t votes;             /* of the last tally; 0 = members disagree */
    bool quorate;               /* the last tally was enough; safe mode: there is a Lord */
    uint64_t epoch;             /* of the title from RISING to FALLING; else 0 */
    int64_t title_s;            /* since when the title is ours, Unix time; else 0 */
    int64_t title_grace_ms;     /* so long before that unlord hooks begin, at the latest */
    int64_t title_until_ms;     /* the title is void from then on, whatever happens to us;
                                   with a lease (safe mode) not even the core takes it further
                                   once it has passed. 0 without a title */
    int64_t suspended_until_ms; /* we do not stand before; 0 = we do */
    struct lg_legion_who vote;  /* whom we vote for */
    struct lg_legion_who lord;  /* whom the last quorum elected; "" = nobody now */
    uint64_t lord_epoch;        /* of its title; 0 = unknown */
    enum lg_legion_mode mode;
    enum lg_legion_reason reason; /* why we do not stand, if we should otherwise */
    int64_t held_until_ms;        /* with LG_REASON_RESIGNED: when that is over; else 0 */
    int64_t waiting_until_ms;     /* start-up: neither votes nor stands before */
    uint64_t reach;               /* nodes in two-way contact, us included */
    uint64_t stand;               /* the epoch we would take votes for; 0 = do not stand */
    uint64_t promised_epoch;      /* the promise that binds us; 0 = none */
    char promised_uuid[LG_LEGION_UUID_LEN + 1];
    int64_t promised_until_ms;
};

struct lg_legion_member {
    struct lg_legion_who who;
    uint64_t checksum;
    uint64_t vote_valor;
    char vote_uuid[LG_LEGION_UUID_LEN + 1];
    int64_t seen_ms;
    int64_t seen_s;             /* Unix time */
    int64_t unix_s;             /* the member's own clock then */
    int64_t lord_s;             /* what it says of its own title */
    bool safe;                  /* it has our keys; the rest is 0 without them */
    uint64_t id;                /* lg_legion_id of its uuid */
    uint64_t stamp_us, echo_us; /* its newest stamp; the newest of ours it has heard */
    uint64_t heard_us;          /* the last echo_us that was not 0, for people */
    int64_t promise_ms;
    uint64_t quorum, stand, reach, title, released_us, voted;
    uint64_t vote_epoch, vote_echo_us; /* of its promise to us; 0 = none */
    int64_t vote_promise_ms;
    int64_t answered_ms; /* when we last answered it */
    uint32_t echo_place; /* of ours among its echoes, the last time */
};

/* Both live until the next step. */
const struct lg_legion_state *lg_legion_state(const struct lg_legion *legion);
const struct lg_legion_member *lg_legion_members(const struct lg_legion *legion, size_t *ret_count);

#endif
