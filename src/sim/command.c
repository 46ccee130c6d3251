/* legion-sim: files and arguments to a simulation, its story to lines. Pure;
 * depends on base and legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/command.h"
#include "sim/arguments.h"

#include <stdio.h>
#include <stdlib.h>

#define S      ((int64_t)1000000) /* us */
#define LOGGED "[uwsgi-legion"    /* how log lines begin: legion/notes.c */

/* ---- Telling -------------------------------------------------------------------------- */

static void tell(void *arg, const struct lg_sim_line *line)
{
    struct lg_sim_command *command = arg;
    if (command->brief && strncmp(line->text, LOGGED, sizeof LOGGED - 1) == 0)
        return;
    const char *name = line->node < 0 ? "-" : command->names[line->node];
    if (command->json) {
        int err = lg_sim_report(command->print, command->arg,
            json_pack("{s:o, s:i, s:o, s:o}", "at", lg_sim_json_s(line->at_us), "node",
                line->node + 1, "name", lg_sim_json_text(lg_slice_of(name)), "what",
                lg_sim_json_text(lg_slice_of(line->text))));
        command->err = err ? err : command->err;
        return;
    }
    char out[2048];
    snprintf(
        out, sizeof out, "%12.3f  %-10s %s", (double)line->at_us / (double)S, name, line->text);
    command->print(command->arg, out);
}

static bool is_kept(const struct lg_sim_verdict *verdict)
{
    return !verdict->two_lords && !verdict->epochs_twice && !verdict->epochs_back;
}

static int judge_json(struct lg_sim_command *command, const struct lg_sim_verdict *verdict)
{
    json_t *first = verdict->two_lords ? lg_sim_json_s(verdict->two_lords_at_us) : json_null();
    return lg_sim_report(command->print, command->arg,
        json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kept",
            is_kept(verdict), "seconds", lg_sim_json_s(command->for_us), "with_a_lord",
            lg_sim_json_s(verdict->lord_us), "longest_without",
            lg_sim_json_s(verdict->longest_lordless_us), "titles",
            lg_sim_json_count(verdict->titles), "two_lords", lg_sim_json_count(verdict->two_lords),
            "first_two_lords_at", first, "epochs_twice", lg_sim_json_count(verdict->epochs_twice),
            "epochs_back", lg_sim_json_count(verdict->epochs_back), "beside_after_a_freeze",
            lg_sim_json_s(verdict->thawed_us), "events", lg_sim_json_count(verdict->events),
            "messages", lg_sim_json_count(verdict->messages)));
}

static void judge_text(struct lg_sim_command *command, const struct lg_sim_verdict *verdict)
{
    char out[512];
    double all_s = (double)command->for_us / (double)S;
    double lord_s = (double)verdict->lord_us / (double)S;
    double without_s = (double)verdict->longest_lordless_us / (double)S;
    unsigned long long titles = verdict->titles;
    if (verdict->thawed_us) {
        snprintf(out, sizeof out,
            "for %.3f s one that was frozen was Lord beside another, by its own clock: its epoch "
            "is "
            "the older one",
            (double)verdict->thawed_us / (double)S);
        command->print(command->arg, out);
    }
    if (verdict->two_lords)
        snprintf(out, sizeof out, "TWO LORDS, first at %.3f s; %llu titles",
            (double)verdict->two_lords_at_us / (double)S, titles);
    else if (!is_kept(verdict))
        snprintf(out, sizeof out,
            "AN EPOCH THAT WAS NOT NEW: %llu twice, %llu going back; %llu titles",
            (unsigned long long)verdict->epochs_twice, (unsigned long long)verdict->epochs_back,
            titles);
    else
        snprintf(out, sizeof out,
            "never two Lords; a Lord for %.1f %% of %.0f s, %llu titles, the longest time without "
            "one %.3f s",
            100 * lord_s / all_s, all_s, titles, without_s);
    command->print(command->arg, out);
}

/* ---- Running ---------------------------------------------------------------------------- */

static void fill_sides(struct lg_sim_command *command, size_t count)
{
    for (size_t i = 0; i < command->side_count; i++)
        for (size_t k = 0; k < command->sides[i].count; k++)
            command->side_rows[i * count + command->sides[i].nodes[k]] = true;
}

/* As a host's name is made fit for the wire. */
static void make_name(char *name)
{
    for (; *name; name++)
        if (*name <= ' ' || *name > '~')
            *name = '-';
}

/* Node `at`: as its file says, or as the last file with a smaller valor. `first` are
 * there from the beginning. */
