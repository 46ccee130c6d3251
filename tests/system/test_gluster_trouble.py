# SPDX-License-Identifier: Apache-2.0
"""Volumes and servers that fail, on one machine: what clients see, what the log says,
and that everything comes back by itself."""

import json
import os
import re
import signal
import socket
import threading
import time

import pytest
from gluster_client import Client
from gluster_rig import (
    Download,
    EmbeddedBrick,
    Serving,
    SingleGlusterd,
    free_port,
    loopback_address,
    wait_for,
)
from test_gluster_cache import counters, serve_counted


def write(brick, name, data=b"hello"):
    with open(os.path.join(brick.brick, name), "wb") as file:
        file.write(data)


# ---- a volume goes away and comes back ----


def test_a_killed_brick_is_503_and_comes_back_by_itself(closing):
    brick = closing(EmbeddedBrick())
    write(brick, "f")
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    web.connected()
    assert web.status("/f") == 200
    brick.kill()
    web.wait_status("/f", 503, 5)  # fault 2: not 404
    status, headers, _ = web.fetch("/f")
    assert status == 503 and int(headers["retry-after"]) >= 1
    web.wait_log('volume "emb" is away')
    brick.start()
    web.wait_status("/f", 200, 15)
    web.wait_log('volume "emb" is back')


def test_a_volume_that_goes_away_again_soon_is_said_in_the_end(closing):
    """Not each time of many; but the last word of the log must be true."""
    brick = closing(EmbeddedBrick("again"))
    write(brick, "f")
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    web.connected()
    brick.kill()
    web.wait_status("/f", 503)
    brick.start()
    web.wait_status("/f", 200)
    web.wait_log("is back after")
    brick.kill()
    web.wait_status("/f", 503)
    assert web.log().count("is away") == 1
    web.wait_log("is away again, since [0-9]+ ms", 13)
    brick.start()
    web.wait_status("/f", 200)
    wait_for("it is said", lambda: web.log().count("is back after") == 2, 3)


def test_a_brick_that_is_down_at_start_is_found_later(closing):
    brick = closing(EmbeddedBrick())
    write(brick, "f")
    brick.kill()
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    status, headers, _ = web.fetch("/f")
    assert status == 503 and int(headers["retry-after"]) >= 1
    brick.start()
    web.wait_status("/f", 200, 30)


def test_a_hung_brick_is_504_and_others_go_on(closing):
    good, bad = closing(EmbeddedBrick("good")), closing(EmbeddedBrick("bad", ping_timeout=42))
    write(good, "f")
    write(bad, "f")
    lines = [
        f"glusterfs-mount = mountpoint=/good,{good.mount}",
        f"glusterfs-mount = mountpoint=/bad,{bad.mount}",
        "glusterfs-timeout = 1",
    ]
    web = closing(Serving(lines, threads=8))
    web.connected("/good/")
    web.connected("/bad/")
    assert web.status("/bad/f") == 200
    time.sleep(1.1)  # md-cache forgets
    bad.pause()
    try:
        begun = time.monotonic()
        statuses = []
        asking = [
            threading.Thread(target=lambda: statuses.append(web.status("/bad/f")))
            for _ in range(30)
        ]
        for thread in asking:
            thread.start()
        worst = 0
        while time.monotonic() - begun < 2.5:
            asked = time.monotonic()
            assert web.fetch("/good/f")[2] == b"hello"
            worst = max(worst, time.monotonic() - asked)
        for thread in asking:
            thread.join(10)
        assert worst < 0.5, "the hung mount starved the other"
        assert set(statuses) <= {504, 503} and statuses.count(504) >= 6
        begun = time.monotonic()
        assert web.status("/bad/f") in (503, 504)
        assert time.monotonic() - begun < 1.6
    finally:
        bad.resume()
    web.wait_status("/bad/f", 200, 10)


def test_bodies_that_stall_are_cut_off_and_logged(closing):
    brick = closing(EmbeddedBrick(ping_timeout=42))
    write(brick, "big", os.urandom(64 << 20))
    web = closing(
        Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}", "glusterfs-timeout = 200ms"])
    )
    web.connected()
    with Download(web.path, "/big") as download:
        download.read(1 << 20)
        brick.pause()
        try:
            download.read()
        finally:
            brick.resume()
        assert not download.complete
    web.wait_log("GET /big.*cut short: .*a read does not come back")
    with Download(web.path, "/big") as download:
        download.read()
        assert download.complete


