/* The statistics as a table and as sentences for people, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operate/operate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW 1000000

typedef int render(const char *json, size_t len, int64_t now_s, struct lg_buf *out);

/* `legion` with ' for ". */
static void expect(render *how, const char *legion, const char *text)
{
    char json[4096];
    struct lg_buf out = {0};
    snprintf(json, sizeof json, "{\"legions\": [%s]}", legion);
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    assert_int_equal(how(json, strlen(json), NOW, &out), 0);
    assert_int_equal(lg_buf_append(&out, "", 1), 0);
    assert_string_equal(out.ptr, text);
    lg_buf_free(&out);
}

#define NODE1 "'uuid':'11111111-0000','name':'node1','valor':90,'checksum':7"
#define SELF                                                                                       \
    "{'legion':'site','addr':'10.0.0.2:4000','uuid':'22222222-0000','valor':80,'checksum':7,"      \
    "'quorum':2,'mode':'safe','freq_ms':1000,'nodes':['10.0.0.1:4000','10.0.0.3:4000'],"

static void table(void **state)
{
    (void)state;
    expect(lg_operate_legions, "", "it is in no legion\n");
    expect(lg_operate_legions,
        SELF "'votes':2,'reach':3,'i_am_the_lord':999988,'epoch':5,'lord_uuid':'22222222-0000',"
             "'members':[{" NODE1 ",'last_seen':999999}],"
             "'checks':[{'name':'workers','well':true,'last_change':999900,'last_result':'found 1 "
             "worker that accepts'}]}",
        "legion site at 10.0.0.2:4000: Lord, valor 80; votes 2 of 2; votes for this node\n"
        "  Lord for 12 s, epoch 5\n"
        "  MEMBER      VALOR  VIEW     UUID      SEEN\n"
        "  node1          90  same     11111111  1 s ago\n"
        "  CHECK                                     WELL    SINCE   IT\n"
        "  workers                                   yes     100 s   found 1 worker that "
        "accepts\n");
    expect(lg_operate_legions,
        SELF "'votes':0,'reach':3,'lord_uuid':'','aside':'maintenance','members':[]}",
        "legion site at 10.0.0.2:4000: follower, valor 80; votes 0 of 2; votes for nobody\n"
        "  not Lord: maintenance\n"
        "  no member is heard\n");
    expect(lg_operate_legions, SELF "'votes':0,'reach':1,'lord_uuid':'','members':[]}",
        "legion site at 10.0.0.2:4000: follower, valor 80; votes 0 of 2; votes for nobody\n"
        "  no Lord from here: in touch with 1 of 2 nodes\n"
        "  no member is heard\n");
    expect(lg_operate_legions,
        "{'legion':'old','addr':'x','uuid':'a','valor':1,'quorum':0,'checksum':3,'votes':1,"
        "'members':[{" NODE1 ",'last_seen':999000}]}",
        "legion old at x: follower, valor 1; votes 1 of 0; votes for nobody\n"
        "  no agreement: 1 member, node1 first, sees another legion than this node\n"
        "  MEMBER      VALOR  VIEW     UUID      SEEN\n"
        "  node1          90  differs  11111111  16 m ago\n");
}

static void why(void **state)
{
    (void)state;
    /* The issue's own sentence. */
    expect(lg_operate_why,
        SELF "'votes':1,'lord_uuid':'','members':[{" NODE1 ",'last_seen':999999},"
             "{'name':'node3','last_seen':1000000,'deaf_since':999988}]}",
        "site: not Lord: 1 of 2 votes, node3 deaf since 12 s\n");
    expect(lg_operate_why,
        SELF "'votes':0,'lord_uuid':'','members':[{" NODE1 ",'last_seen':999995}],"
             "'left':[{'name':'node3','last_seen':999880,'died':false},"
             "{'name':'node4','last_seen':999999,'died':true}]}",
        "site: not Lord: 0 of 2 votes, node1 silent since 5 s, node3 silent since 2 m, node4 left "
        "1 "
        "s ago\n");
    expect(lg_operate_why, SELF "'votes':0,'lord_uuid':'','members':[]}",
        "site: not Lord: 0 of 2 votes, 2 of 2 configured nodes never heard\n");
    expect(lg_operate_why,
        SELF "'votes':0,'lord_uuid':'11111111-0000','lord_name':'node1','lord_valor':90,'members':"
             "[{" NODE1 ",'last_seen':1000000},{'last_seen':1000000,'name':'n','deaf_since':-1}]}",
        "site: not Lord: node1 is, valor 90 there, 80 here, n has never heard this node\n");
    expect(lg_operate_why,
        SELF "'votes':0,'nodes':[],'aside':'check','checks':[{'name':'workers','well':true},"
             "{'name':'cmd:x','well':false,'last_change':999988,'last_result':'returned 1'},"
             "{'name':'glusterfs','well':false,'last_change':0,'last_result':''}]}",
        "site: not Lord: check \"cmd:x\" unwell since 12 s (it returned 1), check \"glusterfs\" "
        "has "
        "no verdict yet\n");
    expect(lg_operate_why, SELF "'nodes':[],'aside':'resigned','aside_ms':9000}",
        "site: not Lord: resigned, does not stand for another 9 s\n");
    expect(lg_operate_why, SELF "'nodes':[],'waiting_ms':1250,'lord_uuid':''}",
        "site: not Lord: waits 1.2 s more, promises of an earlier life may bind it\n");
    expect(lg_operate_why,
        SELF "'nodes':[],'i_am_the_lord':999998,'epoch':7},{'legion':'b',"
             "'quorum':3,'nodes':['225.1.1.1:1']}",
        "site: Lord for 2 s, epoch 7\nb: not Lord: an arbiter, which votes only\n");
    /* By uWSGI's rules nobody is Lord whom too few vote for. */
    expect(lg_operate_why,
        "{'legion':'c','uuid':'a','valor':1,'quorum':2,'votes':1,'checksum':7,'mode':'classical',"
        "'lord_uuid':'11111111-0000','lord_name':'node1','members':[{" NODE1
        ",'last_seen':1000000}]}",
        "c: not Lord: 1 of 2 votes\n");
}

static void what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "[]", "{\"legions\": 1}", "HTTP/1.1 200 OK"};
    struct lg_buf out = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(lg_operate_why(texts[i], strlen(texts[i]), NOW, &out), -LG_E_PROTO);
        assert_int_equal(lg_operate_legions(texts[i], strlen(texts[i]), NOW, &out), -LG_E_PROTO);
    }
    assert_int_equal(out.len, 0);
    lg_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(why),
        cmocka_unit_test(what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
