/* The statistics as JSON. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"
#include "base/utf8.h"

#include <jansson.h>

/* Our own copy with U+FFFD for every byte that is no UTF-8, and nothing after
 * a NUL: jansson refuses what is not valid. */
static json_t *text_n(const char *bytes, size_t len)
{
    struct lg_buf clean = {0};
    const char *end = bytes ? memchr(bytes, '\0', len) : NULL;
    size_t stop = end ? (size_t)(end - bytes) : bytes ? len : 0;
    int err = lg_buf_reserve(&clean, 1);
    for (size_t i = 0; i < stop && !err;) {
        size_t n = lg_utf8_len(lg_slice_from(bytes + i, stop - i));
        err = n ? lg_buf_append(&clean, bytes + i, n) : lg_buf_puts(&clean, "\xEF\xBF\xBD");
        i += n ? n : 1;
    }
    json_t *value = err ? NULL : json_stringn(clean.ptr, clean.len);
    lg_buf_free(&clean);
    return value;
}

static json_t *text(const char *s)
{
    return text_n(s, s ? strlen(s) : 0);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

/* json_object_set_new and json_array_append_new take NULL for "out of memory"
 * and say -1; one flag collects that. */
static void set(json_t *object, const char *key, json_t *value, int *err)
{
    *err |= json_object_set_new(object, key, value);
}

static void append(json_t *array, json_t *value, int *err)
{
    *err |= json_array_append_new(array, value);
}

static json_t *socket_json(const struct lg_stats_socket *socket, int *err)
{
    json_t *o = json_object();
    set(o, "name", text(socket->name), err);
    set(o, "proto", text(socket->protocol), err);
    set(o, "queue", number(socket->queue), err);
    set(o, "max_queue", number(socket->queue_max), err);
    set(o, "shared", json_integer(0), err);
    set(o, "can_offload", json_integer(0), err);
    return o;
}

static json_t *cores_json(const struct lg_stats_worker *worker, int *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < worker->core_count; i++) {
        json_t *o = json_object();
        set(o, "id", number(i), err);
        set(o, "in_request", json_integer(worker->cores[i].busy_ms ? 1 : 0), err);
        set(o, "busy_ms", number(worker->cores[i].busy_ms), err);
        append(list, o, err);
    }
    return list;
}

static json_t *classes_json(const struct lg_stats_worker *worker, int *err)
{
    static const char *const keys[LG_STATUS_CLASSES] = {
        "aborted", "1xx", "2xx", "3xx", "4xx", "5xx"};
    json_t *o = json_object();
    for (size_t i = 0; i < LG_STATUS_CLASSES; i++)
        set(o, keys[i], number(worker->by_class[i]), err);
    return o;
}

/* {"glusterfs": [{"name": "/", "hits": 1, ...}, ...]} */
static json_t *groups_json(const struct lg_stats_worker *worker, int *err)
{
    json_t *plugins = json_object();
    json_t *list = NULL;
    for (size_t i = 0; i < worker->group_count; i++) {
        const struct lg_stats_group *group = &worker->groups[i];
        json_t *o = json_object();
        set(o, "name", text(group->name), err);
        for (size_t k = 0; k < group->value_count; k++)
            set(o, group->values[k].key, number(group->values[k].value), err);
        list = json_object_get(plugins, group->plugin);
        if (!list) {
            list = json_array();
            set(plugins, group->plugin, list, err);
        }
        append(list, o, err);
    }
    return plugins;
}

static uint64_t mean_us(const struct lg_stats_worker *worker)
{
    return worker->requests_total ? worker->running_time_us / worker->requests_total : 0;
}

