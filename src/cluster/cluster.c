/* The legion process's outside: checking, making, freeing; and what the master
 * does for it when it is dead. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"
#include "cluster/node.h"
#include "cluster/setup.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESOLVE_AT_START_MS 2000 /* names that take longer come later */

unsigned lg_cluster_legion_count(const struct lg_conf *conf)
{
    return (
        unsigned)(lg_conf_count(conf, LG_OPT_legion) + lg_conf_count(conf, LG_OPT_legion_mcast));
}

int lg_cluster_check(struct lg_conf *conf)
{
    struct lg_cluster_plan plan;
    struct lg_plan_report report = {.conf = conf};
    bool ok = lg_cluster_plan_read(&plan, conf, &report);
    lg_cluster_plan_free(&plan);
    return ok ? 0 : -LG_E_CONF;
}

_Static_assert(LG_CLUSTER_CONTROL_SIZE == LG_CONTROL_SIZE, "one size inside and outside");

int lg_cluster_control(const struct lg_conf *conf, char out[LG_CLUSTER_CONTROL_SIZE])
{
    char why[LG_WHY_SIZE];
    if (!lg_cluster_plan_control(conf, out, why))
        return -LG_E_CONF;
    return out[0] ? 0 : -LG_E_NOTFOUND;
}

int lg_cluster_setup(
    const struct lg_conf *conf, struct lg_arena *ret_arena, struct lg_legion_setup *ret_setup)
{
    struct lg_cluster_plan plan;
    struct lg_plan_report report = {0};
    bool ok = lg_cluster_plan_read(&plan, conf, &report);
    *ret_arena = plan.arena; /* all the texts are in it */
    if (!ok)
        return -LG_E_CONF;
    if (plan.count == 0)
        return -LG_E_NOTFOUND;
    *ret_setup = lg_cluster_plan_setup(&plan, plan.legions[0]);
    return 0;
}

/* ---- Making ------------------------------------------------------------------------- */

/* RFC 4122, version 4. */
static int make_uuid(char out[LG_LEGION_UUID_LEN + 1])
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return -LG_E_SYS;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, LG_LEGION_UUID_LEN + 1,
        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
        b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return 0;
}

static void make_hostname(char out[LG_LEGION_NAME_MAX + 1])
{
    if (gethostname(out, LG_LEGION_NAME_MAX) != 0 || !out[0])
        snprintf(out, LG_LEGION_NAME_MAX + 1, "localhost");
    out[LG_LEGION_NAME_MAX] = '\0';
    for (char *c = out; *c; c++)
        if (*c <= ' ' || *c > '~')
            *c = '-';
}

/* What no cipher of the uwsgi wire can do. */
static void warn_of_cipher(const struct lg_legion_plan *plan)
{
    lg_log(LG_LOG_WARN, "legion",
        "%s:%u: legion \"%s\": whoever records packets sealed with %.*s can alter and repeat them; "
        "aes-256-gcm ends that, once every node is Legatus",
        plan->where.file ? plan->where.file : "configuration", plan->where.line, plan->name,
        (int)plan->cipher.len, plan->cipher.ptr);
}

static int open_seal(struct lg_node *node, char *why, size_t why_size)
{
    const struct lg_legion_plan *plan = node->plan;
    struct lg_seal_setup setup = {
        .legion = lg_slice_of(plan->name),
        .cipher = plan->cipher,
        .iv = plan->iv,
        .uuid = lg_slice_of(node->uuid),
        .secret_count = plan->secret_count,
    };
    memcpy(setup.secrets, plan->secrets, sizeof setup.secrets);
    return lg_seal_new(&setup, &node->seal, why, why_size);
}

static int open_node(struct lg_cluster *cluster, struct lg_node *node)
{
    const struct lg_legion_plan *plan = node->plan;
    char why[LG_WHY_SIZE] = "";
    int err = make_uuid(node->uuid);
    if (!err)
        err = open_seal(node, why, sizeof why);
    if (err) {
        lg_log(LG_LOG_ERROR, "legion", "%s: %s: %s", plan->name, plan->addr_text,
            why[0] ? why : lg_err_text(err));
        return err;
    }
    if (!lg_seal_is_aead(node->seal))
        warn_of_cipher(plan);
    return lg_links_open(&node->links, plan, cluster->plan.ttl, cluster->plan.loop);
}

