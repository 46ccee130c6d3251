# SPDX-License-Identifier: Apache-2.0
"""What an application is told of its legion: who is Lord, what members announce."""

import os
import signal
from socket import SOCK_DGRAM

import pytest

from legion_rig import legion_pid, settings, view, wait_agree
from program import free_ports, wait_for

FREQ, TOLERANCE = 0.2, 1.0
SECRET = "aes-256-gcm:correct-horse"


@pytest.fixture
def nodes(legatus):
    ports = free_ports(3, SOCK_DGRAM)
    nodes = [
        legatus("http-socket = {http}\nhttp-socket-modifier1 = 200\nstats = 127.0.0.1:{stats}\n"
                + settings(i, ports, 90 - 10 * i, freq=FREQ, tolerance=TOLERANCE, secret=SECRET)
                + (f"legion-scroll = site text of {i}\n" if i < 2 else ""), plugin="probe")
        for i in range(3)
    ]
    wait_agree(nodes, 0)
    return nodes


def ask(node, path):
    status, body = node.request(path)
    assert status == 200
    return body.decode()


def lords(nodes):
    return [ask(node, "/lord/site") for node in nodes]


def test_one_lord_and_its_scroll(nodes):
    wait_for("one Lord", lambda: lords(nodes) == ["1", "0", "0"])
    assert ask(nodes[0], "/lord/other") == "0"
    assert ask(nodes[0], "/scroll/other") == "none"
    wait_for("the Lord's scroll", lambda: all(
        ask(node, "/scroll/site") == "text of 0" for node in nodes))
    assert ask(nodes[0], "/scrolls/site") == "[text of 0][text of 1]"
    assert ask(nodes[1], "/scrolls/site") == "[text of 1][text of 0]"
    assert ask(nodes[2], "/scrolls/site") == "[text of 0][text of 1]"
    members = {m["valor"]: m.get("scroll") for m in view(nodes[2])["members"]}
    assert members == {90: "text of 0", 80: "text of 1"}
    assert view(nodes[0])["scroll"] == "text of 0"
    assert {m["valor"]: m.get("scroll") for m in view(nodes[0])["members"]} == {
        80: "text of 1", 70: None}


def test_workers_cannot_write_titles(nodes):
    def modes(pid):
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
            return [line.split()[1] for line in maps if "memfd:legatus" in line]

    assert modes(legion_pid(nodes[0])) == ["rw-s"]
    workers = [worker["pid"] for worker in nodes[0].stats()[0]["workers"]]
    assert workers and [modes(pid) for pid in workers] == [["r--s"]] * len(workers)
    for pid in workers:
        held = os.listdir(f"/proc/{pid}/fd")
        assert not [fd for fd in held if "memfd" in os.readlink(f"/proc/{pid}/fd/{fd}")]


def test_lease_ends_without_a_process_to_say_so(nodes):
    """The legion process is stopped, and the master that would end it as well."""
    wait_for("one Lord", lambda: lords(nodes) == ["1", "0", "0"])
    pid = legion_pid(nodes[0])
    os.kill(nodes[0].pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("no Lord there", lambda: ask(nodes[0], "/lord/site") == "0", TOLERANCE + 1)
        wait_for("another", lambda: lords(nodes) == ["0", "1", "0"])
    finally:
        os.kill(pid, signal.SIGCONT)
        os.kill(nodes[0].pid, signal.SIGCONT)
    wait_for("all is well", lambda: lords(nodes) == ["1", "0", "0"])


def test_scroll_goes_with_its_member(nodes):
    wait_for("its scroll", lambda: "text of 0" in ask(nodes[2], "/scrolls/site"))
    nodes[0].stop()
    wait_agree(nodes[1:], 0)
    wait_for("the successor's", lambda: ask(nodes[2], "/scroll/site") == "text of 1")
    assert ask(nodes[2], "/scrolls/site") == "[text of 1]"
