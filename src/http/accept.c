/* Accept-Encoding and Accept (RFC 9110 12.5). Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/accept.h"

#include "http/internal.h"

/* qvalue: "0" or "1", a dot, at most three digits. -1 when it is none. */
static int read_weight(struct lg_slice text)
{
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1'))
        return -1;
    int weight = (text.ptr[0] - '0') * LG_HTTP_WEIGHT_MAX;
    int unit = LG_HTTP_WEIGHT_MAX / 10;
    if (text.len > 1 && text.ptr[1] != '.')
        return -1;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        weight += (text.ptr[i] - '0') * unit;
    }
    return weight <= LG_HTTP_WEIGHT_MAX ? weight : -1;
}

/* The weight among the parameters of an element; 1 where there is none. */
static int find_weight(struct lg_slice parameters)
{
    while (parameters.len > 0) {
        struct lg_slice value;
        struct lg_slice parameter = lg_slice_cut(parameters, ';', &parameters);
        struct lg_slice name = lg_slice_trim(lg_slice_cut(parameter, '=', &value));
        if (lg_slice_ieq(name, LG_SLICE("q")))
            return read_weight(lg_slice_trim(value));
    }
    return LG_HTTP_WEIGHT_MAX;
}

/* How well `range` names `what`: 0 = not at all. */
typedef int match_fn(struct lg_slice range, struct lg_slice what);

static int match_coding(struct lg_slice range, struct lg_slice coding)
{
    if (lg_slice_ieq(range, LG_SLICE("x-gzip")))
        range = LG_SLICE("gzip");
    if (lg_slice_ieq(range, coding))
        return 2;
    return lg_slice_eq(range, LG_SLICE("*"));
}

static int match_type(struct lg_slice range, struct lg_slice type)
{
    if (lg_slice_ieq(range, type))
        return 3;
    if (lg_slice_eq(range, LG_SLICE("*/*")))
        return 1;
    bool wide = range.len > 2 && range.ptr[range.len - 1] == '*' && range.len - 1 <= type.len;
    return wide && range.ptr[range.len - 2] == '/' &&
                   lg_slice_ieq(lg_slice_from(range.ptr, range.len - 1),
                       lg_slice_from(type.ptr, range.len - 1))
               ? 2
               : 0;
}

static int find_best(struct lg_slice value, struct lg_slice what, match_fn *match)
{
    int weight = LG_HTTP_WEIGHT_NONE;
    int best = 0;
    struct lg_slice element;
    while (value.ptr && lg_http_list_next(&value, &element)) {
        struct lg_slice parameters;
        struct lg_slice range = lg_slice_trim(lg_slice_cut(element, ';', &parameters));
        int quality = match(range, what);
        int said = quality > best ? find_weight(parameters) : -1;
        if (said < 0)
            continue;
        best = quality;
        weight = said;
    }
    return weight;
}

int lg_http_accept_encoding(struct lg_slice value, struct lg_slice coding)
{
    return find_best(value, coding, match_coding);
}

int lg_http_accept_type(struct lg_slice value, struct lg_slice type)
{
    return find_best(value, type, match_type);
}
