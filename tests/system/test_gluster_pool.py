# SPDX-License-Identifier: Apache-2.0
"""A trusted pool of three nodes, replica 3: nodes that die while files are served."""

import hashlib
import os
import time

import pytest
from gluster_client import Client
from gluster_rig import Download, Serving, ThreeNodePool, wait_for

SIZE = 256 << 20


@pytest.fixture(scope="module")
def pool():
    pool = ThreeNodePool()
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="module")
def content(pool):
    """/big and /f on the volume; big's sha256."""
    path = os.path.join(pool.folder, "source")
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for i in range(SIZE >> 20):
            data = i.to_bytes(4, "big") + block[4:]
            digest.update(data)
            file.write(data)
    client = Client(pool.volume, "tcp", f"{pool.NET}.1", 24007, prefix=pool.client)
    try:
        client.put(path, "/big")
        client.write("/f", 0, "hello")
    finally:
        client.close()
    os.unlink(path)
    return digest.hexdigest()


@pytest.fixture
def serve(pool, content):
    """The document's ini: one volume, three servers."""
    servings = []

    def start(servers=None):
        mount = f"mountpoint=/,volume={pool.volume},server={servers or pool.servers}"
        servings.append(Serving([f"glusterfs-mount = {mount}"], prefix=pool.client))
        return servings[-1]

    yield start
    for serving in servings:
        serving.close()


def test_the_documents_example(serve):
    web = serve()
    assert web.connected() < 2
    assert web.fetch("/f")[2] == b"hello"


def test_etags_are_the_same_through_every_node(pool, serve):
    etags = set()
    for n in (1, 2, 3):
        web = serve(f"{pool.NET}.{n}:0")
        web.connected()
        etags.add(web.fetch("/big", "HEAD")[1]["etag"])
    assert len(etags) == 1


def test_the_connected_glusterd_may_die_in_mid_body(pool, serve, content):
    web = serve()
    web.connected()
    with Download(web.path, "/big") as download:
        download.read(4 << 20)
        pool.kill_glusterd(1)
        try:
            download.read()
            assert download.complete and download.hash.hexdigest() == content
            assert web.fetch("/f")[2] == b"hello"
            # and with the first of the list dead, a new one starts at once
            other = serve()
            assert other.connected() < 2
            assert other.fetch("/f")[2] == b"hello"
            other.wait_log(rf"server {pool.NET}.1:0: Connection refused; took {pool.NET}.2:0")
        finally:
            pool.start_glusterd(1)


def test_an_unreachable_first_server_costs_no_time(pool, serve):
    """The address of no node: packets vanish."""
    web = serve(f"{pool.NET}.77:0;{pool.servers}")
    assert web.connected() < 2
    assert web.fetch("/f")[2] == b"hello"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_brick_may_die_in_mid_body(pool, serve, content, n):
    web = serve()
    web.connected()
    try:
        with Download(web.path, "/big") as download:
            download.read(4 << 20)
            pool.kill_brick(n)
            download.read()
        assert download.complete and download.hash.hexdigest() == content
        assert web.fetch("/f")[2] == b"hello"
    finally:
        pool.start()


def test_all_bricks_may_die_and_come_back(pool, serve):
    web = serve()
    web.connected()
    assert web.status("/f") == 200
    for n in (1, 2, 3):
        pool.kill_brick(n)
    web.wait_status("/f", 503, 10)
    web.wait_log(f'volume "{pool.volume}" is away')
    pool.start()
    web.wait_status("/f", 200, 20)
    web.wait_log(f'volume "{pool.volume}" is back')


def test_a_node_that_vanishes_in_mid_body(pool, serve, content):
    """Silence instead of a closed connection: found out by network.ping-timeout."""
    pool.cli("volume", "set", pool.volume, "network.ping-timeout", "5")
    web = serve()
    web.connected()
    try:
        with Download(web.path, "/big") as download:
            download.read(4 << 20)
            pool.link(1, False)
            began = time.monotonic()
            download.read()
            assert time.monotonic() - began < 25
        assert download.complete and download.hash.hexdigest() == content
        wait_for("200", lambda: web.status("/f") == 200, 10)
    finally:
        pool.link(1, True)
