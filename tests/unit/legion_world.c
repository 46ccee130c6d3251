/* A virtual legion. A queue of timed events; ties in order of insertion.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion_world.h"

#include "legion/notes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENTS_MAX 4096
#define LATENCY_MS 1
#define WALL_MS    1700000000000

enum kind { DELIVER, HOOK_ENDS };

struct event {
    int64_t at_ms;
    uint64_t order;
    enum kind kind;
    size_t node;
    unsigned life; /* of the node; events for an earlier life are void */
    unsigned hook; /* HOOK_ENDS: which run */
    bool of_member;
    bool failed;
    size_t len;
    char *data;
};

struct node {
    struct lg_legion *legion; /* NULL = not running */
    unsigned life;
    unsigned hook, member_hook; /* runs so far */
    bool hook_runs, member_hook_runs;
    int64_t deadline_ms;
    int64_t paused_until_ms;
    int64_t skew_ms;
    struct {
        int64_t ms;
        bool failed;
    } hooks[LG_PHASE_COUNT];
    bool owns; /* lord hooks have begun, unlord hooks have not ended */
    enum lg_legion_phase_kind phase;
    bool stored;
    struct lg_legion_memory memory;
    struct lg_legion_setup model;
    char name[2], uuid[LG_LEGION_UUID_LEN + 1];
};

struct world {
    struct world_setup setup;
    int64_t now_ms;
    uint64_t order;
    struct event events[EVENTS_MAX];
    size_t event_count;
    struct node nodes[WORLD_NODES_MAX];
    bool cut[WORLD_NODES_MAX][WORLD_NODES_MAX];
    size_t overlaps;
    struct lg_buf trace, shown;
    struct lg_legion_note notes[LG_LEGION_NOTES_FOR(WORLD_NODES_MAX)];
};

struct world *world_new(const struct world_setup *setup)
{
    struct world *world = calloc(1, sizeof *world);
    assert(world && setup->count <= WORLD_NODES_MAX);
    world->setup = *setup;
    return world;
}

void world_free(struct world *world)
{
    for (size_t i = 0; i < world->event_count; i++)
        free(world->events[i].data);
    for (size_t i = 0; i < world->setup.count; i++)
        lg_legion_free(world->nodes[i].legion);
    lg_buf_free(&world->trace);
    lg_buf_free(&world->shown);
    free(world);
}

static void push(struct world *world, struct event event)
{
    assert(world->event_count < EVENTS_MAX);
    event.order = world->order++;
    world->events[world->event_count++] = event;
}

static void trace(struct world *world, size_t node, const char *what)
{
    int err = lg_buf_printf(
        &world->trace, "%.3f %c %s\n", (double)world->now_ms / 1000, (int)('a' + node), what);
    assert(!err);
}

/* "joined b": kind and whom it is about. */
static void trace_note(struct world *world, size_t node, const struct lg_legion_note *note)
{
    static const char *const names[LG_NOTE_COUNT] = {
        [LG_NOTE_JOINED] = "joined",
        [LG_NOTE_LEFT] = "left",
        [LG_NOTE_DIED] = "died",
        [LG_NOTE_QUORUM] = "quorum",
        [LG_NOTE_ATTEMPTING] = "attempting",
        [LG_NOTE_LORD] = "LORD",
        [LG_NOTE_NEW_LORD] = "new lord",
        [LG_NOTE_LORD_IS] = "lord is",
        [LG_NOTE_NO_QUORUM] = "no quorum",
        [LG_NOTE_CANNOT] = "cannot",
        [LG_NOTE_UNLORDED] = "unlorded",
        [LG_NOTE_AWAITING] = "awaiting",
        [LG_NOTE_PAUSED] = "paused",
        [LG_NOTE_PHASE_FAILED] = "failed",
        [LG_NOTE_SUSPENDED] = "suspended",
        [LG_NOTE_RESUMED] = "resumed",
        [LG_NOTE_HOOKS_LOST] = "hooks lost",
        [LG_NOTE_MODE] = "mode",
        [LG_NOTE_WAITING] = "waiting",
        [LG_NOTE_STEPS_DOWN] = "steps down",
        [LG_NOTE_LAPSED] = "lapsed",
        [LG_NOTE_QUORUM_IS] = "other quorum",
    };
    char line[128];
    int len = snprintf(line, sizeof line, "%s", names[note->kind] ? names[note->kind] : "");
    if (len == 0)
        return;
    if (note->kind == LG_NOTE_QUORUM || note->kind == LG_NOTE_NO_QUORUM)
        snprintf(line + len, sizeof line - (size_t)len, " %d", (int)note->votes);
    else if (note->kind == LG_NOTE_PHASE_FAILED)
        snprintf(line + len, sizeof line - (size_t)len, " %s", lg_legion_phase_name(note->phase));
    else if (note->kind == LG_NOTE_MODE)
        snprintf(line + len, sizeof line - (size_t)len, " %s",
            note->number == LG_MODE_SAFE    ? "safe"
            : note->number == LG_MODE_MIXED ? "mixed"
                                            : "classical");
    else if (note->kind == LG_NOTE_WAITING)
        snprintf(line + len, sizeof line - (size_t)len, " %d", (int)note->number);
    else if (note->who.name[0])
        snprintf(line + len, sizeof line - (size_t)len, " %.16s", note->who.name);
    trace(world, node, line);
}

