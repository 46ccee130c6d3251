# SPDX-License-Identifier: Apache-2.0
"""Encoded files beside a file, how long an answer stays fresh, listings of directories:
what options ask for, over a real brick, while files come, go and change."""

import concurrent.futures
import email.utils
import gzip
import html
import json
import os
import re
import time
import urllib.parse

import program
import pytest
from gluster_rig import Download, EmbeddedBrick, Serving, connect, request_text, wait_for
from test_gluster_cache import Writer, counters, serve_counted

PLAIN = b"body { color: red }\n" * 50
ENCODED = {"br": b"brotli, as far as anybody can tell", "zst": b"zstandard" * 3, "gz": gzip.compress(PLAIN)}
CODING = {"br": "br", "zst": "zstd", "gz": "gzip"}
OLD = 1_700_000_000
LARGE = 3 << 20


def put(brick, name, data=PLAIN, when=OLD):
    path = os.path.join(brick.brick, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, (when, when))


@pytest.fixture(scope="module")
def brick():
    brick = EmbeddedBrick("feat")
    try:
        put(brick, "plain.css")
        for kind, data in ENCODED.items():
            put(brick, f"all.css.{kind}", data)
            put(brick, f"site/index.html.{kind}", data)
            put(brick, f"stale.css.{kind}", data, OLD - 1)
        put(brick, "all.css")
        put(brick, "stale.css")
        put(brick, "site/index.html")
        put(brick, "only-gz.css")
        put(brick, "only-gz.css.gz", ENCODED["gz"])
        put(brick, "large.js", b"L" * LARGE)
        put(brick, "large.js.gz", b"small", OLD + 1)
        put(brick, "huge.js", b"H" * LARGE)
        put(brick, "huge.js.br", b"h" * (2 << 20))
        put(brick, "a/text.css")
        put(brick, "a/text.css.gz", ENCODED["gz"])
        put(brick, "a/text.txt")
        put(brick, "a/text.txt.gz", ENCODED["gz"])
        put(brick, "orphan.css.gz", ENCODED["gz"])
        yield brick
    finally:
        brick.close()


@pytest.fixture(scope="module")
def web(brick):
    serving = serve_counted(brick, "glusterfs-index = index.html", "glusterfs-precompressed = br zst gz")
    try:
        serving.connected()
        yield serving
    finally:
        serving.close()


def ask(web, path, accept=None, *headers, method="GET"):
    more = [f"Accept-Encoding: {accept}"] if accept is not None else []
    return web.fetch(path, method, [*more, *headers])


# ---- encoded files ----


