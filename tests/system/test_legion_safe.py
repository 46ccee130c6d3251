# SPDX-License-Identifier: Apache-2.0
"""Two Lords never, with real processes: crashes, stops, partitions and slow hooks,
with short timings. Owners are told by the hooks themselves; their epochs rise."""

import os
import re
import signal
import time
from socket import SOCK_DGRAM

import pytest

from legion_rig import Story, crash, hooks, legion_pid, settings, view, wait_agree
from program import free_ports, marked, wait_for

FREQ, TOLERANCE = 0.1, 0.8
SLACK = 0.5  # of a loaded machine, and of /bin/sh
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"
root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")


class Legion:
    """Three nodes, each with a state file unless told otherwise."""

    def __init__(self, legatus, folder):
        self.legatus = legatus
        self.folder = folder
        self.story = Story(folder / "story")
        self.epochs_path = folder / "epochs"
        self.ports = free_ports(3, SOCK_DGRAM)
        self.secret = "aes-256-gcm:hello"

    def told(self, number):
        """The hooks of a node: the story, and the epoch of each title."""
        return hooks(self.story.path, number) + (
            f"legion-lord = site cmd:echo $LEGION_EPOCH >>{self.epochs_path}\n")

    def text(self, number, more="", state=True):
        folder = self.folder / f"state{number}"
        folder.mkdir(exist_ok=True)
        return OWN + settings(
            number, self.ports, 90 - 10 * number, freq=FREQ, tolerance=TOLERANCE,
            secret=self.secret,
        ) + (f"legion-state = {folder}\n" if state else "") + more + self.told(number)

    def start(self, number, more="", state=True):
        return self.legatus(self.text(number, more, state))

    def start_all(self, more=""):
        nodes = [self.start(i, more) for i in range(3)]
        wait_agree(nodes, 0)
        assert {view(node)["mode"] for node in nodes} == {"safe"}
        return nodes

    def when(self, what, count=1):
        found = [at for at, who, phase in self.story.lines() if f"{who} {phase}" == what]
        return found[count - 1]

    def check(self):
        """What holds after every story."""
        assert not self.story.owners_overlap(), self.story.lines()
        epochs = [int(line) for line in self.epochs_path.read_text().split()]
        assert epochs and all(a < b for a, b in zip(epochs, epochs[1:])), epochs


@pytest.fixture
def legion(legatus, tmp_path):
    made = Legion(legatus, tmp_path)
    yield made
    made.check()


def waits(node, lives=1):
    """The start waits its legion processes have told, ms."""
    node.wait_log("promises decide", count=lives)  # the line after it
    return [int(ms) for ms in re.findall(r"waiting (\d+) ms", node.log())]


def lease_end(node):
    """At least so long, in Unix time, the node may think it is Lord."""
    now = time.time()
    return now + view(node)["lease_ms"] / 1000


@pytest.mark.parametrize("secret", ["aes-256-gcm:hello", "aes-128-cbc:hello thisistheiv"])
def test_crash_of_the_lord(legion, secret):
    legion.secret = secret
    nodes = legion.start_all()
    for dead, heir in ((0, 1), (1, 0)):
        before = legion.story.told().count(f"{heir} lord")
        end, at = lease_end(nodes[dead]), time.time()
        legion.story.crashed(dead)
        crash(nodes[dead])
        legion.story.wait(f"{heir} lord", count=before + 1)
        rose = legion.when(f"{heir} lord", before + 1)
        assert rose >= end
        assert rose - at < TOLERANCE + FREQ + SLACK
        print(f"fail-over {rose - at:.3f} s")
        if dead == 0:
            nodes[0] = legion.start(0, "legion-nopreempt = true\n")
            wait_agree(nodes, 1)
            time.sleep(TOLERANCE + 5 * FREQ)
            assert view(nodes[1])["i_am_the_lord"]  # a better one lets it be
    wait_for("0 is Lord", lambda: view(nodes[0])["i_am_the_lord"])


def test_stop_hands_over_at_once(legion):
    nodes = legion.start_all()
    at = time.time()
    nodes[0].signal(signal.SIGTERM)
    legion.story.wait("1 lord")
    print(f"hand-over {legion.when('1 lord') - at:.3f} s")
    assert legion.when("1 lord") - at < 0.5
    assert legion.when("0 unlord") <= legion.when("1 lord")
    assert nodes[0].wait_exit() == 0


def test_legion_process_stopped_for_five_seconds(legion):
    nodes = legion.start_all()
    pid, end = legion_pid(nodes[0]), time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        legion.story.wait("1 lord", timeout=5)
        assert not view(nodes[0])["i_am_the_lord"]
        assert legion.when("0 unlord") - end < TOLERANCE
        time.sleep(max(0.0, end + 5 - time.time()))
    finally:
        if pid in marked(nodes[0].mark):
            os.kill(pid, signal.SIGCONT)
    wait_agree(nodes, 0)
    assert legion_pid(nodes[0]) != pid


def test_legion_process_killed(legion):
    """Its successor remembers what was promised, and by whom."""
    nodes = legion.start_all("legion-start-wait = 2\n")
    before, end = view(nodes[0]), lease_end(nodes[0])
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)
    legion.story.wait("0 unlord", timeout=2)
    wait_for("the title is gone", lambda: not view(nodes[0])["i_am_the_lord"])
    # Perhaps 1 was Lord in between, or about to be when 0 had waited long enough.
    legion.story.wait("0 lord", count=2)
    assert all(at >= end for at, _, phase in legion.story.lines()[4:] if phase == "lord")
    wait_agree(nodes, 0)
    after = view(nodes[0])
    assert after["uuid"] == before["uuid"] and after["epoch"] > before["epoch"]
    assert waits(nodes[0], 2) == [2000, TOLERANCE * 1000]


