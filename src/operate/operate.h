/* What operators ask a running instance: `legatus legion status ...`. Talks to
 * its statistics socket as anybody may; changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_OPERATE_OPERATE_H
#define LG_OPERATE_OPERATE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Does the command line (without the program's name) ask for something here?
 * It does when its first two words are "legion status". */
bool lg_operate_is_asked(int argc, const char *const *argv);
/* Does it: the answer to standard output, what is wrong to standard error. The
 * exit status. */
int lg_operate_run(int argc, const char *const *argv);

/* The statistics' JSON as a table for people, `now_s` in Unix time. Pure. 0;
 * -LG_E_PROTO when it is not the statistics of Legatus or uWSGI; -LG_E_NOMEM. */
int lg_operate_legions(const char *json, size_t len, int64_t now_s, struct lg_buf *out) LG_MUST_USE;

#endif