@pytest.mark.parametrize(
    "accept, kind",
    [
        (None, None),
        ("", None),
        ("deflate", None),
        ("gzip", "gz"),
        ("x-gzip", "gz"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zst"),
        ("br;q=0.5, gzip", "gz"),
        ("br;q=0, gzip;q=0.1", "gz"),
        ("br;q=0", None),
        ("*", "br"),
        ("*;q=0.5, gzip;q=0.9", "gz"),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", "gz"),
        ("identity;q=0, *", "br"),
        ("*;q=0, zstd", "zst"),
        ("gzip;q=bad", None),
    ],
)
@pytest.mark.parametrize("path", ["/all.css", "/site/"])
def test_the_client_gets_what_it_likes_best(web, accept, kind, path):
    for _ in range(2):  # cold, hot
        status, headers, body = ask(web, path, accept)
        assert status == 200
        assert headers["vary"] == "Accept-Encoding"
        assert headers.get("content-encoding") == CODING.get(kind)
        assert body == ENCODED.get(kind, PLAIN)
        assert headers["content-type"] == ("text/css" if "css" in path else "text/html")


def test_nothing_acceptable_is_406(web):
    for accept in ("*;q=0", "identity;q=0", "identity;q=0, deflate"):
        status, headers, _ = ask(web, "/all.css", accept)
        assert (status, headers["vary"]) == (406, "Accept-Encoding"), accept
    assert ask(web, "/plain.css", "identity;q=0, br")[0] == 406
    assert ask(web, "/none.css", "*;q=0")[0] == 404


def test_each_encoding_is_an_entity_of_its_own(web):
    tags = {kind: ask(web, "/all.css", CODING[kind])[1]["etag"] for kind in ENCODED}
    tags[None] = ask(web, "/all.css")[1]["etag"]
    assert len(set(tags.values())) == 4
    status, headers, body = ask(web, "/all.css", "br", f"If-None-Match: {tags['br']}")
    assert (status, headers["vary"], headers["etag"], body) == (304, "Accept-Encoding", tags["br"], b"")
    assert ask(web, "/all.css", "br", f"If-None-Match: {tags['gz']}")[0] == 200
    status, headers, body = ask(web, "/all.css", "br", "Range: bytes=2-5")
    assert (status, body) == (206, ENCODED["br"][2:6])
    assert headers["content-range"] == f"bytes 2-5/{len(ENCODED['br'])}"
    assert headers["content-encoding"] == "br"
    # a range of the other representation is no range of this one
    status, headers, body = ask(web, "/all.css", "gzip", "Range: bytes=2-5", f"If-Range: {tags['br']}")
    assert (status, body) == (200, ENCODED["gz"])
    assert ask(web, "/all.css", "br", f"If-Match: {tags['gz']}")[:1] == (412,)


def test_head_is_that_of_get(web):
    for path, accept in (("/all.css", "gzip"), ("/large.js", "gzip"), ("/huge.js", "br"), ("/huge.js", None)):
        want = ask(web, path, accept)[1]
        status, headers, body = ask(web, path, accept, method="HEAD")
        assert (status, body) == (200, b"")
        for name in ("content-length", "content-encoding", "content-type", "etag", "vary", "last-modified"):
            assert headers.get(name) == want.get(name), name


def test_an_older_neighbour_is_not_used(web):
    status, headers, body = ask(web, "/stale.css", "br, gzip")
    assert (status, headers.get("content-encoding"), body) == (200, None, PLAIN)
    assert headers["vary"] == "Accept-Encoding"


def test_a_neighbour_without_its_file_is_404_and_by_its_own_name_a_file(web):
    assert ask(web, "/orphan.css", "gzip")[0] == 404
    status, headers, body = ask(web, "/orphan.css.gz", "gzip")
    assert (status, body) == (200, ENCODED["gz"])
    assert "content-encoding" not in headers and "vary" not in headers


@pytest.mark.parametrize("accept", ["gzip", "br", None])
def test_large_files_too(web, accept):
    for path, size, of in (("/large.js", 5, "gzip"), ("/huge.js", 2 << 20, "br")):
        status, headers, body = ask(web, path, accept)
        assert status == 200
        assert len(body) == (size if accept == of else LARGE)
        assert headers.get("content-encoding") == (of if accept == of else None)
        assert headers["vary"] == "Accept-Encoding"
        assert "javascript" in headers["content-type"]


def test_a_hot_file_waits_for_nothing(web):
    for _ in range(3):
        ask(web, "/only-gz.css", "br, zstd, gzip")
    before = counters(web)
    asked = 0
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        _, headers, body = ask(web, "/only-gz.css", "br, zstd, gzip")
        assert (headers.get("content-encoding"), body) == ("gzip", ENCODED["gz"])
        asked += 1
    after = counters(web)
    assert after["precompressed"] - before["precompressed"] == asked
    # misses: the negative entries of .br and .zst are renewed before they are too old
    assert after["hits"] - before["hits"] >= asked - 4
    assert asked > 100


YEAR_2400 = 13_569_465_600  # in nanoseconds more than 64 bits hold


@pytest.mark.parametrize("when, dated", [(0, True), (-86400, False), (YEAR_2400, False)])
@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_file_of_any_time(web, brick, when, dated, size):
    name = f"t{when}-{size}.js"
    put(brick, name, b"t" * size, when)
    put(brick, f"{name}.gz", b"as old", when)
    put(brick, f"{name}.br", b"older", when - 1)
    assert os.stat(os.path.join(brick.brick, name)).st_mtime == when
    for _ in range(2):  # cold, hot
        status, headers, body = ask(web, f"/{name}")
        assert (status, body) == (200, b"t" * size)
        # a time to come is none that HTTP may name, nor is one before 1970
        assert headers.get("last-modified") == (email.utils.formatdate(when, usegmt=True) if dated else None)
        _, coded, body = ask(web, f"/{name}", "br, gzip")
        assert (coded.get("content-encoding"), body) == ("gzip", b"as old")
    now = email.utils.formatdate(time.time(), usegmt=True)
    assert ask(web, f"/{name}", None, f"If-Modified-Since: {now}")[0] == (200 if when > 0 else 304)
    assert ask(web, f"/{name}", None, f"If-None-Match: {headers['etag']}")[0] == 304
    os.utime(os.path.join(brick.brick, name), (when + 3600, when + 3600))
    within_the_bound(lambda: ask(web, f"/{name}")[1]["etag"] != headers["etag"])
    within_the_bound(lambda: ask(web, f"/{name}", "gzip")[2] == b"t" * size)  # the encoded one is too old now


def within_the_bound(condition):
    wait_for("the change shows", condition, 2.0, 0.05)


def test_neighbours_come_change_and_go(brick, closing):
    web = closing(serve_counted(brick, "static-gzip-all = true"))
    writer = closing(Writer(brick))
    web.connected()

    def coding():
        _, headers, body = ask(web, "/moving.css", "br, gzip")
        return headers.get("content-encoding"), body

    writer.replace("/moving.css", 1000)
    within_the_bound(lambda: coding() == (None, writer.now["/moving.css"]))
    writer.replace("/moving.css.gz", 100)
    within_the_bound(lambda: coding() == ("gzip", writer.now["/moving.css.gz"]))
    writer.replace("/moving.css.br", 90)
    within_the_bound(lambda: coding() == ("br", writer.now["/moving.css.br"]))
    writer.rewrite("/moving.css.br")
    within_the_bound(lambda: coding() == ("br", writer.now["/moving.css.br"]))
    time.sleep(1.1)  # another second than the neighbours'
    writer.replace("/moving.css", 1001)
    within_the_bound(lambda: coding() == (None, writer.now["/moving.css"]))
    writer.replace("/moving.css.gz", 101)
    within_the_bound(lambda: coding() == ("gzip", writer.now["/moving.css.gz"]))
    writer.unlink("/moving.css.gz")
    within_the_bound(lambda: coding() == (None, writer.now["/moving.css"]))


@pytest.mark.parametrize(
    "lines, coded",
    [
        (["static-gzip-all = true"], {"/a/text.css", "/a/text.txt", "/only-gz.css"}),
        (["static-gzip-ext = .css"], {"/a/text.css", "/only-gz.css"}),
        (["static-gzip-suffix = .txt"], {"/a/text.txt"}),
        (["static-gzip-dir = /a/"], {"/a/text.css", "/a/text.txt"}),
        (["static-gzip-prefix = /o"], {"/only-gz.css"}),
        (["static-gzip = ^/a/.*\\.txt$"], {"/a/text.txt"}),
        (["static-gzip = txt$", "static-gzip-prefix = /only"], {"/a/text.txt", "/only-gz.css"}),
        (["static-gzip-ext = .css", "glusterfs-precompressed = br"], set()),
        (["glusterfs-cache = 0", "static-gzip-ext = .css"], {"/a/text.css", "/only-gz.css"}),
        (["glusterfs-cache-age = 0", "static-gzip-ext = .css"], {"/a/text.css", "/only-gz.css"}),
        ([], set()),
    ],
)
def test_which_files(brick, closing, lines, coded):
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}", *lines]))
    web.connected()
    for path in ("/a/text.css", "/a/text.txt", "/only-gz.css"):
        _, headers, body = ask(web, path, "gzip, br")
        assert (headers.get("content-encoding") == "gzip") == (path in coded), path
        assert body == (ENCODED["gz"] if path in coded else PLAIN)
        # it may vary even where nothing lies beside it
        assert ("vary" in headers) == (path in coded or "glusterfs-precompressed = br" in lines and ".css" in path)


