/* Ciphers of the uwsgi wire: packets captured from uWSGI 2.0.21 of Debian 12, and
 * what `openssl enc` makes of the same key.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cipher.h"
#include "legion/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECRET LG_SLICE("hello")

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

static struct lg_cipher *cipher_of(const char *name, const char *iv)
{
    struct lg_cipher *cipher = NULL;
    char why[256];
    int err = lg_cipher_new(lg_slice_of(name), SECRET, lg_slice_of(iv), &cipher, why, sizeof why);
    assert_int_equal(err, 0);
    return cipher;
}

static const struct {
    const char *cipher, *iv;
    bool dead;
    const char *scroll;
    const char *datagram;
} captured[] = {
    {"aes-128-cbc", "thisistheiv", false, "",
        "6dc700004879ae886973f2ccdb3b1077eb53b4ba7364308026337eb2cff5cfc5f1e3b27979b3a269"
        "9e226a54ae9369424702123ca17f88fb849e6fedecfa8990207709b3250a294cad42501ed88c35ac"
        "c13c76169dccd3b3f03968dd09cf2a4816662eb850bff8fe97a17052396d91c9dc452aa5d0e8e2d9"
        "47bb862d42873935bc721692479e3e4597088e8816604c5a749679cc753c3a49b9d8f6bfb0662b29"
        "91a471f63303b151c0cb83239a3ea86f5df3f9e06dc10ae70fcca63997770c2e76aecef2668822fb"
        "4c1ff100b4e96cf5f1b43472"},
    {"aes-128-cbc", "thisistheiv", true, "",
        "6dd000004879ae886973f2ccdb3b1077eb53b4ba7364308026337eb2cff5cfc5f1e3b279c109ee22"
        "c68ca2b2c5f5d57a4f19f04a026b6f5f94397aa5dae9f3d11bde4117f0f44159e02976c1506a9df3"
        "9fc5d46b83e5d8159a94f11c62dfc7ab243c5599294bd5461f0bea92559b8be1d3aa7be56af300c4"
        "5df6dadd3e577d6dd61123b0f9098d04f4d2eb1616d2b1e70158bfc52b3f4bd6914eb7ee95af21b4"
        "0f0b2279495e1970fc06518f92a285fb0d5f94b3be8b733254ebce70350d5bbdf1f3a93fb3bf600f"
        "5c20b4694ca16d1182dce3a859d55ad5bc3ac1a4d4f4b001f5ae2948"},
    {"aes-256-cbc", "", false, "",
        "6dc7000004eb0255f7bcdffd8f7a0ce680fcad199b67f175f6c3085d4397dc095c15e713390ee283"
        "df611eeec36b83bc1612eeb538f253fd01358b1b314272b558961113c7e80d0e2b354222ebdd4490"
        "e80353745b782fc67d9e152e3ddfc219734e2a9d12cfae95b0381d95c3e1c39861f85f2e421fdd3e"
        "b0911c9e90382e70bf6c8498ca9ca43eed5878e3d0f55a95671a5141ff832b92feb17afd292c6c76"
        "308f39d5952aee1800f84a7e3d0d5ee39636683b7ecf745fc019adb510f02b388a99234ac0964694"
        "14521de586b1e848d2d4471a"},
    {"des-ede3-cbc", "0123456789", false, "",
        "6dc800005d8519c986fcbfc713679e622f46f58588658b1550bbc4414d5a61b34f5acba39836556c"
        "dad6f41ea428ec5cbe5a0daf42c4e37dc84eb5fb3aeca8767fa6cd882a9accc378187e1fd1b86e77"
        "0247402b44719eda2ea0710dbd1f9bbfa96acd83e7ab5aa103003cf86013fd4f6aa0b58cd13899c4"
        "9e75e421e70eee8f0009a85ed0410a2b26c139e4d2720ab354d9cf264c45979d3c27de14caffc9a7"
        "2ad4b2948cf562a51b8b8e76bbd39b18704497ee63100e241982b4c3d6f2966eb2f4bec7bfc03121"
        "9c68bf31a654d9bfc2c412d0"},
    {"aes-128-ctr", "x", false, "a scroll",
        "6dda00007b4431752f8017b1e925aff9569a81dc8bb0869af23a7498d42e8884412150af5cdc4946"
        "ccc45445cc482b8e4ceab5a0331db145517447525700f1bc9edb74dc22cff443a812fdca837605bc"
        "e82f6c0dd67155d0d9620944d18d245cb0d42d34b609cddbba80122c96939432e7a42d35ed9a3e22"
        "3c024b335a2d3f43e120fcb6184c8d70e4f9523006252b945642b1ef6c9e39ccc38a61681534a8c5"
        "defa297f44731e0c32521c1b8af45614e97ff6ffaa7bfc273d6fc6ba19da15e79a45ffc6357e4db2"
        "299b0528801d55a837d1ec981c2f4ab89c9500d1bf44"},
};

static void packets_of_uwsgi_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof captured / sizeof *captured; i++) {
        char datagram[512], cleartext[512];
        struct lg_slice sealed;
        uint16_t expected;
        size_t len = unhex(captured[i].datagram, datagram, sizeof datagram), got;
        assert_int_equal(
            lg_legion_head_decode(lg_slice_from(datagram, len), &expected, &sealed), 0);
        struct lg_cipher *cipher = cipher_of(captured[i].cipher, captured[i].iv);
        for (int twice = 0; twice < 2; twice++) { /* every packet starts anew */
            assert_int_equal(lg_cipher_open(cipher, sealed, cleartext, sizeof cleartext, &got), 0);
            assert_int_equal(got, expected);
        }
        struct lg_legion_message message;
        assert_int_equal(lg_legion_decode(lg_slice_from(cleartext, got), &message), 0);
        assert_true(lg_slice_eq(message.legion, LG_SLICE("clusterip")));
        assert_true(lg_slice_eq(message.name, LG_SLICE("vm")));
        assert_int_equal(message.valor, 98);
        assert_int_equal(message.dead, captured[i].dead);
        assert_true(lg_slice_eq(message.scroll, lg_slice_of(captured[i].scroll)));
        assert_true(lg_legion_uuid_ok(message.uuid));
        assert_true(message.unix_s > 1700000000 && message.pid > 1);

        /* Written by us it is the same datagram, byte for byte. */
        char again[512], resealed[512];
        size_t again_len, resealed_len;
        message.extra = (struct lg_slice){NULL, 0};
        assert_int_equal(lg_legion_encode(&message, again, sizeof again, &again_len), 0);
        assert_int_equal(lg_cipher_seal(cipher, lg_slice_from(again, again_len), resealed,
                             sizeof resealed, &resealed_len),
            0);
        assert_int_equal(resealed_len, sealed.len);
        assert_memory_equal(resealed, sealed.ptr, sealed.len);
        lg_cipher_free(cipher);
    }
}

