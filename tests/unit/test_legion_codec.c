/* The wire of a legion: bytes as uWSGI writes them, and bytes of strangers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UUID_A "13dc79f5-d953-48ca-b8f4-6c64369f57ff"
#define UUID_B "a3dc79f5-d953-48ca-b8f4-6c64369f57ff"

static const struct lg_legion_message sample = {
    .legion = LG_SLICE("clusterip"),
    .valor = 98,
    .unix_s = 1700000000,
    .lord_s = 1699999999,
    .name = LG_SLICE("host-1.example"),
    .pid = 4242,
    .uuid = LG_SLICE(UUID_A),
    .checksum = 2544,
    .lord_valor = 99,
    .lord_uuid = LG_SLICE(UUID_B),
};

/* What a node of another make sends, item by item. */
struct item {
    struct lg_slice key, value;
};

#define ITEM(k, v)                                                                                 \
    {                                                                                              \
        LG_SLICE(k), LG_SLICE(v)                                                                   \
    }
#define ITEMS_MAX 20

static const struct item items[] = {
    ITEM("legion", "clusterip"),
    ITEM("valor", "98"),
    ITEM("unix", "1700000000"),
    ITEM("lord", "1699999999"),
    ITEM("name", "host-1.example"),
    ITEM("pid", "4242"),
    ITEM("uuid", UUID_A),
    ITEM("checksum", "2544"),
    ITEM("lord_valor", "99"),
    ITEM("lord_uuid", UUID_B),
};
#define ITEM_COUNT (sizeof items / sizeof *items)

static size_t write_items(const struct item *list, size_t count, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(lg_legion_dict_put(out, size, &len, list[i].key, list[i].value), 0);
    return len;
}

static bool decodes(const struct item *list, size_t count)
{
    char data[2048];
    struct lg_legion_message message;
    size_t len = write_items(list, count, data, sizeof data);
    int err = lg_legion_decode(lg_slice_from(data, len), &message);
    assert_true(err == 0 || err == -LG_E_PROTO);
    return err == 0;
}

/* The items of the sample with item `at` replaced. */
static bool decodes_with(size_t at, struct lg_slice key, struct lg_slice value)
{
    struct item list[ITEM_COUNT];
    memcpy(list, items, sizeof items);
    list[at] = (struct item){key, value};
    return decodes(list, ITEM_COUNT);
}

static void same(struct lg_slice a, struct lg_slice b)
{
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.ptr, b.ptr, a.len);
}

static void bytes_are_the_dictionary_in_order(void **state)
{
    (void)state;
    char ours[1024], theirs[1024];
    size_t len = 0;
    assert_int_equal(lg_legion_encode(&sample, ours, sizeof ours, &len), 0);
    same(lg_slice_from(ours, len),
        lg_slice_from(theirs, write_items(items, ITEM_COUNT, theirs, sizeof theirs)));
    assert_memory_equal(ours,
        "\x06\0legion\x09\0clusterip\x05\0valor\x02\0"
        "98",
        27);
}

static void message_survives_the_wire(void **state)
{
    (void)state;
    struct lg_legion_message sent = sample, got;
    sent.scroll = LG_SLICE("a scroll \0 with anything");
    sent.dead = true;
    sent.valor = UINT64_MAX;
    char data[1024], extra[64];
    size_t len = 0, extra_len = 0;
    assert_int_equal(
        lg_legion_dict_put(extra, sizeof extra, &extra_len, LG_SLICE("other"), LG_SLICE("17")), 0);
    sent.extra = lg_slice_from(extra, extra_len);
    assert_int_equal(lg_legion_encode(&sent, data, sizeof data, &len), 0);
    assert_int_equal(lg_legion_decode(lg_slice_from(data, len), &got), 0);
    same(got.legion, sent.legion);
    same(got.name, sent.name);
    same(got.uuid, sent.uuid);
    same(got.lord_uuid, sent.lord_uuid);
    same(got.scroll, sent.scroll);
    assert_true(got.valor == UINT64_MAX && got.unix_s == sent.unix_s);
    assert_true(got.lord_s == sent.lord_s && got.pid == sent.pid);
    assert_true(got.checksum == sent.checksum && got.lord_valor == sent.lord_valor);
    assert_true(got.dead);
    struct lg_slice stamp;
    assert_true(lg_legion_dict_find(got.extra, LG_SLICE("other"), &stamp));
    same(stamp, LG_SLICE("17"));
    assert_false(lg_legion_dict_find(got.extra, LG_SLICE("echo"), &stamp));
}

