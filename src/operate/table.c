/* The statistics of legions as a table for people. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operate/inner.h"

#include <inttypes.h>
#include <string.h>

#define NAME_WIDTH_MIN 8
#define NAME_WIDTH_MAX 40

/* ---- Why -------------------------------------------------------------------------- */

static size_t differing(const json_t *legion, const char **ret_first)
{
    size_t index, count = 0;
    json_t *member;
    int64_t own = lg_operate_number(legion, "checksum");
    json_array_foreach(json_object_get(legion, "members"), index,
        member) if (lg_operate_number(member, "checksum") != own && count++ == 0) *ret_first =
        lg_operate_text(member, "name");
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
    int64_t quorum = lg_operate_number(legion, "quorum"),
            reach = lg_operate_number(legion, "reach");
    int64_t waiting_ms = lg_operate_number(legion, "waiting_ms");
    if (waiting_ms > 0)
        return lg_buf_printf(out,
            "  no Lord from here: waits %" PRId64 ".%" PRId64
            " s more, promises of an earlier life may bind it\n",
            waiting_ms / 1000, waiting_ms % 1000 / 100);
    if (reach < quorum)
        return lg_buf_printf(out,
            "  no Lord from here: in touch with %" PRId64 " of %" PRId64 " nodes\n", reach, quorum);
    return lg_buf_printf(out, "  no Lord yet: %" PRId64 " of %" PRId64 " votes\n",
        lg_operate_number(legion, "votes"), quorum);
}

static int put_why(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    int64_t votes = lg_operate_number(legion, "votes"),
            quorum = lg_operate_number(legion, "quorum");
    int64_t since_s = lg_operate_number(legion, "i_am_the_lord");
    const char *other = "";
    size_t count = differing(legion, &other);
    int err;
    if (since_s > 0) {
        err = lg_buf_printf(out, "  Lord for ");
        err = err ? err : lg_operate_put_ago(out, now_s - since_s);
        if (lg_operate_number(legion, "epoch"))
            err = err ? err
                      : lg_buf_printf(out, ", epoch %" PRId64, lg_operate_number(legion, "epoch"));
        return err ? err : lg_buf_puts(out, "\n");
    }
    if (lg_operate_is_aside(legion)) {
        err = lg_buf_puts(out, "  not Lord: ");
        err = err ? err : lg_operate_put_aside(legion, now_s, out);
        return err ? err : lg_buf_puts(out, "\n");
    }
    if (strcmp(lg_operate_text(legion, "mode"), "safe") == 0 &&
        !lg_operate_text(legion, "lord_uuid")[0])
        return put_why_nobody(legion, out);
    if (strcmp(lg_operate_text(legion, "mode"), "safe") == 0)
        count = 0, votes = quorum; /* views may differ: promises decide */
    if (count)
        err = lg_buf_printf(out,
            "  no agreement: %zu member%s, %s first, see%s another legion than this node\n", count,
            count == 1 ? "" : "s", other, count == 1 ? "s" : "");
    else if (has_votes(legion) && (votes == 0 || votes < quorum))
        err = lg_buf_printf(out, "  no Lord from here: %" PRId64 " of %" PRId64 " votes\n", votes,
            quorum ? quorum : 1);
    else if (lg_operate_number(legion, "valor") == 0)
        err = lg_buf_puts(out, "  not Lord: an arbiter, which votes only\n");
    else if (strcmp(lg_operate_text(legion, "lord_uuid"), lg_operate_text(legion, "uuid")) == 0)
        err =
            lg_buf_puts(out, "  not Lord yet: elected, the hooks run or another still holds it\n");
    else
        err = lg_buf_printf(out, "  not Lord: valor %" PRId64 " there, %" PRId64 " here\n",
            lg_operate_number(legion, "lord_valor"), lg_operate_number(legion, "valor"));
    return err;
}

/* ---- Rows ----------------------------------------------------------------------------- */

static const char *name_of_lord(const json_t *legion)
{
    const char *uuid = lg_operate_text(legion, "lord_uuid");
    size_t index;
    json_t *member;
    if (!uuid[0])
        return "nobody";
    if (strcmp(uuid, lg_operate_text(legion, "uuid")) == 0)
        return "this node";
    json_array_foreach(json_object_get(legion, "members"), index,
        member) if (strcmp(uuid, lg_operate_text(member, "uuid")) ==
                    0) return lg_operate_text(member, "name");
    return "a node that has left";
}

