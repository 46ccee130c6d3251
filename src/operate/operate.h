/* What operators ask of a running instance: `legatus legion status`, by its
 * statistics socket, as anybody may; `resign` and `maintenance`, by the legion
 * process's own, which is for root and its user.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_OPERATE_OPERATE_H
#define LG_OPERATE_OPERATE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Does the command line (without the program's name) ask for something here?
 * It does when its first two words are "legion" and status, resign or maintenance. */
bool lg_operate_is_asked(int argc, const char *const *argv);
/* Does it: the answer to standard output, what is wrong to standard error. The
 * exit status: 0 = done; 1 = refused, or without an effect in time, or no statistics;
 * 2 = a command that could not be given. */
int lg_operate_run(int argc, const char *const *argv);

/* The statistics' JSON as a table for people, `now_s` in Unix time. Pure. 0;
 * -LG_E_PROTO when it is not the statistics of Legatus or uWSGI; -LG_E_NOMEM. */
int lg_operate_legions(const char *json, size_t len, int64_t now_s, struct lg_buf *out) LG_MUST_USE;

/* The same as one sentence for each legion: why this node is Lord or is not. */
int lg_operate_why(const char *json, size_t len, int64_t now_s, struct lg_buf *out) LG_MUST_USE;

#endif
