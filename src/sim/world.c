/* Time and nodes of a simulated legion. Pure; depends on base and legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/internal.h"

#include <stdio.h>

#define MILLION 1000000
#define WALL_MS 1700000000000

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

/* xoshiro256**: public domain, by Blackman and Vigna. */
uint64_t lg_sim_random(struct lg_sim *sim, uint64_t below)
{
    uint64_t *s = sim->random;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return below ? result % below : 0;
}

void lg_sim_push(struct lg_sim *sim, struct lg_sim_event event)
{
    int err = lg_sim_heap_push(&sim->heap, event);
    if (!err)
        return;
    sim->err = err;
    lg_sim_unref(sim, event.packet);
}

/* ---- Clocks ---------------------------------------------------------------------- */

/* As its owner reads it: whole milliseconds. */
static int64_t clock_ms(const struct lg_sim_actor *actor, int64_t at_us)
{
    return (actor->clock_us + at_us + at_us * actor->model.rate_ppm / MILLION) / 1000;
}

/* The first true time at which the clock shows `ms`. */
static int64_t true_us(const struct lg_sim_actor *actor, int64_t ms)
{
    if (ms >= INT64_MAX / 4000)
        return INT64_MAX;
    int64_t ahead_us = ms * 1000 - actor->clock_us;
    int64_t at_us = ahead_us * 1000 / (MILLION + actor->model.rate_ppm) * 1000;
    while (clock_ms(actor, at_us) < ms)
        at_us += 500;
    while (at_us > 0 && clock_ms(actor, at_us - 50) >= ms)
        at_us -= 50;
    return at_us;
}

static int64_t wall_ms(const struct lg_sim *sim, const struct lg_sim_actor *actor)
{
    return WALL_MS + sim->now_us / 1000 + actor->wall_ms;
}

/* ---- The promise ------------------------------------------------------------------- */

bool lg_sim_holds(const struct lg_sim *sim, size_t at, int64_t at_us)
{
    const struct lg_sim_actor *actor = &sim->actors[at];
    return actor->titled && actor->title_until_us > at_us && actor->frozen_until_us <= at_us;
}

/* One that wakes and is Lord by its own clock, while another is. */
static void count_thawed(struct lg_sim *sim, int64_t until_us)
{
    int64_t ends_us[2] = {sim->now_us, sim->now_us}; /* of titles, thawed or not */
    for (size_t i = 0; i < sim->titled_count; i++) {
        const struct lg_sim_actor *actor = &sim->actors[sim->titled[i]];
        int64_t *end_us = &ends_us[actor->thawed];
        if (lg_sim_holds(sim, sim->titled[i], sim->now_us) && actor->title_until_us > *end_us)
            *end_us = actor->title_until_us;
    }
    int64_t end_us = ends_us[0] < ends_us[1] ? ends_us[0] : ends_us[1];
    if (end_us > until_us)
        end_us = until_us;
    sim->verdict.thawed_us += end_us - sim->now_us;
}

void lg_sim_elapse(struct lg_sim *sim, int64_t until_us)
{
    int64_t lord_until_us = sim->now_us;
    for (size_t i = 0; i < sim->titled_count; i++)
        if (lg_sim_holds(sim, sim->titled[i], sim->now_us) &&
            sim->actors[sim->titled[i]].title_until_us > lord_until_us)
            lord_until_us = sim->actors[sim->titled[i]].title_until_us;
    if (lord_until_us > until_us)
        lord_until_us = until_us;
    struct lg_sim_verdict *verdict = &sim->verdict;
    if (sim->titled_count > 1)
        count_thawed(sim, until_us);
    verdict->lord_us += lord_until_us - sim->now_us;
    if (lord_until_us > sim->now_us)
        sim->lordless_since_us = lord_until_us;
    if (until_us - sim->lordless_since_us > verdict->longest_lordless_us)
        verdict->longest_lordless_us = until_us - sim->lordless_since_us;
    sim->now_us = until_us;
}