static const char *role_of(const json_t *legion)
{
    if (lg_operate_number(legion, "i_am_the_lord") > 0)
        return "Lord";
    return lg_operate_number(legion, "valor") == 0 ? "arbiter" : "follower";
}

static int put_head(const json_t *legion, struct lg_buf *out)
{
    int err = lg_buf_printf(out, "legion %s at %s: %s, valor %" PRId64 "; votes ",
        lg_operate_text(legion, "legion"), lg_operate_text(legion, "addr"), role_of(legion),
        lg_operate_number(legion, "valor"));
    if (!err && has_votes(legion))
        err = lg_buf_printf(out, "%" PRId64 " of ", lg_operate_number(legion, "votes"));
    if (!err)
        err = lg_buf_printf(out, "%" PRId64 "; votes for %s\n", lg_operate_number(legion, "quorum"),
            name_of_lord(legion));
    return err;
}

static int width_of(const json_t *legion)
{
    size_t index, width = NAME_WIDTH_MIN;
    json_t *member;
    json_array_foreach(json_object_get(legion, "members"), index, member)
    {
        size_t len = strlen(lg_operate_text(member, "name"));
        width = len > width ? len : width;
    }
    return (int)(width < NAME_WIDTH_MAX ? width : NAME_WIDTH_MAX);
}

static int put_member(
    const json_t *legion, const json_t *member, int width, int64_t now_s, struct lg_buf *out)
{
    bool same = lg_operate_number(member, "checksum") == lg_operate_number(legion, "checksum");
    int err = lg_buf_printf(out, "  %-*.*s %8" PRId64 "  %-7s  %.8s  ", width, width,
        lg_operate_text(member, "name"), lg_operate_number(member, "valor"),
        same ? "same" : "differs", lg_operate_text(member, "uuid"));
    if (!err)
        err = lg_operate_put_ago(out, now_s - lg_operate_number(member, "last_seen"));
    return err ? err : lg_buf_puts(out, " ago\n");
}

static int put_checks(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    size_t index;
    json_t *check;
    const json_t *checks = json_object_get(legion, "checks");
    int err = 0;
    if (json_array_size(checks) == 0)
        return 0;
    err = lg_buf_printf(out, "  %-40s  %-6s  %-6s  %s\n", "CHECK", "WELL", "SINCE", "IT");
    json_array_foreach(checks, index, check)
    {
        int64_t changed_s = lg_operate_number(check, "last_change");
        bool well = json_is_true(json_object_get(check, "well"));
        if (!err)
            err = lg_buf_printf(
                out, "  %-40.40s  %-6s  ", lg_operate_text(check, "name"), well ? "yes" : "no");
        size_t start = out->len;
        if (!err)
            err = changed_s ? lg_operate_put_ago(out, now_s - changed_s) : lg_buf_puts(out, "-");
        if (!err)
            err = lg_buf_printf(out, "%*s  %s\n",
                (int)(6 > out->len - start ? 6 - (out->len - start) : 0), "",
                lg_operate_text(check, "last_result"));
    }
    return err;
}

static int put_members(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    size_t index;
    json_t *member;
    const json_t *members = json_object_get(legion, "members");
    int width = width_of(legion);
    if (json_array_size(members) == 0)
        return lg_buf_puts(out, "  no member is heard\n");
    int err = lg_buf_printf(
        out, "  %-*s %8s  %-7s  %-8s  %s\n", width, "MEMBER", "VALOR", "VIEW", "UUID", "SEEN");
    json_array_foreach(members, index, member) err =
        err ? err : put_member(legion, member, width, now_s, out);
    return err;
}

static int put_legion(const json_t *legion, int64_t now_s, struct lg_buf *out)
{
    int err = put_head(legion, out);
    if (!err)
        err = put_why(legion, now_s, out);
    if (!err)
        err = put_members(legion, now_s, out);
    return err ? err : put_checks(legion, now_s, out);
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
