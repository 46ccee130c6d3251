/* The cleartext of a legion's datagram, and its outer header. What is accepted
 * must survive being written and read again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lg_slice input = lg_slice_from(data, size);
    struct lg_slice sealed, key, value;
    uint16_t cleartext_len;
    if (lg_legion_head_decode(input, &cleartext_len, &sealed) == 0 &&
        (sealed.len < cleartext_len || sealed.len >= size))
        abort();
    for (struct lg_slice rest = input; lg_legion_dict_next(&rest, &key, &value);)
        if (key.len + value.len > size)
            abort();

    struct lg_legion_message first, second;
    if (lg_legion_decode(input, &first) != 0)
        return 0;
    char out[LG_LEGION_DATA_MAX];
    size_t len;
    first.extra = (struct lg_slice){NULL, 0};
    if (lg_legion_encode(&first, out, sizeof out, &len) != 0)
        return 0;
    if (lg_legion_decode(lg_slice_from(out, len), &second) != 0 ||
        !lg_slice_eq(first.uuid, second.uuid) || !lg_slice_eq(first.name, second.name) ||
        first.checksum != second.checksum || first.dead != second.dead)
        abort();
    const struct lg_legion_ballot *a = &first.ballot, *b = &second.ballot;
    if (a->stamp_us != b->stamp_us || a->promise_ms != b->promise_ms || a->stand != b->stand ||
        a->title != b->title || a->released_us != b->released_us || a->voted != b->voted ||
        a->vote_epoch != b->vote_epoch || a->vote_echo_us != b->vote_echo_us ||
        a->vote_promise_ms != b->vote_promise_ms || !lg_slice_eq(a->vote_uuid, b->vote_uuid) ||
        !lg_slice_eq(a->echoes, b->echoes))
        abort();
    return 0;
}
