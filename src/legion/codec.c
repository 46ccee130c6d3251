/* The wire of a legion. Pure; depends on base only.
 *
 * Everything here reads bytes of strangers: no assertion, every length checked
 * before use. What a stranger may say is kept narrow (a uuid is a uuid, a name
 * is printable), because members end up in logs, JSON and environments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "legion/codec.h"
#include "base/le.h"

#include <stdio.h>

#define HEAD_MAGIC 109

void lg_legion_head_encode(uint16_t cleartext_len, unsigned char ret_head[LG_LEGION_HEAD_SIZE])
{
    ret_head[0] = HEAD_MAGIC;
    ret_head[1] = (unsigned char)(cleartext_len & 0xff);
    ret_head[2] = (unsigned char)(cleartext_len >> 8);
    ret_head[3] = 0;
}

static uint16_t read_u16le(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

int lg_legion_head_decode(
    struct lg_slice datagram, uint16_t *ret_cleartext_len, struct lg_slice *ret_sealed)
{
    if (datagram.len <= LG_LEGION_HEAD_SIZE)
        return -LG_E_PROTO;
    if (datagram.ptr[0] != HEAD_MAGIC || datagram.ptr[3] != 0)
        return -LG_E_PROTO;
    uint16_t len = read_u16le(datagram.ptr + 1);
    if (len == 0 || len > LG_LEGION_DATA_MAX || len > datagram.len - LG_LEGION_HEAD_SIZE)
        return -LG_E_PROTO;
    *ret_cleartext_len = len;
    *ret_sealed =
        lg_slice_from(datagram.ptr + LG_LEGION_HEAD_SIZE, datagram.len - LG_LEGION_HEAD_SIZE);
    return 0;
}

/* ---- Dictionary ------------------------------------------------------------ */

static bool take(struct lg_slice *rest, struct lg_slice *ret_item)
{
    if (rest->len < 2)
        return false;
    size_t len = read_u16le(rest->ptr);
    if (len > rest->len - 2)
        return false;
    *ret_item = lg_slice_from(rest->ptr + 2, len);
    *rest = lg_slice_from(rest->ptr + 2 + len, rest->len - 2 - len);
    return true;
}

bool lg_legion_dict_next(
    struct lg_slice *rest, struct lg_slice *ret_key, struct lg_slice *ret_value)
{
    struct lg_slice left = *rest;
    struct lg_slice key, value;
    if (!take(&left, &key) || !take(&left, &value))
        return false;
    *rest = left;
    *ret_key = key;
    *ret_value = value;
    return true;
}

bool lg_legion_dict_find(struct lg_slice dict, struct lg_slice key, struct lg_slice *ret_value)
{
    struct lg_slice found_key, value;
    while (lg_legion_dict_next(&dict, &found_key, &value)) {
        if (!lg_slice_eq(found_key, key))
            continue;
        *ret_value = value;
        return true;
    }
    return false;
}

static void write_u16le(char *at, size_t value)
{
    at[0] = (char)(value & 0xff);
    at[1] = (char)(value >> 8 & 0xff);
}

int lg_legion_dict_put(
    char *out, size_t size, size_t *len, struct lg_slice key, struct lg_slice value)
{
    if (key.len > UINT16_MAX || value.len > UINT16_MAX)
        return -LG_E_LIMIT;
    size_t need = 4 + key.len + value.len;
    if (*len > size || need > size - *len)
        return -LG_E_LIMIT;
    char *at = out + *len;
    write_u16le(at, key.len);
    if (key.len)
        memcpy(at + 2, key.ptr, key.len);
    at += 2 + key.len;
    write_u16le(at, value.len);
    if (value.len)
        memcpy(at + 2, value.ptr, value.len);
    *len += need;
    return 0;
}

/* ---- Echoes ------------------------------------------------------------------ */