static void new_title(struct lg_sim *sim, size_t at, uint64_t epoch)
{
    struct lg_sim_verdict *verdict = &sim->verdict;
    lg_sim_tell(sim, (int)at, "LORD, epoch %llu, until %.3f", (unsigned long long)epoch,
        (double)sim->actors[at].title_until_us / MILLION);
    if (verdict->titles && epoch == verdict->last_epoch)
        verdict->epochs_twice++;
    if (verdict->titles && epoch < verdict->last_epoch)
        verdict->epochs_back++;
    if (verdict->titles && epoch <= verdict->last_epoch)
        lg_sim_tell(sim, (int)at, "EPOCH NOT NEW: %llu after %llu", (unsigned long long)epoch,
            (unsigned long long)verdict->last_epoch);
    verdict->last_epoch = epoch;
    verdict->titles++;
    verdict->last_title_us = sim->now_us;
}

/* Told once for each title; counted at every event. */
static void tell_two(struct lg_sim *sim, size_t at, size_t other, bool thawed)
{
    struct lg_sim_actor *actor = &sim->actors[at], *others = &sim->actors[other];
    if (!actor->beside || !others->beside)
        lg_sim_tell(sim, (int)at, "%s: %.*s is Lord too (epochs %llu and %llu)",
            thawed ? "THAWED" : "TWO LORDS", NAME_OF(sim, other), (unsigned long long)actor->epoch,
            (unsigned long long)others->epoch);
    actor->beside = others->beside = true;
}

static void check_promise(struct lg_sim *sim, size_t at)
{
    if (!lg_sim_holds(sim, at, sim->now_us))
        return;
    for (size_t k = 0; k < sim->titled_count; k++) {
        size_t i = sim->titled[k];
        if (i == at || !lg_sim_holds(sim, i, sim->now_us))
            continue;
        bool thawed = sim->actors[at].thawed || sim->actors[i].thawed;
        tell_two(sim, at, i, thawed);
        if (!thawed && sim->verdict.two_lords++ == 0)
            sim->verdict.two_lords_at_us = sim->now_us;
    }
}

static void set_titled(struct lg_sim *sim, size_t at, bool titled)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    if (titled && !actor->titled)
        sim->titled[sim->titled_count++] = at;
    for (size_t i = 0; i < sim->titled_count && !titled; i++)
        if (sim->titled[i] == at)
            sim->titled[i] = sim->titled[--sim->titled_count];
    actor->titled = titled;
    if (!titled)
        actor->thawed = actor->beside = false;
}

/* What shared memory shows from now on. */
static void publish(struct lg_sim *sim, size_t at)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    const struct lg_legion_state *state = lg_legion_state(actor->legion);
    bool held = actor->titled;
    set_titled(sim, at, state->role >= LG_ROLE_RISING && state->role <= LG_ROLE_FALLING);
    if (!actor->titled) {
        if (held)
            lg_sim_tell(sim, (int)at, "Lord no more");
        return;
    }
    actor->title_until_us = true_us(actor, state->title_until_ms);
    if (!held || actor->epoch != state->epoch)
        new_title(sim, at, state->epoch);
    actor->epoch = state->epoch;
    check_promise(sim, at);
}

/* ---- A step ---------------------------------------------------------------------------- */

static void run_hooks(struct lg_sim *sim, size_t at, enum lg_legion_phase_kind kind, bool of_member)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    const struct lg_sim_hook *hook = &actor->model.hooks[kind];
    int64_t spread_us = (hook->max_ms - hook->min_ms) * 1000;
    int64_t took_us = hook->min_ms * 1000 + (int64_t)lg_sim_random(sim, (uint64_t)spread_us + 1);
    *(of_member ? &actor->member_hook_runs : &actor->hook_runs) = true;
    uint32_t run = ++*(of_member ? &actor->member_hook : &actor->hook);
    lg_sim_push(sim, (struct lg_sim_event){.at_us = sim->now_us + took_us,
                         .kind = LG_SIM_HOOK_END,
                         .node = (uint32_t)at,
                         .life = actor->life,
                         .hook = run,
                         .of_member = of_member,
                         .failed = lg_sim_random(sim, 1000) < hook->fail_permille});
}

