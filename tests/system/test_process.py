# SPDX-License-Identifier: Apache-2.0
"""The master and its workers: start, stop, respawn, reload, identity."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from program import (
    BINARY, TOP, children, environment, free_ports, marked, proc_status, run, wait_for,
)

WEB = """
http-socket = {http}
http-socket-modifier1 = 200
disable-logging = true
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Asking:
    """Asks on a thread of its own; .result is (status, body) or the error."""

    def __init__(self, program, path):
        self.result = None
        self.thread = threading.Thread(target=self._run, args=(program, path))
        self.thread.start()

    def _run(self, program, path):
        try:
            self.result = program.request(path, timeout=20)
        except (OSError, ValueError) as error:
            self.result = error

    def join(self):
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.result


def busy(program):
    return sum(core["in_request"] for w in program.stats()[0]["workers"] for core in w["cores"])


# ---- respawn ----


def test_a_killed_worker_is_started_again(legatus):
    web = legatus(WEB + "processes = 2", plugin="probe")
    web.wait_log("worker 2 is ready")
    time.sleep(1.1)  # settled, so the next start is at once
    victim = web.workers()[1]
    os.kill(victim, signal.SIGKILL)
    web.wait_log(r"worker 1 \(pid %d\) was killed by signal 9 \(Killed\); started again$" % victim)
    wait_for("a new worker", lambda: web.workers()[1] != victim)
    assert web.request()[0] == 200
    assert set(children(web.pid)) == set(web.workers().values())


def test_a_crash_says_its_signal(legatus):
    web = legatus(WEB, plugin="probe")
    with pytest.raises((OSError, ValueError)):
        web.request("/crash")
    web.wait_log(r"worker 1 \(pid \d+\) was killed by signal 6 \(Aborted\)")
    web.wait_log("worker 1 is ready", count=2)
    assert web.request()[0] == 200


def test_a_worker_that_keeps_dying_is_started_ever_later(legatus):
    web = legatus(WEB, plugin="probe")
    for life in range(1, 5):
        web.wait_log("worker 1 is ready", count=life)
        os.kill(web.workers()[1], signal.SIGKILL)
    web.wait_log("worker 1 is ready", count=5)
    waits = re.findall(r"killed by signal 9 \(Killed\); started again(?: in (\d+) ms)?$", web.log(), re.M)
    assert waits == ["", "100", "200", "400"]


PLUGIN = """
#include <legatus/plugin.h>
#include <stdlib.h>
static int start(void *state, struct lg_worker *worker)
{
    (void)state;
    (void)worker;
    return -1;
}
__attribute__((visibility("default")))
const struct lg_plugin legatus_plugin = {
    .abi = LG_PLUGIN_ABI, .name = "lame", .version = "1", .start = start};
"""


@pytest.fixture(scope="module")
def lame(tmp_path_factory):
    """The path of a plugin whose start fails."""
    folder = tmp_path_factory.mktemp("lame")
    (folder / "lame.c").write_text(PLUGIN)
    subprocess.run(
        ["cc", "-shared", "-fPIC", f"-I{TOP}/include", "-o", folder / "lame.so", folder / "lame.c"],
        check=True, timeout=60,
    )
    return folder / "lame.so"


def test_a_start_that_cannot_work_is_given_up(legatus, lame):
    web = legatus(WEB + f"processes = 2\nplugin = {lame}", wait=False)
    began = time.monotonic()
    assert web.wait_exit(15) == 1
    assert time.monotonic() - began < 10
    assert "giving up after 5 tries" in web.log()
    deaths = [len(re.findall(f"worker {n} .*exited with status", web.log())) for n in (1, 2)]
    assert max(deaths) == 5 and min(deaths) >= 4


def test_workers_do_not_outlive_a_killed_master(legatus):
    web = legatus(WEB + "processes = 2", plugin="probe")
    web.wait_log("worker 2 is ready")
    web.signal(signal.SIGKILL)
    web.wait_exit()
    wait_for("the workers' end", lambda: not marked(web.mark), 5)


