# SPDX-License-Identifier: Apache-2.0
"""Legatus and Debian's uWSGI in one legion: they elect one Lord, fail over, fail
back, and sum the same members."""

import re

import pytest

from legion_rig import UWSGI, Story, Uwsgi, crash, hooks, settings, view, wait_agree
from program import free_ports, wait_for
from socket import SOCK_DGRAM

pytestmark = pytest.mark.skipif(not UWSGI, reason="uwsgi is not installed")
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"


@pytest.fixture
def uwsgi(tmp_path):
    nodes = []

    def start(text, **kw):
        nodes.append(Uwsgi(tmp_path / f"uwsgi{len(nodes)}", text, **kw))
        return nodes[-1]

    yield start
    for node in nodes:
        node.stop()


def one_lord_per_quorum(log):
    return re.findall(r"i am now the Lord of the Legion (\S+)", log)


@pytest.mark.parametrize(
    "secret",
    ["aes-128-cbc:hello thisistheiv", "aes-256-cbc:hello", "des-ede3-cbc:a-longer-secret 0123"],
)
def test_mixed_legion_elects_one_lord(legatus, uwsgi, secret):
    ports = free_ports(3, SOCK_DGRAM)
    nodes = [
        legatus(OWN + settings(0, ports, 90, secret=secret)),
        legatus(OWN + settings(1, ports, 80, secret=secret)),
        uwsgi(settings(2, ports, 70, secret=secret)),
    ]
    wait_agree(nodes, 0)
    wait_for("uWSGI's report", lambda: "WE HAVE QUORUM FOR LEGION site" in nodes[2].log())
    assert "refused" not in nodes[0].log() + nodes[1].log()
    assert [one_lord_per_quorum(node.log()) for node in nodes] == [["site"], [], []]


def test_mixed_legion_fails_over_and_back(legatus, uwsgi, tmp_path):
    ports = free_ports(3, SOCK_DGRAM)
    story = Story(tmp_path / "story")
    first = OWN + settings(0, ports, 90, tolerance=3) + hooks(story.path, "first")
    second = legatus(OWN + settings(1, ports, 80, tolerance=3) + hooks(story.path, "second"))
    third = uwsgi(settings(2, ports, 70, tolerance=3))
    node = legatus(first)
    wait_agree([node, second, third], 0)

    crash(node)
    story.crashed("first")
    took = wait_agree([second, third], 0)
    assert took < 3 + 1 + 4  # tolerance, one interval, whole seconds of the other side

    node = legatus(first)
    wait_agree([node, second, third], 0)
    story.wait("first lord", count=2)
    told = story.told()
    back = len(told) - told[::-1].index("first lord") - 1
    assert "second unlord" in told[:back]
    assert not story.owners_overlap(), told

    # A clean stop hands over without waiting for the tolerance.
    node.stop()
    took = wait_agree([second, third], 0)
    assert took < 3
    assert story.told().count("first unlord") == 1 and story.told()[-1] == "second lord"


def test_lord_of_the_other_make_is_followed(legatus, uwsgi, tmp_path):
    ports = free_ports(3, SOCK_DGRAM)
    story = Story(tmp_path / "story")
    text = settings(2, ports, 95, tolerance=3) + hooks(story.path, "uwsgi")
    first = legatus(OWN + settings(0, ports, 90, tolerance=3) + hooks(story.path, "first"))
    second = legatus(OWN + settings(1, ports, 80, tolerance=3))
    node = uwsgi(text)
    wait_agree([first, second, node], 2)

    node.crash()
    wait_agree([first, second], 0)
    assert view(first)["i_am_the_lord"] > 0

    node = uwsgi(text)
    wait_agree([first, second, node], 2)
    # By promises until then; uWSGI makes none, so that they end before its rules begin.
    first.wait_log("giving up the title of the Legion site: a member without promises has come")
    story.wait("first unlord")
    first.wait_log("no longer the Lord")


def test_two_of_three_must_see_each_other(legatus, uwsgi, tmp_path):
    ports = free_ports(3, SOCK_DGRAM)
    story = Story(tmp_path / "story")
    first = legatus(OWN + settings(0, ports, 90, tolerance=3) + hooks(story.path, "first"))
    node = uwsgi(settings(2, ports, 70, tolerance=3))
    wait_agree([first, node], 0)
    node.crash()
    story.wait("first unlord", timeout=3 + 2)
    assert view(first)["i_am_the_lord"] == 0
    assert "no quorum: only 1 vote(s) for Legion site, 2 needed to elect a Lord" in first.log()
    assert "i cannot be The Lord of The Legion site without a quorum ..." in first.log()
