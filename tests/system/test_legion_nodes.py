# SPDX-License-Identifier: Apache-2.0
"""Three Legatus nodes as one legion: who is Lord when processes die, stop, reload."""

import os
import signal
import time
from socket import AF_INET, SOCK_DGRAM, socket

import pytest

from legion_rig import Story, crash, hooks, legion_pid, settings, view, wait_agree
from program import free_ports, wait_for

FREQ, TOLERANCE = 0.2, 1.0
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"


class Legion:
    def __init__(self, legatus, story, quorum=2):
        self.legatus = legatus
        self.story = Story(story)
        self.ports = free_ports(3, SOCK_DGRAM)
        self.quorum = quorum

    def text(self, number, extra=""):
        return OWN + settings(
            number, self.ports, 90 - 10 * number, freq=FREQ, tolerance=TOLERANCE,
            quorum=self.quorum,
        ) + hooks(self.story.path, number) + extra

    def start(self, number, extra=""):
        return self.legatus(self.text(number, extra))


@pytest.fixture
def legion(legatus, tmp_path):
    return Legion(legatus, tmp_path / "story")


def test_first_lord_within_three_seconds(legatus, legion):
    begin = time.monotonic()
    nodes = [legion.legatus(legion.text(i), wait=False) for i in range(3)]
    wait_agree(nodes, 0)
    assert time.monotonic() - begin < 3
    assert legion.story.told().count("0 lord") == 1


def test_another_rises_when_the_lord_crashes(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    crash(nodes[0])
    took = wait_agree(nodes[1:], 0)
    assert took < TOLERANCE + FREQ + 1
    nodes[0] = legion.start(0)
    wait_agree(nodes, 0)
    legion.story.wait("0 lord", count=2)
    assert legion.story.told()[-2:] == ["1 unlord", "0 lord"]
    # Two crashes within the minute: down to one of three, and no Lord.
    crash(nodes[0])
    wait_agree(nodes[1:], 0)
    crash(nodes[1])
    wait_for("2 is alone", lambda: "2 needed to elect a Lord" in nodes[2].log())
    assert not view(nodes[2])["i_am_the_lord"]


def test_clean_stop_hands_over_at_once(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    nodes[0].stop()
    legion.story.wait("1 lord")
    legion.story.wait("0 death")
    # The title is released before the death hooks run: they may come after "1 lord".
    told = [line for line in legion.story.told() if line != "0 death"]
    assert told[-3:] == ["0 lord", "0 unlord", "1 lord"]
    when = {f"{who} {phase}": at for at, who, phase in legion.story.lines()}
    assert when["1 lord"] - when["0 unlord"] < 0.5


def test_lost_quorum_ends_the_title(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    crash(nodes[1])
    crash(nodes[2])
    legion.story.wait("0 unlord", timeout=TOLERANCE + 2)
    wait_for("no title", lambda: not view(nodes[0])["i_am_the_lord"])
    assert view(nodes[0])["lord_uuid"] == ""  # still valid to read: nobody is Lord


def test_dead_legion_process_leaves_nothing_behind(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)
    legion.story.wait("0 unlord", timeout=5)
    wait_agree(nodes, 0)  # its successor takes part again
    assert nodes[0].process.poll() is None


def test_new_legion_process_waits_for_the_old_ones_hooks(legion):
    slow = "legion-unlord = site cmd:sleep 2; echo 0 0 undone >>{}\n"
    nodes = [legion.start(0, slow.format(legion.story.path))]
    nodes += [legion.start(i) for i in (1, 2)]
    wait_agree(nodes, 0)
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)
    legion.story.wait("0 undone")
    legion.story.wait("0 lord", count=2)
    own = [line for line in legion.story.told() if line in ("0 lord", "0 undone")]
    assert own == ["0 lord", "0 undone", "0 lord"]


def test_stopped_legion_process_gives_up_before_others_rise(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    os.kill(legion_pid(nodes[0]), signal.SIGSTOP)
    legion.story.wait("0 unlord", timeout=TOLERANCE + 2)
    wait_agree(nodes, 0)  # the master has replaced it
    assert not legion.story.owners_overlap(), legion.story.told()


def test_dead_master_leaves_nothing_behind(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    os.kill(nodes[0].pid, signal.SIGKILL)
    legion.story.wait("0 death", timeout=5)
    wait_agree(nodes[1:], 0)
    own = [line for line in legion.story.told() if line.startswith("0 ")]
    assert own == ["0 setup", "0 lord", "0 unlord", "0 death"]
    assert not legion.story.owners_overlap(), legion.story.told()


def test_reload_keeps_uuid_and_title(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    before, pid = view(nodes[0]), legion_pid(nodes[0])
    told = legion.story.told()
    nodes[0].signal(signal.SIGHUP)
    nodes[0].wait_log(r"worker 1 is ready", count=2)
    time.sleep(TOLERANCE + 3 * FREQ)
    after = view(nodes[0])
    assert legion_pid(nodes[0]) == pid
    assert [after[key] for key in ("uuid", "i_am_the_lord", "epoch")] == [
        before[key] for key in ("uuid", "i_am_the_lord", "epoch")
    ]
    assert legion.story.told() == told


def test_slow_hook_silences_nobody(legion):
    slow = "legion-lord = site cmd:sleep 4\nlegion-lord = site cmd:echo 0 0 slept >>{}\n"
    nodes = [legion.start(0, slow.format(legion.story.path))]
    nodes += [legion.start(i) for i in (1, 2)]
    legion.story.wait("0 lord")
    time.sleep(3 * TOLERANCE)
    assert not view(nodes[0])["i_am_the_lord"]  # not before its hooks have run
    assert not {"1 lord", "2 lord"} & set(legion.story.told())
    legion.story.wait("0 slept")
    wait_agree(nodes, 0)


def test_strangers_cost_a_line_and_move_nothing(legion):
    nodes = [legion.start(i) for i in range(3)]
    wait_agree(nodes, 0)
    told = legion.story.told()
    end = time.monotonic() + 3
    with socket(AF_INET, SOCK_DGRAM) as sock:
        while time.monotonic() < end:
            for payload in (b"x", b"\x6d\x20\0\0" + bytes(32), os.urandom(200)):
                sock.sendto(payload, ("127.0.0.1", legion.ports[0]))
            time.sleep(0.001)
    assert 1 <= nodes[0].log().count("datagram(s) refused") <= 5
    wait_agree(nodes, 0, timeout=1)
    assert legion.story.told() == told
    assert not any("left Legion" in node.log() for node in nodes)