int lg_cluster_new(const struct lg_conf *conf, struct lg_shm *shm, struct lg_cluster **ret_cluster)
{
    struct lg_cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster)
        return -LG_E_NOMEM;
    struct lg_plan_report report = {0};
    int err = lg_cluster_plan_read(&cluster->plan, conf, &report) ? 0 : -LG_E_CONF;
    cluster->shm = shm;
    make_hostname(cluster->hostname);
    for (size_t i = 0; i < cluster->plan.count && !err; i++) {
        struct lg_node *node = &cluster->nodes[cluster->count++];
        node->cluster = cluster;
        node->plan = cluster->plan.legions[i];
        node->index = (unsigned)i;
        node->links.fd = -1;
        node->links.ready_fd = -1;
        node->memory.lock_fd = -1;
        node->recorder.fd = -1;
        cluster->links[i] = &node->links;
        err = open_node(cluster, node);
    }
    lg_resolver_init(&cluster->resolver, cluster->links, cluster->count);
    if (err) {
        lg_cluster_free(cluster);
        return err;
    }
    lg_resolver_run(&cluster->resolver, RESOLVE_AT_START_MS);
    *ret_cluster = cluster;
    return 0;
}

void lg_cluster_free(struct lg_cluster *cluster)
{
    if (!cluster)
        return;
    for (size_t i = 0; i < cluster->count; i++)
        lg_node_free(&cluster->nodes[i]);
    lg_cluster_plan_free(&cluster->plan);
    free(cluster);
}

/* ---- Rescue ------------------------------------------------------------------------------ */

/* The master reaps it meanwhile. Where the lease has long to go, so have we. */
static void wait_gone(
    const struct lg_cluster_plan *plan, const char *legion, pid_t group, int64_t lease_until_ms)
{
    int64_t now_ms = lg_node_now_ms();
    int64_t until_ms = now_ms + lg_hook_patience_ms(plan, lease_until_ms - now_ms);
    while (!lg_hook_is_gone(group) && lg_node_now_ms() < until_ms)
        (void)poll(NULL, 0, 1);
    if (!lg_hook_is_gone(group))
        lg_hook_say_hangs(legion, group);
}

/* Waits for a hook that may outlive its time, as legion-hook-timeout has it. */
static int wait_bounded(const struct lg_cluster_plan *plan, const char *legion, pid_t pid)
{
    int status = 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int wait_ms = plan->hook_timeout_ms < INT32_MAX ? (int)plan->hook_timeout_ms : INT32_MAX;
    int ready;
    do
        ready = fd < 0 ? 0 : poll(&poll_fd, 1, wait_ms);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        lg_hook_end(pid);
    waitpid(pid, &status, 0);
    if (ready <= 0)
        wait_gone(plan, legion, pid, 0);
    if (fd >= 0)
        close(fd);
    return status;
}

/* False when one of them failed. */
static bool undo(const struct lg_cluster_plan *plan, const struct lg_legion_plan *legion,
    const struct lg_hook_env *env, struct lg_shm *shm)
{
    bool ok = true;
    for (size_t i = 0; i < legion->hook_count; i++) {
        const struct lg_hook *hook = &legion->hooks[i];
        pid_t pid;
        if (hook->phase != LG_PHASE_UNLORD)
            continue;
        lg_hook_say(hook, legion->name);
        if (hook->action != LG_ACTION_CMD) {
            lg_hook_act(hook, legion->name, shm);
            continue;
        }
        int status = lg_hook_spawn(hook->argument, env, -1, NULL, &pid)
                         ? -1
                         : wait_bounded(plan, legion->name, pid);
        char text[64];
        if (status != 0)
            lg_log(LG_LOG_ERROR, "legion", "%s: the unlord hook \"%s\" %s", legion->name,
                hook->text, lg_hook_status_text(status, text));
        ok = ok && status == 0;
    }
    return ok;
}

/* As the legion process does it: what failed is tried again. A tolerance after
 * the lease's end it is left to the setup hooks of the next legion process, which
 * waits for us; and to people. */
