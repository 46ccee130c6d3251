/* Notes of the election as lines. Pure; depends on base only.
 *
 * The lines marked "kept" are uWSGI's wording to the letter: people's alarms
 * match on them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/notes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct line {
    char *out;
    size_t size;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line->out + line->len, line->size - line->len, format, args);
    va_end(args);
    if (len < 0)
        return;
    size_t room = line->size - line->len - 1;
    line->len += (size_t)len < room ? (size_t)len : room;
}

static void add_who(struct line *line, const struct lg_legion_who *who)
{
    add(line, "%s: %s valor: %" PRIu64 " uuid: %s ", who->valor ? "node" : "arbiter", who->name,
        who->valor, who->uuid);
}

/* Joined, left, announced its death: kept. */
static void render_member(
    struct line *line, const struct lg_legion_note *note, int name_len, const char *name)
{
    const char *what = note->kind == LG_NOTE_JOINED ? "joined"
                       : note->kind == LG_NOTE_LEFT ? "left"
                                                    : "announced its death to";
    add(line, "[uwsgi-legion] ");
    add_who(line, &note->who);
    add(line, "%s Legion %.*s", what, name_len, name);
}

static void render_quorum(
    struct line *line, const struct lg_legion_note *note, int name_len, const char *name)
{
    const struct lg_legion_who *who = &note->who;
    switch (note->kind) {
    case LG_NOTE_QUORUM: /* kept */
        add(line,
            "[uwsgi-legion] --- WE HAVE QUORUM FOR LEGION %.*s !!! (valor: %" PRIu64
            " uuid: %s checksum: %" PRIu64 " votes: %" PRIu64 ") ---",
            name_len, name, who->valor, who->uuid, note->checksum, note->votes);
        return;
    case LG_NOTE_QUORUM_NODE: /* kept */
        add(line,
            "[uwsgi-legion-node] node: %s valor: %" PRIu64 " uuid: %s last_seen: %" PRId64
            " vote_valor: %" PRIu64 " vote_uuid: %s",
            who->name, who->valor, who->uuid, note->last_seen_s, note->vote_valor, note->vote_uuid);
        return;
    case LG_NOTE_QUORUM_END: /* kept */
        add(line, "[uwsgi-legion] --- END OF QUORUM REPORT ---");
        return;
    case LG_NOTE_NO_QUORUM: /* kept */
        add(line,
            "[uwsgi-legion] no quorum: only %" PRIu64 " vote(s) for Legion %.*s, %" PRIu64
            " needed to elect a Lord",
            note->votes, name_len, name, note->quorum);
        return;
    default: /* LG_NOTE_CANNOT, kept */
        add(line, "[uwsgi-legion] i cannot be The Lord of The Legion %.*s without a quorum ...",
            name_len, name);
    }
}

static void render_title(
    struct line *line, const struct lg_legion_note *note, int name_len, const char *name)
{
    const struct lg_legion_who *who = &note->who;
    switch (note->kind) {
    case LG_NOTE_ATTEMPTING: /* kept */
        add(line, "[uwsgi-legion] attempting to become the Lord of the Legion %.*s", name_len,
            name);
        return;
    case LG_NOTE_LORD: /* kept */
        add(line, "[uwsgi-legion] i am now the Lord of the Legion %.*s", name_len, name);
        return;
    case LG_NOTE_NEW_LORD: /* kept */
        add(line,
            "[uwsgi-legion] a new Lord (valor: %" PRIu64 " uuid: %s) raised for Legion %.*s...",
            who->valor, who->uuid, name_len, name);
        return;
    case LG_NOTE_LORD_IS:
        add(line, "[uwsgi-legion] the Lord of the Legion %.*s is %s (valor: %" PRIu64 " uuid: %s)",
            name_len, name, who->name, who->valor, who->uuid);
        return;
    case LG_NOTE_UNLORDED:
        add(line, "[uwsgi-legion] i am no longer the Lord of the Legion %.*s", name_len, name);
        return;
    default: /* LG_NOTE_AWAITING */
        add(line,
            "[uwsgi-legion] elected in the Legion %.*s, waiting for %s (valor: %" PRIu64
            " uuid: %s) to give the title up",
            name_len, name, who->name, who->valor, who->uuid);
    }
}

static const char *mode_text(int64_t mode)
{
    switch (mode) {
    case LG_MODE_SAFE:
        return "promises decide: with a quorum of more than half of the nodes there are never "
               "two Lords";
    case LG_MODE_MIXED:
        return "a member without promises is alive: uWSGI's rules decide, two Lords are possible";
    default:
        return "uWSGI's rules decide, two Lords are possible";
    }
}

