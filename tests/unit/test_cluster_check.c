/* Health checks: what their options say, word for word, and what results in a row
 * come to.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/checks.h"

#include <fcntl.h>
#include <poll.h>
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

static const char *const plugins[] = {"glusterfs", "probe"};

static struct lg_check_plan good(const char *text)
{
    struct lg_check_plan plan;
    char why[LG_WHY_SIZE] = "";
    if (!lg_check_parse(lg_slice_of(text), plugins, 2, &plan, why))
        fail_msg("%s: %s", text, why);
    return plan;
}

static void bad(const char *text, const char *fault)
{
    struct lg_check_plan plan = {.rise = 77};
    char why[LG_WHY_SIZE] = "";
    assert_false(lg_check_parse(lg_slice_of(text), plugins, 2, &plan, why));
    assert_string_equal(why, fault);
    assert_int_equal(plan.rise, 77);
}

static void is(struct lg_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.ptr, text, slice.len);
}

static void what_is_read(void **state)
{
    (void)state;
    struct lg_check_plan plan =
        good("cmd:curl -sf http://x/ every day | grep ok every 500ms fall 4 rise 5 timeout 2s");
    assert_int_equal(plan.kind, LG_CHECK_CMD);
    is(plan.name, "cmd:curl -sf http://x/ every day | grep ok");
    is(plan.argument, "curl -sf http://x/ every day | grep ok");
    assert_int_equal(plan.every_ms, 500);
    assert_int_equal(plan.fall, 4);
    assert_int_equal(plan.rise, 5);
    assert_int_equal(plan.timeout_ms, 2000);

    plan = good("  workers ");
    assert_int_equal(plan.kind, LG_CHECK_WORKERS);
    assert_int_equal(plan.every_ms, 1000);
    assert_int_equal(plan.fall, 3);
    assert_int_equal(plan.rise, 2);
    assert_int_equal(plan.timeout_ms, 1000);

    plan = good("glusterfs:/media rise 1\tevery 5");
    assert_int_equal(plan.kind, LG_CHECK_PLUGIN);
    is(plan.name, "glusterfs:/media");
    assert_int_equal(plan.every_ms, 5000);
    assert_int_equal(plan.timeout_ms, 5000);
    is(good("probe").name, "probe");
    assert_int_equal(good("cmd:x every 100ms").timeout_ms, 1000); /* a shell takes its time */
    is(good("cmd:sleep 5").argument, "sleep 5");
    is(good("cmd: rise.sh fall 2").argument, "rise.sh");
}

static void faults(void **state)
{
    (void)state;
    bad("", "unknown check \"\": expected cmd:COMMAND, workers, or a plugin in use, as in "
            "glusterfs");
    bad("worker", "unknown check \"worker\": expected cmd:COMMAND, workers, or a plugin in use, as "
                  "in glusterfs");
    bad("gluster:/x", "unknown check \"gluster:/x\": expected cmd:COMMAND, workers, or a plugin in "
                      "use, as in glusterfs");
    bad("cmd:", "expected a command after cmd:");
    bad("cmd: every 1s", "expected a command after cmd:");
    bad("workers now", "unknown word \"now\": expected every, fall, rise or timeout and a value");
    bad("cmd:x every", "expected a value after \"every\"");
    bad("cmd:x every fall 3", "expected a value after \"every\"");
    bad("cmd:x evry 1s", "unknown word \"evry\", did you mean \"every\"?");
    bad("cmd:x ris 2 fall 3", "unknown word \"ris\", did you mean \"rise\"?");
    bad("cmd:x fall 3 fall 3", "\"fall\" is given twice");
    bad("cmd:x every 1d", "every \"1d\": expected a time from 50ms to 1h, as in every 1s");
    bad("cmd:x every 49ms", "every \"49ms\": expected a time from 50ms to 1h, as in every 1s");
    bad("cmd:x every 61m", "every \"61m\": expected a time from 50ms to 1h, as in every 1s");
    bad("cmd:x timeout 0", "timeout \"0\": expected a time from 10ms to 1h, as in timeout 1s");
    bad("cmd:x fall 0", "fall \"0\": expected a number from 1 to 1000");
    bad("cmd:x rise 1001", "rise \"1001\": expected a number from 1 to 1000");
    bad("cmd:x rise two", "rise \"two\": expected a number from 1 to 1000");
}

/* Results as '+' and '-'; verdicts after each: '?', 'w', 'u'. */
static void story(const char *results, unsigned fall, unsigned rise, const char *verdicts)
{
    struct lg_check_state state = {0};
    for (size_t i = 0; results[i]; i++) {
        enum lg_check_verdict before = state.verdict;
        bool changed = lg_check_take(&state, results[i] == '+', fall, rise);
        assert_int_equal(changed, state.verdict != before);
        if ("?wu"[state.verdict] != verdicts[i])
            fail_msg("result %zu of %s: %c", i, results, "?wu"[state.verdict]);
    }
}