static void set_timer(struct lg_sim *sim, size_t at, int64_t deadline_ms)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    actor->deadline_ms = deadline_ms;
    int64_t at_us = true_us(actor, deadline_ms);
    if (at_us < sim->now_us)
        at_us = sim->now_us;
    if (at_us == INT64_MAX || at_us >= actor->timer_us)
        return;
    actor->timer_us = at_us;
    lg_sim_push(
        sim, (struct lg_sim_event){
                 .at_us = at_us, .kind = LG_SIM_TIMER, .node = (uint32_t)at, .life = actor->life});
}

static void obey(struct lg_sim *sim, size_t at, const struct lg_legion_update *update)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    if (update->persist && !actor->model.forgets) {
        actor->stored = true;
        actor->memory = update->memory;
    }
    lg_sim_tell_update(sim, at, update);
    if (update->kill_hooks)
        lg_sim_push(sim, (struct lg_sim_event){.at_us = sim->now_us + 1000,
                             .kind = LG_SIM_HOOK_END,
                             .node = (uint32_t)at,
                             .life = actor->life,
                             .hook = actor->hook,
                             .failed = true});
    if (update->run_hooks)
        run_hooks(sim, at, update->phase.kind, false);
    if (update->run_member_hooks)
        run_hooks(sim, at, update->member_phase.kind, true);
    publish(sim, at);
    if (update->announce || update->answer)
        lg_sim_send(sim, at, &update->message, update->answer ? &update->answer_to : NULL);
    if (update->finished) {
        lg_sim_tell(sim, (int)at, "has ended");
        lg_legion_free(actor->legion);
        actor->legion = NULL;
        actor->timer_us = INT64_MAX;
        return;
    }
    set_timer(sim, at, update->deadline_ms);
}

void lg_sim_step(struct lg_sim *sim, size_t at, const struct lg_legion_event *event)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    struct lg_legion_event timed = *event;
    struct lg_legion_update update = {.notes = sim->notes, .note_max = sim->note_max};
    timed.now_ms = clock_ms(actor, sim->now_us);
    if (sim->spec.stale_clock && event->kind == LG_EVENT_RECEIVE && actor->stale_ms &&
        sim->now_us < actor->paused_until_us + 50000)
        timed.now_ms = actor->stale_ms;
    timed.wall_ms = wall_ms(sim, actor);
    timed.authentic = true;
    int err = lg_legion_step(actor->legion, &timed, &update);
    if (err && !sim->err)
        sim->err = err;
    obey(sim, at, &update);
}

static void make_uuid(struct lg_sim *sim, struct lg_sim_actor *actor)
{
    uint64_t a = lg_sim_random(sim, UINT64_MAX), b = lg_sim_random(sim, UINT64_MAX);
    snprintf(actor->uuid, sizeof actor->uuid, "%08x-%04x-4%03x-8%03x-%012llx",
        (unsigned)(a & 0xffffffff), (unsigned)(a >> 32 & 0xffff), (unsigned)(a >> 48 & 0xfff),
        (unsigned)(b >> 48 & 0xfff), (unsigned long long)(b & 0xffffffffffff));
}

void lg_sim_boot(struct lg_sim *sim, size_t at)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    if (actor->legion)
        return;
    make_uuid(sim, actor);
    struct lg_legion_setup setup = actor->model.setup;
    setup.uuid = lg_slice_of(actor->uuid);
    int err = lg_legion_new(&setup, &actor->legion);
    if (err) {
        sim->err = err;
        return;
    }
    if (sim->spec.mutate)
        sim->spec.mutate(actor->legion, sim->spec.mutant);
    actor->life++;
    actor->hook_runs = actor->member_hook_runs = false;
    actor->paused_until_us = 0;
    actor->frozen_until_us = 0;
    actor->untold = false;
    actor->stale_ms = 0;
    actor->timer_us = INT64_MAX;
    lg_sim_tell(sim, (int)at, "starts, uuid %s", actor->uuid);
    const struct lg_legion_event start = {
        .kind = LG_EVENT_START, .memory = actor->stored ? &actor->memory : NULL};
    lg_sim_step(sim, at, &start);
}

