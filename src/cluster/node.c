/* Drives one legion: datagrams, hooks and time in, updates obeyed. Must not
 * depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/node.h"

#include "legatus/plugin.h"
#include "legion/notes.h"
#include "shm/calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAMS_MAX      64 /* read per wake-up: timers must not starve */
#define STRANGERS_EVERY_MS 1000

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t lg_node_now_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

static uint64_t boottime_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- Shared memory ------------------------------------------------------------------- */

/* A member echoes our newest stamp with every announcement of its own. */
#define DEAF_FREQS 4

static int64_t deaf_since_s(
    const struct lg_node *node, const struct lg_legion_member *member, int64_t now_ms)
{
    int64_t age_ms = now_ms - (int64_t)(member->heard_us / 1000);
    if (!member->safe || lg_legion_state(node->legion)->mode == LG_MODE_CLASSICAL)
        return 0; /* unknown */
    if (!member->heard_us)
        return -1;
    if (age_ms < DEAF_FREQS * node->cluster->plan.freq_ms)
        return 0;
    return (clock_ms(CLOCK_REALTIME) - age_ms) / 1000;
}

static void copy_members(struct lg_node *node, struct lg_shm_legion *out)
{
    size_t count;
    const struct lg_legion *legion = node->legion;
    int64_t now_ms = lg_node_now_ms();
    const struct lg_legion_member *members = lg_legion_members(legion, &count);
    out->member_count = (uint32_t)(count < LG_MEMBERS_MAX ? count : LG_MEMBERS_MAX);
    for (uint32_t i = 0; i < out->member_count; i++) {
        struct lg_shm_member *member = &out->members[i];
        memcpy(member->name, members[i].who.name, sizeof member->name);
        memcpy(member->uuid, members[i].who.uuid, sizeof member->uuid);
        member->valor = members[i].who.valor;
        member->checksum = members[i].checksum;
        member->last_seen_s = members[i].seen_s;
        member->deaf_since_s = deaf_since_s(node, &members[i], now_ms);
        member->arbiter = members[i].who.valor == 0;
    }
}

/* ---- Who has left ---------------------------------------------------------------------- */

/* Back, or a host that has started again under another uuid. */
static void forget_left(struct lg_shm_legion *state, const struct lg_legion_who *who)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < state->left_count; i++)
        if (strcmp(state->left[i].uuid, who->uuid) != 0 &&
            strcmp(state->left[i].name, who->name) != 0)
            state->left[kept++] = state->left[i];
    state->left_count = kept;
}

/* The oldest makes room. */
static void remember_left(struct lg_shm_legion *state, const struct lg_legion_note *note)
{
    if (state->left_count == LG_LEFT_MAX) {
        state->left_count--;
        memmove(state->left, state->left + 1, state->left_count * sizeof *state->left);
    }
    struct lg_shm_left *left = &state->left[state->left_count++];
    *left =
        (struct lg_shm_left){.last_seen_s = note->last_seen_s, .died = note->kind == LG_NOTE_DIED};
    memcpy(left->name, note->who.name, sizeof left->name);
    memcpy(left->uuid, note->who.uuid, sizeof left->uuid);
}

static void note_members(struct lg_node *node)
{
    for (size_t i = 0; i < node->update.note_count; i++) {
        const struct lg_legion_note *note = &node->update.notes[i];
        if (note->kind == LG_NOTE_JOINED)
            forget_left(node->state, &note->who);
        else if (note->kind == LG_NOTE_LEFT || note->kind == LG_NOTE_DIED)
            remember_left(node->state, note);
    }
}

/* The master sleeps until the title it knows of has to be given up. */
static void wake_master(struct lg_node *node, int64_t unlord_at_ms)
{
    int64_t known_ms = node->shown.unlord_at_ms;
    const struct lg_call call = {.kind = LG_CALL_TITLE};
    if (unlord_at_ms == 0 || (known_ms != 0 && known_ms <= unlord_at_ms))
        return;
    /* When too many wait it is awake. */
    (void)!lg_call_send(node->cluster->shm, &call);
}

/* `epoch` tells the master that there is something to undo; `lord_since_s` tells
 * the application that the title is to be used. */