static void old_ciphers_come_from_the_legacy_provider(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sealed;
    } cases[] = {
        {"bf-cbc", "eee840de11e8e4af3d007728d6d7af7c"},
        {"cast5-cbc", "d5b12023c1b272197187dd891c41641e"},
        {"des-cbc", "3725b74baee96a8bea7d59cdd727518c"},
        {"rc4", "0077136dbefa042b491dcd50455c45"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[64], out[128];
        size_t expected_len = unhex(cases[i].sealed, expected, sizeof expected), len;
        struct lg_cipher *cipher = cipher_of(cases[i].name, "");
        assert_int_equal(
            lg_cipher_seal(cipher, LG_SLICE("Two Lords never"), out, sizeof out, &len), 0);
        assert_int_equal(len, expected_len);
        assert_memory_equal(out, expected, len);
        lg_cipher_free(cipher);
    }
}

static void names_are_those_of_openssl_enc(void **state)
{
    (void)state;
    static const char *const names[] = {"aes-128-cbc", "AES-256-CBC", "aes256", "aes128", "des3",
        "des-ede3-cbc", "bf", "blowfish", "camellia-256-cbc", "aes-192-ctr", "chacha20",
        "aes-128-ecb", "aes-128-cfb8", "aria-128-cbc", "cast", "seed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        lg_cipher_free(cipher_of(names[i], ""));
}

static void refusals_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *name, *secret, *why;
    } cases[] = {
        {"aes-128-cbc", "", "the secret is empty"},
        {"aes-128-cbx", "s", "unknown cipher \"aes-128-cbx\", did you mean \"aes-128-cbc\"?"},
        {"rot13", "s", "openssl enc -list"},
        {"", "s", "unknown cipher"},
        {"aes-256-gcn", "s", "did you mean \"aes-256-gcm\"?"},
        {"aes-256-ccm", "s", "is not supported: expected an authenticated one (aes-256-gcm"},
        {"aes-128-ocb", "s", "is not supported"},
        {"aes-128-siv", "s", "is not supported"},
        {"aes-128-cbc-hmac-sha1", "s", "is not supported"},
        {"rc4-hmac-md5", "s", "is not supported"},
        {"aes-128-xts", "s", "is not supported"},
        {"null", "s", "is not supported"},
        {"a-name-that-is-far-too-long-to-be-any-cipher-of-any-library-in-this-world", "s",
            "unknown cipher"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lg_cipher *cipher = NULL;
        char why[256] = "";
        assert_int_equal(lg_cipher_new(lg_slice_of(cases[i].name), lg_slice_of(cases[i].secret),
                             LG_SLICE(""), &cipher, why, sizeof why),
            -LG_E_CONF);
        assert_null(cipher);
        if (!strstr(why, cases[i].why))
            fail_msg("\"%s\" does not say \"%s\"", why, cases[i].why);
    }
}

