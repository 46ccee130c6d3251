# SPDX-License-Identifier: Apache-2.0
"""A legion of three becomes one of five without a stop: the quorum rises first,
everywhere, then the nodes come, as docs/legion.md has it."""

import signal
import time
from socket import SOCK_DGRAM

from legion_rig import Story, crash, hooks, settings, view, wait_agree
from program import free_ports, wait_for

FREQ, TOLERANCE = 0.1, 0.8
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"


def test_from_three_nodes_to_five(legatus, tmp_path):
    ports = free_ports(5, SOCK_DGRAM)
    story = Story(tmp_path / "story")

    def text(number, quorum, nodes):
        lines = settings(number, ports[:nodes], 90 - 10 * number, freq=FREQ, quorum=quorum,
                         tolerance=TOLERANCE, secret="aes-256-gcm:hello")
        return OWN + lines + hooks(story.path, number)

    def step(quorum, nodes):
        """A reload of each running node, one after the other."""
        for number, node in enumerate(running):
            count = node.log().count("the new legion options are in use")
            node.write(text(number, quorum, nodes))
            node.signal(signal.SIGHUP)
            node.wait_log("the new legion options are in use", count=count + 1)

    running = [legatus(text(number, 2, 3)) for number in range(3)]
    wait_agree(running, 0)
    epoch, told = view(running[0])["epoch"], story.told()
    step(3, 3)
    step(3, 5)
    running += [legatus(text(number, 3, 5)) for number in (3, 4)]
    wait_agree(running, 0)
    time.sleep(TOLERANCE)
    assert view(running[0])["epoch"] == epoch
    assert view(running[0])["quorum"] == 3
    assert [line for line in story.told() if line not in told] == ["3 setup", "4 setup"]

    story.crashed("0")
    crash(running[0])
    story.wait("1 lord")
    story.crashed("1")
    crash(running[1])
    story.wait("2 lord")
    # Two of five are a quorum no more, though they were one of the three.
    crash(running[4])
    story.wait("2 unlord")
    wait_for("a follower", lambda: not view(running[2])["i_am_the_lord"])
    time.sleep(TOLERANCE + 4 * FREQ)
    assert "3 lord" not in story.told()
    assert not story.owners_overlap()
