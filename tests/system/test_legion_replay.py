# SPDX-License-Identifier: Apache-2.0
"""legion-record and legatus legion-sim --replay: the last hours of real nodes."""

import json
import os
import re
import signal
import struct
from socket import SOCK_DGRAM

import pytest

from legion_rig import Story, hooks, legion_pid, settings, view, wait_agree
from program import free_ports, run, wait_for

SECRET = "aes-256-gcm:correct-horse-battery"
MARK = {"state": b"\xf1LGSTATE", "step": b"\xf1LG STEP"}


@pytest.fixture(scope="module")
def rings(legatus_module, tmp_path_factory):
    """What three nodes recorded: the legion process of node 0, the Lord, is killed and
    comes back as a voter, and has the title again."""
    folder = tmp_path_factory.mktemp("rings")
    story = Story(folder / "story")
    ports = free_ports(3, SOCK_DGRAM)

    def text(number, valor):
        own = folder / f"node{number}"
        own.mkdir(exist_ok=True)
        return ("http-socket = {http}\nstats = 127.0.0.1:{stats}\n"
                + settings(number, ports, valor, freq=0.1, tolerance=0.8, secret=SECRET)
                + f"legion-state = {own}\nlegion-record = {own}\n"
                + "legion-scroll = site a private word\n" + hooks(story.path, number))

    nodes = [legatus_module(text(i, 90 - 10 * i)) for i in range(3)]
    wait_agree(nodes, 0)
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)
    story.wait("1 lord")
    story.wait("0 lord", count=2)  # its master starts another, which is the better one
    wait_agree(nodes, 0)
    for node in reversed(nodes):  # so that nobody else becomes Lord
        node.close()
    return folder


def ring(rings, number):
    return rings / f"node{number}" / "site.ring"


def replay(*arguments):
    return run("legion-sim", "--replay", *arguments)


def test_story_of_each_node(rings):
    for number in range(3):
        told = replay(ring(rings, number))
        assert told.returncode == 0 and told.stderr == "", (told.stdout[-2000:], told.stderr)
        lines = told.stdout.splitlines()
        lives = 2 if number == 0 else 1
        assert re.match(rf"\d+ events of {lives} lives, all as recorded \(\d+ messages refused\); "
                        r"Lord here for [\d.]+ s, another for [\d.]+ s, nobody for", lines[-1])
        assert all(re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}|-  +)", line) for line in lines[:-1])
        titles = [line for line in lines if "LORD, epoch" in line]
        assert len(titles) == {0: 2, 1: 1, 2: 0}[number], titles
        epochs = [int(line.rsplit(" ", 1)[1]) for line in titles]
        assert epochs == sorted(set(epochs))
        assert sum("has ended" in line for line in lines) == 1
    killed = replay(ring(rings, 0)).stdout
    assert killed.count("and no more: it was killed, or its host") == 1
    assert "runs its lord hooks" in killed and "its hooks have run" in killed


def test_for_machines(rings):
    told = replay("--json", ring(rings, 1))
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert lines[-1]["same"] is True and lines[-1]["events"] > 20 and lines[-1]["lord_here"] > 0
    assert all(set(line) == {"at", "what"} for line in lines[:-1])
    assert told.stdout == replay("--json", ring(rings, 1)).stdout


def test_nothing_secret_is_in_it(rings):
    for number in range(3):
        path = ring(rings, number)
        text = path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"correct-horse" not in text and b"private word" not in text


def frames(text):
    """(offset, mark, format, size) of each record."""
    at = 0
    while at < len(text):
        mark, form, size, _ = struct.unpack_from("<8sIIQ", text, at)
        assert mark in MARK.values()
        yield at, mark, form, size
        at += 24 + size


def fnv(body):
    check = 0xcbf29ce484222325
    for byte in body:
        check = (check ^ byte) * 0x100000001b3 % 2**64
    return struct.pack("<Q", check)


def test_what_is_damaged(rings, tmp_path):
    text = ring(rings, 1).read_bytes()
    every = list(frames(text))
    other = tmp_path / "other.ring"

    other.write_bytes(text[:-5])  # torn: the process died while it wrote
    told = replay(other)
    assert told.returncode == 0 and "bytes were not written in full" in told.stdout

    at, _, _, size = next(frame for frame in every[10:] if frame[1] == MARK["step"])
    body = bytearray(text[at + 24:at + 24 + size])
    body[32] ^= 1  # its digest: as if another core had made it
    other.write_bytes(text[:at + 16] + fnv(body) + body + text[at + 24 + size:])
    told = replay(other)
    assert told.returncode == 1, told.stdout[-1000:]
    assert told.stdout.splitlines()[-1].startswith("DIFFERENT: 1 of ")

    for bad, why in (
        (b"", "not a file of legion-record"),
        (b"[uwsgi]\nlegion = a b 1 c:d\n", "not a file of legion-record"),
        (text[:300], "cut short: nothing of it can be read"),
        (text[:8] + struct.pack("<I", 2) + text[12:], "of format 2: this program reads 1"),
        (text[:16] + fnv(text[24:28] + b"\0\1\0\0" + text[32:24 + every[0][3]]) + text[24:28]
         + b"\0\1\0\0" + text[32:], "another build of legatus recorded it"),
    ):
        other.write_bytes(bad)
        told = replay(other)
        assert told.returncode == 2 and "as recorded" not in told.stdout, told
        assert why in told.stderr, (why, told.stderr)
    told = replay(tmp_path / "none.ring")
    assert told.returncode == 2 and "No such file" in told.stderr
    told = replay()
    assert told.returncode == 2 and "expected files of legion-record" in told.stderr


def test_two_nodes_do_not_share_a_ring(legatus, tmp_path):
    ports = free_ports(2, SOCK_DGRAM)
    nodes = [
        legatus("http-socket = {http}\nstats = 127.0.0.1:{stats}\n"
                + settings(i, ports, 90 - i, freq=0.1, tolerance=0.8, secret=SECRET)
                + f"legion-record = {tmp_path}\n")
        for i in range(2)
    ]
    nodes[1].wait_log("legion-record")
    assert "another node uses it" in nodes[1].log()
    wait_for("a Lord", lambda: (view(nodes[0]) or {}).get("i_am_the_lord"))
