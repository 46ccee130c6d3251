/* Legion options into a plan, each fault with its file and line. Must not depend
 * on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/plan.h"

#include "cluster/cipher.h"
#include "conf/table.h"
#include "legatus/plugin.h"
#include "shm/calls.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define WORDS_MAX       6
#define UWSGI_VALOR_MAX 65535 /* 16 bits in one place, more in others */

struct reader {
    struct lg_cluster_plan *plan;
    const struct lg_conf *conf;
    struct lg_plan_report *report;
};

void lg_cluster_plan_say(struct lg_plan_report *report, enum lg_diag_level level,
    struct lg_where where, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report->errors += level == LG_DIAG_ERROR;
    if (report->conf)
        lg_conf_report(report->conf, level, where, "%s", text);
    else if (level == LG_DIAG_ERROR)
        lg_log(LG_LOG_ERROR, "legion", "%s:%u: %s", where.file, where.line, text);
}

#define ERROR LG_DIAG_ERROR
#define WARN  LG_DIAG_WARN

/* ---- Words -------------------------------------------------------------------------- */

static struct lg_slice next_word(struct lg_slice *rest)
{
    *rest = lg_slice_trim(*rest);
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ' ' && rest->ptr[len] != '\t')
        len++;
    struct lg_slice word = lg_slice_from(rest->ptr, len);
    *rest = lg_slice_trim(lg_slice_from(rest->ptr + len, rest->len - len));
    return word;
}

static const char *keep(struct reader *r, struct lg_slice text)
{
    const char *copy = lg_arena_copy(&r->plan->arena, text.ptr, text.len);
    if (!copy) { /* said once per text; the plan is not used */
        lg_cluster_plan_say(r->report, ERROR, (struct lg_where){"legion", 0}, "out of memory");
        return "";
    }
    return copy;
}

static struct lg_slice keep_slice(struct reader *r, struct lg_slice text)
{
    return lg_slice_from(keep(r, text), text.len);
}

/* The legion a setting is about and the rest of the setting; NULL when there is
 * none of that name (the configuration room has said so). */
static struct lg_legion_plan *legion_of(
    struct reader *r, const struct lg_setting *setting, struct lg_slice *ret_rest)
{
    *ret_rest = lg_slice_of(setting->text);
    struct lg_slice name = next_word(ret_rest);
    for (size_t i = 0; i < r->plan->count; i++)
        if (lg_slice_eq(name, lg_slice_of(r->plan->legions[i]->name)))
            return r->plan->legions[i];
    return NULL;
}

/* ---- legion = name addr valor cipher:secret [iv] --------------------------------------- */

static void read_cipher(
    struct reader *r, struct lg_legion_plan *legion, struct lg_slice text, struct lg_slice iv)
{
    struct lg_slice secret;
    struct lg_slice name = lg_slice_cut(text, ':', &secret);
    if (!secret.ptr) {
        lg_cluster_plan_say(r->report, ERROR, legion->where,
            "legion \"%s\": expected cipher:secret as the fourth word, as in aes-256-cbc:hello",
            legion->name);
        return;
    }
    legion->cipher = keep_slice(r, name);
    legion->secrets[0] = keep_slice(r, secret);
    legion->secret_count = 1;
    legion->iv = keep_slice(r, iv);
    struct lg_cipher *cipher = NULL;
    char why[LG_WHY_SIZE] = "";
    if (lg_cipher_new(name, secret, iv, &cipher, why, sizeof why))
        lg_cluster_plan_say(
            r->report, ERROR, legion->where, "legion \"%s\": %s", legion->name, why);
    else
        legion->is_aead = lg_cipher_is_aead(cipher);
    lg_cipher_free(cipher);
}

static void read_valor(struct reader *r, struct lg_legion_plan *legion, struct lg_slice text)
{
    if (lg_slice_u64(text, INT64_MAX, &legion->valor))
        return;
    bool is_large = text.len && strspn(text.ptr, "0123456789") >= text.len;
    lg_cluster_plan_say(r->report, ERROR, legion->where,
        "legion \"%s\": valor \"%.*s\" is %s: expected 0 (an arbiter, which votes only) or more",
        legion->name, (int)text.len, text.ptr, is_large ? "too large" : "not a number");
}