static void first_round_votes_for_nobody(void **state)
{
    (void)state;
    struct lg_legion_message sent = sample, got;
    sent.lord_valor = 0;
    sent.lord_uuid = (struct lg_slice){NULL, 0};
    char data[1024];
    size_t len = 0;
    assert_int_equal(lg_legion_encode(&sent, data, sizeof data, &len), 0);
    struct lg_slice vote;
    assert_true(lg_legion_dict_find(lg_slice_from(data, len), LG_SLICE("lord_uuid"), &vote));
    assert_int_equal(vote.len, 36);
    for (size_t i = 0; i < 36; i++)
        assert_int_equal(vote.ptr[i], 0);
    assert_int_equal(lg_legion_decode(lg_slice_from(data, len), &got), 0);
    assert_int_equal(got.lord_uuid.len, 0);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct lg_legion_message got = {.valor = 7};
    char data[1024];
    size_t len = 0;
    assert_int_equal(lg_legion_encode(&sample, data, sizeof data, &len), 0);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(lg_legion_decode(lg_slice_from(data, cut), &got), -LG_E_PROTO);
    assert_int_equal(got.valor, 7); /* untouched */
    for (size_t size = 0; size < len; size++) {
        size_t written = 7;
        assert_int_equal(lg_legion_encode(&sample, data, size, &written), -LG_E_LIMIT);
        assert_int_equal(written, 7);
    }
}

static void values_are_what_their_keys_allow(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *value;
    } bad[] = {
        {0, ""},
        {1, ""},
        {1, "-1"},
        {1, "98 "},
        {1, "0x62"},
        {1, "18446744073709551616"},
        {2, "9223372036854775808"},
        {2, "now"},
        {3, "-5"},
        {4, ""},
        {4, "a b"},
        {4, "a\nb"},
        {4, "h\xc3\xb6st"},
        {5, "1e3"},
        {6, ""},
        {6, "13dc79f5-d953-48ca-b8f4-6c64369f57f"},
        {6, "13dc79f5-d953-48ca-b8f4-6c64369f57fg"},
        {6, "13dc79f5xd953-48ca-b8f4-6c64369f57ff"},
        {6, "13dc79f5-d953-48ca-b8f4-6c64369f57ff0"},
        {7, "+1"},
        {8, "x"},
        {9, ""},
        {9, "none"},
    };
    assert_true(decodes(items, ITEM_COUNT));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(decodes_with(bad[i].at, items[bad[i].at].key, lg_slice_of(bad[i].value)));
    char name[300];
    memset(name, 'n', sizeof name);
    assert_true(decodes_with(4, LG_SLICE("name"), lg_slice_from(name, LG_LEGION_NAME_MAX)));
    assert_false(decodes_with(4, LG_SLICE("name"), lg_slice_from(name, LG_LEGION_NAME_MAX + 1)));
    assert_true(decodes_with(1, LG_SLICE("valor"), LG_SLICE("18446744073709551615")));
}

static void keys_are_there_once(void **state)
{
    (void)state;
    struct item list[ITEM_COUNT + 1];
    for (size_t gone = 0; gone < ITEM_COUNT; gone++) /* an unknown key in its place */
        assert_false(decodes_with(gone, LG_SLICE("unknown"), LG_SLICE("")));
    for (size_t twice = 0; twice < ITEM_COUNT; twice++) {
        memcpy(list, items, sizeof items);
        list[ITEM_COUNT] = items[twice];
        assert_false(decodes(list, ITEM_COUNT + 1));
    }
    memcpy(list, items, sizeof items);
    list[ITEM_COUNT] = (struct item)ITEM("dead", "yes");
    assert_false(decodes(list, ITEM_COUNT + 1));
    list[ITEM_COUNT] = (struct item)ITEM("", "");
    assert_true(decodes(list, ITEM_COUNT + 1));
}

