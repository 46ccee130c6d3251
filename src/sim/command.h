/* `legatus legion-sim FILE.ini... [OPTION...]`: the user's own legion in virtual
 * time, with the faults the user names. Pure: the caller loads the files and
 * prints the lines. One thread.
 *
 *   --nodes N           so many nodes (more than the files name: as the last one,
 *                       each with a valor less by one); quorums become majorities
 *   --for TIME          how long (1h)
 *   --seed N            another course of chance (1)
 *   --loss P%           of all messages       --latency TIME   at most (1ms)
 *   --hooks TIME        lord and unlord hooks run up to that long (100ms)
 *   --kill N@TIME[+TIME]       node N (from 1) dies, and starts again after the second time
 *   --crash, --stop            likewise: its power is cut; it is stopped cleanly
 *   --pause, --resign          for the second time
 *   --freeze N@TIME+TIME       paused, and its clock stands still: a virtual machine
 *   --cut A-B@TIME[+TIME]      the link of two nodes is cut, both ways
 *   --partition A,B@TIME[+TIME]  those nodes are cut off from the others
 *   --grow N@TIME       to N nodes: the quorum is raised everywhere, then they start
 *   --grow-unprepared N@TIME   the same, but the old nodes keep their quorum
 *   --json              a JSON object a line, the last one is the verdict
 *   --brief             without what the nodes would write to their logs
 *   --replay            the files are those of legion-record, the older one first: see replay.h
 *
 * TIME: 90, 1.5s, 200ms, 10m, 1h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_SIM_COMMAND_H
#define LG_SIM_COMMAND_H

#include "sim/report.h"
#include "sim/sim.h"

#define LG_SIM_FILES_MAX         64
#define LG_SIM_ERROR_SIZE        160 /* bytes of a message, its NUL included */
#define LG_SIM_COMMAND_NODES_MAX 2000

struct lg_sim_command; /* opaque */

/* Reads the arguments after "legion-sim"; keeps pointers into argv. 0; or
 * -LG_E_INVALID with the reason in `ret_error`; or -LG_E_NOMEM. */
int lg_sim_command_new(int argc, const char *const *argv, struct lg_sim_command **ret_command,
    char ret_error[LG_SIM_ERROR_SIZE]) LG_MUST_USE;
void lg_sim_command_free(struct lg_sim_command *command);
/* The arguments that are files. */
const char *const *lg_sim_command_files(const struct lg_sim_command *command, size_t *ret_count);
bool lg_sim_command_is_json(const struct lg_sim_command *command);
/* The files are to be replayed. */
bool lg_sim_command_replays(const struct lg_sim_command *command);

/* Runs it with the setups of the files (texts outlive the call; uuids are not
 * looked at; legion-safe as it is in them), one line of the story at a time.
 * 0 with *ret_kept = no instant had two Lords and no epoch came twice or went
 * back; -LG_E_INVALID with a reason (a node that is not there, a bad setup);
 * -LG_E_NOMEM. */
int lg_sim_command_run(struct lg_sim_command *command, const struct lg_legion_setup *setups,
    size_t setup_count, lg_sim_print *print, void *arg, bool *ret_kept,
    char ret_error[LG_SIM_ERROR_SIZE]) LG_MUST_USE;

#endif