static void publish_title(struct lg_node *node)
{
    const struct lg_legion_state *state = lg_legion_state(node->legion);
    struct lg_shm_legion *out = node->state;
    out->epoch = state->epoch;
    out->lord_since_s = state->role == LG_ROLE_LORD ? state->title_s : 0;
    out->lease_until_ms = (uint64_t)state->title_until_ms;
    out->is_falling = state->role == LG_ROLE_FALLING;
    int64_t unlord_at_ms = state->epoch ? state->title_until_ms - state->title_grace_ms : 0;
    out->unlord_at_ms = (uint64_t)unlord_at_ms;
    lg_shm_legion_publish(node->cluster->shm, node->index, out);
    wake_master(node, unlord_at_ms);
    node->shown = (struct lg_shown){state->role, state->epoch, state->title_until_ms, unlord_at_ms};
}

/* By uWSGI's rules the Lord is whom we vote for; by promises, who holds the title. */
static void publish(struct lg_node *node)
{
    const struct lg_legion_state *state = lg_legion_state(node->legion);
    const struct lg_legion_who *lord = state->mode == LG_MODE_SAFE ? &state->lord : &state->vote;
    struct lg_shm_legion *out = node->state;
    out->checksum = state->checksum;
    out->votes = state->votes;
    out->mode = (uint32_t)state->mode;
    out->reach = state->mode == LG_MODE_SAFE ? state->reach : 0;
    out->waiting_until_ms = state->mode == LG_MODE_SAFE ? (uint64_t)state->waiting_until_ms : 0;
    out->lord_valor = lord->valor;
    memcpy(out->lord_uuid, lord->uuid, sizeof out->lord_uuid);
    memcpy(out->lord_name, lord->name, sizeof out->lord_name);
    out->maintenance = node->maintenance;
    out->reason = (uint32_t)state->reason;
    out->aside_until_ms = state->held_until_ms;
    copy_members(node, out);
    lg_checks_publish(&node->checks, out);
    lg_scrolls_publish(&node->scrolls, state->lord.uuid, out);
    publish_title(node);
}

static bool title_changed(const struct lg_node *node)
{
    const struct lg_legion_state *state = lg_legion_state(node->legion);
    return state->role != node->shown.role || state->epoch != node->shown.epoch ||
           state->title_until_ms != node->shown.until_ms;
}

static void prepare_state(struct lg_node *node)
{
    struct lg_shm_legion *out = node->state;
    const struct lg_legion_plan *plan = node->plan;
    snprintf(out->name, sizeof out->name, "%s", plan->name);
    snprintf(out->addr, sizeof out->addr, "%s", plan->addr_text);
    memcpy(out->uuid, node->uuid, sizeof out->uuid);
    out->valor = plan->valor;
    out->quorum = plan->quorum;
    out->freq_ms = (uint64_t)node->cluster->plan.freq_ms;
    out->tolerance_ms = (uint64_t)node->cluster->plan.tolerance_ms;
    out->node_count = (uint32_t)plan->node_count;
    for (size_t i = 0; i < plan->node_count; i++)
        snprintf(out->nodes[i], sizeof out->nodes[i], "%s", plan->nodes[i].text);
    out->scroll_len = (uint32_t)strnlen(plan->scroll, sizeof out->scroll);
    memcpy(out->scroll, plan->scroll, out->scroll_len);
}

/* ---- Sending --------------------------------------------------------------------------- */

/* LG_LEGION_UUID_LEN bytes. */
static const struct lg_speaker *speaker_of(const struct lg_node *node, const char *uuid)
{
    size_t next = node->speakers[node->last_speaker].after;
    if (memcmp(node->speakers[next].uuid, uuid, LG_LEGION_UUID_LEN) == 0)
        return &node->speakers[next];
    for (size_t i = 0; i < node->speaker_count; i++)
        if (memcmp(node->speakers[i].uuid, uuid, LG_LEGION_UUID_LEN) == 0)
            return &node->speakers[i];
    return NULL;
}