static uint64_t digit(char c)
{
    return (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

uint64_t lg_legion_id(const char uuid[LG_LEGION_UUID_LEN])
{
    uint64_t half[2] = {0, 0};
    size_t digits = 0;
    for (size_t i = 0; i < LG_LEGION_UUID_LEN; i++)
        if (uuid[i] != '-') {
            half[digits / 16 & 1] = half[digits / 16 & 1] << 4 | digit(uuid[i]);
            digits++;
        }
    return half[0] ^ half[1];
}

int lg_legion_echo_put(char *out, size_t size, size_t *len, uint64_t id, uint64_t stamp_us)
{
    if (*len > size || size - *len < LG_LEGION_ECHO_SIZE)
        return -LG_E_LIMIT;
    lg_le_put_u64(out + *len, id);
    lg_le_put_u64(out + *len + 8, stamp_us);
    *len += LG_LEGION_ECHO_SIZE;
    return 0;
}

uint64_t lg_legion_echo_find(struct lg_slice echoes, uint64_t id, uint32_t *place)
{
    char wanted[8];
    lg_le_put_u64(wanted, id);
    size_t count = echoes.len / LG_LEGION_ECHO_SIZE, at = *place < count ? *place : 0;
    for (size_t i = 0; i < count; i++, at = at + 1 < count ? at + 1 : 0) {
        const char *echo = echoes.ptr + at * LG_LEGION_ECHO_SIZE;
        if (memcmp(echo, wanted, sizeof wanted) != 0)
            continue;
        *place = (uint32_t)at;
        return lg_le_get_u64(echo + 8);
    }
    return 0;
}

/* ---- Values ------------------------------------------------------------------ */

bool lg_legion_uuid_ok(struct lg_slice uuid)
{
    if (uuid.len != LG_LEGION_UUID_LEN)
        return false;
    for (size_t i = 0; i < uuid.len; i++) {
        char c = uuid.ptr[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (dash ? c != '-' : !digit)
            return false;
    }
    return true;
}

/* A vote: a uuid, or 36 NUL before the sender's first round. */
static bool vote_ok(struct lg_slice *uuid)
{
    static const char none[LG_LEGION_UUID_LEN];
    if (uuid->len == sizeof none && memcmp(uuid->ptr, none, sizeof none) == 0) {
        *uuid = (struct lg_slice){NULL, 0};
        return true;
    }
    return lg_legion_uuid_ok(*uuid);
}

static bool printable(struct lg_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return true;
}

static bool read_time(struct lg_slice text, int64_t *ret_s)
{
    uint64_t value;
    if (!lg_slice_u64(text, INT64_MAX, &value))
        return false;
    *ret_s = (int64_t)value;
    return true;
}

/* ---- Keys, in the order of the wire ------------------------------------------- */

enum key {
    KEY_LEGION,
    KEY_VALOR,
    KEY_UNIX,
    KEY_LORD,
    KEY_NAME,
    KEY_PID,
    KEY_UUID,
    KEY_CHECKSUM,
    KEY_LORD_VALOR,
    KEY_LORD_UUID,
    KEY_SCROLL,
    KEY_DEAD,
    KEY_STAMP, /* from here on: ours */
    KEY_PROMISE,
    KEY_QUORUM,
    KEY_STAND,
    KEY_REACH,
    KEY_TITLE,
    KEY_RELEASED,
    KEY_VOTED,
    KEY_ECHOES, /* not in answers */
    KEY_VOTE,   /* absent when there is none */
    KEY_COUNT,
    KEY_REQUIRED = KEY_SCROLL, /* all before it must be there */
};

static const struct lg_slice key_names[KEY_COUNT] = {
    [KEY_LEGION] = LG_SLICE("legion"),
    [KEY_VALOR] = LG_SLICE("valor"),
    [KEY_UNIX] = LG_SLICE("unix"),
    [KEY_LORD] = LG_SLICE("lord"),
    [KEY_NAME] = LG_SLICE("name"),
    [KEY_PID] = LG_SLICE("pid"),
    [KEY_UUID] = LG_SLICE("uuid"),
    [KEY_CHECKSUM] = LG_SLICE("checksum"),
    [KEY_LORD_VALOR] = LG_SLICE("lord_valor"),
    [KEY_LORD_UUID] = LG_SLICE("lord_uuid"),
    [KEY_SCROLL] = LG_SLICE("scroll"),
    [KEY_DEAD] = LG_SLICE("dead"),
    [KEY_STAMP] = LG_SLICE("stamp"),
    [KEY_PROMISE] = LG_SLICE("promise"),
    [KEY_QUORUM] = LG_SLICE("quorum"),
    [KEY_STAND] = LG_SLICE("stand"),
    [KEY_REACH] = LG_SLICE("reach"),
    [KEY_TITLE] = LG_SLICE("title"),
    [KEY_RELEASED] = LG_SLICE("released"),
    [KEY_VOTED] = LG_SLICE("voted"),
    [KEY_ECHOES] = LG_SLICE("echoes"),
    [KEY_VOTE] = LG_SLICE("vote"),
};

static enum key key_of(struct lg_slice name)
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (lg_slice_eq(name, key_names[key]))
            return (enum key)key;
    return KEY_COUNT;
}

static bool set_text(struct lg_legion_message *m, enum key key, struct lg_slice value)
{
    switch (key) {
    case KEY_LEGION:
        m->legion = value;
        return value.len > 0;
    case KEY_NAME:
        m->name = value;
        return value.len > 0 && value.len <= LG_LEGION_NAME_MAX && printable(value);
    case KEY_UUID:
        m->uuid = value;
        return lg_legion_uuid_ok(value);
    case KEY_LORD_UUID:
        m->lord_uuid = value;
        return vote_ok(&m->lord_uuid);
    case KEY_SCROLL:
        m->scroll = value;
        return true;
    default: /* KEY_DEAD: the number rows never come here */
        m->dead = lg_slice_eq(value, LG_SLICE("1"));
        return m->dead || lg_slice_eq(value, LG_SLICE("0"));
    }
}

static bool read_promise(struct lg_slice text, int64_t *ret_ms)
{
    uint64_t value;
    if (!lg_slice_u64(text, INT32_MAX, &value) || value == 0)
        return false;
    *ret_ms = (int64_t)value;
    return true;
}

/* "UUID EPOCH ECHO PROMISE" */
static bool read_vote(struct lg_slice text, struct lg_legion_ballot *ballot)
{
    struct lg_slice rest = text;
    ballot->vote_uuid = lg_slice_cut(rest, ' ', &rest);
    struct lg_slice epoch = lg_slice_cut(rest, ' ', &rest);
    struct lg_slice echo = lg_slice_cut(rest, ' ', &rest);
    return lg_legion_uuid_ok(ballot->vote_uuid) &&
           lg_slice_u64(epoch, LG_LEGION_EPOCH_MAX, &ballot->vote_epoch) &&
           lg_slice_u64(echo, INT64_MAX, &ballot->vote_echo_us) &&
           read_promise(rest, &ballot->vote_promise_ms);
}

static bool set_ballot(struct lg_legion_ballot *ballot, enum key key, struct lg_slice value)
{
    switch (key) {
    case KEY_STAMP:
        return lg_slice_u64(value, INT64_MAX, &ballot->stamp_us) && ballot->stamp_us > 0;
    case KEY_PROMISE:
        return read_promise(value, &ballot->promise_ms);
    case KEY_QUORUM:
        return lg_slice_u64(value, UINT64_MAX, &ballot->quorum);
    case KEY_STAND:
        return lg_slice_u64(value, LG_LEGION_EPOCH_MAX, &ballot->stand);
    case KEY_REACH:
        return lg_slice_u64(value, UINT64_MAX, &ballot->reach);
    case KEY_TITLE:
        return lg_slice_u64(value, LG_LEGION_EPOCH_MAX, &ballot->title);
    case KEY_RELEASED:
        return lg_slice_u64(value, INT64_MAX, &ballot->released_us);
    case KEY_VOTED:
        return lg_slice_u64(value, LG_LEGION_EPOCH_MAX, &ballot->voted);
    case KEY_ECHOES:
        ballot->echoes = value;
        return value.len % LG_LEGION_ECHO_SIZE == 0;
    default: /* KEY_VOTE */
        return read_vote(value, ballot);
    }
}

static bool set_value(struct lg_legion_message *m, enum key key, struct lg_slice value)
{
    if (key >= KEY_STAMP)
        return set_ballot(&m->ballot, key, value);
    switch (key) {
    case KEY_VALOR:
        return lg_slice_u64(value, UINT64_MAX, &m->valor);
    case KEY_UNIX:
        return read_time(value, &m->unix_s);
    case KEY_LORD:
        return read_time(value, &m->lord_s);
    case KEY_PID:
        return lg_slice_u64(value, UINT64_MAX, &m->pid);
    case KEY_CHECKSUM:
        return lg_slice_u64(value, UINT64_MAX, &m->checksum);
    case KEY_LORD_VALOR:
        return lg_slice_u64(value, UINT64_MAX, &m->lord_valor);
    default:
        return set_text(m, key, value);
    }
}

int lg_legion_decode(struct lg_slice cleartext, struct lg_legion_message *ret_message)
{
    struct lg_legion_message message = {.extra = cleartext};
    struct lg_slice rest = cleartext;
    struct lg_slice name, value;
    unsigned seen = 0;
    while (lg_legion_dict_next(&rest, &name, &value)) {
        enum key key = key_of(name);
        if (key == KEY_COUNT)
            continue;
        if (seen & 1U << key || !set_value(&message, key, value))
            return -LG_E_PROTO;
        seen |= 1U << key;
    }
    const unsigned required = (1U << KEY_REQUIRED) - 1;
    const unsigned ballot = (1U << KEY_ECHOES) - (1U << KEY_STAMP);
    if (rest.len || (seen & required) != required)
        return -LG_E_PROTO;
    if (seen >> KEY_STAMP && (seen & ballot) != ballot)
        return -LG_E_PROTO;
    *ret_message = message;
    return 0;
}

struct writer {
    char *out;
    size_t size;
    size_t len;
    int err;
};

static void put(struct writer *w, enum key key, struct lg_slice value)
{
    if (!w->err)
        w->err = lg_legion_dict_put(w->out, w->size, &w->len, key_names[key], value);
}

static void put_number(struct writer *w, enum key key, uint64_t number)
{
    char text[LG_DIGITS_MAX];
    put(w, key, lg_slice_from(text, lg_digits(text, number)));
}

static void put_ballot(struct writer *w, const struct lg_legion_ballot *ballot)
{
    put_number(w, KEY_STAMP, ballot->stamp_us);
    put_number(w, KEY_PROMISE, (uint64_t)ballot->promise_ms);
    put_number(w, KEY_QUORUM, ballot->quorum);
    put_number(w, KEY_STAND, ballot->stand);
    put_number(w, KEY_REACH, ballot->reach);
    put_number(w, KEY_TITLE, ballot->title);
    put_number(w, KEY_RELEASED, ballot->released_us);
    put_number(w, KEY_VOTED, ballot->voted);
    if (ballot->echoes.ptr)
        put(w, KEY_ECHOES, ballot->echoes);
    if (ballot->vote_uuid.len != LG_LEGION_UUID_LEN)
        return;
    char text[LG_LEGION_UUID_LEN + 64];
    int len = snprintf(text, sizeof text, "%.36s %llu %llu %llu", ballot->vote_uuid.ptr,
        (unsigned long long)ballot->vote_epoch, (unsigned long long)ballot->vote_echo_us,
        (unsigned long long)ballot->vote_promise_ms);
    put(w, KEY_VOTE, lg_slice_from(text, (size_t)len));
}

int lg_legion_encode(
    const struct lg_legion_message *message, char *out, size_t size, size_t *ret_len)
{
    static const char none[LG_LEGION_UUID_LEN];
    struct writer w = {.out = out, .size = size < LG_LEGION_DATA_MAX ? size : LG_LEGION_DATA_MAX};
    put(&w, KEY_LEGION, message->legion);
    put_number(&w, KEY_VALOR, message->valor);
    put_number(&w, KEY_UNIX, (uint64_t)message->unix_s);
    put_number(&w, KEY_LORD, (uint64_t)message->lord_s);
    put(&w, KEY_NAME, message->name);
    put_number(&w, KEY_PID, message->pid);
    put(&w, KEY_UUID, message->uuid);
    put_number(&w, KEY_CHECKSUM, message->checksum);
    put_number(&w, KEY_LORD_VALOR, message->lord_valor);
    put(&w, KEY_LORD_UUID,
        message->lord_uuid.len ? message->lord_uuid : lg_slice_from(none, sizeof none));
    if (message->scroll.len)
        put(&w, KEY_SCROLL, message->scroll);
    if (message->dead)
        put(&w, KEY_DEAD, LG_SLICE("1"));
    if (message->ballot.stamp_us)
        put_ballot(&w, &message->ballot);
    if (w.err)
        return w.err;
    if (message->extra.len > w.size - w.len)
        return -LG_E_LIMIT;
    if (message->extra.len)
        memcpy(out + w.len, message->extra.ptr, message->extra.len);
    *ret_len = w.len + message->extra.len;
    return 0;
}
