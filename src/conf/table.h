/* The option table inside the room: what a row of options.def says, and the
 * nearest name to a misspelt one. Pure; includes base only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CONF_TABLE_H
#define LG_CONF_TABLE_H

#include "base/slice.h"
#include "conf/options.h"

enum lg_type { /* the ones that have a number come first */
    LG_TYPE_BOOL,
    LG_TYPE_NUMBER,
    LG_TYPE_SIZE,     /* kept in bytes */
    LG_TYPE_DURATION, /* kept in milliseconds */
    LG_TYPE_TEXT,
    LG_TYPE_PATH,
    LG_TYPE_ADDRESS,
    LG_TYPE_LIST, /* words separated by commas; may be given again */
    LG_TYPE_KEYVAL,
    LG_TYPE_CHOICE,
};

enum lg_status {
    LG_STATUS_WORKS,
    LG_STATUS_HARMLESS, /* accepted, warned once */
    LG_STATUS_MISSING,  /* refused by name */
};

/* Flags of a row. */
#define LG_F_REPEAT    1u  /* every value counts; otherwise the last one does */
#define LG_F_DIRECTIVE 2u  /* consumed while reading, never a setting */
#define LG_F_CLI       4u  /* command line only */
#define LG_F_LEGION    8u  /* the first word is the name of a legion */
#define LG_F_DEFINES   16u /* and defines it */
#define LG_F_SECRET                                                                                \
    32u /* --show-config masks what follows the third word; the first, where it defines nothing */
#define LG_F_SWITCH   64u   /* true or 1 = the default, false = 0 */
#define LG_F_MS       128u  /* a DURATION in milliseconds unless a unit is given */
#define LG_F_BARE     256u  /* may stand without a value */
#define LG_F_NO_VALUE 512u  /* has no value; one is ignored */
#define LG_F_ALWAYS   1024u /* true whatever is written; false is warned of */

/* The headings of --help, in its order. */
#define LG_GROUPS(X)                                                                               \
    X(LANGUAGE, "Configuration")                                                                   \
    X(SOCKETS, "Sockets")                                                                          \
    X(HTTP, "HTTP")                                                                                \
    X(PROCESS, "Processes")                                                                        \
    X(LOGGING, "Logging")                                                                          \
    X(STATS, "Statistics")                                                                         \
    X(PLUGINS, "Plugins and applications")                                                         \
    X(GLUSTERFS, "GlusterFS")                                                                      \
    X(LEGION, "Legion")

enum lg_group {
#define LG_GROUP_ENUM(id, title) LG_GROUP_##id,
    LG_GROUPS(LG_GROUP_ENUM)
#undef LG_GROUP_ENUM
        LG_GROUP_COUNT
};

struct lg_row {
    const char *name;
    const char *aliases; /* separated by spaces; "-x" is a short option */
    const char *plugin;  /* NULL = the core's */
    const char *preset;  /* the default as written, or NULL */
    const char *values;
    const char *help; /* for LG_STATUS_HARMLESS: why nothing is lost */
    int64_t min, max; /* base unit */
    unsigned flags;
    enum lg_type type;
    enum lg_status status;
    enum lg_group group;
};

const struct lg_row *lg_opt_row(enum lg_opt opt);
const char *lg_group_title(enum lg_group group);
/* The option of a short name ('M'); false when there is none. */
bool lg_opt_find_short(char letter, enum lg_opt *ret_opt);

/* The number of edits (insert, delete, replace, swap neighbours) that make `a`
 * into `b`, case folded; SIZE_MAX when either is longer than 63 bytes. */
size_t lg_conf_distance(struct lg_slice a, struct lg_slice b);
/* True when a name `distance` edits away is near enough to be what `given` was
 * meant to be. */
bool lg_conf_is_near(struct lg_slice given, size_t distance);
/* The known option name or alias nearest to `given`; ptr NULL when none is near.
 * Options that work win over those that do not. */
struct lg_slice lg_opt_nearest(struct lg_slice given);

#endif
