# SPDX-License-Identifier: Apache-2.0
"""The document's ip takeover as it is written there, in namespaces on a bridge: a
client pings the address throughout, and the kernel tells in which order the
namespaces got and lost it."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

import program
from legion_rig import crash, legion_pid
from network_rig import Network, ip
from program import TOP, Program, marked, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")

ADDRESS = "192.168.173.111"
TEXT = (TOP / "tests/data/ini/legion-quorum.ini").read_text()  # the document's, with a quorum
FREQ, TOLERANCE = 0.1, 0.8
SLACK = 0.7  # of a loaded machine: ip, sh, arping, and 50 ms between two pings
NOBODY = 65534


class Watch:
    """Who holds the address, from the kernel's own messages: one socket hears all
    namespaces, in the order of what happened."""

    def __init__(self, network):
        listed = ip("netns", "list", namespace=network.switch)
        ids = dict(re.findall(r"^(\S+) \(id: (\d+)\)", listed, re.M))
        nodes = {int(ids[name]): i for i, name in enumerate(network.names)}
        self.events = []  # (seconds since 1970, node, has it)
        self.holders = set()
        self.dead = set()  # machines that are off: what they hold counts for nothing
        self.overlaps = []
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", network.switch, "ip", "-ts", "-o", "monitor", "all-nsid",
             "address"], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, args=[nodes], daemon=True)
        self.thread.start()

    def read(self, nodes):
        for line in self.process.stdout:
            found = re.match(r"\[[^]]*\] ?\[nsid (\d+)\](Deleted )?", line)
            if not found or f" {ADDRESS}/" not in line:
                continue
            node, has = nodes[int(found[1])], not found[2]
            self.events.append((time.time(), node, has))
            (self.holders.add if has else self.holders.discard)(node)
            if len(self.holders - self.dead) > 1:
                self.overlaps.append((time.time(), set(self.holders)))

    def live(self):
        return self.holders - self.dead

    def when(self, node, has):
        return [at for at, who, got in self.events if (who, got) == (node, has)][-1]

    def close(self):
        self.process.kill()
        self.process.wait(5)


class Pings:
    """A client's view of the address, every 50 ms."""

    def __init__(self, network, path):
        self.path = path
        with open(path, "wb") as file:
            self.process = subprocess.Popen(
                [*network.wrapper(0), "ping", "-n", "-D", "-i", "0.05", ADDRESS],
                stdout=file, stderr=subprocess.STDOUT)

    def answers(self):
        text = self.path.read_text(errors="replace")
        return [float(at) for at in re.findall(r"^\[([\d.]+)\] \d+ bytes from", text, re.M)]

    def outage(self, since):
        """The longest time without an answer, from just before `since`."""
        times = [at for at in self.answers() if at >= since - 0.3] + [time.time()]
        return max(b - a for a, b in zip(times, times[1:]))

    def wait(self, since):
        wait_for("an answer", lambda: any(at > since for at in self.answers()[-3:]), 15)

    def close(self):
        self.process.kill()
        self.process.wait(5)


class Site:
    """Three nodes behind a client that is everybody's 192.168.173.1."""

    def __init__(self, folder):
        self.folder = folder
        self.network = Network(4, subnet="192.168.173")
        self.nodes = {}
        self.pings = self.watch = None

    def build(self):
        self.network.build()
        self.watch = Watch(self.network)
        self.pings = Pings(self.network, self.folder / "pings")

    def start(self, number, more="", wrapper=()):
        folder = self.folder / f"node{number}"
        folder.mkdir(exist_ok=True)
        if wrapper:
            shutil.chown(folder, NOBODY, NOBODY)
        text = TEXT.removeprefix("[uwsgi]\n").replace(" 98 bf-cbc", f" {99 - number} bf-cbc")
        self.nodes[number] = Program(
            folder, f"{text}\nlegion-freq = {FREQ}\nlegion-tolerance = {TOLERANCE}\n"
            f"legion-start-wait = {TOLERANCE}\n{more}",
            wrapper=(*self.network.wrapper(number), *wrapper))
        return self.nodes[number]

    def wait_holder(self, *numbers, since=0.0):
        """Until one of them has had the address since then, and nobody else has it."""
        def holder():
            live = self.watch.live()
            number = next(iter(live)) if len(live) == 1 else None
            return number if number in numbers and self.watch.when(number, True) >= since else 0

        try:
            number = wait_for(f"{numbers} has the address", holder, 20)
        except AssertionError as error:
            logs = "\n".join(node.log() for node in self.nodes.values())
            raise AssertionError(f"{error}: {self.watch.events}\n{logs}") from None
        self.pings.wait(self.watch.when(number, True))

    def passes_to(self, heir, what, limit, act):
        """`act` moves the address to `heir`, or one of several; the client misses it for
        less than `limit`."""
        time.sleep(1.1)  # a client takes no other hardware address within a second
        at = time.time()
        act()
        self.wait_holder(*(heir if isinstance(heir, tuple) else [heir]), since=at)
        outage = self.pings.outage(at)
        print(f"{what}: {outage:.3f} s without an answer (at most {limit:.1f})")
        assert not self.watch.overlaps, self.watch.overlaps
        assert outage < limit

    def close(self):
        for node in self.nodes.values():
            if node.process.poll() is None or marked(node.mark):
                crash(node)
        for part in (self.pings, self.watch, self.network):
            if part:
                part.close()


