/* Drives one legion: datagrams, hooks and time in, updates obeyed. Must not
 * depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/node.h"

#include "legatus/plugin.h"
#include "legion/notes.h"

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

static void copy_members(struct lg_shm_legion *out, const struct lg_legion *legion)
{
    size_t count;
    const struct lg_legion_member *members = lg_legion_members(legion, &count);
    out->member_count = (uint32_t)(count < LG_MEMBERS_MAX ? count : LG_MEMBERS_MAX);
    for (uint32_t i = 0; i < out->member_count; i++) {
        struct lg_shm_member *member = &out->members[i];
        memcpy(member->name, members[i].who.name, sizeof member->name);
        memcpy(member->uuid, members[i].who.uuid, sizeof member->uuid);
        member->valor = members[i].who.valor;
        member->checksum = members[i].checksum;
        member->last_seen_s = members[i].seen_s;
        member->arbiter = members[i].who.valor == 0;
    }
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
    node->shown = (struct lg_shown){state->role, state->epoch, state->title_until_ms};
    lg_shm_legion_publish(node->cluster->shm, node->index, out);
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
    copy_members(out, node->legion);
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
    out->node_count = (uint32_t)plan->node_count;
    for (size_t i = 0; i < plan->node_count; i++)
        snprintf(out->nodes[i], sizeof out->nodes[i], "%s", plan->nodes[i].text);
    out->scroll_len = (uint32_t)strnlen(plan->scroll, sizeof out->scroll);
    memcpy(out->scroll, plan->scroll, out->scroll_len);
}

/* ---- Sending --------------------------------------------------------------------------- */

static const struct lg_speaker *speaker_of(const struct lg_node *node, const char *uuid)
{
    for (size_t i = 0; i < node->speaker_count; i++)
        if (strcmp(node->speakers[i].uuid, uuid) == 0)
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
    struct lg_node *node, struct lg_slice uuid, const struct lg_endpoint *from)
{
    char text[LG_LEGION_UUID_LEN + 1] = "";
    if (uuid.len != LG_LEGION_UUID_LEN)
        return;
    memcpy(text, uuid.ptr, uuid.len);
    struct lg_speaker *speaker = (struct lg_speaker *)speaker_of(node, text);
    if (!speaker)
        speaker = free_speaker(node);
    memcpy(speaker->uuid, text, sizeof text);
    speaker->heard_ms = lg_node_now_ms();
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
        lg_legion_note_render(note, name, line, sizeof line);
        lg_log(lg_legion_note_is_warning(note) ? LG_LOG_WARN : LG_LOG_INFO, "legion", "%s", line);
    }
    if (node->update.notes_lost)
        lg_log(LG_LOG_WARN, "legion", "%s: %zu lines were left out", node->plan->name,
            node->update.notes_lost);
}

static void start_phase(struct lg_node *node)
{
    const struct lg_legion_phase *phase = &node->update.phase;
    struct lg_hook_env env = {
        .legion = node->plan->name,
        .lord = phase->lord,
        .node = phase->who,
        .epoch = phase->epoch,
        .phase = phase->kind,
    };
    env.self.valor = node->plan->valor;
    memcpy(env.self.uuid, node->uuid, sizeof env.self.uuid);
    if (lg_runner_start(&node->runner, &env, lg_node_now_ms())) {
        node->hook_over = true;
        node->hook_failed = node->runner.failed;
    }
}

/* A promise is on disk before anybody can know of it. */
static void obey(struct lg_node *node)
{
    const struct lg_legion_update *update = &node->update;
    if (update->persist)
        lg_memory_write(&node->memory, &update->memory);
    log_notes(node);
    if (update->kill_hooks)
        lg_runner_hurry(&node->runner);
    /* Before the hooks of a new phase: whoever looks at the title while they run
     * sees what they see. */
    if (update->note_count || update->kill_hooks || update->run_hooks || update->announce)
        publish(node);
    else if (title_changed(node)) /* a lease is renewed by every vote */
        publish_title(node);
    if (update->run_hooks)
        start_phase(node);
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
    if (lg_legion_step(node->legion, event, &node->update) == 0)
        obey(node);
}

static void feed_hooks(struct lg_node *node)
{
    while (node->hook_over) {
        node->hook_over = false;
        struct lg_legion_event event = {
            .kind = LG_EVENT_HOOK_DONE, .hook_failed = node->hook_failed};
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
        remember_speaker(node, opened.message.uuid, from);
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
    if (node->runner.pid != pid || pid <= 0)
        return false;
    lg_outputs_drain(&node->cluster->outputs); /* its last words come before the verdict */
    if (lg_runner_reaped(&node->runner, status, lg_node_now_ms())) {
        node->hook_over = true;
        node->hook_failed = node->runner.failed;
        feed_hooks(node);
    }
    return true;
}

void lg_node_tick(struct lg_node *node)
{
    int64_t now_ms = lg_node_now_ms();
    lg_runner_check(&node->runner, now_ms);
    say_strangers(node, now_ms);
    if (!node->finished && now_ms >= node->update.deadline_ms)
        lg_node_feed(node, LG_EVENT_TIMEOUT);
}

int64_t lg_node_deadline_ms(const struct lg_node *node)
{
    int64_t at_ms = node->update.deadline_ms;
    if (node->runner.pid > 0 && !node->runner.timed_out && node->runner.deadline_ms < at_ms)
        at_ms = node->runner.deadline_ms;
    return at_ms;
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
    feed_all(node, &event);
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
        .timeout_ms = plan->hook_timeout_ms};
    prepare_state(node);
    /* Above every counter of a process before us with this uuid: it began earlier
     * and has not sent a million packets a second. */
    lg_seal_start(node->seal, boottime_us());
    lg_links_start(&node->links);
    feed_start(node);
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
           a->nopreempt == b->nopreempt;
}

static void tell_core(
    struct lg_node *node, const struct lg_legion_plan *plan, const struct lg_cluster_plan *all)
{
    struct lg_legion_setup before = setup_of(node, node->plan, &node->cluster->plan);
    struct lg_legion_setup setup = setup_of(node, plan, all);
    struct lg_legion_event event = {.kind = LG_EVENT_RECONFIGURE,
        .setup = &setup,
        .now_ms = lg_node_now_ms(),
        .wall_ms = clock_ms(CLOCK_REALTIME)};
    if (same_setup(&before, &setup))
        return;
    if (lg_legion_step(node->legion, &event, &node->update) == 0)
        obey(node);
    else
        lg_log(LG_LOG_WARN, "legion",
            "%s:%u: legion \"%s\": valor, quorum, timings, scroll or hooks for another phase "
            "changed: restart to use the new",
            plan->where.file, plan->where.line, plan->name);
}

void lg_node_change(
    struct lg_node *node, const struct lg_legion_plan *plan, const struct lg_cluster_plan *all)
{
    if (!same_secrets(node->plan, plan) &&
        lg_seal_change(node->seal, plan->secrets, plan->secret_count))
        lg_log(LG_LOG_ERROR, "legion", "%s: the new secrets cannot be used", plan->name);
    lg_links_set(&node->links, plan);
    if (node->legion) {
        node->runner.plan = plan;
        node->runner.timeout_ms = all->hook_timeout_ms;
        lg_scrolls_limit(&node->scrolls, all->scroll_max, all->scrolls_max);
        tell_core(node, plan, all);
    }
    node->plan = plan;
    if (!node->legion)
        return;
    prepare_state(node);
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
    lg_links_close(&node->links);
}