static void read_words(struct reader *r, struct lg_legion_plan *legion, struct lg_slice rest)
{
    struct lg_slice words[WORDS_MAX];
    size_t count = 0;
    while (rest.len && count < WORDS_MAX)
        words[count++] = next_word(&rest);
    if (count < 3 || count > 4) {
        lg_cluster_plan_say(r->report, ERROR, legion->where,
            "legion \"%s\": expected name, address, valor, cipher:secret and perhaps an iv",
            legion->name);
        return;
    }
    char why[LG_WHY_SIZE];
    legion->addr_text = keep(r, words[0]);
    if (lg_address_parse(words[0], &legion->address, why))
        lg_cluster_plan_say(
            r->report, ERROR, legion->where, "legion \"%s\": address %s", legion->name, why);
    read_valor(r, legion, words[1]);
    read_cipher(r, legion, words[2], count > 3 ? words[3] : LG_SLICE(""));
    if (legion->valor > UWSGI_VALOR_MAX && !legion->is_aead)
        lg_cluster_plan_say(r->report, WARN, legion->where,
            "legion \"%s\": uWSGI nodes take a valor above %d for another one: expected at most "
            "that "
            "while there are any",
            legion->name, UWSGI_VALOR_MAX);
}

static void check_double(struct reader *r, const struct lg_legion_plan *legion)
{
    for (size_t i = 0; i < r->plan->count; i++) {
        const struct lg_legion_plan *other = r->plan->legions[i];
        if (strcmp(other->addr_text, legion->addr_text) == 0)
            lg_cluster_plan_say(r->report, ERROR, legion->where,
                "legion \"%s\" has the address of legion \"%s\" (%s:%u): expected another, or "
                "another port",
                legion->name, other->name, other->where.file, other->where.line);
    }
}

static void add_node(
    struct reader *r, struct lg_legion_plan *legion, struct lg_slice text, struct lg_where where);

static void read_legion(struct reader *r, const struct lg_setting *setting)
{
    struct lg_cluster_plan *plan = r->plan;
    struct lg_slice rest;
    if (legion_of(r, setting, &rest))
        return; /* twice: the configuration room has said so */
    if (plan->count == LG_LEGIONS_MAX) {
        lg_cluster_plan_say(
            r->report, ERROR, setting->where, "more than %d legions", LG_LEGIONS_MAX);
        return;
    }
    struct lg_legion_plan *legion = lg_arena_alloc(&plan->arena, sizeof *legion);
    if (!legion) {
        lg_cluster_plan_say(r->report, ERROR, setting->where, "out of memory");
        return;
    }
    memset(legion, 0, sizeof *legion);
    legion->where = setting->where;
    legion->addr_text = legion->scroll = "";
    rest = lg_slice_of(setting->text);
    struct lg_slice name = next_word(&rest);
    if (name.len > 127)
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "the legion's name is %zu bytes long: expected at most 127", name.len);
    legion->name = keep(r, name);
    read_words(r, legion, rest);
    if (legion->addr_text[0])
        check_double(r, legion);
    plan->legions[plan->count++] = legion;
    if (setting->opt != LG_OPT_legion_mcast || !legion->addr_text[0])
        return;
    if (!lg_address_is_group(&legion->address))
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-mcast: \"%s\" is not a group: expected 224.0.0.0 to 239.255.255.255 and a port",
            legion->addr_text);
    add_node(r, legion, lg_slice_of(legion->addr_text), setting->where);
}

/* ---- legion-node ------------------------------------------------------------------------- */

static bool same_family(const struct lg_address *a, const struct lg_address *b)
{
    int first = lg_address_family(a), second = lg_address_family(b);
    if (first == second)
        return true;
    return (first == AF_UNSPEC && second != AF_UNIX) || (second == AF_UNSPEC && first != AF_UNIX);
}