@pytest.fixture
def site():
    arping = shutil.which("arping")
    helped = subprocess.run([arping or "false", "--help"], capture_output=True, text=True)
    assert "-S" in helped.stdout + helped.stderr, "expected Debian's package arping"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lg-takeover-"))  # others may look in
    folder.chmod(0o755)
    made = Site(folder)
    try:
        made.build()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def stop_all(site):
    """Nothing stays behind."""
    for node in site.nodes.values():
        node.signal(signal.SIGTERM)
    for node in site.nodes.values():
        assert node.wait_exit() == 0, node.log()
    wait_for("the address is gone", lambda: not site.watch.holders, 2)
    for name in site.network.names:
        assert ADDRESS not in ip("addr", "show", namespace=name)
    assert not site.watch.overlaps, site.watch.overlaps


HAND_OVER = 0.3 + SLACK  # hooks on both sides
FAIL_OVER = TOLERANCE + FREQ + SLACK
# A legion process has a successor, which may be there in time to be elected again, or to
# stand against another: docs/legion-protocol.md, "within 2 P + 6 f".
CONTENDED = 2 * TOLERANCE + 6 * FREQ + SLACK


def test_ip_takeover_as_root(site):
    nodes = {i: site.start(i) for i in (1, 2, 3)}
    site.wait_holder(1)
    site.passes_to(2, "SIGTERM", HAND_OVER, lambda: nodes[1].signal(signal.SIGTERM))
    assert nodes[1].wait_exit() == 0
    site.passes_to(1, "fail-back", HAND_OVER, lambda: site.start(1))
    pid = legion_pid(site.nodes[1])
    site.passes_to((1, 2), "kill -9 of the legion process", CONTENDED,
                   lambda: os.kill(pid, signal.SIGKILL))
    site.wait_holder(1)  # the master has started another
    site.passes_to(2, "kill -9 of the master", HAND_OVER,
                   lambda: site.nodes[1].signal(signal.SIGKILL))
    site.passes_to(1, "fail-back", HAND_OVER, lambda: site.start(1))

    def power_off():
        site.network.link(1, "down")
        crash(site.nodes[1])
        site.watch.dead.add(1)

    site.passes_to(2, "the whole machine", FAIL_OVER, power_off)
    assert site.watch.holders == {1, 2}  # nobody was left to take it away ...
    site.start(1)
    wait_for("setup has run", lambda: 1 not in site.watch.holders)  # ... but the next start
    site.watch.dead.clear()
    site.passes_to(1, "its cable again", HAND_OVER, lambda: site.network.link(1, "up"))
    stop_all(site)


UNPRIVILEGED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.mark.parametrize("how", ["uid", "file"])
def test_ip_takeover_with_two_capabilities(site, monkeypatch, how):
    """`uid` with root's help: hooks keep the master's identity. `file`: never root; the
    program's file has the capabilities, and cap hands them to the hooks."""
    more, wrapper = "cap = net_admin,net_raw\n", ()
    if how == "uid":
        more += f"uid = {NOBODY}\ngid = {NOBODY}\n"
    else:
        binary = site.folder / "legatus"
        shutil.copy(program.BINARY, binary)
        subprocess.run(["setcap", "cap_net_admin,cap_net_raw+ep", binary], check=True)
        monkeypatch.setattr(program, "BINARY", binary)
        wrapper = UNPRIVILEGED
    nodes = {i: site.start(i, more, wrapper) for i in (1, 2, 3)}
    site.wait_holder(1)
    if how == "file":
        status = program.proc_status(legion_pid(nodes[1]))
        assert status["Uid"].split() == [str(NOBODY)] * 4
        assert int(status["CapAmb"], 16) == 1 << 12 | 1 << 13  # and nothing else
    pid = legion_pid(nodes[1])
    site.passes_to((1, 2), "kill -9 of the legion process", CONTENDED,
                   lambda: os.kill(pid, signal.SIGKILL))
    site.wait_holder(1)
    site.passes_to(2, "SIGTERM", HAND_OVER, lambda: nodes[1].signal(signal.SIGTERM))
    nodes[2].wait_log(r"calling cmd:arping")
    assert "arping -c 3 -S 192.168.173.111 192.168.173.1\" returned" not in nodes[2].log()
    stop_all(site)


@pytest.mark.long
def test_pause_of_twenty_seconds(site):
    nodes = {i: site.start(i) for i in (1, 2, 3)}
    site.wait_holder(1)
    pid = legion_pid(nodes[1])
    site.passes_to((1, 2), "the legion process stopped", CONTENDED,
                   lambda: os.kill(pid, signal.SIGSTOP))
    time.sleep(20)
    site.wait_holder(1)
    assert pid not in marked(nodes[1].mark)

    # A machine that is suspended keeps what it has until it goes on.
    pids = marked(nodes[1].mark)

    def suspend():
        site.network.link(1, "down")
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        site.watch.dead.add(1)

    try:
        site.passes_to(2, "the machine suspended", FAIL_OVER, suspend)
        time.sleep(20)
    finally:
        at = time.time()
        site.network.link(1, "up")
        for each in pids:
            os.kill(each, signal.SIGCONT)
    wait_for("1 gives it up", lambda: 1 not in site.watch.holders)
    print(f"held for {site.watch.when(1, False) - at:.3f} s after it went on")
    assert site.watch.when(1, False) - at < SLACK
    site.watch.dead.clear()
    site.wait_holder(1, since=at)
    stop_all(site)
