/* legion-sim: arguments, faults, the story, the verdict.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "sim/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARGS_MAX 16

static const struct lg_legion_setup setup = {
    .legion = LG_SLICE("clusterip"),
    .name = LG_SLICE("host"),
    .valor = 98,
    .quorum = 2,
    .freq_ms = 1000,
    .tolerance_ms = 5000,
    .skew_tolerance_s = 60,
    .safe = LG_SAFE_AUTO,
};

static void keep(void *arg, const char *line)
{
    assert_int_equal(lg_buf_printf(arg, "%s\n", line), 0);
}

/* The story of `args` (to the first NULL). */
static int tell(const char *const args[ARGS_MAX], const struct lg_legion_setup *setups,
    size_t count, struct lg_buf *story, bool *ret_kept)
{
    struct lg_sim_command *command;
    char error[LG_SIM_ERROR_SIZE];
    int argc = 0;
    while (args[argc])
        argc++;
    int err = lg_sim_command_new(argc, args, &command, error);
    if (err) {
        assert_true(error[0] != '\0');
        return err;
    }
    err = lg_sim_command_run(command, setups, count, keep, story, ret_kept, error);
    lg_sim_command_free(command);
    return err;
}

static void story_of_a_kill(void **state)
{
    (void)state;
    struct lg_buf story = {0}, again = {0};
    bool kept = false;
    static const char *const args[ARGS_MAX] = {"a.ini", "--nodes", "3", "--for", "2m", "--kill",
        "1@30s+30s", "--partition", "2@90+10s", "--loss", "5%", "--seed", "7"};
    assert_int_equal(tell(args, &setup, 1, &story, &kept), 0);
    assert_true(kept);
    assert_non_null(strstr(story.ptr, "      30.000  host       killed"));
    assert_non_null(strstr(story.ptr, "host-2     LORD, epoch "));
    assert_non_null(strstr(story.ptr, "never two Lords; a Lord for "));
    assert_int_equal(tell(args, &setup, 1, &again, &kept), 0);
    assert_string_equal(story.ptr, again.ptr); /* to the last microsecond */
    lg_buf_free(&story);
    lg_buf_free(&again);
}

/* By uWSGI's rules and a quorum of one a partition has two Lords: it is found. */
static void two_lords_are_told(void **state)
{
    (void)state;
    struct lg_buf story = {0};
    bool kept = true;
    struct lg_legion_setup setups[3] = {setup, setup, setup};
    for (size_t i = 0; i < 3; i++) {
        setups[i].quorum = 1;
        setups[i].valor = 90 - 10 * i;
    }
    static const char *const args[ARGS_MAX] = {
        "--for", "60", "--partition", "1@30", "--json", "--latency", "10ms", "--hooks", "0.5"};
    assert_int_equal(tell(args, setups, 3, &story, &kept), 0);
    assert_false(kept);
    assert_non_null(strstr(story.ptr, "\"what\":\"TWO LORDS: host is Lord too (epochs "));
    assert_non_null(strstr(story.ptr, "{\"kept\":false,\"seconds\":60.0,"));
    lg_buf_free(&story);
}

static void what_is_not_understood(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"--for", "x"},
        {"--for", "1d"},
        {"--loss", "101%"},
        {"--kill", "0@1"},
        {"--kill", "1"},
        {"--kill", "1@1+"},
        {"--pause", "1@1"},
        {"--cut", "1@1"},
        {"--cut", "1-2"},
        {"--partition", "@1"},
        {"--nodes", "0"},
        {"--nodes", "2001"},
        {"--freeze", "1@1"},
        {"--grow", "5"},
        {"--grow", "0@1"},
        {"--weather", "1"},
        {"--seed", NULL},
        {"--kill", "4@1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lg_buf story = {0};
        bool kept;
        const char *const args[ARGS_MAX] = {cases[i][0], cases[i][1]};
        assert_int_equal(tell(args, &setup, 1, &story, &kept), -LG_E_INVALID);
        lg_buf_free(&story);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(story_of_a_kill),
        cmocka_unit_test(two_lords_are_told),
        cmocka_unit_test(what_is_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
