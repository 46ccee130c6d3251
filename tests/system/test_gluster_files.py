# SPDX-License-Identifier: Apache-2.0
"""The files of a volume over HTTP: bytes, heads, ranges, names, and what is no file."""

import contextlib
import email.utils
import os
import re
import socket
import time
import urllib.parse

import pytest
from gluster_client import Client
from gluster_rig import (
    Download,
    EmbeddedBrick,
    Serving,
    connect,
    free_port,
    read_head,
    request_text,
    sha256,
    wait_for,
)

GIB = 1 << 30
TICK = 0.02  # that the kernel's coarse clock may be late, s


def pattern(size, seed=1):
    return (bytes((i * seed) % 251 for i in range(251)) * (size // 251 + 1))[:size]


ODD = {
    "empty": b"",
    "one": b"x",
    "k64-1": pattern(65535),
    "k64": pattern(65536, 3),
    "k64+1": pattern(65537, 5),
    "m1": pattern(1 << 20, 7),
    "m3+7": pattern((3 << 20) + 7, 11),
    "with space.txt": b"space",
    "per%cent%41.txt": b"percent",
    "na\u00efve-\u65e5\u672c-\U0001f5c4.txt": b"unicode",
    "quo'te\"s&<b>.html": b"<p>quotes</p>",
    "semi;colon,plus+?query#hash": b"signs",
    "-dash": b"dash",
    "...": b"three dots",
    "back\\slash": b"backslash",
    "ctrl\x01\x7f": b"control",
    "/".join(["deep"] * 40) + "/f": b"deep",
    "n" * 255: b"the longest name",
}


def fill(brick):
    for name, data in ODD.items():
        path = os.path.join(brick, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    with open(os.path.join(brick, "sparse"), "wb") as file:
        file.write(b"begin")
        file.seek(GIB // 2)
        file.write(b"middle")
        file.seek(GIB - 3)
        file.write(b"end")
    os.makedirs(os.path.join(brick, "dir/sub"))
    os.makedirs(os.path.join(brick, "site/a b"))
    for name in ("site/index.html", "site/a b/home.txt", "dir/file", "dir/sub/file"):
        with open(os.path.join(brick, name), "w", encoding="ascii") as file:
            file.write(name)
    links = {
        "in": "dir/file",
        "dir/up": "../one",
        "dir/self": "./file",
        "todir": "dir",
        "todir2": "dir/sub/..",
        "toroot": "dir/..",
        "chain": "in",
        "abs": "/one",
        "absdir": "/dir",
        "etc": "/etc",
        "out": "../../../etc/passwd",
        "dir/out": "../../one",
        "dangling": "nowhere",
        "loop": "loop",
        "meta": ".meta/version",
    }
    for name, target in links.items():
        os.symlink(target, os.path.join(brick, name))
    os.mkfifo(os.path.join(brick, "fifo"))
    os.mknod(os.path.join(brick, "device"), 0o644 | 0o020000, os.makedev(1, 3))


@pytest.fixture(scope="module")
def brick():
    brick = EmbeddedBrick()
    try:
        fill(brick.brick)
        yield brick
    finally:
        brick.close()


@pytest.fixture(scope="module")
def web(brick):
    tcp = ("127.0.0.1", free_port())
    serving = Serving([
        f"glusterfs-mount = mountpoint=/,{brick.mount}", "glusterfs-index = index.html home.txt",
        f"http-socket = {tcp[0]}:{tcp[1]}"])
    serving.path = tcp  # where bytes in memory are sent from a file, as they are not to unix sockets
    try:
        serving.connected()
        yield serving
    finally:
        serving.close()


def quote(name):
    return "/" + urllib.parse.quote(name)


# ---- bytes ----


@pytest.mark.parametrize("name", ODD, ids=[ascii(name)[:20] for name in ODD])
def test_odd_files_are_the_bricks_bytes(web, name):
    status, headers, body = web.fetch(quote(name))
    assert status == 200
    assert headers["content-length"] == str(len(ODD[name]))
    assert body == ODD[name]


def test_a_sparse_gigabyte_is_the_bricks(web, brick):
    with Download(web.path, "/sparse") as download:
        download.read()
    assert download.length == GIB and download.complete
    assert download.hash.hexdigest() == sha256(os.path.join(brick.brick, "sparse"))


def test_many_downloads_at_once_are_whole(web):
    downloads = [Download(web.path, "/m3+7") for _ in range(40)]
    for download in downloads:
        download.read(100_000)
    for download in downloads:
        download.read()
        download.close()
        assert download.complete
    assert len({download.hash.hexdigest() for download in downloads}) == 1


# ---- what is no file ----


@pytest.mark.parametrize(
    "path, body",
    [
        ("/in", b"dir/file"),
        ("/chain", b"dir/file"),
        ("/dir/up", b"x"),
        ("/dir/self", b"dir/file"),
        ("/todir/file", b"dir/file"),
        ("/todir2/file", b"dir/file"),
        ("/toroot/one", b"x"),
    ],
)
def test_symlinks_inside_the_volume_are_followed(web, path, body):
    status, _, got = web.fetch(path)
    assert (status, got) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/abs", "/absdir/file", "/etc/passwd", "/out", "/dir/out", "/dangling", "/loop", "/meta",
        "/fifo", "/device", "/dir", "/dir/", "/todir", "/", "/nosuch", "/nosuch/x", "/one/x",
        "/one/", "/in/", "/m1/", "/.meta", "/.meta/version", "/.meta/graphs/active",
        "/.glusterfs", "/.glusterfs/health_check", "/dir/sub/nosuch", "/" + "n" * 256,
        "/hello%2ftxt",
    ],
)  # fmt: skip
def test_everything_else_is_404(web, path):
    status, headers, _ = web.fetch(path)
    assert status == 404
    assert "etag" not in headers


def test_no_spelling_of_dots_leaves_the_volume(web):
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/dir/..%2f..%2fetc/passwd"):
        status, _, body = web.fetch(path)
        assert status in (400, 404) and b"root:" not in body
    # fault 4: an escaped ".." is normalised before the volume sees it
    assert web.fetch("/dir/%2e%2e/one")[2] == b"x"


def test_nul_and_long_paths_are_refused(web):
    assert web.status("/one%00.html") == 400
    assert web.status("/" + "d/" * 3000 + "x") in (404, 414)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_405(web, method):
    status, headers, body = web.fetch("/one", method, ["Content-Length: 0"])
    assert status in (405, 501 if method == "BREW" else 405)
    if status == 405:
        assert headers["allow"] == "GET, HEAD"
    assert body != b"x"


# ---- directories ----


def test_an_index_answers_for_a_directory(web):
    assert web.fetch("/site/")[2] == b"site/index.html"
    assert web.fetch("/site/")[1]["content-type"] == "text/html"
    assert web.fetch("/site/a%20b/")[2] == b"site/a b/home.txt"


def test_a_directory_with_an_index_needs_its_slash(web):
    status, headers, _ = web.fetch("/site?x=1&y")
    assert (status, headers["location"]) == (301, "/site/?x=1&y")
    status, headers, _ = web.fetch("/site/a%20b")
    assert (status, headers["location"]) == (301, "/site/a%20b/")
    status, headers, _ = web.fetch("//site")
    assert (status, headers["location"]) == (301, "/site/")


# ---- the head ----


def test_types_come_from_names(web):
    assert web.fetch("/with%20space.txt")[1]["content-type"].startswith("text/plain")
    assert web.fetch(quote("quo'te\"s&<b>.html"))[1]["content-type"].startswith("text/html")
    assert web.fetch("/one")[1]["content-type"] == "application/octet-stream"


def test_etag_is_gfid_mtime_and_size(web, brick):
    path = os.path.join(brick.brick, "m1")
    gfid = os.getxattr(path, "trusted.gfid").hex()
    stat = os.stat(path)
    headers = web.fetch("/m1", "HEAD")[1]
    assert headers["etag"] == f'"{gfid}-{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    assert headers["last-modified"] == email.utils.formatdate(int(stat.st_mtime), usegmt=True)


@pytest.mark.parametrize("name", ["empty", "one", "k64+1"])
def test_head_is_get_without_the_body(web, name):
    status, headers, body = web.fetch(quote(name), "HEAD")
    assert (status, body) == (200, b"")
    get = web.fetch(quote(name))[1]
    for key in ("content-length", "etag", "last-modified", "content-type"):
        assert headers[key] == get[key]


def dated(headers):
    return email.utils.parsedate_to_datetime(headers["date"]).timestamp()


def take(sock, path, version="1.1"):
    """(headers, body) of an answer over a connection that may stay open."""
    sock.sendall(f"GET {path} HTTP/{version}\r\nHost: test\r\n\r\n".encode("ascii"))
    status, headers, body = read_head(sock)
    assert status == 200
    while len(body) < int(headers["content-length"]):
        body += sock.recv(1 << 20) or pytest.fail("cut short")
    return headers, body


def test_heads_before_bytes_in_memory_are_those_of_their_answers(web):
    """Such a head stands in a page before the bytes, which the kernel sends from there: it
    changes with the second and with who asks, never under an answer that is on its way."""
    began = int(time.time())
    slow = {}
    dates = set()
    with contextlib.ExitStack() as stack:
        lasting = stack.enter_context(connect(web.path))
        while time.time() < began + 4.2:
            for name in ("k64", "m1"):
                if time.time() > began + 1.5 and name not in slow:
                    sock = stack.enter_context(socket.socket())
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    sock.settimeout(30)
                    sock.connect(web.path)
                    sock.sendall(request_text(f"/{name}"))
                    slow[name] = (sock, time.time())
                for version, keeps in (("1.1", True), ("1.1", True), ("1.0", False)):
                    other = contextlib.nullcontext(lasting) if keeps else connect(web.path)
                    with other as sock:
                        asked = time.time()
                        headers, body = take(sock, f"/{name}", version)
                    assert int(asked - TICK) <= dated(headers) <= time.time()
                    assert body == ODD[name]
                    assert (headers.get("connection") == "close") is not keeps
                    dates.add(headers["date"])
        assert len(dates) >= 4 and len(slow) == 2
        for name, (sock, asked) in slow.items():
            _, headers, body = read_head(sock)
            while len(body) < len(ODD[name]):
                body += sock.recv(1 << 20) or pytest.fail("cut short")
            assert int(asked - TICK) <= dated(headers) <= asked + 1
            assert body == ODD[name]


@pytest.mark.parametrize("name", ["k64", "m1"])
def test_conditions(web, name):
    path = quote(name)
    _, headers, _ = web.fetch(path)
    etag, date = headers["etag"], headers["last-modified"]
    assert web.fetch(path, headers=[f"If-None-Match: {etag}"])[0] == 304
    assert web.fetch(path, headers=[f'If-None-Match: "other", W/{etag}'])[0] == 304
    assert web.fetch(path, headers=['If-None-Match: "other"'])[0] == 200
    assert web.fetch(path, headers=[f"If-Modified-Since: {date}"])[0] == 304
    assert web.fetch(path, headers=["If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT"])[0] == 200
    assert web.fetch(path, headers=[f"If-Match: {etag}"])[0] == 200
    assert web.fetch(path, headers=['If-Match: "other"'])[0] == 412
    assert web.fetch(path, headers=[f"If-Unmodified-Since: {date}"])[0] == 200
    old = "If-Unmodified-Since: Thu, 01 Jan 1998 00:00:00 GMT"
    assert web.fetch(path, headers=[old])[0] == 412


@pytest.mark.parametrize("name", ["k64", "m3+7"])
@pytest.mark.parametrize(
    "asked, first, last",
    [("0-0", 0, 0), ("10-99", 10, 99), ("65000-", 65000, None), ("-7", -7, None),
     ("60000-99999999", 60000, None)],
)  # fmt: skip
def test_single_ranges(web, name, asked, first, last):
    data = ODD[name]
    begin = first if first >= 0 else len(data) + first
    stop = len(data) - 1 if last is None else last
    status, headers, body = web.fetch(quote(name), headers=[f"Range: bytes={asked}"])
    assert status == 206
    assert headers["content-range"] == f"bytes {begin}-{stop}/{len(data)}"
    assert body == data[begin : stop + 1]


@pytest.mark.parametrize("name", ["k64", "m3+7"])
def test_several_ranges(web, name):
    data = ODD[name]
    size = len(data)
    asked = [(0, 4), (1000, 60999), (size - 3, size - 1)]
    text = ",".join(f"{a}-{b}" for a, b in asked)
    status, headers, body = web.fetch(quote(name), headers=[f"Range: bytes={text}"])
    assert status == 206
    boundary = re.fullmatch(r"multipart/byteranges; ?boundary=(\S+)", headers["content-type"])[1]
    parts = re.split(rb"(?:^|\r\n)--" + re.escape(boundary.encode()), body)[1:]
    assert parts[-1].strip() == b"--"
    for part, (a, b) in zip(parts[:-1], asked, strict=True):
        head, content = part.split(b"\r\n\r\n", 1)
        assert f"bytes {a}-{b}/{size}".encode() in head
        assert content == data[a : b + 1]


def test_ranges_that_cannot_be(web):
    status, headers, _ = web.fetch("/k64", headers=["Range: bytes=65536-"])
    assert (status, headers["content-range"]) == (416, "bytes */65536")
    assert web.fetch("/k64", headers=["Range: lines=1-2"])[0] == 200


def test_if_range(web):
    etag = web.fetch("/m1", "HEAD")[1]["etag"]
    asked = ["Range: bytes=5-9"]
    assert web.fetch("/m1", headers=[*asked, f"If-Range: {etag}"])[0] == 206
    assert web.fetch("/m1", headers=[*asked, 'If-Range: "other"'])[0] == 200


# ---- changes ----


@pytest.fixture(scope="module")
def writer(brick):
    client = Client(brick.name, "volfile", brick.volfile)
    yield client
    client.close()


def test_a_replaced_file_is_seen_with_another_etag(web, writer):
    writer.write("/replaced", 0, "old")
    _, old, body = web.fetch("/replaced")
    assert body == b"old"
    writer.write("/replacement", 0, "new!")
    writer.rename("/replacement", "/replaced")
    _, new, _ = wait_for(
        "the new file", lambda: (got := web.fetch("/replaced"))[2] == b"new!" and got, 5
    )
    assert new["etag"] != old["etag"]
    assert web.fetch("/replaced", headers=[f"If-None-Match: {old['etag']}"])[0] == 200


def test_a_renamed_directory_is_found_under_its_new_name_only(web, writer):
    writer.mkdir("/before")
    writer.write("/before/f", 0, "f")
    assert web.status("/before/f") == 200
    writer.rename("/before", "/after")
    assert web.status("/after/f") == 200
    # md-cache goes on believing in a directory that is asked for more often
    # than once in its timeout, a second; as on any other client of the volume
    web.wait_status("/before/f", 404, 10, every=1.3)


def test_a_directory_replaced_by_another_is_looked_up_again(web, writer):
    writer.mkdir("/swap")
    writer.write("/swap/old", 0, "o")
    assert web.status("/swap/old") == 200
    writer.rename("/swap", "/swapped")
    writer.mkdir("/swap")
    writer.write("/swap/new", 0, "n")
    web.wait_status("/swap/new", 200, 10, every=1.3)
    web.wait_status("/swap/old", 404, 10, every=1.3)


def test_a_file_that_shrinks_in_mid_body_is_cut_off(web, brick, writer):
    source = os.path.join(brick.folder, "source")
    with open(source, "wb") as file:
        file.truncate(64 << 20)
    writer.put(source, "/shrinks")
    with Download(web.path, "/shrinks") as download:
        download.read(1 << 20)
        writer.truncate("/shrinks", 2 << 20)
        download.read()
        assert not download.complete
    web.wait_log("GET /shrinks.*cut short: .*the file became shorter")


def test_a_file_rewritten_in_mid_body_is_cut_off(web, brick, writer):
    source = os.path.join(brick.folder, "source")
    with open(source, "wb") as file:
        file.truncate(64 << 20)
    writer.put(source, "/changes")
    time.sleep(2.1)  # bricks' clocks may differ by less than two seconds
    with Download(web.path, "/changes") as download:
        download.read(1 << 20)
        writer.write("/changes", 60 << 20, "changed")
        download.read()
        assert not download.complete
    web.wait_log("GET /changes.*cut short: .*the file changed")


def test_a_file_replaced_in_mid_body_is_sent_as_it_was(web, brick, writer):
    source = os.path.join(brick.folder, "source")
    with open(source, "wb") as file:
        file.write(pattern(32 << 20, 13))
    old = sha256(source)
    writer.put(source, "/goes")
    writer.write("/comes", 0, "short")
    with Download(web.path, "/goes") as download:
        download.read(1 << 20)
        writer.rename("/comes", "/goes")
        download.read()
    assert download.complete and download.hash.hexdigest() == old


# ---- nothing is left behind ----


def test_clients_that_leave_in_mid_body_leave_no_handle(web, brick):
    for _ in range(30):
        download = Download(web.path, "/sparse")
        download.read(200_000)
        download.close()
    wait_for("no open file", lambda: brick.open_files() == [], 10)
    assert web.fetch("/one")[2] == b"x"
