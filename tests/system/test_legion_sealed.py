# SPDX-License-Identifier: Apache-2.0
"""Sealed legions: three nodes whose packets somebody records, repeats and alters,
a flood from elsewhere, and secrets that change while the Lord stays."""

import os
import re
import signal
import threading
import time
from socket import AF_INET, SO_REUSEADDR, SOCK_DGRAM, SOL_SOCKET, socket, timeout

import pytest

from legion_rig import Story, crash, hooks, legion_pid, settings, view, wait_agree
from program import free_ports, wait_for

FREQ, TOLERANCE = 0.2, 1.0
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"
CIPHERS = ["aes-256-gcm", "aes-128-gcm", "chacha20-poly1305"]


class Legion:
    """`spy` is a socket that every node takes for a fourth one."""

    def __init__(self, legatus, folder, cipher="aes-256-gcm", tolerance=TOLERANCE):
        self.legatus = legatus
        self.cipher = cipher
        self.tolerance = tolerance
        self.story = Story(folder / "story")
        self.spy = socket(AF_INET, SOCK_DGRAM)
        self.spy.bind(("127.0.0.1", 0))
        self.spy.settimeout(5)
        self.ports = free_ports(3, SOCK_DGRAM)

    def text(self, number, secret="correct-horse", more=""):
        return OWN + settings(
            number, self.ports, 90 - 10 * number, freq=FREQ, tolerance=self.tolerance,
            secret=f"{self.cipher}:{secret}",
        ) + f"legion-node = site 127.0.0.1:{self.spy.getsockname()[1]}\n" + hooks(
            self.story.path, number) + more

    def start(self, number, **kw):
        return self.legatus(self.text(number, **kw))

    def start_all(self):
        nodes = [self.start(i) for i in range(3)]
        wait_agree(nodes, 0)
        return nodes

    def heard(self, seconds):
        """Datagrams of so many seconds, by the port they came from."""
        packets = {port: [] for port in self.ports}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                data, (_, port) = self.spy.recvfrom(65536)
            except timeout:
                break
            packets[port].append(data)
        return packets


@pytest.fixture
def legion(legatus, tmp_path):
    made = Legion(legatus, tmp_path)
    yield made
    made.spy.close()


@pytest.mark.parametrize("cipher", CIPHERS)
def test_sealed_nodes_elect_and_fail_over(legatus, tmp_path, cipher):
    legion = Legion(legatus, tmp_path, cipher)
    nodes = legion.start_all()
    packets = legion.heard(0.5)[legion.ports[0]]
    assert packets and all(p[0] == 109 and p[3] == 1 for p in packets)
    assert len({p[4:21] for p in packets}) == 1  # one key, one sender
    counters = [int.from_bytes(p[21:29], "little") for p in packets]
    assert counters == list(range(counters[0], counters[0] + len(counters)))
    assert not any(b"site" in p or b"uuid" in p for p in packets)
    crash(nodes[0])
    took = wait_agree(nodes[1:], 0)
    assert took < TOLERANCE + FREQ + 1
    nodes[0] = legion.start(0)
    wait_agree(nodes, 0)
    assert not any("refused" in node.log() for node in nodes)
    assert not any("can alter and repeat" in node.log() for node in nodes)
    legion.spy.close()


def test_a_new_legion_process_goes_on_counting(legion):
    """It has the uuid of the one before it, and so its key: no counter comes twice."""
    nodes = legion.start_all()
    port = legion.ports[1]
    before = [int.from_bytes(p[21:29], "little") for p in legion.heard(0.5)[port]]
    pid = legion_pid(nodes[1])
    os.kill(pid, signal.SIGKILL)
    wait_for("another", lambda: legion_pid(nodes[1]) != pid)
    legion.heard(0.3)
    after = [int.from_bytes(p[21:29], "little") for p in legion.heard(0.5)[port]]
    assert before and after and min(after) > max(before) + 1000
    wait_agree(nodes, 0)
    assert not any("refused" in node.log() for node in nodes)


def test_weak_cipher_is_named_once(legatus, tmp_path):
    legion = Legion(legatus, tmp_path, "aes-256-cbc")
    node = legion.start(0)
    node.signal(signal.SIGHUP)
    node.wait_log(r"\[master\] reloaded")
    assert len(re.findall(
        r"legatus\.ini:\d+: legion \"site\": whoever records packets sealed with aes-256-cbc can "
        "alter and repeat them", node.log())) == 1
    legion.spy.close()


