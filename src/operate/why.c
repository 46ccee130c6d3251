/* Why a node is Lord or is not, in a sentence. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operate/inner.h"

#include <inttypes.h>
#include <string.h>

/* Announcements of a member that may be lost before we speak of it. */
#define SILENT_FREQS 3

/* ---- Out of the JSON ---------------------------------------------------------------- */

const char *lg_operate_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int64_t lg_operate_number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

int lg_operate_put_ago(struct lg_buf *out, int64_t ago_s)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t at = 0;
    ago_s = ago_s > 0 ? ago_s : 0;
    while (at < 3 && ago_s < 2 * units[at].seconds)
        at++;
    return lg_buf_printf(out, "%" PRId64 " %c", ago_s / units[at].seconds, units[at].unit);
}

static int put_since(struct lg_buf *out, const char *what, int64_t ago_s)
{
    int err = lg_buf_puts(out, what);
    return err ? err : lg_operate_put_ago(out, ago_s);
}

/* ---- Not standing --------------------------------------------------------------------- */

bool lg_operate_is_aside(const json_t *legion)
{
    return lg_operate_text(legion, "aside")[0] != '\0';
}

static int put_checks(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    size_t index, count = 0;
    json_t *check;
    int err = 0;
    json_array_foreach(json_object_get(legion, "checks"), index, check)
    {
        const char *result = lg_operate_text(check, "last_result");
        int64_t changed_s = lg_operate_number(check, "last_change");
        if (err || json_is_true(json_object_get(check, "well")))
            continue;
        err = lg_buf_printf(
            out, "%scheck \"%s\" ", count++ ? ", " : "", lg_operate_text(check, "name"));
        if (!err && changed_s)
            err = put_since(out, "unwell since ", now_s - changed_s);
        else if (!err)
            err = lg_buf_puts(out, "has no verdict yet");
        if (!err && result[0])
            err = lg_buf_printf(out, " (it %s)", result);
    }
    return err || count ? err : lg_buf_puts(out, "a check is unwell");
}

int lg_operate_put_aside(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    const char *aside = lg_operate_text(legion, "aside");
    if (strcmp(aside, "check") == 0)
        return put_checks(legion, now_s, out);
    if (strcmp(aside, "resigned") == 0)
        return put_since(out, "resigned, does not stand for another ",
            lg_operate_number(legion, "aside_ms") / 1000);
    if (strcmp(aside, "mixed") == 0)
        return lg_buf_puts(out, "gives way to a member that makes no promises");
    if (strcmp(aside, "rules") == 0)
        return lg_buf_puts(out, "is going over to uWSGI's rules (legion-safe, legion-quorum)");
    return lg_buf_puts(out, aside);
}

/* ---- Troubles of members --------------------------------------------------------------- */

static int put_member(const json_t *legion, const json_t *member, int64_t now_s, struct lg_buf *out)
{
    int64_t deaf_s = lg_operate_number(member, "deaf_since");
    int64_t silent_s = now_s - lg_operate_number(member, "last_seen");
    int64_t late_ms = SILENT_FREQS * lg_operate_number(legion, "freq_ms") + 1000;
    const char *name = lg_operate_text(member, "name");
    int err;
    if (silent_s * 1000 > late_ms) {
        err = lg_buf_printf(out, ", %s ", name);
        return err ? err : put_since(out, "silent since ", silent_s);
    }
    if (deaf_s < 0)
        return lg_buf_printf(out, ", %s has never heard this node", name);
    if (deaf_s == 0)
        return 0;
    err = lg_buf_printf(out, ", %s ", name);
    return err ? err : put_since(out, "deaf since ", now_s - deaf_s);
}

static int put_left(const json_t *left, int64_t now_s, struct lg_buf *out)
{
    int64_t ago_s = now_s - lg_operate_number(left, "last_seen");
    bool died = json_is_true(json_object_get(left, "died"));
    int err = lg_buf_printf(out, ", %s ", lg_operate_text(left, "name"));
    err = err ? err : put_since(out, died ? "left " : "silent since ", ago_s);
    return err || !died ? err : lg_buf_puts(out, " ago");
}

static bool is_group(const char *address)
{
    return strncmp(address, "22", 2) == 0 || strncmp(address, "23", 2) == 0 ||
           strncmp(address, "[ff", 3) == 0;
}

/* Configured nodes that were not there since this one has started. A group's
 * cannot be counted. */