static void add_node(
    struct reader *r, struct lg_legion_plan *legion, struct lg_slice text, struct lg_where where)
{
    char why[LG_WHY_SIZE];
    if (legion->node_count == LG_NODES_MAX) {
        lg_cluster_plan_say(r->report, ERROR, where, "legion \"%s\": more than %d nodes",
            legion->name, LG_NODES_MAX);
        return;
    }
    struct lg_plan_node *node = &legion->nodes[legion->node_count];
    node->text = keep(r, text);
    if (lg_address_parse(text, &node->address, why)) {
        lg_cluster_plan_say(r->report, ERROR, where, "legion-node: %s", why);
        return;
    }
    if (node->address.kind == LG_ADDRESS_ANY) {
        lg_cluster_plan_say(r->report, ERROR, where,
            "legion-node: \"%s\" is nobody's address: expected that of another node", node->text);
        return;
    }
    if (legion->addr_text[0] && !same_family(&legion->address, &node->address)) {
        lg_cluster_plan_say(r->report, ERROR, where,
            "legion-node: \"%s\" cannot be reached from \"%s\", where the legion listens: expected "
            "an address of the same kind",
            node->text, legion->addr_text);
        return;
    }
    for (size_t i = 0; i < legion->node_count; i++)
        if (lg_address_eq(&legion->nodes[i].address, &node->address)) {
            lg_cluster_plan_say(r->report, WARN, where,
                "legion-node: \"%s\" was named before for legion \"%s\": it is told once",
                node->text, legion->name);
            return;
        }
    legion->node_count++;
}

static void read_node(struct reader *r, const struct lg_setting *setting)
{
    struct lg_slice rest;
    struct lg_legion_plan *legion = legion_of(r, setting, &rest);
    if (!legion)
        return;
    struct lg_slice text = next_word(&rest);
    if (text.len == 0 || rest.len)
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-node: expected the legion's name and one address");
    else
        add_node(r, legion, text, setting->where);
}

/* ---- Secrets -------------------------------------------------------------------------------- */

static void read_accept(struct reader *r, const struct lg_setting *setting)
{
    struct lg_slice rest, after;
    struct lg_legion_plan *legion = legion_of(r, setting, &rest);
    if (!legion)
        return;
    struct lg_slice secret = next_word(&rest);
    if (secret.len == 0 || rest.len) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-secret-accept: expected the legion's name and one secret");
        return;
    }
    if (lg_slice_ieq(lg_slice_cut(secret, ':', &after), legion->cipher) && after.ptr) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-secret-accept: expected the secret alone, without the cipher's name");
        return;
    }
    for (size_t i = 0; i < legion->secret_count; i++)
        if (lg_slice_eq(secret, legion->secrets[i]))
            return; /* as in the middle of a rotation */
    if (legion->secret_count == LG_SECRETS_MAX)
        lg_cluster_plan_say(r->report, ERROR, setting->where, "legion \"%s\": more than %d secrets",
            legion->name, LG_SECRETS_MAX);
    else
        legion->secrets[legion->secret_count++] = keep_slice(r, secret);
}

/* ---- Quorum, scroll ---------------------------------------------------------------------------
 */

static void warn_again(struct reader *r, const struct lg_setting *setting,
    const struct lg_legion_plan *legion, struct lg_where before)
{
    if (before.file)
        lg_cluster_plan_say(r->report, WARN, setting->where,
            "%s was set before for legion \"%s\" (%s:%u): this one counts",
            lg_opt_name(setting->opt), legion->name, before.file, before.line);
}

static void read_quorum(struct reader *r, const struct lg_setting *setting)
{
    struct lg_slice rest;
    struct lg_legion_plan *legion = legion_of(r, setting, &rest);
    if (!legion)
        return;
    warn_again(r, setting, legion, legion->quorum_where);
    legion->quorum_where = setting->where;
    legion->majority = lg_slice_eq(rest, LG_SLICE("majority"));
    if (!legion->majority && !lg_slice_u64(rest, LG_MEMBERS_MAX + 1, &legion->quorum))
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-quorum \"%.*s\": expected a number of votes up to %d, or majority",
            (int)rest.len, rest.ptr, LG_MEMBERS_MAX + 1);
}

