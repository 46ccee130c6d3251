/* The statistics of legions as a table for people. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operate/operate.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define NAME_WIDTH_MIN 8
#define NAME_WIDTH_MAX 40

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static int put_ago(struct lg_buf *out, int64_t ago_s)
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

/* ---- Why -------------------------------------------------------------------------- */

static size_t differing(const json_t *legion, const char **ret_first)
{
    size_t index, count = 0;
    json_t *member;
    int64_t own = number_of(legion, "checksum");
    json_array_foreach(json_object_get(legion, "members"), index,
        member) if (number_of(member, "checksum") != own && count++ == 0) *ret_first =
        text_of(member, "name");
    return count;
}

/* uWSGI does not tell the votes of its last tally. */
static bool has_votes(const json_t *legion)
{
    return json_is_integer(json_object_get(legion, "votes"));
}

/* By promises: there is no Lord that this node knows of. */
static int put_why_nobody(const json_t *legion, struct lg_buf *out)
{
    int64_t quorum = number_of(legion, "quorum"), reach = number_of(legion, "reach");
    int64_t waiting_ms = number_of(legion, "waiting_ms");
    if (waiting_ms > 0)
        return lg_buf_printf(out,
            "  no Lord from here: waits %" PRId64 ".%" PRId64
            " s more, promises of an earlier life may bind it\n",
            waiting_ms / 1000, waiting_ms % 1000 / 100);
    if (reach < quorum)
        return lg_buf_printf(out,
            "  no Lord from here: in touch with %" PRId64 " of %" PRId64 " nodes\n", reach, quorum);
    return lg_buf_printf(out, "  no Lord yet: %" PRId64 " of %" PRId64 " votes\n",
        number_of(legion, "votes"), quorum);
}

static int put_why(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    int64_t votes = number_of(legion, "votes"), quorum = number_of(legion, "quorum");
    int64_t since_s = number_of(legion, "i_am_the_lord");
    const char *other = "";
    size_t count = differing(legion, &other);
    int err;
    if (since_s > 0) {
        err = lg_buf_printf(out, "  Lord for ");
        err = err ? err : put_ago(out, now_s - since_s);
        if (number_of(legion, "epoch"))
            err = err ? err : lg_buf_printf(out, ", epoch %" PRId64, number_of(legion, "epoch"));
        return err ? err : lg_buf_puts(out, "\n");
    }
    if (strcmp(text_of(legion, "mode"), "safe") == 0 && !text_of(legion, "lord_uuid")[0])
        return put_why_nobody(legion, out);
    if (strcmp(text_of(legion, "mode"), "safe") == 0)
        count = 0, votes = quorum; /* views may differ: promises decide */
    if (count)
        err = lg_buf_printf(out,
            "  no agreement: %zu member%s, %s first, see%s another legion than this node\n", count,
            count == 1 ? "" : "s", other, count == 1 ? "s" : "");
    else if (has_votes(legion) && (votes == 0 || votes < quorum))
        err = lg_buf_printf(out, "  no Lord from here: %" PRId64 " of %" PRId64 " votes\n", votes,
            quorum ? quorum : 1);
    else if (number_of(legion, "valor") == 0)
        err = lg_buf_puts(out, "  not Lord: an arbiter, which votes only\n");
    else if (strcmp(text_of(legion, "lord_uuid"), text_of(legion, "uuid")) == 0)
        err =
            lg_buf_puts(out, "  not Lord yet: elected, the hooks run or another still holds it\n");
    else
        err = lg_buf_printf(out, "  not Lord: valor %" PRId64 " there, %" PRId64 " here\n",
            number_of(legion, "lord_valor"), number_of(legion, "valor"));
    return err;
}

/* ---- Rows ----------------------------------------------------------------------------- */

static const char *name_of_lord(const json_t *legion)
{
    const char *uuid = text_of(legion, "lord_uuid");
    size_t index;
    json_t *member;
    if (!uuid[0])
        return "nobody";
    if (strcmp(uuid, text_of(legion, "uuid")) == 0)
        return "this node";
    json_array_foreach(json_object_get(legion, "members"), index,
        member) if (strcmp(uuid, text_of(member, "uuid")) == 0) return text_of(member, "name");
    return "a node that has left";
}

static const char *role_of(const json_t *legion)
{
    if (number_of(legion, "i_am_the_lord") > 0)
        return "Lord";
    return number_of(legion, "valor") == 0 ? "arbiter" : "follower";
}

static int put_head(const json_t *legion, struct lg_buf *out)
{
    int err = lg_buf_printf(out, "legion %s at %s: %s, valor %" PRId64 "; votes ",
        text_of(legion, "legion"), text_of(legion, "addr"), role_of(legion),
        number_of(legion, "valor"));
    if (!err && has_votes(legion))
        err = lg_buf_printf(out, "%" PRId64 " of ", number_of(legion, "votes"));
    if (!err)
        err = lg_buf_printf(
            out, "%" PRId64 "; votes for %s\n", number_of(legion, "quorum"), name_of_lord(legion));
    return err;
}

static int width_of(const json_t *legion)
{
    size_t index, width = NAME_WIDTH_MIN;
    json_t *member;
    json_array_foreach(json_object_get(legion, "members"), index, member)
    {
        size_t len = strlen(text_of(member, "name"));
        width = len > width ? len : width;
    }
    return (int)(width < NAME_WIDTH_MAX ? width : NAME_WIDTH_MAX);
}

static int put_member(
    const json_t *legion, const json_t *member, int width, int64_t now_s, struct lg_buf *out)
{
    bool same = number_of(member, "checksum") == number_of(legion, "checksum");
    int err = lg_buf_printf(out, "  %-*.*s %8" PRId64 "  %-7s  %.8s  ", width, width,
        text_of(member, "name"), number_of(member, "valor"), same ? "same" : "differs",
        text_of(member, "uuid"));
    if (!err)
        err = put_ago(out, now_s - number_of(member, "last_seen"));
    return err ? err : lg_buf_puts(out, " ago\n");
}

static int put_legion(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    size_t index;
    json_t *member;
    const json_t *members = json_object_get(legion, "members");
    int width = width_of(legion);
    int err = put_head(legion, out);
    if (!err)
        err = put_why(legion, now_s, out);
    if (!err && json_array_size(members) == 0)
        return lg_buf_puts(out, "  no member is heard\n");
    if (!err)
        err = lg_buf_printf(
            out, "  %-*s %8s  %-7s  %-8s  %s\n", width, "MEMBER", "VALOR", "VIEW", "UUID", "SEEN");
    json_array_foreach(members, index, member) err =
        err ? err : put_member(legion, member, width, now_s, out);
    return err;
}

int lg_operate_legions(const char *json, size_t len, int64_t now_s, struct lg_buf *out)
{
    size_t index;
    json_t *legion;
    json_t *root = json_loadb(json, len, 0, NULL);
    const json_t *legions = json_object_get(root, "legions");
    size_t before = out->len;
    int err = json_is_array(legions) ? 0 : -LG_E_PROTO;
    if (!err && json_array_size(legions) == 0)
        err = lg_buf_puts(out, "it is in no legion\n");
    json_array_foreach(legions, index, legion)
    {
        if (!err && index)
            err = lg_buf_puts(out, "\n");
        if (!err)
            err = put_legion(legion, now_s, out);
    }
    json_decref(root);
    if (err)
        out->len = before;
    return err;
}