static int put_unheard(const json_t *legion, struct lg_buf *out)
{
    size_t index, nodes = 0;
    json_t *node;
    size_t heard = json_array_size(json_object_get(legion, "members")) +
                   json_array_size(json_object_get(legion, "left"));
    json_array_foreach(json_object_get(legion, "nodes"), index, node)
    {
        const char *address = json_string_value(node);
        if (!address || is_group(address))
            return 0;
        nodes += strcmp(address, lg_operate_text(legion, "addr")) != 0;
    }
    if (nodes <= heard)
        return 0;
    return lg_buf_printf(out, ", %zu of %zu configured nodes never heard", nodes - heard, nodes);
}

static int put_troubles(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    size_t index;
    json_t *one;
    int err = 0;
    json_array_foreach(json_object_get(legion, "members"), index, one) err =
        err ? err : put_member(legion, one, now_s, out);
    json_array_foreach(json_object_get(legion, "left"), index, one) err =
        err ? err : put_left(one, now_s, out);
    return err ? err : put_unheard(legion, out);
}

/* ---- The sentence ------------------------------------------------------------------------- */

static bool agrees(const json_t *legion)
{
    size_t index;
    json_t *member;
    int64_t own = lg_operate_number(legion, "checksum");
    json_array_foreach(json_object_get(legion, "members"), index,
        member) if (lg_operate_number(member, "checksum") != own) return false;
    return true;
}

/* By promises a known Lord is one; by uWSGI's rules only a vote of enough who agree. */
static bool has_other_lord(const json_t *legion)
{
    const char *lord = lg_operate_text(legion, "lord_uuid");
    int64_t votes = lg_operate_number(legion, "votes");
    bool safe = strcmp(lg_operate_text(legion, "mode"), "safe") == 0;
    if (!lord[0] || strcmp(lord, lg_operate_text(legion, "uuid")) == 0)
        return false;
    if (safe || !json_is_integer(json_object_get(legion, "votes"))) /* uWSGI does not tell */
        return safe || agrees(legion);
    return votes > 0 && votes >= lg_operate_number(legion, "quorum") && agrees(legion);
}

static int put_lord(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    int64_t epoch = lg_operate_number(legion, "epoch");
    int err = put_since(out, "Lord for ", now_s - lg_operate_number(legion, "i_am_the_lord"));
    return err || !epoch ? err : lg_buf_printf(out, ", epoch %" PRId64, epoch);
}

static int put_not_lord(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    int64_t waiting_ms = lg_operate_number(legion, "waiting_ms");
    int err = lg_buf_puts(out, "not Lord: ");
    if (err)
        return err;
    if (lg_operate_is_aside(legion))
        return lg_operate_put_aside(legion, now_s, out);
    if (lg_operate_number(legion, "valor") == 0)
        return lg_buf_puts(out, "an arbiter, which votes only");
    if (has_other_lord(legion))
        return lg_buf_printf(out, "%s is, valor %" PRId64 " there, %" PRId64 " here",
            lg_operate_text(legion, "lord_name")[0] ? lg_operate_text(legion, "lord_name")
                                                    : "another node",
            lg_operate_number(legion, "lord_valor"), lg_operate_number(legion, "valor"));
    if (waiting_ms > 0)
        return lg_buf_printf(out,
            "waits %" PRId64 ".%" PRId64 " s more, promises of an earlier life may bind it",
            waiting_ms / 1000, waiting_ms % 1000 / 100);
    return lg_buf_printf(out, "%" PRId64 " of %" PRId64 " votes",
        lg_operate_number(legion, "votes"), lg_operate_number(legion, "quorum"));
}

static int put_legion(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    bool is_lord = lg_operate_number(legion, "i_am_the_lord") > 0;
    int err = lg_buf_printf(out, "%s: ", lg_operate_text(legion, "legion"));
    if (!err)
        err = is_lord ? put_lord(legion, now_s, out) : put_not_lord(legion, now_s, out);
    if (!err)
        err = put_troubles(legion, now_s, out);
    return err ? err : lg_buf_puts(out, "\n");
}

int lg_operate_why(const char *json, size_t len, int64_t now_s, struct lg_buf *out)
{
    size_t index, before = out->len;
    json_t *legion;
    json_t *root = json_loadb(json, len, 0, NULL);
    const json_t *legions = json_object_get(root, "legions");
    int err = json_is_array(legions) ? 0 : -LG_E_PROTO;
    if (!err && json_array_size(legions) == 0)
        err = lg_buf_puts(out, "it is in no legion\n");
    json_array_foreach(legions, index, legion) err = err ? err : put_legion(legion, now_s, out);
    json_decref(root);
    if (err)
        out->len = before;
    return err;
}
