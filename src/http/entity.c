/* Conditional requests and ranges (RFC 9110 13 and 14). Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/entity.h"

#include "base/limits.h"
#include "http/date.h"
#include "http/internal.h"
#include "http/range.h"

#include <inttypes.h>

struct answer {
    const struct lg_request *request;
    const struct lg_http_entity *entity;
    struct lg_slice etag; /* ptr NULL = none */
    struct lg_slice type;
    int64_t now_s;
    uint64_t boundary;
    struct lg_arena *arena;
    struct lg_response *response;
};

/* ---- validators ---- */

static struct lg_slice get(const struct answer *answer, struct lg_slice name)
{
    return lg_request_get(answer->request, name);
}

static bool is_weak(struct lg_slice etag)
{
    return lg_slice_starts(etag, LG_SLICE("W/"));
}

static struct lg_slice opaque(struct lg_slice etag)
{
    return is_weak(etag) ? lg_slice_from(etag.ptr + 2, etag.len - 2) : etag;
}

static bool etag_matches(struct lg_slice a, struct lg_slice b, bool strong)
{
    if (!a.ptr || !b.ptr || (strong && (is_weak(a) || is_weak(b))))
        return false;
    return lg_slice_eq(opaque(a), opaque(b));
}

/* The next entity-tag of a list; commas inside the quotes belong to it. False
 * at the end or at anything malformed. */