def test_the_last_look_at_a_body_has_its_limit_too(closing):
    cache = ("performance/io-cache", {"cache-timeout": "60"})
    brick = closing(EmbeddedBrick(ping_timeout=42, above=[cache]))
    write(brick, "big", os.urandom(8 << 20))
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}", "glusterfs-timeout = 200ms"]))
    web.connected()
    with Download(web.path, "/big") as first, Download(web.path, "/big") as download:
        first.read(7 << 20)
        first.drain(0.5)  # all of it is in gfapi's memory now, which needs no brick
        brick.pause()
        try:
            download.read()
        finally:
            brick.resume()
        assert (first.complete, download.complete) == (True, False)
    web.wait_log("GET /big.*cut short: .*a look does not come back")
    web.wait_status("/big", 200)


@pytest.mark.long
def test_a_brick_that_hangs_at_start_is_found_when_it_goes_on(closing):
    """glfs_init does not return for as long; the attempt that was given up makes it."""
    brick = closing(EmbeddedBrick(ping_timeout=42))
    write(brick, "f")
    brick.pause()
    try:
        web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
        web.wait_log('the bricks of volume "emb" (have kept us waiting|took no connection) for 1[0-9] s', 30)
        assert web.status("/f") == 503
    finally:
        brick.resume()
    web.wait_status("/f", 200, 15)
    web.wait_log('volume "emb" connected')


@pytest.mark.long
def test_a_volfile_that_is_none_harms_nobody(closing, tmp_path):
    """gfapi's log has a timer of two minutes, which outlives what it belongs to."""
    brick = closing(EmbeddedBrick())
    write(brick, "f")
    empty = tmp_path / "empty.vol"
    empty.write_text("")
    mounts = [f"glusterfs-mount = mountpoint=/,{brick.mount}"]
    mounts += [f"glusterfs-mount = mountpoint=/{i},volume=v,volfile={path}"
               for i, path in enumerate((empty, tmp_path / "none.vol"))]  # fmt: skip
    web = closing(Serving(mounts))
    web.connected("/f")
    time.sleep(130)
    assert web.status("/f") == 200
    assert "was killed" not in web.log()


def move(brick):
    """The brick is at another port from now on, and its volfile says so."""
    brick.kill()
    brick.port = free_port(brick.address)
    brick.write()


@pytest.mark.long
def test_a_volume_that_moved_is_connected_anew(closing):
    """gfapi would look for it at its old place for ever."""
    brick = closing(EmbeddedBrick())
    write(brick, "f")
    write(brick, "big", os.urandom(32 << 20))
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    web.connected()
    (worker,) = web.program.workers().values()
    for _ in range(2):  # and once more: nothing of the first time is left
        assert web.fetch("/f")[2] == b"hello"
        with Download(web.path, "/big") as download:
            download.read(1 << 20)
            move(brick)
            web.wait_status("/f", 503, 5)
            write(brick, "f", b"moved")
            brick.start()
            download.read()
            assert not download.complete
        began = time.monotonic()
        web.wait_status("/f", 200, 60, 0.5)
        assert time.monotonic() - began > 20, "it was not the replacement that was tested"
        assert web.fetch("/f")[2] == b"moved"  # nothing from before
        with Download(web.path, "/big") as download:
            download.read()
            assert download.complete
        wait_for("no open file", lambda: brick.open_files() == [], 10)
        write(brick, "f")
        time.sleep(1.5)
    assert web.program.workers() == {1: worker}


@pytest.mark.long
def test_another_server_of_the_list_takes_over_for_good(closing):
    """The volume's bricks went away with their glusterd; the next of the list has a volume
    of that name, at other addresses."""
    first, second = closing(SingleGlusterd()), closing(SingleGlusterd())
    for pool, text in ((first, "first"), (second, "second")):
        pool.create("v1")
        client = closing(Client("v1", "tcp", pool.address, 24007))
        client.write("/f", 0, text)
    web = closing(Serving([mount(f"{first.address}:0;{second.address}:0")]))
    web.connected()
    assert web.fetch("/f")[2] == b"first"
    first.child.stop()
    for pid in first.pids():
        os.kill(pid, signal.SIGKILL)
    web.wait_status("/f", 503, 10)
    web.wait_status("/f", 200, 60, 0.5)
    assert web.fetch("/f")[2] == b"second"


