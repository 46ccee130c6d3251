/* What a legion-check says, and what its results come to. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/check.h"

#include "conf/conf.h"
#include "conf/table.h"

#include <stdio.h>

#define EVERY_MS       1000
#define FALL           3
#define RISE           2
#define EVERY_MS_MIN   50
#define EVERY_MS_MAX   3600000
#define TIMEOUT_MS_MIN 10

enum key { KEY_EVERY, KEY_FALL, KEY_RISE, KEY_TIMEOUT, KEY_COUNT };

static const struct lg_slice keys[KEY_COUNT] = {
    LG_SLICE("every"), LG_SLICE("fall"), LG_SLICE("rise"), LG_SLICE("timeout")};

/* ---- Words from the end: a command may have any before ------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct lg_slice last_word(struct lg_slice text, struct lg_slice *ret_before)
{
    size_t end = text.len, start;
    while (end > 0 && is_blank(text.ptr[end - 1]))
        end--;
    start = end;
    while (start > 0 && !is_blank(text.ptr[start - 1]))
        start--;
    *ret_before = lg_slice_from(text.ptr, start);
    return lg_slice_from(text.ptr + start, end - start);
}

static enum key key_of(struct lg_slice word)
{
    int at = 0;
    while (at < KEY_COUNT && !lg_slice_eq(word, keys[at]))
        at++;
    return (enum key)at;
}

static bool is_value(struct lg_slice word)
{
    int64_t ms;
    return word.len && word.ptr[0] >= '0' && word.ptr[0] <= '9' && lg_conf_duration(word, &ms);
}

/* The key that `word`, followed by a value, was perhaps meant to be. */
static enum key near_key(struct lg_slice word)
{
    int at = 0;
    while (at < KEY_COUNT && (word.len < 3 || lg_conf_distance(word, keys[at]) > 1))
        at++;
    return (enum key)at;
}

static bool set_duration(
    enum key key, struct lg_slice value, int64_t min_ms, int64_t *ret_ms, char why[LG_WHY_SIZE])
{
    if (is_value(value) && lg_conf_duration(value, ret_ms) && *ret_ms >= min_ms &&
        *ret_ms <= EVERY_MS_MAX)
        return true;
    snprintf(why, LG_WHY_SIZE, "%s \"%.*s\": expected a time from %dms to 1h, as in %s 1s",
        keys[key].ptr, (int)value.len, value.ptr, (int)min_ms, keys[key].ptr);
    return false;
}

static bool set_row(enum key key, struct lg_slice value, unsigned *ret_row, char why[LG_WHY_SIZE])
{
    uint64_t number;
    if (lg_slice_u64(value, LG_CHECK_ROW_MAX, &number) && number > 0) {
        *ret_row = (unsigned)number;
        return true;
    }
    snprintf(why, LG_WHY_SIZE, "%s \"%.*s\": expected a number from 1 to %d", keys[key].ptr,
        (int)value.len, value.ptr, LG_CHECK_ROW_MAX);
    return false;
}

static bool set_key(
    enum key key, struct lg_slice value, struct lg_check_plan *plan, char why[LG_WHY_SIZE])
{
    switch (key) {
    case KEY_EVERY:
        return set_duration(key, value, EVERY_MS_MIN, &plan->every_ms, why);
    case KEY_TIMEOUT:
        return set_duration(key, value, TIMEOUT_MS_MIN, &plan->timeout_ms, why);
    case KEY_FALL:
        return set_row(key, value, &plan->fall, why);
    default:
        return set_row(key, value, &plan->rise, why);
    }
}

