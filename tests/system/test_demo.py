"""./demo as a new user runs it: it works, it says what it did, it leaves nothing."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import pytest

TOP = pathlib.Path(__file__).parents[2]


class Demo:
    """A running ./demo whose temporary folder and children can be told apart."""

    def __init__(self, *arguments, **environment):
        # Not pytest's own folder: the nodes' workers are nobody and must get in.
        self.folder = tempfile.mkdtemp(prefix="legatus-test-demo.", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.process = subprocess.Popen(
            ["bash", TOP / "demo", *arguments],
            env={**os.environ, "TMPDIR": self.folder, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    def wait_for(self, pattern, seconds=60):
        """The first match of `pattern` in what was printed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            match = re.search(pattern, self.output)
            if match:
                return match
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"no {pattern!r} in:\n{self.output}")

    def end(self, seconds=30):
        """Waits for the end; returns the status and fails if anything is left."""
        status = self.process.wait(timeout=seconds)
        self.reader.join(timeout=5)
        deadline = time.monotonic() + 2
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.left() == [], self.output
        assert os.listdir(self.folder) == [], self.output
        return status

    def left(self):
        """Commands of processes that carry this demo's TMPDIR."""
        mark = f"TMPDIR={self.folder}".encode()
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes():
                    found.append((path.name, (path / "cmdline").read_bytes()))
            except OSError:
                pass
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                pass
        for pid, _ in self.left():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def demo():
    started = []

    def start(*arguments, **environment):
        started.append(Demo(*arguments, **environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


def nodes(demo):
    """{number: (pid, URL, stats port)} from what the demo printed."""
    rows = re.findall(
        r"^node (\d) .* pid (\d+) +(http://\S+) +stats http://127.0.0.1:(\d+)/$", demo.output, re.MULTILINE
    )
    return {int(number): (int(pid), url, port) for number, pid, url, port in rows}


def lord(ports):
    """What demo.d/legion.py says of the nodes with these stats ports, or ""."""
    return subprocess.run(
        [sys.executable, TOP / "demo.d/legion.py", *ports],
        capture_output=True, text=True, timeout=30,
    ).stdout


def test_it_checks_itself_and_ends(demo):
    run = demo("--for", "2")
    assert run.end(seconds=120) == 0, run.output
    assert "node 3 is Lord: valor 30 is the highest" in run.output
    after = int(re.search(r"first Lord (\d+) ms after", run.output)[1])
    assert after <= 3000


def test_a_second_terminal_and_another_lord_and_ctrl_c(demo):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8081))
            taken.listen()
        except OSError:
            pass  # somebody has the port already: as good
        run = demo()
        run.wait_for(r"Ctrl-C stops everything")
    rows = nodes(run)
    assert sorted(rows) == [1, 2, 3]
    assert not any(":8081/" in url for _, url, _ in rows.values())
    for _, url, _ in rows.values():
        with urllib.request.urlopen(url + "hello.txt", timeout=10) as answer:
            assert answer.read() == b"Hello from GlusterFS, by way of Legatus.\n"

    os.kill(rows[3][0], signal.SIGTERM)
    ports = [rows[1][2], rows[2][2]]
    deadline = time.monotonic() + 10
    while not lord(ports) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lord(ports).startswith("node 2 is Lord: valor 20")
    run.wait_for("node 3 has stopped")
    with urllib.request.urlopen(rows[1][1] + "hello.txt", timeout=10) as answer:
        assert answer.status == 200

    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end() == 0, run.output


def test_term_while_it_starts_leaves_nothing(demo):
    run = demo()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(b"node.ini" in command for _, command in run.left()):
            break
        time.sleep(0.01)
    run.process.terminate()
    assert run.end() == 143, run.output


def test_a_node_that_cannot_start_is_shown_and_nothing_is_left(demo):
    run = demo(UWSGI_THREADS="many")
    assert run.end(seconds=60) == 1
    assert "a node did not start" in run.output
    assert "threads" in run.output


def test_killed_outright_it_takes_its_children_along(demo):
    run = demo()
    run.wait_for(r"Ctrl-C stops everything")
    run.process.kill()
    run.process.wait(timeout=10)
    deadline = time.monotonic() + 20
    while run.left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert run.left() == []
