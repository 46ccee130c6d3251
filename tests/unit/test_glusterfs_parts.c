/* Which parts of a volume are there: what gfapi 10.3 says of real ones, and less.
 * SPDX-License-Identifier: Apache-2.0 */
#include "parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define B(n)      "<POSIX(/bricks/dr." #n "):vm:/bricks/dr." #n "/>"
#define PAIR(n)   "(<REPLICATE:dr-replicate-" #n "> " B(n) " " B(n) ")"
#define LAYOUT(x) " (dr-dht-layout " x "))"
#define BOTH      "(dr-replicate-0 0 2147483646) (dr-replicate-1 2147483647 4294967295)"

static const struct row {
    const char *text;
    int here, all; /* -1 = not understood */
} rows[] = {
    {B(0), 1, 1},
    {PAIR(0), 1, 1},
    {"((<DISTRIBUTE:dr-dht> " PAIR(0) " " PAIR(1) ")" LAYOUT(BOTH), 2, 2},
    {"((<DISTRIBUTE:dr-dht> (<REPLICATE:dr-replicate-0> " B(1) ") " PAIR(1) ")" LAYOUT(BOTH), 2, 2},
    {"((<DISTRIBUTE:dr-dht> " PAIR(1) ")" LAYOUT(BOTH), 1, 2},
    {"((<DISTRIBUTE:dr-dht> " B(0) ")" LAYOUT("(dr-client-1 0 0) (dr-client-0 1 4294967295)"), 1,
        2},
    {"((<DISTRIBUTE:d> " B(0) " " B(1) " " B(2) ")" LAYOUT("(a 0 1) (b 2 3) (c 4 5)"), 3, 3},
    {"((<DISTRIBUTE:d> <POSIX(/a (b)/c):vm:/a (b)/c/>)" LAYOUT("(a 0 1) (b 2 3)"), 1, 2},
    {"((<DISTRIBUTE:d>)" LAYOUT("(a 0 1) (b 2 3)"), 0, 2},
    {"", -1, -1},
    {"nothing of the kind", -1, -1},
    {"((<DISTRIBUTE:d", -1, -1},
    {"((<DISTRIBUTE:d> " B(0) ")", -1, -1},
    {"((<DISTRIBUTE:d> <POSIX", -1, -1},
    {"((<DISTRIBUTE:d> (<REPLICATE:r> " B(0), -1, -1},
    {"((<DISTRIBUTE:d> " B(0) ") (d-layout (a 0 1", -1, -1},
    {"((<DISTRIBUTE:d> " B(0) ") (d-layout ", -1, -1},
    {"((<DISTRIBUTE:d>)" LAYOUT(""), -1, -1},
    {"((<DISTRIBUTE:d> " B(0) " " B(1) ")" LAYOUT("(a 0 1)"), -1, -1},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned here = 77, all = 77;
        int err = gl_parts_read(rows[i].text, &here, &all);
        print_message("%s\n", rows[i].text);
        assert_int_equal(err, rows[i].here < 0 ? -1 : 0);
        assert_int_equal(here, err ? 77 : (unsigned)rows[i].here);
        assert_int_equal(all, err ? 77 : (unsigned)rows[i].all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
