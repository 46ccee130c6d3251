/* The legion process for real: forked, with sockets, hooks and signals. Nodes
 * meet on unix datagram sockets in a folder of the test's own, or on ::1.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/address.h"
#include "cluster/cluster.h"
#include "conf_world.h"
#include "legatus/plugin.h"
#include "log/log.h"
#include "shm/calls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NODES_MAX 3
#define WAIT_MS   10000 /* until something must have happened */

struct rig {
    char dir[64];
    struct {
        pid_t pid;
        int master_fd; /* our end */
        struct lg_conf *conf;
        struct lg_shm *shm;
    } nodes[NODES_MAX];
};

static void pause_ms(unsigned ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    snprintf(rig->dir, sizeof rig->dir, "/tmp/legion-test-XXXXXX");
    if (!rig || !mkdtemp(rig->dir))
        return -1;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (rig->nodes[i].pid > 0) {
            kill(rig->nodes[i].pid, SIGKILL);
            waitpid(rig->nodes[i].pid, NULL, 0);
        }
        if (rig->nodes[i].shm)
            close(rig->nodes[i].master_fd);
        lg_conf_free(rig->nodes[i].conf);
        lg_shm_free(rig->nodes[i].shm);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", rig->dir);
    int err = system(command);
    free(rig);
    return err;
}

static void path_of(const struct rig *rig, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", rig->dir, name);
}

/* The whole file, "" when there is none yet; a static buffer. */
static const char *contents(const struct rig *rig, const char *name)
{
    static char text[65536];
    char path[128];
    path_of(rig, name, path, sizeof path);
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[len] = '\0';
    if (file)
        fclose(file);
    return text;
}

static void wait_for(const struct rig *rig, const char *name, const char *expected)
{
    for (int i = 0; i < WAIT_MS / 20; i++) {
        if (strstr(contents(rig, name), expected))
            return;
        pause_ms(20);
    }
    fail_msg("%s never had \"%s\":\n%s", name, expected, contents(rig, name));
}

static size_t occurrences(const char *text, const char *what)
{
    size_t count = 0;
    while ((text = strstr(text, what))) {
        count++;
        text += strlen(what);
    }
    return count;
}

/* Replaces each @ by the rig's folder. */
static void expand(const struct rig *rig, const char *text, char *out, size_t size)
{
    size_t len = 0;
    for (; *text && len < size - 1; text++) {
        if (*text != '@')
            out[len++] = *text;
        else
            len += (size_t)snprintf(out + len, size - len, "%s", rig->dir);
    }
    out[len < size ? len : size - 1] = '\0';
}

static _Noreturn void child(struct rig *rig, size_t at, int master_fd)
{
    char log[128], name[32];
    snprintf(name, sizeof name, "log%zu", at);
    path_of(rig, name, log, sizeof log);
    struct lg_log_setup log_setup = {.path = log, .level = LG_LOG_DEBUG};
    struct lg_cluster *cluster = NULL;
    if (lg_log_open(&log_setup) ||
        lg_cluster_new(rig->nodes[at].conf, rig->nodes[at].shm, &cluster))
        _exit(99);
    int status = lg_cluster_run(cluster, master_fd);
    lg_cluster_free(cluster);
    _exit(status);
}

/* A node in a process of its own; its log is "logN". */
static void start(struct rig *rig, size_t at, const char *text)
{
    char ini[4096];
    expand(rig, text, ini, sizeof ini);
    struct world world = {0};
    world.files[0] = (struct world_file){"t.ini", ini, strlen(ini)};
    lg_conf_free(rig->nodes[at].conf);
    lg_shm_free(rig->nodes[at].shm);
    assert_int_equal(world_load(&world, &rig->nodes[at].conf, "t.ini", NULL), 0);
    assert_int_equal(lg_cluster_check(rig->nodes[at].conf), 0);
    unsigned count = lg_cluster_legion_count(rig->nodes[at].conf);
    assert_int_equal(lg_shm_new(1, count, &rig->nodes[at].shm), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[1]);
        for (size_t i = 0; i < NODES_MAX; i++)
            if (rig->nodes[i].pid > 0)
                close(rig->nodes[i].master_fd);
        child(rig, at, fds[0]);
    }
    close(fds[0]);
    rig->nodes[at].pid = pid;
    rig->nodes[at].master_fd = fds[1];
}

