/* The wire of a legion: the outer header and the cleartext dictionary.
 *
 *   datagram   u8 109 | u16le length of the cleartext | u8 0 | sealed bytes
 *   cleartext  repeated: u16le keylen | key | u16le vallen | value
 *
 * Numbers travel as decimal text. Keys this file does not know are skipped, so
 * that extensions can share the wire; lg_legion_dict_find reaches them. Pure:
 * no system call, no allocation; sealing is the cluster room's work. Any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LEGION_CODEC_H
#define LG_LEGION_CODEC_H

#include "base/err.h"
#include "base/slice.h"

#define LG_LEGION_HEAD_SIZE  4     /* bytes of the outer header */
#define LG_LEGION_DATA_MAX   65000 /* bytes of cleartext we send or accept */
#define LG_LEGION_UUID_LEN   36
#define LG_LEGION_NAME_MAX   255  /* bytes of a node's name */
#define LG_LEGION_SCROLL_MAX 4096 /* bytes of a scroll */
#define LG_LEGION_ECHO_SIZE  16   /* bytes of an echo: u64le id, u64le stamp */
#define LG_LEGION_ECHOES_MAX 3500 /* of a message: the rest are in the next ones */
#define LG_LEGION_EPOCH_MAX  ((uint64_t)1 << 62)

/* The keys of Legatus: docs/legion-protocol.md says what each one means. All
 * stamps are microseconds of their maker's clock. */
struct lg_legion_ballot {
    uint64_t stamp_us;  /* 0 = the message has none of these keys */
    int64_t promise_ms; /* 1 to INT32_MAX */
    uint64_t quorum;
    uint64_t stand;            /* epoch; 0 = does not stand */
    uint64_t reach;            /* nodes */
    uint64_t title;            /* epoch; 0 = holds none */
    uint64_t released_us;      /* 0 = never */
    uint64_t voted;            /* epoch; 0 = never */
    struct lg_slice vote_uuid; /* empty = no promise binds the sender */
    uint64_t vote_epoch, vote_echo_us;
    int64_t vote_promise_ms;
    struct lg_slice echoes; /* LG_LEGION_ECHO_SIZE bytes each; a NULL ptr: not said */
};

/* What one node announces. Slices point into memory of the sender of the
 * struct: the datagram on receipt, the legion on sending. */
struct lg_legion_message {
    struct lg_slice legion;    /* name of the legion */
    uint64_t valor;            /* 0 = arbiter */
    int64_t unix_s;            /* sender's wall clock */
    int64_t lord_s;            /* since when the sender holds the title, Unix time; 0 = not */
    struct lg_slice name;      /* host name, printable ASCII, never empty */
    uint64_t pid;              /* sender's process */
    struct lg_slice uuid;      /* 36 characters, fresh at every start */
    uint64_t checksum;         /* of the members the sender sees */
    uint64_t lord_valor;       /* the sender's vote */
    struct lg_slice lord_uuid; /* its uuid; empty before the sender's first round */
    struct lg_slice scroll;    /* empty = none */
    bool dead;                 /* the sender leaves */
    struct lg_legion_ballot ballot;
    struct lg_slice extra; /* encoded dictionary items sent after ours; on receipt
                              the whole cleartext, for lg_legion_dict_find */
};

/* The header of a datagram whose cleartext is `cleartext_len` bytes long. */
void lg_legion_head_encode(uint16_t cleartext_len, unsigned char ret_head[LG_LEGION_HEAD_SIZE]);
/* Splits a datagram. 0; -LG_E_PROTO when it is too short, is not ours, or its
 * sealed bytes cannot hold the cleartext it promises. */
int lg_legion_head_decode(
    struct lg_slice datagram, uint16_t *ret_cleartext_len, struct lg_slice *ret_sealed) LG_MUST_USE;

/* Writes the cleartext into `out`. 0 with *ret_len, or -LG_E_LIMIT. */
int lg_legion_encode(
    const struct lg_legion_message *message, char *out, size_t size, size_t *ret_len) LG_MUST_USE;
/* Reads a cleartext; *ret_message points into it. 0, or -LG_E_PROTO when it is
 * malformed, or lacks or repeats a key, or a value is not what the key allows. */
int lg_legion_decode(struct lg_slice cleartext, struct lg_legion_message *ret_message) LG_MUST_USE;

/* Dictionary items, for extensions. next: takes the first item off *rest;
 * false at its end or when it is malformed (then rest->len is not 0). */
bool lg_legion_dict_next(
    struct lg_slice *rest, struct lg_slice *ret_key, struct lg_slice *ret_value);
bool lg_legion_dict_find(struct lg_slice dict, struct lg_slice key, struct lg_slice *ret_value);
/* Appends an item at *len of `out`. 0, or -LG_E_LIMIT. */
int lg_legion_dict_put(
    char *out, size_t size, size_t *len, struct lg_slice key, struct lg_slice value) LG_MUST_USE;

/* 8-4-4-4-12 hexadecimal digits. */
bool lg_legion_uuid_ok(struct lg_slice uuid);
/* The 8-byte id of a uuid that is ok, for echoes. */
uint64_t lg_legion_id(const char uuid[LG_LEGION_UUID_LEN]);

/* Appends an echo to `out` at *len. 0, or -LG_E_LIMIT. */
int lg_legion_echo_put(
    char *out, size_t size, size_t *len, uint64_t id, uint64_t stamp_us) LG_MUST_USE;
/* The stamp `echoes` has for `id`; 0 when there is none. Looks at *place (from 0)
 * first, and leaves there where it was found. */
uint64_t lg_legion_echo_find(struct lg_slice echoes, uint64_t id, uint32_t *place);

#endif
