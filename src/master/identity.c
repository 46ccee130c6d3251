/* uid, gid and capabilities of the workers. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "master/identity.h"
#include "legatus/plugin.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <strings.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CAPS_MAX 64 /* bits in lg_identity.caps */
#define WORD_MAX 64

static bool read_number(const char *text, unsigned *ret_number)
{
    uint64_t number;
    /* All ones means "leave it" to the kernel. */
    if (!lg_slice_u64(lg_slice_of(text), UINT32_MAX - 1, &number))
        return false;
    *ret_number = (unsigned)number;
    return true;
}

static bool find_user(const char *text, struct lg_identity *identity)
{
    unsigned number = 0;
    bool numeric = read_number(text, &number);
    const struct passwd *entry = numeric ? getpwuid(number) : getpwnam(text);
    if (!numeric && !entry)
        return false;
    identity->has_uid = true;
    identity->uid = numeric ? number : entry->pw_uid;
    if (entry)
        snprintf(identity->user, sizeof identity->user, "%s", entry->pw_name);
    /* Nobody wants uid www-data with root's group: the user's own one. */
    if (entry && !identity->has_gid) {
        identity->has_gid = true;
        identity->gid = entry->pw_gid;
    }
    return true;
}

static bool find_group(const char *text, gid_t *ret_gid)
{
    unsigned number = 0;
    if (read_number(text, &number)) {
        *ret_gid = number;
        return true;
    }
    const struct group *entry = getgrnam(text);
    if (entry)
        *ret_gid = entry->gr_gid;
    return entry != NULL;
}

int lg_identity_owner(const char *text, uid_t *ret_uid, gid_t *ret_gid, const char **ret_unknown)
{
    struct lg_identity identity = {.uid = (uid_t)-1, .gid = (gid_t)-1, .has_gid = true};
    char user[WORD_MAX];
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    snprintf(user, sizeof user, "%.*s", (int)len, text);
    if (len >= sizeof user || (len > 0 && !find_user(user, &identity))) {
        *ret_unknown = text;
        return -LG_E_NOTFOUND;
    }
    if (colon && colon[1] && !find_group(colon + 1, &identity.gid)) {
        *ret_unknown = colon + 1;
        return -LG_E_NOTFOUND;
    }
    *ret_uid = identity.uid;
    *ret_gid = identity.gid;
    return 0;
}

/* Edits between two short names; a plain Levenshtein distance. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1];
    size_t len_b = strlen(b);
    if (len_b > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= len_b; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len_b; j++) {
            unsigned cost = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = cost < edit ? cost : edit;
        }
    }
    return row[len_b];
}

/* Writes the known capability nearest to `name`, without "cap_"; "" when none
 * is near. */
static void nearest_cap(const char *name, char *nearest, size_t size)
{
    unsigned best = 4; /* more edits than that is another word */
    nearest[0] = '\0';
    for (cap_value_t cap = 0; cap < CAPS_MAX && CAP_IS_SUPPORTED(cap); cap++) {
        char *known = cap_to_name(cap);
        if (!known)
            continue;
        const char *bare = strncmp(known, "cap_", 4) == 0 ? known + 4 : known;
        unsigned edits = distance(name, bare);
        if (edits < best) {
            best = edits;
            snprintf(nearest, size, "%s", bare);
        }
        cap_free(known);
    }
}

static bool find_cap(const char *name, cap_value_t *ret_cap)
{
    char full[WORD_MAX + 8];
    unsigned number;
    if (read_number(name, &number)) {
        *ret_cap = (cap_value_t)number;
        return number < CAPS_MAX && CAP_IS_SUPPORTED(*ret_cap);
    }
    snprintf(full, sizeof full, "%s%s", strncasecmp(name, "cap_", 4) == 0 ? "" : "cap_", name);
    return cap_from_name(full, ret_cap) == 0;
}

static bool may_have(cap_value_t cap)
{
    cap_flag_value_t value = CAP_CLEAR;
    cap_t own = cap_get_proc();
    if (own)
        cap_get_flag(own, cap, CAP_PERMITTED, &value);
    cap_free(own);
    return value == CAP_SET;
}

static int add_cap(struct lg_conf *conf, const struct lg_setting *setting, const char *name,
    struct lg_identity *identity)
{
    cap_value_t cap = 0;
    char nearest[WORD_MAX];
    if (!find_cap(name, &cap)) {
        nearest_cap(strncasecmp(name, "cap_", 4) == 0 ? name + 4 : name, nearest, sizeof nearest);
        lg_conf_report(conf, LG_DIAG_ERROR, setting->where, "unknown capability \"%s\"%s%s%s", name,
            nearest[0] ? ", did you mean \"" : ", see capabilities(7)", nearest,
            nearest[0] ? "\"?" : "");
        return -LG_E_CONF;
    }
    if (may_have(cap))
        identity->caps |= UINT64_C(1) << cap;
    else
        lg_conf_report(conf, LG_DIAG_WARN, setting->where,
            "this process does not have the capability \"%s\": workers do without it", name);
    identity->has_caps = true;
    return 0;
}

static int read_caps(
    struct lg_conf *conf, const struct lg_setting *setting, struct lg_identity *identity)
{
    int err = 0;
    struct lg_slice rest = lg_slice_of(setting->text);
    while (rest.ptr) {
        char name[WORD_MAX];
        struct lg_slice word = lg_slice_trim(lg_slice_cut(rest, ',', &rest));
        snprintf(name, sizeof name, "%.*s", (int)word.len, word.ptr);
        if (word.len > 0 && add_cap(conf, setting, name, identity) < 0)
            err = -LG_E_CONF;
    }
    return err;
}

