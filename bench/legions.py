"""The legions that are measured side by side: how nodes of each are configured,
started, killed and stopped, and what their hooks told.

Every program runs the same little script as its hook: it appends the time, the node,
what became of it, and when the script began (clock ticks) to the legion's story.
SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

TELL = """\
#!/bin/sh
now=$(date +%s.%N) told="$1 $2"
read -r stat </proc/$$/stat
set -- $stat
echo "$now $told ${{22}}" >>{story}
"""

LEGATUS_INI = """\
[uwsgi]
legion = bench {own}:4000 {valor} aes-256-gcm:{secret}
{nodes}
legion-quorum = bench {quorum}
legion-freq = {freq}
legion-tolerance = {tolerance}
legion-start-wait = {tolerance}
legion-lord = bench cmd:{tell} {number} lord
legion-unlord = bench cmd:{tell} {number} unlord
{more}
"""

UWSGI_INI = """\
[uwsgi]
master = true
need-app = false
no-orphans = true
http-socket = {web}:8080
legion = bench {own}:4000 {valor} aes-128-cbc:{secret} thisistheiv
{nodes}
legion-quorum = bench {quorum}
legion-freq = {freq}
legion-tolerance = {tolerance}
legion-lord = bench cmd:{tell} {number} lord
legion-unlord = bench cmd:{tell} {number} unlord
"""

KEEPALIVED_CONF = """\
global_defs {{
    router_id node{number}
    vrrp_version 3
    script_user root
    enable_script_security
}}
vrrp_instance bench {{
    interface eth0
    state BACKUP
    virtual_router_id 51
    priority {valor}
    advert_int {freq}
    virtual_ipaddress {{
        10.99.0.100/24
    }}
    notify_master "{tell} {number} lord"
    notify_backup "{tell} {number} unlord"
    notify_fault "{tell} {number} unlord"
    notify_stop "{tell} {number} unlord"
}}
"""


def wait_until(what, condition, timeout):
    """The first true value of condition(), asked every 5 ms."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(0.005)


def family(pid):
    """A process and all below it, parents first."""
    pids = [pid]
    for parent in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                    pids += [int(word) for word in file.read().split()]
    return pids


