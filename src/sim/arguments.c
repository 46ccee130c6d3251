/* The arguments of legion-sim. Pure; depends on base and legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/arguments.h"

#include <stdio.h>
#include <stdlib.h>

#define S ((int64_t)1000000) /* us */

/* ---- Reading ------------------------------------------------------------------------ */

/* "1.5s" and a rest that begins with one of `ends` or is empty. */
static bool read_time(struct lg_slice *text, int64_t *ret_us)
{
    static const struct {
        struct lg_slice unit;
        int64_t us;
    } units[] = {{LG_SLICE("ms"), 1000}, {LG_SLICE("s"), S}, {LG_SLICE("m"), 60 * S},
        {LG_SLICE("h"), 3600 * S}};
    uint64_t whole = 0, part = 0, tenths = 1;
    size_t at = 0;
    for (; at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9' && at < 9; at++)
        whole = whole * 10 + (uint64_t)(text->ptr[at] - '0');
    if (at == 0)
        return false;
    if (at < text->len && text->ptr[at] == '.')
        for (at++;
             at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9' && tenths < 1000000;
             at++) {
            part = part * 10 + (uint64_t)(text->ptr[at] - '0');
            tenths *= 10;
        }
    *text = lg_slice_from(text->ptr + at, text->len - at);
    int64_t unit_us = S;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (lg_slice_starts(*text, units[i].unit)) {
            unit_us = units[i].us;
            *text = lg_slice_from(text->ptr + units[i].unit.len, text->len - units[i].unit.len);
            break;
        }
    *ret_us = (int64_t)whole * unit_us + (int64_t)(part * (uint64_t)unit_us / tenths);
    return true;
}

static bool only_time(struct lg_slice text, int64_t *ret_us)
{
    return read_time(&text, ret_us) && text.len == 0;
}

/* "@TIME" or "@TIME+TIME"; *ret_until_us is 0 without the second. */
static bool read_when(struct lg_slice text, int64_t *ret_at_us, int64_t *ret_until_us)
{
    int64_t for_us = 0;
    if (text.len == 0 || !read_time(&text, ret_at_us))
        return false;
    *ret_until_us = 0;
    if (text.len == 0)
        return true;
    if (text.ptr[0] != '+' || !only_time(lg_slice_from(text.ptr + 1, text.len - 1), &for_us))
        return false;
    *ret_until_us = *ret_at_us + for_us;
    return true;
}

static bool read_node(struct lg_sim_command *command, struct lg_slice text, unsigned *ret_node)
{
    uint64_t number;
    if (!lg_slice_u64(text, LG_SIM_COMMAND_NODES_MAX, &number) || number == 0)
        return false;
    *ret_node = (unsigned)number - 1;
    if (number > command->highest)
        command->highest = (unsigned)number;
    return true;
}

bool lg_sim_command_add(struct lg_sim_command *command, struct lg_sim_fault fault)
{
    if (command->fault_count == LG_SIM_FAULTS_MAX)
        return false;
    size_t at = command->fault_count++;
    for (; at > 0 && command->faults[at - 1].at_us > fault.at_us; at--)
        command->faults[at] = command->faults[at - 1];
    command->faults[at] = fault;
    return true;
}

static bool add_link(
    struct lg_sim_command *command, unsigned a, unsigned b, int64_t at_us, int64_t until_us)
{
    return lg_sim_command_add(command, (struct lg_sim_fault){at_us, LG_SIM_CUT, a, b, 0}) &&
           lg_sim_command_add(command, (struct lg_sim_fault){at_us, LG_SIM_CUT, b, a, 0}) &&
           (!until_us || (lg_sim_command_add(
                              command, (struct lg_sim_fault){until_us, LG_SIM_JOIN, a, b, 0}) &&
                             lg_sim_command_add(
                                 command, (struct lg_sim_fault){until_us, LG_SIM_JOIN, b, a, 0})));
}

static bool take_cut(struct lg_sim_command *command, struct lg_slice value)
{
    struct lg_slice when, b;
    struct lg_slice a = lg_slice_cut(lg_slice_cut(value, '@', &when), '-', &b);
    unsigned first, second;
    int64_t at_us, until_us;
    return read_node(command, a, &first) && read_node(command, b, &second) &&
           read_when(when, &at_us, &until_us) && add_link(command, first, second, at_us, until_us);
}

static bool take_partition(struct lg_sim_command *command, struct lg_slice value)
{
    struct lg_slice when, names = lg_slice_cut(value, '@', &when);
    int64_t at_us, until_us;
    if (command->side_count == LG_SIM_SIDES_MAX || !read_when(when, &at_us, &until_us))
        return false;
    unsigned number = (unsigned)command->side_count++;
    struct lg_sim_side *side = &command->sides[number];
    while (names.len) {
        if (side->count == LG_SIM_SIDE_NODES_MAX ||
            !read_node(command, lg_slice_cut(names, ',', &names), &side->nodes[side->count]))
            return false;
        side->count++;
    }
    return side->count &&
           lg_sim_command_add(command, (struct lg_sim_fault){at_us, LG_SIM_PART, number, 0, 0}) &&
           (!until_us || lg_sim_command_add(
                             command, (struct lg_sim_fault){until_us, LG_SIM_HEAL, number, 0, 0}));
}

static bool take_grow(struct lg_sim_command *command, struct lg_slice value, bool unprepared)
{
    struct lg_slice when, text = lg_slice_cut(value, '@', &when);
    uint64_t count;
    if (command->grow || !lg_slice_u64(text, LG_SIM_COMMAND_NODES_MAX, &count) ||
        !only_time(when, &command->grow_us))
        return false;
    command->grow = (unsigned)count;
    command->unprepared = unprepared;
    return count > 0;
}

/* kill, crash, stop: started again at the end; pause, freeze, resign: for so long. */
static bool take_node_fault(
    struct lg_sim_command *command, enum lg_sim_fault_kind kind, struct lg_slice value)
{
    struct lg_slice when, name = lg_slice_cut(value, '@', &when);
    struct lg_sim_fault fault = {.kind = kind};
    int64_t until_us;
    if (!read_node(command, name, &fault.a) || !read_when(when, &fault.at_us, &until_us))
        return false;
    int64_t for_us = until_us ? until_us - fault.at_us : 0;
    if ((kind == LG_SIM_PAUSE || kind == LG_SIM_FREEZE) && !for_us)
        return false;
    fault.value = kind == LG_SIM_RESIGN ? for_us / 1000 : for_us;
    bool back = until_us && (kind == LG_SIM_KILL || kind == LG_SIM_CRASH || kind == LG_SIM_STOP);
    return lg_sim_command_add(command, fault) &&
           (!back || lg_sim_command_add(
                         command, (struct lg_sim_fault){until_us, LG_SIM_START, fault.a, 0, 0}));
}

static bool take_loss(struct lg_sim_command *command, struct lg_slice value)
{
    uint64_t percent;
    if (value.len && value.ptr[value.len - 1] == '%')
        value.len--;
    if (!lg_slice_u64(value, 100, &percent))
        return false;
    command->loss_permille = (unsigned)percent * 10;
    return true;
}

static bool take_option(struct lg_sim_command *command, const char *name, struct lg_slice value)
{
    static const struct {
        const char *name;
        enum lg_sim_fault_kind kind;
    } faults[] = {{"kill", LG_SIM_KILL}, {"crash", LG_SIM_CRASH}, {"stop", LG_SIM_STOP},
        {"pause", LG_SIM_PAUSE}, {"freeze", LG_SIM_FREEZE}, {"resign", LG_SIM_RESIGN}};
    uint64_t number = 0;
    int64_t us = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (strcmp(name, faults[i].name) == 0)
            return take_node_fault(command, faults[i].kind, value);
    if (strcmp(name, "cut") == 0)
        return take_cut(command, value);
    if (strcmp(name, "partition") == 0)
        return take_partition(command, value);
    if (strcmp(name, "grow") == 0 || strcmp(name, "grow-unprepared") == 0)
        return take_grow(command, value, name[4] != '\0');
    if (strcmp(name, "loss") == 0)
        return take_loss(command, value);
    if (strcmp(name, "seed") == 0)
        return lg_slice_u64(value, UINT64_MAX, &command->seed);
    if (strcmp(name, "nodes") == 0) {
        bool good = lg_slice_u64(value, LG_SIM_COMMAND_NODES_MAX, &number) && number > 0;
        command->nodes = (unsigned)number;
        return good;
    }
    if (!only_time(value, &us))
        return false;
    if (strcmp(name, "for") == 0)
        command->for_us = us;
    else if (strcmp(name, "latency") == 0)
        command->latency_us = us;
    else if (strcmp(name, "hooks") == 0)
        command->hooks_ms = us / 1000;
    else
        return false;
    return true;
}

static int read_arguments(
    struct lg_sim_command *command, int argc, const char *const *argv, char *ret_error)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            command->json = true;
        } else if (strcmp(argv[i], "--brief") == 0) {
            command->brief = true;
        } else if (strcmp(argv[i], "--replay") == 0) {
            command->replay = true;
        } else if (strncmp(argv[i], "--", 2) != 0) {
            if (command->file_count == LG_SIM_FILES_MAX)
                return -LG_E_INVALID;
            command->files[command->file_count++] = argv[i];
        } else if (i + 1 == argc || !take_option(command, argv[i] + 2, lg_slice_of(argv[i + 1]))) {
            snprintf(ret_error, LG_SIM_ERROR_SIZE, "legion-sim: %s%s%s: not understood, see --help",
                argv[i], i + 1 == argc ? "" : " ", i + 1 == argc ? "" : argv[i + 1]);
            return -LG_E_INVALID;
        } else {
            i++;
        }
    }
    return 0;
}

int lg_sim_command_new(int argc, const char *const *argv, struct lg_sim_command **ret_command,
    char ret_error[LG_SIM_ERROR_SIZE])
{
    struct lg_sim_command *command = calloc(1, sizeof *command);
    if (!command)
        return -LG_E_NOMEM;
    command->for_us = 3600 * S;
    command->latency_us = 1000;
    command->hooks_ms = 100;
    command->seed = 1;
    ret_error[0] = '\0';
    int err = read_arguments(command, argc, argv, ret_error);
    if (err) {
        lg_sim_command_free(command);
        return err;
    }
    *ret_command = command;
    return 0;
}

void lg_sim_command_free(struct lg_sim_command *command)
{
    if (!command)
        return;
    free(command->names);
    free(command->side_rows);
    free(command);
}

const char *const *lg_sim_command_files(const struct lg_sim_command *command, size_t *ret_count)
{
    *ret_count = command->file_count;
    return command->files;
}

bool lg_sim_command_is_json(const struct lg_sim_command *command)
{
    return command->json;
}

bool lg_sim_command_replays(const struct lg_sim_command *command)
{
    return command->replay;
}