static bool undo_at_last(const struct lg_cluster_plan *plan, const struct lg_legion_plan *legion,
    const struct lg_hook_env *env, struct lg_shm *shm, int64_t lease_until_ms)
{
    int64_t until_ms = lg_node_now_ms() + 3 * plan->tolerance_ms;
    int64_t wait_ms = plan->freq_ms;
    if (lease_until_ms + plan->tolerance_ms < until_ms)
        until_ms = lease_until_ms + plan->tolerance_ms;
    while (!undo(plan, legion, env, shm)) {
        if (lg_node_now_ms() + wait_ms > until_ms) {
            lg_hook_lapsed(legion, env, plan->has_legion_alarm ? shm : NULL);
            return false;
        }
        (void)poll(NULL, 0, (int)wait_ms);
        wait_ms *= 2;
    }
    return true;
}

/* Kills the hook that runs for a legion whose process is dead. Returns its group, 0
 * where there is none. A number that is stale, and perhaps somebody else's by now, is
 * told from ours by who its parent is: us, since the legion process is dead. */
static pid_t end_hook(struct lg_shm *shm, unsigned index)
{
    siginfo_t info;
    _Atomic int32_t *told = lg_shm_hook_group(shm, index);
    pid_t group = told ? atomic_exchange(told, 0) : 0;
    if (group <= 0 || waitid(P_PGID, (id_t)group, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return 0;
    lg_hook_end(group);
    return group;
}

static pid_t undo_apart(const struct lg_cluster_plan *plan, const struct lg_legion_plan *legion,
    const struct lg_shm_legion *state, pid_t hook, struct lg_shm *shm)
{
    struct lg_hook_env env = {
        .legion = legion->name,
        .self.valor = state->valor,
        .epoch = state->epoch,
        .phase = LG_PHASE_UNLORD,
    };
    memcpy(env.self.uuid, state->uuid, sizeof env.self.uuid);
    env.lord.valor = state->lord_valor;
    memcpy(env.lord.uuid, state->lord_uuid, sizeof env.lord.uuid);
    memcpy(env.lord.name, state->lord_name, sizeof env.lord.name);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    sigset_t none;
    sigemptyset(&none);
    for (int signal_number = 1; signal_number < SIGRTMIN; signal_number++)
        signal(signal_number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a Ctrl-C for the master is not for us: the address must go */
    if (hook > 0)
        wait_gone(plan, legion->name, hook, (int64_t)state->lease_until_ms);
    _exit(undo_at_last(plan, legion, &env, shm, (int64_t)state->lease_until_ms) ? 0 : 1);
}

/* The snapshot's writer is dead: the title is given up in its name. It stays one
 * that has to be undone, under its epoch, until the hooks have run. */
static void let_fall(struct lg_shm *shm, unsigned index, struct lg_shm_legion *state)
{
    state->lord_since_s = 0;
    state->is_falling = 1;
    lg_shm_legion_publish(shm, index, state);
}

void lg_cluster_rescued(struct lg_shm *shm)
{
    struct lg_shm_legion *state = calloc(1, sizeof *state);
    for (unsigned i = 0; state && i < lg_shm_legion_count(shm); i++) {
        if (!lg_shm_legion_read(shm, i, state) || state->epoch == 0)
            continue;
        state->lord_since_s = 0;
        state->is_falling = 0;
        state->lease_until_ms = 0;
        state->epoch = 0;
        lg_shm_legion_publish(shm, i, state);
    }
    free(state);
}

size_t lg_cluster_rescue(const struct lg_conf *conf, struct lg_shm *shm, int *ret_pids, size_t max)
{
    struct lg_cluster_plan plan;
    struct lg_plan_report report = {0};
    struct lg_shm_legion *state = calloc(1, sizeof *state);
    size_t count = 0;
    (void)lg_cluster_plan_read(&plan, conf, &report);
    for (size_t i = 0; state && i < plan.count; i++) {
        pid_t hook = end_hook(shm, (unsigned)i);
        if (!lg_shm_legion_read(shm, (unsigned)i, state) || state->epoch == 0)
            continue;
        lg_log(LG_LOG_WARN, "legion",
            "%s: the legion process is gone with the title: running its unlord hooks",
            plan.legions[i]->name);
        pid_t pid = count < max ? undo_apart(&plan, plan.legions[i], state, hook, shm) : -1;
        if (pid > 0)
            ret_pids[count++] = pid;
        else
            lg_log(LG_LOG_ERROR, "legion", "%s: no process for the unlord hooks",
                plan.legions[i]->name);
        let_fall(shm, (unsigned)i, state);
    }
    free(state);
    lg_cluster_plan_free(&plan);
    return count;
}
