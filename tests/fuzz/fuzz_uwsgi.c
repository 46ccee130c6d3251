/* uwsgi packets: any bytes, cut anywhere, give the same outcome; outcome.c
 * aborts where a request is not sound. The first byte chooses how the rest is
 * cut, the second a small buffer-size.
 * SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *data, size_t len, size_t step, size_t buffer_size)
{
    struct lg_buf whole = {0};
    const size_t steps[] = {1, step};
    outcome_uwsgi(data, len, 0, buffer_size, &whole);
    for (size_t i = 0; i < 2; i++) {
        struct lg_buf cut = {0};
        outcome_uwsgi(data, len, steps[i], buffer_size, &cut);
        if (cut.len != whole.len || memcmp(cut.ptr, whole.ptr, whole.len) != 0)
            abort();
        lg_buf_free(&cut);
    }
    lg_buf_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 2;
    check(bytes, size - 2, (size_t)data[0] + 2, 0);
    check(bytes, size - 2, (size_t)data[0] + 2, data[1]);
    return 0;
}