def test_a_neighbour_nobody_may_read_is_passed_over_and_said(brick, closing):
    put(brick, "secret.css")
    put(brick, "secret.css.gz", ENCODED["gz"])
    os.chmod(os.path.join(brick.brick, "secret.css.gz"), 0o600)
    lines = [f"glusterfs-mount = mountpoint=/,{brick.mount}", "static-gzip-all = true", "uid = nobody", "gid = nogroup"]
    web = closing(Serving(lines))
    web.connected()
    for _ in range(20):
        _, headers, body = ask(web, "/secret.css", "gzip")
        assert ("content-encoding" in headers, body) == (False, PLAIN)
    web.wait_log(r"look at /secret\.css\.gz: Permission denied: the file itself is sent")
    assert len(re.findall(r"secret\.css\.gz: Permission", web.log())) <= 3


def test_waiting_for_a_neighbour_has_its_limit_and_may_be_given_up(closing):
    brick = closing(EmbeddedBrick("wait"))
    put(brick, "f.css")
    put(brick, "f.css.gz", ENCODED["gz"])
    lines = ["static-gzip-all = true", "glusterfs-cache-age = 30", "glusterfs-timeout = 1"]
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}", *lines]))
    web.connected()
    assert ask(web, "/f.css")[2] == PLAIN  # nobody looked beside it yet
    brick.pause()
    try:
        for _ in range(3):
            leaves = connect(web.path)
            leaves.sendall(request_text("/f.css", headers=["Accept-Encoding: gzip"]))
            leaves.close()
        assert ask(web, "/f.css", "gzip")[0] == 504
        assert ask(web, "/f.css")[2] == PLAIN
    finally:
        brick.resume()
    wait_for("the neighbour", lambda: ask(web, "/f.css", "gzip")[2] == ENCODED["gz"], 8)


