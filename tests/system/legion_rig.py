# SPDX-License-Identifier: Apache-2.0
"""Legions for system tests: Legatus and uWSGI nodes side by side."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from program import environment, free_ports, marked, wait_for

UWSGI = shutil.which("uwsgi")
SECRET = "aes-128-cbc:hello thisistheiv"


def settings(number, ports, valor, host="127.0.0.1", secret=SECRET, freq=1, tolerance=5,
             name="site", quorum=2):
    """The legion options of node `number`, the same for both programs. A node that
    starts here was never before: it waits no longer than it must."""
    lines = [f"legion = {name} {host}:{ports[number]} {valor} {secret}"]
    lines += [f"legion-node = {name} {host}:{port}" for i, port in enumerate(ports) if i != number]
    lines += [f"legion-quorum = {name} {quorum}", f"legion-freq = {freq}",
              f"legion-tolerance = {tolerance}", f"legion-start-wait = {tolerance}"]
    return "\n".join(lines) + "\n"


def hooks(story, who, name="site", phases=("setup", "lord", "unlord", "death")):
    """Each phase appends "TIME WHO PHASE" to the story."""
    return "".join(
        f"legion-{phase} = {name} cmd:echo $(date +%%s.%%N) {who} {phase} >>{story}\n"
        for phase in phases
    )


class Story:
    """What hooks wrote, in the order in which they wrote it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def lines(self):
        """(seconds since 1970, node, phase) each."""
        if not self.path.exists():
            return []
        words = [line.split() for line in self.path.read_text().splitlines()]
        return [(float(when), who, phase) for when, who, phase in words]

    def told(self):
        return [f"{who} {phase}" for _, who, phase in self.lines()]

    def wait(self, what, timeout=15.0, count=1):
        """Until `what` has been written `count` times."""
        try:
            wait_for(what, lambda: self.told().count(what) >= count, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.told())) from None

    def crashed(self, who):
        """Its hooks cannot tell: a machine that is gone owns nothing."""
        with open(self.path, "a") as file:
            file.write(f"{time.time()} {who} crash\n")

    def owners_overlap(self):
        """True when somebody's lord hook ran while another had not run its unlord hook."""
        owner = None
        for _, who, phase in self.lines():
            if phase == "lord" and owner not in (None, who):
                return True
            if phase == "lord":
                owner = who
            if phase in ("unlord", "death", "crash") and who == owner:
                owner = None
        return False


class Uwsgi:
    """Debian's uWSGI as a node, without an application."""

    def __init__(self, folder, text, wrapper=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.http, self.stats_port = free_ports(2)
        own = "" if "stats = " in text else f"stats = 127.0.0.1:{self.stats_port}\n"
        self.log_path = self.folder / "uwsgi.log"
        ini = self.folder / "uwsgi.ini"
        ini.write_text(
            "[uwsgi]\nmaster = true\nneed-app = false\nno-orphans = true\n"
            f"http-socket = 127.0.0.1:{self.http}\n{own}" + text
        )
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, UWSGI, "--ini", str(ini)], cwd=self.folder, env=environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stats(self):
        with socket.create_connection(("127.0.0.1", self.stats_port), 5) as sock:
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
        return json.loads(data.replace(b"\0", b""))

    def crash(self):
        """SIGKILL for the master and its workers at once: they are one session."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)

    def stop(self, timeout=10):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.crash()


def crash(program):
    """SIGKILL for every process of a Legatus node, as when its machine fails. None of them
    has time to see another's end: all are stopped, the master first, and it ends last (its
    end would make those of its children that are stopped go on)."""
    pids = sorted(marked(program.mark), key=lambda pid: pid != program.pid)
    for number, order in ((signal.SIGSTOP, pids), (signal.SIGKILL, reversed(pids))):
        for pid in order:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    program.process.wait(10)


def legion_pid(program):
    """The legion process of a node, as its log last said."""
    return int(re.findall(r"the legion process is started \(pid (\d+)\)", program.log())[-1])


def view(node):
    """A node's first legion out of its statistics; None while it has none."""
    try:
        answer = node.stats()
    except (OSError, ValueError):
        return None
    answer = answer[0] if isinstance(answer, tuple) else answer
    return answer["legions"][0] if answer.get("legions") else None


def agree(nodes, lord):
    """All of them follow nodes[lord], which says so itself, and sum the same members."""
    views = [view(node) for node in nodes]
    if not all(views):
        return False
    return (
        [bool(v["i_am_the_lord"]) for v in views] == [i == lord for i in range(len(nodes))]
        and {v["lord_uuid"] for v in views} == {views[lord]["uuid"]}
        and {v["lord_valor"] for v in views} == {views[lord]["valor"]}
        and len({v["checksum"] for v in views}) == 1
        and {len(v["members"]) for v in views} == {len(nodes) - 1}
    )


def wait_agree(nodes, lord, timeout=20.0):
    start = time.monotonic()
    try:
        wait_for(f"all agree on node {lord}", lambda: agree(nodes, lord), timeout)
    except AssertionError as error:
        texts = [f"{json.dumps(view(node), indent=1)}\n{node.log()}" for node in nodes]
        raise AssertionError("\n".join([str(error), *texts])) from None
    return time.monotonic() - start
