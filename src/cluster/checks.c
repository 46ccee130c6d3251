/* The health checks of one legion, run. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/checks.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LEFT_MS 60000 /* for a killed command to go, before the next one starts */

_Static_assert(LG_CHECK_WELL == LG_SHM_CHECK_WELL, "what the master reads");

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Results ---------------------------------------------------------------------------- */

static void say(const struct lg_checks *checks, const struct lg_check *check, bool is_first)
{
    bool well = check->state.verdict == LG_CHECK_WELL;
    unsigned needed = well ? check->plan.rise : check->plan.fall;
    char row[40] = "its first result";
    if (!is_first)
        snprintf(row, sizeof row, "%u time%s in a row", needed, needed == 1 ? "" : "s");
    lg_log(well ? LG_LOG_INFO : LG_LOG_WARN, "legion", "%s: the check \"%s\" is %s: it %s (%s)",
        checks->legion, check->plan.name.ptr, well ? "well" : "unwell", check->result, row);
}

static void take(struct lg_checks *checks, struct lg_check *check, bool good)
{
    bool is_first = check->state.verdict == LG_CHECK_UNKNOWN;
    if (!lg_check_take(&check->state, good, check->plan.fall, check->plan.rise))
        return;
    check->changed_s = (int64_t)time(NULL);
    say(checks, check, is_first);
}

/* ---- Built-in ones ------------------------------------------------------------------------ */

static bool look_at_workers(const struct lg_checks *checks, struct lg_check *check)
{
    unsigned count = lg_shm_workers_serving(checks->shm, monotonic_ms());
    snprintf(check->result, sizeof check->result, "found %u worker%s that accept%s", count,
        count == 1 ? "" : "s", count == 1 ? "s" : "");
    return count > 0;
}

static bool look_at_plugin(const struct lg_checks *checks, struct lg_check *check)
{
    struct lg_shm_health health;
    lg_shm_health(checks->shm, check->plan.name, monotonic_ms(), &health);
    if (health.workers == 0)
        snprintf(check->result, sizeof check->result, "found no worker that accepts");
    else if (health.told == 0)
        snprintf(check->result, sizeof check->result, "found nothing of that name in any worker");
    else if (health.ill)
        snprintf(check->result, sizeof check->result, "found %.60s unwell in %u of %u workers",
            health.first, health.ill, health.told);
    else
        snprintf(check->result, sizeof check->result, "found all well in %u worker%s", health.told,
            health.told == 1 ? "" : "s");
    return health.told > 0 && health.ill == 0;
}

/* ---- Commands ------------------------------------------------------------------------------ */

static void start(
    struct lg_checks *checks, struct lg_check *check, const struct lg_hook_env *env, int64_t now_ms)
{
    int fd = lg_outputs_add(checks->outputs, checks->legion, "check");
    int err = lg_hook_spawn(check->plan.argument.ptr, env, fd, NULL, &check->pid);
    int why = errno;
    if (fd >= 0)
        close(fd);
    check->timed_out = false;
    check->kill_ms = now_ms + check->plan.timeout_ms;
    if (!err)
        return;
    check->pid = 0;
    snprintf(check->result, sizeof check->result, "could not be started: %s", strerror(why));
    take(checks, check, false);
}

/* What waits for a disk or a file system that hangs is not ended by SIGKILL: with
 * one more of that kind at each run there would soon be no process left for hooks.
 * But not for ever: what is wrong with one may be over for the next. */
static bool is_left(struct lg_check *check, int64_t now_ms)
{
    bool is_gone = check->left && lg_hook_is_gone(check->left);
    if (is_gone || now_ms >= check->kill_ms + LEFT_MS)
        check->left = 0;
    return check->left != 0;
}

static void wait_for_end(struct lg_checks *checks, struct lg_check *check, int64_t now_ms)
{
    int64_t mercy_ms = check->kill_ms + check->plan.every_ms;
    if (now_ms < mercy_ms) { /* it was killed this moment */
        check->due_ms = mercy_ms;
        return;
    }
    snprintf(check->result, sizeof check->result, "took longer than %lld ms, and cannot be ended",
        (long long)check->plan.timeout_ms);
    take(checks, check, false);
}

static void run(
    struct lg_checks *checks, struct lg_check *check, const struct lg_hook_env *env, int64_t now_ms)
{
    check->due_ms = now_ms + check->plan.every_ms;
    if (is_left(check, now_ms))
        wait_for_end(checks, check, now_ms);
    else if (check->plan.kind == LG_CHECK_CMD)
        start(checks, check, env, now_ms);
    else if (check->plan.kind == LG_CHECK_WORKERS)
        take(checks, check, look_at_workers(checks, check));
    else
        take(checks, check, look_at_plugin(checks, check));
}