def test_repeated_and_altered_packets_change_nothing(legion):
    nodes = legion.start_all()
    recorded = legion.heard(0.7)
    crash(nodes[2])
    wait_for("2 has left", lambda: all(len(view(node)["members"]) == 1 for node in nodes[:2]))
    told, before = legion.story.told(), [view(node) for node in nodes[:2]]
    logs = [len(node.log()) for node in nodes[:2]]
    with socket(AF_INET, SOCK_DGRAM) as sock:
        end = time.monotonic() + 2 * TOLERANCE
        while time.monotonic() < end:
            for data in recorded[legion.ports[2]] + recorded[legion.ports[0]]:
                at = int.from_bytes(os.urandom(2), "little") % (8 * len(data))
                flipped = bytearray(data)
                flipped[at // 8] ^= 1 << at % 8
                for payload in (data, bytes(flipped), data[:at // 8], data + b"x"):
                    for port in legion.ports[:2]:
                        sock.sendto(payload, ("127.0.0.1", port))
            time.sleep(0.02)
    after = [view(node) for node in nodes[:2]]
    for key in ("i_am_the_lord", "lord_uuid", "checksum", "epoch"):
        assert [v[key] for v in after] == [v[key] for v in before]
    assert [len(v["members"]) for v in after] == [1, 1]
    assert legion.story.told() == told
    for node, size in zip(nodes, logs):
        new = node.log()[size:]
        lines = len(re.findall(r"\d+ datagram\(s\) refused", new))
        assert 1 <= lines <= 2 * TOLERANCE + 2
        assert "left Legion" not in new and "joined Legion" not in new


def test_secrets_change_node_by_node(legion):
    """Each step on one node after the other, in an order of its own: accept the new
    one, seal with it, forget the old one."""
    nodes = legion.start_all()
    before, told = view(nodes[0]), legion.story.told()
    ids = {p[4] for p in legion.heard(0.5)[legion.ports[0]]}
    steps = (
        ((0, 1, 2), dict(more="legion-secret-accept = site staple\n")),
        ((2, 0, 1), dict(secret="staple", more="legion-secret-accept = site correct-horse\n")),
        ((1, 2, 0), dict(secret="staple")),
    )
    for turn, (order, kw) in enumerate(steps, 1):
        for number in order:
            nodes[number].write(legion.text(number, **kw))
            nodes[number].signal(signal.SIGHUP)
            nodes[number].wait_log("the new legion options are in use", count=turn)
            time.sleep(2 * FREQ)
    time.sleep(TOLERANCE + FREQ)
    wait_agree(nodes, 0, timeout=1)
    after = view(nodes[0])
    for key in ("uuid", "epoch", "i_am_the_lord", "checksum"):
        assert after[key] == before[key]
    assert legion.story.told() == told
    legion.heard(0.3)
    assert ids.isdisjoint({p[4] for p in legion.heard(0.5)[legion.ports[0]]})
    assert not any(re.search("left Legion|refused|no quorum", node.log()) for node in nodes)


class Flood:
    """Sends to `port` from one socket, as fast as may be or `rate` a second."""

    def __init__(self, port, payloads, rate=None):
        self.address, self.payloads, self.rate = ("127.0.0.1", port), payloads, rate
        self.sent, self.stop = 0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with socket(AF_INET, SOCK_DGRAM) as sock:
            began = time.monotonic()
            while not self.stop:
                for payload in self.payloads:
                    sock.sendto(payload, self.address)
                    self.sent += 1
                if self.rate:
                    time.sleep(max(0, self.sent / self.rate - (time.monotonic() - began)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()


def test_flood_costs_no_announcement(legion):
    """Garbage, and headers that pass all but the tag, to the Lord, at 20,000 a second
    or what the machine has; its members stay, and it says so once a second."""
    legion.tolerance = 0.5
    nodes = legion.start_all()
    (sample, *_) = legion.heard(0.5)[legion.ports[1]]
    fake = bytearray(os.urandom(len(sample)))
    fake[:29] = sample[:5] + os.urandom(16) + (1 << 62).to_bytes(8, "little")
    known = bytearray(fake)
    known[5:21] = sample[5:21]
    payloads = [b"x", os.urandom(300), bytes(fake), bytes(known), sample]
    before = [view(node) for node in nodes]
    size = len(nodes[0].log())
    with Flood(legion.ports[0], payloads, 20000) as flood:
        began = time.monotonic()
        time.sleep(3)
        took = time.monotonic() - began
    new = nodes[0].log()[size:]
    assert flood.sent > 3000
    assert 1 <= new.count("refused") <= took + 2
    assert not any(re.search("left Legion|joined Legion", n.log()[size:]) for n in nodes[:1])
    assert [view(node)["epoch"] for node in nodes] == [v["epoch"] for v in before]
    wait_agree(nodes, 0, timeout=1)


def test_legions_do_not_share_a_port(legion, legatus):
    """Connected sockets beside the open one do not open the port to others."""
    nodes = legion.start_all()
    with pytest.raises(OSError):
        with socket(AF_INET, SOCK_DGRAM) as sock:
            sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", legion.ports[0]))
    wait_agree(nodes, 0, timeout=1)
