# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 as a client sees it: the real program, raw sockets, the probe plugin.

What the parser refuses byte by byte is in tests/unit/test_http_parser.c; here
is what takes a connection, a clock or a thread to see.
"""

import os
import re
import signal
import socket
import struct
import threading
import time

import pytest

CLOSES = b""


class Client:
    """One raw connection with bounded waits."""

    def __init__(self, address, timeout=10):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        elif ":" in address[0]:
            self.sock = socket.socket(socket.AF_INET6)
        else:
            self.sock = socket.socket()
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def _more(self):
        got = self.sock.recv(65536)
        self.buffer += got
        return got

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"closed after {self.buffer!r}")
        head, self.buffer = self.buffer.split(mark, 1)
        return head + mark

    def _exactly(self, count):
        while len(self.buffer) < count:
            if not self._more():
                raise EOFError(f"closed after {len(self.buffer)} of {count} bytes")
        body, self.buffer = self.buffer[:count], self.buffer[count:]
        return body

    def answer(self, head_only=False):
        """(status, headers, body) of the next answer."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        lines = head.split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d{3} .*", lines[0]), lines[0]
        status = int(lines[0].split()[1])
        headers = {}
        for line in lines[1:-2]:
            name, value = line.split(": ", 1)
            headers.setdefault(name.lower(), value)
        if head_only or status in (204, 304) or status < 200:
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, self._chunked()
        if "content-length" in headers:
            return status, headers, self._exactly(int(headers["content-length"]))
        return status, headers, self.rest()

    def _chunked(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n"), 16)
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
            if size == 0:
                return body

    def rest(self):
        """Everything up to the end of the connection."""
        while self._more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest


def get(path, *headers, version="1.1", method="GET"):
    lines = [f"{method} {path} HTTP/{version}", "Host: example.test", *headers]
    return "\r\n".join(lines) + "\r\n\r\n"


@pytest.fixture(scope="module")
def web(legatus_module):
    return legatus_module(
        """
        http-socket = {http}
        http-socket-modifier1 = 200
        processes = 1
        threads = 4
        socket-timeout = 1
        http-keepalive = 3
        limit-post = 100k
        add-header = X-Rack: a: b
        disable-logging = true
        """,
        plugin="probe",
    )


def ask(web, text, **kw):
    with Client(web.address) as client:
        return client.send(text).answer(**kw)


# ---- connections ----


def test_answers_carry_date_length_and_added_headers(web):
    status, headers, body = ask(web, get("/pid"))
    assert status == 200 and int(body) > 1
    assert re.fullmatch(r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT", headers["date"])
    assert headers["content-length"] == str(len(body))
    assert headers["x-rack"] == "a: b"


def test_keep_alive_serves_many_requests_on_one_connection(web):
    with Client(web.address) as client:
        for _ in range(20):
            assert client.send(get("/pid")).answer()[0] == 200


def test_an_answer_that_ends_after_its_bytes_closes_at_once(web):
    for version, header in (("1.0", "X: y"), ("1.1", "Connection: close")):
        with Client(web.address) as client:
            began = time.monotonic()
            assert len(client.send(get("/late/300", header, version=version)).answer()[2]) == 100
            assert client.rest() == CLOSES
            assert 0.2 < time.monotonic() - began < 0.8


def test_pipeline_behind_a_full_queue_survives_a_half_close(web):
    with Client(web.address) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(get("/bytes/1048576") * 8 + get("/pid"))
        client.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        assert [len(client.answer()[2]) for _ in range(8)] == [1 << 20] * 8
        assert client.answer()[0] == 200
        assert client.rest() == CLOSES


def test_connection_close_is_honoured(web):
    with Client(web.address) as client:
        status, headers, _ = client.send(get("/pid", "Connection: close")).answer()
        assert status == 200 and headers["connection"] == "close"
        assert client.rest() == CLOSES


def test_http_10_closes_unless_it_asks_to_stay(web):
    with Client(web.address) as client:
        assert client.send(get("/pid", version="1.0")).answer()[0] == 200
        assert client.rest() == CLOSES
    with Client(web.address) as client:
        for _ in range(2):
            ask_to_stay = get("/pid", "Connection: keep-alive", version="1.0")
            _, headers, _ = client.send(ask_to_stay).answer()
            assert headers["connection"].lower() == "keep-alive"


def test_pipelined_requests_are_answered_in_order(web):
    sleeps = [30, 0, 20, 5, 0, 10, 0]
    with Client(web.address) as client:
        client.send("".join(get(f"/sleep/{ms}") for ms in sleeps))
        bodies = [client.answer()[2] for _ in sleeps]
    assert [int(re.search(rb"\d+", body).group()) for body in bodies] == sleeps


def test_pipeline_then_half_close_still_answers_all(web):
    with Client(web.address) as client:
        client.send(get("/sleep/50") + get("/sleep/1"))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 200
        assert client.answer()[0] == 200
        assert client.rest() == CLOSES


def test_a_request_may_come_byte_by_byte(web):
    with Client(web.address) as client:
        for byte in get("/pid").encode():
            client.send(bytes([byte]))
        assert client.answer()[0] == 200


def test_head_has_the_headers_and_no_body(web):
    with Client(web.address) as client:
        status, headers, _ = client.send(get("/source/1000", method="HEAD")).answer(head_only=True)
        assert status == 200 and headers["content-length"] == "1000"
        assert client.send(get("/pid")).answer()[0] == 200  # nothing stood in between


# ---- bodies ----


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 100_000])
def test_a_body_with_a_length_reaches_the_handler(web, size):
    body = os.urandom(size)
    with Client(web.address) as client:
        client.send(get("/echo", f"Content-Length: {size}", method="POST")).send(body)
        assert client.answer()[2] == body
        assert client.send(get("/pid")).answer()[0] == 200


