/* What children ask of the master: short messages, each an atomic datagram.
 *
 * The pair of sockets belongs to the shared memory, so that whoever has that
 * can call. Must not depend on server or cluster.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SHM_CALLS_H
#define LG_SHM_CALLS_H

#include "shm/shm.h"

#define LG_CALL_NAME_MAX  63   /* bytes of an alarm's name */
#define LG_CALL_TEXT_MAX  2048 /* bytes of its message */
#define LG_CALL_FROM_SIZE 160
#define LG_SIGNALS_MAX    256 /* signals are 0 to 255 */

enum lg_call_kind {
    LG_CALL_TITLE,  /* look at the titles again: one ends sooner than was published */
    LG_CALL_SIGNAL, /* `number` */
    LG_CALL_ALARM,  /* `name`, `text` */
    LG_CALL_COUNT
};

struct lg_call {
    enum lg_call_kind kind;
    uint8_t number;
    char from[LG_CALL_FROM_SIZE]; /* who, for people: "legion site, lord hooks" */
    char name[LG_CALL_NAME_MAX + 1];
    char text[LG_CALL_TEXT_MAX + 1]; /* last: only what is used is sent */
};

/* Any process: tells the master. Never blocks. 0; -LG_E_LIMIT when too many wait;
 * -LG_E_SYS when the master is gone. */
int lg_call_send(struct lg_shm *shm, const struct lg_call *call) LG_MUST_USE;
/* Child: lets go of the master's end, where calls are not its to take, and which
 * would hide that the master is gone. */
void lg_calls_leave(struct lg_shm *shm);
/* Master: readable when a call waits. */
int lg_call_fd(struct lg_shm *shm);
/* Master: takes one. False when none waits. */
bool lg_call_take(struct lg_shm *shm, struct lg_call *ret_call);

#endif