static void count_overlap(struct world *world)
{
    unsigned owners = 0;
    for (size_t i = 0; i < world->setup.count; i++)
        owners += world->nodes[i].owns;
    world->overlaps += owners > 1;
}

static void run_hooks(
    struct world *world, size_t at, const struct lg_legion_phase *phase, bool of_member)
{
    struct node *node = &world->nodes[at];
    char line[320];
    snprintf(line, sizeof line, "run %s%s%s", lg_legion_phase_name(phase->kind),
        phase->who.name[0] ? " " : "", phase->who.name);
    trace(world, at, line);
    bool *runs = of_member ? &node->member_hook_runs : &node->hook_runs;
    assert(!*runs); /* never two at once */
    *runs = true;
    unsigned run = ++*(of_member ? &node->member_hook : &node->hook);
    if (!of_member)
        node->phase = phase->kind;
    if (phase->kind == LG_PHASE_LORD) {
        node->owns = true;
        count_overlap(world);
    }
    push(world, (struct event){.at_ms = world->now_ms + node->hooks[phase->kind].ms,
                    .kind = HOOK_ENDS,
                    .node = at,
                    .life = node->life,
                    .hook = run,
                    .of_member = of_member,
                    .failed = node->hooks[phase->kind].failed});
}

static void send_all(struct world *world, size_t from, const struct lg_legion_message *message,
    const struct lg_legion_who *only)
{
    char data[1024];
    size_t len;
    int err = lg_legion_encode(message, data, sizeof data, &len);
    assert(!err);
    if (message->dead)
        trace(world, from, "dead packet");
    for (size_t to = 0; to < world->setup.count; to++) {
        if (world->cut[from][to] || (only && strcmp(only->uuid, world->nodes[to].uuid) != 0))
            continue;
        struct event event = {.at_ms = world->now_ms + LATENCY_MS, .kind = DELIVER, .node = to};
        event.len = len;
        event.data = malloc(len);
        assert(event.data);
        memcpy(event.data, data, len);
        push(world, event);
    }
}

static void obey(struct world *world, size_t at, const struct lg_legion_update *update)
{
    struct node *node = &world->nodes[at];
    assert(update->notes_lost == 0 && !(update->announce && update->answer));
    if (update->persist && !world->setup.forgets) {
        node->stored = true;
        node->memory = update->memory;
    }
    for (size_t i = 0; i < update->note_count; i++)
        trace_note(world, at, &update->notes[i]);
    if (update->kill_hooks) {
        trace(world, at, "kill");
        push(world, (struct event){.at_ms = world->now_ms,
                        .kind = HOOK_ENDS,
                        .node = at,
                        .life = node->life,
                        .hook = node->hook,
                        .failed = true});
    }
    if (update->run_hooks)
        run_hooks(world, at, &update->phase, false);
    if (update->run_member_hooks)
        run_hooks(world, at, &update->member_phase, true);
    if (update->announce)
        send_all(world, at, &update->message, NULL);
    if (update->answer)
        send_all(world, at, &update->message, &update->answer_to);
    node->deadline_ms = update->deadline_ms;
    if (update->finished) {
        trace(world, at, "finished");
        lg_legion_free(node->legion);
        node->legion = NULL;
    }
}

static enum lg_legion_refusal step_event(
    struct world *world, size_t at, struct lg_legion_event event)
{
    struct node *node = &world->nodes[at];
    event.now_ms = world->now_ms;
    event.wall_ms = WALL_MS + world->now_ms + node->skew_ms;
    event.authentic = true;
    struct lg_legion_update update = {
        .notes = world->notes, .note_max = sizeof world->notes / sizeof *world->notes};
    int err = lg_legion_step(node->legion, &event, &update);
    assert(!err);
    obey(world, at, &update);
    return update.refusal;
}