static int join(struct rig *rig, size_t at)
{
    int status = 0;
    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (waitpid(rig->nodes[at].pid, &status, WNOHANG) == rig->nodes[at].pid) {
            rig->nodes[at].pid = 0;
            close(rig->nodes[at].master_fd);
            rig->nodes[at].master_fd = -1;
            return status;
        }
        pause_ms(10);
    }
    fail_msg("node %zu does not end", at);
    return -1;
}

static void wait_lord(struct rig *rig, size_t at, bool lord)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (lg_shm_is_lord(rig->nodes[at].shm, "x") == lord)
            return;
        pause_ms(10);
    }
    fail_msg("node %zu: is Lord: %d", at, !lord);
}

#define HEAD                                                                                       \
    "[uwsgi]\nhttp-socket = :1\nlegion-freq = 0.1\nlegion-tolerance = 0.6\n"                       \
    "legion-start-wait = 0.6\n"
/* Hooks of node N append to the file "story". */
#define HOOKS(n)                                                                                   \
    "legion-setup = x cmd:echo " n " setup >>@/story\n"                                            \
    "legion-lord = x cmd:echo " n " lord >>@/story\n"                                              \
    "legion-unlord = x cmd:echo " n " unlord >>@/story\n"                                          \
    "legion-death = x cmd:echo " n " death >>@/story\n"
#define NODE(n, valor, o1, o2)                                                                     \
    HEAD "legion = x @/" n ".sock " valor " aes-128-cbc:hello iv\nlegion-node = x @/" o1           \
         ".sock\nlegion-node = x @/" o2 ".sock\nlegion-quorum = x majority\n" HOOKS(n)
#define LONE HEAD "legion = x @/a.sock 5 aes-128-cbc:hello\nlegion-node = x @/b.sock\n"

/* ---- Stories ------------------------------------------------------------------------ */

