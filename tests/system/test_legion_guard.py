# SPDX-License-Identifier: Apache-2.0
"""What the master does for the legion process: its titles are given up in time when
it cannot, signals and alarms of its hooks arrive; and hooks that nothing waits for."""

import ctypes
import os
import re
import signal
import time
from socket import SOCK_DGRAM

import pytest

from legion_rig import Story, hooks, legion_pid, settings, view, wait_agree
from program import free_ports, marked, run, wait_for

OWN = "http-socket = {http}\nstats = 127.0.0.1:{stats}\n"
FREQ = 0.1
SLACK = 0.5


class Legion:
    def __init__(self, legatus, folder):
        self.legatus = legatus
        self.story = Story(folder / "story")
        self.ports = free_ports(3, SOCK_DGRAM)

    def start(self, number, tolerance=0.8, more=""):
        return self.legatus(OWN + settings(
            number, self.ports, 90 - 10 * number, freq=FREQ, tolerance=tolerance,
            secret="aes-256-gcm:hello") + more + hooks(self.story.path, number))

    def start_all(self, tolerance=0.8, more=""):
        nodes = [self.start(0, tolerance, more)] + [self.start(i, tolerance) for i in (1, 2)]
        wait_agree(nodes, 0)
        return nodes

    def when(self, what, count=1):
        found = [at for at, who, phase in self.story.lines() if f"{who} {phase}" == what]
        return found[count - 1]


@pytest.fixture
def legion(legatus, tmp_path):
    made = Legion(legatus, tmp_path)
    yield made
    assert not made.story.owners_overlap(), made.story.lines()


class Hung:
    """A process that runs as far as its parent can see, and does nothing."""

    SEIZE, INTERRUPT = 0x4206, 0x4207
    WALL = 0x40000000

    def __init__(self, pid):
        self.pid = pid
        libc = ctypes.CDLL(None, use_errno=True)
        for request in (self.SEIZE, self.INTERRUPT):
            assert libc.ptrace(request, pid, None, None) == 0, os.strerror(ctypes.get_errno())
        os.waitpid(pid, self.WALL)

    def wait_end(self, timeout):
        """Its parent hears of its end only after us."""
        wait_for("it is killed", lambda: os.waitpid(self.pid, self.WALL | os.WNOHANG)[0], timeout)