/* Room for one more: that of the member which was silent for longest. */
static struct lg_speaker *free_speaker(struct lg_node *node)
{
    struct lg_speaker *oldest = node->speakers;
    if (node->speaker_count < LG_MEMBERS_MAX)
        return &node->speakers[node->speaker_count++];
    for (size_t i = 1; i < node->speaker_count; i++)
        if (node->speakers[i].heard_ms < oldest->heard_ms)
            oldest = &node->speakers[i];
    return oldest;
}

/* Only of what is authentic and new: strangers shall not move our answers. */
static void remember_speaker(
    struct lg_node *node, struct lg_slice uuid, const struct lg_endpoint *from, int64_t now_ms)
{
    if (uuid.len != LG_LEGION_UUID_LEN)
        return;
    struct lg_speaker *speaker = (struct lg_speaker *)speaker_of(node, uuid.ptr);
    if (!speaker)
        speaker = free_speaker(node);
    memcpy(speaker->uuid, uuid.ptr, LG_LEGION_UUID_LEN);
    node->speakers[node->last_speaker].after = (size_t)(speaker - node->speakers);
    node->last_speaker = (size_t)(speaker - node->speakers);
    speaker->heard_ms = now_ms;
    speaker->from = *from;
}

/* `to` = NULL: to every node. */
static void send_message(
    struct lg_node *node, const struct lg_legion_message *message, const struct lg_endpoint *to)
{
    struct lg_cluster *cluster = node->cluster;
    size_t len;
    int err = lg_seal_pack(node->seal, message, cluster->datagram, sizeof cluster->datagram, &len);
    if (err)
        lg_log(LG_LOG_ERROR, "legion", "%s: an announcement could not be made: %s",
            node->plan->name, lg_err_text(err));
    else if (to)
        lg_links_answer(&node->links, to, cluster->datagram, len, lg_node_now_ms());
    else
        lg_links_send(&node->links, cluster->datagram, len, lg_node_now_ms());
}

/* ---- Obeying ----------------------------------------------------------------------------- */

static void log_notes(struct lg_node *node)
{
    char line[LG_LEGION_LINE_SIZE];
    struct lg_slice name = lg_slice_of(node->plan->name);
    for (size_t i = 0; i < node->update.note_count; i++) {
        const struct lg_legion_note *note = &node->update.notes[i];
        if (note->kind == LG_NOTE_LAPSED) {
            lg_hook_lapsed(node->plan, &node->runner.env,
                node->cluster->plan.has_legion_alarm ? node->cluster->shm : NULL);
            continue;
        }
        lg_legion_note_render(note, name, line, sizeof line);
        lg_log(lg_legion_note_is_warning(note) ? LG_LOG_WARN : LG_LOG_INFO, "legion", "%s", line);
    }
    if (node->update.notes_lost)
        lg_log(LG_LOG_WARN, "legion", "%s: %zu lines were left out", node->plan->name,
            node->update.notes_lost);
}

/* True when it is over already. */
static bool start_phase(
    struct lg_node *node, struct lg_runner *runner, const struct lg_legion_phase *phase)
{
    struct lg_hook_env env = {
        .legion = node->plan->name,
        .lord = phase->lord,
        .node = phase->who,
        .epoch = phase->epoch,
        .phase = phase->kind,
    };
    env.self.valor = node->plan->valor;
    memcpy(env.self.uuid, node->uuid, sizeof env.self.uuid);
    return lg_runner_start(runner, &env, lg_node_now_ms());
}

static void role_over(struct lg_node *node)
{
    node->hook_over = true;
    node->hook_failed = node->runner.failed;
}

static void member_over(struct lg_node *node)
{
    node->member_over = true;
    node->member_failed = node->member_runner.failed;
}

static void hurry_hooks(struct lg_node *node)
{
    int64_t left_ms = lg_legion_state(node->legion)->title_until_ms - lg_node_now_ms();
    node->runner.patience_ms = lg_hook_patience_ms(&node->cluster->plan, left_ms);
    lg_runner_hurry(&node->runner);
}

