/* The network of a simulated legion. Pure; depends on base and legion only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sim/internal.h"

#include <stdlib.h>

static struct lg_sim_packet *make_packet(
    struct lg_sim *sim, const struct lg_legion_message *message)
{
    struct lg_sim_packet *packet = sim->free_packets;
    if (packet)
        sim->free_packets = packet->next;
    else
        packet = malloc(sizeof *packet + sim->packet_size);
    if (!packet) {
        sim->err = -LG_E_NOMEM;
        return NULL;
    }
    packet->references = 1;
    packet->next = NULL;
    int err = lg_legion_encode(message, packet->data, sim->packet_size, &packet->size);
    if (!err)
        err = lg_legion_decode(lg_slice_from(packet->data, packet->size), &packet->message);
    if (err) {
        sim->err = err;
        lg_sim_unref(sim, packet);
        return NULL;
    }
    return packet;
}

void lg_sim_unref(struct lg_sim *sim, struct lg_sim_packet *packet)
{
    if (!packet || --packet->references)
        return;
    packet->next = sim->free_packets;
    sim->free_packets = packet;
}

static bool chance(struct lg_sim *sim, unsigned permille)
{
    return permille && lg_sim_random(sim, 1000) < permille;
}

static void carry(struct lg_sim *sim, struct lg_sim_packet *packet, size_t to)
{
    uint64_t quarter_us = (uint64_t)sim->latency_us / 4;
    int64_t at_us = sim->now_us + (int64_t)(quarter_us + lg_sim_random(sim, 3 * quarter_us + 1));
    if (sim->late_us && chance(sim, 20))
        at_us += (int64_t)lg_sim_random(sim, (uint64_t)sim->late_us);
    packet->references++;
    sim->verdict.messages++;
    lg_sim_push(
        sim, (struct lg_sim_event){
                 .at_us = at_us, .kind = LG_SIM_DELIVER, .node = (uint32_t)to, .packet = packet});
}

void lg_sim_send(struct lg_sim *sim, size_t from, const struct lg_legion_message *message,
    const struct lg_legion_who *only)
{
    struct lg_sim_packet *packet = make_packet(sim, message);
    if (!packet)
        return;
    for (size_t to = 0; to < sim->count; to++) {
        if (to == from || lg_sim_is_cut(sim, from, to))
            continue;
        if (only && !sim->spec.group &&
            memcmp(only->uuid, sim->actors[to].uuid, LG_LEGION_UUID_LEN) != 0)
            continue;
        if (!chance(sim, sim->loss_permille))
            carry(sim, packet, to);
        if (chance(sim, sim->twice_permille))
            carry(sim, packet, to);
    }
    lg_sim_unref(sim, packet);
}