# ---- expiry ----


RULES = [
    "static-expires = \\.css$ 600",
    "static-expires = ^/a/ 700",
    "static-expires-mtime = ^/site/index 500000000",
    "static-expires-path-info = ^/plain\\.txt 800",
    "static-expires-uri = v=\\d+ 31536000",
    "static-expires-type = application/x-tar=900",
    "static-expires-type-mtime = text/plain=10",
]


@pytest.fixture(scope="module")
def rules(brick):
    for name in ("plain.txt", "x.tar", "other.txt", "nothing.bin"):
        put(brick, name)
    serving = Serving(
        [f"glusterfs-mount = mountpoint=/,{brick.mount}", "glusterfs-index = index.html", *RULES]
    )
    try:
        serving.connected()
        yield serving
    finally:
        serving.close()


@pytest.mark.parametrize(
    "path, age",
    [
        ("/plain.css", 600),
        ("/a/text.css", 600),  # the first of them
        ("/a/text.txt", 700),
        ("/plain.txt", 800),
        ("/x.tar", 900),
        ("/x.tar?v=12", 31536000),  # by URI goes before by type
        ("/x.tar?v=", 900),
        ("/nothing.bin", None),
    ],
)
def test_the_first_rule_that_matches(rules, path, age):
    for _ in range(2):
        before = int(time.time())
        status, headers, _ = rules.fetch(path)
        assert status == 200
        assert headers.get("cache-control") == (f"max-age={age}" if age else None)
        if age is None:
            assert "expires" not in headers
            continue
        expires = email.utils.parsedate_to_datetime(headers["expires"]).timestamp()
        date = email.utils.parsedate_to_datetime(headers["date"]).timestamp()
        assert before + age <= expires <= time.time() + age
        assert abs(expires - date - age) <= 1
    not_modified = rules.fetch(path, headers=[f"If-None-Match: {headers['etag']}"])
    assert not_modified[0] == 304
    assert not_modified[1].get("cache-control") == headers.get("cache-control")


def test_expiry_by_the_time_of_the_file(rules):
    headers = rules.fetch("/site/")[1]
    assert email.utils.parsedate_to_datetime(headers["expires"]).timestamp() == OLD + 500_000_000
    left = int(headers["cache-control"].removeprefix("max-age="))
    assert abs(OLD + 500_000_000 - time.time() - left) <= 2
    headers = rules.fetch("/other.txt")[1]
    assert headers["cache-control"] == "max-age=0"
    assert email.utils.parsedate_to_datetime(headers["expires"]).timestamp() == OLD + 10