/* A promise is on disk before anybody can know of it. */
static void obey(struct lg_node *node)
{
    const struct lg_legion_update *update = &node->update;
    if (update->persist)
        lg_memory_write(&node->memory, &update->memory);
    log_notes(node);
    note_members(node);
    if (update->kill_hooks)
        hurry_hooks(node);
    /* Before the hooks of a new phase: whoever looks at the title while they run
     * sees what they see. */
    if (update->note_count || update->kill_hooks || update->run_hooks || update->announce)
        publish(node);
    else if (title_changed(node)) /* a lease is renewed by every vote */
        publish_title(node);
    if (update->run_hooks && start_phase(node, &node->runner, &update->phase))
        role_over(node);
    if (update->run_member_hooks && start_phase(node, &node->member_runner, &update->member_phase))
        member_over(node);
    if (update->announce)
        send_message(node, &update->message, NULL);
    const struct lg_speaker *speaker =
        update->answer ? speaker_of(node, update->answer_to.uuid) : NULL;
    if (speaker)
        send_message(node, &update->message, &speaker->from);
    if (update->finished)
        node->finished = true;
}

static void feed_event(struct lg_node *node, struct lg_legion_event *event)
{
    event->now_ms = lg_node_now_ms(); /* now, after the datagram was read */
    event->wall_ms = clock_ms(CLOCK_REALTIME);
    if (lg_legion_step(node->legion, event, &node->update))
        return;
    obey(node);
    lg_recorder_step(&node->recorder, node->legion, event, &node->update);
}

static void feed_hooks(struct lg_node *node)
{
    while (node->hook_over || node->member_over) {
        bool is_role = node->hook_over; /* titles first */
        struct lg_legion_event event = {
            .kind = is_role ? LG_EVENT_HOOK_DONE : LG_EVENT_MEMBER_HOOK_DONE,
            .hook_failed = is_role ? node->hook_failed : node->member_failed};
        *(is_role ? &node->hook_over : &node->member_over) = false;
        feed_event(node, &event);
        publish(node);
    }
}

static void feed_all(struct lg_node *node, struct lg_legion_event *event)
{
    feed_event(node, event);
    feed_hooks(node);
}

void lg_node_feed(struct lg_node *node, enum lg_legion_event_kind kind)
{
    struct lg_legion_event event = {.kind = kind};
    feed_all(node, &event);
}

/* ---- Operators and checks ------------------------------------------------------------------- */

static void feed_switch(struct lg_node *node, enum lg_legion_event_kind kind, bool on)
{
    struct lg_legion_event event = {.kind = kind, .on = on};
    feed_all(node, &event);
    publish(node);
}

void lg_node_resign(struct lg_node *node, int64_t hold_ms)
{
    struct lg_legion_event event = {.kind = LG_EVENT_RESIGN, .hold_ms = hold_ms};
    feed_all(node, &event);
}

bool lg_node_maintain(struct lg_node *node, bool on)
{
    node->maintenance = on;
    bool kept = lg_memory_maintain(&node->memory, on);
    feed_switch(node, LG_EVENT_MAINTENANCE, on);
    return kept;
}

static void note_health(struct lg_node *node)
{
    bool is_well = lg_checks_well(&node->checks);
    if (is_well == node->is_well || node->finished)
        return;
    node->is_well = is_well;
    feed_switch(node, LG_EVENT_CHECK, is_well);
}

static void tick_checks(struct lg_node *node, int64_t now_ms)
{
    const struct lg_legion_state *state = lg_legion_state(node->legion);
    struct lg_hook_env env = {
        .legion = node->plan->name,
        .self.valor = node->plan->valor,
        .lord = state->mode == LG_MODE_SAFE ? state->lord : state->vote,
        .epoch = state->epoch,
        .phase = LG_PHASE_NONE,
    };
    if (node->checks.count == 0)
        return;
    memcpy(env.self.uuid, node->uuid, sizeof env.self.uuid);
    lg_checks_tick(&node->checks, &env, now_ms);
    note_health(node);
}

/* ---- Strangers ------------------------------------------------------------------------------ */

static void say_strangers(struct lg_node *node, int64_t now_ms)
{
    struct lg_strangers *strangers = &node->strangers;
    if (strangers->count == 0 || now_ms < strangers->said_ms + STRANGERS_EVERY_MS)
        return;
    lg_log(LG_LOG_WARN, "legion", "%s: %llu datagram(s) refused, one %s", node->plan->name,
        (unsigned long long)strangers->count, strangers->one);
    strangers->count = 0;
    strangers->said_ms = now_ms;
}