static json_t *worker_json(const struct lg_stats_worker *worker, int *err)
{
    json_t *o = json_object();
    set(o, "id", number(worker->id), err);
    set(o, "pid", json_integer(worker->pid), err);
    set(o, "accepting", json_integer(worker->accepting), err);
#define LG_STATS_SET(field, key, kind, help) set(o, key, number(worker->field), err);
    LG_WORKER_COUNTERS(LG_STATS_SET)
#undef LG_STATS_SET
    set(o, "responses", classes_json(worker, err), err);
    set(o, "harakiri_count", number(worker->harakiri_count), err);
    set(o, "signals", json_integer(0), err);
    set(o, "signal_queue", json_integer(0), err);
    set(o, "status", text(worker->status), err);
    set(o, "rss", number(worker->rss_bytes), err);
    set(o, "vsz", number(worker->vsz_bytes), err);
    set(o, "last_spawn", json_integer(worker->last_spawn_s), err);
    set(o, "respawn_count", number(worker->respawn_count), err);
    set(o, "avg_rt", number(mean_us(worker)), err);
    set(o, "apps", json_array(), err);
    set(o, "cores", cores_json(worker, err), err);
    set(o, "plugins", groups_json(worker, err), err);
    return o;
}

static json_t *members_json(const struct lg_stats_legion *legion, int *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < legion->member_count; i++) {
        const struct lg_stats_member *member = &legion->members[i];
        json_t *o = json_object();
        set(o, "name", text(member->name), err);
        set(o, "uuid", text(member->uuid), err);
        set(o, "valor", number(member->valor), err);
        set(o, "checksum", number(member->checksum), err);
        set(o, "last_seen", json_integer(member->last_seen_s), err);
        set(o, "deaf_since", json_integer(member->deaf_since_s), err);
        set(o, "arbiter", json_boolean(member->arbiter), err);
        if (member->scroll_len)
            set(o, "scroll", text_n(member->scroll, member->scroll_len), err);
        append(list, o, err);
    }
    return list;
}

static json_t *left_json(const struct lg_stats_legion *legion, int *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < legion->left_count; i++) {
        json_t *o = json_object();
        set(o, "name", text(legion->left[i].name), err);
        set(o, "uuid", text(legion->left[i].uuid), err);
        set(o, "last_seen", json_integer(legion->left[i].last_seen_s), err);
        set(o, "died", json_boolean(legion->left[i].died), err);
        append(list, o, err);
    }
    return list;
}

static json_t *checks_json(const struct lg_stats_legion *legion, int *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < legion->check_count; i++) {
        json_t *o = json_object();
        set(o, "name", text(legion->checks[i].name), err);
        set(o, "well", json_boolean(legion->checks[i].well), err);
        set(o, "last_change", json_integer(legion->checks[i].changed_s), err);
        set(o, "last_result", text(legion->checks[i].result), err);
        append(list, o, err);
    }
    return list;
}

static json_t *legion_json(const struct lg_stats_legion *legion, int *err)
{
    json_t *o = json_object();
    json_t *nodes = json_array();
    for (size_t i = 0; i < legion->node_count; i++)
        append(nodes, text(legion->nodes[i]), err);
    set(o, "legion", text(legion->name), err);
    set(o, "addr", text(legion->addr), err);
    set(o, "uuid", text(legion->uuid), err);
    set(o, "valor", number(legion->valor), err);
    set(o, "checksum", number(legion->checksum), err);
    set(o, "quorum", number(legion->quorum), err);
    set(o, "votes", number(legion->votes), err);
    set(o, "epoch", number(legion->epoch), err);
    set(o, "mode", text(legion->mode), err);
    set(o, "lease_ms", json_integer(legion->lease_ms), err);
    set(o, "waiting_ms", json_integer(legion->waiting_ms), err);
    set(o, "reach", number(legion->reach), err);
    set(o, "freq_ms", number(legion->freq_ms), err);
    set(o, "tolerance_ms", number(legion->tolerance_ms), err);
    set(o, "maintenance", json_boolean(legion->maintenance), err);
    set(o, "aside", text(legion->aside), err);
    set(o, "aside_ms", json_integer(legion->aside_ms), err);
    set(o, "i_am_the_lord", json_integer(legion->lord_since_s), err);
    set(o, "lord_valor", number(legion->lord_valor), err);
    set(o, "lord_uuid", text(legion->lord_uuid), err);
    set(o, "lord_name", text(legion->lord_name), err);
    set(o, "scroll", text_n(legion->scroll, legion->scroll_len), err);
    set(o, "nodes", nodes, err);
    set(o, "members", members_json(legion, err), err);
    set(o, "left", left_json(legion, err), err);
    set(o, "checks", checks_json(legion, err), err);
    return o;
}

