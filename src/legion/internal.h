/* Inside legion/: the state of one node.
 *
 * legion.c takes events and keeps time; classical.c and safe.c decide who is
 * Lord, by uWSGI's rules and by promises; ballot.c is the arithmetic of promises
 * and leases; title.c moves between roles; roster.c counts; phases.c sequences
 * hooks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_INTERNAL_H
#define LG_LEGION_INTERNAL_H

#include "legion/legion.h"
#include "legion/mutants.h"
#include "legion/phases.h"
#include "legion/roster.h"

/* A vote given: what binds us. */
struct lg_promise {
    uint64_t epoch; /* 0 = none */
    char uuid[LG_LEGION_UUID_LEN + 1];
    bool own; /* to ourselves */
    uint64_t echo_us;
    int64_t length_ms;
    int64_t until_ms;
};

/* Promises, votes and leases; all void where legion-safe is off. */
struct lg_ballot {
    uint64_t stamp_us;    /* of our last message */
    uint64_t released_us; /* votes echoing up to here are void */

    struct lg_promise promise;
    uint64_t voted; /* the largest epoch ever voted for */
    char voted_for[LG_LEGION_UUID_LEN + 1];
    struct lg_legion_memory stored; /* in the state file, in this life */

    int64_t wait_until_ms;                  /* promises of an earlier life may bind until then */
    char waits_for[LG_LEGION_UUID_LEN + 1]; /* to whom; "" = unknown */
    uint64_t waits_echo_us;                 /* 0 = unknown */

    uint64_t seen;  /* the largest epoch ever heard of */
    uint64_t stand; /* the epoch we take votes for */
    uint64_t reach;
    uint64_t votes; /* that count for us now */
    int64_t lease_ms, grace_ms;
    uint64_t title_stamp_us; /* of our last message before the title */
    int64_t title_grace_ms;  /* of the lease that the title stands on */
    int64_t able_since_ms;   /* INT64_MAX = not able to stand */

    int64_t unlord_until_ms; /* FALLING: unlord hooks are killed then */
    int64_t unlord_retry_ms; /* 0 = unlord hooks need not run again */
    int64_t lordless_ms;     /* since when there is no Lord; 0 = there is */

    bool released; /* in this step: a title or votes, others will want to know */
    bool stirred;  /* in this step: something that an election may hang on */
    size_t voters; /* members whose promise to us we know of */
    bool freed;    /* in this step: from our promise */
    bool lapsed;   /* in this step: our promise to another has run out */
    char lord_spoke[LG_LEGION_UUID_LEN + 1]; /* in this step: one we answer */

    int64_t *ends; /* room for sorting */
    char *echoes;
    size_t echoes_size;
    size_t echoes_from; /* the member whose echo is due next, where not all fit */
};

struct lg_legion {
    struct lg_legion_setup setup; /* its texts point into the buffers below */
    struct lg_legion_who self;
    uint64_t self_id;
    char legion[LG_LEGION_NAME_MAX + 1];
    char scroll[LG_LEGION_SCROLL_MAX];

    struct lg_legion_state state;
    struct lg_roster roster;
    struct lg_phases phases;
    struct lg_ballot ballot;

    int64_t now_ms, wall_ms; /* of this step; now_ms never goes back */
    int64_t start_ms;
    int64_t round_base_ms; /* the first round is counted from here */
    int64_t next_announce_ms;
    int64_t quorate_ms;        /* when the last tally was enough */
    int64_t no_quorum_said_ms; /* when to say so again; 0 = at once */
    int64_t awaiting_until_ms; /* a holder of the title is waited for; 0 = none */
    int64_t hold_until_ms;     /* RESIGN */
    bool heard;                /* somebody, since round_base_ms */
    bool joined;               /* a quorum was seen once */
    bool stopping;             /* SHUTDOWN came */
    bool maintenance, unwell;
    bool aside;        /* suspended for one of those, in the classical election */
    bool received;     /* this step is a message */
    bool tick;         /* this step announces on the timer */
    bool announce_now; /* besides the timer */
    bool announce_dead;

    bool reported; /* the quorum report below was made */
    uint64_t reported_checksum;
    struct lg_legion_who reported_vote;
    enum lg_legion_mutant mutant;
};

/* What may befall a node, whatever its role: columns of the table in title.c. */
enum lg_title_signal {
    LG_SIGNAL_WIN,      /* elected */
    LG_SIGNAL_OUTVOTED, /* another was elected, or is better: `who` */
    LG_SIGNAL_LOST,     /* no quorum any more */
    LG_SIGNAL_QUIT,     /* must not stand any more */
    LG_SIGNAL_LORD_OK,  /* lord hooks have run */
    LG_SIGNAL_LORD_FAILED,
    LG_SIGNAL_UNLORD_OVER,
    LG_SIGNAL_UNLORD_FAILED,
    LG_SIGNAL_LAPSED, /* the lease ended before the unlord hooks did */
    LG_SIGNAL_DEATH_OVER,
    LG_SIGNAL_STOP,
    LG_SIGNAL_COUNT
};

