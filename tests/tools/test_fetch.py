"""bench/fetch.c counts what was answered, and nothing that was not.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest

TOP = pathlib.Path(__file__).parents[2]
STALL_MS = 1500


@pytest.fixture(scope="module")
def fetch(tmp_path_factory):
    program = tmp_path_factory.mktemp("fetch") / "fetch"
    subprocess.run(
        ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-DSTALL_MS={STALL_MS}",
         TOP / "bench/fetch.c", "-o", program], check=True)
    return program


class Server(contextlib.AbstractContextManager):
    """Answers each request with what `answer(path, number)` gives: pieces of bytes, sent
    one after the other; None ends the connection, a number is seconds to wait."""

    def __init__(self, answer, keeps=True):
        self.answer, self.keeps, self.paths = answer, keeps, []
        self.lock, self.socket = threading.Lock(), socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __exit__(self, *_):
        self.leave()

    def leave(self):
        """Listens no more."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := connection.recv(4096):
                assert request.endswith(b"\r\n\r\n")
                path = request.split()[1].decode()
                with self.lock:
                    self.paths.append(path)
                    number = len(self.paths)
                for piece in self.answer(path, number):
                    if piece is None:
                        return
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    else:
                        time.sleep(piece)
                if not self.keeps:
                    return


def answer(size, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size


def run(fetch, port, connections, files, size, version="1.1", seconds=None, status=0):
    words = [*(["--seconds", seconds] if seconds else []), "127.0.0.1", port, connections, "/some",
             files, size, version]
    done = subprocess.run(
        [fetch, *(str(word) for word in words)], capture_output=True, text=True, timeout=30,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("size", [1, 15000, 16384, 300000])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_each_file_is_asked_for_once(fetch, size, version):
    with Server(lambda *_: [answer(size)], version == "1.1") as server:
        result = run(fetch, server.port, 3, 10, size, version)
    assert sorted(server.paths) == sorted(f"/some/{i}" for i in range(10))
    assert (result["requests"], result["errors"], result["bytes"]) == (10, 0, 10 * size)
    assert 0 < result["p50_us"] <= result["p99_us"] <= result["p999_us"]


def test_more_connections_than_files(fetch):
    with Server(lambda *_: [answer(5)]) as server:
        assert run(fetch, server.port, 8, 2, 5)["requests"] == 2


def test_heads_and_bodies_may_come_in_pieces(fetch):
    whole = answer(20000)
    pieces = [whole[:7], 0.02, whole[7:30], 0.02, whole[30:45], 0.02, whole[45:9000], 0.02,
              whole[9000:]]
    with Server(lambda *_: pieces) as server:
        result = run(fetch, server.port, 2, 6, 20000)
    assert (result["requests"], result["errors"]) == (6, 0)
    assert 80000 <= result["p50_us"] < 2000000


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_files_are_asked_for_in_turn_until_the_time_is_over(fetch, version):
    with Server(lambda *_: [0.01, answer(40000)], version == "1.1") as server:
        result = run(fetch, server.port, 4, 3, 40000, version, seconds=0.5)
    for i in range(3):
        assert abs(server.paths.count(f"/some/{i}") - len(server.paths) / 3) <= 1
    assert result["errors"] == 0 and 0.5 <= result["seconds"] < 1.5
    # Those of the warm-up are answers, but no requests that count.
    assert result["requests"] < 0.9 * result["answers"] and result["answers"] == len(server.paths)
    assert result["bytes"] == 40000 * result["requests"]
    assert result["requests"] > 20 and result["p50_us"] >= 10000
    assert 0 < result["busy"] < 1


def test_percentiles_are_those_of_the_answers(fetch):
    """19 of 20 take 2 ms or a bit more, one 60 ms."""
    with Server(lambda _, n: [0.06 if n % 20 == 0 else 0.002, answer(10)]) as server:
        result = run(fetch, server.port, 1, 7, 10, seconds=1)
    assert 2000 <= result["p50_us"] < 30000
    assert 60000 <= result["p99_us"] <= result["p999_us"] < 500000


@pytest.mark.parametrize("wrong", [
    [answer(99), None],                 # short, and the end
    [answer(101)],                      # a byte too many
    [answer(100, "404 Not Found")],
    [b"nonsense\r\n\r\n"],
    [b"\r\n\r\n"],
    [b"x" * 9000],                      # no head at all
    [None],
])
def test_a_wrong_answer_is_an_error(fetch, wrong):
    with Server(lambda _, n: wrong if n in (3, 8) else [answer(100)]) as server:
        result = run(fetch, server.port, 1, 10, 100)
    assert (result["requests"], result["errors"]) == (8, 2)


def test_a_long_body_is_an_error_where_it_is_not_looked_at(fetch):
    with Server(lambda _, n: [answer(100001 if n == 2 else 100000)]) as server:
        result = run(fetch, server.port, 1, 4, 100000)
    assert (result["requests"], result["errors"]) == (3, 1)


def test_an_answer_that_does_not_come_ends_it(fetch):
    with Server(lambda _, n: [answer(100)[:-1], 6] if n == 5 else [answer(100)]) as server:
        began = time.monotonic()
        result = run(fetch, server.port, 1, 10, 100, seconds=5, status=1)
    assert (result["answers"], result["errors"]) == (4, 1)
    assert STALL_MS / 1000 <= time.monotonic() - began < 5


def test_nobody_there_is_an_error_of_each_connection(fetch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = run(fetch, port, 4, 10, 100, seconds=5)
    assert (result["requests"], result["errors"]) == (0, 4)


def test_a_server_that_goes_away_is_errors(fetch):
    def leave(_, number):
        if number >= 50:
            server.leave()
        return [None] if number >= 50 else [answer(100)]

    with Server(leave) as server:
        result = run(fetch, server.port, 2, 10, 100, seconds=5)
    assert result["answers"] == 49 and 2 <= result["errors"] <= 4
