/* legion-sim: arguments to faults, the story to lines. Pure; depends on base and
 * legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/command.h"

#include <stdio.h>
#include <stdlib.h>

#define FAULTS_MAX 512
#define NODES_MAX  64                 /* a partition is a set of bits */
#define S          ((int64_t)1000000) /* us */

struct lg_sim_command {
    const char *files[LG_SIM_FILES_MAX];
    size_t file_count;
    unsigned nodes; /* 0 = as many as files */
    int64_t for_us, latency_us, hooks_ms;
    uint64_t seed;
    unsigned loss_permille;
    bool json;
    struct lg_sim_fault faults[FAULTS_MAX];
    size_t fault_count;
    struct {
        uint64_t side;
        int64_t at_us, until_us; /* 0 = for good */
    } partitions[32];
    size_t partition_count;
    unsigned highest; /* node that was named */

    void (*print)(void *arg, const char *line);
    void *arg;
    char (*names)[LG_LEGION_NAME_MAX + 1];
};

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
    if (!lg_slice_u64(text, NODES_MAX, &number) || number == 0)
        return false;
    *ret_node = (unsigned)number - 1;
    if (number > command->highest)
        command->highest = (unsigned)number;
    return true;
}

static bool add(struct lg_sim_command *command, struct lg_sim_fault fault)
{
    if (command->fault_count == FAULTS_MAX)
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
    return add(command, (struct lg_sim_fault){at_us, LG_SIM_CUT, a, b, 0}) &&
           add(command, (struct lg_sim_fault){at_us, LG_SIM_CUT, b, a, 0}) &&
           (!until_us || (add(command, (struct lg_sim_fault){until_us, LG_SIM_JOIN, a, b, 0}) &&
                             add(command, (struct lg_sim_fault){until_us, LG_SIM_JOIN, b, a, 0})));
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
    size_t at = command->partition_count;
    if (at == sizeof command->partitions / sizeof *command->partitions)
        return false;
    while (names.len) {
        unsigned node;
        if (!read_node(command, lg_slice_cut(names, ',', &names), &node))
            return false;
        command->partitions[at].side |= (uint64_t)1 << node;
    }
    command->partition_count++;
    return command->partitions[at].side &&
           read_when(when, &command->partitions[at].at_us, &command->partitions[at].until_us);
}

/* kill, stop: started again at the end; pause, resign: for so long. */
static bool take_node_fault(
    struct lg_sim_command *command, enum lg_sim_fault_kind kind, struct lg_slice value)
{
    struct lg_slice when, name = lg_slice_cut(value, '@', &when);
    struct lg_sim_fault fault = {.kind = kind};
    int64_t until_us;
    if (!read_node(command, name, &fault.a) || !read_when(when, &fault.at_us, &until_us))
        return false;
    int64_t for_us = until_us ? until_us - fault.at_us : 0;
    if (kind == LG_SIM_PAUSE && !for_us)
        return false;
    fault.value = kind == LG_SIM_RESIGN ? for_us / 1000 : for_us;
    bool back = until_us && (kind == LG_SIM_KILL || kind == LG_SIM_STOP);
    return add(command, fault) &&
           (!back || add(command, (struct lg_sim_fault){until_us, LG_SIM_START, fault.a, 0, 0}));
}

static bool take_number(struct lg_slice value, uint64_t max, uint64_t *ret_number)
{
    return lg_slice_u64(value, max, ret_number);
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
    } faults[] = {{"kill", LG_SIM_KILL}, {"stop", LG_SIM_STOP}, {"pause", LG_SIM_PAUSE},
        {"resign", LG_SIM_RESIGN}};
    uint64_t number = 0;
    int64_t us = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (strcmp(name, faults[i].name) == 0)
            return take_node_fault(command, faults[i].kind, value);
    if (strcmp(name, "cut") == 0)
        return take_cut(command, value);
    if (strcmp(name, "partition") == 0)
        return take_partition(command, value);
    if (strcmp(name, "loss") == 0)
        return take_loss(command, value);
    if (strcmp(name, "seed") == 0)
        return take_number(value, UINT64_MAX, &command->seed);
    if (strcmp(name, "nodes") == 0) {
        bool good = take_number(value, NODES_MAX, &number) && number > 0;
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
        } else if (strncmp(argv[i], "--", 2) != 0) {
            if (command->file_count == LG_SIM_FILES_MAX)
                return -LG_E_INVALID;
            command->files[command->file_count++] = argv[i];
        } else if (i + 1 == argc || !take_option(command, argv[i] + 2, lg_slice_of(argv[i + 1]))) {
            snprintf(ret_error, LG_SIM_ERROR_SIZE, "legion-sim: %s %s: not understood", argv[i],
                i + 1 == argc ? "" : argv[i + 1]);
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
    free(command);
}

const char *const *lg_sim_command_files(const struct lg_sim_command *command, size_t *ret_count)
{
    *ret_count = command->file_count;
    return command->files;
}

/* ---- Telling -------------------------------------------------------------------------- */

static void escape(const char *text, char *out, size_t size)
{
    size_t len = 0;
    for (; *text && len + 7 < size; text++) {
        if (*text == '"' || *text == '\\')
            out[len++] = '\\';
        if ((unsigned char)*text >= ' ')
            out[len++] = *text;
    }
    out[len] = '\0';
}

static void tell(void *arg, const struct lg_sim_line *line)
{
    struct lg_sim_command *command = arg;
    char out[2048], text[1536];
    const char *name = line->node < 0 ? "-" : command->names[line->node];
    double at_s = (double)line->at_us / (double)S;
    if (command->json) {
        escape(line->text, text, sizeof text);
        snprintf(out, sizeof out, "{\"at\":%.6f,\"node\":%d,\"name\":\"%s\",\"what\":\"%s\"}", at_s,
            line->node + 1, name, text);
    } else {
        snprintf(out, sizeof out, "%12.3f  %-10s %s", at_s, name, line->text);
    }
    command->print(command->arg, out);
}

