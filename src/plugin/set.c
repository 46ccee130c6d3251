/* Finds, loads and configures plugins. Must not depend on master.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/set.h"
#include "plugin/context.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define PLUGINS_MAX 64

struct lg_plugin_set {
    struct lg_counter_groups counters;
    size_t count;
    struct lg_started_plugin plugins[PLUGINS_MAX];
};

/* The setting that made the plugin necessary, for its FILE:LINE. */
static const struct lg_setting *find_need(const struct lg_conf *conf, const char *name)
{
    size_t count = 0;
    const struct lg_setting *all = lg_conf_all(conf, &count);
    const struct lg_setting *modifier = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *owner = lg_opt_plugin(all[i].opt);
        if (owner && strcmp(owner, name) == 0)
            return &all[i];
        if (all[i].opt == LG_OPT_plugin && strstr(all[i].text, name))
            return &all[i];
        bool is_modifier =
            all[i].opt == LG_OPT_http_modifier1 || all[i].opt == LG_OPT_http_socket_modifier1;
        if (is_modifier && all[i].number != 0)
            modifier = &all[i];
    }
    return modifier;
}

static void __attribute__((format(printf, 3, 4)))
fail(struct lg_conf *conf, const char *name, const char *format, ...)
{
    const struct lg_setting *need = find_need(conf, name);
    struct lg_where where = need ? need->where : (struct lg_where){.file = name};
    char text[PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (need)
        lg_conf_report(conf, LG_DIAG_ERROR, where, "%s needs the plugin %s: %s",
            lg_opt_name(need->opt), name, text);
    else
        lg_conf_report(conf, LG_DIAG_ERROR, where, "plugin %s: %s", name, text);
}

/* Does DIR/NAME.so exist? Its name is left in `path` (PATH_MAX bytes). */
static bool try_dir(char *path, const char *dir, const char *name)
{
    int len = snprintf(path, PATH_MAX, "%s/%s.so", dir, name);
    return len > 0 && len < PATH_MAX && access(path, R_OK) == 0;
}

/* Where the build leaves the plugin `name`, seen from the running program; ""
 * when that cannot be told. */
static void build_dir(char *dir, size_t size, const char *name)
{
    char exe[PATH_MAX / 2];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    int need = snprintf(dir, size, "%s/plugins/%.255s", exe, name);
    if (!slash || need < 0 || (size_t)need >= size)
        dir[0] = '\0';
}

static bool search_dirs(
    const struct lg_conf *conf, const char *name, char *path, struct lg_buf *searched)
{
    for (size_t i = 0; i < lg_conf_count(conf, LG_OPT_plugins_dir); i++) {
        const char *dir = lg_conf_at(conf, LG_OPT_plugins_dir, i)->text;
        if (try_dir(path, dir, name))
            return true;
        if (lg_buf_printf(searched, "%s, ", dir) < 0)
            return false;
    }
    char dir[PATH_MAX];
    build_dir(dir, sizeof dir, name);
    if (try_dir(path, dir, name) || try_dir(path, LG_PLUGIN_DIR, name))
        return true;
    (void)lg_buf_printf(searched, "%s, %s", dir, LG_PLUGIN_DIR);
    return false;
}

/* Leaves the file's name in `path` (PATH_MAX bytes), or reports. */
static bool find_file(struct lg_conf *conf, const char *name, char *path)
{
    if (strchr(name, '/')) {
        snprintf(path, PATH_MAX, "%s", name);
        if (access(path, R_OK) < 0)
            fail(conf, name, "there is no such file");
        return access(path, R_OK) == 0;
    }
    struct lg_buf searched = {0};
    bool found = search_dirs(conf, name, path, &searched);
    if (!found)
        fail(conf, name, "there is no %s.so in %s", name,
            searched.ptr ? searched.ptr : "any directory");
    lg_buf_free(&searched);
    return found;
}

static const struct lg_plugin *load_file(struct lg_conf *conf, const char *name, const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fail(conf, name, "cannot load it: %s", dlerror());
        return NULL;
    }
    const struct lg_plugin *plugin = dlsym(library, "legatus_plugin");
    if (!plugin) {
        fail(conf, name, "%s is no plugin of Legatus (it exports no legatus_plugin)", path);
        return NULL;
    }
    if (plugin->abi != LG_PLUGIN_ABI) {
        fail(conf, name, "%s was built for plugin ABI %u, this program has %u", path, plugin->abi,
            (unsigned)LG_PLUGIN_ABI);
        return NULL;
    }
    return plugin;
}

static bool add_plugin(struct lg_conf *conf, struct lg_plugin_set *set, const char *name)
{
    char path[PATH_MAX];
    if (!find_file(conf, name, path))
        return false;
    const struct lg_plugin *plugin = load_file(conf, name, path);
    if (!plugin)
        return false;
    for (size_t i = 0; i < set->count; i++)
        if (set->plugins[i].plugin == plugin)
            return true; /* named twice: by its name and by its path */
    struct lg_plugin_context context = {
        .conf = conf, .plugin = plugin->name, .counters = &set->counters};
    void *state = NULL;
    int err = plugin->configure ? plugin->configure(&context, &state) : 0;
    if (err && !context.failed)
        fail(conf, name, "it refuses the configuration without saying why");
    /* Kept even when it failed, so that release sees what configure made. */
    set->plugins[set->count++] = (struct lg_started_plugin){plugin, state};
    return !err && !context.failed;
}

int lg_plugin_set_load(struct lg_conf *conf, struct lg_plugin_set **ret_set)
{
    struct lg_plugin_set *set = calloc(1, sizeof *set);
    *ret_set = set;
    if (!set)
        return -LG_E_NOMEM;
    const char *names[PLUGINS_MAX];
    size_t count = lg_conf_plugins(conf, names, PLUGINS_MAX);
    bool ok = true;
    for (size_t i = 0; i < count; i++)
        ok = add_plugin(conf, set, names[i]) && ok;
    if (ok && count == 0 && lg_conf_bool(conf, LG_OPT_need_app)) {
        const struct lg_setting *need =
            lg_conf_at(conf, LG_OPT_need_app, lg_conf_count(conf, LG_OPT_need_app) - 1);
        lg_conf_report(conf, LG_DIAG_ERROR, need->where,
            "need-app: nothing is configured that could answer a request (a glusterfs-mount, or "
            "plugin = NAME)");
        ok = false;
    }
    return ok ? 0 : -LG_E_CONF;
}

const struct lg_started_plugin *lg_plugin_set_all(
    const struct lg_plugin_set *set, size_t *ret_count)
{
    *ret_count = set ? set->count : 0;
    return set ? set->plugins : NULL;
}

const struct lg_counter_groups *lg_plugin_set_counters(const struct lg_plugin_set *set)
{
    return set ? &set->counters : NULL;
}

void lg_plugin_set_free(struct lg_plugin_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->counters.count; i++)
        free(set->counters.groups[i].name);
    for (size_t i = set->count; i-- > 0;)
        if (set->plugins[i].plugin->release)
            set->plugins[i].plugin->release(set->plugins[i].state);
    free(set);
}