static enum lg_legion_refusal step(struct world *world, size_t at, enum lg_legion_event_kind kind,
    const struct lg_legion_message *message, bool failed)
{
    return step_event(world, at,
        (struct lg_legion_event){.kind = kind, .message = message, .hook_failed = failed});
}

void world_start(struct world *world, size_t at)
{
    struct node *node = &world->nodes[at];
    const struct world_node *model = &world->setup.nodes[at];
    assert(!node->legion);
    node->life++;
    node->hook_runs = node->member_hook_runs = false;
    node->owns = false;
    node->name[0] = (char)('a' + at);
    memcpy(node->uuid, "00000000-0000-4000-8000-000000000000", sizeof node->uuid);
    memset(node->uuid, model->uuid_digit ? model->uuid_digit : node->name[0], 8);
    node->uuid[35] = (char)('0' + (node->life - 1) % 10);
    node->model = (struct lg_legion_setup){
        .legion = LG_SLICE("test"),
        .name = lg_slice_of(node->name),
        .uuid = lg_slice_of(node->uuid),
        .pid = 100 + at,
        .valor = model->valor,
        .quorum = world->setup.quorum,
        .freq_ms = world->setup.freq_ms,
        .tolerance_ms = world->setup.tolerance_ms,
        .skew_tolerance_s = 60,
        .death_on_lord_error_ms = world->setup.death_on_lord_error_ms,
        .phases = model->phases ? model->phases
                                : 1U << LG_PHASE_LORD | 1U << LG_PHASE_UNLORD |
                                      1U << LG_PHASE_DEATH | 1U << LG_PHASE_SETUP,
        .members_max = WORLD_NODES_MAX,
        .safe = model->classical ? LG_SAFE_OFF : world->setup.safe,
        .start_wait_ms = world->setup.start_wait_ms,
        .nopreempt = world->setup.nopreempt,
        .preempt_delay_ms = world->setup.preempt_delay_ms,
        .unlord_grace_ms = world->setup.unlord_grace_ms,
    };
    int err = lg_legion_new(&node->model, &node->legion);
    assert(!err);
    step_event(world, at,
        (struct lg_legion_event){
            .kind = LG_EVENT_START, .memory = node->stored ? &node->memory : NULL});
}

void world_start_all(struct world *world)
{
    for (size_t i = 0; i < world->setup.count; i++)
        world_start(world, i);
}

void world_kill(struct world *world, size_t at)
{
    struct node *node = &world->nodes[at];
    trace(world, at, "is killed");
    lg_legion_free(node->legion);
    node->legion = NULL;
    node->owns = false;
    node->life++;
}

void world_stop(struct world *world, size_t at)
{
    trace(world, at, "is stopped");
    step(world, at, LG_EVENT_SHUTDOWN, NULL, false);
}

void world_resign(struct world *world, size_t at, int64_t hold_ms)
{
    trace(world, at, "is to resign");
    step_event(world, at, (struct lg_legion_event){.kind = LG_EVENT_RESIGN, .hold_ms = hold_ms});
}

void world_maintain(struct world *world, size_t at, bool on)
{
    step_event(world, at, (struct lg_legion_event){.kind = LG_EVENT_MAINTENANCE, .on = on});
}

void world_check(struct world *world, size_t at, bool well)
{
    step_event(world, at, (struct lg_legion_event){.kind = LG_EVENT_CHECK, .on = well});
}

void world_reconfigure(
    struct world *world, size_t at, void (*change)(struct lg_legion_setup *setup))
{
    struct node *node = &world->nodes[at];
    change(&node->model);
    step_event(
        world, at, (struct lg_legion_event){.kind = LG_EVENT_RECONFIGURE, .setup = &node->model});
}

size_t world_titles(const struct world *world)
{
    size_t titles = 0;
    for (size_t i = 0; i < world->setup.count; i++) {
        if (!world->nodes[i].legion)
            continue;
        const struct lg_legion_state *state = lg_legion_state(world->nodes[i].legion);
        titles += state->role >= LG_ROLE_RISING && state->role <= LG_ROLE_FALLING &&
                  state->title_until_ms > world->now_ms;
    }
    return titles;
}

const struct lg_legion_memory *world_memory(const struct world *world, size_t at)
{
    return world->nodes[at].stored ? &world->nodes[at].memory : NULL;
}

void world_pause(struct world *world, size_t at, int64_t ms)
{
    world->nodes[at].paused_until_ms = world->now_ms + ms;
}

void world_cut(struct world *world, size_t from, size_t to, bool cut)
{
    world->cut[from][to] = cut;
}

