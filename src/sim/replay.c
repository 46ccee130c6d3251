/* Replays what a node recorded. Pure; depends on base and legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/replay.h"

#include "legion/notes.h"
#include "legion/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S    86400
#define NOTES    LG_LEGION_NOTES_FOR(LG_MEMBERS_MAX) /* as the real ones */
#define TEXT_MAX (LG_LEGION_LINE_SIZE + 64)

enum { LORD_HERE, LORD_ELSEWHERE, LORD_NOWHERE, LORD_COUNT };

struct replay {
    bool json;
    lg_sim_print *print;
    void *arg;
    int err; /* of printing */
    struct lg_legion *legion;
    struct lg_legion_note *notes;
    int64_t wall_ms, now_ms; /* of the last event */
    bool titled;
    uint64_t epoch;
    uint64_t events, lives, refused, torn, different;
    int64_t first_different_ms; /* Unix time */
    int64_t spent_ms[LORD_COUNT];
};

/* ---- Telling ---------------------------------------------------------------------- */

/* Days since 1970 to a date: Howard Hinnant's civil_from_days, without the years
 * before 1970. */
static void render_time(int64_t wall_ms, char *out, size_t size)
{
    int64_t s = wall_ms / 1000, days = s / DAY_S + 719468;
    int64_t era = days / 146097, doe = days % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2);
    snprintf(out, size, "%04d-%02d-%02d %02d:%02d:%02d.%03d", (int)year, (int)month,
        (int)(doy - (153 * mp + 2) / 5 + 1), (int)(s % DAY_S / 3600), (int)(s % 3600 / 60),
        (int)(s % 60), (int)(wall_ms % 1000));
}