static const char *reason_text(int64_t reason)
{
    static const char *const texts[LG_REASON_COUNT] = {
        [LG_REASON_NONE] = "for no reason",
        [LG_REASON_RESIGNED] = "as asked for",
        [LG_REASON_MAINTENANCE] = "for maintenance",
        [LG_REASON_CHECK] = "its check fails",
        [LG_REASON_MIXED] = "a member without promises has come",
        [LG_REASON_VALOR] = "as an arbiter",
        [LG_REASON_RULES] = "uWSGI's rules are to decide from now on (legion-safe, legion-quorum)",
    };
    return reason >= 0 && reason < LG_REASON_COUNT ? texts[reason] : texts[0];
}

static void render_promises(
    struct line *line, const struct lg_legion_note *note, int name_len, const char *name)
{
    switch (note->kind) {
    case LG_NOTE_MODE:
        add(line, "[uwsgi-legion] Legion %.*s: %s", name_len, name, mode_text(note->number));
        return;
    case LG_NOTE_WAITING:
        add(line,
            "[uwsgi-legion] waiting %" PRId64
            " ms in the Legion %.*s: promises made before may still bind",
            note->number, name_len, name);
        return;
    case LG_NOTE_STEPS_DOWN:
        add(line, "[uwsgi-legion] giving up the title of the Legion %.*s: %s", name_len, name,
            reason_text(note->number));
        return;
    case LG_NOTE_LAPSED:
        add(line,
            "[uwsgi-legion] the title of the Legion %.*s is over and its unlord hooks did not "
            "succeed",
            name_len, name);
        return;
    default: /* LG_NOTE_QUORUM_IS */
        add(line, "[uwsgi-legion] %s has another quorum for the Legion %.*s: %" PRIu64,
            note->who.name, name_len, name, note->quorum);
    }
}

static void render_trouble(
    struct line *line, const struct lg_legion_note *note, int name_len, const char *name)
{
    const char *phase = lg_legion_phase_name(note->phase);
    switch (note->kind) {
    case LG_NOTE_PAUSED:
        add(line,
            "[uwsgi-legion] this process did not run for %" PRId64
            " ms: starting over in the Legion %.*s",
            note->number, name_len, name);
        return;
    case LG_NOTE_PHASE_FAILED:
        add(line, "[uwsgi-legion] the %s hooks of the Legion %.*s failed", phase, name_len, name);
        return;
    case LG_NOTE_SUSPENDED:
        add(line,
            "[uwsgi-legion] giving up the Legion %.*s after a failed lord hook, back in %" PRId64
            " ms (legion-death-on-lord-error)",
            name_len, name, note->number);
        return;
    case LG_NOTE_RESUMED:
        add(line, "[uwsgi-legion] back in the Legion %.*s", name_len, name);
        return;
    case LG_NOTE_MODE:
    case LG_NOTE_WAITING:
    case LG_NOTE_STEPS_DOWN:
    case LG_NOTE_LAPSED:
    case LG_NOTE_QUORUM_IS:
        render_promises(line, note, name_len, name);
        return;
    default: /* LG_NOTE_HOOKS_LOST */
        add(line, "[uwsgi-legion] too many hooks waiting in the Legion %.*s: no %s hook for %s",
            name_len, name, phase, note->who.name);
    }
}

size_t lg_legion_note_render(
    const struct lg_legion_note *note, struct lg_slice legion, char *out, size_t size)
{
    struct line line = {out, size, 0};
    if (size == 0)
        return 0;
    out[0] = '\0';
    int name_len = (int)(legion.len < 256 ? legion.len : 256);
    if (note->kind <= LG_NOTE_DIED)
        render_member(&line, note, name_len, legion.ptr);
    else if (note->kind <= LG_NOTE_QUORUM_END || note->kind == LG_NOTE_NO_QUORUM ||
             note->kind == LG_NOTE_CANNOT)
        render_quorum(&line, note, name_len, legion.ptr);
    else if (note->kind <= LG_NOTE_AWAITING)
        render_title(&line, note, name_len, legion.ptr);
    else
        render_trouble(&line, note, name_len, legion.ptr);
    return line.len;
}

bool lg_legion_note_is_warning(const struct lg_legion_note *note)
{
    switch (note->kind) {
    case LG_NOTE_NO_QUORUM:
    case LG_NOTE_CANNOT:
    case LG_NOTE_PAUSED:
    case LG_NOTE_PHASE_FAILED:
    case LG_NOTE_SUSPENDED:
    case LG_NOTE_HOOKS_LOST:
    case LG_NOTE_LAPSED:
    case LG_NOTE_QUORUM_IS:
    case LG_NOTE_STEPS_DOWN:
        return true;
    case LG_NOTE_MODE:
        return note->number != LG_MODE_SAFE;
    default:
        return false;
    }
}