static void stop_late(struct lg_check *check, int64_t now_ms)
{
    if (check->timed_out || now_ms < check->kill_ms)
        return;
    check->timed_out = true;
    kill(-check->pid, SIGKILL);
}

void lg_checks_tick(struct lg_checks *checks, const struct lg_hook_env *env, int64_t now_ms)
{
    for (size_t i = 0; i < checks->count; i++) {
        struct lg_check *check = &checks->all[i];
        if (check->pid > 0)
            stop_late(check, now_ms);
        else if (!checks->ended && now_ms >= check->due_ms)
            run(checks, check, env, now_ms);
    }
}

int64_t lg_checks_deadline_ms(const struct lg_checks *checks)
{
    int64_t at_ms = INT64_MAX;
    for (size_t i = 0; i < checks->count; i++) {
        const struct lg_check *check = &checks->all[i];
        int64_t due_ms = checks->ended ? INT64_MAX : check->due_ms;
        if (check->pid > 0)
            due_ms = check->timed_out ? INT64_MAX : check->kill_ms;
        at_ms = due_ms < at_ms ? due_ms : at_ms;
    }
    return at_ms;
}

bool lg_checks_reaped(struct lg_checks *checks, pid_t pid, int status)
{
    struct lg_check *check = NULL;
    char text[64];
    for (size_t i = 0; i < checks->count && !check; i++)
        if (pid > 0 && checks->all[i].pid == pid)
            check = &checks->all[i];
    if (!check)
        return false;
    check->pid = 0;
    check->left = check->timed_out ? pid : 0;
    kill(-pid, SIGKILL); /* what it left behind: the next one would meet it */
    if (checks->ended)
        return true;
    if (check->timed_out)
        snprintf(check->result, sizeof check->result, "took longer than %lld ms",
            (long long)check->plan.timeout_ms);
    else
        snprintf(check->result, sizeof check->result, "%s", lg_hook_status_text(status, text));
    take(checks, check, status == 0 && !check->timed_out);
    return true;
}

static void stop(struct lg_check *check)
{
    if (check->pid > 0)
        kill(-check->pid, SIGKILL);
}

void lg_checks_end(struct lg_checks *checks)
{
    checks->ended = true;
    for (size_t i = 0; i < checks->count; i++)
        stop(&checks->all[i]);
}

/* ---- From one plan to the next --------------------------------------------------------------- */

static bool is_in(const struct lg_check *check, const struct lg_legion_plan *plan)
{
    for (size_t i = 0; i < plan->check_count; i++)
        if (lg_slice_eq(plan->checks[i].name, check->plan.name))
            return true;
    return false;
}

static struct lg_check follow(
    const struct lg_checks *checks, const struct lg_check_plan *plan, bool is_start, int64_t now_ms)
{
    struct lg_check next = {.plan = *plan, .due_ms = now_ms};
    for (size_t i = 0; i < checks->count; i++)
        if (lg_slice_eq(checks->all[i].plan.name, plan->name)) {
            next = checks->all[i];
            next.plan = *plan;
            if (next.due_ms > now_ms + plan->every_ms)
                next.due_ms = now_ms + plan->every_ms;
            return next;
        }
    next.state.verdict = is_start ? LG_CHECK_UNKNOWN : LG_CHECK_WELL;
    if (plan->kind != LG_CHECK_CMD) /* workers are started after us */
        next.due_ms += plan->every_ms;
    return next;
}

void lg_checks_set(
    struct lg_checks *checks, const struct lg_legion_plan *plan, bool is_start, int64_t now_ms)
{
    struct lg_check next[LG_CHECKS_MAX];
    for (size_t i = 0; i < plan->check_count; i++)
        next[i] = follow(checks, &plan->checks[i], is_start, now_ms);
    for (size_t i = 0; i < checks->count; i++)
        if (!is_in(&checks->all[i], plan))
            stop(&checks->all[i]);
    checks->count = plan->check_count;
    memcpy(checks->all, next, checks->count * sizeof *next);
}

bool lg_checks_well(const struct lg_checks *checks)
{
    for (size_t i = 0; i < checks->count; i++)
        if (checks->all[i].state.verdict != LG_CHECK_WELL)
            return false;
    return true;
}

void lg_checks_publish(const struct lg_checks *checks, struct lg_shm_legion *out)
{
    out->check_count = (uint32_t)checks->count;
    for (size_t i = 0; i < checks->count; i++) {
        const struct lg_check *check = &checks->all[i];
        struct lg_shm_check *to = &out->checks[i];
        snprintf(
            to->name, sizeof to->name, "%.*s", (int)check->plan.name.len, check->plan.name.ptr);
        to->verdict = (uint32_t)check->state.verdict;
        to->changed_s = check->changed_s;
        memcpy(to->result, check->result, sizeof to->result);
    }
}