static void read_scroll(struct reader *r, const struct lg_setting *setting)
{
    struct lg_slice rest;
    struct lg_legion_plan *legion = legion_of(r, setting, &rest);
    if (!legion)
        return;
    warn_again(r, setting, legion, legion->scroll_where);
    legion->scroll_where = setting->where;
    int64_t max = lg_conf_number(r->conf, LG_OPT_legion_scroll_max_size);
    if (rest.len > (size_t)max)
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-scroll: %zu bytes are more than %lld (legion-scroll-max-size)", rest.len,
            (long long)max);
    else
        legion->scroll = keep(r, rest);
}

/* ---- Hooks
 * ---------------------------------------------------------------------------------------- */

static const struct {
    struct lg_slice name;
    enum lg_action action;
} actions[] = {
    {LG_SLICE("cmd"), LG_ACTION_CMD},
    {LG_SLICE("exec"), LG_ACTION_CMD},
    {LG_SLICE("log"), LG_ACTION_LOG},
    {LG_SLICE("signal"), LG_ACTION_SIGNAL},
    {LG_SLICE("alarm"), LG_ACTION_ALARM},
};
#define ACTION_COUNT (sizeof actions / sizeof *actions)

static void unknown_action(struct reader *r, const struct lg_setting *setting, struct lg_slice name)
{
    size_t best = 0, distance = SIZE_MAX;
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        size_t d = lg_conf_distance(name, actions[i].name);
        if (d < distance) {
            distance = d;
            best = i;
        }
    }
    if (lg_conf_is_near(name, distance))
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: unknown action \"%.*s\", did you mean \"%s\"?", lg_opt_name(setting->opt),
            (int)name.len, name.ptr, actions[best].name.ptr);
    else
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: unknown action \"%.*s\": expected cmd:, exec:, log:, signal: or alarm:",
            lg_opt_name(setting->opt), (int)name.len, name.ptr);
}

static bool has_alarm(const struct reader *r, struct lg_slice name)
{
    for (size_t i = 0; i < lg_conf_count(r->conf, LG_OPT_alarm); i++) {
        struct lg_slice rest = lg_slice_of(lg_conf_at(r->conf, LG_OPT_alarm, i)->text);
        if (lg_slice_eq(next_word(&rest), name))
            return true;
    }
    return false;
}

/* alarm:NAME MESSAGE; uWSGI drops what is for an alarm that it does not know. */
static bool alarm_ok(struct reader *r, const struct lg_setting *setting, struct lg_slice arg)
{
    struct lg_slice message = arg;
    struct lg_slice name = next_word(&message);
    if (!has_alarm(r, name)) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: unknown alarm \"%.*s\": expected one that is defined, as in alarm = %.*s "
            "cmd:mail root",
            lg_opt_name(setting->opt), (int)name.len, name.ptr, name.len ? (int)name.len : 4,
            name.len ? name.ptr : "NAME");
        return false;
    }
    if (message.len == 0 || message.len > LG_CALL_TEXT_MAX)
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: expected the alarm's name and a message of at most %d bytes",
            lg_opt_name(setting->opt), LG_CALL_TEXT_MAX);
    return message.len > 0 && message.len <= LG_CALL_TEXT_MAX;
}

static bool argument_ok(struct reader *r, const struct lg_setting *setting, enum lg_action action,
    struct lg_slice arg, uint64_t *ret_number)
{
    if (action == LG_ACTION_ALARM)
        return alarm_ok(r, setting, arg);
    if (action == LG_ACTION_SIGNAL && !lg_slice_u64(arg, LG_SIGNALS_MAX - 1, ret_number)) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: signal \"%.*s\": expected a number from 0 to 255", lg_opt_name(setting->opt),
            (int)arg.len, arg.ptr);
        return false;
    }
    if (action == LG_ACTION_CMD && arg.len == 0) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: expected a command after the colon", lg_opt_name(setting->opt));
        return false;
    }
    return true;
}

