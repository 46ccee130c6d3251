# SPDX-License-Identifier: Apache-2.0
"""What thousands of clients cost one worker: memory, descriptors, threads, and the time
of everybody else's requests. Each test runs with thousands in ./check and with ten
thousand in ./check --long, and asserts the same for each connection."""

import array
import concurrent.futures
import json
import os
import re
import resource
import socket
import subprocess
import time

import pytest
from gluster_rig import EmbeddedBrick, Serving, free_port, wait_for
from program import BUILD

KIB = 1024
WAITING_MAX = 6 * KIB
pytestmark = pytest.mark.measured

# What a connection may cost in a worker's own memory (the kernel's is apart).
IDLE_MAX = 2 * KIB
SLOW_MAX = 20 * KIB  # request, answer, an open file in gfapi; what is read ahead apart


def numbers(size):
    """What the crowd expects of a body: any hole, shift or torn piece shows."""
    return array.array("Q", range(size // 8)).tobytes()


class Crowd:
    """tests/clients/crowd: thousands of clients in one process."""

    def __init__(self, port):
        self.process = subprocess.Popen(
            [BUILD / "tests/clients/crowd", "127.0.0.1", str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begin(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self):
        words = self.process.stdout.readline().split()
        assert words, "the crowd has died"
        return dict(zip(words[::2], map(int, words[1::2])))

    def tell(self, line):
        self.begin(line)
        return self.end()

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def brick():
    brick = EmbeddedBrick("limits", ping_timeout=42)
    with open(os.path.join(brick.brick, "large"), "wb") as file:
        file.write(numbers(16 << 20))
    for name, size in (("small", 1 << 10), ("medium", 100 * KIB)):
        with open(os.path.join(brick.brick, name), "wb") as file:
            file.write(numbers(size))
    for i in range(500):
        with open(os.path.join(brick.brick, f"s{i}"), "wb") as file:
            file.write(numbers(4 * KIB))
    yield brick
    brick.close()


def serve(brick, *lines, **kw):
    port = free_port()
    stats = os.path.join(brick.folder, f"stats{time.monotonic_ns()}")
    web = Serving(
        [f"glusterfs-mount = mountpoint=/,{brick.mount}", f"http-socket = 127.0.0.1:{port}",
         "listen = 1024", f"stats = {stats}", *lines],
        **kw,
    )  # fmt: skip
    web.port, web.stats = port, stats
    web.connected()
    return web


def stats(web):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(web.stats)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    return json.loads(data)["workers"][0]


def memory(web):
    """Bytes of the worker's memory that are its own: shared pages by their share."""
    (pid,) = web.program.workers().values()
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Pss:\s+(\d+) kB", file.read(), re.M).group(1)) * KIB


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_threads(web):
    return sum(core["in_request"] for core in stats(web)["cores"])


def ask(web, path):
    """Seconds a request took that must be answered 200."""
    began = time.monotonic()
    assert web.status(path) == 200
    return time.monotonic() - began


def warm_up(web, crowd, path):
    """Pools, buffers and tables that any load at all needs are there afterwards."""
    assert crowd.tell(f"open 300 {path}")["failed"] == 0
    crowd.tell("close")
    wait_for("they are gone", lambda: stats(web)["connections"] <= 1)
    ask(web, "/small")


def slow_downloads(brick, closing, count, seconds):
    web = closing(serve(brick))
    crowd = closing(Crowd(web.port))
    (worker,) = web.program.workers().values()
    warm_up(web, crowd, "/large")
    before = memory(web)
    logged = len(web.log())
    took = []
    found = crowd.tell(f"open {count} /large")
    assert (found["open"], found["failed"]) == (count, 0)
    crowd.begin(f"slow {seconds} 1024")
    end = time.monotonic() + seconds
    most, busy, i = 0, [], 0
    while time.monotonic() < end - 0.3:
        took.append(ask(web, f"/s{i % 500}"))
        took.append(ask(web, "/small"))
        i += 1
        if i % 10 == 0:
            most = max(most, memory(web))
            busy.append(busy_threads(web))
        time.sleep(0.02)
    found = crowd.end()
    took.sort()
    grown = most - before
    print(f"{count} slow downloads: {grown / (1 << 20):.1f} MiB, {grown // count} bytes each; "
          f"{len(took)} other requests, median {took[len(took) // 2] * 1000:.1f} ms, "
          f"worst {took[-1] * 1000:.0f} ms; threads busy {max(busy)} at most")  # fmt: skip
    assert found["failed"] == 0
    assert found["least"] >= (seconds - 2) * 1024, "somebody got nothing"
    assert grown <= (256 << 20) + count * SLOW_MAX
    assert busy.count(0) >= len(busy) / 2, "handler threads are held"
    assert took[int(len(took) * 0.99)] < 0.5
    assert web.program.workers() == {1: worker}
    assert "cut short" not in web.log()[logged:]
    crowd.tell("close")
    wait_for("no open file", lambda: brick.open_files() == [], 30)
    return grown


def test_slow_downloads(brick, closing):
    slow_downloads(brick, closing, 1500, 6)


@pytest.mark.long
def test_ten_thousand_slow_downloads(brick, closing):
    slow_downloads(brick, closing, 10000, 40)


def idle_connections(brick, closing, count, path):
    web = closing(serve(brick, "http-keepalive = 300"))
    crowd = closing(Crowd(web.port))
    warm_up(web, crowd, path)
    before = memory(web)
    assert crowd.tell(f"open {count} {path}")["failed"] == 0
    found = crowd.tell("whole")
    assert (found["failed"], found["whole"]) == (0, count)
    assert stats(web)["connections"] >= count
    each = (memory(web) - before) // count
    print(f"{count} idle connections: {each} bytes each")
    assert each < IDLE_MAX
    # they live: a second round, and idle again
    found = crowd.tell("ask /small")
    assert (found["failed"], found["whole"]) == (0, count)
    each = (memory(web) - before) // count
    print(f"{count} idle connections after a second request: {each} bytes each")
    assert each < IDLE_MAX


@pytest.mark.parametrize("path", ["/small", "/medium"])
def test_idle_connections(brick, closing, path):
    idle_connections(brick, closing, 2000, path)


@pytest.mark.long
def test_ten_thousand_idle_connections(brick, closing):
    idle_connections(brick, closing, 10000, "/medium")


# ---- many different files at the same moment ---------------------------------------------


def test_thousands_of_cold_files_at_once(closing, count=3000):
    """Clients as many, each for another file that nobody has: all wait their turn."""
    brick = closing(EmbeddedBrick("cold", ping_timeout=42))
    for i in range(count):
        with open(os.path.join(brick.brick, f"cold{i}"), "wb") as file:
            file.write(numbers(KIB))
    with open(os.path.join(brick.brick, "small"), "wb") as file:
        file.write(numbers(KIB))
    web = closing(serve(brick, "glusterfs-timeout = 40", "http-keepalive = 300"))
    crowd = closing(Crowd(web.port))
    assert crowd.tell(f"open {count} /small")["failed"] == 0
    assert crowd.tell("whole")["whole"] == count
    before = memory(web)
    brick.pause()
    try:
        crowd.begin("each /cold")
        # some are with the brick, the one who asks for statistics has no request
        wait_for("all are waiting", lambda: stats(web)["queued"] >= count - 32, 10)
        each = (memory(web) - before) // count
    finally:
        brick.resume()
    print(f"a request that waits: {each} bytes")
    assert each < WAITING_MAX
    found = crowd.end()
    assert (found["failed"], found["whole"]) == (0, count)


def test_files_nobody_waits_for_any_more_are_not_fetched(closing):
    """400 clients of a volume that takes 20 ms for a look-up leave unserved: those who
    come after them find a volume that has nothing to do."""
    brick = closing(EmbeddedBrick("slowly", below=[("debug/delay-gen", {
        "delay-percentage": "100", "delay-duration": "20000", "enable": "lookup",
    })]))  # fmt: skip
    for name in ("small", "late"):
        with open(os.path.join(brick.brick, name), "wb") as file:
            file.write(numbers(KIB))
    web = closing(serve(brick, "glusterfs-timeout = 1", "glusterfs-calls-max = 1", "glusterfs-cache-age = 60"))
    crowd = closing(Crowd(web.port))
    crowd.tell("open 400 /small")
    assert crowd.tell("whole")["whole"] == 400
    found = crowd.tell("each /none")
    assert found["whole"] == 0
    assert ask(web, "/late") < 0.9


def test_files_loaded_together_are_not_renewed_all_at_once(closing, count=20):
    """A few look-ups at a time, none of which has to wait for a thread; and they are in
    time, so that no client waits for one."""
    brick = closing(EmbeddedBrick("together", below=[("debug/delay-gen", {
        "delay-percentage": "100", "delay-duration": "10000", "enable": "lookup",
    })]))  # fmt: skip
    for name in ("small", *(f"t{i}" for i in range(count))):
        with open(os.path.join(brick.brick, name), "wb") as file:
            file.write(numbers(KIB))
    web = closing(serve(brick, "glusterfs-upcall = off", "glusterfs-cache-age = 2"))

    def mount_stats():
        return stats(web)["plugins"]["glusterfs"][0]

    for pause in (2.6, 0):  # what has just changed is read again, not only looked at
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            assert set(pool.map(lambda i: web.status(f"/t{i}"), range(count))) == {200}
        time.sleep(pause)
    begun = mount_stats()
    waited, end = [], time.monotonic() + 4
    while time.monotonic() < end:
        for i in range(count):
            assert web.status(f"/t{i}") == 200
            if i % 8 == 0:
                waited.append(stats(web)["queued"])
    found = mount_stats()
    assert found["renewals"] - begun["renewals"] >= count
    assert found["misses"] + found["shared"] - begun["misses"] - begun["shared"] <= 1
    assert max(waited) <= 2


# ---- descriptors ------------------------------------------------------------------------


def limited(hard, soft):
    return ["prlimit", f"--nofile={soft}:{hard}", "--"]


def test_the_limit_of_open_files_is_raised(brick, closing):
    web = closing(serve(brick, prefix=limited(18000, 256), processes=2))
    for pid in web.program.workers().values():
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (18000, 18000)
    assert "hard limit" not in web.log()
    web.program.wait_log("connected through", count=2)
    crowd = closing(Crowd(web.port))
    assert crowd.tell("open 600 /small")["failed"] == 0


def test_a_low_hard_limit_is_said_and_lived_with(brick, closing):
    """Cached files have descriptors, too: they leave half of them to clients, and
    clients who find none wait."""
    for i in range(200):
        with open(os.path.join(brick.brick, f"c{i}"), "wb") as file:
            file.write(numbers(40 * KIB))
    web = closing(serve(brick, prefix=limited(256, 256)))
    assert len(re.findall("the hard limit of open files is 256", web.log())) == 1
    for i in range(200):
        assert web.status(f"/c{i}") == 200
    crowd = closing(Crowd(web.port))
    assert crowd.tell("open 90 /c0")["failed"] == 0
    assert crowd.tell("whole")["whole"] == 90
    waiting = closing(Crowd(web.port))
    waiting.begin("open 50 /c1")  # more than there is room for
    web.wait_log("accept on .*Too many open files")
    (worker,) = web.program.workers().values()
    before = cpu_s(worker)
    time.sleep(2.1)
    assert cpu_s(worker) - before < 0.5, "it spins"
    assert 2 <= len(re.findall("accept on .*Too many open files", web.log())) <= 5
    crowd.tell("close")
    found = waiting.end()
    assert (found["open"], found["failed"]) == (50, 0)