void world_hook(
    struct world *world, size_t node, enum lg_legion_phase_kind kind, int64_t ms, bool failed)
{
    world->nodes[node].hooks[kind].ms = ms;
    world->nodes[node].hooks[kind].failed = failed;
}

void world_skew(struct world *world, size_t node, int64_t ms)
{
    world->nodes[node].skew_ms = ms;
}

static void end_hooks(struct world *world, const struct event *event)
{
    struct node *node = &world->nodes[event->node];
    bool *runs = event->of_member ? &node->member_hook_runs : &node->hook_runs;
    unsigned run = event->of_member ? node->member_hook : node->hook;
    if (!node->legion || node->life != event->life || run != event->hook || !*runs)
        return;
    *runs = false;
    if (event->of_member) {
        step(world, event->node, LG_EVENT_MEMBER_HOOK_DONE, NULL, event->failed);
        return;
    }
    if (node->phase == LG_PHASE_UNLORD)
        node->owns = false;
    step(world, event->node, LG_EVENT_HOOK_DONE, NULL, event->failed);
}

static void deliver(struct world *world, const struct event *event)
{
    struct lg_legion_message message;
    if (!world->nodes[event->node].legion)
        return;
    int err = lg_legion_decode(lg_slice_from(event->data, event->len), &message);
    assert(!err);
    step(world, event->node, LG_EVENT_RECEIVE, &message, false);
}

/* When an event of a node can happen: not while it is paused. */
static int64_t due_ms(const struct world *world, size_t node, int64_t at_ms)
{
    int64_t paused_ms = world->nodes[node].paused_until_ms;
    return at_ms < paused_ms ? paused_ms : at_ms;
}

static size_t next_event(const struct world *world, int64_t *ret_at_ms)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < world->event_count; i++) {
        const struct event *event = &world->events[i];
        int64_t at_ms = due_ms(world, event->node, event->at_ms);
        if (best != SIZE_MAX &&
            (at_ms > *ret_at_ms ||
                (at_ms == *ret_at_ms && event->order > world->events[best].order)))
            continue;
        best = i;
        *ret_at_ms = at_ms;
    }
    return best;
}

static size_t next_timer(const struct world *world, int64_t *ret_at_ms)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < world->setup.count; i++) {
        if (!world->nodes[i].legion || world->nodes[i].deadline_ms == INT64_MAX)
            continue;
        int64_t at_ms = due_ms(world, i, world->nodes[i].deadline_ms);
        if (best != SIZE_MAX && at_ms >= *ret_at_ms)
            continue;
        best = i;
        *ret_at_ms = at_ms;
    }
    return best;
}

void world_run(struct world *world, int64_t until_ms)
{
    for (;;) {
        int64_t event_ms = INT64_MAX, timer_ms = INT64_MAX;
        size_t event_at = next_event(world, &event_ms);
        size_t timer_at = next_timer(world, &timer_ms);
        int64_t at_ms = event_ms <= timer_ms ? event_ms : timer_ms;
        if (at_ms > until_ms)
            break;
        if (at_ms > world->now_ms)
            world->now_ms = at_ms;
        if (timer_ms < event_ms) {
            step(world, timer_at, LG_EVENT_TIMEOUT, NULL, false);
            continue;
        }
        struct event event = world->events[event_at];
        world->events[event_at] = world->events[--world->event_count];
        if (event.kind == DELIVER)
            deliver(world, &event);
        else
            end_hooks(world, &event);
        free(event.data);
    }
    world->now_ms = until_ms;
}

int64_t world_now_ms(const struct world *world)
{
    return world->now_ms;
}

const struct lg_legion_state *world_state(const struct world *world, size_t node)
{
    return lg_legion_state(world->nodes[node].legion);
}

const struct lg_legion *world_legion(const struct world *world, size_t node)
{
    return world->nodes[node].legion;
}

enum lg_legion_refusal world_inject(
    struct world *world, size_t node, const struct lg_legion_message *message)
{
    return step(world, node, LG_EVENT_RECEIVE, message, false);
}

int world_lord(const struct world *world)
{
    int lord = -1;
    for (size_t i = 0; i < world->setup.count; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->legion || lg_legion_state(node->legion)->role != LG_ROLE_LORD)
            continue;
        if (lord >= 0)
            return -1;
        lord = (int)i;
    }
    return lord;
}

size_t world_overlaps(const struct world *world)
{
    return world->overlaps;
}

const char *world_trace(struct world *world)
{
    lg_buf_free(&world->shown);
    world->shown = world->trace;
    world->trace = (struct lg_buf){0};
    return world->shown.len ? world->shown.ptr : "";
}
