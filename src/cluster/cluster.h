/* The legion process: drives legion/ with real datagrams, clocks and hooks.
 *
 * Forked by the master before the workers, single-threaded, no libuv. The one
 * writer of legion state in shared memory. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_CLUSTER_CLUSTER_H
#define LG_CLUSTER_CLUSTER_H

#include "base/err.h"
#include "conf/conf.h"
#include "shm/shm.h"

struct lg_cluster; /* sockets and keys of every configured legion; opaque */

/* How many legions `conf` names. */
unsigned lg_cluster_legion_count(const struct lg_conf *conf);

/* Master, before privileges are dropped: checks every legion option of `conf`
 * against the others (unknown legions, addresses, ciphers, secrets), reporting
 * faults with lg_conf_report. 0 or -LG_E_CONF. Opens nothing: also `--check`. */
int lg_cluster_check(struct lg_conf *conf) LG_MUST_USE;

/* Where the legion process of a `conf` takes operators' commands ("/path",
 * "@name"; LG_CLUSTER_CONTROL_SIZE). 0; -LG_E_NOTFOUND when nowhere: there is no
 * legion, or it is off; -LG_E_CONF when what is configured is none. */
#define LG_CLUSTER_CONTROL_SIZE 108
int lg_cluster_control(const struct lg_conf *conf, char out[LG_CLUSTER_CONTROL_SIZE]) LG_MUST_USE;

/* Master: opens sockets, loads ciphers, makes uuids. 0, or a code with the
 * reason logged. */
int lg_cluster_new(
    const struct lg_conf *conf, struct lg_shm *shm, struct lg_cluster **ret_cluster) LG_MUST_USE;
/* Goes over to the legion options of `conf`, of the master's copy and of the
 * legion process's: hooks, nodes, secrets, scrolls, timings. Legions themselves
 * stay, with their addresses and ciphers; with `say`, what therefore needs a
 * restart is logged with its FILE:LINE. 0; -LG_E_CONF when nothing was changed:
 * other legions than before, or faults (logged). */
int lg_cluster_change(struct lg_cluster *cluster, const struct lg_conf *conf, bool say) LG_MUST_USE;
/* Legion process: how to load the configuration again when the master writes
 * LG_CLUSTER_RELOAD to its end of `master_fd`; 0 and *ret_conf, or a code with
 * the reason logged. */
typedef int lg_cluster_load(void *arg, struct lg_conf **ret_conf);
void lg_cluster_on_reload(struct lg_cluster *cluster, lg_cluster_load *load, void *arg);
#define LG_CLUSTER_RELOAD 'R'

/* Closes everything and removes unix sockets' files: for the process that made
 * it, once the legion process is gone. NULL is fine. */
void lg_cluster_free(struct lg_cluster *cluster);

/* Legion process, right after fork: runs until SIGTERM/SIGINT (a clean stop:
 * unlord and death hooks, a death packet) or until `master_fd` reads EOF (the
 * master is gone: the same). Returns the process's exit status. The log sink is
 * set by the caller beforehand. */
int lg_cluster_run(struct lg_cluster *cluster, int master_fd);

/* Master, which is a subreaper, when the legion process died with a title held: ends
 * the hook that it ran, waits until that is gone, runs the unlord
 * hooks of the legions whose title shared memory still shows, as children of
 * the caller, and returns their pids (at most `max`) for its pid table. Hooks
 * that fail are run again, until legion-tolerance after the lease's end. */
size_t lg_cluster_rescue(const struct lg_conf *conf, struct lg_shm *shm, int *ret_pids, size_t max);
/* Master, once those have ended: no title is held any more. */
void lg_cluster_rescued(struct lg_shm *shm);

#endif