/* Takes "KEY VALUE" off the end as long as there is one. */
static bool take_keys(struct lg_slice *text, struct lg_check_plan *plan, char why[LG_WHY_SIZE])
{
    unsigned seen = 0;
    for (;;) {
        struct lg_slice before, rest;
        struct lg_slice value = last_word(*text, &before);
        struct lg_slice word = last_word(before, &rest);
        enum key key = key_of(word);
        if (key_of(value) != KEY_COUNT) {
            snprintf(why, LG_WHY_SIZE, "expected a value after \"%s\"", keys[key_of(value)].ptr);
            return false;
        }
        if (key == KEY_COUNT && is_value(value) && near_key(word) != KEY_COUNT) {
            snprintf(why, LG_WHY_SIZE, "unknown word \"%.*s\", did you mean \"%s\"?", (int)word.len,
                word.ptr, keys[near_key(word)].ptr);
            return false;
        }
        if (key == KEY_COUNT)
            return true;
        if (seen & 1U << key) {
            snprintf(why, LG_WHY_SIZE, "\"%s\" is given twice", keys[key].ptr);
            return false;
        }
        seen |= 1U << key;
        if (!set_key(key, value, plan, why))
            return false;
        *text = lg_slice_trim(rest);
    }
}

/* ---- What is checked ------------------------------------------------------------------ */

static bool has_plugin(struct lg_slice name, const char *const *plugins, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found = found || lg_slice_eq(name, lg_slice_of(plugins[i]));
    return found;
}

static bool take_cmd(struct lg_slice text, struct lg_slice command, struct lg_check_plan *plan,
    char why[LG_WHY_SIZE])
{
    plan->kind = LG_CHECK_CMD;
    plan->name = text;
    plan->argument = lg_slice_trim(command);
    if (plan->argument.len == 0)
        snprintf(why, LG_WHY_SIZE, "expected a command after cmd:");
    return plan->argument.len > 0;
}

static bool take_what(struct lg_slice text, const char *const *plugins, size_t plugin_count,
    struct lg_check_plan *plan, char why[LG_WHY_SIZE])
{
    struct lg_slice rest, word = text;
    size_t len = 0;
    struct lg_slice first = lg_slice_cut(text, ':', &rest);
    if (rest.ptr && lg_slice_eq(first, LG_SLICE("cmd")))
        return take_cmd(text, rest, plan, why);
    while (len < text.len && !is_blank(text.ptr[len]))
        len++;
    word.len = len;
    struct lg_slice after = lg_slice_trim(lg_slice_from(text.ptr + len, text.len - len));
    plan->name = word;
    if (after.len) {
        snprintf(why, LG_WHY_SIZE,
            "unknown word \"%.*s\": expected every, fall, rise or timeout and a value",
            (int)(after.len < 60 ? after.len : 60), after.ptr);
        return false;
    }
    plan->kind = lg_slice_eq(word, LG_SLICE("workers")) ? LG_CHECK_WORKERS : LG_CHECK_PLUGIN;
    if (plan->kind == LG_CHECK_WORKERS ||
        has_plugin(lg_slice_cut(word, ':', &rest), plugins, plugin_count))
        return true;
    snprintf(why, LG_WHY_SIZE,
        "unknown check \"%.*s\": expected cmd:COMMAND, workers, or a plugin in use%s%s",
        (int)(word.len < 60 ? word.len : 60), word.ptr, plugin_count ? ", as in " : "",
        plugin_count ? plugins[0] : "");
    return false;
}

bool lg_check_parse(struct lg_slice text, const char *const *plugins, size_t plugin_count,
    struct lg_check_plan *ret_plan, char why[LG_WHY_SIZE])
{
    struct lg_check_plan plan = {.every_ms = EVERY_MS, .fall = FALL, .rise = RISE};
    text = lg_slice_trim(text);
    if (!take_keys(&text, &plan, why) || !take_what(text, plugins, plugin_count, &plan, why))
        return false;
    if (!plan.timeout_ms)
        plan.timeout_ms = plan.every_ms > 1000 ? plan.every_ms : 1000;
    *ret_plan = plan;
    return true;
}

/* ---- Verdicts --------------------------------------------------------------------------- */

bool lg_check_take(struct lg_check_state *state, bool good, unsigned fall, unsigned rise)
{
    enum lg_check_verdict said = good ? LG_CHECK_WELL : LG_CHECK_UNWELL;
    unsigned needed = state->verdict == LG_CHECK_UNKNOWN ? 1 : good ? rise : fall;
    if (state->verdict == said) {
        state->row = 0;
        return false;
    }
    if (++state->row < needed)
        return false;
    *state = (struct lg_check_state){.verdict = said};
    return true;
}