static void refuse(struct lg_node *node, const struct lg_endpoint *from, const char *why)
{
    char text[LG_ENDPOINT_TEXT_SIZE];
    if (node->strangers.count++ == 0)
        snprintf(node->strangers.one, sizeof node->strangers.one, "from %s: %s",
            lg_endpoint_text(from, text), why);
    say_strangers(node, lg_node_now_ms());
}

/* ---- Receiving --------------------------------------------------------------------------------
 */

static const char *refusal_text(enum lg_legion_refusal refusal)
{
    switch (refusal) {
    case LG_REFUSED_LEGION:
        return "it is of another legion";
    case LG_REFUSED_SKEW:
        return "its clock is too far from ours (legion-skew-tolerance)";
    case LG_REFUSED_STALE:
        return "it is older than the node's last packet";
    case LG_REFUSED_FULL:
        return "the legion has too many members";
    case LG_REFUSED_UNSAFE:
        return "it is without what Legatus' packets carry (legion-safe)";
    default:
        return NULL;
    }
}

static void take_datagram(
    struct lg_node *node, struct lg_slice datagram, const struct lg_endpoint *from)
{
    struct lg_opened opened;
    enum lg_seal_verdict verdict =
        lg_seal_open(node->seal, datagram, node->cluster->cleartext, &opened);
    if (verdict) {
        const char *text = lg_seal_verdict_text(verdict);
        if (text)
            refuse(node, from, text);
        return;
    }
    struct lg_legion_event event = {
        .kind = LG_EVENT_RECEIVE,
        .message = &opened.message,
        .authentic = opened.authentic,
        .counted = opened.counted,
    };
    feed_event(node, &event);
    const char *why = refusal_text(node->update.refusal);
    if (opened.authentic && node->update.refusal == LG_REFUSED_NOT)
        remember_speaker(node, opened.message.uuid, from, event.now_ms);
    if (node->update.refusal == LG_REFUSED_NOT && lg_scrolls_take(&node->scrolls, event.message))
        publish(node);
    feed_hooks(node);
    if (why)
        refuse(node, from, why);
}

void lg_node_receive(struct lg_node *node, int fd)
{
    struct lg_cluster *cluster = node->cluster;
    for (int i = 0; i < DATAGRAMS_MAX && !node->finished; i++) {
        struct lg_endpoint from = {.len = sizeof from.addr};
        ssize_t got = recvfrom(fd, cluster->datagram, sizeof cluster->datagram,
            MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from.addr, &from.len);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            lg_links_failed(&node->links, fd, errno, lg_node_now_ms());
        if (got < 0)
            return;
        if (i == 0)
            lg_links_heard(&node->links, fd, lg_node_now_ms());
        if ((size_t)got > sizeof cluster->datagram)
            refuse(node, &from, "it is too long");
        else
            take_datagram(node, lg_slice_from(cluster->datagram, (size_t)got), &from);
    }
}

/* ---- Time and children
 * ---------------------------------------------------------------------------- */

bool lg_node_reaped(struct lg_node *node, pid_t pid, int status)
{
    if (lg_checks_reaped(&node->checks, pid, status)) {
        note_health(node);
        return true;
    }
    bool is_role = node->runner.pid == pid;
    if (pid <= 0 || (!is_role && node->member_runner.pid != pid))
        return false;
    lg_outputs_drain(&node->cluster->outputs); /* its last words come before the verdict */
    struct lg_runner *runner = is_role ? &node->runner : &node->member_runner;
    if (lg_runner_reaped(runner, status, lg_node_now_ms()))
        (is_role ? role_over : member_over)(node);
    feed_hooks(node);
    return true;
}

static void tick_hooks(struct lg_node *node, int64_t now_ms)
{
    lg_runner_check(&node->runner, now_ms);
    lg_runner_check(&node->member_runner, now_ms);
    if (lg_runner_left(&node->runner, now_ms))
        role_over(node);
    if (lg_runner_left(&node->member_runner, now_ms))
        member_over(node);
    feed_hooks(node);
}

void lg_node_tick(struct lg_node *node)
{
    int64_t now_ms = lg_node_now_ms();
    tick_hooks(node, now_ms);
    tick_checks(node, now_ms);
    say_strangers(node, now_ms);
    if (!node->finished && now_ms >= node->update.deadline_ms)
        lg_node_feed(node, LG_EVENT_TIMEOUT);
}