def test_frozen_instance_finds_its_title_gone(legion):
    """Nobody can run its hooks: its epoch is the fence, and it knows at once."""
    nodes = legion.start_all()
    epoch = view(nodes[0])["epoch"]
    pids = marked(nodes[0].mark)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        legion.story.crashed(0)
        legion.story.wait("1 lord")
        assert view(nodes[1])["epoch"] > epoch
        time.sleep(1)
    finally:
        # The master last: it would kill a legion process that is still stopped.
        for pid in sorted(pids, reverse=True):
            os.kill(pid, signal.SIGCONT)
    legion.story.wait("0 unlord")
    legion.story.wait("0 lord", count=2)
    assert legion.when("1 unlord") <= legion.when("0 lord", 2)


def test_slow_unlord_hook_is_waited_for(legion):
    nodes = legion.start_all("legion-unlord = site cmd:sleep 0.4\n")
    nodes[0].signal(signal.SIGTERM)
    legion.story.wait("1 lord")
    assert 0 <= legion.when("1 lord") - legion.when("0 unlord") < 0.5
    assert "1 lord" not in legion.story.told()[:legion.story.told().index("0 unlord")]


def test_endless_unlord_hook_ends_with_the_lease(legion):
    endless = f"legion-unlord = site cmd:echo {time.time()} 0 began >>{legion.story.path}; sleep 60\n"
    nodes = [legion.start(0, endless), legion.start(1), legion.start(2)]
    wait_agree(nodes, 0)
    end = lease_end(nodes[0]) + TOLERANCE
    crash(nodes[1])
    crash(nodes[2])
    legion.story.wait("0 began")
    wait_for("the alarm", lambda: "its unlord hooks did not succeed" in nodes[0].log(), timeout=3)
    assert time.time() < end + FREQ + SLACK
    assert not view(nodes[0])["i_am_the_lord"] and view(nodes[0])["lease_ms"] == 0
    legion.story.wait("0 began", count=2)  # tried again


def test_restart_with_and_without_its_memory(legion):
    nodes = legion.start_all()
    assert waits(nodes[0]) == [TOLERANCE * 1000]  # the first start of all: no file
    long = "legion-start-wait = 3\n"
    own = legion.folder / "state2/site.state"
    wait_for("the first vote", own.exists)
    wait_for("all of it", lambda: "until_ms 9223372036854775807\n" in own.read_text())

    # A voter's clean stop remembers how long its promise lasts; a crash, that it may.
    nodes[2].stop()
    until = int(re.search(r"until_ms (\d+)", own.read_text())[1])
    assert until <= time.clock_gettime(time.CLOCK_BOOTTIME) * 1000 + TOLERANCE * 1000 + 1
    time.sleep(TOLERANCE)
    nodes[2] = legion.start(2, long)
    assert waits(nodes[2]) == []
    wait_for("a vote", lambda: "until_ms 9223372036854775807\n" in own.read_text())
    crash(nodes[2])
    nodes[2] = legion.start(2, long)
    assert waits(nodes[2]) == [TOLERANCE * 1000]
    wait_agree(nodes, 0)

    # Without the file, and with a damaged one, it waits for as long as it is told.
    crash(nodes[2])
    own.write_text(own.read_text()[:-5])
    nodes[2] = legion.start(2, long)
    assert waits(nodes[2]) == [3000] and "is damaged" in nodes[2].log()
    crash(nodes[2])
    nodes[2] = legion.start(2, long, state=False)
    assert waits(nodes[2]) == [3000]
    wait_agree(nodes, 0)


def test_a_state_file_is_for_one_node(legion):
    first = legion.start(0)
    again = legion.text(1).replace("state1", "state0")
    second = legion.legatus(again)
    third = legion.start(2)
    second.wait_log(r"state0/site\.state\.lock: another node uses it")
    wait_agree([first, second, third], 0)


def test_unwritable_memory_is_said(legion):
    more = f"legion-state = {legion.folder}/nowhere/\n"
    nodes = [legion.start(0, more, state=False), legion.start(1), legion.start(2)]
    nodes[0].wait_log(r"legion-state: no file \"\S+/nowhere/\": expected a folder")
    wait_agree(nodes, 0)


@root
def test_minority_gives_up_before_the_majority_rises(legatus, network, tmp_path):
    legion = Legion(legatus, tmp_path)
    places = [f"10.99.0.{i + 1}:4242" for i in range(3)]
    nodes = []
    for i in range(3):
        text = legion.text(i)
        for port, place in zip(legion.ports, places):
            text = text.replace(f"127.0.0.1:{port}", place)
        nodes.append(legatus(text, wrapper=network.wrapper(i)))
    legion.story.wait("0 lord")
    for count, cut in enumerate((lambda on: network.silence(0, on),
                                 lambda on: network.link(0, "down" if on else "up")), 1):
        at = time.time()
        cut(True)
        legion.story.wait("1 lord", count=count)
        assert legion.when("0 unlord", count) <= legion.when("1 lord", count)
        print(f"cut to lord hook {legion.when('1 lord', count) - at:.3f} s")
        assert legion.when("1 lord", count) - at < TOLERANCE + 2 * FREQ + SLACK
        cut(False)
        legion.story.wait("0 lord", count=count + 1)
        assert legion.when("1 unlord", count) <= legion.when("0 lord", count + 1)
    legion.check()
