/* What hooks write, into the log line by line. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hooks.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define READS_MAX 8 /* of one output per wake-up */

void lg_outputs_init(struct lg_outputs *outputs)
{
    *outputs = (struct lg_outputs){0};
    for (size_t i = 0; i < LG_OUTPUTS_MAX; i++)
        outputs->all[i].fd = -1;
}

static void log_line(const struct lg_output *output, const char *line, size_t len)
{
    while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
        len--;
    if (len)
        lg_log(LG_LOG_INFO, "legion", "%s (%s hook): %.*s", output->legion, output->phase, (int)len,
            line);
}

static void flush_lines(struct lg_output *output)
{
    size_t start = 0;
    for (size_t i = 0; i < output->len; i++)
        if (output->line[i] == '\n') {
            log_line(output, output->line + start, i - start);
            start = i + 1;
        }
    if (start == 0 && output->len == sizeof output->line) {
        log_line(output, output->line, output->len);
        start = output->len;
    }
    output->len -= start;
    memmove(output->line, output->line + start, output->len);
}

static void end_output(struct lg_outputs *outputs, struct lg_output *output)
{
    log_line(output, output->line, output->len);
    close(output->fd);
    output->fd = -1;
    output->len = 0;
    outputs->count--;
}

static void drain_one(struct lg_outputs *outputs, struct lg_output *output)
{
    for (int reads = 0; reads < READS_MAX; reads++) {
        ssize_t got =
            read(output->fd, output->line + output->len, sizeof output->line - output->len);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            end_output(outputs, output);
            return;
        }
        output->len += (size_t)got;
        flush_lines(output);
    }
}

/* What a hook left running may still write: its pipe stays open until it ends,
 * or until so many others have come that it is the oldest. */
int lg_outputs_add(struct lg_outputs *outputs, const char *legion, const char *phase)
{
    struct lg_output *output = NULL;
    for (size_t i = 0; i < LG_OUTPUTS_MAX && !output; i++) {
        struct lg_output *candidate = &outputs->all[(outputs->next + i) % LG_OUTPUTS_MAX];
        if (candidate->fd < 0)
            output = candidate;
    }
    if (!output) {
        output = &outputs->all[outputs->next];
        end_output(outputs, output);
    }
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    outputs->next = (size_t)(output - outputs->all + 1) % LG_OUTPUTS_MAX;
    outputs->count++;
    output->fd = fds[0];
    snprintf(output->legion, sizeof output->legion, "%s", legion);
    output->phase = phase;
    output->len = 0;
    return fds[1];
}

size_t lg_outputs_poll(const struct lg_outputs *outputs, struct pollfd *polls, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < LG_OUTPUTS_MAX && count < outputs->count && count < max; i++)
        if (outputs->all[i].fd >= 0)
            polls[count++] = (struct pollfd){.fd = outputs->all[i].fd, .events = POLLIN};
    return count;
}

void lg_outputs_drain(struct lg_outputs *outputs)
{
    for (size_t i = 0; i < LG_OUTPUTS_MAX && outputs->count; i++)
        if (outputs->all[i].fd >= 0)
            drain_one(outputs, &outputs->all[i]);
}

void lg_outputs_close(struct lg_outputs *outputs)
{
    lg_outputs_drain(outputs);
    for (size_t i = 0; i < LG_OUTPUTS_MAX; i++)
        if (outputs->all[i].fd >= 0)
            end_output(outputs, &outputs->all[i]);
}
