/* An exchange: one request, the handler that has it, and its answer.
 *
 * Owner: the loop, but for the time between lg_pool_submit and the job's return
 * to the loop, when the handler's thread owns request and response. References
 * are counted because the client, the handler, queued bytes and a plugin's
 * callbacks end in any order; the last one brings it back to the loop.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SERVER_EXCHANGE_H
#define LG_SERVER_EXCHANGE_H

#include "base/buf.h"
#include "request/request.h"
#include "server/loop.h"

enum lg_answer_kind { LG_ANSWER_NONE, LG_ANSWER_BYTES, LG_ANSWER_SOURCE, LG_ANSWER_PUSH };

struct lg_exchange {
    struct lg_request request; /* first: plugins hold a pointer to it */
    struct lg_response response;
    struct lg_worker *worker;
    struct lg_conn *conn; /* loop only; NULL once the client is gone or was told otherwise */
    struct lg_exchange *next_spare;
    atomic_uint refs;
    bool timer_ready; /* the handle below was initialised once and lives on */
    uv_timer_t timer; /* the handler's deadline */

    const struct lg_handler *handler;
    void *handler_state;
    struct lg_job job;
    struct lg_post returned; /* job's way back */
    struct lg_post recycled; /* last reference's way back */
    struct lg_lane *lane;
    unsigned timeout_ms;
    int timeout_status;
    void *data;
    void (*unpark)(struct lg_request *request); /* parked: what to call without resuming */
    uint64_t begun_us;                          /* monotonic: when the head was complete */
    struct lg_slice method, uri;                /* for the log; in the request's arena */

    /* The answer, as the owner chose it. */
    enum lg_answer_kind kind;
    unsigned retry_after_s;
    int64_t length; /* of the body; -1 = not known */
    const void *bytes;
    bool is_mapped;
    struct lg_mapped mapped; /* the file that holds them too */
    void (*release)(void *arg);
    void *release_arg;
    const struct lg_source *source;
    void *source_context;

    /* Its way out; loop only. */
    bool answering; /* the head is on its way */
    bool chunked;
    bool keep_alive; /* as the head said */
    bool awaiting;   /* the source owes bytes for its last credit */
    bool pumping;    /* inside source->pull */
    bool ended;      /* nothing more will come */
    int status_sent;
    int64_t sent; /* body bytes handed to the connection */

    /* Shared with the handler's thread; under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool gone;           /* the client is; for push and body */
    size_t push_pending; /* bytes pushed and not yet written */
    struct lg_buf body;  /* request body not yet read */
    bool body_ended;
    bool body_asked;          /* the post below is on its way */
    struct lg_post body_post; /* to the loop: read on */
};

/* How many bytes of an answer may be on their way at once. */
#define LG_CREDIT ((size_t)1 << 20)
/* How much of a request body waits for its handler. */
#define LG_BODY_WINDOW ((size_t)65536)

static inline struct lg_exchange *lg_exchange_of(struct lg_request *request)
{
    return (struct lg_exchange *)request;
}

/* A fresh one with one reference; NULL when memory is out. */
struct lg_exchange *lg_exchange_new(struct lg_worker *worker);
void lg_exchange_ref(struct lg_exchange *exchange);
void lg_exchange_unref(void *exchange); /* any thread */

/* The request's head is complete: finds the handler and lets it work. Answers
 * through the connection at once or later. */
void lg_exchange_dispatch(struct lg_exchange *exchange);
/* The client is gone: whatever the handler still does is dropped. */
void lg_exchange_orphan(struct lg_exchange *exchange);
/* The connection has room again. */
void lg_exchange_drained(struct lg_exchange *exchange);
/* Bytes of the request body, or its end (len 0). False when memory is out. */
bool lg_exchange_body(struct lg_exchange *exchange, const char *bytes, size_t len);
/* There is none; before it is dispatched, while nobody else knows it. */
void lg_exchange_no_body(struct lg_exchange *exchange);
/* True while the handler has enough of the body to chew on. */
bool lg_exchange_body_full(struct lg_exchange *exchange);
/* Sends what the response now holds. Used for refusals as well. */
void lg_exchange_answer(struct lg_exchange *exchange);

#endif