static void read_hook(
    struct reader *r, const struct lg_setting *setting, enum lg_legion_phase_kind phase)
{
    struct lg_slice rest, arg;
    struct lg_legion_plan *legion = legion_of(r, setting, &rest);
    if (!legion)
        return;
    struct lg_slice name = lg_slice_cut(rest, ':', &arg);
    if (rest.len == 0 || !memchr(rest.ptr, ':', rest.len)) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "%s: expected the legion's name and action:argument, as in \"%s cmd:/bin/true\"",
            lg_opt_name(setting->opt), legion->name);
        return;
    }
    size_t at = 0;
    while (at < ACTION_COUNT && !lg_slice_eq(name, actions[at].name))
        at++;
    if (at == ACTION_COUNT) {
        unknown_action(r, setting, name);
        return;
    }
    uint64_t number = 0;
    struct lg_slice alarm = {0};
    if (!argument_ok(r, setting, actions[at].action, arg, &number))
        return;
    if (actions[at].action == LG_ACTION_ALARM)
        alarm = next_word(&arg);
    if (legion->hook_count == LG_HOOKS_MAX) {
        lg_cluster_plan_say(r->report, ERROR, setting->where, "legion \"%s\": more than %d hooks",
            legion->name, LG_HOOKS_MAX);
        return;
    }
    legion->phases |= 1U << phase;
    legion->hooks[legion->hook_count++] = (struct lg_hook){
        .phase = phase,
        .action = actions[at].action,
        .text = keep(r, rest),
        .argument = keep(r, arg),
        .alarm = alarm.len ? keep(r, alarm) : NULL,
        .signal = (uint8_t)number,
    };
}

/* ---- Checks -------------------------------------------------------------------------------- */

#define PLUGINS_MAX 32

static bool serves(const struct lg_conf *conf)
{
    return lg_conf_count(conf, LG_OPT_socket) || lg_conf_count(conf, LG_OPT_http_socket) ||
           lg_conf_count(conf, LG_OPT_http);
}

static void read_check(struct reader *r, const struct lg_setting *setting)
{
    struct lg_slice rest;
    struct lg_legion_plan *legion = legion_of(r, setting, &rest);
    if (!legion)
        return;
    struct lg_check_plan check;
    char why[LG_WHY_SIZE];
    const char *plugins[PLUGINS_MAX];
    size_t count = lg_conf_plugins(r->conf, plugins, PLUGINS_MAX);
    if (!lg_check_parse(rest, plugins, count, &check, why)) {
        lg_cluster_plan_say(r->report, ERROR, setting->where, "legion-check: %s", why);
        return;
    }
    if (check.kind != LG_CHECK_CMD && !serves(r->conf)) {
        lg_cluster_plan_say(r->report, ERROR, setting->where,
            "legion-check: %.*s: there are no workers: expected http-socket, http or socket",
            (int)check.name.len, check.name.ptr);
        return;
    }
    for (size_t i = 0; i < legion->check_count; i++)
        if (lg_slice_eq(legion->checks[i].name, check.name)) {
            lg_cluster_plan_say(r->report, ERROR, setting->where,
                "legion-check: \"%.*s\" is given twice for legion \"%s\"", (int)check.name.len,
                check.name.ptr, legion->name);
            return;
        }
    if (legion->check_count == LG_CHECKS_MAX) {
        lg_cluster_plan_say(r->report, ERROR, setting->where, "legion \"%s\": more than %d checks",
            legion->name, LG_CHECKS_MAX);
        return;
    }
    check.name = keep_slice(r, check.name);
    if (check.kind == LG_CHECK_CMD)
        check.argument = keep_slice(r, check.argument);
    legion->checks[legion->check_count++] = check;
}

/* The address of the first legion, which no other instance can have. */
static struct lg_slice first_address(const struct lg_conf *conf)
{
    size_t count;
    const struct lg_setting *all = lg_conf_all(conf, &count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].opt != LG_OPT_legion && all[i].opt != LG_OPT_legion_mcast)
            continue;
        struct lg_slice rest = lg_slice_of(all[i].text);
        (void)next_word(&rest);
        return next_word(&rest);
    }
    return LG_SLICE("");
}