__attribute__((format(printf, 2, 3))) static void tell(
    struct replay *replay, const char *format, ...)
{
    char text[TEXT_MAX], line[TEXT_MAX + 128], when[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (replay->json) {
        int err = lg_sim_report(replay->print, replay->arg,
            json_pack("{s:o, s:o}", "at", lg_sim_json_s(replay->wall_ms * 1000), "what",
                lg_sim_json_text(lg_slice_of(text))));
        replay->err = err ? err : replay->err;
        return;
    }
    if (replay->wall_ms > 0)
        render_time(replay->wall_ms, when, sizeof when);
    else
        snprintf(when, sizeof when, "%-23s", "-");
    snprintf(line, sizeof line, "%s  %s", when, text);
    replay->print(replay->arg, line);
}

static void tell_event(struct replay *replay, const struct lg_legion_event *event)
{
    double hold_s = (double)event->hold_ms / 1000;
    switch (event->kind) {
    case LG_EVENT_START:
        tell(replay, "starts%s", event->memory ? "" : ", without a legion-state file");
        return;
    case LG_EVENT_HOOK_DONE:
        tell(replay, "its hooks have %s", event->hook_failed ? "failed" : "run");
        return;
    case LG_EVENT_MEMBER_HOOK_DONE:
        tell(replay, "its hooks about a member have %s", event->hook_failed ? "failed" : "run");
        return;
    case LG_EVENT_RECONFIGURE:
        tell(replay, "told of a new configuration: valor %llu, quorum %llu",
            (unsigned long long)event->setup->valor, (unsigned long long)event->setup->quorum);
        return;
    case LG_EVENT_SHUTDOWN:
        tell(replay, "told to leave");
        return;
    case LG_EVENT_RESIGN:
        tell(replay, "told to resign for %.3f s (0: twice its tolerance)", hold_s);
        return;
    case LG_EVENT_MAINTENANCE:
        tell(replay, "maintenance %s", event->on ? "on" : "off");
        return;
    case LG_EVENT_CHECK:
        tell(replay, "its service is %s", event->on ? "well" : "broken");
        return;
    default:
        return;
    }
}

static void tell_title(struct replay *replay)
{
    const struct lg_legion_state *state = lg_legion_state(replay->legion);
    bool titled = state->role >= LG_ROLE_RISING && state->role <= LG_ROLE_FALLING;
    if (titled && (!replay->titled || replay->epoch != state->epoch))
        tell(replay, "LORD, epoch %llu", (unsigned long long)state->epoch);
    if (!titled && replay->titled)
        tell(replay, "Lord no more");
    replay->titled = titled;
    replay->epoch = state->epoch;
}

static void tell_update(struct replay *replay, const struct lg_legion_update *update)
{
    struct lg_slice name = lg_record_setup(replay->legion)->legion;
    for (size_t i = 0; i < update->note_count; i++) {
        char text[LG_LEGION_LINE_SIZE];
        lg_legion_note_render(&update->notes[i], name, text, sizeof text);
        tell(replay, "%s", text);
    }
    tell_title(replay);
    if (update->kill_hooks)
        tell(replay, "kills its hooks");
    if (update->run_hooks)
        tell(replay, "runs its %s hooks", lg_legion_phase_name(update->phase.kind));
    if (update->finished)
        tell(replay, "has ended");
}

/* ---- Going through it ----------------------------------------------------------------- */

static int lord_now(const struct replay *replay)
{
    const struct lg_legion_state *state = lg_legion_state(replay->legion);
    if (replay->titled)
        return LORD_HERE;
    return state->lord.uuid[0] ? LORD_ELSEWHERE : LORD_NOWHERE;
}

static void begin_life(struct replay *replay)
{
    const struct lg_legion_setup *setup = lg_record_setup(replay->legion);
    replay->lives++;
    replay->titled = false;
    tell(replay,
        "legion %.*s, node %.*s, uuid %.*s, valor %llu, quorum %llu, freq %.3f s, "
        "tolerance %.3f s",
        (int)setup->legion.len, setup->legion.ptr, (int)setup->name.len, setup->name.ptr,
        (int)setup->uuid.len, setup->uuid.ptr, (unsigned long long)setup->valor,
        (unsigned long long)setup->quorum, (double)setup->freq_ms / 1000,
        (double)setup->tolerance_ms / 1000);
}

/* The next file goes on where the last one ended, or something is missing. */
static int take_state(struct replay *replay, struct lg_slice bytes, uint32_t *ret_format)
{
    const struct lg_legion_update nothing = {0};
    struct lg_legion *legion, *before = replay->legion;
    int err = lg_record_restore(bytes, &legion, ret_format);
    if (err)
        return err;
    bool idle = lg_legion_state(legion)->role == LG_ROLE_IDLE;
    /* A legion process that is started again has the uuid of the one before. */
    bool goes_on = before && !idle &&
                   lg_slice_eq(lg_record_setup(before)->uuid, lg_record_setup(legion)->uuid);
    bool same = goes_on && lg_record_digest(before, &nothing) == lg_record_digest(legion, &nothing);
    bool cut_short = before && !goes_on && lg_legion_state(before)->role != LG_ROLE_ENDED;
    replay->legion = legion;
    if (cut_short)
        tell(replay, "and no more: it was killed, or its host");
    lg_legion_free(before);
    if (!goes_on)
        begin_life(replay);
    if (!goes_on && !idle)
        tell(replay, "this is the middle of its life: what was before is not recorded");
    if (goes_on && !same)
        tell(replay, "some of it was not recorded");
    if (!same) {
        replay->titled = false;
        replay->now_ms = INT64_MAX;
        tell_title(replay);
    }
    return 0;
}

static int take_step(struct replay *replay, struct lg_record *record)
{
    struct lg_legion_update update = {.notes = replay->notes, .note_max = NOTES};
    if (!replay->legion)
        return 0;
    lg_record_adopt(replay->legion, record);
    if (replay->now_ms < record->event.now_ms)
        replay->spent_ms[lord_now(replay)] += record->event.now_ms - replay->now_ms;
    replay->now_ms = record->event.now_ms;
    replay->wall_ms = record->event.wall_ms;
    replay->events++;
    int err = lg_legion_step(replay->legion, &record->event, &update);
    if (err == 0)
        tell_event(replay, &record->event);
    replay->refused += update.refusal > LG_REFUSED_OWN;
    if (err || lg_record_digest(replay->legion, &update) != record->digest) {
        if (replay->different++ == 0)
            replay->first_different_ms = record->event.wall_ms;
        tell(replay, "DIFFERENT: this event had other consequences then");
    }
    if (err == 0)
        tell_update(replay, &update);
    return replay->err;
}

static void take_torn(struct replay *replay, uint64_t lost)
{
    replay->torn += lost;
    tell(replay, "%llu bytes were not written in full", (unsigned long long)lost);
    lg_legion_free(replay->legion);
    replay->legion = NULL;
}

static int replay_file(struct replay *replay, const struct lg_sim_replay_file *file, char *error)
{
    struct lg_slice rest = file->bytes;
    struct lg_record *record = malloc(sizeof *record);
    uint32_t format = LG_RECORD_FORMAT;
    int err = record ? 0 : -LG_E_NOMEM;
    bool any = false;
    if (!err && !lg_record_is(rest)) {
        snprintf(
            error, LG_SIM_REPLAY_ERROR_SIZE, "%.100s: not a file of legion-record", file->name);
        err = -LG_E_PROTO;
    }
    while (!err) {
        lg_record_next(&rest, record);
        if (record->kind == LG_RECORD_END)
            break;
        if (record->kind == LG_RECORD_TORN)
            take_torn(replay, record->lost);
        else if (record->kind == LG_RECORD_STATE)
            err = take_state(replay, record->state, &format);
        else
            err = take_step(replay, record);
        any |= record->kind == LG_RECORD_STATE;
    }
    free(record);
    if (err == -LG_E_PROTO && !error[0] && format > LG_RECORD_FORMAT)
        snprintf(error, LG_SIM_REPLAY_ERROR_SIZE, "%.100s: of format %u: this program reads %d",
            file->name, format, LG_RECORD_FORMAT);
    else if (err == -LG_E_PROTO && !error[0])
        snprintf(error, LG_SIM_REPLAY_ERROR_SIZE,
            "%.60s: another build of legatus recorded it: replay it with that one", file->name);
    if (!err && !any) {
        snprintf(error, LG_SIM_REPLAY_ERROR_SIZE, "%.100s: cut short: nothing of it can be read",
            file->name);
        err = -LG_E_PROTO;
    }
    return err;
}

/* ---- The verdict ------------------------------------------------------------------------ */

static int judge(struct replay *replay)
{
    char line[512], when[64] = "";
    const int64_t *spent_ms = replay->spent_ms;
    if (replay->json)
        return lg_sim_report(replay->print, replay->arg,
            json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "same",
                replay->different == 0, "events", lg_sim_json_count(replay->events), "different",
                lg_sim_json_count(replay->different), "lives", lg_sim_json_count(replay->lives),
                "refused", lg_sim_json_count(replay->refused), "torn_bytes",
                lg_sim_json_count(replay->torn), "lord_here",
                lg_sim_json_s(spent_ms[LORD_HERE] * 1000), "lord_elsewhere",
                lg_sim_json_s(spent_ms[LORD_ELSEWHERE] * 1000), "lord_nowhere",
                lg_sim_json_s(spent_ms[LORD_NOWHERE] * 1000)));
    if (replay->different) {
        render_time(replay->first_different_ms, when, sizeof when);
        snprintf(line, sizeof line,
            "DIFFERENT: %llu of %llu events had other consequences when they were recorded, first "
            "at %s",
            (unsigned long long)replay->different, (unsigned long long)replay->events, when);
    } else {
        snprintf(line, sizeof line,
            "%llu events of %llu lives, all as recorded (%llu messages refused); Lord here for "
            "%.3f "
            "s, another for %.3f s, nobody for %.3f s",
            (unsigned long long)replay->events, (unsigned long long)replay->lives,
            (unsigned long long)replay->refused, (double)spent_ms[LORD_HERE] / 1000,
            (double)spent_ms[LORD_ELSEWHERE] / 1000, (double)spent_ms[LORD_NOWHERE] / 1000);
    }
    replay->print(replay->arg, line);
    return 0;
}

int lg_sim_replay(const struct lg_sim_replay_file *files, size_t count, bool json,
    lg_sim_print *print, void *arg, bool *ret_same, char ret_error[LG_SIM_REPLAY_ERROR_SIZE])
{
    struct replay replay = {.json = json, .print = print, .arg = arg, .now_ms = INT64_MAX};
    replay.notes = calloc(NOTES, sizeof *replay.notes);
    int err = replay.notes ? 0 : -LG_E_NOMEM;
    ret_error[0] = '\0';
    if (!err && count == 0) {
        snprintf(ret_error, LG_SIM_REPLAY_ERROR_SIZE, "--replay: expected files of legion-record");
        err = -LG_E_PROTO;
    }
    for (size_t i = 0; i < count && !err; i++)
        err = replay_file(&replay, &files[i], ret_error);
    if (!err)
        err = judge(&replay);
    *ret_same = replay.different == 0;
    lg_legion_free(replay.legion);
    free(replay.notes);
    return err;
}
