/* Loads a configuration with all that hangs on it. Opens no sockets, starts
 * nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/load.h"
#include "cluster/cluster.h"
#include "master/alarms.h"
#include "master/facts.h"
#include "master/listen.h"

#define MIME_SYSTEM "/etc/mime.types"

static int load_mime(const struct lg_conf_facts *facts, struct lg_conf *conf, struct lg_mime *mime)
{
    char *text;
    size_t len;
    int err = 0;
    size_t count = lg_conf_count(conf, LG_OPT_mime_file);
    /* Many containers have none; the user's own files must be there. */
    if (facts->read_file(facts->data, MIME_SYSTEM, &text, &len) == 0) {
        err = lg_mime_load(mime, lg_slice_from(text, len));
        free(text);
    }
    for (size_t i = 0; i < count; i++) {
        const struct lg_setting *setting = lg_conf_at(conf, LG_OPT_mime_file, i);
        int one = facts->read_file(facts->data, setting->text, &text, &len);
        if (one == 0) {
            one = lg_mime_load(mime, lg_slice_from(text, len));
            free(text);
        }
        if (one)
            lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "mime-file = %s: %s", setting->text,
                one == -LG_E_SYS ? "cannot be read" : lg_err_text(one));
        err = err ? err : one;
    }
    return err;
}

/* A program that does nothing is a mistake, not a wish. */
static int check_purpose(struct lg_conf *conf)
{
    size_t sockets = lg_conf_count(conf, LG_OPT_socket) + lg_conf_count(conf, LG_OPT_http_socket) +
                     lg_conf_count(conf, LG_OPT_http);
    if (sockets > 0 || lg_cluster_legion_count(conf) > 0)
        return 0;
    lg_conf_report(conf, LG_DIAG_ERROR, (struct lg_where){0},
        "nothing to serve: expected http-socket, http, socket or legion, as in "
        "http-socket = :8080");
    return -LG_E_CONF;
}

int lg_load(int argc, const char *const *argv, struct lg_loaded *ret_loaded)
{
    struct lg_facts *facts;
    *ret_loaded = (struct lg_loaded){0};
    int err = lg_facts_new(&facts);
    if (err)
        return err;
    struct lg_loaded loaded = {.mime = lg_mime_new()};
    err = lg_conf_load(lg_facts_conf(facts), argc, argv, &loaded.conf);
    if (loaded.conf && loaded.mime) {
        /* All of them, so that one run names every fault. */
        int faults[] = {
            err,
            lg_plugin_set_load(loaded.conf, &loaded.plugins),
            lg_cluster_check(loaded.conf),
            lg_alarms_check(loaded.conf),
            lg_sockets_check(loaded.conf),
            lg_identity_read(loaded.conf, &loaded.identity),
            load_mime(lg_facts_conf(facts), loaded.conf, loaded.mime),
            err ? 0 : check_purpose(loaded.conf),
        };
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
            err = err ? err : faults[i];
    } else {
        err = -LG_E_NOMEM;
    }
    lg_facts_free(facts);
    *ret_loaded = loaded;
    return err;
}

void lg_loaded_free(struct lg_loaded *loaded)
{
    if (!loaded)
        return;
    lg_plugin_set_free(loaded->plugins);
    lg_mime_free(loaded->mime);
    lg_conf_free(loaded->conf);
    *loaded = (struct lg_loaded){0};
}

static void place(const struct lg_where *where, char *text, size_t size)
{
    if (where->file && where->line)
        snprintf(text, size, "%s:%u: ", where->file, where->line);
    else if (where->file)
        snprintf(text, size, "%s: ", where->file);
    else
        text[0] = '\0';
}

size_t lg_diags_print(const struct lg_conf *conf, size_t from, FILE *file)
{
    size_t count;
    char at[1024];
    const struct lg_diag *diags = lg_conf_diags(conf, &count);
    for (size_t i = from; i < count; i++) {
        place(&diags[i].where, at, sizeof at);
        fprintf(file, "%s%s: %s\n", at, diags[i].level == LG_DIAG_ERROR ? "error" : "warning",
            diags[i].text);
    }
    return count;
}

size_t lg_diags_log(const struct lg_conf *conf, size_t from)
{
    size_t count;
    char at[1024];
    const struct lg_diag *diags = lg_conf_diags(conf, &count);
    for (size_t i = from; i < count; i++) {
        bool is_error = diags[i].level == LG_DIAG_ERROR;
        place(&diags[i].where, at, sizeof at);
        lg_log(is_error ? LG_LOG_ERROR : LG_LOG_WARN, "conf", "%s%s: %s", at,
            is_error ? "error" : "warning", diags[i].text);
    }
    return count;
}
