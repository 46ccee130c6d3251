/* Regular expressions of options, by PCRE2. Compiled by the master, matched on
 * the loop: a match has a limit of steps.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 20000 /* about a millisecond */

struct gl_regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
};

void gl_regex_free(struct gl_regex *regex)
{
    if (!regex)
        return;
    pcre2_match_context_free(regex->context);
    pcre2_match_data_free(regex->match);
    pcre2_code_free(regex->code);
    free(regex);
}

struct gl_regex *gl_regex_new(
    struct lg_plugin_context *context, const char *option, size_t i, const char *text, size_t len)
{
    PCRE2_UCHAR why[128] = "";
    int error = 0;
    PCRE2_SIZE at = 0;
    struct gl_regex *regex = calloc(1, sizeof *regex);
    if (!regex) {
        lg_option_error(context, option, i, "out of memory");
        return NULL;
    }
    regex->code = pcre2_compile((PCRE2_SPTR)text, len, 0, &error, &at, NULL);
    if (!regex->code) {
        pcre2_get_error_message(error, why, sizeof why);
        lg_option_error(context, option, i,
            "\"%.*s\" is no regular expression: %s, at character %zu", (int)len, text,
            (const char *)why, (size_t)at + 1);
        gl_regex_free(regex);
        return NULL;
    }
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* where the system lets it */
    regex->match = pcre2_match_data_create(1, NULL);
    regex->context = pcre2_match_context_create(NULL);
    if (!regex->match || !regex->context) {
        lg_option_error(context, option, i, "out of memory");
        gl_regex_free(regex);
        return NULL;
    }
    pcre2_set_match_limit(regex->context, STEPS_MAX);
    return regex;
}

bool gl_regex_matches(const struct gl_regex *regex, const char *text)
{
    return pcre2_match(regex->code, (PCRE2_SPTR)text, strlen(text), 0, 0, regex->match,
               regex->context) >= 0;
}
