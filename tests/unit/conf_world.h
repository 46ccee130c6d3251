/* A world for lg_conf_load made of memory: files, environment, host. For the
 * tests of src/conf only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_TESTS_CONF_WORLD_H
#define LG_TESTS_CONF_WORLD_H

#include "conf/conf.h"

#define WORLD_MAX 16

struct world_file {
    const char *path;
    const char *text;
    size_t len;
};

/* Zeroed, then filled; texts are borrowed. cwd is /home, host web1, uid 33
 * www-data, gid 34 www, 4 CPUs, the time 1700000000.000042. A path that ends in
 * "/" is a directory. */
struct world {
    struct world_file files[WORLD_MAX];
    const char *env[WORLD_MAX + 1]; /* "NAME=value" */
};

/* Loads with these arguments (NULL ends them); the result of lg_conf_load. */
int world_load(struct world *world, struct lg_conf **ret_conf, ...) __attribute__((sentinel));
/* Loads `ini` as t.ini and asserts that its diagnostics read exactly `diags`, a
 * line each: "FILE:LINE: error: text\n". Caller frees. */
struct lg_conf *world_ini(struct world *world, const char *ini, const char *diags);
/* The same for a load already done. */
void assert_diags(const struct lg_conf *conf, const char *diags);
/* Asserts that all values of `opt`, each followed by "|", read `values`. */
void assert_values(const struct lg_conf *conf, enum lg_opt opt, const char *values);

#endif