static void lone_node_runs_its_phases_in_order(void **state)
{
    struct rig *rig = *state;
    start(rig, 0,
        LONE HOOKS("a") "legion-lord = x exec:echo $LEGION_NAME $LEGION_PHASE $LEGION_VALOR "
                        "$LEGION_LORD_VALOR >>@/story; test $LEGION_UUID = $LEGION_LORD_UUID && "
                        "test $LEGION_EPOCH -gt 1700000000000 && echo env >>@/story\n"
                        "legion-lord = x cmd:echo to the log; echo and more >&2\n"
                        "legion-lord = x log:100%% ok %%s %%n\n"
                        "legion-lord = x cmd:exit 3\n");
    wait_lord(rig, 0, true);
    struct lg_shm_legion *seen = calloc(1, sizeof *seen);
    assert_true(lg_shm_legion_read(rig->nodes[0].shm, 0, seen));
    assert_string_equal(seen->name, "x");
    assert_string_equal(seen->lord_uuid, seen->uuid);
    assert_true(seen->valor == 5 && seen->lord_valor == 5 && seen->epoch && seen->votes == 1);
    assert_int_equal(seen->node_count, 1);
    assert_int_equal(seen->member_count, 0);
    free(seen);
    kill(rig->nodes[0].pid, SIGHUP); /* not our affair */
    pause_ms(300);
    wait_lord(rig, 0, true); /* the lease goes on */
    kill(rig->nodes[0].pid, SIGTERM);
    assert_int_equal(join(rig, 0), 0);
    assert_string_equal(
        contents(rig, "story"), "a setup\na lord\nx lord 5 5\nenv\na unlord\na death\n");
    assert_false(lg_shm_is_lord(rig->nodes[0].shm, "x"));
    const char *log = contents(rig, "log0");
    assert_non_null(strstr(log, "x (lord hook): to the log"));
    assert_non_null(strstr(log, "x (lord hook): and more"));
    assert_non_null(strstr(log, "100% ok %s %n"));
    assert_non_null(strstr(log, "x: the lord hook \"cmd:exit 3\" returned 3"));
    assert_non_null(strstr(log, "[uwsgi-legion] (phase: lord legion: x) calling cmd:exit 3"));
    assert_non_null(strstr(log, "[uwsgi-legion] i am now the Lord of the Legion x"));
    char path[128];
    path_of(rig, "a.sock", path, sizeof path);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void another_rises_when_the_lord_is_killed(void **state)
{
    struct rig *rig = *state;
    start(rig, 0, NODE("a", "90", "b", "c"));
    start(rig, 1, NODE("b", "80", "a", "c"));
    start(rig, 2, NODE("c", "70", "b", "a"));
    wait_lord(rig, 0, true);
    kill(rig->nodes[0].pid, SIGKILL);
    assert_true(WIFSIGNALED(join(rig, 0)));
    wait_lord(rig, 1, true);
    wait_lord(rig, 0, false);                 /* its lease has run out */
    start(rig, 0, NODE("a", "90", "b", "c")); /* over the dead one's socket file */
    wait_lord(rig, 0, true);
    const char *story = contents(rig, "story");
    const char *unlord = strstr(story, "b unlord\n");
    assert_non_null(unlord);
    assert_non_null(strstr(unlord, "a lord\n")); /* in this order */
    for (size_t i = 1; i < 3; i++) {
        kill(rig->nodes[i].pid, SIGKILL);
        join(rig, i);
    }
    wait_for(rig, "story", "a lord\na unlord\n"); /* no majority any more */
    wait_lord(rig, 0, false);
    wait_for(rig, "log0", "i cannot be The Lord of The Legion x without a quorum ...");
}

static void master_gone_is_a_clean_stop(void **state)
{
    struct rig *rig = *state;
    start(rig, 0, LONE HOOKS("a"));
    wait_lord(rig, 0, true);
    close(rig->nodes[0].master_fd);
    rig->nodes[0].master_fd = dup(STDERR_FILENO); /* something for join to close */
    assert_int_equal(join(rig, 0), 0);
    assert_string_equal(contents(rig, "story"), "a setup\na lord\na unlord\na death\n");
}

static void slow_hooks_are_ended_with_all_their_children(void **state)
{
    struct rig *rig = *state;
    start(rig, 0,
        LONE "legion-hook-timeout = 0.5\n"
             "legion-lord = x cmd:(sleep 3; echo late >>@/story) & sleep 60; echo never >>@/story\n"
             "legion-lord = x cmd:echo next >>@/story\n");
    wait_for(rig, "story", "next\n"); /* the hook after it runs all the same */
    wait_for(rig, "log0", "was ended by signal 9 (legion-hook-timeout)");
    wait_lord(rig, 0, true);
    pause_ms(3000);
    assert_string_equal(contents(rig, "story"), "next\n");
}

static void second_signal_stops_at_once(void **state)
{
    struct rig *rig = *state;
    start(rig, 0,
        LONE "legion-unlord = x cmd:echo began >>@/story; sleep 60\n"
             "legion-death = x cmd:echo death >>@/story\n");
    wait_lord(rig, 0, true);
    kill(rig->nodes[0].pid, SIGINT);  /* Ctrl-C comes twice: from the terminal */
    kill(rig->nodes[0].pid, SIGTERM); /* and from the master */
    wait_for(rig, "story", "began\n");
    pause_ms(500);
    assert_int_equal(waitpid(rig->nodes[0].pid, NULL, WNOHANG), 0);
    kill(rig->nodes[0].pid, SIGTERM);
    int status = join(rig, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_string_equal(contents(rig, "story"), "began\n");
    struct lg_shm_legion *seen = calloc(1, sizeof *seen);
    assert_true(lg_shm_legion_read(rig->nodes[0].shm, 0, seen));
    assert_true(seen->epoch != 0); /* for the master to undo */
    assert_false(lg_shm_is_lord(rig->nodes[0].shm, "x"));
    free(seen);
}

static void master_undoes_what_a_dead_process_held(void **state)
{
    struct rig *rig = *state;
    start(rig, 0,
        LONE HOOKS("a") "legion-unlord = x cmd:echo $LEGION_PHASE >>@/story; "
                        "test -e @/once && exit; touch @/once; sleep 60\n"
                        "legion-unlord = x cmd:echo last >>@/story\n"
                        "legion-hook-timeout = 0.5\n");
    int pids[4];
    wait_lord(rig, 0, true);
    kill(rig->nodes[0].pid, SIGKILL);
    join(rig, 0);
    assert_int_equal(lg_cluster_rescue(rig->nodes[0].conf, rig->nodes[0].shm, pids, 4), 1);
    assert_false(lg_shm_is_lord(rig->nodes[0].shm, "x"));
    int status;
    assert_int_equal(waitpid(pids[0], &status, 0), pids[0]);
    assert_int_equal(status, 0); /* one was killed: all again */
    assert_string_equal(contents(rig, "story"),
        "a setup\na lord\na unlord\nunlord\nlast\na unlord\nunlord\nlast\n");
    struct lg_shm_legion *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    assert_true(lg_shm_legion_read(rig->nodes[0].shm, 0, seen));
    assert_true(seen->epoch != 0 && seen->is_falling);
    lg_cluster_rescued(rig->nodes[0].shm);
    assert_true(lg_shm_legion_read(rig->nodes[0].shm, 0, seen));
    assert_true(seen->epoch == 0 && seen->lease_until_ms == 0 && !seen->is_falling);
    free(seen);
    /* Once is enough. */
    assert_int_equal(lg_cluster_rescue(rig->nodes[0].conf, rig->nodes[0].shm, pids, 4), 0);
}

/* As the master, which reaps when it gets round to it. */
static int reap_slowly(pid_t pid)
{
    int status, rescue = -1;
    pid_t reaped;
    for (int i = 0; i < WAIT_MS / 50; i++) {
        while ((reaped = waitpid(-1, &status, WNOHANG)) > 0)
            rescue = reaped == pid ? status : rescue;
        if (rescue >= 0)
            return rescue;
        pause_ms(50);
    }
    fail_msg("the rescue does not end");
    return -1;
}

static void what_the_rescue_kills_is_gone_before_it_goes_on(void **state)
{
    struct rig *rig = *state;
    start(rig, 0,
        LONE HOOKS(
            "a") "legion-unlord = x cmd:test -e @/once && exit; "
                 "ps -o pgid= -p $$ | tr -d ' ' >@/once; sleep 60\n"
                 "legion-unlord = x cmd:kill -s 0 -- -`cat @/once` && echo left >>@/story; :\n"
                 "legion-tolerance = 2\n"
                 "legion-hook-timeout = 0.5\n");
    int pids[4];
    wait_lord(rig, 0, true);
    kill(rig->nodes[0].pid, SIGKILL);
    join(rig, 0);
    assert_return_code(prctl(PR_SET_CHILD_SUBREAPER, 1), errno);
    assert_int_equal(lg_cluster_rescue(rig->nodes[0].conf, rig->nodes[0].shm, pids, 4), 1);
    int status = reap_slowly(pids[0]);
    assert_return_code(prctl(PR_SET_CHILD_SUBREAPER, 0), errno);
    assert_int_equal(status, 0);
    assert_true(strlen(contents(rig, "once")) > 1);
    assert_null(strstr(contents(rig, "story"), "left"));
}

static void what_cannot_be_undone_raises_the_alarm(void **state)
{
    struct rig *rig = *state;
    start(rig, 0,
        LONE HOOKS("a") "alarm = legion log:\n"
                        "legion-unlord = x cmd:exit 3\n");
    int pids[4], status, tries = 0;
    wait_lord(rig, 0, true);
    kill(rig->nodes[0].pid, SIGKILL);
    join(rig, 0);
    struct lg_call call = {.kind = LG_CALL_TITLE};
    assert_int_equal(lg_cluster_rescue(rig->nodes[0].conf, rig->nodes[0].shm, pids, 4), 1);
    assert_int_equal(waitpid(pids[0], &status, 0), pids[0]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    for (const char *at = contents(rig, "story"); (at = strstr(at, "a unlord")); at++)
        tries++;
    assert_in_range(tries, 2, 6);
    while (call.kind == LG_CALL_TITLE) /* of the legion process, which nobody read */
        assert_true(lg_call_take(rig->nodes[0].shm, &call));
    assert_int_equal(call.kind, LG_CALL_ALARM);
    assert_string_equal(call.name, "legion");
    assert_string_equal(call.from, "legion x");
    assert_non_null(strstr(call.text, "its unlord hooks did not succeed"));
}

/* ---- Datagrams -------------------------------------------------------------------------- */

static uint16_t free_port6(void)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin6_port);
}

static void ipv6_and_strangers(void **state)
{
    struct rig *rig = *state;
    uint16_t a = free_port6(), b = free_port6();
    for (size_t i = 0; i < 2; i++) {
        char ini[512];
        snprintf(ini, sizeof ini,
            HEAD "legion = x [::1]:%u %zu aes-256-cbc:hello\nlegion-node = x [::1]:%u\n"
                 "legion-quorum = x 2\nlegion-scroll = x text\n",
            i ? b : a, 9 - i, i ? a : b);
        start(rig, i, ini);
    }
    wait_lord(rig, 0, true);

    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    to.sin6_port = htons(a);
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    char garbage[64] = "\x6d\x20\0\0garbage garbage garbage garbage garbage";
    for (int i = 0; i < 20000; i++) {
        size_t len = i % 3 ? 36 : 1; /* one byte; bytes that do not decipher */
        (void)sendto(fd, garbage, len, 0, (struct sockaddr *)&to, sizeof to);
    }
    close(fd);
    pause_ms(1500);
    wait_lord(rig, 0, true); /* unmoved */
    const char *log = contents(rig, "log0");
    size_t lines = occurrences(log, "datagram(s) refused");
    assert_true(lines >= 1 && lines <= 5);
    assert_int_equal(occurrences(log, "left Legion"), 0);
    kill(rig->nodes[1].pid, SIGTERM);
    assert_int_equal(join(rig, 1), 0);
    wait_for(rig, "log0", "announced its death to Legion x");
    wait_lord(rig, 0, false); /* 1 of 2 */
}

static void what_cannot_be_opened_says_why(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *ini, *log;
    } cases[] = {
        {HEAD "legion = x 192.0.2.1:4242 5 aes-128-cbc:a\nlegion-node = x 192.0.2.2:4242\n",
            "x: 192.0.2.1:4242: Cannot assign requested address: this host has no such address"},
        {HEAD "legion = x @/no/such/folder.sock 5 aes-128-cbc:a\nlegion-node = x @/b.sock\n",
            "No such file or directory"},
    };
    for (size_t i = 0; i < 2; i++) {
        start(rig, i, cases[i].ini);
        assert_int_equal(WEXITSTATUS(join(rig, i)), 99);
        wait_for(rig, i ? "log1" : "log0", cases[i].log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lone_node_runs_its_phases_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(another_rises_when_the_lord_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(master_gone_is_a_clean_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(
            slow_hooks_are_ended_with_all_their_children, setup, teardown),
        cmocka_unit_test_setup_teardown(second_signal_stops_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(master_undoes_what_a_dead_process_held, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_the_rescue_kills_is_gone_before_it_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_undone_raises_the_alarm, setup, teardown),
        cmocka_unit_test_setup_teardown(ipv6_and_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_says_why, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
