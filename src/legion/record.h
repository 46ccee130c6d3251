/* What happens to a node, as bytes: for a file that outlives it, and for going
 * through the same again (legatus legion-sim --replay).
 *
 * A record is the whole state of the core, with which files and lives begin, or one
 * event with a digest of what came of it. States are the structs as they are in
 * memory: they can be read by the program that wrote them. Nothing secret is in
 * them: no key, and of scrolls not a byte.
 *
 * Pure. One thread per legion at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_RECORD_H
#define LG_LEGION_RECORD_H

#include "legion/legion.h"

#define LG_RECORD_FORMAT   1
#define LG_RECORD_STEP_MAX 4096 /* bytes of an event's record */

/* Bytes that a state's record has now at most. */
size_t lg_record_state_size(const struct lg_legion *legion);
/* Writes a record; its length, or 0 when `size` is too small. */
size_t lg_record_state(const struct lg_legion *legion, char *out, size_t size);
/* Right after the step, while the event's and the update's slices live. */
size_t lg_record_step(const struct lg_legion *legion, const struct lg_legion_event *event,
    const struct lg_legion_update *update, char *out, size_t size);

enum lg_record_kind {
    LG_RECORD_END,
    LG_RECORD_STATE,
    LG_RECORD_STEP,
    LG_RECORD_TORN, /* not one that was written in full */
};

struct lg_record {
    enum lg_record_kind kind;
    struct lg_slice state;        /* STATE: for lg_record_restore */
    struct lg_legion_event event; /* STEP: points into this struct and the bytes */
    uint64_t digest;
    uint64_t lost; /* TORN: bytes that are passed over */
    struct lg_legion_message message;
    struct lg_legion_memory memory;
    struct lg_legion_setup setup; /* without legion, name and uuid: lg_record_adopt */
};

/* What the bytes begin with is a state, whole or not: else they are none of ours. */
bool lg_record_is(struct lg_slice bytes);
/* Takes the next record off *rest. Of what is torn everything up to the next state
 * is passed over. */
void lg_record_next(struct lg_slice *rest, struct lg_record *ret_record);

/* A core as it was. 0; -LG_E_PROTO for a state of another format (*ret_format) or
 * another build of the program (*ret_format = LG_RECORD_FORMAT); -LG_E_NOMEM. */
int lg_record_restore(
    struct lg_slice state, struct lg_legion **ret_legion, uint32_t *ret_format) LG_MUST_USE;
/* Makes the event of a record one for that legion. */
void lg_record_adopt(const struct lg_legion *legion, struct lg_record *record);
/* Of all that a step asks for and leaves behind. */
uint64_t lg_record_digest(const struct lg_legion *legion, const struct lg_legion_update *update);
/* What the core was told; until the next step. */
const struct lg_legion_setup *lg_record_setup(const struct lg_legion *legion);

#endif
