# SPDX-License-Identifier: Apache-2.0
"""The real program under test: started with an ini in a folder of its own,
stopped by its pid, and made to answer for every process it left behind."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import uuid

from reports import reports

TOP = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("LEGATUS_BIN", TOP / "build/legatus")).resolve()
BUILD = BINARY.parent
PLUGINS = BUILD / "tests/plugins"

# Every process of a program carries it in its environment, whoever its parent is.
MARK = "LG_TEST_MARK"


def environment(mark=None):
    """Ours without what would be options to the program. LEGATUS_TEST_PRELOAD is for it
    alone: a sanitizer's runtime, which libgfapi's own libraries must find loaded first."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LEGATUS_", "UWSGI_", "NOTIFY_", "WATCHDOG_"))
    }
    if mark:
        clean[MARK] = mark
    if preload := os.environ.get("LEGATUS_TEST_PRELOAD"):
        clean["LD_PRELOAD"] = preload
    return clean


def free_ports(count, kind=socket.SOCK_STREAM):
    """Ports of 127.0.0.1 that nobody uses just now."""
    sockets = []
    try:
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, kind)
            sockets.append(sock)
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def wait_for(what, condition, timeout=10.0):
    """The first true value of condition(), asked every 10 ms."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.01)


def marked(mark):
    """The pids of living processes that carry the mark."""
    pids = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if f"{MARK}={mark}".encode() not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{entry}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            pids.append(int(entry))
    return pids


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def proc_status(pid):
    """/proc/PID/status as a dictionary."""
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


class Program:
    """One run. {http} in the text becomes 127.0.0.1:PORT, any other {name} a
    free port."""

    def __init__(self, folder, text, plugin=None, arguments=(), env=None, wait=True,
                 wrapper=(), pass_fds=()):
        self.folder = pathlib.Path(folder)
        self.mark = uuid.uuid4().hex
        names = dict.fromkeys(re.findall(r"(?<!\$)\{(\w+)\}", text))
        self.ports = dict(zip(names, free_ports(len(names))))
        self.address = ("127.0.0.1", self.ports.get("http"))
        self.ini = self.folder / "legatus.ini"
        self.plugin = plugin
        self.write(text)
        self.log_path = self.folder / "stderr.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*map(str, wrapper), str(BINARY), *arguments, str(self.ini)], cwd=self.folder,
                env={**environment(self.mark), **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, pass_fds=pass_fds,
            )
        self.pid = self.process.pid
        if wait:
            self.wait_log(r"\[master\] serving")

    def write(self, text):
        """The ini of the next start or reload."""
        values = {name: port for name, port in self.ports.items()}
        values["http"] = f"127.0.0.1:{self.ports.get('http')}"
        text = re.sub(r"(?<!\$)\{(\w+)\}", lambda m: str(values[m[1]]), text)
        lines = [line.strip() for line in text.splitlines()]
        if self.plugin:
            lines += [f"plugins-dir = {PLUGINS}", f"plugin = {self.plugin}"]
        self.ini.write_text("\n".join(["[uwsgi]", *lines]) + "\n")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, timeout=10.0, count=1):
        """The count-th match of the pattern in the log."""

        def look():
            found = list(re.finditer(pattern, self.log(), re.MULTILINE))
            if len(found) < count and self.process.poll() is not None:
                found = list(re.finditer(pattern, self.log(), re.MULTILINE))
                assert len(found) >= count, f"ended, no {pattern!r} in\n{self.log()}"
            return found[count - 1] if len(found) >= count else None

        try:
            return wait_for(pattern, look, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def signal(self, number):
        os.kill(self.pid, number)

    def workers(self):
        """Pids by worker number, as the log last said they are ready."""
        pids = {}
        for number, pid in re.findall(r"worker (\d+) is ready \(pid (\d+)\)", self.log()):
            pids[int(number)] = int(pid)
        return pids

    def request(self, path="/pid", timeout=10.0):
        """(status, body) of a GET on a connection of its own."""
        with socket.create_connection(self.address, timeout) as sock:
            sock.sendall(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
        head, body = data.split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body

    def stats(self, name="stats", timeout=5.0):
        """The JSON of `stats`, and the bytes before it."""
        with socket.create_connection(("127.0.0.1", self.ports[name]), timeout) as sock:
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
        start = data.index(b"{")
        return json.loads(data[start:]), data[:start]

    def wait_exit(self, timeout=10.0):
        return self.process.wait(timeout)

    def stop(self, timeout=10.0):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait_exit(timeout)

    def close(self):
        """Ends it whatever state it is in; fails when something stays behind."""
        try:
            if self.process.poll() is None:
                self.process.terminate()
                self.process.wait(10)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not stop\n{self.log()}") from None
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            end = time.monotonic() + 3
            while (left := marked(self.mark)) and time.monotonic() < end:
                time.sleep(0.02)
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        assert not left, f"left behind: {left}\n{self.log()}"
        found = reports(self.log())
        assert not found, "\n\n".join(found)


def run(*arguments, folder=None, timeout=20, **kw):
    """Runs the program to its end; a CompletedProcess with texts."""
    return subprocess.run(
        [str(BINARY), *map(str, arguments)], cwd=folder, env=environment(), text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **kw,
    )