def test_errors_and_redirects_are_not_said_to_be_fresh(rules):
    for path, status in (("/none.css", 404), ("/site?v=1", 301)):
        found, headers, _ = rules.fetch(path)
        assert found == status
        assert "cache-control" not in headers and "expires" not in headers


# ---- listings ----


NAMES = {
    "b.txt": b"12345",
    "A b.txt": b"",
    "<script>alert(1)": b"x",
    'quo"te\'s&amp;.txt': b"x",
    "javascript:alert(1)": b"x",
    "per%20cent?query#hash.txt": b"x",
    "na\u00efve-\u65e5\u672c.txt": b"x",
    "ctrl\x01\n\x7f.txt": b"x",
    "back\\slash": b"x",
}
BAD = b"bad-\xff-utf8"


@pytest.fixture(scope="module")
def lists(brick):
    for name, data in NAMES.items():
        put(brick, f"list/{name}", data)
    folder = os.path.join(brick.brick, "list").encode()
    with open(os.path.join(folder, BAD), "wb") as file:
        file.write(b"bad")
    for name in ("zdir", "a dir&", ".hidden-dir"):
        os.makedirs(os.path.join(folder, name.encode()))
    put(brick, "list/.hidden")
    put(brick, "list/zdir/f")
    os.symlink("b.txt", os.path.join(folder, b"link"))
    os.mkfifo(os.path.join(folder, b"fifo"))
    os.makedirs(os.path.join(brick.brick, "many"))
    for i in range(300):
        put(brick, f"many/{i:04}", b"")
    os.makedirs(os.path.join(brick.brick, "closed"))
    os.chmod(os.path.join(brick.brick, "closed"), 0o711)
    serving = serve_counted(
        brick, "glusterfs-index = index.html", "glusterfs-autoindex = true", "glusterfs-autoindex-max = 100",
        "uid = nobody", "gid = nogroup", "static-expires = .* 100", "static-gzip-all = true",
    )  # fmt: skip
    try:
        serving.connected()
        yield serving
    finally:
        serving.close()


def test_a_listing_in_html(lists):
    status, headers, body = lists.fetch("/list/")
    text = body.decode()
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["vary"] == "Accept"
    assert "cache-control" not in headers and "expires" not in headers
    assert "<script>" not in text and "\x01" not in text and "hidden" not in text and "fifo" not in text
    rows = re.findall(r'<a href="([^"]*)">([^<]*)</a>', text)
    assert rows[:3] == [("../", "../"), ("a%20dir%26/", "a dir&#38;/"), ("zdir/", "zdir/")]
    shown = [html.unescape(name) for _, name in rows[3:]]
    files = sorted([name.encode() for name in NAMES] + [BAD, b"link"])
    assert len(shown) == len(files)
    links = [urllib.parse.unquote_to_bytes(url) for url, _ in rows[3:]]
    assert links == files  # sorted by their bytes; every name can be followed
    for url, _ in rows:
        assert re.fullmatch(r"[A-Za-z0-9._~%/-]+", url)
    assert "bad-\ufffd-utf8" in shown and "ctrl\ufffd\ufffd\ufffd.txt" in shown
    assert ">5<" in text and time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(OLD)) in text


def test_every_link_of_a_listing_leads_somewhere(lists):
    for url, _ in re.findall(r'<a href="([^"]*)">([^<]*)</a>', lists.fetch("/list/")[2].decode()):
        path = urllib.parse.urljoin("/list/", url)
        assert lists.status(path) == 200, path