static void make_node(struct lg_sim_command *command, const struct lg_legion_setup *setups,
    size_t setup_count, unsigned at, unsigned first, struct lg_sim_node *node)
{
    size_t file = at < setup_count ? at : setup_count - 1;
    uint64_t below = at - file;
    unsigned count = command->grow ? command->grow : first;
    struct lg_legion_setup *setup = &node->setup;
    *setup = setups[file];
    if (below && setup->valor)
        setup->valor = setup->valor > below ? setup->valor - below : 1;
    if (at >= first)
        setup->quorum = command->grow / 2 + 1;
    else if (command->nodes)
        setup->quorum = first / 2 + 1;
    snprintf(command->names[at], sizeof command->names[at], below ? "%.*s-%u" : "%.*s",
        (int)(setup->name.len < 200 ? setup->name.len : 200), setup->name.ptr, at + 1);
    make_name(command->names[at]);
    setup->name = lg_slice_of(command->names[at]);
    setup->members_max = 2 * count + 8;
    setup->phases = 1U << LG_PHASE_LORD | 1U << LG_PHASE_UNLORD;
    node->start_us = at < first ? (int64_t)(at * 100000 + at / 10 * 7919) % S : -1;
    node->hooks[LG_PHASE_LORD].max_ms = command->hooks_ms;
    node->hooks[LG_PHASE_UNLORD].max_ms = command->hooks_ms;
}

/* A tenth of a second between one node and the next; new ones once the promises
 * of the old quorum are over. */
static bool add_growth(
    struct lg_sim_command *command, const struct lg_sim_node *nodes, unsigned first)
{
    int64_t at_us = command->grow_us, longest_ms = 0;
    int64_t quorum = (int64_t)command->grow / 2 + 1;
    for (unsigned i = 0; i < first; i++) {
        if (nodes[i].setup.tolerance_ms > longest_ms)
            longest_ms = nodes[i].setup.tolerance_ms;
        if (!command->unprepared &&
            !lg_sim_command_add(command,
                (struct lg_sim_fault){at_us + (int64_t)i * S / 10, LG_SIM_QUORUM, i, 0, quorum}))
            return false;
    }
    if (!command->unprepared)
        at_us += (int64_t)first * S / 10 + 2 * longest_ms * 1000;
    for (unsigned i = first; i < command->grow; i++, at_us += S / 10)
        if (!lg_sim_command_add(command, (struct lg_sim_fault){at_us, LG_SIM_START, i, 0, 0}))
            return false;
    return true;
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
    err = err ? err : command->err;
    if (err)
        return err;
    *ret_kept = is_kept(&verdict);
    if (command->json)
        return judge_json(command, &verdict);
    judge_text(command, &verdict);
    return 0;
}

static int run_nodes(struct lg_sim_command *command, const struct lg_legion_setup *setups,
    size_t setup_count, unsigned first, struct lg_sim_node *nodes, bool *ret_kept)
{
    unsigned count = command->grow ? command->grow : first;
    for (unsigned i = 0; i < count; i++)
        make_node(command, setups, setup_count, i, first, &nodes[i]);
    fill_sides(command, count);
    if (command->grow && !add_growth(command, nodes, first))
        return -LG_E_LIMIT;
    const struct lg_sim_spec spec = {.nodes = nodes,
        .node_count = count,
        .faults = command->faults,
        .fault_count = command->fault_count,
        .sides = command->side_rows,
        .side_count = command->side_count,
        .seed = command->seed,
        .latency_us = command->latency_us,
        .story = tell,
        .arg = command};
    return simulate(command, &spec, ret_kept);
}

static bool can_run(const struct lg_sim_command *command, size_t setup_count, unsigned first,
    unsigned count, char *error)
{
    const unsigned max = LG_SIM_COMMAND_NODES_MAX;
    if (setup_count == 0)
        snprintf(error, LG_SIM_ERROR_SIZE, "legion-sim: expected FILE.ini");
    else if (count > max)
        snprintf(error, LG_SIM_ERROR_SIZE, "legion-sim: %u nodes, of at most %u", count, max);
    else if (count < first)
        snprintf(error, LG_SIM_ERROR_SIZE, "legion-sim: --grow to %u nodes, from %u", count, first);
    else if (command->highest > count)
        snprintf(error, LG_SIM_ERROR_SIZE, "legion-sim: node %u is named, of %u", command->highest,
            count);
    else
        return true;
    return false;
}

int lg_sim_command_run(struct lg_sim_command *command, const struct lg_legion_setup *setups,
    size_t setup_count, lg_sim_print *print, void *arg, bool *ret_kept,
    char ret_error[LG_SIM_ERROR_SIZE])
{
    unsigned first = command->nodes ? command->nodes : (unsigned)setup_count;
    unsigned count = command->grow ? command->grow : first;
    ret_error[0] = '\0';
    if (!can_run(command, setup_count, first, count, ret_error))
        return -LG_E_INVALID;
    struct lg_sim_node *nodes = calloc(count, sizeof *nodes);
    command->names = calloc(count, sizeof *command->names);
    command->side_rows = calloc((command->side_count + 1) * count, sizeof *command->side_rows);
    command->print = print;
    command->arg = arg;
    int err = -LG_E_NOMEM;
    if (nodes && command->names && command->side_rows)
        err = run_nodes(command, setups, setup_count, first, nodes, ret_kept);
    if (err)
        snprintf(ret_error, LG_SIM_ERROR_SIZE, "legion-sim: %s", lg_err_text(err));
    free(nodes);
    return err;
}
