/* Log records: rendering and the datagram between child and master. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "log/line.h"
#include "base/utf8.h"

#include <stdio.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const char cut_mark[] = "... [cut]";

struct out {
    char *at;
};

static void put(struct out *out, const char *bytes, size_t len)
{
    memcpy(out->at, bytes, len);
    out->at += len;
}

static void put_text(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* Some readers take these for line ends or hide text with them: C1 controls,
 * U+2028 and U+2029, and the bidirectional overrides U+202A to U+202E. */
static bool is_hidden(const unsigned char *p, size_t n)
{
    if (n == 2)
        return p[0] == 0xC2 && p[1] < 0xA0;
    return n == 3 && p[0] == 0xE2 && p[1] == 0x80 && p[2] >= 0xA8 && p[2] <= 0xAE;
}

static void put_escape(struct out *out, unsigned char c, enum lg_log_format format)
{
    char text[8];
    if (c == '\n' || c == '\t' || c == '\r') {
        text[0] = '\\';
        text[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        put(out, text, 2);
        return;
    }
    /* JSON has no escape for a byte: what is no character reads as U+00NN. */
    snprintf(text, sizeof text, format == LG_LOG_JSON ? "\\u%04x" : "\\x%02x", c);
    put_text(out, text);
}

static void put_safe(struct out *out, struct lg_slice s, enum lg_log_format format)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t i = 0;
    while (i < s.len) {
        size_t n = lg_utf8_len(lg_slice_from(p + i, s.len - i));
        bool control = p[i] < 0x20 || p[i] == 0x7F || n == 0;
        if (control || is_hidden(p + i, n)) {
            put_escape(out, p[i], format);
            i++;
            continue;
        }
        if (format == LG_LOG_JSON && (p[i] == '"' || p[i] == '\\'))
            put(out, "\\", 1);
        put(out, s.ptr + i, n);
        i += n;
    }
}

static void put_message(
    struct out *out, const struct lg_log_record *record, enum lg_log_format format)
{
    put_safe(out, record->text, format);
    if (record->cut)
        put_text(out, cut_mark);
}

static void put_time(struct out *out, int64_t time_us, enum lg_log_format format)
{
    time_t seconds = (time_t)(time_us / 1000000);
    unsigned ms = (unsigned)(time_us / 1000 % 1000);
    struct tm tm = {0};
    char text[64];
    bool json = format == LG_LOG_JSON;
    if (json)
        gmtime_r(&seconds, &tm);
    else
        localtime_r(&seconds, &tm);
    size_t len = strftime(text, sizeof text, json ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
    put(out, text, len);
    snprintf(text, sizeof text, json ? ".%03uZ" : ".%03u", ms);
    put_text(out, text);
}

static size_t render_human(const struct lg_log_record *record, char *line)
{
    struct out out = {line};
    put_time(&out, record->time_us, LG_LOG_HUMAN);
    put_text(&out, " ");
    put_safe(&out, record->process, LG_LOG_HUMAN);
    if (record->level <= LG_LOG_WARN) {
        put_text(&out, " ");
        put_text(&out, level_names[record->level]);
    }
    put_text(&out, " [");
    put_safe(&out, record->room, LG_LOG_HUMAN);
    put_text(&out, "] ");
    put_message(&out, record, LG_LOG_HUMAN);
    put_text(&out, "\n");
    return (size_t)(out.at - line);
}

static size_t render_json(const struct lg_log_record *record, char *line)
{
    struct out out = {line};
    put_text(&out, "{\"time\":\"");
    put_time(&out, record->time_us, LG_LOG_JSON);
    put_text(&out, "\",\"level\":\"");
    put_text(&out, level_names[record->level]);
    put_text(&out, "\",\"process\":\"");
    put_safe(&out, record->process, LG_LOG_JSON);
    put_text(&out, "\",\"room\":\"");
    put_safe(&out, record->room, LG_LOG_JSON);
    put_text(&out, "\",\"message\":\"");
    put_message(&out, record, LG_LOG_JSON);
    put_text(&out, "\"}\n");
    return (size_t)(out.at - line);
}

size_t lg_log_line_render(const struct lg_log_record *record, enum lg_log_format format, char *out)
{
    return format == LG_LOG_JSON ? render_json(record, out) : render_human(record, out);
}

struct frame {
    int64_t time_us;
    uint16_t text_len;
    uint8_t process_len;
    uint8_t room_len;
    uint8_t level;
    uint8_t cut;
    uint8_t unused[2];
};

_Static_assert(sizeof(struct frame) == 16, "LG_LOG_PACKET_MAX counts on it");

static size_t at_most(size_t len, size_t max)
{
    return len < max ? len : max;
}

size_t lg_log_line_pack(const struct lg_log_record *record, char *packet)
{
    struct frame frame = {
        .time_us = record->time_us,
        .text_len = (uint16_t)at_most(record->text.len, LG_LOG_TEXT_MAX),
        .process_len = (uint8_t)at_most(record->process.len, LG_LOG_NAME_MAX),
        .room_len = (uint8_t)at_most(record->room.len, LG_LOG_NAME_MAX),
        .level = (uint8_t)record->level,
        .cut = record->cut || record->text.len > LG_LOG_TEXT_MAX,
    };
    struct out out = {packet};
    put(&out, (const char *)&frame, sizeof frame);
    put(&out, record->process.ptr, frame.process_len);
    put(&out, record->room.ptr, frame.room_len);
    put(&out, record->text.ptr, frame.text_len);
    return (size_t)(out.at - packet);
}

int lg_log_line_unpack(const char *bytes, size_t len, struct lg_log_record *ret_record)
{
    struct frame frame;
    if (len < sizeof frame)
        return -LG_E_PROTO;
    memcpy(&frame, bytes, sizeof frame);
    size_t total = sizeof frame + frame.process_len + frame.room_len + frame.text_len;
    bool too_long = frame.text_len > LG_LOG_TEXT_MAX || frame.process_len > LG_LOG_NAME_MAX ||
                    frame.room_len > LG_LOG_NAME_MAX;
    if (len != total || too_long || frame.level > LG_LOG_DEBUG || frame.time_us < 0)
        return -LG_E_PROTO;
    const char *process = bytes + sizeof frame;
    const char *room = process + frame.process_len;
    *ret_record = (struct lg_log_record){
        .time_us = frame.time_us,
        .level = (enum lg_level)frame.level,
        .process = lg_slice_from(process, frame.process_len),
        .room = lg_slice_from(room, frame.room_len),
        .text = lg_slice_from(room + frame.room_len, frame.text_len),
        .cut = frame.cut != 0,
    };
    return 0;
}
