/* Sealed datagrams: known answers made with Python (hmac, cryptography) and the
 * openssl command, alterations, repetitions, rotation; and the windows of senders.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kdf.h"
#include "cluster/seal.h"
#include "cluster/senders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define UUID_A "00112233-4455-6677-8899-aabbccddeeff"
#define UUID_B "10112233-4455-6677-8899-aabbccddeeff"

static size_t unhex(const char *hex, char *out, size_t size)
{
    size_t len = strlen(hex) / 2;
    assert_true(len <= size);
    for (size_t i = 0; i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (char)strtoul(pair, NULL, 16);
    }
    return len;
}

static struct lg_seal *seal_of(
    const char *cipher, const char *uuid, const char *secret, const char *accept)
{
    struct lg_seal *seal = NULL;
    char why[256] = "";
    struct lg_seal_setup setup = {.legion = LG_SLICE("site"),
        .cipher = lg_slice_of(cipher),
        .uuid = lg_slice_of(uuid),
        .secrets = {lg_slice_of(secret), lg_slice_of(accept)},
        .secret_count = accept ? 2 : 1};
    assert_int_equal(lg_seal_new(&setup, &seal, why, sizeof why), 0);
    return seal;
}

static struct lg_legion_message message_of(const char *uuid)
{
    return (struct lg_legion_message){
        .legion = LG_SLICE("site"),
        .valor = 98,
        .unix_s = 1700000000,
        .name = LG_SLICE("web1"),
        .pid = 42,
        .uuid = lg_slice_of(uuid),
        .checksum = 2500,
        .scroll = LG_SLICE("hi"),
    };
}

static char cleartext[LG_DATAGRAM_SIZE];

static size_t pack(struct lg_seal *seal, const char *uuid, char *out, size_t size)
{
    struct lg_legion_message message = message_of(uuid);
    size_t len = 0;
    assert_int_equal(lg_seal_pack(seal, &message, out, size, &len), 0);
    return len;
}

static enum lg_seal_verdict take(
    struct lg_seal *seal, const char *datagram, size_t len, struct lg_opened *ret_opened)
{
    struct lg_opened spare;
    return lg_seal_open(
        seal, lg_slice_from(datagram, len), cleartext, ret_opened ? ret_opened : &spare);
}

/* ---- Known answers --------------------------------------------------------------------- */

static void keys_are_those_of_the_rfc(void **state)
{
    (void)state;
    /* RFC 5869, A.1, the first 32 of 42 bytes: HKDF's output is a stream. */
    char secret[22], salt[13], info[10], expected[32];
    memset(secret, 0x0b, sizeof secret);
    unhex("000102030405060708090a0b0c", salt, sizeof salt);
    unhex("f0f1f2f3f4f5f6f7f8f9", info, sizeof info);
    unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", expected, 32);
    unsigned char key[LG_KEY_SIZE], mac[LG_MAC_SIZE];
    assert_int_equal(lg_kdf_derive(lg_slice_from(secret, 22), lg_slice_from(salt, 13),
                         lg_slice_from(info, 10), key),
        0);
    assert_memory_equal(key, expected, 32);
    /* openssl kdf -keylen 32 ... -kdfopt key:correct-horse -kdfopt salt:site */
    unhex("7fcfb112273479c615c210214aa47eae689c7ae7df55085d19d30d6180fbc49f", expected, 32);
    assert_int_equal(
        lg_kdf_derive(LG_SLICE("correct-horse"), LG_SLICE("site"), LG_SLICE("legatus mac"), key),
        0);
    assert_memory_equal(key, expected, 32);
    /* RFC 4231, case 1, its key padded with zeros as HMAC does */
    memset(key, 0, sizeof key);
    memset(key, 0x0b, 20);
    unhex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", expected, 32);
    assert_int_equal(lg_kdf_mac(key, LG_SLICE("Hi There"), mac), 0);
    assert_memory_equal(mac, expected, 32);
}

