# SPDX-License-Identifier: Apache-2.0
"""The legion process as the master guards it: it outlives reloads, and a title
never stays behind because a process died."""

import os
import re
import signal
import socket
import time

import pytest

from program import children, free_ports, marked, proc_status, wait_for

LEGION = """
legion = solo 127.0.0.1:{port} 10 aes-128-cbc:secret
legion-quorum = solo 1
legion-freq = 200ms
legion-tolerance = 1500ms
legion-lord = solo cmd:echo lord >> {hooks}
legion-unlord = solo cmd:{unlord}echo unlord >> {hooks}
legion-death = solo cmd:echo death >> {hooks}
"""


class Solo:
    """A legion of one node, so Lord at once; its hooks write words to a file."""

    def __init__(self, legatus, folder, unlord="", more=""):
        self.hooks_path = folder / "hooks"
        self.hooks_path.write_text("")
        (port,) = free_ports(1, socket.SOCK_DGRAM)
        self.text = LEGION.format(port=port, hooks=self.hooks_path, unlord=unlord)
        self.web = legatus(
            "http-socket = {http}\nhttp-socket-modifier1 = 200\nstats = 127.0.0.1:{stats}\n"
            + more + self.text, plugin="probe",
        )

    def hooks(self):
        return self.hooks_path.read_text().split()

    def pid(self):
        return int(re.findall(r"legion process is started \(pid (\d+)\)", self.web.log())[-1])

    def wait_hooks(self, *words, timeout=10):
        wait_for(words, lambda: self.hooks() == list(words), timeout)
        return self


@pytest.fixture
def solo(legatus, tmp_path):
    return Solo(legatus, tmp_path).wait_hooks("lord")


def test_the_legion_process_outlives_reloads(solo):
    web, pid = solo.web, solo.pid()
    for turn in (1, 2):
        web.signal(signal.SIGHUP)
        web.wait_log(r"\[master\] reloaded", count=turn)
    assert pid == solo.pid() and pid in children(web.pid)
    assert "legion options" not in web.log()
    assert solo.hooks() == ["lord"]


def test_a_reload_changes_what_can_be_changed(solo):
    web, pid = solo.web, solo.pid()

    def titled():
        (legion,) = web.stats()[0]["legions"]
        return legion if legion["i_am_the_lord"] else None

    before = wait_for("the title", titled)  # its hook may have written and not ended yet
    text = web.ini.read_text()
    new = text.replace("echo unlord", "echo left").replace("solo 127.0.0.1:", "solo 127.0.0.2:")
    web.ini.write_text(new + "legion-node = solo 127.0.0.3:1\n")
    web.signal(signal.SIGHUP)
    line = 1 + text[:text.index("legion = solo")].count("\n")
    web.wait_log(rf"legatus\.ini:{line}: a legion's address has changed: restart to use it")
    web.wait_log("the new legion options are in use")
    after = web.stats()[0]["legions"][0]
    for key in ("uuid", "epoch", "i_am_the_lord", "addr"):
        assert after[key] == before[key]
    assert after["nodes"] == ["127.0.0.3:1"]
    assert pid == solo.pid() and solo.hooks() == ["lord"]
    os.kill(pid, signal.SIGKILL)  # what guards it has the new hooks too
    solo.wait_hooks("lord", "left", "lord")
    web.ini.write_text(text + "legion = other 127.0.0.1:1 5 aes-256-gcm:x\n")
    web.signal(signal.SIGHUP)
    web.wait_log(r"legatus\.ini:\d+: legion \"other\": legions come and go at a start only")
    web.wait_log(r"\[master\] reloaded", count=2)
    os.kill(solo.pid(), signal.SIGKILL)
    solo.wait_hooks("lord", "left", "lord", "left", "lord")


def test_hooks_that_run_are_waited_for(legatus, tmp_path):
    solo = Solo(legatus, tmp_path, more="legion-lord = solo cmd:sleep 2\n")
    solo.web.wait_log("calling cmd:sleep 2")
    solo.web.ini.write_text(solo.web.ini.read_text().replace("echo unlord", "echo left"))
    solo.web.signal(signal.SIGHUP)
    solo.web.wait_log(r"\[master\] reloaded")
    assert "the new legion options are in use" not in solo.web.log()
    solo.web.wait_log("the new legion options are in use")
    solo.web.stop()
    assert solo.hooks() == ["lord", "left", "death"]


def test_hooks_of_a_reload_keep_what_they_are_told(legatus, tmp_path):
    """The second of them starts when the configuration of the first is gone."""
    told = "".join(
        f"legion-unlord = solo cmd:sleep 0.3; echo told {number} $LEGION_NAME\n" for number in (1, 2))
    solo = Solo(legatus, tmp_path, more=told).wait_hooks("lord")
    text = solo.web.ini.read_text()
    solo.web.ini.write_text(text.replace("quorum = solo 1", "quorum = solo 2"))
    solo.web.signal(signal.SIGHUP)
    solo.web.wait_log(r"told 1 solo$")
    solo.web.wait_log(r"told 2 solo$")


def test_a_killed_lord_is_stood_in_for_and_started_again(solo):
    os.kill(solo.pid(), signal.SIGKILL)
    solo.web.wait_log("the legion process .* was killed by signal 9")
    solo.wait_hooks("lord", "unlord", "lord")
    assert solo.web.request()[0] == 200
    assert solo.web.stop() == 0
    assert solo.hooks() == ["lord", "unlord", "lord", "unlord", "death"]