class Legion:
    """Nodes 0, 1, ... of which 0 is to be Lord. `place` gives each an address and a
    command to run it under: network_rig.Network, or Loopback below."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder, place, count, freq, tolerance, more=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.place, self.count, self.freq, self.tolerance = place, count, freq, tolerance
        self.more = more
        self.story = self.folder / "story"
        self.story.write_text("")
        self.tell = self.folder / "tell"
        self.tell.write_text(TELL.format(story=self.story))
        self.tell.chmod(0o755)
        self.processes = {}
        self.gone = []  # (time, node): killed, so that it cannot tell

    # -- what a program defines ------------------------------------------------------

    def text(self, number):
        raise NotImplementedError

    def command(self, path, number):
        raise NotImplementedError

    # -- nodes --------------------------------------------------------------------------

    def values(self, number):
        return {
            "number": number, "own": self.place.address(number), "valor": self.valor(number),
            "secret": "a-long-enough-secret", "freq": self.freq, "tolerance": self.tolerance,
            "quorum": self.count // 2 + 1, "tell": self.tell, "web": self.place.web(number),
            "nodes": "\n".join(self.place.nodes(number, self.count)),
            "more": self.more.format(web=self.place.web(number)),
        }

    def valor(self, number):
        return 90 - 10 * number if self.count <= 8 else 2 * self.count - number

    def start(self, number):
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        path = folder / "node.ini"
        path.write_text(self.text(number).format(**self.values(number)))
        with open(folder / "log", "ab") as log:
            self.processes[number] = subprocess.Popen(
                [*self.place.wrapper(number), *self.command(path, number)], cwd=folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def start_all(self):
        """Node 0 a little before the others: keepalived runs the hooks of two changes that
        come within a clock tick at once, and nothing tells which was the first."""
        for number in range(self.count):
            self.start(number)
            time.sleep(0.03)

    def kill(self, number):
        """-9 for all its processes, as when its machine fails: the first is halted
        before the others are killed, so that it sees nothing of it."""
        process = self.processes.pop(number)
        pids = family(process.pid)
        when = time.time()
        for pid, signal_number in [(process.pid, signal.SIGSTOP),
                                   *((pid, signal.SIGKILL) for pid in reversed(pids))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        process.wait(10)
        self.gone.append((when, number))
        return when

    def ask_to_stop(self, number):
        when = time.time()
        self.processes[number].send_signal(self.stop_signal)
        return when

    def close(self):
        for process in self.processes.values():
            pids = family(process.pid)
            for pid in [process.pid, *reversed(pids)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self.processes.values():
            process.wait(10)
        self.processes.clear()

    # -- the story --------------------------------------------------------------------------

    def lines(self):
        """(time, node, "lord" or "unlord" or "killed"), in the order of time. keepalived
        waits for no hook: one that wrote after a later one of its node had counts as just
        before that, or a slow machine would turn the story round."""
        words = [line.split() for line in self.story.read_text().splitlines()]
        told, later = [], {}
        for _, when, node, what in sorted(
                ((int(began), float(when), int(node), what) for when, node, what, began in words),
                reverse=True):
            later[node] = min(when, later.get(node, when))
            told.insert(0, (later[node], node, what))
        gone = [(when, node, "killed") for when, node in self.gone]
        return sorted([*told, *gone], key=lambda line: line[0])

    def lords(self):
        lords = set()
        for _, node, what in self.lines():
            (lords.add if what == "lord" else lords.discard)(node)
        return lords

    def first(self, what, since, nodes):
        """When the first of the nodes told so, or None."""
        return next((when for when, node, told in self.lines()
                     if when >= since and told == what and node in nodes), None)

    def wait_first(self, what, since, nodes, timeout):
        try:
            return wait_until(f"{what} of {sorted(nodes)}",
                              lambda: self.first(what, since, nodes), timeout)
        except TimeoutError as error:
            raise self.lament(error) from None

    def lament(self, error):
        log = (self.folder / "0/log").read_text(errors="replace").splitlines()[-20:]
        return TimeoutError("\n".join(
            [f"{type(self).__name__}: {error}", *map(str, self.lines()[-6:]), *log]))

    def wait_reign(self, timeout):
        """Until node 0 is Lord and nobody else."""
        try:
            wait_until("node 0 alone is Lord", lambda: self.lords() == {0}, timeout)
        except TimeoutError as error:
            raise self.lament(error) from None


class Legatus(Legion):
    program = None  # bench/legion sets it

    def text(self, _):
        return LEGATUS_INI

    def command(self, path, number):
        return [self.program, str(path)]


class Uwsgi(Legion):
    stop_signal = signal.SIGINT  # SIGTERM is a reload
    program = shutil.which("uwsgi")

    def text(self, _):
        return UWSGI_INI

    def command(self, path, number):
        return [self.program, "--ini", str(path)]


class Keepalived(Legion):
    program = shutil.which("keepalived", path=os.environ.get("PATH", "") + ":/usr/sbin")

    def text(self, _):
        return KEEPALIVED_CONF

    def command(self, path, number):
        pid = path.parent / "pid"
        for old in path.parent.glob("pid*"):  # of a node that was killed
            old.unlink()
        return [self.program, "--dont-fork", "--log-console", "--vrrp", "-f", str(path),
                "-p", str(pid), "-r", f"{pid}.vrrp"]


class Wires:
    """A network_rig.Network as the place of three nodes."""

    def __init__(self, network):
        self.network = network
        self.wrapper = network.wrapper

    @staticmethod
    def address(number):
        return f"10.99.0.{number + 1}"

    @staticmethod
    def web(_):
        return "127.0.0.1"

    def nodes(self, number, count):
        return [f"legion-node = bench {self.address(i)}:4000" for i in range(count) if i != number]

    def lose(self, share):
        """Every node loses that share of the packets that reach it."""
        for i in range(len(self.network.names)):
            subprocess.run(
                [*self.wrapper(i), "iptables", "-A", "INPUT", "-i", "eth0", "-m", "statistic",
                 "--mode", "random", "--probability", str(share), "-j", "DROP"], check=True)

    def lost(self):
        """Packets that were."""
        total = 0
        for i in range(len(self.network.names)):
            listed = subprocess.run(
                [*self.wrapper(i), "iptables", "-L", "INPUT", "-v", "-x", "-n"],
                check=True, capture_output=True, text=True).stdout
            total += sum(int(line.split()[0]) for line in listed.splitlines() if " DROP " in line)
        return total


class Loopback:
    """127.1.x.y in a namespace of its own as the place of many nodes."""

    group = "239.1.1.1"

    def __init__(self, name, multicast):
        self.name, self.multicast = name, multicast

    def wrapper(self, _):
        return ("ip", "netns", "exec", self.name)

    def address(self, number):
        return self.group if self.multicast else self.web(number)

    @staticmethod
    def web(number):
        return f"127.1.{number // 250}.{number % 250 + 1}"

    def nodes(self, number, count):
        if self.multicast:
            return [f"legion-node = bench {self.group}:4000"]
        return [f"legion-node = bench {self.web(i)}:4000" for i in range(count) if i != number]


# ---- what they use ---------------------------------------------------------------------


def cpu_ns(pids):
    """Time on a processor, of all threads."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
    return total


def memory_kb(pids):
    """(PSS, RSS) summed over the processes."""
    pss = rss = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file.readlines()[1:])
            pss += int(fields["Pss"].split()[0])
            rss += int(fields["Rss"].split()[0])
    return pss, rss
