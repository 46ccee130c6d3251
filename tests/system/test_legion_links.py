# SPDX-License-Identifier: Apache-2.0
"""A legion over a network: three namespaces on a bridge, multicast, and an address
that the Lord's hooks carry. Links go down and come back."""

import os

import pytest

from legion_rig import UWSGI, Story, Uwsgi, hooks
from network_rig import ADDRESS
from program import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")
GROUP = "225.1.1.1:4242"


@pytest.fixture
def uwsgi(tmp_path):
    nodes = []

    def start(text, **kw):
        nodes.append(Uwsgi(tmp_path / f"uwsgi{len(nodes)}", text, **kw))
        return nodes[-1]

    yield start
    for node in nodes:
        node.stop()


def text(valor, story, who, freq=0.2, tolerance=1):
    """The ip-takeover of the documents, on a group."""
    take = f"cmd:ip addr add {ADDRESS}/24 dev eth0"
    leave = f"cmd:ip addr del {ADDRESS}/24 dev eth0"
    return (
        f"legion-mcast = clusterip {GROUP} {valor} aes-128-cbc:hello thisistheiv\n"
        f"legion-quorum = clusterip 2\nlegion-freq = {freq}\nlegion-tolerance = {tolerance}\n"
        f"legion-start-wait = {tolerance}\n"
        f"legion-lord = clusterip {take}\nlegion-setup = clusterip {leave}\n"
        f"legion-unlord = clusterip {leave}\nlegion-death = clusterip {leave}\n"
        + hooks(story.path, who, name="clusterip")
    )


def wait_owner(network, nodes, owners, timeout=15):
    try:
        wait_for(f"the address is at {owners}", lambda: network.owners() == owners, timeout)
    except AssertionError as error:
        logs = "\n".join(node.log() for node in nodes)
        raise AssertionError(f"{error}, but at {network.owners()}\n{logs}") from None


def test_address_follows_the_lord(legatus, network, tmp_path):
    story = Story(tmp_path / "story")
    nodes = [
        legatus("http-socket = {http}\n" + text(90 - 10 * i, story, i), wrapper=network.wrapper(i))
        for i in range(3)
    ]
    wait_owner(network, nodes, [0])
    for cut, restore in (
        (lambda: network.link(0, "down"), lambda: network.link(0, "up")),
        (lambda: network.silence(0, True), lambda: network.silence(0, False)),
    ):
        cut()
        wait_owner(network, nodes, [1])  # 0 lost its quorum and took the address away
        restore()
        wait_owner(network, nodes, [0])
    # Both others gone: the last one gives the address up.
    network.link(1, "down")
    network.link(2, "down")
    wait_owner(network, nodes, [])
    network.link(2, "up")
    wait_owner(network, nodes, [0])
    nodes[0].stop()
    wait_for("it is gone with its node", lambda: 0 not in network.owners())


@pytest.mark.skipif(not UWSGI, reason="uwsgi is not installed")
def test_multicast_with_uwsgi(legatus, uwsgi, network, tmp_path):
    story = Story(tmp_path / "story")
    nodes = [
        legatus("http-socket = {http}\n" + text(90 - 10 * i, story, i, freq=1, tolerance=5),
                wrapper=network.wrapper(i))
        for i in range(2)
    ]
    nodes.append(uwsgi(text(70, story, 2, freq=1, tolerance=5), wrapper=network.wrapper(2)))
    wait_owner(network, nodes, [0])
    wait_for("all see three", lambda: all(
        "votes: 3)" in node.log() for node in nodes
    ))
    network.link(0, "down")
    wait_owner(network, nodes, [1], timeout=20)
    network.link(0, "up")
    wait_owner(network, nodes, [0], timeout=20)
    assert not any("refused" in node.log() for node in nodes[:2])


@pytest.mark.skipif(not UWSGI, reason="uwsgi is not installed")
def test_nodes_of_one_host_share_a_group(legatus, uwsgi, network, tmp_path):
    story = Story(tmp_path / "story")
    common = "legion-quorum = g 3\nlegion-freq = 1\nlegion-tolerance = 5\nlegion-start-wait = 5\n"
    where = network.wrapper(0)

    def lines(valor, who):
        return (f"legion-mcast = g {GROUP} {valor} aes-128-cbc:hello\n{common}"
                + hooks(story.path, who, name="g"))

    nodes = [uwsgi(lines(70, "c"), wrapper=where)]
    nodes += [legatus("http-socket = {http}\n" + lines(valor, who), wrapper=where)
              for valor, who in ((90, "a"), (80, "b"))]
    story.wait("a lord")
    assert not {"b lord", "c lord"} & set(story.told())
    wait_for("all see three", lambda: all("votes: 3)" in node.log() for node in nodes))
