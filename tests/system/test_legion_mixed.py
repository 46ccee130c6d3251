# SPDX-License-Identifier: Apache-2.0
"""Legatus and Debian's uWSGI in one legion: they elect one Lord, fail over, fail
back, and sum the same members."""

import os
import time

import pytest

from legion_rig import UWSGI, Story, Uwsgi, crash, hooks, settings, view, wait_agree
from program import free_ports, wait_for
from socket import SOCK_DGRAM
from trio_rig import CBC, Rows

pytestmark = pytest.mark.skipif(not UWSGI, reason="uwsgi is not installed")
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"


ROWS = Rows(10)
root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")


@pytest.fixture(scope="module")
def rows(request, legatus_module, tmp_path_factory):
    yield from ROWS.run_all(request, legatus_module, tmp_path_factory.mktemp)


@pytest.fixture
def uwsgi(tmp_path):
    nodes = []

    def start(text, **kw):
        nodes.append(Uwsgi(tmp_path / f"uwsgi{len(nodes)}", text, **kw))
        return nodes[-1]

    yield start
    for node in nodes:
        node.stop()


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


# ---- At the same time, in namespaces, with an address that moves --------------------------


def same_sums(trio):
    assert len({trio.view(i)["checksum"] for i in range(3) if i not in trio.absent}) == 1


def start(trio, number, theirs):
    (trio.up_uwsgi if number == theirs else trio.up)(number)


def fail_over_and_back(theirs):
    """Two of Legatus and one of uWSGI, which is best, middle or last."""
    def run(trio):
        for number in (2, 1, 0):
            start(trio, number, theirs)
        trio.settle()
        wait_for("uWSGI says so", lambda: "WE HAVE QUORUM FOR LEGION site" in trio.nodes[theirs].log())
        at = trio.fail(0)
        took = trio.comes(1, at) - at
        assert took < trio.tolerance + trio.freq + 4  # whole seconds of the other side
        wait_for("both agree", lambda: trio.view(1)["checksum"] == trio.view(2)["checksum"]
                 and trio.view(1)["lord_uuid"] == trio.view(2)["lord_uuid"], 10)
        trio.wire.silence(0, False)
        at = time.time()
        start(trio, 0, theirs)
        came = trio.comes(0, at) - at
        trio.settle()
        same_sums(trio)
        assert not any("refused" in node.log() for node in trio.nodes)
        return {"host fails: at the next": took, "back": came}
    return run


SECRETS = {"aes_128_cbc_iv": CBC, "aes_256_cbc": "aes-256-cbc:hello",
           "des_ede3_cbc": "des-ede3-cbc:a-longer-secret 0123"}
for turn, (cipher, secret) in enumerate(SECRETS.items()):
    for way, group, theirs in (("unicast", None, turn), ("multicast", "225.1.1.1:4242", 2 - turn)):
        ROWS.row(secret, f"{way}_{cipher}", freq=1, tolerance=3, group=group)(
            fail_over_and_back(theirs))


def without_owner(trio, since, until):
    """The longest time in which the address was nowhere, and how often it was on two."""
    own, longest, twice, nobody = set(), 0.0, 0, None
    for _, at, node, came in trio.events():
        before = len(own)
        (own.add if came else own.discard)(node)
        twice += len(own) > 1 and before <= 1 and at >= since
        if since <= at <= until and before and not own:
            nobody = at
        if nobody and own:
            longest, nobody = max(longest, at - nobody), None
    return longest, twice


def replaced(order):
    """One node after the other, until all three are of the new make; before that, how
    long uWSGI's own fail-over takes."""
    def run(trio):
        for i in range(3):
            trio.up_uwsgi(i)
        trio.settle()
        at = trio.fail(0)
        theirs = trio.comes(1, at) - at
        trio.wire.silence(0, False)
        trio.up_uwsgi(0)
        trio.settle()
        begin = time.time()
        for number in order:
            trio.down(number)
            trio.up(number)
            trio.settle()
            same_sums(trio)
        wait_for("promises", lambda: {trio.view(i)["mode"] for i in range(3)} == {"safe"}, 10)
        trio.quiet(trio.tolerance)
        longest, twice = without_owner(trio, begin, time.time())
        assert trio.owners() == [0] and longest <= theirs
        return {"uWSGI's fail-over": theirs, "longest without": longest, "on two": twice}
    return run


ROWS.row(CBC, "rolling_last_first", freq=1, tolerance=3)(replaced((2, 1, 0)))
ROWS.row(CBC, "rolling_lord_first", freq=1, tolerance=3)(replaced((0, 1, 2)))


@root
@pytest.mark.parametrize("name", ROWS.names())
def test_row(rows, name):
    rows.check(name)