int64_t lg_node_deadline_ms(const struct lg_node *node)
{
    int64_t at_ms = node->update.deadline_ms;
    const struct lg_runner *runners[] = {&node->runner, &node->member_runner};
    for (size_t i = 0; i < sizeof runners / sizeof *runners; i++) {
        int64_t due_ms = lg_runner_deadline_ms(runners[i]);
        at_ms = due_ms < at_ms ? due_ms : at_ms;
    }
    int64_t checks_ms = lg_checks_deadline_ms(&node->checks);
    return checks_ms < at_ms ? checks_ms : at_ms;
}

/* ---- Start and end
 * ------------------------------------------------------------------------------------ */

static struct lg_legion_setup setup_of(const struct lg_node *node,
    const struct lg_legion_plan *plan, const struct lg_cluster_plan *all)
{
    struct lg_legion_setup setup = lg_cluster_plan_setup(all, plan);
    setup.name = lg_slice_of(node->cluster->hostname);
    setup.uuid = lg_slice_of(node->uuid);
    setup.pid = (uint64_t)getpid();
    return setup;
}

/* START, with what an earlier life has promised. */
static void feed_start(struct lg_node *node)
{
    const struct lg_cluster_plan *plan = &node->cluster->plan;
    struct lg_legion_memory memory;
    if (plan->safe != LG_SAFE_OFF)
        lg_memory_open(
            &node->memory, plan->state_path, node->plan->name, node->cluster->count == 1);
    bool is_known = lg_memory_read(&node->memory, &memory);
    struct lg_legion_event event = {.kind = LG_EVENT_START, .memory = is_known ? &memory : NULL};
    lg_recorder_open(&node->recorder, plan->record_path, node->plan->name, node->legion,
        plan->record_max, plan->freq_ms / 2 > 10 ? plan->freq_ms / 2 : 10);
    feed_all(node, &event);
}

/* Whether this node may stand: what a process before this one was told, and
 * checks, which are not well before they were. */
static void feed_fitness(struct lg_node *node, bool was_maintained)
{
    node->is_well = true;
    node->checks =
        (struct lg_checks){.shm = node->cluster->shm, .outputs = &node->cluster->outputs};
    snprintf(node->checks.legion, sizeof node->checks.legion, "%s", node->plan->name);
    lg_checks_set(&node->checks, node->plan, true, lg_node_now_ms());
    note_health(node);
    if (!was_maintained && !lg_memory_maintained(&node->memory))
        return;
    lg_log(LG_LOG_WARN, "legion", "%s: maintenance is still on", node->plan->name);
    (void)lg_node_maintain(node, true);
}

int lg_node_start(struct lg_node *node)
{
    const struct lg_cluster_plan *plan = &node->cluster->plan;
    struct lg_legion_setup setup = setup_of(node, node->plan, plan);
    node->update.note_max = LG_LEGION_NOTES_FOR(LG_MEMBERS_MAX);
    node->update.notes = calloc(node->update.note_max, sizeof *node->update.notes);
    node->state = calloc(1, sizeof *node->state);
    node->speakers = calloc(LG_MEMBERS_MAX, sizeof *node->speakers);
    if (!node->update.notes || !node->state || !node->speakers)
        return -LG_E_NOMEM;
    int err = lg_scrolls_init(&node->scrolls, plan->scroll_max, plan->scrolls_max);
    if (!err)
        err = lg_legion_new(&setup, &node->legion);
    if (err)
        return err;
    node->runner = (struct lg_runner){.plan = node->plan,
        .outputs = &node->cluster->outputs,
        .shm = node->cluster->shm,
        .timeout_ms = plan->hook_timeout_ms,
        .patience_ms = lg_hook_patience_ms(plan, 0)};
    bool was_maintained = lg_shm_legion_read(node->cluster->shm, node->index, node->state) &&
                          node->state->maintenance;
    *node->state = (struct lg_shm_legion){0};
    node->member_runner = node->runner;
    node->runner.told = lg_shm_hook_group(node->cluster->shm, node->index);
    atomic_store(node->runner.told, 0);
    prepare_state(node);
    /* Above every counter of a process before us with this uuid: it began earlier
     * and has not sent a million packets a second. */
    lg_seal_start(node->seal, boottime_us());
    err = lg_links_start(&node->links);
    if (err)
        return err;
    feed_start(node);
    feed_fitness(node, was_maintained);
    return 0;
}

