/* Loads a configuration with all that hangs on it: plugins, checks of every
 * room, media types. The same for the start, for --check and for a reload.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_LOAD_H
#define LG_MASTER_LOAD_H

#include "conf/conf.h"
#include "http/mime.h"
#include "master/identity.h"
#include "plugin/set.h"

#include <stdio.h>

/* What was loaded. A zeroed one is empty. */
struct lg_loaded {
    struct lg_conf *conf;
    struct lg_plugin_set *plugins;
    struct lg_mime *mime;
    struct lg_identity identity; /* of the workers */
};

/* `argv` without the program's name. Always sets *ret_loaded (caller frees with
 * lg_loaded_free); its conf holds the diagnostics and is NULL only when memory
 * is out. 0, -LG_E_CONF, -LG_E_NOMEM, -LG_E_SYS. */
int lg_load(int argc, const char *const *argv, struct lg_loaded *ret_loaded) LG_MUST_USE;
void lg_loaded_free(struct lg_loaded *loaded);

/* Diagnostics from number `from` on, one `FILE:LINE: error: text` a line: to
 * `file`, or as log lines. Both return how many there are in all. */
size_t lg_diags_print(const struct lg_conf *conf, size_t from, FILE *file);
size_t lg_diags_log(const struct lg_conf *conf, size_t from);

#endif