static const struct {
    const char *cipher, *datagram;
    uint64_t counter; /* 0 = the cipher has none */
} known[] = {
    {"aes-256-gcm",
        "6dd10001fd00112233445566778899aabbccddeeff08070605040302019c0dd0dd2ab02b67f78638ab82f272"
        "fada6c6b55be7c62f41c4497e59ed7d83a9608eecc3daaa30927a1ffd2e8418f6bcd385b7b32a29d802d542a"
        "963f423f43c5a568230b4a89be06c767d4169dc12febfd4cb724efe980b3083b4998dcdefbfd9b26e340152a"
        "9682a76dac91ac92dd09f61abee497c1ab92ac401c604af710d92dcd149a1530bbb9aecdf65885a46b711efc"
        "51df7c1ba9219c62008a349ef1f5f2dae07e8ae3f71f931396460db8de954ad955bf1be66b5cd3465e58ae24"
        "852245aeca0a4d2767e117aea261b452181c737244d04a610c529524f868ecd31a25",
        0x0102030405060708},
    {"aes-128-gcm",
        "6dd10001fd00112233445566778899aabbccddeeff0807060504030201d710de9968390df5ce139fcd37b159"
        "395cc02ed34947bd94ad7a31cac0c8925ddd704f4190452741febc41c87413b30f312c0efa74908b08980604"
        "a4407929d931419757e5e359854b4a1ed3b6297ac720eba7336260f9cdc78bb895cc96e93c828377bdb17aab"
        "26685fbc4b92b027565694c5265dba0ae5e7fba5381021eeed67094f5ffbbefa16987b9b16cadb8cd84b4f26"
        "795d01127a259a826d7b7896022a553ca95623b2c9fb62223678735d7147a878c67c051720757cef000cf036"
        "0798c80793a9257edda92243c55987f5860cbc02807b28d8e069d945bc4f802ca16c",
        0x0102030405060708},
    {"chacha20-poly1305",
        "6dd10001fd00112233445566778899aabbccddeeff0807060504030201edfe01224aebcd646e1c93d3eaff10"
        "049f93042365d681ac7f37feee3df1c8e3e6448b43c8f0a318339bc4bc11073674714950cfc3f5e3ecb3f094"
        "16d06e85e2bbbfd0f153777b84e48bdf164b55bba7b7e872700cd99df5eafe78e39591a60b5d3d6e7a337da5"
        "7f255cb9c9a7689fbff21e0edb396897cdc5dd3a9e02e9cfea6718880fe21fad6558f8d204a5705e995dbc14"
        "0aca97dc1d69a157e5f3530099054964edfb781fc9df095e704031de6be132f12cd60d011c3874e41d7ab6b4"
        "d7756157fbb091beae8903d5c1169c9a222344c96813829dfce809a25eb4a7f57f23",
        0x0102030405060708},
    {"aes-128-cbc", /* with its mac */
        "6df80000d29ffcd02269d17016a88ea0e238a79f1865cd822e00be851c5cda8fa11007d2f704315345bd1ad8"
        "06560667f53cf9ff5716b4116d5ff12c4ab9d1b1c2f76df0783a93f81934dd91b481f382c37292dbb4a9648a"
        "5ba6e5cd4f18219e9d77931089cf45a0fb396548405aa84ea763dff52da7eab3bf9aee65d47d99a6fdb0da03"
        "178fc98ee94a37bf72435ef85f3489cda161dd9ddc43c9de846c7afaed6b9858a2933a33a0e7832aafb4923c"
        "543cee1fbcd86cdea57ff197c51406b3783e5fec8b374d554d72d938538f2d6c891bbdf98566033e8cadad57"
        "65438be4588d4941ef4aacc290b7b1a7a2cd25294657c0e9a2de694a7bc77d1a72dfbff8fd0d0e48",
        0},
};
#define KNOWN_COUNT (sizeof known / sizeof *known)

static void datagrams_are_those_of_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        char expected[512], out[512];
        size_t expected_len = unhex(known[i].datagram, expected, sizeof expected);
        struct lg_seal *seal = seal_of(known[i].cipher, UUID_A, "correct-horse", NULL);
        struct lg_seal *other = seal_of(known[i].cipher, UUID_B, "correct-horse", NULL);
        assert_int_equal(lg_seal_is_aead(seal), known[i].counter != 0);
        lg_seal_start(seal, known[i].counter - 1);
        assert_int_equal(pack(seal, UUID_A, out, sizeof out), expected_len);
        assert_memory_equal(out, expected, expected_len);
        struct lg_opened opened;
        assert_int_equal(take(other, expected, expected_len, &opened), LG_SEALED_GOOD);
        assert_true(opened.authentic);
        assert_int_equal(opened.counted, known[i].counter != 0);
        assert_true(lg_slice_eq(opened.message.uuid, LG_SLICE(UUID_A)));
        assert_true(lg_slice_eq(opened.message.scroll, LG_SLICE("hi")));
        lg_seal_free(seal);
        lg_seal_free(other);
    }
}

/* ---- Alterations ----------------------------------------------------------------------------- */

static void no_altered_bit_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char datagram[512];
        size_t len = unhex(known[i].datagram, datagram, sizeof datagram);
        struct lg_seal *seal = seal_of(known[i].cipher, UUID_B, "correct-horse", "other");
        for (size_t bit = 0; bit < 8 * len; bit++) {
            datagram[bit / 8] = (char)(datagram[bit / 8] ^ 1 << bit % 8);
            assert_int_not_equal(take(seal, datagram, len, NULL), LG_SEALED_GOOD);
            datagram[bit / 8] = (char)(datagram[bit / 8] ^ 1 << bit % 8);
        }
        for (size_t cut = 0; cut < len; cut++)
            assert_int_not_equal(take(seal, datagram, cut, NULL), LG_SEALED_GOOD);
        assert_int_not_equal(take(seal, datagram, len + 1, NULL), LG_SEALED_GOOD);
        /* None of that has spent its counter. */
        assert_int_equal(take(seal, datagram, len, NULL), LG_SEALED_GOOD);
        assert_int_equal(take(seal, datagram, len, NULL), LG_SEALED_TWICE);
        lg_seal_free(seal);
    }
}

