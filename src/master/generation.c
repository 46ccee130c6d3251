/* A configuration in use: its sockets, identity, log and figures.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct lg_where where_of(const struct lg_conf *conf, enum lg_opt opt)
{
    size_t count = lg_conf_count(conf, opt);
    return count ? lg_conf_at(conf, opt, count - 1)->where : (struct lg_where){0};
}

static int fault(struct lg_conf *conf, enum lg_opt opt, const char *what)
{
    lg_conf_report(conf, LG_DIAG_ERROR, where_of(conf, opt), "%s = %s: %s: %s", lg_opt_name(opt),
        lg_conf_text(conf, opt), what, strerror(errno));
    return -LG_E_CONF;
}

static enum lg_level level_of(const struct lg_conf *conf)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *given = lg_conf_text(conf, LG_OPT_log_level);
    for (size_t i = 0; given && i < sizeof names / sizeof *names; i++)
        if (strcmp(given, names[i]) == 0)
            return (enum lg_level)i;
    return LG_LOG_INFO;
}

int lg_generation_log(struct generation *gen)
{
    struct lg_conf *conf = gen->loaded.conf;
    /* logto2 is uWSGI's "after privileges are dropped"; only the master writes
     * here, so the file is handed to the workers' user instead. */
    enum lg_opt opt = lg_conf_text(conf, LG_OPT_logto2) ? LG_OPT_logto2 : LG_OPT_logto;
    struct lg_log_setup setup = {
        .path = lg_conf_text(conf, opt),
        .format = lg_conf_bool(conf, LG_OPT_log_json) ? LG_LOG_JSON : LG_LOG_HUMAN,
        .level = level_of(conf),
    };
    if (lg_log_open(&setup) < 0)
        return fault(conf, opt, "cannot open the log");
    const struct lg_identity *identity = &gen->loaded.identity;
    if (setup.path && opt == LG_OPT_logto2 && identity->has_uid)
        (void)!chown(setup.path, identity->uid, identity->has_gid ? identity->gid : (gid_t)-1);
    return 0;
}

static void read_figures(struct generation *gen)
{
    const struct lg_conf *conf = gen->loaded.conf;
    size_t serving;
    lg_sockets_serving(gen->sockets, &serving);
    /* A node that is only a member of legions needs nobody to answer requests. */
    gen->processes = serving ? (unsigned)lg_conf_number(conf, LG_OPT_processes) : 0;
    gen->threads = (unsigned)lg_conf_number(conf, LG_OPT_threads);
    gen->harakiri_ms = lg_conf_number(conf, LG_OPT_harakiri);
    gen->mercy_ms = lg_conf_number(conf, LG_OPT_worker_reload_mercy);
    gen->shutdown_ms = lg_conf_number(conf, LG_OPT_shutdown_timeout);
}

int lg_generation_open(struct master *master, struct generation *gen)
{
    struct lg_conf *conf = gen->loaded.conf;
    const char *dir = lg_conf_text(conf, LG_OPT_chdir);
    int err = lg_sockets_open(conf, &gen->loaded.identity, master->now.sockets, &gen->sockets);
    if (err)
        return err;
    if (dir && chdir(dir) < 0)
        return fault(conf, LG_OPT_chdir, "cannot go there");
    read_figures(gen);
    gen->number = ++master->generations;
    return 0;
}

void lg_generation_free(struct master *master, struct generation *gen)
{
    bool vacuum = gen->loaded.conf && lg_conf_bool(gen->loaded.conf, LG_OPT_vacuum);
    lg_sockets_free(gen->sockets, vacuum, master->home_fd);
    if (gen->loaded.conf == master->legion_conf) {
        /* The legion process, and the unlord hooks we may have to run for it,
         * still go by this one. */
        lg_plugin_set_free(gen->loaded.plugins);
        gen->loaded.plugins = NULL;
        gen->loaded.conf = NULL;
    }
    lg_loaded_free(&gen->loaded);
    *gen = (struct generation){0};
}