static void header_is_checked(void **state)
{
    (void)state;
    unsigned char head[LG_LEGION_HEAD_SIZE];
    lg_legion_head_encode(0x1234, head);
    assert_memory_equal(head, "\x6d\x34\x12\x00", 4);

    static const struct {
        struct lg_slice datagram;
        int err;
    } cases[] = {
        {LG_SLICE(""), -LG_E_PROTO},
        {LG_SLICE("\x6d\x01\x00\x00"), -LG_E_PROTO}, /* nothing sealed */
        {LG_SLICE("\x6d\x01\x00\x00x"), 0},
        {LG_SLICE("\x6d\x02\x00\x00x"), -LG_E_PROTO}, /* promises more than there is */
        {LG_SLICE("\x6d\x00\x00\x00x"), -LG_E_PROTO}, {LG_SLICE("\x6e\x01\x00\x00x"), -LG_E_PROTO},
        {LG_SLICE("\x6d\x01\x00\x01x"), -LG_E_PROTO}, /* a framing of the future */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t len = 0;
        struct lg_slice sealed;
        assert_int_equal(lg_legion_head_decode(cases[i].datagram, &len, &sealed), cases[i].err);
        if (!cases[i].err)
            same(sealed, LG_SLICE("x"));
    }
}

static void hostile_lengths_stay_inside(void **state)
{
    (void)state;
    struct lg_legion_message got;
    static const struct lg_slice cases[] = {
        LG_SLICE("\xff\xff"),
        LG_SLICE("\xff\xff\xff\xff"),
        LG_SLICE("\x06\x00legion\xff\xff"),
        LG_SLICE("\x06\x00legion\x00"),
        LG_SLICE("\x01"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(lg_legion_decode(cases[i], &got), -LG_E_PROTO);
    /* Every single byte of a good packet, changed in every way: never a crash,
     * and what is accepted has a uuid and a name fit for a log line. */
    char good[1024], data[1024];
    size_t len = write_items(items, ITEM_COUNT, good, sizeof good);
    for (size_t at = 0; at < len; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            memcpy(data, good, len);
            data[at] = (char)byte;
            if (lg_legion_decode(lg_slice_from(data, len), &got) == 0)
                assert_true(lg_legion_uuid_ok(got.uuid) && got.name.len > 0);
        }
}

/* ---- The keys of Legatus ------------------------------------------------------- */

static const struct item ballot_items[] = {
    ITEM("stamp", "123456789"),
    ITEM("promise", "15000"),
    ITEM("quorum", "2"),
    ITEM("stand", "1700000000123"),
    ITEM("reach", "3"),
    ITEM("title", "0"),
    ITEM("released", "0"),
    ITEM("voted", "4611686018427387904"),
    ITEM("echoes", "01234567abcdefgh"),
    ITEM("vote", UUID_B " 1700000000122 42 15000"),
};
#define BALLOT_COUNT (sizeof ballot_items / sizeof *ballot_items)

/* The sample and the ballot with item `at` replaced; without it when key is empty. */
static bool ballot_decodes(
    size_t at, struct lg_slice key, struct lg_slice value, struct lg_legion_message *ret_message)
{
    static char data[2048];
    size_t len = write_items(items, ITEM_COUNT, data, sizeof data);
    for (size_t i = 0; i < BALLOT_COUNT; i++) {
        struct item item = i == at ? (struct item){key, value} : ballot_items[i];
        if (item.key.len)
            assert_int_equal(lg_legion_dict_put(data, sizeof data, &len, item.key, item.value), 0);
    }
    return lg_legion_decode(lg_slice_from(data, len), ret_message) == 0;
}

static void ballot_survives_the_wire(void **state)
{
    (void)state;
    struct lg_legion_message message, again;
    assert_true(ballot_decodes(BALLOT_COUNT, LG_SLICE(""), LG_SLICE(""), &message));
    char out[1024];
    size_t len;
    message.extra = (struct lg_slice){NULL, 0};
    assert_int_equal(lg_legion_encode(&message, out, sizeof out, &len), 0);
    assert_int_equal(lg_legion_decode(lg_slice_from(out, len), &again), 0);
    const struct lg_legion_ballot *a = &message.ballot, *b = &again.ballot;
    assert_true(a->stamp_us == 123456789 && b->stamp_us == a->stamp_us);
    assert_true(a->promise_ms == 15000 && b->promise_ms == a->promise_ms);
    assert_true(a->quorum == 2 && b->quorum == 2 && a->reach == 3 && b->reach == 3);
    assert_true(a->stand == 1700000000123 && b->stand == a->stand);
    assert_true(a->title == 0 && a->released_us == 0);
    assert_true(a->voted == LG_LEGION_EPOCH_MAX && b->voted == a->voted);
    same(a->vote_uuid, LG_SLICE(UUID_B));
    same(b->vote_uuid, LG_SLICE(UUID_B));
    assert_true(a->vote_epoch == 1700000000122 && b->vote_epoch == a->vote_epoch);
    assert_true(a->vote_echo_us == 42 && b->vote_echo_us == 42);
    assert_true(a->vote_promise_ms == 15000 && b->vote_promise_ms == 15000);
    same(b->echoes, LG_SLICE("01234567abcdefgh"));
}

static void ballot_is_whole_or_not_there(void **state)
{
    (void)state;
    struct lg_legion_message message;
    for (size_t i = 0; i < BALLOT_COUNT; i++) {
        bool optional = i + 2 >= BALLOT_COUNT; /* echoes, vote */
        assert_int_equal(ballot_decodes(i, LG_SLICE(""), LG_SLICE(""), &message), optional);
        assert_false(ballot_decodes(i, ballot_items[i].key, LG_SLICE("x"), &message));
        assert_false(ballot_decodes(i, ballot_items[i].key, LG_SLICE("-1"), &message));
        assert_false(
            ballot_decodes(i, ballot_items[i].key, LG_SLICE("18446744073709551616"), &message));
    }
    static const struct item wrong[] = {
        ITEM("stamp", "0"),
        ITEM("stamp", "9223372036854775808"),
        ITEM("promise", "0"),
        ITEM("promise", "2147483648"),
        ITEM("stand", "4611686018427387905"),
        ITEM("title", "4611686018427387905"),
        ITEM("voted", "4611686018427387905"),
        ITEM("released", "9223372036854775808"),
        ITEM("echoes", "012345678"),
        ITEM("vote", ""),
        ITEM("vote", UUID_B),
        ITEM("vote", UUID_B " 1 2"),
        ITEM("vote", UUID_B " 1 2 0"),
        ITEM("vote", UUID_B " 1 2 3 "),
        ITEM("vote", "x 1 2 3"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (size_t at = 0; at < BALLOT_COUNT; at++)
            if (lg_slice_eq(wrong[i].key, ballot_items[at].key))
                assert_false(ballot_decodes(at, wrong[i].key, wrong[i].value, &message));
}

static void echoes_are_found_by_id(void **state)
{
    (void)state;
    char out[2 * LG_LEGION_ECHO_SIZE];
    size_t len = 0;
    uint64_t a = lg_legion_id(UUID_A), b = lg_legion_id(UUID_B);
    assert_true(a != b && a == (0x13dc79f5d95348caU ^ 0xb8f46c64369f57ffU));
    assert_int_equal(lg_legion_echo_put(out, sizeof out, &len, a, 7), 0);
    assert_int_equal(lg_legion_echo_put(out, sizeof out, &len, b, UINT64_MAX), 0);
    assert_int_equal(lg_legion_echo_put(out, sizeof out, &len, b, 1), -LG_E_LIMIT);
    struct lg_slice echoes = lg_slice_from(out, len);
    uint32_t place = 0;
    assert_true(lg_legion_echo_find(echoes, a, &place) == 7 && place == 0);
    assert_true(lg_legion_echo_find(echoes, b, &place) == UINT64_MAX && place == 1);
    assert_true(lg_legion_echo_find(echoes, a, &place) == 7 && place == 0);
    place = 1000; /* of a longer list, before */
    assert_true(lg_legion_echo_find(echoes, b, &place) == UINT64_MAX && place == 1);
    assert_true(lg_legion_echo_find(echoes, 1, &place) == 0 && place == 1);
    assert_true(lg_legion_echo_find((struct lg_slice){NULL, 0}, a, &place) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_the_dictionary_in_order),
        cmocka_unit_test(message_survives_the_wire),
        cmocka_unit_test(first_round_votes_for_nobody),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(values_are_what_their_keys_allow),
        cmocka_unit_test(keys_are_there_once),
        cmocka_unit_test(header_is_checked),
        cmocka_unit_test(hostile_lengths_stay_inside),
        cmocka_unit_test(ballot_survives_the_wire),
        cmocka_unit_test(ballot_is_whole_or_not_there),
        cmocka_unit_test(echoes_are_found_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
