/* Lines for people, and the same for machines: a JSON object each. Pure. Any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_REPORT_H
#define LG_SIM_REPORT_H

#include "base/err.h"
#include "base/slice.h"

#include <jansson.h>

/* Takes a line without its end. */
typedef void lg_sim_print(void *arg, const char *line);

/* With U+FFFD for what is not UTF-8. NULL = out of memory, which the functions of
 * jansson that take values ending in _new pass on. */
json_t *lg_sim_json_text(struct lg_slice text);
/* A number of seconds, to the microsecond. */
json_t *lg_sim_json_s(int64_t us);
json_t *lg_sim_json_count(uint64_t count);
/* Prints and frees it. 0, or -LG_E_NOMEM also where `object` is NULL. */
int lg_sim_report(lg_sim_print *print, void *arg, json_t *object) LG_MUST_USE;

#endif
