/* What the options say to a worker, read once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/loop.h"

#include <stdlib.h>

/* Texts stay the configuration's: it outlives the worker. */
static int read_pairs(const struct lg_conf *conf, enum lg_opt opt, char separator,
    struct lg_slice **ret_pairs, size_t *ret_count)
{
    size_t count = lg_conf_count(conf, opt);
    struct lg_slice *pairs = calloc(count * 2 + 1, sizeof *pairs);
    if (!pairs)
        return -LG_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct lg_slice value;
        struct lg_slice name =
            lg_slice_cut(lg_slice_of(lg_conf_at(conf, opt, i)->text), separator, &value);
        pairs[2 * i] = lg_slice_trim(name);
        pairs[2 * i + 1] = lg_slice_trim(value);
    }
    *ret_pairs = pairs;
    *ret_count = count;
    return 0;
}

int lg_server_options_read(const struct lg_conf *conf, struct lg_server_options *ret_options)
{
    struct lg_server_options options = {0};
    uint64_t io_ms = (uint64_t)lg_conf_number(conf, LG_OPT_socket_timeout);
    uint64_t http_ms = (uint64_t)lg_conf_number(conf, LG_OPT_http_timeout);
    options.read_timeout_ms = io_ms;
    options.head_timeout_ms = io_ms * 10;
    options.idle_timeout_ms = (uint64_t)lg_conf_number(conf, LG_OPT_http_keepalive);
    /* A reader may pause; only where the user set a time is it cut off sooner. */
    options.write_timeout_ms = lg_conf_count(conf, LG_OPT_socket_timeout) ? io_ms : http_ms;
    options.drain_timeout_ms = (uint64_t)lg_conf_number(conf, LG_OPT_worker_reload_mercy);
    options.body_max = (uint64_t)lg_conf_number(conf, LG_OPT_limit_post);
    options.uwsgi_max = (size_t)lg_conf_number(conf, LG_OPT_buffer_size);
    options.manage_script_name = lg_conf_bool(conf, LG_OPT_manage_script_name);
    options.log_requests = !lg_conf_bool(conf, LG_OPT_disable_logging);
    options.log_4xx = lg_conf_bool(conf, LG_OPT_log_4xx);
    options.log_5xx = lg_conf_bool(conf, LG_OPT_log_5xx);
    options.log_slow_ms = (uint64_t)lg_conf_number(conf, LG_OPT_log_slow);

    struct lg_slice *headers = NULL, *vars = NULL;
    int err = read_pairs(conf, LG_OPT_add_header, ':', &headers, &options.header_count);
    if (!err)
        err = read_pairs(conf, LG_OPT_http_var, '=', &vars, &options.router_var_count);
    if (err) {
        free(headers);
        return err;
    }
    /* A pair of slices is a header, and is a variable: name, then value. */
    options.headers = (struct lg_header *)(void *)headers;
    options.router_vars = (struct lg_var *)(void *)vars;
    *ret_options = options;
    return 0;
}
