/* Inside operate/: shared by its files. Nobody else's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_OPERATE_INNER_H
#define LG_OPERATE_INNER_H

#include "conf/conf.h"
#include "operate/operate.h"

#include <jansson.h>

/* "" and 0 when there is no such key. */
const char *lg_operate_text(const json_t *object, const char *key);
int64_t lg_operate_number(const json_t *object, const char *key);
/* "12 s", "3 m"; 0 or -LG_E_NOMEM. */
int lg_operate_put_ago(struct lg_buf *out, int64_t ago_s) LG_MUST_USE;
/* Does the node not stand although it could: in maintenance, unwell, ...? Then why. */
bool lg_operate_is_aside(const json_t *legion);
int lg_operate_put_aside(const json_t *legion, int64_t now_s, struct lg_buf *out) LG_MUST_USE;

/* What a file on the command line says; faults are not ours: what runs may have
 * been started before they came into it. NULL when memory is out. */
struct lg_conf *lg_operate_load(const char *file);

/* control.c: resign, maintenance. The exit status. */
int lg_operate_command(int argc, const char *const *argv);

#endif