static void verdicts(void **state)
{
    (void)state;
    story("+--+---++", 3, 2, "wwwwwwuuw");
    story("-+-++", 3, 2, "uuuuw"); /* the first decides, then it takes two in a row */
    story("+-+-+--", 2, 1, "wwwwwwu");
    story("-+-+", 1, 1, "uwuw");
}

/* ---- What does not end -------------------------------------------------------------- */

static pid_t reap(pid_t pid)
{
    int status;
    pid_t reaped = -1;
    for (int i = 0; i < 500 && reaped <= 0; i++) {
        reaped = waitpid(pid, &status, WNOHANG);
        if (reaped <= 0)
            usleep(10000);
    }
    assert_true(reaped > 0);
    return reaped;
}

/* Until the command says that it runs. One that is ended before is no orphan. */
static void wait_output(struct lg_outputs *outputs)
{
    struct pollfd polls[LG_OUTPUTS_MAX];
    size_t count = lg_outputs_poll(outputs, polls, LG_OUTPUTS_MAX);
    assert_int_equal(count, 1);
    assert_int_equal(poll(polls, count, 10000), 1);
    assert_int_equal(polls[0].revents, POLLIN);
    lg_outputs_drain(outputs);
}

/* SIGKILL does not end what hangs in the kernel. Here it is an orphan that nobody reaps. */
static void a_command_that_stays_is_not_joined_by_another(void **state)
{
    (void)state;
    struct lg_outputs outputs;
    struct lg_legion_plan plan = {.check_count = 1};
    struct lg_hook_env env = {.legion = "x"};
    plan.checks[0] = good("cmd:sleep 60 every 100ms timeout 100ms fall 3");
    plan.checks[0].argument = LG_SLICE("echo; exec sleep 60");
    lg_outputs_init(&outputs);
    struct lg_checks checks = {.outputs = &outputs, .legion = "x"};
    struct lg_check *check = &checks.all[0];
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    lg_checks_set(&checks, &plan, false, 1000);
    lg_checks_tick(&checks, &env, 1000);
    pid_t first = check->pid;
    assert_true(first > 0);
    wait_output(&outputs);
    lg_checks_tick(&checks, &env, 1100);
    assert_true(check->timed_out);
    assert_true(lg_checks_reaped(&checks, reap(first), SIGKILL));
    assert_int_equal(check->state.row, 1);
    lg_checks_tick(&checks, &env, 1101); /* it may be on its way */
    assert_int_equal(check->state.row, 1);
    assert_int_equal(lg_checks_deadline_ms(&checks), 1200);
    lg_checks_tick(&checks, &env, 1200);
    assert_int_equal(check->state.row, 2);
    assert_string_equal(check->result, "took longer than 100 ms, and cannot be ended");
    assert_int_equal(lg_checks_deadline_ms(&checks), 1300);
    lg_checks_tick(&checks, &env, 1300);
    assert_int_equal(check->state.verdict, LG_CHECK_UNWELL);
    assert_int_equal(check->pid, 0);
    (void)reap(-1);
    lg_outputs_drain(&outputs);          /* its end */
    lg_checks_tick(&checks, &env, 1400); /* now it has gone */
    assert_true(check->pid > 0);
    wait_output(&outputs);
    lg_checks_tick(&checks, &env, 1500);
    assert_true(lg_checks_reaped(&checks, reap(check->pid), SIGKILL));
    lg_checks_tick(&checks, &env, 61499);
    assert_int_equal(check->pid, 0);
    lg_checks_tick(&checks, &env, 61600); /* after a minute another may try */
    assert_true(check->pid > 0);
    lg_checks_end(&checks);
    while (waitpid(-1, NULL, 0) > 0) /* all of them are killed */
        continue;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    lg_outputs_close(&outputs);
}

/* ---- What a command has of ours ------------------------------------------------------ */

/* What /proc says of `pid`'s only child, 0 = it has none. */
static pid_t child_of(pid_t pid)
{
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (!fgets(text, sizeof text, file))
        text[0] = 0;
    assert_int_equal(fclose(file), 0);
    return (pid_t)strtol(text, NULL, 10);
}

/* A killed shell is waited for by nobody: it must at no time have had our sockets, or
 * the next of us could not bind their addresses. */
static void a_shell_never_has_our_files(void **state)
{
    (void)state;
    const struct lg_hook_env env = {.legion = "x"};
    int seen = 0, files = 0;
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100); /* a number no shell opens */
    assert_true(fd >= 100);
    for (int i = 0; i < 300; i++) {
        pid_t leader, shell = 0;
        assert_int_equal(lg_hook_spawn("exit 3", &env, -1, &leader), 0);
        int status;
        pid_t reaped = 0;
        while ((reaped = waitpid(leader, &status, WNOHANG)) == 0) { /* it ends */
            char path[64];
            if (!shell)
                shell = child_of(leader);
            seen += shell > 0;
            snprintf(path, sizeof path, "/proc/%d/fd/%d", shell, fd);
            files += shell > 0 && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        }
        assert_int_equal(reaped, leader);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    }
    assert_true(seen > 0);
    assert_int_equal(files, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(faults),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(a_command_that_stays_is_not_joined_by_another),
        cmocka_unit_test(a_shell_never_has_our_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
