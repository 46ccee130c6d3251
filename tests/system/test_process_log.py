# SPDX-License-Identifier: Apache-2.0
"""Log lines and statistics of a running program."""

import json
import os
import re
import signal
import socket
import threading
import time

from program import wait_for

WEB = """
http-socket = {http}
http-socket-modifier1 = 200
"""

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (master|check|worker \d+) (warning |error )?\[[\w-]+\] .*")


def hammer(program, paths, count):
    def work():
        for i in range(count):
            program.request(paths[i % len(paths)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_every_human_line_is_whole(legatus):
    web = legatus(WEB + "processes = 4\nthreads = 2", plugin="probe")
    hammer(web, ["/pid", "/" + "x" * 3000], 60)
    web.stop()
    lines = web.log().splitlines()
    assert len([line for line in lines if "[request]" in line]) == 480
    for line in lines:
        assert LINE.fullmatch(line), line


def test_json_lines_are_json_in_their_file(legatus):
    web = legatus(
        WEB + "processes = 4\nlogto = a.log\nlog-json = true\nchdir = /", plugin="probe", wait=False
    )
    path = web.folder / "a.log"
    wait_for("the start", lambda: path.exists() and "serving (pid" in path.read_text())
    hammer(web, ["/pid", "/%ff%00"[:4] + "a", "/a%0a2026-01-01 forged"[:8]], 30)
    web.stop()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len([r for r in records if r["room"] == "request"]) == 240
    for record in records:
        assert set(record) == {"time", "level", "process", "room", "message"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert {r["process"] for r in records} >= {"master", "worker 1"}
    assert web.log() == ""


def test_no_request_forges_a_line(legatus):
    web = legatus(WEB, plugin="probe")
    with socket.create_connection(web.address, 5) as sock:
        sock.sendall(b"GET /\xff\xfe%0aforged\x85 HTTP/1.0\r\nUser-Agent: a\x0bb\r\n\r\n")
        sock.recv(1000)
    web.request("/a%0a%1b[31mforged")
    web.stop()
    for line in web.log().splitlines():
        assert LINE.fullmatch(line), line
        assert line.isprintable()


def test_log_level_drops_what_matters_less(legatus):
    web = legatus(WEB + "log-level = error", plugin="probe", wait=False)
    wait_for("the socket", lambda: answers(web))
    web.stop()
    assert web.log() == ""


def answers(web):
    try:
        return web.request()[0] == 200
    except OSError:
        return False


def test_a_stuck_reader_of_the_log_does_not_stop_the_service(legatus, tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        web = legatus(WEB + f"processes = 2\nlogto = {fifo}", plugin="probe", wait=False)
        wait_for("the socket", lambda: answers(web))
        began = time.monotonic()
        hammer(web, ["/" + "x" * 6000], 30)  # more than a megabyte for a pipe that holds 64 KiB
        assert time.monotonic() - began < 20
        assert web.request()[0] == 200
        web.signal(signal.SIGTERM)
        web.wait_exit(30)
    finally:
        os.close(reader)


# ---- statistics ----

TOP = {
    "version", "listen_queue", "listen_queue_errors", "signal_queue", "load", "pid", "uid", "gid",
    "cwd", "daemons", "locks", "caches", "sockets", "workers", "crons", "legions",
}
WORKER = {
    "id", "pid", "accepting", "requests", "delta_requests", "exceptions", "harakiri_count", "signals",
    "signal_queue", "status", "rss", "vsz", "running_time", "last_spawn", "respawn_count", "tx",
    "avg_rt", "apps", "cores",
}


def test_stats_count_what_happened(legatus):
    web = legatus(WEB + "processes = 2\nthreads = 3\nstats = 127.0.0.1:{stats}", plugin="probe")
    web.wait_log("worker 2 is ready")
    for _ in range(20):
        assert web.request()[0] == 200
    web.request("/never")
    stats, head = web.stats()
    assert head == b"" and TOP <= set(stats) and stats["pid"] == web.pid
    assert [worker["id"] for worker in stats["workers"]] == [1, 2]
    for worker in stats["workers"]:
        assert WORKER <= set(worker)
        assert worker["accepting"] == 1 and worker["pid"] == web.workers()[worker["id"]]
        assert len(worker["cores"]) == 3
        assert worker["rss"] > 100_000 and worker["vsz"] > worker["rss"]
        assert abs(worker["last_spawn"] - time.time()) < 60
    assert sum(worker["requests"] for worker in stats["workers"]) == 21
    assert sum(worker["exceptions"] for worker in stats["workers"]) == 1
    assert sum(worker["responses"]["2xx"] for worker in stats["workers"]) == 20
    assert sum(worker["tx"] for worker in stats["workers"]) > 20 * 100
    assert stats["sockets"][0]["name"] == f"127.0.0.1:{web.ports['http']}"
    assert stats["sockets"][0]["max_queue"] == 100


def test_stats_show_who_is_busy(legatus):
    web = legatus(WEB + "threads = 2\nstats = 127.0.0.1:{stats}", plugin="probe")
    thread = threading.Thread(target=web.request, args=("/sleep/1500",))
    thread.start()
    try:
        worker = wait_for(
            "a busy worker",
            lambda: next((w for w in web.stats()[0]["workers"] if w["status"] == "busy"), None),
        )
        assert sum(core["in_request"] for core in worker["cores"]) == 1
    finally:
        thread.join(10)
    wait_for("an idle worker", lambda: web.stats()[0]["workers"][0]["status"] == "idle")


def test_stats_totals_survive_a_respawn(legatus):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}", plugin="probe")
    for _ in range(5):
        web.request()
    os.kill(web.workers()[1], signal.SIGKILL)
    web.wait_log("worker 1 is ready", count=2)
    web.request()
    (worker,) = web.stats()[0]["workers"]
    assert (worker["requests"], worker["delta_requests"], worker["respawn_count"]) == (6, 1, 1)


def test_stats_http_and_unix(legatus):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}\nstats = stats.sock\nstats-http = true", plugin="probe")
    stats, head = web.stats()
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(web.folder / "stats.sock"))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    assert json.loads(data.split(b"\r\n\r\n", 1)[1])["pid"] == web.pid


def test_slow_stats_clients_are_dropped_and_block_nobody(legatus):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}", plugin="probe")
    idle = [socket.create_connection(("127.0.0.1", web.ports["stats"]), 5) for _ in range(8)]
    try:
        assert web.request()[0] == 200
        time.sleep(2.3)
        assert web.stats()[0]["pid"] == web.pid
    finally:
        for sock in idle:
            sock.close()