def test_no_lord_hook_overtakes_the_unlord_hook_of_the_dead(legatus, tmp_path):
    solo = Solo(legatus, tmp_path, unlord="sleep 1; ").wait_hooks("lord")
    os.kill(solo.pid(), signal.SIGKILL)
    solo.wait_hooks("lord", "unlord", "lord")


def test_a_stopped_lord_loses_the_title_before_its_lease_ends(solo):
    os.kill(solo.pid(), signal.SIGSTOP)
    began = time.monotonic()
    wait_for("unlord", lambda: "unlord" in solo.hooks(), 5)
    assert time.monotonic() - began < 1.5
    solo.wait_hooks("lord", "unlord", "lord")


def test_a_stopped_lord_loses_the_title_while_all_is_stopping(solo):
    os.kill(solo.pid(), signal.SIGSTOP)
    solo.web.signal(signal.SIGTERM)
    began = time.monotonic()
    wait_for("unlord", lambda: "unlord" in solo.hooks(), 5)
    assert time.monotonic() - began < 1.5
    assert solo.web.wait_exit(5) == 0
    assert solo.hooks() == ["lord", "unlord"]


def test_without_a_master_it_resigns(legatus, tmp_path):
    solo = Solo(legatus, tmp_path, more="legion-unlord = solo signal:17\n").wait_hooks("lord")
    pid = solo.pid()
    solo.web.signal(signal.SIGKILL)
    solo.web.wait_exit()
    solo.wait_hooks("lord", "unlord", "death")
    wait_for("its end", lambda: pid not in marked(solo.web.mark), 5)
    assert "signal:17 does not reach the master" in solo.web.log()


def test_at_once_still_takes_the_address_away(legatus, tmp_path):
    solo = Solo(legatus, tmp_path, unlord="sleep 3; ").wait_hooks("lord")
    solo.web.signal(signal.SIGTERM)
    solo.web.wait_log("leaving 1 legion")
    began = time.monotonic()
    solo.web.signal(signal.SIGTERM)
    solo.web.wait_exit(12)
    assert time.monotonic() - began < 10
    assert "unlord" in solo.hooks()


def test_stats_show_the_legion(solo):
    (legion,) = wait_for("the title", lambda: [
        one for one in solo.web.stats()[0]["legions"] if one["i_am_the_lord"]
    ])
    assert {
        "legion", "addr", "uuid", "valor", "checksum", "quorum", "i_am_the_lord", "lord_valor",
        "lord_uuid", "nodes", "members",
    } <= set(legion)
    assert legion["legion"] == "solo" and legion["valor"] == 10
    assert legion["lord_uuid"] == legion["uuid"] and legion["lord_valor"] == 10
    assert abs(legion["i_am_the_lord"] - time.time()) < 60


def test_a_legion_alone_needs_no_worker(legatus):
    (port,) = free_ports(1, socket.SOCK_DGRAM)
    node = legatus(f"legion = solo 127.0.0.1:{port} 0 aes-128-cbc:secret")
    assert len(children(node.pid)) == 1
    assert node.stop() == 0


def policy(pid):
    """Its scheduling policy: 0 = ordinary, 2 = round robin."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[38])


REALTIME = (  # a hook tells of its own process
    "legion-realtime = true\n"
    "legion-lord = solo cmd:cut -d' ' -f41 /proc/self/stat >> {hooks}; "
    "grep -c 'VmLck:[^1-9]* 0 kB' /proc/self/status >> {hooks}\n"
)


def test_realtime_is_for_the_legion_process_alone(legatus, tmp_path):
    solo = Solo(legatus, tmp_path, more=REALTIME.format(hooks=tmp_path / "hooks"))
    solo.wait_hooks("0", "1", "lord")
    assert policy(solo.pid()) == 2 and proc_status(solo.pid())["VmLck"].split()[0] != "0"
    others = [pid for pid in marked(solo.web.mark) if pid != solo.pid()]
    assert solo.web.pid in others and {policy(pid) for pid in others} == {0}
    solo.web.write(solo.text + "http-socket = {http}\n")
    solo.web.signal(signal.SIGHUP)
    solo.web.wait_log("the new legion options are in use")
    wait_for("ordinary", lambda: policy(solo.pid()) == 0)
    assert proc_status(solo.pid())["VmLck"].split()[0] == "0"


def test_realtime_that_is_not_permitted_is_said(legatus, tmp_path):
    wrapper = ["prlimit", "--rtprio=0", "--memlock=65536", "setpriv", "--bounding-set",
               "-sys_nice,-ipc_lock,-sys_resource", "--inh-caps", "-sys_nice,-ipc_lock"]
    web = legatus("legion-realtime = true\nlegion = solo 127.0.0.1:{port} 10 aes-128-cbc:secret\n"
                  "legion-freq = 200ms\nlegion-tolerance = 1500ms\n", wrapper=wrapper, wait=False)
    web.wait_log("legion-realtime: no real-time scheduling: Operation not permitted .*CAP_SYS_NICE")
    web.wait_log("legion-realtime: memory may be paged out: .*RLIMIT_MEMLOCK")
    web.wait_log("i am now the Lord of the Legion solo")