@pytest.mark.parametrize("tolerance", [0.3, 0.8, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("how", ["killed", "stopped", "hung"])
def test_title_of_a_legion_process_that_is(legion, how, tolerance):
    nodes = legion.start_all(tolerance)
    for _ in range(3 if tolerance < 0.5 and how != "killed" else 1):
        wait_agree(nodes, 0)
        others = {who: legion.story.told().count(f"{who} lord") for who in (0, 1)}
        pid = legion_pid(nodes[0])
        at = time.time()
        if how == "hung":
            Hung(pid).wait_end(tolerance + 1)
        else:
            os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        legion.story.wait("0 unlord", count=legion.story.told().count("0 lord"))
        gone = [when for when, who, phase in legion.story.lines() if (who, phase) == ("0", "unlord")
                and when > at][0]
        wait_for("a Lord", lambda: any(legion.story.told().count(f"{who} lord") > count
                                       for who, count in others.items()))
        rose = [when for when, _, phase in legion.story.lines() if phase == "lord" and when > at][0]
        print(f"{how}, tolerance {tolerance}: gone after {gone - at:.3f} s, "
              f"{rose - gone:.3f} s before the next")
        assert gone < rose
        assert rose - at < tolerance + 2 * FREQ + SLACK


def busy_hooks(path):
    """A lord hook of several processes, whose children write as often as they can and are
    the last to have their turn, and an unlord hook that is long enough for what comes too
    late to be seen."""
    loop = f"while :; do date +write >>{path}; done"
    return (f"legion-lord = site cmd:echo lord >>{path}; renice -n 19 $$ >/dev/null; "
            f"for i in 1 2 3; do ({loop}) & done; wait\n"
            f"legion-unlord = site cmd:echo unlord >>{path}; sleep 0.1; echo undone >>{path}\n")


class Busy:
    """A legion of one with such hooks."""

    def __init__(self, legatus, path):
        self.path = path
        self.node = legatus(settings(0, free_ports(1, SOCK_DGRAM), 90, freq=FREQ, tolerance=2,
                                     quorum=1, secret="aes-256-gcm:hello") + busy_hooks(path))

    def told(self, word):
        return self.path.read_text().split().count(word) if self.path.exists() else 0

    def wait_lord(self, count):
        wait_for("a busy lord hook", lambda: self.told("lord") == count
                 and self.told("write") > self.wrote + 20)
        self.wrote = self.told("write")

    wrote = 0

    def keeper(self):
        """The process that leads the lord hook's group, and sees to its end."""
        legion = legion_pid(self.node)
        with open(f"/proc/{legion}/task/{legion}/children", encoding="ascii") as file:
            (pid,) = map(int, file.read().split())
        assert os.getpgid(pid) == pid
        return pid


@pytest.mark.parametrize("how", ["killed", "resigned"])
def test_nothing_of_a_lord_hook_comes_after_the_unlord_hook_has_begun(legatus, tmp_path, how):
    busy = [Busy(legatus, tmp_path / f"busy{i}") for i in range(2)]
    for count in range(1, 4):
        for one in busy:
            one.wait_lord(count)
        time.sleep(1.0 if how == "killed" else 0)  # or it is started again with a delay
        for one in busy:
            if how == "killed":
                os.kill(one.keeper(), signal.SIGSTOP)  # as if it were never its turn
                os.kill(legion_pid(one.node), signal.SIGKILL)
            else:
                said = run("legion", "resign", one.node.ini, "--for", "1s")
                assert said.returncode == 0, said
        for one in busy:
            wait_for("it is undone", lambda one=one, count=count: one.told("undone") == count)
    for one in busy:
        assert re.findall(r"(?s)unlord\n(.*?)undone\n", one.path.read_text()) == [""] * 3
        assert "was killed and is not gone" not in one.node.log()


def test_rescue_is_repeated(legion, tmp_path):
    flaky = f"test -e {tmp_path}/twice && exit; test -e {tmp_path}/once && touch {tmp_path}/twice; " \
            f"touch {tmp_path}/once; exit 1"
    nodes = legion.start_all(more=f"legion-unlord = site cmd:{flaky}\n")
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)
    legion.story.wait("0 unlord", count=3)
    nodes[0].wait_log(r"unlord hook \(pid \d+\) run for the dead legion process: status 0")
    wait_agree(nodes, 0)


def test_rescue_that_never_succeeds_raises_the_alarm(legion, tmp_path):
    told = tmp_path / "told"
    nodes = legion.start_all(more="legion-unlord = site cmd:exit 3\n"
                                  f"alarm = legion cmd:cat >>{told}\n")
    os.kill(legion_pid(nodes[0]), signal.SIGKILL)
    wait_for("the alarm", told.exists)
    wait_for("its message", lambda: "its unlord hooks did not succeed" in told.read_text())
    assert 3 <= legion.story.told().count("0 unlord") <= 6
    alarm = nodes[0].stats()[0]["alarms"][0]
    assert (alarm["name"], alarm["count"], alarm["failures"]) == ("legion", 1, 0)
    wait_agree(nodes, 0)  # it takes part again


def test_member_hooks_delay_no_title(legion):
    hanging = "".join(f"legion-{phase} = site cmd:sleep 300\n"
                      for phase in ("node-joined", "node-left"))
    nodes = legion.start_all(more=hanging)
    at = time.time()
    assert "calling cmd:sleep 300" in nodes[0].log()
    nodes[0].signal(signal.SIGTERM)
    legion.story.wait("1 lord")
    assert legion.when("0 unlord") <= legion.when("1 lord") < at + SLACK
    assert nodes[0].wait_exit() == 0
    assert not marked(nodes[0].mark)  # the hook ends with the process


def test_failed_lord_hook_gives_the_title_up_for_a_time(legion):
    more = "legion-lord = site cmd:test -e ok\nlegion-death-on-lord-error = 2\n"
    nodes = [legion.start(0, more=more), legion.start(1), legion.start(2)]
    legion.story.wait("0 unlord")
    legion.story.wait("1 lord")
    assert not view(nodes[0])["i_am_the_lord"]
    (nodes[0].folder / "ok").touch()
    legion.story.wait("0 lord", count=2)
    wait_agree(nodes, 0)
    assert 2 <= legion.when("0 lord", 2) - legion.when("0 unlord") < 2 + 0.8 + SLACK
    assert legion.story.told().count("0 lord") == 2  # it did not stand in between


def test_hook_timeout_ends_the_whole_group(legion, tmp_path):
    pids = tmp_path / "pids"
    slow = f"echo $$ >>{pids}; sh -c 'echo $$ >>{pids}; sleep 300' & sleep 300"
    nodes = [legion.start(0, more=f"legion-hook-timeout = 0.5\nlegion-lord = site cmd:{slow}\n"),
             legion.start(1), legion.start(2)]
    nodes[0].wait_log(r"was ended by signal 9 \(legion-hook-timeout\)")
    told = [int(line) for line in pids.read_text().split()]
    assert len(told) == 2
    wait_for("both are gone", lambda: not set(told) & set(marked(nodes[0].mark)))
    wait_agree(nodes, 0)  # a Lord whose hook failed stays


def test_signals_and_alarms_reach_the_master(legion, tmp_path):
    told = tmp_path / "told"
    node = legion.start(0, more=(
        "legion-setup = site signal:23\nlegion-setup = site signal:23\n"
        "legion-setup = site alarm:paper first 100% here\nlegion-setup = site alarm:note second\n"
        "legion-setup = site alarm:note second\nlegion-setup = site alarm:bell ring\n"
        "legion-death = site alarm:paper last\n"
        f"alarm = paper cmd:cat >>{told}; echo >>{told}\nalarm = note log:\n"
        "alarm = bell signal:17\n"))
    wait_for("the first", told.exists)
    node.wait_log("signal 17 from alarm bell has no handler")
    stats = node.stats()[0]
    assert [(s["signal"], s["count"], s["from"]) for s in stats["signals"]] == [
        (17, 1, "alarm bell"), (23, 2, "legion site, setup hook")]
    assert [(a["name"], a["action"], a["count"], a["suppressed"], a["failures"])
            for a in stats["alarms"]] == [
        ("paper", "cmd", 1, 0, 0), ("note", "log", 1, 1, 0), ("bell", "signal", 1, 0, 0)]
    assert abs(stats["alarms"][0]["last"] - time.time()) < 60
    assert re.search(r"ALARM: second$", node.log(), re.M)
    assert node.log().count("signal 23 from") == 1
    assert node.stop() == 0
    assert told.read_text() == "first 100% here\nlast\n"  # the end waits for the last one


def test_alarms_are_checked_at_the_start(tmp_path):
    ini = tmp_path / "x.ini"
    ini.write_text("[uwsgi]\nlegion = x 127.0.0.1:1 1 aes-256-gcm:a\nlegion-node = x 127.0.0.1:2\n"
                   "legion-lord = x alarm:mial up\nalarm = mail curl:smtp://x\n"
                   "alarm = mail log:\nalarm = s signal:256\n")
    done = run("--check", ini)
    assert done.returncode != 0
    for line in (
            '4: error: legion-lord: unknown alarm "mial"',
            '5: error: alarm "mail": Legatus lacks uWSGI\'s action "curl:": expected cmd:, log:',
            f'6: error: alarm "mail": it was defined before ({ini}:5)',
            '7: error: alarm "s": expected a signal from 0 to 255'):
        assert line in done.stderr, done.stderr