# ---- stopping ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_drains_the_request_under_way(legatus, number):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}", plugin="probe")
    asking = Asking(web, "/sleep/800")
    wait_for("a busy worker", lambda: busy(web) == 1)
    web.signal(number)
    time.sleep(0.2)
    with pytest.raises(OSError):  # nobody new
        web.request("/pid", timeout=2)
    assert asking.join()[0] == 200
    assert web.wait_exit() == 0


def test_a_second_term_stops_at_once(legatus):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}", plugin="probe")
    asking = Asking(web, "/sleep/15000")
    wait_for("a busy worker", lambda: busy(web) == 1)
    web.signal(signal.SIGTERM)
    web.wait_log("stopping: requests under way")
    time.sleep(0.3)
    assert web.process.poll() is None
    began = time.monotonic()
    web.signal(signal.SIGTERM)
    web.wait_exit()
    assert time.monotonic() - began < 2
    assert not isinstance(asking.join(), tuple)


def test_quit_stops_at_once(legatus):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}", plugin="probe")
    asking = Asking(web, "/sleep/15000")
    wait_for("a busy worker", lambda: busy(web) == 1)
    began = time.monotonic()
    web.signal(signal.SIGQUIT)
    web.wait_exit()
    assert time.monotonic() - began < 2
    asking.join()


def test_shutdown_has_a_limit(legatus):
    web = legatus(WEB + "shutdown-timeout = 1\nstats = 127.0.0.1:{stats}", plugin="probe")
    asking = Asking(web, "/sleep/15000")
    wait_for("a busy worker", lambda: busy(web) == 1)
    began = time.monotonic()
    assert web.stop() == 0
    assert 0.8 < time.monotonic() - began < 4
    asking.join()


def test_other_signals_change_nothing(legatus):
    web = legatus(WEB, plugin="probe")
    for number in (signal.SIGPIPE, signal.SIGWINCH, signal.SIGUSR2, signal.SIGALRM, signal.SIGUSR1):
        web.signal(number)
    web.wait_log(r"stats: state RUNNING, workers 1 of 1")
    assert web.request()[0] == 200


# ---- reload ----


class Load:
    """Requests without a pause on connections of their own, until ended."""

    def __init__(self, program, count=4):
        self.program = program
        self.end = threading.Event()
        self.done = 0
        self.faults = []
        self.threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        for _ in range(100_000):
            if self.end.is_set():
                return
            try:
                status, _ = self.program.request("/sleep/2", timeout=10)
                if status != 200:
                    self.faults.append(status)
            except (OSError, ValueError) as error:
                self.faults.append(repr(error))
            self.done += 1

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join(15)
        return self.faults


def headers_of(program):
    with socket.create_connection(program.address, 5) as sock:
        sock.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    return data.split(b"\r\n\r\n")[0].decode()


def test_reload_refuses_and_fails_no_request(legatus):
    web = legatus(WEB + "processes = 2\nthreads = 4", plugin="probe")
    load = Load(web)
    try:
        for turn in range(1, 4):
            web.write(WEB + f"processes = {turn}\nthreads = 4\nadd-header = X-Turn: {turn}")
            web.signal(signal.SIGHUP)
            web.wait_log(r"\[master\] reloaded", count=turn)
            assert f"X-Turn: {turn}" in headers_of(web)
            time.sleep(0.2)
    finally:
        faults = load.stop()
    assert load.done > 100
    assert faults == []
    assert len(children(web.pid)) == 3


def test_a_bad_configuration_is_refused_and_the_old_one_goes_on(legatus):
    web = legatus(WEB + "add-header = X-Old: yes", plugin="probe")
    before = web.workers()
    web.write(WEB + "procesess = 2\nuid = nosuchuser")
    web.signal(signal.SIGHUP)
    web.wait_log("reload refused")
    assert re.search(r"legatus\.ini:\d+: error: .*procesess.*processes", web.log())
    assert re.search(r'legatus\.ini:\d+: error: unknown user "nosuchuser"', web.log())
    assert "X-Old: yes" in headers_of(web)
    assert web.workers() == before
    web.write(WEB + "add-header = X-New: yes")
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded")
    assert "X-New: yes" in headers_of(web)


