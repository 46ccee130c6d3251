/* Notes of the election as lines for people, in the wording that log alarms of
 * uWSGI users match on. Pure. Any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_NOTES_H
#define LG_LEGION_NOTES_H

#include "legion/legion.h"

#define LG_LEGION_LINE_SIZE 768 /* bytes: the longest line and its NUL */

/* Writes the line, cut to `size` bytes with its NUL; returns its length. */
size_t lg_legion_note_render(
    const struct lg_legion_note *note, struct lg_slice legion, char *out, size_t size);
/* True when the line is one an operator should be woken for. */
bool lg_legion_note_is_warning(const struct lg_legion_note *note);

#endif