bool lg_cluster_plan_control(
    const struct lg_conf *conf, char out[LG_CONTROL_SIZE], char why[LG_WHY_SIZE])
{
    const char *given = lg_conf_text(conf, LG_OPT_legion_control);
    struct lg_slice address = first_address(conf);
    int len = 0;
    out[0] = '\0';
    if (address.len == 0 || (given && strcmp(given, "off") == 0))
        return true;
    if (given && given[0] != '/' && (given[0] != '@' || !given[1])) {
        snprintf(why, LG_WHY_SIZE, "\"%.100s\": expected an absolute path, @name or off", given);
        return false;
    }
    if (given)
        len = snprintf(out, LG_CONTROL_SIZE, "%s", given);
    else
        len = snprintf(out, LG_CONTROL_SIZE, "@legatus-legion-%.*s", (int)address.len, address.ptr);
    if (len > 0 && len < LG_CONTROL_SIZE)
        return true;
    out[0] = '\0';
    snprintf(why, LG_WHY_SIZE, "%s is %d bytes long: expected at most %d",
        given ? "the socket's address" : "the default, named after the legion's address,", len,
        LG_CONTROL_SIZE - 1);
    return false;
}

static struct lg_where last_of(const struct reader *r, enum lg_opt opt);

static void read_control(struct reader *r)
{
    char address[LG_CONTROL_SIZE], why[LG_WHY_SIZE];
    bool given = lg_conf_count(r->conf, LG_OPT_legion_control) > 0;
    if (r->plan->count == 0)
        return;
    if (!lg_cluster_plan_control(r->conf, address, why))
        lg_cluster_plan_say(r->report, given ? ERROR : WARN,
            given ? last_of(r, LG_OPT_legion_control) : r->plan->legions[0]->where,
            "legion-control: %s", why);
    else if (address[0])
        r->plan->control = keep(r, lg_slice_of(address));
}

/* ---- Afterwards
 * ----------------------------------------------------------------------------------- */

/* Distinct configured addresses, ourselves once. */
static uint64_t count_nodes(const struct lg_legion_plan *legion)
{
    uint64_t count = 1;
    for (size_t i = 0; i < legion->node_count; i++) {
        bool seen = lg_address_eq(&legion->nodes[i].address, &legion->address);
        for (size_t k = 0; k < i && !seen; k++)
            seen = lg_address_eq(&legion->nodes[i].address, &legion->nodes[k].address);
        count += !seen;
    }
    return count;
}

static void settle_quorum(struct reader *r, struct lg_legion_plan *legion)
{
    bool group = false;
    for (size_t i = 0; i < legion->node_count; i++)
        group = group || lg_address_is_group(&legion->nodes[i].address);
    uint64_t nodes = count_nodes(legion);
    if (legion->majority && group)
        lg_cluster_plan_say(r->report, ERROR, legion->quorum_where,
            "legion-quorum: a majority of a group's nodes cannot be counted: expected a number");
    else if (legion->majority)
        legion->quorum = nodes / 2 + 1;
    else if (!group && legion->quorum > nodes)
        lg_cluster_plan_say(r->report, WARN, legion->quorum_where,
            "legion-quorum: %llu votes can never be had of %llu configured node(s)",
            (unsigned long long)legion->quorum, (unsigned long long)nodes);
}

static struct lg_where last_of(const struct reader *r, enum lg_opt opt)
{
    size_t count = lg_conf_count(r->conf, opt);
    return count ? lg_conf_at(r->conf, opt, count - 1)->where : (struct lg_where){0};
}

