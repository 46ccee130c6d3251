/* One log record and its two renderings: human text and JSON. Pure: bytes in,
 * bytes out. Must not depend on the sink.
 *
 * Whatever a record holds, its rendering is one line of valid UTF-8: control
 * characters and broken UTF-8 are escaped, so no request can forge a line.
 * Private to the room.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_LOG_LINE_H
#define LG_LOG_LINE_H

#include "base/slice.h"
#include "log/log.h"

#define LG_LOG_TEXT_MAX ((size_t)8192) /* bytes of a message; more is cut and marked */
#define LG_LOG_NAME_MAX ((size_t)63)   /* bytes of a process or room name */
/* A byte grows to 6 at most (\u00NN); the rest is the frame around it. */
#define LG_LOG_LINE_MAX (6 * (LG_LOG_TEXT_MAX + 2 * LG_LOG_NAME_MAX) + 512)

struct lg_log_record {
    int64_t time_us; /* Unix time */
    enum lg_level level;
    struct lg_slice process;
    struct lg_slice room;
    struct lg_slice text;
    bool cut; /* the text was longer */
};

/* Renders with the newline, at most LG_LOG_LINE_MAX bytes into `out`. Returns
 * the length. */
size_t lg_log_line_render(const struct lg_log_record *record, enum lg_log_format format, char *out);

/* The datagram between child and master. Packs at most LG_LOG_PACKET_MAX bytes,
 * cutting what is longer; returns the length. */
#define LG_LOG_PACKET_MAX (16 + 2 * LG_LOG_NAME_MAX + LG_LOG_TEXT_MAX)
size_t lg_log_line_pack(const struct lg_log_record *record, char *out);
/* Slices point into `bytes`. -LG_E_PROTO when malformed. */
int lg_log_line_unpack(const char *bytes, size_t len, struct lg_log_record *ret_record) LG_MUST_USE;

#endif