static bool next_etag(struct lg_slice *rest, struct lg_slice *ret_etag)
{
    struct lg_slice s = *rest;
    while (s.len > 0 && (s.ptr[0] == ',' || s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    size_t quote = is_weak(s) ? 2 : 0;
    if (s.len <= quote || s.ptr[quote] != '"')
        return false;
    const char *end = memchr(s.ptr + quote + 1, '"', s.len - quote - 1);
    if (!end)
        return false;
    size_t len = (size_t)(end - s.ptr) + 1;
    *ret_etag = lg_slice_from(s.ptr, len);
    *rest = lg_slice_from(s.ptr + len, s.len - len);
    return true;
}

static bool list_matches(struct lg_slice list, struct lg_slice etag, bool strong)
{
    struct lg_slice candidate;
    if (lg_slice_eq(lg_slice_trim(list), LG_SLICE("*")))
        return true;
    while (next_etag(&list, &candidate))
        if (etag_matches(candidate, etag, strong))
            return true;
    return false;
}

/* True when the field is there and is a date. */
static bool get_date(const struct answer *answer, struct lg_slice name, int64_t *ret_unix_s)
{
    struct lg_slice text = get(answer, name);
    return text.ptr && lg_http_date_parse(text, answer->now_s, ret_unix_s) == 0;
}

/* RFC 9110 13.2.2: the status that a precondition calls for, or 200. */
static int precondition(const struct answer *answer)
{
    struct lg_slice if_match = get(answer, LG_SLICE("HTTP_IF_MATCH"));
    struct lg_slice if_none_match = get(answer, LG_SLICE("HTTP_IF_NONE_MATCH"));
    bool reads = answer->request->method != LG_METHOD_OTHER;
    int64_t date;
    if (if_match.ptr) {
        if (!list_matches(if_match, answer->etag, true))
            return 412;
    } else if (get_date(answer, LG_SLICE("HTTP_IF_UNMODIFIED_SINCE"), &date)) {
        if (answer->entity->mtime_s > date)
            return 412;
    }
    if (if_none_match.ptr) {
        if (list_matches(if_none_match, answer->etag, false))
            return reads ? 304 : 412;
    } else if (reads && get_date(answer, LG_SLICE("HTTP_IF_MODIFIED_SINCE"), &date)) {
        if (answer->entity->mtime_s <= date)
            return 304;
    }
    return 200;
}

/* Whether Range counts (RFC 9110 13.1.5, 14.2). A date is a strong validator
 * only once the second it names is over: the file might change in it again. */
static bool range_applies(const struct answer *answer)
{
    struct lg_slice if_range = get(answer, LG_SLICE("HTTP_IF_RANGE"));
    int64_t date;
    if (answer->request->method != LG_METHOD_GET)
        return false;
    if (!if_range.ptr)
        return true;
    struct lg_slice rest = if_range;
    struct lg_slice etag;
    if (next_etag(&rest, &etag))
        return lg_slice_trim(rest).len == 0 && etag_matches(etag, answer->etag, true);
    return get_date(answer, LG_SLICE("HTTP_IF_RANGE"), &date) && date == answer->entity->mtime_s &&
           date < answer->now_s;
}

/* ---- the head ---- */

static int header(const struct answer *answer, struct lg_slice name, struct lg_slice value)
{
    return lg_response_header(answer->response, answer->arena, name, value);
}

static int add_validators(const struct answer *answer)
{
    int64_t mtime_s = answer->entity->mtime_s;
    int err = 0;
    if (answer->etag.ptr)
        err = header(answer, LG_SLICE("ETag"), answer->etag);
    if (err || mtime_s < 0 || mtime_s > answer->now_s)
        return err;
    char text[LG_HTTP_DATE_LEN + 1];
    lg_http_date_format(mtime_s, text);
    return header(answer, LG_SLICE("Last-Modified"), lg_slice_from(text, LG_HTTP_DATE_LEN));
}

static int add_printed(const struct answer *answer, struct lg_slice name, const char *text)
{
    return text ? header(answer, name, lg_slice_of(text)) : -LG_E_NOMEM;
}

/* A cache that knows max-age takes it before Expires (RFC 9111 5.3). */
static int add_expires(const struct answer *answer)
{
    const struct lg_http_entity *entity = answer->entity;
    int64_t from_s =
        entity->expires == LG_HTTP_EXPIRES_FROM_MTIME ? entity->mtime_s : answer->now_s;
    int64_t until_s = from_s + entity->expires_after_s;
    int64_t age_s = until_s > answer->now_s ? until_s - answer->now_s : 0;
    char date[LG_HTTP_DATE_LEN + 1];
    if (entity->expires == LG_HTTP_EXPIRES_UNSAID)
        return 0;
    int err = add_printed(answer, LG_SLICE("Cache-Control"),
        lg_arena_printf(answer->arena, "max-age=%" PRId64, age_s));
    if (err)
        return err;
    lg_http_date_format(until_s, date);
    return header(answer, LG_SLICE("Expires"), lg_slice_from(date, LG_HTTP_DATE_LEN));
}

/* What the entity says besides, of any answer, of one that stands for the file, of
 * one that carries it. */
static int add_extras(const struct answer *answer, int status)
{
    const struct lg_http_entity *entity = answer->entity;
    int err = 0;
    if (entity->varies)
        err = header(answer, LG_SLICE("Vary"), lg_slice_of(entity->varies));
    if (!err && status != 412 && status != 416)
        err = add_expires(answer);
    if (!err && entity->encoding && status / 100 == 2)
        err = header(answer, LG_SLICE("Content-Encoding"), lg_slice_of(entity->encoding));
    return err;
}

static int begin(const struct answer *answer, int status)
{
    int err = 0;
    *answer->response = (struct lg_response){.status = status};
    if (status != 412 && status != 416)
        err = add_validators(answer);
    if (!err && status != 412 && status != 304)
        err = header(answer, LG_SLICE("Accept-Ranges"), LG_SLICE("bytes"));
    return err ? err : add_extras(answer, status);
}

/* ---- bodies ---- */

static struct lg_http_segment *new_segments(const struct answer *answer, size_t count)
{
    return lg_arena_alloc(answer->arena, count * sizeof(struct lg_http_segment));
}

/* One stretch of the file. */
static int plan_segment(
    const struct answer *answer, struct lg_http_range range, struct lg_http_plan *plan)
{
    struct lg_http_segment *segment = new_segments(answer, 1);
    if (!segment)
        return -LG_E_NOMEM;
    *segment = (struct lg_http_segment){.offset = range.first, .length = range.length};
    *plan = (struct lg_http_plan){
        .length = range.length, .segment_count = range.length > 0, .segments = segment};
    return 0;
}

static int plan_stretch(
    const struct answer *answer, struct lg_http_range range, struct lg_http_plan *plan)
{
    int err = plan_segment(answer, range, plan);
    return err ? err : header(answer, LG_SLICE("Content-Type"), answer->type);
}

/* All of the file, under a head that was made before. */
static int plan_ready(const struct answer *answer, struct lg_http_plan *plan)
{
    struct lg_slice lines = lg_slice_from(answer->entity->lines, answer->entity->lines_len);
    *answer->response =
        (struct lg_response){.status = 200, .lines = lg_arena_slice(answer->arena, lines)};
    if (!answer->response->lines.ptr)
        return -LG_E_NOMEM;
    int err = add_extras(answer, 200);
    if (err)
        return err;
    return plan_segment(answer, (struct lg_http_range){.length = answer->entity->size}, plan);
}

static int plan_single(
    const struct answer *answer, struct lg_http_range range, struct lg_http_plan *plan)
{
    int err = plan_stretch(answer, range, plan);
    if (err)
        return err;
    return add_printed(answer, LG_SLICE("Content-Range"),
        lg_arena_printf(answer->arena, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, range.first,
            range.first + range.length - 1, answer->entity->size));
}

static bool text_segment(struct lg_http_segment *segment, const char *text)
{
    if (text)
        *segment = (struct lg_http_segment){.text = text, .length = (int64_t)strlen(text)};
    return text;
}

/* multipart/byteranges, RFC 9110 14.6. */
static int plan_multi(
    const struct answer *answer, const struct lg_http_ranges *ranges, struct lg_http_plan *plan)
{
    size_t count = ranges->count * 2 + 1;
    struct lg_http_segment *segments = new_segments(answer, count);
    if (!segments)
        return -LG_E_NOMEM;
    for (size_t i = 0; i < ranges->count; i++) {
        struct lg_http_range range = ranges->items[i];
        const char *text = lg_arena_printf(answer->arena,
            "%s--%016" PRIx64 "\r\nContent-Type: %s\r\nContent-Range: bytes %" PRId64 "-%" PRId64
            "/%" PRId64 "\r\n\r\n",
            i ? "\r\n" : "", answer->boundary, answer->type.ptr, range.first,
            range.first + range.length - 1, answer->entity->size);
        if (!text_segment(&segments[i * 2], text))
            return -LG_E_NOMEM;
        segments[i * 2 + 1] =
            (struct lg_http_segment){.offset = range.first, .length = range.length};
    }
    const char *end =
        lg_arena_printf(answer->arena, "\r\n--%016" PRIx64 "--\r\n", answer->boundary);
    if (!text_segment(&segments[count - 1], end))
        return -LG_E_NOMEM;
    *plan = (struct lg_http_plan){.segment_count = count, .segments = segments};
    for (size_t i = 0; i < count; i++)
        plan->length += segments[i].length;
    return add_printed(answer, LG_SLICE("Content-Type"),
        lg_arena_printf(
            answer->arena, "multipart/byteranges; boundary=%016" PRIx64, answer->boundary));
}

static int answer_416(const struct answer *answer)
{
    int err = begin(answer, 416);
    if (err)
        return err;
    return add_printed(answer, LG_SLICE("Content-Range"),
        lg_arena_printf(answer->arena, "bytes */%" PRId64, answer->entity->size));
}

static int answer_body(const struct answer *answer, struct lg_http_plan *ret_plan)
{
    struct lg_http_ranges ranges = {.count = 0};
    enum lg_http_range_verdict verdict = LG_HTTP_RANGE_IGNORE;
    struct lg_slice range = get(answer, LG_SLICE("HTTP_RANGE"));
    if (range.ptr && range_applies(answer))
        verdict = lg_http_range_parse(range, answer->entity->size, &ranges);
    if (verdict == LG_HTTP_RANGE_NONE)
        return answer_416(answer);
    struct lg_http_plan plan = {0};
    bool ready = verdict == LG_HTTP_RANGE_IGNORE && answer->entity->lines;
    int err = ready ? 0 : begin(answer, verdict == LG_HTTP_RANGE_SOME ? 206 : 200);
    if (err)
        return err;
    if (ready)
        err = plan_ready(answer, &plan);
    else if (verdict == LG_HTTP_RANGE_IGNORE)
        err = plan_stretch(answer, (struct lg_http_range){.length = answer->entity->size}, &plan);
    else if (ranges.count == 1)
        err = plan_single(answer, ranges.items[0], &plan);
    else
        err = plan_multi(answer, &ranges, &plan);
    if (err)
        return err;
    answer->response->length = plan.length;
    *ret_plan = plan;
    return answer->request->method == LG_METHOD_HEAD ? 0 : 1;
}

int lg_http_entity_answer(const struct lg_request *request, const struct lg_http_entity *entity,
    uint64_t boundary, int64_t now_s, struct lg_arena *arena, struct lg_response *response,
    struct lg_http_plan *ret_plan)
{
    struct answer answer = {
        .request = request,
        .entity = entity,
        .etag = lg_slice_of(entity->etag),
        .type =
            lg_slice_of(entity->content_type ? entity->content_type : "application/octet-stream"),
        .now_s = now_s,
        .boundary = boundary,
        .arena = arena,
        .response = response,
    };
    if (entity->size < 0 || memchr(answer.type.ptr, '\n', answer.type.len) ||
        memchr(answer.type.ptr, '\r', answer.type.len))
        return -LG_E_INVALID;
    int status = precondition(&answer);
    return status == 200 ? answer_body(&answer, ret_plan) : begin(&answer, status);
}

int lg_http_entity_lines(const struct lg_http_entity *entity, int64_t now_s, struct lg_buf *out)
{
    struct lg_slice type =
        lg_slice_of(entity->content_type ? entity->content_type : "application/octet-stream");
    struct lg_slice etag = lg_slice_of(entity->etag);
    size_t before = out->len;
    char date[LG_HTTP_DATE_LEN + 1];
    if (entity->mtime_s < 0 || entity->mtime_s > now_s || !lg_response_is_value(type) ||
        !lg_response_is_value(etag))
        return -LG_E_INVALID;
    lg_http_date_format(entity->mtime_s, date);
    const struct lg_slice parts[] = {LG_SLICE("ETag: "), etag, LG_SLICE("\r\n"),
        LG_SLICE("Last-Modified: "), {date, LG_HTTP_DATE_LEN},
        LG_SLICE("\r\nAccept-Ranges: bytes\r\nContent-Type: "), type, LG_SLICE("\r\n")};
    int err = 0;
    for (size_t i = etag.ptr ? 0 : 3; i < sizeof parts / sizeof *parts && !err; i++)
        err = lg_buf_append(out, parts[i].ptr, parts[i].len);
    if (err)
        out->len = before;
    return err;
}
