/* Inside cluster/: the legion-state file, what a node remembers over restarts.
 *
 * A few lines of text, replaced as a whole and synced. A lock beside it keeps two
 * nodes of one host from sharing it, which would forget promises.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_MEMORY_H
#define LG_CLUSTER_MEMORY_H

#include "base/err.h"
#include "legion/legion.h"

#include <limits.h>

#define LG_BOOT_ID_SIZE 37

struct lg_memory_file {
    char path[PATH_MAX]; /* "" = none */
    char legion[128];
    char boot_id[LG_BOOT_ID_SIZE];
    int lock_fd; /* -1 = none */
};

/* `where` is a folder, or a file for the only legion there is; NULL = none. What
 * is wrong is logged, and there is no file then: the start wait applies. */
void lg_memory_open(
    struct lg_memory_file *file, const char *where, const char *legion, bool is_only);
void lg_memory_close(struct lg_memory_file *file);

/* False when there is nothing to be remembered. Times of another boot are told
 * as legion.h asks for. */
bool lg_memory_read(const struct lg_memory_file *file, struct lg_legion_memory *ret_memory);
/* On disk when it returns. If that cannot be, nothing is there any more, which is
 * logged: the next start waits. */
void lg_memory_write(const struct lg_memory_file *file, const struct lg_legion_memory *memory);

/* Whether operators have put this node in maintenance: a file beside that one,
 * NAME.state.maintenance, is there. False from the second when it cannot be
 * remembered, which is logged if there is a legion-state. */
bool lg_memory_maintained(const struct lg_memory_file *file);
bool lg_memory_maintain(const struct lg_memory_file *file, bool on);

/* The text of the file, and back. Pure. The length; false for a text that is
 * none. */
size_t lg_memory_render(
    const struct lg_legion_memory *memory, const char *boot_id, char *out, size_t size);
bool lg_memory_parse(
    struct lg_slice text, const char *boot_id, struct lg_legion_memory *ret_memory);

#endif