def test_new_workers_that_do_not_start_leave_the_old_ones(legatus, lame):
    web = legatus(WEB, plugin="probe")
    before = web.workers()
    web.write(WEB + f"plugin = {lame}")
    load = Load(web, 2)
    try:
        web.signal(signal.SIGHUP)
        web.wait_log("do not start: the old one goes on")
        time.sleep(0.3)
    finally:
        faults = load.stop()
    assert faults == []
    assert web.workers() == before
    wait_for("the new ones' end", lambda: children(web.pid) == list(before.values()))


def test_sockets_come_and_go_with_a_reload(legatus):
    web = legatus(WEB + "# {other}", plugin="probe")
    web.write(WEB + "http-socket = 127.0.0.1:{other}")
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded")
    socket.create_connection(("127.0.0.1", web.ports["other"]), 2).close()
    assert web.request()[0] == 200
    web.write(WEB)
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded", count=2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", web.ports["other"]), 2).close()
    assert web.request()[0] == 200


def test_a_taken_address_refuses_the_reload(legatus):
    web = legatus(WEB + "# {other}", plugin="probe")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", web.ports["other"]))
        taken.listen()
        web.write(WEB + "http-socket = 127.0.0.1:{other}")
        web.signal(signal.SIGHUP)
        web.wait_log("reload refused")
    assert f"127.0.0.1:{web.ports['other']}: the address is in use" in web.log()
    assert web.request()[0] == 200


def test_old_workers_that_do_not_finish_are_killed_after_their_mercy(legatus):
    web = legatus(WEB + "worker-reload-mercy = 1\nstats = 127.0.0.1:{stats}", plugin="probe")
    old = web.workers()[1]
    asking = Asking(web, "/sleep/20000")
    wait_for("a busy worker", lambda: busy(web) == 1)
    web.signal(signal.SIGHUP)
    web.wait_log("the new workers serve")
    assert web.request()[0] == 200
    web.wait_log(r"\[master\] reloaded", timeout=6)
    asking.join()
    assert old not in children(web.pid)


def test_a_second_hup_during_a_reload_is_not_lost(legatus):
    web = legatus(WEB, plugin="probe")
    web.write(WEB + "add-header = X-Turn: 1")
    web.signal(signal.SIGHUP)
    web.wait_log("checking the configuration")
    web.write(WEB + "add-header = X-Turn: 2")
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded", count=2)
    assert "X-Turn: 2" in headers_of(web)


def test_a_relative_ini_is_found_again_after_chdir(legatus):
    web = legatus(WEB + "chdir = /", plugin="probe")
    assert os.readlink(f"/proc/{web.workers()[1]}/cwd") == "/"
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded")
    assert os.readlink(f"/proc/{web.workers()[1]}/cwd") == "/"


# ---- harakiri ----


def test_a_request_that_takes_too_long_costs_its_worker(legatus):
    web = legatus(WEB + "harakiri = 1\nstats = 127.0.0.1:{stats}", plugin="probe")
    asking = Asking(web, "/sleep/15000")
    web.wait_log(r"harakiri: worker 1 \(pid \d+\) has run a request for 1\d{3} ms", timeout=5)
    web.wait_log("worker 1 is ready", count=2)
    assert not isinstance(asking.join(), tuple)
    worker = web.stats()[0]["workers"][0]
    assert worker["harakiri_count"] == 1 and worker["respawn_count"] == 1
    assert web.request("/sleep/500")[0] == 200


# ---- files and sockets ----


def test_pidfile_and_unix_sockets_are_vacuumed(legatus):
    web = legatus(
        WEB + "pidfile = run.pid\nhttp-socket = web.sock\nvacuum = true\nchdir = /\nchmod-socket = 660",
        plugin="probe",
    )
    pidfile, sock = web.folder / "run.pid", web.folder / "web.sock"
    assert pidfile.read_text() == f"{web.pid}\n"
    assert stat.S_ISSOCK(sock.stat().st_mode) and stat.S_IMODE(sock.stat().st_mode) == 0o660
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded")
    assert sock.exists()
    web.stop()
    assert not pidfile.exists() and not sock.exists()


def test_without_vacuum_they_stay_and_a_stale_socket_is_replaced(legatus):
    text = WEB + "http-socket = web.sock"
    web = legatus(text, plugin="probe")
    sock = web.folder / "web.sock"
    web.signal(signal.SIGKILL)
    web.wait_exit()
    wait_for("the workers' end", lambda: not marked(web.mark), 5)
    assert sock.exists()
    again = legatus(text.replace("web.sock", str(sock)), plugin="probe")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(sock))
        client.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    again.stop()
    assert sock.exists()