static void absent_legacy_provider_is_named(void **state)
{
    (void)state;
    struct lg_cipher *cipher = NULL;
    char why[256] = "";
    assert_int_equal(setenv("OPENSSL_MODULES", "/nonexistent", 1), 0);
    int err = lg_cipher_new(LG_SLICE("bf-cbc"), SECRET, LG_SLICE(""), &cipher, why, sizeof why);
    lg_cipher_free(cipher_of("aes-128-cbc", "")); /* the rest works without it */
    assert_int_equal(unsetenv("OPENSSL_MODULES"), 0);
    assert_int_equal(err, -LG_E_CONF);
    assert_string_equal(why,
        "cipher \"bf-cbc\" needs OpenSSL's legacy provider, which is not installed here: expected "
        "another cipher, such as aes-256-cbc");
}

static void strangers_bytes_do_not_open(void **state)
{
    (void)state;
    struct lg_cipher *cipher = cipher_of("aes-128-cbc", "");
    char out[256], sealed[64] = "these are not the right bytes at all, and too few";
    size_t len;
    assert_int_equal(
        lg_cipher_open(cipher, lg_slice_from(sealed, 17), out, sizeof out, &len), -LG_E_CRYPTO);
    assert_int_equal(lg_cipher_open(cipher, lg_slice_from(sealed, 32), out, 40, &len), -LG_E_LIMIT);
    assert_int_equal(
        lg_cipher_seal(cipher, LG_SLICE("0123456789abcdef"), out, 47, &len), -LG_E_LIMIT);
    assert_int_equal(lg_cipher_seal(cipher, LG_SLICE("0123456789abcdef"), out, 48, &len), 0);
    assert_int_equal(len, 32);
    struct lg_cipher *other = NULL;
    char why[256];
    assert_int_equal(lg_cipher_new(LG_SLICE("aes-128-cbc"), LG_SLICE("hellp"), LG_SLICE(""), &other,
                         why, sizeof why),
        0);
    char back[256];
    assert_int_equal(
        lg_cipher_open(other, lg_slice_from(out, len), back, sizeof back, &len), -LG_E_CRYPTO);
    lg_cipher_free(other);
    lg_cipher_free(cipher);
    lg_cipher_free(NULL);
}

/* Sealed by `c`; a packet of nonsense, which may not open, comes before it is opened. */
static void seal_and_open(struct lg_cipher *c, bool spoilt, char out[96], size_t *ret_len)
{
    const struct lg_slice text = LG_SLICE("a text that is longer than a block or two are");
    static const unsigned char key[LG_CIPHER_AEAD_KEY_SIZE] = "key";
    const struct lg_aead aead = {.key = key, .nonce = "n", .head = LG_SLICE("head")};
    char back[128], nonsense[53] = "nonsense";
    size_t len;
    if (lg_cipher_is_aead(c)) {
        assert_int_equal(lg_cipher_seal_aead(c, &aead, text, out, 96), 0);
        *ret_len = text.len + LG_CIPHER_TAG_SIZE;
        if (spoilt)
            assert_int_equal(lg_cipher_open_aead(c, &aead, lg_slice_from(nonsense, sizeof nonsense),
                                 back, sizeof back),
                -LG_E_CRYPTO);
        assert_int_equal(
            lg_cipher_open_aead(c, &aead, lg_slice_from(out, *ret_len), back, sizeof back), 0);
    } else {
        assert_int_equal(lg_cipher_seal(c, text, out, 96, ret_len), 0);
        if (spoilt)
            (void)!lg_cipher_open(
                c, lg_slice_from(nonsense, sizeof nonsense), back, sizeof back, &len);
        assert_int_equal(
            lg_cipher_open(c, lg_slice_from(out, *ret_len), back, sizeof back, &len), 0);
        assert_int_equal(len, text.len);
    }
    assert_memory_equal(back, text.ptr, text.len);
}

static void no_packet_spoils_the_next(void **state)
{
    (void)state;
    const char *const names[] = {"aes-256-cbc", "aes-128-ecb", "aes-128-cfb", "aes-128-cfb8",
        "aes-256-ofb", "aes-256-ctr", "des-ede3-cbc", "camellia-128-cbc", "aria-128-ctr",
        "chacha20", "bf-cbc", "rc4", "aes-256-gcm", "chacha20-poly1305"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char first[96], again[96];
        size_t first_len, again_len;
        struct lg_cipher *fresh = cipher_of(names[i], "");
        seal_and_open(fresh, false, first, &first_len);
        lg_cipher_free(fresh);
        struct lg_cipher *used = cipher_of(names[i], "");
        for (int times = 0; times < 3; times++) {
            seal_and_open(used, true, again, &again_len);
            assert_int_equal(again_len, first_len);
            assert_memory_equal(again, first, first_len);
        }
        lg_cipher_free(used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_uwsgi_open),
        cmocka_unit_test(old_ciphers_come_from_the_legacy_provider),
        cmocka_unit_test(names_are_those_of_openssl_enc),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(absent_legacy_provider_is_named),
        cmocka_unit_test(strangers_bytes_do_not_open),
        cmocka_unit_test(no_packet_spoils_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
