/* The option calls (and lg_counters_add) of legatus/plugin.h over the one option table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 1024 /* bytes of a diagnostic */

static const struct lg_setting *find_setting(
    const struct lg_plugin_context *context, const char *name, size_t i)
{
    enum lg_opt opt;
    if (!lg_opt_find(lg_slice_of(name), &opt) || i >= lg_conf_count(context->conf, opt))
        return NULL;
    return lg_conf_at(context->conf, opt, i);
}

size_t lg_option_count(const struct lg_plugin_context *context, const char *name)
{
    enum lg_opt opt;
    return lg_opt_find(lg_slice_of(name), &opt) ? lg_conf_count(context->conf, opt) : 0;
}

const char *lg_option_text(const struct lg_plugin_context *context, const char *name, size_t i)
{
    enum lg_opt opt;
    if (!lg_opt_find(lg_slice_of(name), &opt))
        return NULL;
    size_t count = lg_conf_count(context->conf, opt);
    if (count == 0 && i == 0)
        return lg_conf_text(context->conf, opt);
    return i < count ? lg_conf_at(context->conf, opt, i)->text : NULL;
}

int64_t lg_option_number(const struct lg_plugin_context *context, const char *name)
{
    enum lg_opt opt;
    return lg_opt_find(lg_slice_of(name), &opt) ? lg_conf_number(context->conf, opt) : 0;
}

const char *lg_option_key(
    const struct lg_plugin_context *context, const char *name, size_t i, const char *key)
{
    const struct lg_setting *setting = find_setting(context, name, i);
    return setting ? lg_conf_key(context->conf, setting, key) : NULL;
}

static void report(struct lg_plugin_context *context, enum lg_diag_level level, const char *name,
    size_t i, const char *text)
{
    const struct lg_setting *setting = find_setting(context, name, i);
    if (setting)
        lg_conf_report(context->conf, level, setting->where, "%s", text);
    else
        lg_conf_report(
            context->conf, level, (struct lg_where){.file = context->plugin}, "%s: %s", name, text);
}

void lg_option_error(
    struct lg_plugin_context *context, const char *name, size_t i, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    context->failed = true;
    report(context, LG_DIAG_ERROR, name, i, text);
}

void lg_option_warn(
    struct lg_plugin_context *context, const char *name, size_t i, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report(context, LG_DIAG_WARN, name, i, text);
}

int lg_counters_add(struct lg_plugin_context *context, const char *name,
    const struct lg_counter *counters, size_t count)
{
    struct lg_counter_groups *all = context->counters;
    size_t first = 0;
    if (all->count > 0)
        first = all->groups[all->count - 1].first + all->groups[all->count - 1].count;
    size_t healths = all->health_count;
    for (size_t i = 0; i < count; i++)
        healths += counters[i].kind == LG_HEALTH;
    bool room = all->count < LG_PLUGIN_GROUPS_MAX && first + count <= LG_PLUGIN_COUNTERS_MAX &&
                healths <= LG_PLUGIN_HEALTHS_MAX;
    char *copy = room ? strdup(name) : NULL;
    if (!copy) {
        context->failed = true;
        lg_conf_report(context->conf, LG_DIAG_ERROR, (struct lg_where){.file = context->plugin},
            "counters of \"%s\": %s", name, room ? "out of memory" : "too many");
        return -1;
    }
    all->health_count = healths;
    all->groups[all->count] =
        (struct lg_counter_group){context->plugin, copy, counters, count, first};
    return (int)all->count++;
}
