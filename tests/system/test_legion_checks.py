# SPDX-License-Identifier: Apache-2.0
"""Health checks and operators' commands, with real processes and short timings: a
Lord whose service is broken steps down and is back when it is well."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from socket import AF_UNIX, SOCK_DGRAM, SOCK_STREAM, socket

import pytest

from gluster_rig import EmbeddedBrick
from legion_rig import Story, crash, hooks, legion_pid, settings, view, wait_agree
from network_rig import Network
from program import BINARY, environment, free_ports, marked, run, wait_for

FREQ, TOLERANCE = 0.1, 0.8
OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"
root = pytest.mark.skipif(os.geteuid() != 0, reason="another user takes root")


class Legion:
    def __init__(self, legatus, folder):
        self.legatus = legatus
        self.folder = folder
        self.story = Story(folder / "story")
        self.ports = free_ports(3, SOCK_DGRAM)

    def text(self, number, more="", **kw):
        return OWN + settings(
            number, self.ports, 90 - 10 * number, freq=FREQ, tolerance=TOLERANCE,
            secret="aes-256-gcm:hello", **kw) + more + hooks(self.story.path, number)

    def start(self, mores=("", "", "")):
        nodes = [self.legatus(self.text(i, more)) for i, more in enumerate(mores)]
        wait_agree(nodes, 0)
        return nodes


@pytest.fixture
def legion(legatus, tmp_path):
    made = Legion(legatus, tmp_path)
    yield made
    assert not made.story.owners_overlap(), made.story.lines()


def check_of(node, at=0):
    return view(node)["checks"][at]


def why(node):
    answer = run("legion", "status", "--why", node.ini)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def tell(*words):
    answer = run("legion", *words)
    return answer.returncode, answer.stdout + answer.stderr


# ---- Checks --------------------------------------------------------------------------------


def test_unwell_lord_steps_down_and_comes_back(legion, tmp_path):
    flag = tmp_path / "broken"
    told = tmp_path / "told"
    command = (f"env | grep ^LEGION_ >{told}; echo looked; test ! -e {flag} || exit 7")
    nodes = legion.start((f"legion-check = site cmd:{command} every 100ms fall 3 rise 2\n", "", ""))
    assert check_of(nodes[0])["well"] and "returned 0" == check_of(nodes[0])["last_result"]
    nodes[0].wait_log(r'site: the check "cmd:env.*" is well: it returned 0 \(its first result\)')
    nodes[0].wait_log(r"site \(check hook\): looked")
    env = dict(line.split("=", 1) for line in told.read_text().splitlines())
    assert env["LEGION_NAME"] == "site" and env["LEGION_PHASE"] == "check"
    assert env["LEGION_VALOR"] == "90"

    at = time.time()
    flag.touch()
    legion.story.wait("1 lord")
    lines = {f"{who} {phase}": when for when, who, phase in legion.story.lines()}
    assert at < lines["0 unlord"] <= lines["1 lord"]
    assert lines["0 unlord"] - at > 0.15  # not at the first bad result
    wait_agree(nodes, 1)
    nodes[0].wait_log(r'the check "cmd:env.*" is unwell: it returned 7 \(3 times in a row\)')
    assert view(nodes[0])["aside"] == "check" and not check_of(nodes[0])["well"]
    assert re.fullmatch(r'site: not Lord: check "cmd:env.*" unwell since \d s \(it returned 7\)\n',
                        why(nodes[0]))
    assert 'not Lord: check "cmd:' in run("legion", "status", nodes[0].ini).stdout
    flag.unlink()
    legion.story.wait("0 lord", count=2)
    wait_agree(nodes, 0)
    assert abs(check_of(nodes[0])["last_change"] - time.time()) < 10


def test_no_verdict_no_title_and_a_hung_check_is_killed(legion, tmp_path):
    pids, go = tmp_path / "pids", tmp_path / "go"
    pids.touch()
    hang = (f"legion-check = site cmd:echo $$ >>{pids}; test -e {go} || sleep 1000 "
            "every 100ms timeout 300ms fall 2 rise 2\n")
    nodes = [legion.legatus(legion.text(0, hang)), legion.legatus(legion.text(1))]
    assert 'has no verdict yet' in why(nodes[0]) or "took longer" in why(nodes[0])
    legion.story.wait("1 lord")
    wait_for("killed thrice", lambda: len(pids.read_text().split()) > 3)
    assert check_of(nodes[0])["last_result"] == "took longer than 300 ms"
    nodes[0].wait_log(r"is unwell: it took longer than 300 ms \(its first result\)")
    old = pids.read_text().split()[:-1]
    assert not [pid for pid in old if os.path.exists(f"/proc/{pid}")]
    sleeping = [pid for pid in marked(nodes[0].mark)
                if b"sleep\0" in open(f"/proc/{pid}/cmdline", "rb").read()]
    assert len(sleeping) <= 1  # never two at a time, and its children go with it
    assert "0 lord" not in legion.story.told()
    # Heartbeats go on meanwhile: the others never lose it.
    assert "has left" not in nodes[1].log() and "left Legion" not in nodes[1].log()
    go.touch()
    legion.story.wait("0 lord")


def test_workers_check(legion):
    nodes = legion.start(("processes = 2\nlegion-check = site workers every 100ms fall 2 rise 1\n",
                          "", ""))
    pids = nodes[0].workers()
    os.kill(pids[1], signal.SIGKILL)  # one is left, and it is back at once
    time.sleep(0.5)
    assert view(nodes[0])["i_am_the_lord"]
    # Loops that stand still accept nothing, although their processes are there.
    frozen = wait_for("both", lambda: len(marked_workers(nodes[0])) == 2 and marked_workers(nodes[0]))
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        legion.story.wait("1 lord", timeout=12)
        assert check_of(nodes[0])["last_result"] == "found 0 workers that accept"
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    legion.story.wait("0 lord", count=2)


def marked_workers(node):
    return [w["pid"] for w in node.stats()[0]["workers"] if w["pid"]]


def test_reload_brings_checks_and_keeps_the_title(legion, tmp_path):
    nodes = legion.start()
    mark = tmp_path / "n"
    log = f"legion-check = site cmd:echo x >>{mark} every 100ms fall 3 rise 2\n"
    nodes[0].write(legion.text(0, log))
    nodes[0].signal(signal.SIGHUP)
    wait_for("it runs", lambda: mark.exists() and len(mark.read_text()) > 4)
    assert "0 unlord" not in legion.story.told() and view(nodes[0])["i_am_the_lord"]
    # Another command, which fails: three times, then it is heard.
    nodes[0].write(legion.text(0, "legion-check = site cmd:exit 3 every 100ms fall 3\n"))
    nodes[0].signal(signal.SIGHUP)
    legion.story.wait("1 lord")
    nodes[0].write(legion.text(0))
    nodes[0].signal(signal.SIGHUP)  # no check: nothing is unwell
    legion.story.wait("0 lord", count=2)
    assert view(nodes[0])["checks"] == []
    count = len(mark.read_text())
    time.sleep(0.3)
    assert len(mark.read_text()) == count


# ---- Resign, maintenance ---------------------------------------------------------------------


@pytest.mark.parametrize("safe", ["auto", "off"])
def test_resign(legion, safe):
    nodes = legion.start([f"legion-safe = {safe}\n"] * 3)
    epoch = r" epoch \d+" if safe == "auto" else ""
    status, said = tell("resign", nodes[1].ini)
    assert (status, said) == (
        1, f"legatus legion resign: site: not Lord, that is {os.uname().nodename}\n")
    at = time.time()
    status, said = tell("resign", nodes[0].ini, "site", "--for", "3s")
    assert status == 0 and re.fullmatch(rf"site: resigned; LORD \S+{epoch}\n", said), said
    assert time.time() - at < 2
    legion.story.wait("1 lord")
    assert legion.story.told()[-2:] == ["0 unlord", "1 lord"]
    wait_for("1 is Lord", lambda: view(nodes[1])["i_am_the_lord"])
    assert re.match(r"site: not Lord: resigned, does not stand for another [0-3] s", why(nodes[0]))
    legion.story.wait("0 lord", count=2)
    assert time.time() - at >= 3


@pytest.mark.parametrize("state", [True, False])
def test_maintenance_over_reload_and_restart(legion, tmp_path, state):
    more = ""
    if state:
        (tmp_path / "mem").mkdir()
        more = f"legion-state = {tmp_path}/mem\n"
    nodes = legion.start((more, "", ""))
    status, said = tell("maintenance", "on", nodes[0].ini)
    kept = "is on" if state else r"is on until the next restart \(no legion-state\)"
    assert status == 0 and re.fullmatch(
        rf"site: maintenance {kept}, stepped down; LORD \S+ epoch \d+\n", said), said
    assert tell("maintenance", "on", nodes[0].ini)[1].startswith("site: maintenance was on already")
    assert why(nodes[0]) == "site: not Lord: maintenance\n"
    nodes[0].write(legion.text(0, more + "legion-scroll = site x\n"))
    nodes[0].signal(signal.SIGHUP)
    nodes[0].wait_log("the new legion options are in use")
    assert why(nodes[0]) == "site: not Lord: maintenance\n"
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)  # the process that knew it
    nodes[0].wait_log("maintenance is still on")
    wait_for("it is said", lambda: view(nodes[0])["maintenance"])
    wait_agree(nodes, 1)
    # It votes on: with it there are two votes of two without node 2.
    crash(nodes[2])
    time.sleep(TOLERANCE + 3 * FREQ)
    assert view(nodes[1])["i_am_the_lord"] and not view(nodes[0])["i_am_the_lord"]
    nodes[0].stop()
    nodes[0] = legion.legatus(legion.text(0, more))
    if state:
        nodes[0].wait_log("maintenance is still on")
        wait_agree(nodes[:2], 1)
        status, said = tell("maintenance", "off", nodes[0].ini, "site")
        assert (status, said.split(";")[0]) == (0, "site: maintenance is off"), said
    legion.story.wait("0 lord", count=2)
    assert not view(nodes[0])["maintenance"]
    assert not (tmp_path / "mem/site.state.maintenance").exists()


def test_commands_that_cannot_be_given(legion, tmp_path):
    own = f"legion-control = {tmp_path}/door\n"
    (extra,) = free_ports(1, SOCK_DGRAM)
    second = f"legion = two 127.0.0.1:{extra} 1 aes-256-gcm:x\n"
    node = legion.legatus(legion.text(0, own + second))
    wait_for("the door", (tmp_path / "door").exists)
    assert os.stat(tmp_path / "door").st_mode & 0o7777 == 0o600

    def says(status, pattern, *words):
        got, said = tell(*words)
        assert got == status and re.fullmatch(
            f"legatus legion {words[0]}: {pattern}\n", said), (got, said)

    says(2, "which legion\\? expected one of site, two", "resign", node.ini)
    says(2, 'no legion "none": expected site, two', "resign", node.ini, "none")
    says(1, "site: not Lord: nobody is, as far as this node knows", "resign", node.ini, "site")
    says(2, r"expected on or off, an ini file .*", "maintenance", "up", node.ini)
    says(2, r"expected an ini file .*", "resign")
    says(2, r"--for: expected a time up to 720h, as in --for 10m", "resign", node.ini, "--for", "x")
    says(2, r"\S+no\.ini: No such file or directory: expected .*", "resign", tmp_path / "no.ini")
    says(2, r"\S+ is a directory: .*", "resign", tmp_path)
    for text, pattern in (("http-socket = :1\n", "has no legion"),
                          (f"{second}legion-control = off\n",
                           "has legion-control = off: nobody can be told"),
                          (second, None)):
        (tmp_path / "x.ini").write_text("[uwsgi]\n" + text)
        says(2, rf"\S+x\.ini {pattern}" if pattern else
             rf"@legatus-legion-127\.0\.0\.1:{extra}: Connection refused; is it running, and in a "
             "legion\\?", "resign", tmp_path / "x.ini")
    assert tell("maintenance", "on", tmp_path / "door", "two")[0] == 0

    # Nonsense and silence at the door hurt nobody.
    for line in (b"", b"\n", b"quit now\n", b"x" * 4000, b"resign -1 site\n", b"maintenance\n"):
        with socket(AF_UNIX, SOCK_STREAM) as sock:
            sock.connect(str(tmp_path / "door"))
            sock.sendall(line)
    idle = [socket(AF_UNIX, SOCK_STREAM) for _ in range(12)]
    try:
        for sock in idle:
            sock.connect(str(tmp_path / "door"))
        says(1, "too many commands at a time", "resign", node.ini, "site")
    finally:
        for sock in idle:
            sock.close()
    wait_for("room again", lambda: "not Lord" in tell("resign", node.ini, "site")[1])

    # A door that somebody else has, and one left behind by a crash.
    crash(node)
    assert (tmp_path / "door").exists()
    says(2, r"\S+door: Connection refused; is it running, and in a legion\?",
         "resign", node.ini, "site")
    node = legion.legatus(legion.text(0, own))
    wait_for("it is ours", lambda: "not Lord" in tell("resign", node.ini)[1])
    node.stop()
    assert not (tmp_path / "door").exists()


@root
def test_only_root_and_the_own_user_are_heard(legion, tmp_path):
    node = legion.legatus(legion.text(0))
    wait_for("heard", lambda: "not Lord" in tell("resign", node.ini)[1])
    address = f"@legatus-legion-127.0.0.1:{legion.ports[0]}"

    def nobody():
        return subprocess.run(
            [str(BINARY), "legion", "resign", address], env=environment(), text=True, timeout=10,
            capture_output=True, user=65534, group=65534, extra_groups=[], cwd="/")

    answer = nobody()
    assert answer.returncode == 2
    assert answer.stderr == ("legatus legion resign: permission denied: expected root, or the user "
                             "of the legion process\n")
    node.wait_log(r"a command of user 65534 \(pid \d+\) is refused")
    knock = ("import socket\nfor i in range(2000):\n with socket.socket(socket.AF_UNIX) as sock:\n"
             f"  sock.connect('\\0{address[1:]}')")
    at = time.time()
    subprocess.run([sys.executable, "-c", knock], check=True, timeout=60, user=65534, group=65534)
    assert "not Lord" in tell("resign", node.ini)[1]
    assert node.log().count("is refused") <= 3 + time.time() - at  # it fills no disk
    # Nor does a user who has taken the name get to hear what we want.
    node.stop()
    take = ("import socket, sys\nwith socket.socket(socket.AF_UNIX) as sock:\n"
            f" sock.bind('\\0{address[1:]}')\n sock.listen()\n print(flush=True)\n sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", take], user=65534, group=65534,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as thief:
        thief.stdout.readline()
        assert tell("maintenance", "on", node.ini) == (
            2, f"legatus legion maintenance: {address} belongs to user 65534, neither root nor "
               "you: not asked\n")
        second = legion.legatus(legion.text(0))
        second.wait_log(r"no operator can be heard at @legatus-\S+: Address already in use: another "
                        "instance has it: expected a legion-control of its own")


# ---- Why --------------------------------------------------------------------------------------


def test_why_names_the_silent_and_the_unheard(legion):
    nodes = [legion.legatus(legion.text(0))]
    wait_for("why", lambda: why(nodes[0]) == (
        "site: not Lord: 0 of 2 votes, 2 of 2 configured nodes never heard\n"))
    nodes += [legion.legatus(legion.text(i)) for i in (1, 2)]
    wait_agree(nodes, 0)
    assert re.fullmatch(r"site: Lord for \d s, epoch \d+\n", why(nodes[0]))
    host = os.uname().nodename
    assert re.fullmatch(rf"site: not Lord: {host} is, valor 90 there, 70 here\n", why(nodes[2]))
    crash(nodes[0])
    nodes[1].stop()
    wait_for("both are missed", lambda: re.fullmatch(
        rf"site: not Lord: \d of 2 votes, {host} silent since \d s, {host} left \d s ago\n"
        rf"|site: not Lord: \d of 2 votes, {host} left \d s ago, {host} silent since \d s\n",
        why(nodes[2])))
    data = json.loads(json.dumps(view(nodes[2])["left"]))
    assert sorted(left["died"] for left in data) == [False, True]


@root
@pytest.mark.skipif(not shutil.which("iptables"), reason="iptables is not installed")
def test_why_names_the_deaf(legatus, tmp_path):
    """Node 2 is heard, and hears nobody: node 1 can no longer become Lord with it."""
    legion = Legion(legatus, tmp_path)
    net = Network(3)
    try:
        net.build()
        nodes = []
        for i in range(3):
            text = legion.text(i)
            for k, port in enumerate(legion.ports):
                text = text.replace(f"127.0.0.1:{port}", f"10.99.0.{k + 1}:4242")
            text = text.replace("stats = 127.0.0.1:{stats}", f"stats = {tmp_path}/stats{i}")
            nodes.append(legatus(text, wrapper=net.wrapper(i)))
        legion.story.wait("0 lord")
        for source in ("10.99.0.1", "10.99.0.2"):
            subprocess.run([*net.wrapper(2), "iptables", "-A", "INPUT", "-s", source, "-j", "DROP"],
                           check=True, timeout=10)
        net.silence(0, True)
        host = os.uname().nodename
        wait_for("deaf", lambda: re.search(
            rf"^site: not Lord: \d of 2 votes, {host} deaf since \d s, {host} silent since \d s$",
            why(nodes[1]).strip()))
        assert "0 unlord" in legion.story.told() and "1 lord" not in legion.story.told()
    finally:
        net.close()


# ---- GlusterFS ----------------------------------------------------------------------------------


def test_glusterfs_check(legion):
    """Bricks that die, and one that hangs: its Lord gives way, and is back with them."""
    good, other = EmbeddedBrick("good"), EmbeddedBrick("other", ping_timeout=30)
    try:
        mounts = (f"http-socket-modifier1 = 27\nprocesses = 2\n"
                  f"glusterfs-mount = mountpoint=/,{good.mount}\n"
                  f"glusterfs-mount = mountpoint=/other,{other.mount}\n")
        checks = ("legion-check = site glusterfs every 100ms fall 2 rise 2\n"
                  "legion-check = site glusterfs:/other every 100ms fall 2 rise 2\n")
        nodes = legion.start((mounts + checks, "", ""))
        assert check_of(nodes[0])["last_result"] == "found all well in 2 workers"
        groups = nodes[0].stats()[0]["workers"][0]["plugins"]["glusterfs"]
        assert [(group["name"], group["well"]) for group in groups] == [("/", 1), ("/other", 1)]
        assert nodes[0].request("/")[0] != 503

        good.kill()
        legion.story.wait("1 lord")
        whole, named = view(nodes[0])["checks"]
        assert not whole["well"] and named["well"]  # the other mount serves
        assert re.fullmatch("found glusterfs:/ unwell in [12] of 2 workers", whole["last_result"])
        good.start()
        legion.story.wait("0 lord", count=2)

        at = time.time()
        other.pause()  # gfapi's calls hang until its ping-timeout: that is no sign of health
        legion.story.wait("1 lord", count=2)
        assert time.time() - at < 10
        assert [check["well"] for check in view(nodes[0])["checks"]] == [False, False]
        other.resume()
        legion.story.wait("0 lord", count=3)
        assert "unlord" not in legion.story.told()[-1]

        # A name that no worker knows is said, and is not well.
        nodes[1].write(legion.text(1, mounts + "legion-check = site glusterfs:/none every 100ms\n"))
        nodes[1].signal(signal.SIGHUP)
        nodes[1].wait_log('"glusterfs:/none" is unwell: it found nothing of that name in any worker')
    finally:
        good.close()
        other.close()
