/* Hooks of one phase in a row: what is killed is waited for, what a hook leaves is not.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hooks.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A status, once the process has ended; a few seconds at most. */
static int reap(pid_t pid)
{
    int status = 0;
    pid_t reaped = 0;
    for (int i = 0; i < 5000 && reaped == 0; i++) {
        reaped = waitpid(pid, &status, WNOHANG);
        if (reaped == 0)
            usleep(1000);
    }
    assert_int_equal(reaped, pid);
    return status;
}

static void what_a_hurried_hook_leaves_is_not_waited_for(void **state)
{
    (void)state;
    static struct lg_legion_plan plan = {.name = "x",
        .hook_count = 2,
        .hooks = {{.phase = LG_PHASE_UNLORD, .text = "cmd:1", .argument = "exec sleep 60"},
            {.phase = LG_PHASE_UNLORD, .text = "cmd:2", .argument = "sleep 60 & exit 0"}}};
    static struct lg_outputs outputs;
    lg_outputs_init(&outputs);
    struct lg_runner runner = {
        .plan = &plan, .outputs = &outputs, .timeout_ms = 30000, .patience_ms = 1000};
    const struct lg_hook_env env = {.legion = "x", .phase = LG_PHASE_UNLORD};
    assert_int_equal(plan.hooks[0].action, LG_ACTION_CMD);
    assert_false(lg_runner_start(&runner, &env, 1000));
    pid_t first = runner.pid;
    lg_runner_hurry(&runner);
    int status = reap(first);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    if (!lg_runner_reaped(&runner, status, 1100) && runner.left)
        assert_false(lg_runner_left(&runner, 1100 + runner.patience_ms)); /* or it is gone now */
    pid_t second = runner.pid;
    assert_true(second > 0 && second != first);
    status = reap(second);
    assert_int_equal(status, 0); /* by itself, in the time that it has */
    assert_true(lg_runner_reaped(&runner, status, 1200));
    assert_false(lg_runner_is_busy(&runner));
    assert_false(lg_hook_is_gone(second)); /* and goes on */
    assert_int_equal(kill(-second, SIGKILL), 0);
    lg_outputs_close(&outputs);
}

/* Of the time before others may be Lord the unlord hooks get more than half. */
static void patience_leaves_time_to_undo(void **state)
{
    (void)state;
    struct lg_cluster_plan plan = {.tolerance_ms = 3000}; /* grace: a third, by default */
    assert_int_equal(lg_hook_patience_ms(&plan, 0), 375);
    assert_int_equal(lg_hook_patience_ms(&plan, -5000), 375); /* a lease that is over */
    assert_int_equal(lg_hook_patience_ms(&plan, 2400), 800);
    assert_int_equal(lg_hook_patience_ms(&plan, INT64_MAX), 1000);
    plan.unlord_grace_ms = 400;
    assert_int_equal(lg_hook_patience_ms(&plan, 400), 150);
    plan.unlord_grace_ms = 1500;
    assert_int_equal(lg_hook_patience_ms(&plan, 0), 375);
    plan.unlord_grace_ms = 1;
    assert_int_equal(lg_hook_patience_ms(&plan, 0), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_hurried_hook_leaves_is_not_waited_for),
        cmocka_unit_test(patience_leaves_time_to_undo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
