# SPDX-License-Identifier: Apache-2.0
"""Every kind of address a legion can have: over real links where it takes some."""

import os
import pathlib

import pytest

from legion_rig import Story, crash, hooks
from network_rig import ip
from program import wait_for

FREQ, TOLERANCE = 0.2, 1.0
root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")


def text(define, nodes, story, who, quorum=2):
    return (
        "http-socket = {http}\n" + define + "\n"
        + "".join(f"legion-node = site {node}\n" for node in nodes)
        + f"legion-quorum = site {quorum}\nlegion-freq = {FREQ}\nlegion-tolerance = {TOLERANCE}\n"
        + f"legion-start-wait = {TOLERANCE}\n"
        + hooks(story.path, who)
    )


def fail_over(nodes, story):
    """The first of three is Lord; it crashes; the second is, and says what it lost."""
    story.wait("0 lord")
    wait_for("all see three", lambda: all(node.log().count("joined Legion") >= 2 for node in nodes))
    crash(nodes[0])
    story.wait("1 lord")
    assert not {"2 lord", "1 unlord"} & set(story.told())
    assert not any("refused" in n.log() or "nothing goes out" in n.log() for n in nodes)


@root
@pytest.mark.parametrize("kind, group", [
    ("legion-mcast", "225.1.1.1:4242"),
    ("legion-mcast", "[ff05::1234]:4242"),
    ("legion-mcast", "[ff02::1234%%eth0]:4242"),
    ("legion-mcast", "255.255.255.255:4242"),
])
def test_groups(legatus, network, tmp_path, kind, group):
    story = Story(tmp_path / "story")
    nodes = [
        legatus(text(f"{kind} = site {group} {90 - 10 * i} aes-256-gcm:hello", (), story, i),
                wrapper=network.wrapper(i))
        for i in range(3)
    ]
    fail_over(nodes, story)


@root
@pytest.mark.parametrize("form", ["10.99.0.{}:4242", "[fd99::{}]:4242"])
def test_unicast_over_links(legatus, network, tmp_path, form):
    story = Story(tmp_path / "story")
    places = [form.format(i + 1) for i in range(3)]
    nodes = [
        legatus(text(f"legion = site {places[i]} {90 - 10 * i} aes-256-gcm:hello",
                     places[:i] + places[i + 1:], story, i), wrapper=network.wrapper(i))
        for i in range(3)
    ]
    story.wait("0 lord")
    network.link(0, "down")
    story.wait("1 lord")
    story.wait("0 unlord")
    network.link(0, "up")
    story.wait("0 lord", count=2)
    assert story.told().index("1 unlord") < len(story.told()) - 1


@root
def test_any_address_answers_from_the_right_one(legatus, network, tmp_path):
    """":4242" on a host with two addresses, told by one of them."""
    story = Story(tmp_path / "story")
    nodes = [
        legatus(text(f"legion = site :4242 {90 - 10 * i} aes-256-gcm:hello",
                     [f"10.99.0.{k + 1}:4242" for k in range(3)], story, i),
                wrapper=network.wrapper(i))
        for i in range(3)
    ]
    fail_over(nodes, story)


def test_unix_sockets(legatus, tmp_path):
    story = Story(tmp_path / "story")
    places = [str(tmp_path / f"{i}.sock") for i in range(3)]
    nodes = [
        legatus(text(f"legion = site {places[i]} {90 - 10 * i} aes-256-gcm:hello",
                     places[:i] + places[i + 1:], story, i))
        for i in range(3)
    ]
    fail_over(nodes, story)
    again = legatus(text(f"legion = site {places[0]} 90 aes-256-gcm:hello", places[1:], story, 0))
    story.wait("0 lord", count=2)
    again.stop()
    assert not os.path.exists(places[0]) and os.path.exists(places[1])


@root
def test_names_are_resolved_again(legatus, network, tmp_path):
    """A node is known by name; nobody knows the name at first; then the node moves to
    another address, and the name follows."""
    folders = [pathlib.Path("/etc/netns") / name for name in network.names]
    story = Story(tmp_path / "story")

    def tell(address):
        for folder in folders:
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} one.test\n"
                                          if address else "127.0.0.1 localhost\n")

    try:
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        tell(None)
        nodes = []
        for i, address in ((0, "10.99.0.1"), (1, "0.0.0.0")):
            others = ["one.test:4242"] if i == 0 else ["10.99.0.1:4242"]
            nodes.append(legatus(
                text(f"legion = site {address}:4242 {80 + 10 * i} aes-256-gcm:hello", others,
                     story, i), wrapper=network.wrapper(i)))
        nodes[0].wait_log(r"legion-node one\.test:4242: .*: it is tried again and again")
        tell("10.99.0.2")
        nodes[0].wait_log(r"legion-node one\.test:4242 is 10\.99\.0\.2:4242", timeout=15)
        story.wait("1 lord")
        # It moves: the old address is nobody's now.
        ip("addr", "add", "10.99.0.22/24", "dev", "eth0", namespace=network.names[1])
        ip("addr", "del", "10.99.0.2/24", "dev", "eth0", namespace=network.names[1])
        tell("10.99.0.22")
        nodes[0].wait_log(r"legion-node one\.test:4242 is 10\.99\.0\.22:4242", timeout=30)
        wait_for("it is heard there", lambda: nodes[1].log().count("joined Legion") >= 1, 10)
    finally:
        for folder in folders:
            for file in folder.glob("*"):
                file.unlink()
            if folder.exists():
                folder.rmdir()
