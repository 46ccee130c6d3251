/* What Accept-Encoding and Accept say about a coding or a type.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
    const char *value; /* NULL = no such field */
    const char *what;
    int weight;
};

static void test_encodings(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NULL, "gzip", -1},
        {"", "gzip", -1},
        {"gzip", "gzip", 1000},
        {"gzip", "br", -1},
        {"gzip", "identity", -1},
        {"gzip, deflate, br, zstd", "zstd", 1000},
        {"GZip", "gzip", 1000},
        {"x-gzip", "gzip", 1000},
        {"gzipped", "gzip", -1},
        {"gzip;q=0", "gzip", 0},
        {"gzip;q=0.000", "gzip", 0},
        {"gzip;q=0.001", "gzip", 1},
        {"gzip; q=0.5", "gzip", 500},
        {"gzip ;Q=0.25 ,br", "gzip", 250},
        {"gzip;q=1.000", "gzip", 1000},
        {"*", "br", 1000},
        {"*;q=0", "br", 0},
        {"*;q=0", "identity", 0},
        {"identity;q=0", "identity", 0},
        {"identity;q=0, *;q=0.3", "identity", 0},
        {"identity;q=0, *;q=0.3", "br", 300},
        {"*;q=0, gzip", "gzip", 1000},
        {"gzip, *;q=0", "identity", 0},
        {"gzip;q=0, *", "gzip", 0},
        {"gzip;q=0.4, gzip;q=0.9", "gzip", 400}, /* the first of namesakes */
        {",, gzip ,", "gzip", 1000},
        /* malformed: as if it were not there */
        {"gzip;q=1.001", "gzip", -1},
        {"gzip;q=2", "gzip", -1},
        {"gzip;q=0.1234", "gzip", -1},
        {"gzip;q=", "gzip", -1},
        {"gzip;q=-1", "gzip", -1},
        {"gzip;q=0,5", "gzip", 0},
        {"gzip;q=.5", "gzip", -1},
        {"gzip;q=1x", "gzip", -1},
        {"gzip br", "gzip", -1},
        {"gzip;q=bad, *;q=0.2", "gzip", 200},
        {";q=1", "gzip", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        int weight = lg_http_accept_encoding(lg_slice_of(row->value), lg_slice_of(row->what));
        if (weight != row->weight)
            fail_msg("\"%s\" gives %s %d", row->value ? row->value : "(none)", row->what, weight);
    }
}

static void test_types(void **state)
{
    (void)state;
    static const char firefox[] =
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    static const struct row rows[] = {
        {NULL, "text/html", -1},
        {"application/json", "application/json", 1000},
        {"application/json", "text/html", -1},
        {firefox, "text/html", 1000},
        {firefox, "application/json", 800},
        {"*/*", "application/json", 1000},
        {"text/*;q=0.5, */*;q=0.1", "text/html", 500},
        {"text/*;q=0.5, */*;q=0.1", "application/json", 100},
        {"*/*, text/html;q=0", "text/html", 0},
        {"text/*, text/html;q=0.2, */*", "text/html", 200},
        {"text/html;level=1;q=0.7", "text/html", 700},
        {"TEXT/HTML", "text/html", 1000},
        {"text/", "text/html", -1},
        {"te*", "text/html", -1},
        {"*", "text/html", -1},
        {"text/html/*", "text/html", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        int weight = lg_http_accept_type(lg_slice_of(row->value), lg_slice_of(row->what));
        if (weight != row->weight)
            fail_msg("\"%s\" gives %s %d", row->value ? row->value : "(none)", row->what, weight);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