/* On the wire of uWSGI a bit may turn the mac itself into something else; what
 * passes then is no more than a packet without one. */
static void no_altered_bit_passes_as_authentic(void **state)
{
    (void)state;
    char datagram[512];
    size_t len = unhex(known[3].datagram, datagram, sizeof datagram), passed = 0;
    struct lg_seal *seal = seal_of(known[3].cipher, UUID_B, "correct-horse", NULL);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        struct lg_opened opened;
        datagram[bit / 8] = (char)(datagram[bit / 8] ^ 1 << bit % 8);
        if (take(seal, datagram, len, &opened) == LG_SEALED_GOOD) {
            assert_false(opened.authentic);
            passed++;
        }
        datagram[bit / 8] = (char)(datagram[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(passed < 8 * len / 10);
    lg_seal_free(seal);
}

/* The head of a living node's packet and the tail of a death: CBC heals itself
 * after a block. */
static void spliced_deaths_do_not_pass(void **state)
{
    (void)state;
    struct lg_seal *seal = seal_of("aes-128-cbc", UUID_A, "hello", NULL);
    struct lg_seal *other = seal_of("aes-128-cbc", UUID_B, "hello", NULL);
    char live[512], death[512], spliced[512];
    struct lg_legion_message message = message_of(UUID_A);
    size_t live_len = pack(seal, UUID_A, live, sizeof live), death_len;
    message.dead = true;
    message.unix_s -= 5;
    assert_int_equal(lg_seal_pack(seal, &message, death, sizeof death, &death_len), 0);
    assert_true(live_len <= death_len);
    for (size_t block = 1; 4 + 16 * block < live_len; block++) {
        struct lg_opened opened;
        memcpy(spliced, death, death_len);
        memcpy(spliced, live, 4 + 16 * block);
        memcpy(spliced, death, 4); /* the length is the death's */
        if (memcmp(spliced, death, death_len) == 0)
            continue; /* up to here they are the same */
        if (take(other, spliced, death_len, &opened) == LG_SEALED_GOOD)
            assert_true(!opened.authentic);
        else
            continue;
        assert_false(opened.message.dead);
    }
    lg_seal_free(seal);
    lg_seal_free(other);
}

/* ---- Who is who ---------------------------------------------------------------------------------
 */

static void verdicts_name_what_is_wrong(void **state)
{
    (void)state;
    char ours[512], plain[512];
    struct lg_seal *a = seal_of("aes-256-gcm", UUID_A, "one", NULL);
    struct lg_seal *b = seal_of("aes-256-gcm", UUID_B, "one", NULL);
    struct lg_seal *stranger = seal_of("aes-256-gcm", UUID_B, "two", NULL);
    struct lg_seal *cbc = seal_of("aes-256-cbc", UUID_B, "one", NULL);
    size_t len = pack(a, UUID_A, ours, sizeof ours);
    size_t plain_len = pack(cbc, UUID_B, plain, sizeof plain);
    assert_int_not_equal(lg_seal_key_id(a), lg_seal_key_id(stranger));
    assert_int_equal(take(a, ours, len, NULL), LG_SEALED_OWN);
    assert_int_equal(take(stranger, ours, len, NULL), LG_SEALED_KEY);
    assert_int_equal(take(cbc, ours, len, NULL), LG_SEALED_OTHERWISE);
    assert_int_equal(take(a, plain, plain_len, NULL), LG_SEALED_OTHERWISE);
    assert_int_equal(take(a, "x", 1, NULL), LG_SEALED_NOT);
    assert_int_equal(take(a, ours, 28, NULL), LG_SEALED_NOT);
    /* One member does not speak for another. */
    len = pack(a, UUID_B, ours, sizeof ours);
    assert_int_equal(take(b, ours, len, NULL), LG_SEALED_NOT);
    assert_null(lg_seal_verdict_text(LG_SEALED_GOOD));
    assert_null(lg_seal_verdict_text(LG_SEALED_OWN));
    for (int i = LG_SEALED_NOT; i < LG_SEALED_COUNT; i++)
        assert_non_null(lg_seal_verdict_text((enum lg_seal_verdict)i));
    lg_seal_free(a);
    lg_seal_free(b);
    lg_seal_free(stranger);
    lg_seal_free(cbc);
}

static void secrets_rotate_in_any_order(void **state)
{
    (void)state;
    static const char *const ciphers[] = {"aes-256-gcm", "chacha20-poly1305", "aes-256-cbc"};
    for (size_t i = 0; i < 3; i++) {
        char out[512];
        const struct lg_slice both[] = {LG_SLICE("new"), LG_SLICE("old")};
        struct lg_seal *a = seal_of(ciphers[i], UUID_A, "old", NULL);
        struct lg_seal *b = seal_of(ciphers[i], UUID_B, "old", "new");
        lg_seal_start(a, 1000);
        assert_int_equal(take(b, out, pack(a, UUID_A, out, sizeof out), NULL), LG_SEALED_GOOD);
        assert_int_equal(lg_seal_change(a, both, 2), 0); /* the sender goes first */
        assert_int_equal(take(b, out, pack(a, UUID_A, out, sizeof out), NULL), LG_SEALED_GOOD);
        assert_int_equal(take(a, out, pack(b, UUID_B, out, sizeof out), NULL), LG_SEALED_GOOD);
        assert_int_equal(lg_seal_change(b, both, 2), 0);
        assert_int_equal(take(a, out, pack(b, UUID_B, out, sizeof out), NULL), LG_SEALED_GOOD);
        assert_int_equal(lg_seal_change(a, both, 1), 0);
        assert_int_equal(take(b, out, pack(a, UUID_A, out, sizeof out), NULL), LG_SEALED_GOOD);
        size_t len = pack(a, UUID_A, out, sizeof out);
        assert_int_equal(take(b, out, len, NULL), LG_SEALED_GOOD);
        assert_int_equal(lg_seal_change(b, both, 1), 0); /* the windows stay */
        if (lg_seal_is_aead(b))
            assert_int_equal(take(b, out, len, NULL), LG_SEALED_TWICE);
        assert_int_equal(lg_seal_change(b, both, 0), -LG_E_LIMIT);
        assert_int_equal(take(b, out, pack(a, UUID_A, out, sizeof out), NULL), LG_SEALED_GOOD);
        lg_seal_free(a);
        lg_seal_free(b);
    }
}

/* ---- Windows
 * -------------------------------------------------------------------------------------- */

static void windows_slide(void **state)
{
    (void)state;
    static const struct {
        uint64_t counter;
        bool fresh;
    } steps[] = {{0, false}, {100, true}, {100, false}, {101, true}, {99, true}, {99, false},
        {38, true}, {37, false}, {164, true}, {101, false}, {100, false}, {102, true}, {163, true},
        {163, false}, {1000, true}, {999, true}, {937, true}, {936, false}, {164, false},
        {UINT64_MAX, true}, {UINT64_MAX, false}, {1000, false}, {UINT64_MAX - 63, true},
        {UINT64_MAX - 64, false}};
    static const unsigned char uuid[LG_UUID_SIZE] = "0123456789abcde";
    struct lg_senders senders;
    assert_int_equal(lg_senders_init(&senders, 4), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct lg_sender *sender = lg_senders_find(&senders, uuid);
        if (lg_sender_is_fresh(sender, steps[i].counter) != steps[i].fresh)
            fail_msg("step %zu", i);
        if (steps[i].fresh)
            lg_senders_take(&senders, uuid, steps[i].counter);
    }
    assert_int_equal(senders.count, 1);
    lg_senders_free(&senders);
}

static void the_longest_silent_sender_makes_room(void **state)
{
    (void)state;
    struct lg_senders senders;
    unsigned char uuid[LG_UUID_SIZE] = {0};
    assert_int_equal(lg_senders_init(&senders, 4), 0);
    for (unsigned char i = 0; i < 4; i++) {
        uuid[15] = i;
        lg_senders_take(&senders, uuid, 10);
    }
    uuid[15] = 0;
    lg_senders_take(&senders, uuid, 11);
    uuid[15] = 9;
    assert_false(lg_senders_take(&senders, uuid, 7)->has_key);
    assert_int_equal(senders.count, 4);
    assert_int_equal(lg_senders_find(&senders, uuid)->top, 7);
    uuid[15] = 1;
    assert_null(lg_senders_find(&senders, uuid));
    uuid[15] = 0;
    assert_int_equal(lg_senders_find(&senders, uuid)->top, 11);
    lg_senders_free(&senders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_the_rfc),
        cmocka_unit_test(datagrams_are_those_of_others),
        cmocka_unit_test(no_altered_bit_passes),
        cmocka_unit_test(no_altered_bit_passes_as_authentic),
        cmocka_unit_test(spliced_deaths_do_not_pass),
        cmocka_unit_test(verdicts_name_what_is_wrong),
        cmocka_unit_test(secrets_rotate_in_any_order),
        cmocka_unit_test(windows_slide),
        cmocka_unit_test(the_longest_silent_sender_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