/* ---- Another plan -------------------------------------------------------------------- */

static bool same_secrets(const struct lg_legion_plan *a, const struct lg_legion_plan *b)
{
    bool same = a->secret_count == b->secret_count;
    for (size_t i = 0; i < a->secret_count && same; i++)
        same = lg_slice_eq(a->secrets[i], b->secrets[i]);
    return same;
}

static bool same_setup(const struct lg_legion_setup *a, const struct lg_legion_setup *b)
{
    return lg_slice_eq(a->scroll, b->scroll) && a->valor == b->valor && a->quorum == b->quorum &&
           a->freq_ms == b->freq_ms && a->tolerance_ms == b->tolerance_ms &&
           a->skew_tolerance_s == b->skew_tolerance_s &&
           a->death_on_lord_error_ms == b->death_on_lord_error_ms && a->phases == b->phases &&
           a->safe == b->safe && a->start_wait_ms == b->start_wait_ms &&
           a->unlord_grace_ms == b->unlord_grace_ms && a->preempt_delay_ms == b->preempt_delay_ms &&
           a->nopreempt == b->nopreempt && a->drift_ppm == b->drift_ppm;
}

static void tell_core(
    struct lg_node *node, const struct lg_legion_plan *old, const struct lg_cluster_plan *all)
{
    const struct lg_legion_plan *plan = node->plan;
    struct lg_legion_setup before = setup_of(node, old, &node->cluster->plan);
    struct lg_legion_setup setup = setup_of(node, plan, all);
    struct lg_legion_event event = {.kind = LG_EVENT_RECONFIGURE,
        .setup = &setup,
        .now_ms = lg_node_now_ms(),
        .wall_ms = clock_ms(CLOCK_REALTIME)};
    if (same_setup(&before, &setup))
        return;
    if (lg_legion_step(node->legion, &event, &node->update) == 0) {
        obey(node);
        lg_recorder_step(&node->recorder, node->legion, &event, &node->update);
    } else {
        lg_log(LG_LOG_WARN, "legion",
            "%s:%u: legion \"%s\": valor, quorum, timings, scroll or hooks for another phase "
            "changed: restart to use the new",
            plan->where.file, plan->where.line, plan->name);
    }
}

void lg_node_change(
    struct lg_node *node, const struct lg_legion_plan *plan, const struct lg_cluster_plan *all)
{
    if (!same_secrets(node->plan, plan) &&
        lg_seal_change(node->seal, plan->secrets, plan->secret_count))
        lg_log(LG_LOG_ERROR, "legion", "%s: the new secrets cannot be used", plan->name);
    lg_links_set(&node->links, plan);
    const struct lg_legion_plan *old = node->plan;
    node->plan = plan; /* hooks that the core starts keep its texts */
    if (node->legion) {
        node->runner.plan = node->member_runner.plan = plan;
        node->runner.timeout_ms = node->member_runner.timeout_ms = all->hook_timeout_ms;
        node->runner.patience_ms = node->member_runner.patience_ms = lg_hook_patience_ms(all, 0);
        lg_scrolls_limit(&node->scrolls, all->scroll_max, all->scrolls_max);
        tell_core(node, old, all);
    }
    if (!node->legion)
        return;
    prepare_state(node);
    lg_checks_set(&node->checks, plan, false, lg_node_now_ms());
    note_health(node);
    publish(node);
    feed_hooks(node);
}

/* ---- End -------------------------------------------------------------------------------- */

void lg_node_free(struct lg_node *node)
{
    lg_legion_free(node->legion);
    lg_seal_free(node->seal);
    lg_scrolls_free(&node->scrolls);
    free(node->update.notes);
    free(node->state);
    free(node->speakers);
    lg_memory_close(&node->memory);
    lg_recorder_close(&node->recorder);
    lg_links_close(&node->links);
}