def test_a_listing_in_json(lists):
    for path, headers in (("/list/", ["Accept: application/json"]), ("/list/?x=1&format=json", [])):
        status, found, body = lists.fetch(path, headers=headers)
        assert (status, found["content-type"]) == (200, "application/json")
        page = json.loads(body)
        assert (page["path"], page["complete"]) == ("/list/", True)
        entries = {urllib.parse.unquote_to_bytes(e["url"]): e for e in page["entries"]}
        assert entries[b"zdir/"]["type"] == "directory"
        assert entries[b"link"]["type"] == "link"
        assert entries[b"b.txt"] == {
            "name": "b.txt", "url": "b.txt", "type": "file", "size": 5,
            "mtime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(OLD)),
        }  # fmt: skip
        for name in NAMES:
            assert entries[name.encode()]["name"] == name
        assert entries[BAD]["name"] == "bad-\ufffd-utf8"
    # browsers say text/html before */*
    assert lists.fetch("/list/", headers=["Accept: text/html,*/*;q=0.8"])[1]["content-type"].startswith("text/html")
    assert lists.fetch("/list/?format=html", headers=["Accept: application/json"])[1]["content-type"].startswith("text/html")


def test_head_slash_root_and_index(lists):
    want = lists.fetch("/list/")[1]
    status, headers, body = lists.fetch("/list/", "HEAD")
    assert (status, headers["content-length"], body) == (200, want["content-length"], b"")
    status, headers, _ = lists.fetch("/list?a=b%20c")
    assert (status, headers["location"]) == (301, "/list/?a=b%20c")
    assert lists.fetch("/site/")[2] == PLAIN  # the index goes first
    root = lists.fetch("/")[2].decode()
    assert '"../"' not in root and 'href="list/"' in root and ".glusterfs" not in root
    assert lists.status("/.glusterfs/") == 404
    assert lists.status("/none/") == 404


def test_a_directory_nobody_may_read_is_403(lists):
    assert lists.status("/closed/") == 403


def test_a_long_listing_is_cut_and_says_so(lists):
    page = json.loads(lists.fetch("/many/?format=json")[2])
    assert (len(page["entries"]), page["complete"]) == (100, False)
    assert "There are more names than these 100." in lists.fetch("/many/")[2].decode()
    assert counters(lists)["listings"] > 0


def test_a_listing_shows_what_has_come(lists, brick):
    put(brick, "grows/a")
    assert b">a</a>" in lists.fetch("/grows/")[2]
    put(brick, "grows/b")
    within_the_bound(lambda: b">b</a>" in lists.fetch("/grows/")[2])
    put(brick, "grows/index.html")
    within_the_bound(lambda: lists.fetch("/grows/")[2] == PLAIN)


def test_without_the_option_there_is_no_listing(web):
    assert web.status("/a/") == 404


def test_a_crowded_directory_fits(brick, closing):
    os.makedirs(os.path.join(brick.brick, "crowd"))
    for i in range(20_000):
        os.mknod(os.path.join(brick.brick, "crowd", f"name-{i:06}"))
    web = closing(serve_counted(brick, "glusterfs-autoindex = 1", "glusterfs-autoindex-max = 100000", "glusterfs-timeout = 60"))
    web.connected()
    with Download(web.path, "/crowd/") as slow:
        wait_for("a listing", lambda: web.fetch("/crowd/?format=json")[0] == 200, 5)
        slow.read()
        assert slow.complete
    page = json.loads(web.fetch("/crowd/?format=json")[2])
    assert page["complete"] and len(page["entries"]) == 20_000
    small = closing(serve_counted(brick, "glusterfs-autoindex = 1", "glusterfs-memory = 1m", "glusterfs-timeout = 60"))
    small.connected()
    status, headers, _ = small.fetch("/crowd/")
    assert (status, headers["retry-after"]) == (503, "1")
    assert small.status("/a/") == 200  # what it took was given back


def test_a_listing_that_takes_too_long_is_no_volume_that_is_away(closing):
    slow = closing(EmbeddedBrick("slow", below=[("debug/delay-gen", {
        "delay-percentage": "100", "delay-duration": "60000", "enable": "readdirp,readdir",
    })]))  # fmt: skip
    for i in range(3000):
        put(slow, f"d/{i:04}", b"")
    web = closing(serve_counted(slow, "glusterfs-autoindex = 1", "glusterfs-timeout = 0.3"))
    before = counters(web)["flushes"]
    assert web.status("/d/") == 504
    time.sleep(0.5)  # its thread ends with the next answer of the brick
    assert counters(web)["flushes"] == before
    assert "is away" not in web.log()


# ---- what the statistics say ----