def test_a_unix_socket_that_answers_is_left_alone(legatus, tmp_path):
    path = tmp_path / "taken.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        web = legatus(f"http-socket = {path}", wait=False)
        assert web.wait_exit() == 1
        assert re.search(rf"legatus\.ini:2: error: .*{path}.*another server answers", web.log())
    assert path.exists()


def test_a_file_in_the_way_is_left_alone(legatus, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    web = legatus(f"http-socket = {path}", wait=False)
    assert web.wait_exit() == 1
    assert "no socket" in web.log() and path.read_text() == "precious"


def test_a_taken_port_is_an_error_with_its_place(legatus):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        web = legatus(f"processes = 2\nhttp-socket = 127.0.0.1:{port}", wait=False)
        assert web.wait_exit() == 1
    assert re.search(rf"legatus\.ini:3: error: .*127\.0\.0\.1:{port}.*in use", web.log())


def test_abstract_sockets_and_adopted_descriptors(legatus):
    name = f"legatus-test-{os.getpid()}"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        fd = listener.fileno()
        web = legatus(
            f"http-socket = @{name}\nhttp-socket = fd://{fd}\nhttp-socket-modifier1 = 200",
            plugin="probe", pass_fds=[fd],
        )
        port = listener.getsockname()[1]
    web.address = ("127.0.0.1", port)
    assert web.request()[0] == 200
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(f"\0{name}")
        client.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded")
    assert web.request()[0] == 200


def test_no_process_holds_what_is_not_its(legatus):
    web = legatus(WEB + "stats = 127.0.0.1:{stats}\nprocesses = 2", plugin="probe")
    web.wait_log("worker 2 is ready")
    listening = {}
    with open("/proc/net/tcp") as file:
        for line in list(file)[1:]:
            words = line.split()
            listening[int(words[1].split(":")[1], 16)] = f"socket:[{words[9]}]"
    for pid in web.workers().values():
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert listening[web.ports["http"]] in links
        assert listening[web.ports["stats"]] not in links
        assert "anon_inode:[signalfd]" not in links


# ---- identity ----


def capabilities(pid):
    return {name: int(proc_status(pid)[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}


@needs_root
def test_workers_become_uid_gid_and_keep_cap(legatus):
    web = legatus(
        WEB + "uid = nobody\ngid = daemon\ncap = net_bind_service,CAP_SYS_NICE\nhttp-socket = web.sock",
        plugin="probe",
    )
    status = proc_status(web.workers()[1])
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["1"] * 4
    assert "0" not in status["Groups"].split()
    wanted = 1 << 10 | 1 << 23
    assert set(capabilities(web.workers()[1]).values()) == {wanted}
    assert proc_status(web.pid)["Uid"].split() == ["0"] * 4
    info = (web.folder / "web.sock").stat()
    assert (info.st_uid, info.st_gid) == (65534, 1)


@needs_root
def test_uid_alone_brings_its_group_and_drops_all_capabilities(legatus):
    web = legatus(WEB + "uid = 65534", plugin="probe")
    status = proc_status(web.workers()[1])
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["65534"] * 4
    assert set(capabilities(web.workers()[1]).values()) == {0}
    os.kill(web.workers()[1], signal.SIGKILL)  # the next one as well
    web.wait_log("worker 1 is ready", count=2)
    assert proc_status(web.workers()[1])["Uid"].split() == ["65534"] * 4


@needs_root
def test_an_unprivileged_master_warns_and_serves(legatus, tmp_path):
    def demote():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    (port,) = free_ports(1)
    ini = tmp_path / "a.ini"
    ini.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\nuid = www-data\ncap = net_admin\n")
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o055)
    # A copy: the build may lie where only its owner gets in.
    binary = shutil.copy(BINARY, tmp_path)
    done = subprocess.run(
        [binary, "--check", ini], preexec_fn=demote, env=environment(), text=True,
        capture_output=True, timeout=10, cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert f"{ini}:3: warning: uid is ignored" in done.stderr
    assert f'{ini}:4: warning: this process does not have the capability "net_admin"' in done.stderr


@pytest.mark.parametrize(
    "line, text",
    [
        ("uid = nosuchuser", 'unknown user "nosuchuser"'),
        ("gid = nosuchgroup", 'unknown group "nosuchgroup"'),
        ("cap = net_bind_servise", 'did you mean "net_bind_service"'),
        ("chown-socket = nobody:nosuchgroup", '"nosuchgroup"'),
        ("chmod-socket = 9zz", "octal"),
        ("http-socket = 127.0.0.1:99999", "port"),
        ("stats = ::1:80", "[v6]:port"),
        ("plugin = nosuchplugin", "no nosuchplugin.so in"),
        ("mime-file = /nonexistent/mime", "mime-file"),
        ("procesess = 2", "processes"),
    ],
)
def test_a_bad_option_stops_the_start_with_its_place(tmp_path, line, text):
    ini = tmp_path / "bad.ini"
    (port,) = free_ports(1)
    ini.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\n{line}\n")
    for arguments in (["--check", ini], [ini]):
        done = run(*arguments)
        assert done.returncode == 1
        assert re.search(rf"^{ini}:3: error: .*{re.escape(text)}", done.stderr, re.M), done.stderr


def test_nothing_to_serve_is_an_error():
    done = run("--processes", "2")
    assert done.returncode == 1 and "nothing to serve" in done.stderr


# ---- the command line ----


def test_help_version_and_show_config(tmp_path):
    assert "--http-socket" in run("--help").stdout
    assert re.fullmatch(r"legatus \d+\.\d+\.\d+\n", run("--version").stdout)
    ini = tmp_path / "a.ini"
    ini.write_text("[uwsgi]\nhttp-socket = :8080\nprocesses = 3\n")
    done = run("--show-config", ini)
    assert done.returncode == 0 and "processes = 3" in done.stdout
    done = run("--check", ini)
    assert done.returncode == 0 and done.stderr == ""
    assert run().returncode == 1


# ---- process 1 ----


@needs_root
def test_process_1_reaps_strangers(legatus):
    web = legatus(
        WEB, plugin="probe", wait=False,
        wrapper=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"],
    )
    web.wait_log(r"\[master\] serving \(pid 1\)")
    (init,) = children(web.pid)
    # An orphan inside: its parent ends at once, it ends a little later.
    subprocess.run(
        ["nsenter", "--target", str(init), "--pid", "--mount", "sh", "-c", "(sleep 0.3; exit 3) & exit 0"],
        check=True, timeout=10, env=environment(web.mark),
    )
    wait_for("the orphan", lambda: len(children(init)) == 2, 3)
    wait_for("its reaping", lambda: len(children(init)) == 1, 5)
    assert web.request()[0] == 200
    assert "error" not in web.log()
    os.kill(init, signal.SIGTERM)
    web.wait_exit()
    assert "stopped" in web.log()


# ---- the service manager ----


def test_sd_notify(legatus, tmp_path):
    path = tmp_path / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(str(path))

        def until(text):
            for _ in range(1000):
                message = manager.recv(4096).decode()
                if text in message.split("\n"):
                    return message
            raise AssertionError(text)

        web = legatus(
            WEB, plugin="probe", env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        )
        assert f"MAINPID={web.pid}" in until("READY=1")
        until("WATCHDOG=1")
        until("WATCHDOG=1")
        web.signal(signal.SIGHUP)
        assert re.search(r"^MONOTONIC_USEC=\d+$", until("RELOADING=1"), re.M)
        until("READY=1")
        with open(f"/proc/{web.workers()[1]}/environ", "rb") as file:
            assert b"LG_TEST_MARK" in file.read()
        web.signal(signal.SIGTERM)
        until("STOPPING=1")
        web.wait_exit()


def test_a_shell_that_ignores_signals_does_not_matter(legatus):
    # What nohup, and `&` in a script, leave behind.
    web = legatus(WEB, plugin="probe", wrapper=["sh", "-c", 'trap "" HUP INT QUIT CHLD; exec "$@"', "sh"])
    web.signal(signal.SIGHUP)
    web.wait_log(r"\[master\] reloaded")
    web.signal(signal.SIGINT)
    assert web.wait_exit() == 0