static bool judge(struct lg_sim_command *command, const struct lg_sim_verdict *verdict)
{
    char out[512];
    double all_s = (double)command->for_us / (double)S;
    double lord_s = (double)verdict->lord_us / (double)S;
    double without_s = (double)verdict->longest_lordless_us / (double)S;
    bool kept = !verdict->two_lords && !verdict->epochs_twice && !verdict->epochs_back;
    if (command->json)
        snprintf(out, sizeof out,
            "{\"kept\":%s,\"seconds\":%.3f,\"with_a_lord\":%.3f,\"longest_without\":%.3f,"
            "\"titles\":%llu,\"two_lords\":%llu,\"first_two_lords_at\":%.6f,\"messages\":%llu}",
            kept ? "true" : "false", all_s, lord_s, without_s, (unsigned long long)verdict->titles,
            (unsigned long long)verdict->two_lords,
            verdict->two_lords ? (double)verdict->two_lords_at_us / (double)S : 0.0,
            (unsigned long long)verdict->messages);
    else if (kept)
        snprintf(out, sizeof out,
            "never two Lords; a Lord for %.1f %% of %.0f s, %llu titles, the longest time without "
            "one %.3f s",
            100 * lord_s / all_s, all_s, (unsigned long long)verdict->titles, without_s);
    else
        snprintf(out, sizeof out, "TWO LORDS, first at %.3f s; %llu titles",
            (double)verdict->two_lords_at_us / (double)S, (unsigned long long)verdict->titles);
    command->print(command->arg, out);
    return kept;
}

/* ---- Running ---------------------------------------------------------------------------- */

static bool make_partitions(struct lg_sim_command *command, unsigned count)
{
    for (size_t i = 0; i < command->partition_count; i++)
        for (unsigned a = 0; a < count; a++)
            for (unsigned b = a + 1; b < count; b++) {
                uint64_t side = command->partitions[i].side;
                if ((side >> a & 1) != (side >> b & 1) &&
                    !add_link(command, a, b, command->partitions[i].at_us,
                        command->partitions[i].until_us))
                    return false;
            }
    return true;
}

/* Node `at`: as its file says, or as the last file with a smaller valor. */
static void make_node(struct lg_sim_command *command, const struct lg_legion_setup *setups,
    size_t setup_count, unsigned at, unsigned count, struct lg_sim_node *node)
{
    size_t file = at < setup_count ? at : setup_count - 1;
    uint64_t below = at - file;
    struct lg_legion_setup *setup = &node->setup;
    *setup = setups[file];
    if (below && setup->valor)
        setup->valor = setup->valor > below ? setup->valor - below : 1;
    if (command->nodes)
        setup->quorum = count / 2 + 1;
    snprintf(command->names[at], sizeof command->names[at], below ? "%.*s-%u" : "%.*s",
        (int)(setup->name.len < 200 ? setup->name.len : 200), setup->name.ptr, at + 1);
    setup->name = lg_slice_of(command->names[at]);
    setup->members_max = 2 * count + 8;
    setup->phases = 1U << LG_PHASE_LORD | 1U << LG_PHASE_UNLORD;
    node->start_us = (int64_t)at * 100000;
    node->hooks[LG_PHASE_LORD].max_ms = command->hooks_ms;
    node->hooks[LG_PHASE_UNLORD].max_ms = command->hooks_ms;
}

static int simulate(struct lg_sim_command *command, const struct lg_sim_spec *spec, bool *ret_kept)
{
    struct lg_sim *sim;
    int err = lg_sim_new(spec, &sim);
    if (err)
        return err;
    const struct lg_sim_fault loss = {
        .kind = LG_SIM_LOSS, .value = (int64_t)command->loss_permille};
    err = command->loss_permille ? lg_sim_fault(sim, &loss) : 0;
    if (!err)
        err = lg_sim_run(sim, command->for_us);
    struct lg_sim_verdict verdict = lg_sim_verdict(sim);
    lg_sim_free(sim);
    if (!err)
        *ret_kept = judge(command, &verdict);
    return err;
}

int lg_sim_command_run(struct lg_sim_command *command, const struct lg_legion_setup *setups,
    size_t setup_count, void (*print)(void *arg, const char *line), void *arg, bool *ret_kept,
    char ret_error[LG_SIM_ERROR_SIZE])
{
    unsigned count = command->nodes ? command->nodes : (unsigned)setup_count;
    ret_error[0] = '\0';
    if (setup_count == 0 || count > NODES_MAX || command->highest > count ||
        !make_partitions(command, count)) {
        snprintf(ret_error, LG_SIM_ERROR_SIZE,
            "legion-sim: %u nodes, of 1 to %u; number %u is named, or too many faults", count,
            NODES_MAX, command->highest);
        return -LG_E_INVALID;
    }
    struct lg_sim_node *nodes = calloc(count, sizeof *nodes);
    command->names = calloc(count, sizeof *command->names);
    command->print = print;
    command->arg = arg;
    int err = -LG_E_NOMEM;
    if (nodes && command->names) {
        for (unsigned i = 0; i < count; i++)
            make_node(command, setups, setup_count, i, count, &nodes[i]);
        const struct lg_sim_spec spec = {.nodes = nodes,
            .node_count = count,
            .faults = command->faults,
            .fault_count = command->fault_count,
            .seed = command->seed,
            .latency_us = command->latency_us,
            .story = tell,
            .arg = command};
        err = simulate(command, &spec, ret_kept);
    }
    free(nodes);
    return err;
}