static void read_promises(struct reader *r)
{
    struct lg_cluster_plan *plan = r->plan;
    const struct lg_conf *conf = r->conf;
    const char *safe = lg_conf_text(conf, LG_OPT_legion_safe);
    const char *path = lg_conf_text(conf, LG_OPT_legion_state);
    plan->safe = !safe || strcmp(safe, "auto") == 0 ? LG_SAFE_AUTO
                 : strcmp(safe, "on") == 0          ? LG_SAFE_ON
                                                    : LG_SAFE_OFF;
    if (path)
        plan->state_path = keep(r, lg_slice_of(path));
    const char *record = lg_conf_text(conf, LG_OPT_legion_record);
    if (record)
        plan->record_path = keep(r, lg_slice_of(record));
    plan->record_max = (uint64_t)lg_conf_number(conf, LG_OPT_legion_record_size);
    plan->start_wait_ms = lg_conf_number(conf, LG_OPT_legion_start_wait);
    plan->unlord_grace_ms = lg_conf_number(conf, LG_OPT_legion_unlord_grace);
    plan->preempt_delay_ms = lg_conf_number(conf, LG_OPT_legion_preempt_delay);
    plan->nopreempt = lg_conf_bool(conf, LG_OPT_legion_nopreempt);
    if (plan->unlord_grace_ms > plan->tolerance_ms / 2)
        lg_cluster_plan_say(r->report, WARN, last_of(r, LG_OPT_legion_unlord_grace),
            "legion-unlord-grace (%lld ms) is more than half of legion-tolerance (%lld ms): that "
            "half is what unlord hooks get",
            (long long)plan->unlord_grace_ms, (long long)plan->tolerance_ms);
    struct stat seen; /* a relative path means something after `chdir` only */
    if (path && plan->count > 1 && path[0] == '/' &&
        (stat(path, &seen) != 0 || !S_ISDIR(seen.st_mode)))
        lg_cluster_plan_say(r->report, ERROR, last_of(r, LG_OPT_legion_state),
            "legion-state: one file cannot serve %zu legions: expected a folder", plan->count);
}

static void read_numbers(struct reader *r)
{
    struct lg_cluster_plan *plan = r->plan;
    const struct lg_conf *conf = r->conf;
    plan->freq_ms = lg_conf_number(conf, LG_OPT_legion_freq);
    plan->tolerance_ms = lg_conf_number(conf, LG_OPT_legion_tolerance);
    plan->skew_tolerance_ms = lg_conf_number(conf, LG_OPT_legion_skew_tolerance);
    plan->death_on_lord_error_ms = lg_conf_number(conf, LG_OPT_legion_death_on_lord_error);
    plan->hook_timeout_ms = lg_conf_number(conf, LG_OPT_legion_hook_timeout);
    plan->scroll_max = (size_t)lg_conf_number(conf, LG_OPT_legion_scroll_max_size);
    plan->scrolls_max = (size_t)lg_conf_number(conf, LG_OPT_legion_scroll_list_max_size);
    plan->ttl = (int)lg_conf_number(conf, LG_OPT_multicast_ttl);
    plan->loop = (int)lg_conf_number(conf, LG_OPT_multicast_loop);
    plan->drift_ppm = (unsigned)lg_conf_number(conf, LG_OPT_legion_drift);
    read_control(r);
    plan->has_legion_alarm = has_alarm(r, LG_SLICE(LG_LEGION_ALARM));
    plan->realtime = lg_conf_bool(conf, LG_OPT_legion_realtime);
    read_promises(r);
    if (plan->count == 0 || plan->tolerance_ms >= 5 * plan->freq_ms)
        return;
    const struct lg_setting *last = NULL;
    const enum lg_opt both[] = {LG_OPT_legion_freq, LG_OPT_legion_tolerance};
    for (size_t i = 0; i < 2; i++)
        if (lg_conf_count(conf, both[i]))
            last = lg_conf_at(conf, both[i], lg_conf_count(conf, both[i]) - 1);
    if (!last)
        return;
    bool never = plan->tolerance_ms <= plan->freq_ms;
    lg_cluster_plan_say(r->report, never ? ERROR : WARN, last->where,
        "legion-tolerance (%lld ms) is %s legion-freq (%lld ms): %s", (long long)plan->tolerance_ms,
        never ? "no more than" : "less than 5 times", (long long)plan->freq_ms,
        never ? "every node would be lost between two packets"
              : "a few lost packets look like a dead node");
}

/* What the promise of one Lord rests on: two quorums share a node. */
static void check_promise(struct reader *r, const struct lg_legion_plan *legion)
{
    uint64_t nodes = count_nodes(legion);
    bool group = false;
    for (size_t i = 0; i < legion->node_count; i++)
        group = group || lg_address_is_group(&legion->nodes[i].address);
    bool on = r->plan->safe == LG_SAFE_ON;
    struct lg_where where = legion->quorum_where.file ? legion->quorum_where : legion->where;
    if (r->plan->safe == LG_SAFE_OFF || (!on && legion->quorum < 2))
        return;
    if (group && on && legion->quorum < 2)
        lg_cluster_plan_say(r->report, ERROR, where,
            "legion-safe = on: expected a legion-quorum of 2 or more for legion \"%s\"",
            legion->name);
    if (!group && 2 * legion->quorum <= nodes)
        lg_cluster_plan_say(r->report, on ? ERROR : WARN, where,
            "legion-quorum: %llu of %llu nodes of legion \"%s\" are no majority, so that there can "
            "be two Lords: expected %llu or more, or majority",
            (unsigned long long)legion->quorum, (unsigned long long)nodes, legion->name,
            (unsigned long long)(nodes / 2 + 1));
}