def test_each_mount_counts_what_it_does(closing):
    brick = closing(EmbeddedBrick("count"))
    put(brick, "f")
    put(brick, "large", b"x" * (40 << 20))
    web = closing(serve_counted(brick, "glusterfs-upcall = off"))
    begun = counters(web)
    for _ in range(5):
        assert web.status("/f") == 200
    wait_for("a renewal", lambda: web.status("/f") == 200 and counters(web)["renewals"] > 0, 4, 0.2)
    put(brick, "f", b"changed", OLD + 1)
    wait_for("a change", lambda: web.status("/f") == 200 and counters(web)["changes"] > 0, 4, 0.2)
    assert web.status("/large") == 200
    found = {key: value - begun[key] for key, value in counters(web).items()}
    fetches = sum(value for key, value in found.items() if key.startswith("fetch_us_"))
    assert found["hits"] >= 4 and found["streams"] >= 0 and found["misses"] >= 2
    assert fetches >= found["renewals"] + found["changes"] + 2
    assert found["bytes"] >= (40 << 20) + 5 * len(PLAIN)
    assert found["errors"] == 0
    with Download(web.path, "/large") as cut:
        brick.kill()
        cut.read()
        assert not cut.complete
    wait_for("an error and a flush", lambda: counters(web)["errors"] > 0, 5)
    wait_for("a flush", lambda: web.status("/f") == 503 and counters(web)["flushes"] > begun["flushes"], 5)


# ---- what the log says of many ----


def test_a_thousand_late_answers_are_a_line_a_second(closing):
    brick = closing(EmbeddedBrick("slow"))
    put(brick, "f")
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}", "glusterfs-timeout = 1"]))
    web.connected()
    brick.pause()
    try:
        for _ in range(2):
            with concurrent.futures.ThreadPoolExecutor(40) as pool:
                found = list(pool.map(lambda i: web.status(f"/late{i}"), range(40)))
            assert set(found) <= {503, 504} and 504 in found
    finally:
        brick.resume()
    said = re.findall(r"\[server\] GET /late\d+: .*: 504.*", web.log())
    assert 1 <= len(said) <= 4
    assert re.search(r"\(and \d+ more like it before\)", web.log())


# ---- mistakes ----


@pytest.mark.parametrize("threads, warns", [(32, False), (33, True)])
def test_threads_that_only_cost_memory_are_warned_of(tmp_path, threads, warns):
    ini = tmp_path / "x.ini"
    ini.write_text(
        f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nthreads = {threads}\n"
        "glusterfs-mount = mountpoint=/,volume=v,server=h:0\n"
    )
    done = program.run("--check", ini)
    assert done.returncode == 0
    said = re.search(r"x\.ini:3: warning: 33 threads for 1 volume: .*only cost memory", done.stderr + done.stdout)
    assert bool(said) == warns


@pytest.mark.parametrize(
    "line, text",
    [
        ("static-expires = *.css 3600", '"*.css" is no regular expression: quantifier does not follow'),
        ("static-expires = \\.css$", '"\\.css$" is not REGEX SECONDS, as in static-expires = \\.css$ 3600'),
        ("static-expires = \\.css$ 1h", "is not REGEX SECONDS"),
        ("static-expires-type = text/css 3600", "static-expires-type"),
        ("static-expires-type = text/css=soon", "is not TYPE=SECONDS"),
        ("static-gzip = (", '"(" is no regular expression: missing closing parenthesis'),
        ("static-gzip-ext =", "static-gzip-ext"),
        ("glusterfs-precompressed = br lzma", '"lzma" is no encoding that can lie beside a file: br, zst and gz can'),
        ("glusterfs-autoindex = maybe", "glusterfs-autoindex"),
        ("static-gzip-al = true", "static-gzip-all"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(tmp_path, line, text):
    ini = tmp_path / "x.ini"
    ini.write_text(
        f"[uwsgi]\nhttp-socket = 127.0.0.1:0\n{line}\nglusterfs-mount = mountpoint=/,volume=v,server=h:0\n"
    )
    done = program.run("--check", ini)
    said = done.stderr + done.stdout
    assert done.returncode != 0, said
    assert f"{ini}:3" in said, said
    assert text in said, said