/* ---- title.c ---- */
void lg_title_signal(struct lg_legion *legion, enum lg_title_signal signal,
    const struct lg_legion_who *who, struct lg_legion_update *update);
/* The one about a member. */
void lg_title_member_phase_over(
    struct lg_legion *legion, bool failed, struct lg_legion_update *update);
/* Starts the next phase of either kind, if one waits and none runs. */
void lg_title_pump(struct lg_legion *legion, struct lg_legion_update *update);
/* The running phase has ended. */
void lg_title_phase_over(struct lg_legion *legion, bool failed, struct lg_legion_update *update);
/* RISING or LORD. */
bool lg_title_held(const struct lg_legion *legion);
void lg_title_report_quorum(struct lg_legion *legion, struct lg_legion_update *update);
/* At most once a minute, unless `now`. */
void lg_title_say_no_quorum(
    struct lg_legion *legion, uint64_t votes, bool now, struct lg_legion_update *update);

/* ---- classical.c ---- */
/* Counts votes and draws the consequences. */
void lg_classical_elect(struct lg_legion *legion, struct lg_legion_update *update);

/* ---- ballot.c: docs/legion-protocol.md, rules 1 to 4 and 9 ---- */
int lg_ballot_new(struct lg_legion *legion) LG_MUST_USE;
void lg_ballot_free(struct lg_legion *legion);
void lg_ballot_start(struct lg_legion *legion, const struct lg_legion_memory *memory,
    struct lg_legion_update *update);
/* What a member's message says of stamps, votes and releases, into the member. */
void lg_ballot_take(
    struct lg_legion *legion, struct lg_legion_member *member, const struct lg_legion_ballot *said);
/* A candidate is dead: nothing binds us to it. */
void lg_ballot_bury(struct lg_legion *legion, const char *uuid);
/* Nodes in two-way contact. */
uint64_t lg_ballot_reach(const struct lg_legion *legion);
uint64_t lg_ballot_quorum(const struct lg_legion *legion);
/* Sets votes, lease_ms and grace_ms from the votes that count. */
void lg_ballot_count(struct lg_legion *legion);
/* Votes that count beyond that time. */
uint64_t lg_ballot_votes_after(const struct lg_legion *legion, int64_t at_ms);
/* The epoch we stand for, chosen anew where it must be. */
void lg_ballot_stand(struct lg_legion *legion);
/* Votes, or renews; `member` NULL = for ourselves. Nothing where a promise or an
 * epoch forbids it. */
void lg_ballot_vote(struct lg_legion *legion, const struct lg_legion_member *member,
    struct lg_legion_update *update);
/* Gives back all votes we got. */
void lg_ballot_release(struct lg_legion *legion);
/* Into the message: for all members, or an answer to one. */
void lg_ballot_fill(struct lg_legion *legion, bool answer, struct lg_legion_ballot *ret_ballot);
/* For the state file. `clean` = we end here. */
struct lg_legion_memory lg_ballot_memory(const struct lg_legion *legion, bool clean);

/* ---- safe.c: rules 5 to 8 and 10 ---- */
/* What time alone brings: before the event, so that nothing late undoes it. */
void lg_safe_expire(struct lg_legion *legion, struct lg_legion_update *update);
void lg_safe_elect(struct lg_legion *legion, struct lg_legion_update *update);
/* Beside the classical election: promises are kept. */
void lg_safe_keep(struct lg_legion *legion, struct lg_legion_update *update);
/* Whose rules are to decide, by the setup and the members. */
enum lg_legion_mode lg_safe_wanted_mode(const struct lg_legion *legion);
void lg_safe_mode(struct lg_legion *legion, struct lg_legion_update *update);
/* The one member an answer is due to now, or NULL. */
struct lg_legion_member *lg_safe_answer(struct lg_legion *legion);
int64_t lg_safe_deadline_ms(const struct lg_legion *legion);
/* Publishes the ballot in the state. */
void lg_safe_publish(struct lg_legion *legion);
/* Why we must not stand; LG_REASON_NONE also where we cannot yet. */
enum lg_legion_reason lg_safe_reason(const struct lg_legion *legion);

/* ---- legion.c ---- */
/* When the next round may be counted. */
int64_t lg_legion_round_ms(const struct lg_legion *legion);
/* Gave a failed title up: neither stands nor counts just now. */
bool lg_legion_suspended(const struct lg_legion *legion);
/* A fresh note of *update to fill in; never NULL (a spare when it is full). */
struct lg_legion_note *lg_legion_note(
    struct lg_legion_update *update, enum lg_legion_note_kind kind, struct lg_legion_note *spare);

static inline bool lg_uuid_same(const char *a, const char *b)
{
    return memcmp(a, b, LG_LEGION_UUID_LEN) == 0;
}

#endif
