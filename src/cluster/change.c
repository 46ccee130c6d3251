/* From one configuration to the next, without a restart. Must not depend on
 * server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"
#include "cluster/node.h"

#include "legatus/plugin.h"

#include <stdio.h>

static void say_restart(struct lg_where where, const char *what)
{
    lg_log(LG_LOG_WARN, "legion", "%s:%u: %s: restart to use it",
        where.file ? where.file : "configuration", where.line, what);
}

/* The same legions in the same order: their places in shared memory are fixed. */
static bool same_legions(
    const struct lg_cluster_plan *before, const struct lg_cluster_plan *after, bool say)
{
    for (size_t i = 0; i < before->count || i < after->count; i++) {
        bool same = i < before->count && i < after->count &&
                    strcmp(before->legions[i]->name, after->legions[i]->name) == 0;
        if (same)
            continue;
        char what[256];
        const struct lg_legion_plan *first =
            i < after->count ? after->legions[i] : before->legions[i];
        snprintf(what, sizeof what,
            "legion \"%.100s\": legions come and go at a start only, the old "
            "legion options stay",
            first->name);
        if (say)
            say_restart(first->where, what);
        return false;
    }
    return true;
}

static struct lg_slice keep_slice(struct lg_arena *arena, struct lg_slice text)
{
    struct lg_slice copy = lg_arena_slice(arena, text);
    return copy.ptr ? copy : (struct lg_slice){"", 0};
}

/* What sockets and counters hang on stays as it is. */
static bool keep_identity(struct lg_cluster_plan *all, const struct lg_legion_plan *before,
    struct lg_legion_plan *after, bool say)
{
    bool same_address = lg_address_eq(&before->address, &after->address);
    bool same_cipher =
        lg_slice_ieq(before->cipher, after->cipher) && lg_slice_eq(before->iv, after->iv);
    if (say && !same_address)
        say_restart(after->where, "a legion's address has changed");
    if (say && !same_cipher)
        say_restart(after->where, "a legion's cipher or iv has changed");
    after->address = before->address;
    after->addr_text = lg_arena_copy(&all->arena, before->addr_text, strlen(before->addr_text));
    after->cipher = keep_slice(&all->arena, before->cipher);
    after->iv = keep_slice(&all->arena, before->iv);
    after->is_aead = before->is_aead;
    return after->addr_text != NULL;
}

static bool same_path(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool compare(const struct lg_cluster_plan *before, struct lg_cluster_plan *after, bool say)
{
    if (!same_legions(before, after, say))
        return false;
    bool ok = true;
    for (size_t i = 0; i < after->count; i++)
        ok = keep_identity(after, before->legions[i], after->legions[i], say) && ok;
    if (ok && say && after->count && (before->ttl != after->ttl || before->loop != after->loop))
        say_restart(after->legions[0]->where, "multicast-ttl or multicast-loop has changed");
    bool same_state = same_path(before->state_path, after->state_path);
    if (ok && say && after->count &&
        (!same_path(before->record_path, after->record_path) ||
            before->record_max != after->record_max))
        say_restart(after->legions[0]->where, "legion-record has changed");
    /* A promise is remembered where it was made. */
    bool keeps_state = same_state && (before->safe == LG_SAFE_OFF) == (after->safe == LG_SAFE_OFF);
    if (ok && say && after->count && !keeps_state)
        say_restart(
            after->legions[0]->where, "legion-state has changed, or legion-safe from or to off");
    if ((before->safe == LG_SAFE_OFF) != (after->safe == LG_SAFE_OFF))
        after->safe = before->safe;
    if (!same_state)
        after->state_path = before->state_path ? lg_arena_copy(&after->arena, before->state_path,
                                                     strlen(before->state_path))
                                               : NULL;
    after->ttl = before->ttl;
    after->loop = before->loop;
    return ok;
}

int lg_cluster_change(struct lg_cluster *cluster, const struct lg_conf *conf, bool say)
{
    struct lg_cluster_plan next, before = cluster->plan;
    struct lg_plan_report report = {0};
    if (!lg_cluster_plan_read(&next, conf, &report) || !compare(&before, &next, say)) {
        lg_cluster_plan_free(&next);
        return -LG_E_CONF;
    }
    lg_resolver_end(&cluster->resolver); /* its answers count the old links */
    for (size_t i = 0; i < cluster->count; i++)
        lg_node_change(&cluster->nodes[i], next.legions[i], &next);
    cluster->plan = next;
    lg_cluster_plan_free(&before);
    return 0;
}

void lg_cluster_on_reload(struct lg_cluster *cluster, lg_cluster_load *load, void *arg)
{
    cluster->load = load;
    cluster->load_arg = arg;
}
