/* A legion of many nodes elects soon after the start-up wait, and again after its
 * Lord's death. usage: many [NODES]
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define S       ((int64_t)1000000) /* us */
#define FREQ_MS 1000
#define WAIT_MS 3000

static int judge(const char *what, int64_t took_us, int64_t most_us, const struct lg_sim *sim)
{
    bool good = lg_sim_lord(sim) >= 0 && took_us <= most_us;
    printf("%s: %s after %.3f s (at most %.3f s)\n", good ? "good" : "FAILED", what,
        (double)took_us / 1e6, (double)most_us / 1e6);
    return !good;
}

static int run(struct lg_sim *sim)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    /* The last one starts an interval after the first. */
    int64_t waited_us = (int64_t)(WAIT_MS + FREQ_MS) * 1000;
    if (lg_sim_run(sim, waited_us + 3 * S))
        return 1;
    struct lg_sim_verdict verdict = lg_sim_verdict(sim);
    int failed = judge("elected", verdict.last_title_us - waited_us, 3 * S, sim);
    const struct lg_sim_fault kill = {.kind = LG_SIM_KILL_LORD};
    int64_t killed_us = lg_sim_now_us(sim);
    if (lg_sim_fault(sim, &kill) || lg_sim_run(sim, killed_us + WAIT_MS * 1000 + S / 2))
        return 1;
    verdict = lg_sim_verdict(sim);
    /* Promises run out after the Lord's last word, and nobody waits for a timer. */
    failed +=
        judge("elected again", verdict.last_title_us - killed_us, WAIT_MS * 1000 + S / 10, sim);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double took_s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    printf("%llu titles, %llu events in %.1f s: %.0f thousand a second\n",
        (unsigned long long)verdict.titles, (unsigned long long)verdict.events, took_s,
        (double)verdict.events / took_s / 1000);
    return failed + (verdict.two_lords > 0) + (verdict.titles > 4);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    struct lg_sim_node *nodes = calloc(count, sizeof *nodes);
    char(*names)[24] = calloc(count, sizeof *names);
    struct lg_sim *sim = NULL;
    if (!nodes || !names || count == 0)
        return 2;
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        nodes[i].start_us = (int64_t)(i * 7919 % 1000) * 1000;
        nodes[i].setup = (struct lg_legion_setup){
            .legion = LG_SLICE("many"),
            .name = lg_slice_of(names[i]),
            .valor = 1 + i,
            .quorum = count / 2 + 1,
            .freq_ms = FREQ_MS,
            .tolerance_ms = WAIT_MS,
            .skew_tolerance_s = 60,
            .members_max = (unsigned)count,
            .safe = LG_SAFE_ON,
            .start_wait_ms = WAIT_MS,
        };
    }
    const struct lg_sim_spec spec = {.nodes = nodes, .node_count = count, .seed = 1};
    int status = lg_sim_new(&spec, &sim) ? 2 : run(sim);
    lg_sim_free(sim);
    free(names);
    free(nodes);
    return status;
}