def test_a_chunked_body_reaches_the_handler(web):
    pieces = [b"a", b"bc" * 1000, b"d" * 5000]
    with Client(web.address) as client:
        client.send(get("/echo", "Transfer-Encoding: chunked", method="POST"))
        for piece in pieces:
            client.send(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
        client.send(b"0\r\nTrailer: x\r\n\r\n")
        assert client.answer()[2] == b"".join(pieces)
        assert client.send(get("/pid")).answer()[0] == 200


def test_expect_100_continue_is_answered_when_the_handler_reads(web):
    with Client(web.address) as client:
        head = get("/echo", "Content-Length: 3", "Expect: 100-continue", method="POST")
        assert client.send(head).answer()[0] == 100
        status, _, body = client.send(b"abc").answer()
        assert (status, body) == (200, b"abc")


def test_expect_100_continue_is_not_sent_where_nobody_reads(web):
    with Client(web.address) as client:
        head = get("/pid", "Content-Length: 3", "Expect: 100-continue", method="POST")
        status, headers, _ = client.send(head).answer()
        assert status == 200 and headers["connection"] == "close"


def test_a_client_that_waits_for_100_is_not_timed_out(web):
    with Client(web.address) as client:  # socket-timeout is 1 s
        head = get("/sleep/1500", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert client.send(head).answer()[0] == 200


def test_an_unread_small_body_keeps_the_connection(web):
    with Client(web.address) as client:
        client.send(get("/pid", "Content-Length: 5000", method="POST")).send(b"x" * 5000)
        assert client.answer()[0] == 200
        assert client.send(get("/pid")).answer()[0] == 200


def test_a_body_over_the_limit_is_413(web):
    assert ask(web, get("/echo", "Content-Length: 102401", method="POST"))[0] == 413
    with Client(web.address) as client:
        client.send(get("/echo", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"%x\r\n" % 200_000)
        try:
            client.send(b"x" * 200_000)
        except OSError:
            pass  # refused before we were done
        assert client.answer()[0] == 413


def test_pushed_bodies_are_chunked_and_whole(web):
    status, headers, body = ask(web, get("/push/3000000"))
    assert status == 200 and headers["transfer-encoding"] == "chunked"
    assert len(body) == 3_000_000


def test_pushed_bodies_end_with_the_connection_for_http_10(web):
    with Client(web.address) as client:
        _, headers, body = client.send(get("/push/300000", version="1.0")).answer()
        assert "transfer-encoding" not in headers and len(body) == 300_000


def test_pulled_bodies_have_a_length_and_are_whole(web):
    status, headers, body = ask(web, get("/source/5000000"))
    assert status == 200 and headers["content-length"] == "5000000" == str(len(body))


def test_a_handler_that_says_nothing_is_500(web):
    assert ask(web, get("/never"))[0] == 500
    web.wait_log("without an answer")


# ---- refusals ----

BAD = {
    "two lengths": get("/", "Content-Length: 1", "Content-Length: 2"),
    "same length twice": get("/", "Content-Length: 1", "Content-Length: 1"),
    "signed length": get("/", "Content-Length: +5"),
    "length and chunked": get("/", "Content-Length: 5", "Transfer-Encoding: chunked"),
    "overflowing length": get("/", "Content-Length: 99999999999999999999"),
    "folded header": get("/", "X-A: b", " folded"),
    "space before colon": get("/", "X-A : b"),
    "space in target": "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "nul in header": get("/", "X-A: b\0c"),
    "nul in target": get("/a%00.html"),
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "out of the root": get("/../etc/passwd"),
    "encoded out of the root": get("/a/%2e%2e/%2E%2e/etc/passwd"),
    "bad escape": get("/%zz"),
    "chunked in 1.0": get("/", "Transfer-Encoding: chunked", version="1.0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_smuggles_is_400_and_ends_the_connection(web, name):
    with Client(web.address) as client:
        status, headers, _ = client.send(BAD[name] + get("/pid")).answer()
        assert status == 400 and headers["connection"] == "close"
        assert client.rest() == CLOSES, "what followed was taken for a request"


def test_a_bad_chunk_is_400(web):
    with Client(web.address) as client:
        client.send(get("/echo", "Transfer-Encoding: chunked", method="POST"))
        assert client.send(b"zz\r\nabc\r\n0\r\n\r\n").answer()[0] == 400
        assert client.rest() == CLOSES


@pytest.mark.parametrize(
    "request_text, status",
    [
        (get("/" + "a" * 9000), 414),
        (get("/", "X-Long: " + "a" * 40000), 431),
        (get("/", *[f"X-{i}: {i}" for i in range(200)]), 431),
        (get("/", version="2.0"), 505),
    ],
)
def test_limits_have_their_own_status(web, request_text, status):
    assert ask(web, request_text)[0] == status


def test_the_path_is_decoded_once_and_normalised(web):
    body = ask(web, get("/vars/%2e%2e/vars//x%2541/./y?q=%41"))[2].decode()
    assert "PATH_INFO=/vars/x%41/y\n" in body
    assert "QUERY_STRING=q=%41\n" in body
    assert "REQUEST_URI=/vars/%2e%2e/vars//x%2541/./y?q=%41\n" in body


def test_variables_of_the_connection(web):
    with Client(web.address) as client:
        mine = client.sock.getsockname()
        body = client.send(get("/vars", "X-Under_Score: 1", "X-Real: 2")).answer()[2].decode()
    assert f"REMOTE_ADDR={mine[0]}\n" in body and f"REMOTE_PORT={mine[1]}\n" in body
    assert f"SERVER_PORT={web.address[1]}\n" in body
    assert "HTTP_X_REAL=2\n" in body and "UNDER" not in body


# ---- slow and many ----


def test_slow_heads_cost_no_thread_and_get_408(web):
    slow = [Client(web.address) for _ in range(40)]
    try:
        for client in slow:
            client.send("GET / HTTP/1.1\r\nHos")
        began = time.monotonic()
        assert ask(web, get("/pid"))[0] == 200
        assert time.monotonic() - began < 1, "slow clients held up a quick one"
        for client in slow:
            assert client.answer()[0] == 408
    finally:
        for client in slow:
            client.sock.close()


def test_a_slow_body_gets_408(web):
    with Client(web.address) as client:
        client.send(get("/echo", "Content-Length: 10", method="POST")).send(b"abc")
        assert client.answer()[0] == 408


def test_slow_bodies_cost_no_thread(web):
    slow = [Client(web.address) for _ in range(12)]  # three times the threads
    try:
        for client in slow:
            client.send(get("/echo", "Content-Length: 1000", method="POST")).send("x")
        time.sleep(0.2)
        began = time.monotonic()
        assert ask(web, get("/sleep/1"))[0] == 200
        assert time.monotonic() - began < 0.5, "slow bodies held up a quick request"
    finally:
        for client in slow:
            client.sock.close()


def test_a_dribbled_body_ends_in_408(web):
    with Client(web.address, timeout=1) as client:
        client.send(get("/echo", "Content-Length: 100000", method="POST"))
        began = time.monotonic()
        while time.monotonic() - began < 30:
            client.send("x")
            try:
                client.sock.settimeout(0.4)
                client._more()
                break
            except TimeoutError:
                pass
        client.sock.settimeout(5)
        assert client.answer()[0] == 408
        assert time.monotonic() - began < 15


def test_a_steady_slow_reader_is_served_to_the_end(web):
    with Client(web.address) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(get("/source/3000000", "Connection: close"))
        got = 0
        while got < 3_000_000 and (data := client.sock.recv(100_000)):
            got += len(data)
            time.sleep(len(data) / 700_000)
        assert got > 3_000_000  # and the head


def test_slow_readers_cost_no_thread_and_are_cut_off(web):
    slow = [Client(web.address) for _ in range(12)]  # three times the threads
    try:
        for client in slow:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(get("/source/50000000"))
        time.sleep(0.3)
        began = time.monotonic()
        assert ask(web, get("/sleep/1"))[0] == 200
        assert time.monotonic() - began < 1, "slow readers held up a quick one"
        web.wait_log("took nothing for 1000 ms", count=12, timeout=10)
    finally:
        for client in slow:
            client.sock.close()


def test_keep_alive_can_be_turned_off(legatus):
    web = legatus(
        """
        http-socket = {http}
        http-socket-modifier1 = 200
        http-keepalive = 0
        """,
        plugin="probe",
    )
    with Client(web.address) as client:
        _, headers, _ = client.send(get("/pid")).answer()
        assert headers["connection"] == "close" and client.rest() == CLOSES


def test_an_idle_connection_is_closed_without_a_word(web):
    with Client(web.address) as client:
        assert client.send(get("/pid")).answer()[0] == 200
        began = time.monotonic()
        assert client.rest() == CLOSES
        assert 2 < time.monotonic() - began < 6


def test_a_saturated_server_says_503(legatus):
    web = legatus(
        """
        http-socket = {http}
        http-socket-modifier1 = 200
        threads = 1
        disable-logging = true
        """,
        plugin="probe",
    )
    # The probe's /lane door: one at a time, two may wait.
    clients = [Client(web.address) for _ in range(6)]
    try:
        for client in clients:
            client.send(get("/lane/400"))
            time.sleep(0.02)
        statuses = [client.answer()[0] for client in clients]
    finally:
        for client in clients:
            client.sock.close()
    assert statuses.count(200) == 3 and statuses.count(503) == 3, statuses


def test_a_hung_handler_is_504_and_starves_nobody(legatus):
    web = legatus(
        """
        http-socket = {http}
        http-socket-modifier1 = 200
        threads = 1
        disable-logging = true
        """,
        plugin="probe",
    )
    with Client(web.address) as hung:
        began = time.monotonic()
        status, headers, _ = hung.send(get("/lane/3000?timeout=300")).answer()
        assert status == 504 and time.monotonic() - began < 1.5
        # The only thread still hangs; a substitute serves the others,
        assert ask(web, get("/sleep/1"))[0] == 200
        # and the lane whose every call hangs says so at once.
        began = time.monotonic()
        status, headers, _ = ask(web, get("/lane/1"))
        assert status == 503 and "retry-after" in headers and time.monotonic() - began < 0.5
    deadline = time.monotonic() + 5
    while ask(web, get("/lane/1"))[0] != 200:
        assert time.monotonic() < deadline, "the lane never came back"
        time.sleep(0.1)


def test_a_drain_ends_a_connection_once_its_last_answer_is_out(legatus):
    web = legatus(
        "http-socket = {http}\nhttp-socket-modifier1 = 200\nhttp-keepalive = 20",
        plugin="probe",
    )
    with Client(web.address) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(get("/bytes/1048576") * 5)
        time.sleep(0.3)
        os.kill(web.process.pid, signal.SIGTERM)
        time.sleep(0.3)
        bodies = []
        try:
            while True:
                bodies.append(len(client.answer()[2]))
        except EOFError:
            pass
        assert bodies and set(bodies) == {1 << 20}
    assert web.process.wait(5) == 0


# ---- other sockets ----


def test_unix_sockets_and_ipv6(legatus, tmp_path):
    path = str(tmp_path / "web.sock")
    web = legatus(
        f"""
        http-socket = {{http}}
        http-socket = {path}
        http-socket = [::1]:{{http6}}
        http-socket-modifier1 = 200
        """,
        plugin="probe",
    )
    with Client(path) as client:
        assert client.send(get("/pid")).answer()[0] == 200
    with Client(("::1", web.ports["http6"])) as client:
        assert b"REMOTE_ADDR=::1\n" in client.send(get("/vars")).answer()[2]


def test_the_http_router_has_its_own_modifier_and_variables(legatus):
    web = legatus(
        """
        http = {http}
        http-modifier1 = 200
        http-var = UWSGI_APPID=/mine
        """,
        plugin="probe",
    )
    assert b"UWSGI_APPID=/mine\n" in ask(web, get("/vars"))[2]


def packet(modifier1=200, **variables):
    block = b"".join(
        struct.pack("<H", len(k)) + k.encode() + struct.pack("<H", len(v)) + v.encode()
        for k, v in variables.items()
    )
    return struct.pack("<BHB", modifier1, len(block), 0) + block


def test_the_uwsgi_protocol(legatus):
    web = legatus("socket = {http}\ndisable-logging = true", plugin="probe")
    with Client(web.address) as client:
        client.send(
            packet(
                REQUEST_METHOD="POST",
                PATH_INFO="/echo",
                REQUEST_URI="/echo",
                CONTENT_LENGTH="5",
                SERVER_PROTOCOL="HTTP/1.1",
            )
        )
        status, headers, body = client.send(b"hello").answer()
        assert (status, body) == (200, b"hello")
        assert client.rest() == CLOSES
    with Client(web.address) as client:  # not chunked: the packet's end is the connection's
        client.send(packet(REQUEST_METHOD="GET", PATH_INFO="/push/100000"))
        _, headers, body = client.answer()
        assert "transfer-encoding" not in headers and len(body) == 100_000
    with Client(web.address) as client:
        client.send(b"\xc8\x04\x00\x00\x00\x00\x00\x00")  # an empty key
        assert client.answer()[0] == 400


def test_many_connections_at_once(web):
    results = []

    def work():
        with Client(web.address) as client:
            for i in range(25):
                results.append(client.send(get(f"/sleep/{i % 3}")).answer()[0])

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [200] * (32 * 25)
