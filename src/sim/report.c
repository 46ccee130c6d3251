/* Lines for machines. Pure; depends on base only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/report.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <stdlib.h>

json_t *lg_sim_json_text(struct lg_slice text)
{
    struct lg_buf clean = {0};
    int err = lg_buf_reserve(&clean, text.len + 1);
    for (size_t i = 0; i < text.len && !err;) {
        size_t n = lg_utf8_len(lg_slice_from(text.ptr + i, text.len - i));
        err = n ? lg_buf_append(&clean, text.ptr + i, n) : lg_buf_puts(&clean, "\xEF\xBF\xBD");
        i += n ? n : 1;
    }
    json_t *value = err ? NULL : json_stringn(clean.ptr, clean.len);
    lg_buf_free(&clean);
    return value;
}

json_t *lg_sim_json_s(int64_t us)
{
    return json_real((double)us / 1000000);
}

json_t *lg_sim_json_count(uint64_t count)
{
    return json_integer((json_int_t)(count > INT64_MAX ? INT64_MAX : count));
}

int lg_sim_report(lg_sim_print *print, void *arg, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    if (text)
        print(arg, text);
    free(text);
    json_decref(object);
    return text ? 0 : -LG_E_NOMEM;
}