void lg_sim_kill(struct lg_sim *sim, size_t at, bool host)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    lg_legion_free(actor->legion);
    actor->legion = NULL;
    actor->life++;
    actor->timer_us = INT64_MAX;
    if (!host)
        return;
    set_titled(sim, at, false);
    /* Another boot: the clock begins again, and nothing can be compared with before. */
    actor->clock_us = (int64_t)lg_sim_random(sim, 100 * MILLION) - sim->now_us -
                      sim->now_us * actor->model.rate_ppm / MILLION;
    if (actor->memory.until_ms)
        actor->memory.until_ms = INT64_MAX;
}

/* ---- What happens ------------------------------------------------------------------------- */

/* A paused node reads what came once it wakes, one after the other. */
static bool put_off(struct lg_sim *sim, const struct lg_sim_event *event)
{
    struct lg_sim_actor *actor = &sim->actors[event->node];
    if (!actor->legion || actor->paused_until_us <= sim->now_us)
        return false;
    struct lg_sim_event later = *event;
    later.at_us = actor->paused_until_us;
    if (event->kind == LG_SIM_TIMER)
        later.at_us += (int64_t)lg_sim_random(sim, 2000);
    lg_sim_push(sim, later);
    return true;
}

static void end_hooks(struct lg_sim *sim, const struct lg_sim_event *event)
{
    struct lg_sim_actor *actor = &sim->actors[event->node];
    bool *runs = event->of_member ? &actor->member_hook_runs : &actor->hook_runs;
    if (!*runs || event->hook != (event->of_member ? actor->member_hook : actor->hook))
        return;
    *runs = false;
    const struct lg_legion_event done = {
        .kind = event->of_member ? LG_EVENT_MEMBER_HOOK_DONE : LG_EVENT_HOOK_DONE,
        .hook_failed = event->failed};
    lg_sim_step(sim, event->node, &done);
}

void lg_sim_catch_up(struct lg_sim *sim, size_t at)
{
    struct lg_sim_actor *actor = &sim->actors[at];
    if (!actor->untold || !actor->legion || actor->paused_until_us > sim->now_us)
        return;
    struct lg_legion_setup setup = actor->model.setup;
    setup.uuid = lg_slice_of(actor->uuid);
    actor->untold = false;
    lg_sim_step(sim, at, &(struct lg_legion_event){.kind = LG_EVENT_RECONFIGURE, .setup = &setup});
}

void lg_sim_happen(struct lg_sim *sim, const struct lg_sim_event *event)
{
    struct lg_sim_actor *actor = &sim->actors[event->node];
    struct lg_legion_event happens = {.kind = LG_EVENT_TIMEOUT};
    bool mine = actor->legion && event->life == actor->life;
    sim->verdict.events++;
    if (put_off(sim, event))
        return;
    lg_sim_catch_up(sim, event->node);
    switch (event->kind) {
    case LG_SIM_DELIVER:
        happens.kind = LG_EVENT_RECEIVE;
        happens.message = &event->packet->message;
        if (actor->legion)
            lg_sim_step(sim, event->node, &happens);
        lg_sim_unref(sim, event->packet);
        return;
    case LG_SIM_HOOK_END:
        if (mine)
            end_hooks(sim, event);
        return;
    case LG_SIM_TIMER:
        if (!mine)
            return;
        actor->timer_us = INT64_MAX;
        if (clock_ms(actor, sim->now_us) < actor->deadline_ms)
            set_timer(sim, event->node, actor->deadline_ms);
        else
            lg_sim_step(sim, event->node, &happens);
        return;
    default: /* LG_SIM_BOOT */
        lg_sim_boot(sim, event->node);
    }
}
