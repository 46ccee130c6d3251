/* enum lg_opt: one constant for every option name any table knows, made from the
 * rows of options.def, of the plugins' options.def and of options_uwsgi.def.
 * Depends on nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CONF_OPTIONS_H
#define LG_CONF_OPTIONS_H

#define LG_OPTION(id, ...)   LG_OPT_##id,
#define LG_HARMLESS(id, ...) LG_OPT_##id,
#define LG_MISSING(id, ...)  LG_OPT_##id,
enum lg_opt {
#include "../../plugins/glusterfs/options.def"
#include "options.def"
#include "options_uwsgi.def"
    LG_OPT_COUNT
};
#undef LG_OPTION
#undef LG_HARMLESS
#undef LG_MISSING

#endif