@pytest.mark.long
def test_a_brick_that_is_away_for_long_is_the_same_again(closing):
    brick = closing(EmbeddedBrick())
    write(brick, "f")
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    web.connected()
    assert web.status("/f") == 200
    brick.kill()
    web.wait_status("/f", 503, 5)
    web.wait_log("is not connected, trying again", 60)  # the second session failed as well
    brick.start()
    web.wait_status("/f", 200, 20)
    wait_for("no open file", lambda: brick.open_files() == [], 10)


def test_a_short_hang_in_mid_body_is_waited_out(closing):
    brick = closing(EmbeddedBrick(ping_timeout=42))
    write(brick, "big", os.urandom(32 << 20))
    web = closing(
        Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}", "glusterfs-timeout = 500ms"])
    )
    web.connected()
    with Download(web.path, "/big") as download:
        download.read(1 << 20)
        brick.pause()
        timer = threading.Timer(2, brick.resume)
        timer.start()
        download.read()
        timer.join()
        assert download.complete


def test_a_brick_killed_in_mid_body_cuts_it_off(closing):
    brick = closing(EmbeddedBrick())
    write(brick, "big", os.urandom(64 << 20))
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    web.connected()
    with Download(web.path, "/big") as download:
        download.read(1 << 20)
        brick.kill()
        download.read()
        assert not download.complete  # fault 6: never passed off as complete
    web.wait_log("GET /big.*cut short: .*read: ")


def test_read_errors_in_mid_body_cut_it_off(closing):
    errors = {"failure": "20", "enable": "read"}
    brick = closing(EmbeddedBrick(below=[("debug/error-gen", errors)]))
    write(brick, "big", os.urandom(64 << 20))
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"]))
    web.connected()
    with Download(web.path, "/big") as download:
        download.read()
        assert download.status == 200 and not download.complete
    web.wait_log("GET /big.*cut short: .*read: ")


# ---- nothing leaks ----


