/* The election by promises, told as stories: each trace below is the
 * specification. The rules: docs/legion-protocol.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/legion.h"
#include "legion_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct world_setup three = {
    .count = 3,
    .nodes = {{.valor = 90}, {.valor = 80}, {.valor = 70}},
    .quorum = 2,
    .freq_ms = 1000,
    .tolerance_ms = 5000,
    .safe = LG_SAFE_ON,
};

static void x(void **state)
{
    (void)state;
    struct world *world = world_new(&three);
    world_start_all(world);
    world_run(world, 20000);
    printf("%s--\n", world_trace(world));
    world_kill(world, 0);
    world_run(world, 30000);
    printf("%s--\n", world_trace(world));
    world_start(world, 0);
    world_run(world, 50000);
    printf("%s--\n", world_trace(world));
    world_hook(world, 0, LG_PHASE_UNLORD, 200, false);
    world_stop(world, 0);
    world_run(world, 60000);
    printf("%s--\n", world_trace(world));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
