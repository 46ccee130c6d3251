/* The Range field. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/range.h"

#include "http/internal.h"

/* Digits; a number too large for any file is as good as the largest. */
static bool read_number(struct lg_slice text, int64_t *ret_number)
{
    uint64_t number;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    *ret_number = lg_slice_u64(text, INT64_MAX, &number) ? (int64_t)number : INT64_MAX;
    return true;
}

/* One range-spec. False when malformed; ret_range->length is 0 when it names
 * nothing that exists. */
static bool read_spec(struct lg_slice spec, int64_t size, struct lg_http_range *ret_range)
{
    int64_t first;
    int64_t last = INT64_MAX;
    struct lg_slice after;
    struct lg_slice before = lg_slice_cut(spec, '-', &after);
    if (before.len == spec.len) /* no '-' */
        return false;
    if (before.len == 0) {
        if (!read_number(after, &last))
            return false;
        int64_t length = last < size ? last : size;
        *ret_range = (struct lg_http_range){size - length, length};
        return true;
    }
    if (!read_number(before, &first) || (after.len > 0 && !read_number(after, &last)) ||
        last < first)
        return false;
    if (last >= size)
        last = size - 1;
    *ret_range = (struct lg_http_range){first, first < size ? last - first + 1 : 0};
    return true;
}

static bool touches(struct lg_http_range a, struct lg_http_range b)
{
    return a.first <= b.first + b.length && b.first <= a.first + a.length;
}

static struct lg_http_range unite(struct lg_http_range a, struct lg_http_range b)
{
    int64_t first = a.first < b.first ? a.first : b.first;
    int64_t a_end = a.first + a.length;
    int64_t b_end = b.first + b.length;
    return (struct lg_http_range){first, (a_end > b_end ? a_end : b_end) - first};
}

static void take_out(struct lg_http_ranges *ranges, size_t i)
{
    ranges->count--;
    memmove(
        &ranges->items[i], &ranges->items[i + 1], (ranges->count - i) * sizeof ranges->items[0]);
}

/* Adds a range to ranges of which no two touch. What it grows into may touch
 * others in turn: each turn takes one out, so this ends. */
static void merge(struct lg_http_ranges *ranges, struct lg_http_range range)
{
    size_t place = ranges->count;
    for (size_t i = 0; i < ranges->count;) {
        if (!touches(ranges->items[i], range)) {
            i++;
            continue;
        }
        range = unite(ranges->items[i], range);
        take_out(ranges, i);
        place = i < place ? i : place;
        i = 0;
    }
    memmove(&ranges->items[place + 1], &ranges->items[place],
        (ranges->count - place) * sizeof ranges->items[0]);
    ranges->items[place] = range;
    ranges->count++;
}

enum lg_http_range_verdict lg_http_range_parse(
    struct lg_slice value, int64_t size, struct lg_http_ranges *ret_ranges)
{
    struct lg_http_ranges ranges = {.count = 0};
    struct lg_slice specs;
    struct lg_slice spec;
    size_t count = 0;
    struct lg_slice unit = lg_slice_cut(value, '=', &specs);
    if (!lg_slice_ieq(lg_slice_trim(unit), LG_SLICE("bytes")))
        return LG_HTTP_RANGE_IGNORE;
    while (lg_http_list_next(&specs, &spec)) {
        struct lg_http_range range;
        if (++count > LG_RANGE_COUNT_MAX || !read_spec(spec, size, &range))
            return LG_HTTP_RANGE_IGNORE;
        if (range.length > 0)
            merge(&ranges, range);
    }
    if (count == 0)
        return LG_HTTP_RANGE_IGNORE;
    *ret_ranges = ranges;
    return ranges.count ? LG_HTTP_RANGE_SOME : LG_HTTP_RANGE_NONE;
}