static void read_setting(struct reader *r, const struct lg_setting *setting)
{
    static const struct {
        enum lg_opt opt;
        enum lg_legion_phase_kind phase;
    } hooks[] = {
        {LG_OPT_legion_setup, LG_PHASE_SETUP},
        {LG_OPT_legion_join, LG_PHASE_JOIN},
        {LG_OPT_legion_lord, LG_PHASE_LORD},
        {LG_OPT_legion_unlord, LG_PHASE_UNLORD},
        {LG_OPT_legion_death, LG_PHASE_DEATH},
        {LG_OPT_legion_node_joined, LG_PHASE_NODE_JOINED},
        {LG_OPT_legion_node_left, LG_PHASE_NODE_LEFT},
    };
    if (setting->opt == LG_OPT_legion_node)
        read_node(r, setting);
    if (setting->opt == LG_OPT_legion_secret_accept)
        read_accept(r, setting);
    if (setting->opt == LG_OPT_legion_quorum)
        read_quorum(r, setting);
    if (setting->opt == LG_OPT_legion_scroll)
        read_scroll(r, setting);
    if (setting->opt == LG_OPT_legion_check)
        read_check(r, setting);
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (setting->opt == hooks[i].opt)
            read_hook(r, setting, hooks[i].phase);
}

bool lg_cluster_plan_read(
    struct lg_cluster_plan *plan, const struct lg_conf *conf, struct lg_plan_report *report)
{
    *plan = (struct lg_cluster_plan){0};
    lg_arena_init(&plan->arena, 0);
    struct reader reader = {plan, conf, report};
    size_t count;
    const struct lg_setting *all = lg_conf_all(conf, &count);
    for (size_t i = 0; i < count; i++) /* names first: order in the file is free */
        if (all[i].opt == LG_OPT_legion || all[i].opt == LG_OPT_legion_mcast)
            read_legion(&reader, &all[i]);
    for (size_t i = 0; i < count; i++)
        read_setting(&reader, &all[i]);
    read_numbers(&reader);
    for (size_t i = 0; i < plan->count; i++)
        settle_quorum(&reader, plan->legions[i]);
    for (size_t i = 0; i < plan->count; i++)
        check_promise(&reader, plan->legions[i]);
    return report->errors == 0;
}

void lg_cluster_plan_free(struct lg_cluster_plan *plan)
{
    lg_arena_free(&plan->arena);
    plan->count = 0;
}

struct lg_legion_setup lg_cluster_plan_setup(
    const struct lg_cluster_plan *plan, const struct lg_legion_plan *legion)
{
    return (struct lg_legion_setup){
        .legion = lg_slice_of(legion->name),
        .scroll = lg_slice_of(legion->scroll),
        .valor = legion->valor,
        .quorum = legion->quorum,
        .freq_ms = plan->freq_ms,
        .tolerance_ms = plan->tolerance_ms,
        .skew_tolerance_s = (plan->skew_tolerance_ms + 999) / 1000,
        .death_on_lord_error_ms = plan->death_on_lord_error_ms,
        .phases = legion->phases,
        .safe = plan->safe,
        /* 0 would be the core's own 15 s; the tolerance is waited for in any case */
        .start_wait_ms = plan->start_wait_ms > 0 ? plan->start_wait_ms : 1,
        .unlord_grace_ms = plan->unlord_grace_ms,
        .preempt_delay_ms = plan->preempt_delay_ms,
        .nopreempt = plan->nopreempt,
        .drift_ppm = plan->drift_ppm,
    };
}
