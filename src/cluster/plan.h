/* Inside cluster/: what the configuration says about legions, read and checked.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_PLAN_H
#define LG_CLUSTER_PLAN_H

#include "base/arena.h"
#include "base/limits.h"
#include "cluster/address.h"
#include "cluster/check.h"
#include "cluster/seal.h"
#include "conf/conf.h"
#include "legion/legion.h"

#define LG_HOOKS_MAX    64  /* of one legion */
#define LG_CONTROL_SIZE 108 /* of a unix socket's address */

enum lg_action {
    LG_ACTION_CMD, /* cmd: and exec:, through /bin/sh -c */
    LG_ACTION_LOG,
    LG_ACTION_SIGNAL, /* these two are calls to the master */
    LG_ACTION_ALARM,
};

#define LG_LEGION_ALARM                                                                            \
    "legion" /* where there is one of that name it is raised for a title that                      \
                could not be given up */

struct lg_hook {
    enum lg_legion_phase_kind phase;
    enum lg_action action;
    const char *text;     /* "cmd:ip addr add ..." */
    const char *argument; /* what follows the colon; of an alarm its message */
    const char *alarm;    /* its name; NULL for other actions */
    uint8_t signal;
};

struct lg_plan_node {
    const char *text;
    struct lg_address address;
};

struct lg_legion_plan {
    struct lg_where where; /* of the defining option */
    const char *name;
    const char *addr_text;
    struct lg_address address;
    uint64_t valor;
    struct lg_slice cipher, iv;
    bool is_aead;
    struct lg_slice secrets[LG_SECRETS_MAX]; /* the own one first */
    size_t secret_count;
    uint64_t quorum;
    bool majority;
    struct lg_where quorum_where;
    const char *scroll; /* "" = none */
    struct lg_where scroll_where;
    size_t node_count;
    struct lg_plan_node nodes[LG_NODES_MAX];
    size_t hook_count;
    struct lg_hook hooks[LG_HOOKS_MAX];
    unsigned phases; /* bit 1 << kind: there are hooks */
    size_t check_count;
    struct lg_check_plan checks[LG_CHECKS_MAX]; /* texts end with a NUL */
};

struct lg_cluster_plan {
    struct lg_arena arena; /* holds every text: the configuration may go */
    size_t count;
    struct lg_legion_plan *legions[LG_LEGIONS_MAX];
    int64_t freq_ms, tolerance_ms, skew_tolerance_ms, death_on_lord_error_ms, hook_timeout_ms;
    enum lg_legion_safety safe;
    const char *state_path;  /* folder or file; NULL = none */
    const char *record_path; /* folder; NULL = none */
    uint64_t record_max;     /* bytes of both files */
    int64_t start_wait_ms, unlord_grace_ms, preempt_delay_ms;
    bool nopreempt;
    unsigned drift_ppm;
    const char *control; /* where operators' commands come; NULL = nowhere */
    bool has_legion_alarm;
    bool realtime;
    size_t scroll_max, scrolls_max; /* bytes of one, of all */
    int ttl, loop;
};

/* Where a plan's faults go. */
struct lg_plan_report {
    struct lg_conf *conf; /* lg_conf_report; NULL = the log */
    unsigned errors;
};

/* Reads every legion option. The plan is filled as far as it can be; true when
 * no error was reported. Free it in either case. */
bool lg_cluster_plan_read(
    struct lg_cluster_plan *plan, const struct lg_conf *conf, struct lg_plan_report *report);
void lg_cluster_plan_free(struct lg_cluster_plan *plan);
/* What the core is told of a legion, without name, uuid and pid: those are the
 * process's. Texts are the plan's. */
struct lg_legion_setup lg_cluster_plan_setup(
    const struct lg_cluster_plan *plan, const struct lg_legion_plan *legion);
/* legion-control of `conf`, or the place it has by default; "" = off, or there is
 * no legion. False when it is none, with the fault in `why`. */
bool lg_cluster_plan_control(
    const struct lg_conf *conf, char out[LG_CONTROL_SIZE], char why[LG_WHY_SIZE]);
void lg_cluster_plan_say(struct lg_plan_report *report, enum lg_diag_level level,
    struct lg_where where, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