static const struct lg_setting *last_of(const struct lg_conf *conf, enum lg_opt opt)
{
    size_t count = lg_conf_count(conf, opt);
    return count ? lg_conf_at(conf, opt, count - 1) : NULL;
}

static int read_names(struct lg_conf *conf, struct lg_identity *identity)
{
    const struct lg_setting *uid = last_of(conf, LG_OPT_uid);
    const struct lg_setting *gid = last_of(conf, LG_OPT_gid);
    int err = 0;
    if (gid && gid->text[0]) {
        identity->has_gid = find_group(gid->text, &identity->gid);
        if (!identity->has_gid) {
            lg_conf_report(conf, LG_DIAG_ERROR, gid->where, "unknown group \"%s\"", gid->text);
            err = -LG_E_CONF;
        }
    }
    if (uid && uid->text[0] && !find_user(uid->text, identity)) {
        lg_conf_report(conf, LG_DIAG_ERROR, uid->where, "unknown user \"%s\"", uid->text);
        err = -LG_E_CONF;
    }
    return err;
}

int lg_identity_read(struct lg_conf *conf, struct lg_identity *ret_identity)
{
    struct lg_identity identity = {0};
    int err = read_names(conf, &identity);
    for (size_t i = 0; i < lg_conf_count(conf, LG_OPT_cap); i++)
        if (read_caps(conf, lg_conf_at(conf, LG_OPT_cap, i), &identity) < 0)
            err = -LG_E_CONF;
    bool is_root = geteuid() == 0;
    const struct lg_setting *uid = last_of(conf, LG_OPT_uid);
    const struct lg_setting *gid = last_of(conf, LG_OPT_gid);
    if (!is_root && uid && identity.has_uid && identity.uid != geteuid())
        lg_conf_report(
            conf, LG_DIAG_WARN, uid->where, "uid is ignored: only root can become another user");
    if (!is_root && gid && identity.has_gid && identity.gid != getegid())
        lg_conf_report(
            conf, LG_DIAG_WARN, gid->where, "gid is ignored: only root can become another group");
    if (!is_root)
        identity.has_uid = identity.has_gid = false;
    if (!err)
        *ret_identity = identity;
    return err;
}

static int failed(const char *what)
{
    lg_log(LG_LOG_ERROR, "master", "%s: %s", what, strerror(errno));
    return -LG_E_SYS;
}

static int take_groups(const struct lg_identity *identity)
{
    if (identity->has_gid && setresgid(identity->gid, identity->gid, identity->gid) < 0)
        return failed("cannot take the group of gid");
    if (!identity->has_uid || identity->uid == 0)
        return 0;
    gid_t group = identity->has_gid ? identity->gid : getegid();
    if (identity->user[0] && initgroups(identity->user, group) < 0)
        return failed("cannot take the groups of uid");
    if (!identity->user[0] && setgroups(1, &group) < 0)
        return failed("cannot drop the groups of root");
    return 0;
}

static int take_caps(const struct lg_identity *identity)
{
    cap_t set = cap_init();
    if (!set)
        return failed("cannot prepare capabilities");
    for (cap_value_t cap = 0; cap < CAPS_MAX; cap++) {
        if (!(identity->caps >> cap & 1))
            continue;
        cap_set_flag(set, CAP_PERMITTED, 1, &cap, CAP_SET);
        cap_set_flag(set, CAP_EFFECTIVE, 1, &cap, CAP_SET);
        cap_set_flag(set, CAP_INHERITABLE, 1, &cap, CAP_SET);
    }
    int err = cap_set_proc(set);
    cap_free(set);
    if (err < 0)
        return failed("cannot take the capabilities of cap");
    /* Ambient: programs the worker runs keep them as well, as with uWSGI. Best
     * effort, kernels before 4.3 have none. */
    for (cap_value_t cap = 0; cap < CAPS_MAX; cap++)
        if (identity->caps >> cap & 1)
            (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    return 0;
}

void lg_identity_hand_on(const struct lg_identity *identity)
{
    cap_t own = geteuid() != 0 && identity->caps ? cap_get_proc() : NULL;
    if (!own)
        return; /* root's programs have them all */
    for (cap_value_t cap = 0; cap < CAPS_MAX; cap++)
        if (identity->caps >> cap & 1)
            cap_set_flag(own, CAP_INHERITABLE, 1, &cap, CAP_SET);
    int err = cap_set_proc(own);
    for (cap_value_t cap = 0; cap < CAPS_MAX && !err; cap++)
        if (identity->caps >> cap & 1)
            err = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    if (err)
        lg_log(
            LG_LOG_WARN, "master", "hooks do without the capabilities of cap: %s", strerror(errno));
    cap_free(own);
}

int lg_identity_take(const struct lg_identity *identity)
{
    int err = take_groups(identity);
    if (err)
        return err;
    if (identity->has_caps && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return failed("cannot keep capabilities");
    if (identity->has_uid && setresuid(identity->uid, identity->uid, identity->uid) < 0)
        return failed("cannot become the user of uid");
    if (identity->has_caps)
        err = take_caps(identity);
    return err;
}
