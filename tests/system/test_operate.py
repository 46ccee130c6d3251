# SPDX-License-Identifier: Apache-2.0
"""What operators ask: legatus legion status."""

import re
import socket
from socket import SOCK_DGRAM

import pytest

from legion_rig import UWSGI, Uwsgi, crash, settings, view, wait_agree
from program import free_ports, run, wait_for

OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"


def status(target):
    return run("legion", "status", target)


def text(number, ports, **kw):
    return settings(number, ports, 90 - 10 * number, freq=0.2, tolerance=1,
                    secret="aes-256-gcm:hello", **kw)


def test_status_of_a_legion(legatus):
    ports = free_ports(3, SOCK_DGRAM)
    nodes = [legatus(OWN + text(i, ports)) for i in range(3)]
    wait_agree(nodes, 0)
    wait_for("three votes", lambda: view(nodes[0])["votes"] == 3)  # two made it Lord
    lord = status(nodes[0].ini)
    assert lord.returncode == 0 and lord.stderr == ""
    assert re.match(
        rf"legion site at 127\.0\.0\.1:{ports[0]}: Lord, valor 90; votes 3 of 2; votes for this "
        r"node\n  Lord for \d+ s, epoch \d+\n  MEMBER +VALOR  VIEW     UUID      SEEN\n"
        r"(  \S+ +[78]0  same     [0-9a-f]{8}  \d s ago\n){2}$", lord.stdout), lord.stdout
    address = f"127.0.0.1:{nodes[1].ports['stats']}"
    other = status(address)
    assert other.returncode == 0
    assert "follower, valor 80" in other.stdout
    assert "  not Lord: valor 90 there, 80 here\n" in other.stdout
    crash(nodes[0])
    crash(nodes[1])
    wait_for("why", lambda: "no Lord from here: in touch with 1 of 2 nodes" in status(nodes[2].ini).stdout)
    wait_for("silence", lambda: "no member is heard" in status(nodes[2].ini).stdout)
    gone = status(nodes[0].ini)
    assert gone.returncode == 1 and gone.stdout == ""
    assert re.search(
        r"nobody answers at 127\.0\.0\.1:\d+ \(\S*legatus\.ini:\d+\): Connection refused; is it "
        "running\\?", gone.stderr)
    assert status(address).stderr == (
        f"legatus legion status: nobody answers at {address}: Connection refused; is it running?\n")


def test_stats_over_http_and_unix(legatus):
    (port,) = free_ports(1, SOCK_DGRAM)
    node = legatus("stats = s.sock\nstats-http = true\n"
                   f"legion = solo 127.0.0.1:{port} 0 aes-256-gcm:hello\n")
    answer = wait_for("an answer", lambda: status(node.folder / "s.sock"))
    assert f"legion solo at 127.0.0.1:{port}: arbiter, valor 0" in answer.stdout
    assert answer.returncode == 0


@pytest.mark.skipif(not UWSGI, reason="uwsgi is not installed")
def test_status_of_uwsgi(tmp_path):
    (port,) = free_ports(1, SOCK_DGRAM)
    node = Uwsgi(tmp_path / "u", f"legion = solo 127.0.0.1:{port} 5 aes-128-cbc:hello\n"
                                 "legion-freq = 1\n")
    try:
        address = f"127.0.0.1:{node.stats_port}"
        wait_for("its title", lambda: "Lord, valor 5" in status(address).stdout, 15)
    finally:
        node.stop()


def test_what_cannot_be_asked_says_why(legatus, tmp_path):
    def says(target, pattern):
        answer = status(target)
        assert answer.returncode == 1 and answer.stdout == ""
        assert re.fullmatch(f"legatus legion status: {pattern}\n", answer.stderr), answer.stderr

    says(tmp_path / "no.ini", r"\S+no\.ini: no such file, and no address as in 127\.0\.0\.1:9191")
    says(tmp_path, r"\S+ is a directory: expected an ini file or the address of its stats")
    (tmp_path / "bare.ini").write_text("[uwsgi]\nhttp-socket = :8080\n")
    says(tmp_path / "bare.ini", r"\S+bare\.ini has no stats option, by which a running instance is "
                                r"asked: expected one, as in stats = 127\.0\.0\.1:9191")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        says(address, rf"nobody answers at {address}: Connection timed out; is it running\?")
    web = legatus("http-socket = {http}\nstats = 127.0.0.1:{stats}\n")
    assert status(web.ini).stdout == "it is in no legion\n"
    bare = run("legion", "status")
    assert bare.returncode == 1 and "expected an ini file" in bare.stderr


@pytest.mark.parametrize("words", [("legion",), ("legion", "--help"), ("legion", "status", "--help"),
                                   ("legion-sim", "-h")])
def test_commands_explain_themselves(words):
    told = run(*words)
    assert told.returncode == 0 and told.stderr == ""
    assert told.stdout.startswith("usage: legatus legion status")
    assert "--partition A,B@TIME" in told.stdout


def test_unknown_command_is_named():
    told = run("legion", "stats")
    assert (told.returncode, told.stdout) == (2, "")
    assert "legion stats: expected status, resign or maintenance" in told.stderr
