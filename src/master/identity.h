/* Who the workers are: uid, gid and capabilities. Checked in the master before
 * anything starts, taken on in the worker right after fork.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_MASTER_IDENTITY_H
#define LG_MASTER_IDENTITY_H

#include "conf/conf.h"

#include <sys/types.h>

struct lg_identity {
    bool has_uid;
    bool has_gid;
    bool has_caps;
    uid_t uid;
    gid_t gid;
    char user[64]; /* name of uid, for its groups; "" when it has none */
    uint64_t caps; /* bit N = capability number N */
};

/* Reads uid, gid and cap; unknown names are error diagnostics with the nearest
 * one, what this process may not do is a warning and left out. 0 or -LG_E_CONF. */
int lg_identity_read(struct lg_conf *conf, struct lg_identity *ret_identity) LG_MUST_USE;

/* "user", "user:group", ":group", names or numbers, into the two; -1 = not
 * given. Returns 0, or -LG_E_NOTFOUND with *ret_unknown pointing into `text`. */
int lg_identity_owner(
    const char *text, uid_t *ret_uid, gid_t *ret_gid, const char **ret_unknown) LG_MUST_USE;

/* Master that is not root: the programs it and the legion process run keep what
 * it has of `cap` (ambient), as with uWSGI's workers. */
void lg_identity_hand_on(const struct lg_identity *identity);
/* Worker: becomes it, for good. 0, or -LG_E_SYS with the reason logged. */
int lg_identity_take(const struct lg_identity *identity) LG_MUST_USE;

#endif