static json_t *signals_json(const struct lg_stats *stats, int *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats->signal_count; i++) {
        const struct lg_stats_signal *signal = &stats->signals[i];
        json_t *o = json_object();
        set(o, "signal", number(signal->number), err);
        set(o, "count", number(signal->count), err);
        set(o, "last", json_integer(signal->last_s), err);
        set(o, "from", text(signal->from), err);
        append(list, o, err);
    }
    return list;
}

static json_t *alarms_json(const struct lg_stats *stats, int *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats->alarm_count; i++) {
        const struct lg_stats_alarm *alarm = &stats->alarms[i];
        json_t *o = json_object();
        set(o, "name", text(alarm->name), err);
        set(o, "action", text(alarm->action), err);
        set(o, "count", number(alarm->count), err);
        set(o, "suppressed", number(alarm->suppressed), err);
        set(o, "failures", number(alarm->failures), err);
        set(o, "last", json_integer(alarm->last_s), err);
        append(list, o, err);
    }
    return list;
}

static void set_lists(json_t *root, const struct lg_stats *stats, int *err)
{
    json_t *sockets = json_array();
    json_t *workers = json_array();
    json_t *legions = json_array();
    for (size_t i = 0; i < stats->socket_count; i++)
        append(sockets, socket_json(&stats->sockets[i], err), err);
    for (size_t i = 0; i < stats->worker_count; i++)
        append(workers, worker_json(&stats->workers[i], err), err);
    for (size_t i = 0; i < stats->legion_count; i++)
        append(legions, legion_json(&stats->legions[i], err), err);
    set(root, "daemons", json_array(), err);
    set(root, "locks", json_array(), err);
    set(root, "caches", json_array(), err);
    set(root, "sockets", sockets, err);
    set(root, "workers", workers, err);
    set(root, "crons", json_array(), err);
    set(root, "legions", legions, err);
    set(root, "signals", signals_json(stats, err), err);
    set(root, "alarms", alarms_json(stats, err), err);
}

static int append_dump(const char *bytes, size_t len, void *out)
{
    return lg_buf_append(out, bytes, len) < 0 ? -1 : 0;
}

int lg_stats_json(const struct lg_stats *stats, struct lg_buf *out)
{
    uint64_t queue = 0;
    for (size_t i = 0; i < stats->socket_count; i++)
        queue += stats->sockets[i].queue;
    size_t before = out->len;
    int err = 0;
    json_t *root = json_object();
    set(root, "version", text(stats->version), &err);
    set(root, "listen_queue", number(queue), &err);
    set(root, "listen_queue_errors", json_integer(0), &err);
    set(root, "signal_queue", json_integer(0), &err);
    set(root, "load", number(queue), &err);
    set(root, "pid", json_integer(stats->pid), &err);
    set(root, "uid", json_integer(stats->uid), &err);
    set(root, "gid", json_integer(stats->gid), &err);
    set(root, "cwd", text(stats->cwd), &err);
    set_lists(root, stats, &err);
    if (!err)
        err = json_dump_callback(root, append_dump, out, JSON_INDENT(1));
    if (!err)
        err = lg_buf_puts(out, "\n");
    json_decref(root);
    if (err)
        out->len = before;
    return err ? -LG_E_NOMEM : 0;
}