def open_handles(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_clients_that_leave_while_reads_hang_leave_nothing(closing):
    brick = closing(EmbeddedBrick(ping_timeout=42))
    write(brick, "big", os.urandom(16 << 20))
    web = closing(Serving([f"glusterfs-mount = mountpoint=/,{brick.mount}"], threads=16))
    web.connected()
    (worker,) = web.program.workers().values()
    downloads = [Download(web.path, "/big") for _ in range(20)]
    for download in downloads:
        download.read(65536)
    brick.pause()
    try:
        for download in downloads:
            download.drain(0.1)  # now the reads in flight hang
            download.close()
        time.sleep(0.3)
    finally:
        brick.resume()
    wait_for("no open file", lambda: brick.open_files() == [], 10)
    with Download(web.path, "/big") as download:
        download.read()
        assert download.complete
    assert web.program.workers() == {1: worker}  # it did not die of it
    wait_for("no open file", lambda: brick.open_files() == [], 10)


# ---- glusterd ----


@pytest.fixture(scope="module")
def glusterd():
    glusterd = SingleGlusterd()
    try:
        glusterd.create("v1")
        client = Client("v1", "tcp", glusterd.address, 24007)
        client.write("/f", 0, "hello")
        client.write("/secret", 0, "root's")
        client.chmod("/secret", 0o600)
        client.write("/bigsecret", 0, "s" * 100_000)
        client.chmod("/bigsecret", 0o600)
        client.mkdir("/closed")
        client.write("/closed/f", 0, "f")
        client.chmod("/closed", 0o700)
        client.close()
        yield glusterd
    finally:
        glusterd.close()


def mount(servers, volume="v1", mountpoint="/"):
    return f"glusterfs-mount = mountpoint={mountpoint},volume={volume},server={servers}"


class DeafServer:
    """Accepts connections and says nothing, as a stopped glusterd does."""

    def __init__(self):
        self.address = loopback_address()
        self.socket = socket.create_server((self.address, 24007), backlog=64)

    def close(self):
        self.socket.close()


def test_port_0_is_the_usual_one_and_a_unix_socket_will_do(closing, glusterd):
    web = closing(
        Serving([mount(f"{glusterd.address}:0"), mount(glusterd.socket, mountpoint="/unix")])
    )
    web.connected("/")
    web.connected("/unix/")
    assert web.fetch("/f")[2] == web.fetch("/unix/f")[2] == b"hello"


@pytest.mark.parametrize("first", ["refusing", "bad name", "no socket", "deaf", "three of them"])
def test_a_dead_first_server_costs_no_time(closing, glusterd, first):
    """Fault 1: with the first server down the others were never tried."""
    deaf = closing(DeafServer())
    dead = {
        "refusing": f"{loopback_address()}:0",
        "bad name": "no-such-host.invalid:0",
        "no socket": "/nonexistent/glusterd.socket",
        "deaf": f"{deaf.address}:0",
        "three of them": f"{loopback_address()}:0;{deaf.address}:0;/nonexistent/socket",
    }[first]
    web = closing(Serving([mount(f"{dead};{glusterd.address}:0")]))
    assert web.connected() < 2
    assert web.fetch("/f")[2] == b"hello"


def test_servers_that_all_fail_are_named_and_tried_again(closing):
    deaf = closing(DeafServer())
    refusing = loopback_address()
    web = closing(Serving([mount(f"{refusing}:0;{deaf.address}:0")]))
    line = web.wait_log("no glusterd answers: .*").group()
    assert f"{refusing}:0 (Connection refused)" in line
    assert f"{deaf.address}:0 (it accepts connections and answers nothing)" in line
    status, headers, _ = web.fetch("/f")
    assert status == 503 and headers["retry-after"]


def test_glusterd_that_starts_late_is_found(closing):
    late = closing(SingleGlusterd())
    late.create("v1")
    late.child.stop()
    web = closing(Serving([mount(f"{late.address}:0")]))
    web.wait_log("no glusterd answers: .*Connection refused")
    assert web.status("/") == 503
    late.start()
    web.wait_status("/", 404, 20)


@pytest.mark.long
def test_after_many_failures_a_glusterd_that_comes_back_is_found_at_once(closing):
    """Attempts become rare, as each leaks; asking whether a glusterd is there does not."""
    late = closing(SingleGlusterd())
    late.create("v1")
    for pid in late.brick_pids("v1"):
        os.kill(pid, signal.SIGKILL)
    web = closing(Serving([mount(f"{late.address}:0"), f"glusterfs-log = {late.folder}/gfapi.log"]))
    web.wait_log('no brick of volume "v1" is up')

    def attempts():
        with open(f"{late.folder}/gfapi.log", encoding="utf-8", errors="replace") as file:
            return file.read().count("Final graph:")

    wait_for("20 of them", lambda: attempts() >= 20, 400)
    time.sleep(12)
    assert attempts() <= 21
    late.child.stop()
    web.wait_log("no glusterd answers", 40)
    time.sleep(10)
    late.start()  # and its bricks
    wait_for("a brick", lambda: late.online("v1") == 1, 30)
    web.wait_status("/", 404, 6)


def test_an_unknown_volume_is_said_and_found_once_it_exists(closing, glusterd):
    web = closing(Serving([mount(f"{glusterd.address}:0", "later")]))
    web.wait_log(f'glusterd at {glusterd.address}:0 knows no volume "later"')
    assert web.status("/f") == 503
    glusterd.create("later", start=False)
    web.wait_log('no brick of volume "later" is up: is it started', 15)
    assert web.status("/f") == 503
    glusterd.start_volume("later", 1)
    web.wait_status("/f", 404, 20)


def test_a_stopped_volume_is_503_until_it_is_started(closing, glusterd):
    glusterd.create("stops")
    client = closing(Client("stops", "tcp", glusterd.address, 24007))
    client.write("/f", 0, "here")
    web = closing(Serving([mount(f"{glusterd.address}:0", "stops")]))
    web.connected()
    assert web.fetch("/f")[2] == b"here"
    glusterd.cli("volume", "stop", "stops", "force")
    web.wait_status("/f", 503, 10)
    glusterd.start_volume("stops", 1)
    web.wait_status("/f", 200, 20)


def test_a_volume_stopped_in_mid_body_cuts_it_off(closing, glusterd):
    glusterd.create("halt")
    with open(os.path.join(glusterd.folder, "source"), "wb") as file:
        file.write(os.urandom(64 << 20))
    client = closing(Client("halt", "tcp", glusterd.address, 24007))
    client.put(file.name, "/big")
    client.write("/f", 0, "here")
    web = closing(Serving([mount(f"{glusterd.address}:0", "halt")]))
    web.connected()
    with Download(web.path, "/big") as download:
        download.read(1 << 20)
        glusterd.cli("volume", "stop", "halt", "force")
        download.read()
        assert not download.complete
    web.wait_log("GET /big.*cut short: ")
    glusterd.start_volume("halt", 1)
    web.wait_status("/f", 200, 20)


def test_bricks_killed_and_restarted(closing, glusterd):
    glusterd.create("three", replica=3)
    client = closing(Client("three", "tcp", glusterd.address, 24007))
    client.write("/f", 0, "here")
    web = closing(Serving([mount(f"{glusterd.address}:0", "three")]))
    web.connected()
    assert web.fetch("/f")[2] == b"here"
    for pid in glusterd.brick_pids("three"):
        os.kill(pid, signal.SIGKILL)
    web.wait_status("/f", 503, 10)
    glusterd.start_volume("three", 4)
    web.wait_status("/f", 200, 20)


def test_a_part_of_a_distributed_volume_that_is_away(closing, glusterd):
    """gfapi says of what lies there that it does not exist, and of listings nothing."""
    glusterd.create("spread", parts=2)
    client = closing(Client("spread", "tcp", glusterd.address, 24007))
    client.mkdir("/d")
    names = [f"f{i}" for i in range(30)]
    for name in names:
        client.write(f"/d/{name}", 0, name)
    web = serve_counted(glusterd, "glusterfs-autoindex = 1", mount=mount(f"{glusterd.address}:0", "spread"))
    closing(web)

    def listing():
        page = json.loads(web.fetch("/d/?format=json")[2])
        return page["complete"], len(page["entries"])

    def whole():
        return listing() == (True, 30) and {web.status(f"/d/{name}") for name in names} == {200}

    assert whole() and web.status("/d/none") == 404
    os.kill(glusterd.brick_pids("spread")[0], signal.SIGKILL)
    wait_for("a part is away", lambda: web.status("/d/none") == 503, 5)
    complete, count = listing()
    assert not complete and 0 < count < 30
    assert b"Names may be missing" in web.fetch("/d/")[2]
    time.sleep(1.1)  # what was seen before may be shown for so long
    doubts = counters(web)["flushes"]
    assert web.status("/d/nothing") == 503  # and bricks may have changes to tell that nobody hears
    assert counters(web)["flushes"] > doubts
    found = [web.status(f"/d/{name}") for name in names]
    assert (found.count(200), found.count(503)) == (count, 30 - count)
    web.wait_log('a part of volume "spread" is away')
    glusterd.start_volume("spread", 2)
    wait_for("the whole volume", whole, 20)
    wait_for("404 again", lambda: web.status("/d/none") == 404, 5)


def test_a_root_that_may_not_be_read_hides_no_404(closing, glusterd):
    """Whether all parts are there cannot be asked then."""
    glusterd.create("shy", parts=2)
    client = closing(Client("shy", "tcp", glusterd.address, 24007))
    client.mkdir("/d")
    client.write("/d/f", 0, "f")
    lines = [mount(f"{glusterd.address}:0", "shy"), "glusterfs-autoindex = 1", "uid = 65534", "gid = 65534"]
    early = closing(Serving(lines))
    early.connected()
    assert early.status("/d/none") == 404
    client.chmod("/", 0o711)
    late = closing(Serving(lines))
    late.connected()
    for web in (early, late):
        web.wait_status("/", 403, 3)
        assert web.status("/d/") == web.status("/d/f") == 200
        assert web.status("/d/missing") == web.status("/missing") == 404


def profiled(glusterd, volume, call):
    """How often the bricks were called so since the last time this was asked."""
    text = glusterd.cli("volume", "profile", volume, "info", "incremental")
    return sum(int(n) for n in re.findall(rf"(\d+)\s+{call}$", text, re.M))


def test_health_is_asked_of_the_bricks(closing, glusterd):
    """Not of gfapi's memory, which may know a root for ten minutes."""
    glusterd.create("well", features__cache_invalidation="on", performance__cache_invalidation="on",
                    performance__md_cache_timeout="600", performance__nl_cache="on")  # fmt: skip
    glusterd.cli("volume", "profile", "well", "start")
    web = serve_counted(glusterd, "glusterfs-cache = 0", mount=mount(f"{glusterd.address}:0", "well"))
    closing(web)
    wait_for("well", lambda: counters(web)["well"] == 1, 5)
    profiled(glusterd, "well", "GETXATTR")
    time.sleep(3)
    assert 2 <= profiled(glusterd, "well", "GETXATTR") <= 6
    os.kill(glusterd.brick_pids("well")[0], signal.SIGKILL)
    wait_for("not well", lambda: counters(web)["well"] == 0, 7)
    glusterd.start_volume("well", 1)
    wait_for("well again", lambda: counters(web)["well"] == 1, 20)


# ---- users and ports ----


def test_permissions_are_those_of_the_user_it_runs_as(closing, glusterd):
    """Small files too: their bytes come with the look-up, which asks for no permission."""
    web = closing(Serving([mount(f"{glusterd.address}:0"), "uid = 65534", "gid = 65534"]))
    web.connected()
    assert web.status("/f") == 200
    assert web.status("/secret") == 403
    assert web.fetch("/secret", "HEAD")[0] == 403
    assert web.status("/bigsecret") == 403
    assert web.status("/closed/f") == 403


def test_an_acl_denies_what_the_mode_allows(closing, glusterd):
    client = closing(Client("v1", "tcp", glusterd.address, 24007))
    for name in ("/denied", "/later", "/group", "/anyone"):
        client.write(name, 0, "not for nobody")
    client.deny("/denied", 65534)
    client.deny("/anyone", 65533)
    client.chmod("/group", 0o640)
    web = closing(Serving([mount(f"{glusterd.address}:0"), "uid = 65534", "gid = 65534"]))
    web.connected()
    for _ in range(2):  # new, and remembered
        for name in ("/denied", "/group"):
            status, _, body = web.fetch(name)
            assert status == 403 and b"nobody" not in body
        assert web.fetch("/anyone")[2] == web.fetch("/later")[2] == b"not for nobody"
    client.deny("/later", 65534)
    web.wait_status("/later", 403, 1.5)  # it was in memory: glusterfs-cache-age, and some air
    assert b"nobody" not in web.fetch("/later")[2]


def test_root_is_nobody_where_the_volume_squashes_root(closing, glusterd):
    glusterd.create("squash")
    client = closing(Client("squash", "tcp", glusterd.address, 24007))
    client.write("/f", 0, "f")
    client.write("/secret", 0, "root's")
    client.chmod("/secret", 0o600)
    web = closing(Serving([mount(f"{glusterd.address}:0", "squash")]))
    web.connected()
    assert web.status("/secret") == 200
    glusterd.cli("volume", "set", "squash", "server.root-squash", "on")
    web = closing(Serving([mount(f"{glusterd.address}:0", "squash")]))
    web.connected()
    assert web.status("/f") == 200 and web.status("/secret") == 403


def test_privileged_ports_need_the_capability(closing, glusterd):
    glusterd.create("safe")
    client = closing(Client("safe", "tcp", glusterd.address, 24007))
    client.write("/f", 0, "safe")
    glusterd.cli("volume", "set", "safe", "server.allow-insecure", "off")
    user = ["uid = 65534", "gid = 65534"]
    without = closing(Serving([mount(f"{glusterd.address}:0", "safe"), *user]))
    able = closing(
        Serving([mount(f"{glusterd.address}:0", "safe"), *user, "cap = net_bind_service"])
    )
    able.connected()
    assert able.fetch("/f")[2] == b"safe"
    line = without.wait_log('the bricks of volume "safe" .*', 25).group()
    assert "server.allow-insecure off" in line and "cap = net_bind_service" in line
    assert without.status("/f") == 503


# ---- configuration ----


@pytest.mark.parametrize(
    "value, text",
    [
        ("mountpoint=/,volume=v,server=host", 'write host:0 for the usual port'),
        ("mountpoint=/,volume=v,server=host:x", '"x" is no port'),
        ("mountpoint=/,volume=v,server=host:70000", '"70000" is no port'),
        ("mountpoint=/,volume=v,server=fe80::1:0", "an IPv6 address needs brackets"),
        ("mountpoint=x,volume=v,server=h:0", "must begin with a slash"),
        ("mountpoint=/,volume=v,server=;", "the server list is empty"),
    ],
)
def test_mistakes_in_a_mount_are_explained(tmp_path, value, text):
    import program

    ini = tmp_path / "x.ini"
    ini.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:0\nglusterfs-mount = {value}\n")
    done = program.run("--check", ini)
    assert done.returncode != 0
    assert f"{ini}:3" in done.stderr + done.stdout
    assert text in done.stderr + done.stdout
