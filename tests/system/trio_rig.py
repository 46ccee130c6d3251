# SPDX-License-Identifier: Apache-2.0
"""A legion of nodes in namespaces of their own, whose Lord carries an address: what
happened to the address, to the hooks and to the statistics, at every moment."""

import functools
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from legion_rig import Story, Uwsgi, legion_pid
from network_rig import ADDRESS, ip
from program import marked, wait_for
from relay_rig import PORT, AddressWatch, Wire, place

AEAD = "aes-256-gcm:correct-horse"
CBC = "aes-128-cbc:hello thisistheiv"
FREQ, TOLERANCE = 0.25, 1.5
BUSY_AT_ONCE = 3  # rows
SLACK = 1.0  # of a machine with a dozen such legions, and of /bin/sh
TAKE = f"ip addr add {ADDRESS}/24 dev eth0"
LEAVE = f"ip addr del {ADDRESS}/24 dev eth0 2>/dev/null"


def kill_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def crash(node):
    if isinstance(node, Uwsgi):
        node.crash()
        return
    kill_all(marked(node.mark), signal.SIGKILL)
    node.process.wait(10)


class Trio:
    """`start` is a fixture's; `watch` an AddressWatch. Node 0 is the best one."""

    def __init__(self, start, lock, folder, watch, count=3, secret=AEAD, freq=FREQ,
                 tolerance=TOLERANCE, more="", group=None):
        self.start_program, self.lock, self.folder, self.watch = start, lock, folder, watch
        self.count, self.secret, self.freq, self.tolerance = count, secret, freq, tolerance
        self.more, self.group = more, group
        self.promises = True  # the rules of Legatus decide, from the first to the last
        self.story = Story(folder / "story")
        self.wire = Wire(count)
        self.nodes = [None] * count
        self.absent = set()  # nodes that cannot answer just now
        self.excused = []  # (serial, node): from then to its next loss of the address
        self.polls = {i: [] for i in range(count)}  # (asked, answered, epoch of its title)
        self.faults = []
        self.stopped = False
        self.poller = threading.Thread(target=self.poll, daemon=True)

    # ---- Nodes

    def text(self, number, more="", before="", freq=None, tolerance=None):
        """`before` stands before the hooks that move the address, `more` behind them."""
        state = self.folder / f"state{number}"
        state.mkdir(exist_ok=True)
        who = f"{90 - 10 * number} {self.secret}"
        lines = [f"legion-mcast = site {self.group} {who}"] if self.group else [
            f"legion = site {place(number)}:{PORT} {who}",
            *(f"legion-node = site {place(i)}:{PORT}" for i in range(self.count) if i != number),
        ]
        tell = f"echo $(date +%%s.%%N) {number} {{}} >>{self.story.path}"
        lines += [
            f"legion-quorum = site {self.count // 2 + 1}", "stats = s.sock",
            f"legion-freq = {freq or self.freq}", f"legion-tolerance = {tolerance or self.tolerance}",
            f"legion-start-wait = {tolerance or self.tolerance}", f"legion-state = {state}",
            before, f"legion-setup = site cmd:{LEAVE}; true", f"legion-death = site cmd:{LEAVE}; true",
            f"legion-lord = site cmd:{tell.format('lord')}; {TAKE}",
            f"legion-unlord = site cmd:{LEAVE}; {tell.format('unlord')}",
        ]
        return "\n".join(lines) + "\n" + self.more + more

    def up(self, number, wrapper=(), env=None, **kw):
        with self.lock:  # the fixture is not made for threads
            node = self.start_program(self.text(number, **kw), env=env, wait=False,
                                      wrapper=(*self.wire.wrapper(number), *wrapper))
        self.nodes[number] = node
        node.wait_log(r"\[master\] serving", timeout=20)
        self.absent.discard(number)
        return node

    def up_uwsgi(self, number):
        """The other make, with the same options."""
        self.promises = False
        self.nodes[number] = Uwsgi(self.folder / f"uwsgi{number}-{time.monotonic_ns()}",
                                   self.text(number), wrapper=self.wire.wrapper(number))
        self.absent.discard(number)

    def all_up(self, lord=0, **kw):
        for i in range(self.count):
            self.up(i, **kw)
        self.settle(lord)

    def settle(self, lord=0, timeout=25):
        """All agree on the Lord, the address is there, and all is quiet."""
        def is_settled():
            views = [self.view(i) for i in range(self.count)]
            return (all(views) and self.owners() == [lord]
                    and {v["lord_uuid"] for v in views} == {views[lord]["uuid"]}
                    and [bool(v["i_am_the_lord"]) for v in views] ==
                    [i == lord for i in range(self.count)]
                    and {len(v["members"]) for v in views} == {self.count - 1})
        wait_for(f"all follow {lord}", is_settled, timeout)

    def down(self, number):
        """A clean stop; the exit status."""
        self.absent.add(number)
        return self.nodes[number].stop(15)

    def gone(self, number):
        """From now on the node's machine is taken for dead or frozen."""
        self.absent.add(number)
        self.story.crashed(number)
        self.excused.append((next(self.watch.serial), number))

    def fail(self, number):
        """The machine of a node fails: nothing more comes from there."""
        self.wire.silence(number, True)
        self.gone(number)
        crash(self.nodes[number])
        ip("addr", "del", f"{ADDRESS}/24", "dev", "eth0",
           namespace=self.wire.names[number], check=False)
        return time.time()

    def repair(self, number, **kw):
        self.wire.silence(number, False)
        return self.up(number, **kw)

    # ---- The address

    def events(self):
        """[(serial, Unix time, node, it came)] in the kernel's order."""
        assert not self.watch.lost
        return sorted((serial, at, node, came) for number, node in self.wire.nsid.items()
                      for serial, at, came in list(self.watch.events.get(number, ())))

    def owners(self):
        own = set()
        for _, _, node, came in self.events():
            (own.add if came else own.discard)(node)
        return sorted(own)

    def when(self, number, came, since, timeout):
        """When the address came to (or left) a node for the first time since then."""
        def look():
            return [at for _, at, node, is_new in self.events()
                    if node == number and is_new == came and at >= since]
        verb = "comes to" if came else "leaves"
        return wait_for(f"the address {verb} {number}", look, timeout)[0]

    def comes(self, number, since, timeout=15):
        return self.when(number, True, since, timeout)

    def leaves(self, number, since, timeout=15):
        return self.when(number, False, since, timeout)

    def most_at_once(self):
        """How many living nodes had the address at once."""
        own, most = set(), 0
        for _, node, came in sorted(
                [(serial, node, came) for serial, _, node, came in self.events()]
                + [(serial, node, False) for serial, node in self.excused]):
            (own.add if came else own.discard)(node)
            most = max(most, len(own))
        return most

    def quiet(self, seconds):
        """Nothing happens to the address and no member is missed for so long."""
        before, left = len(self.events()), self.left()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert len(self.events()) == before, self.events()
            assert self.left() == left, "a member was missed"
            time.sleep(0.05)

    # ---- What nodes say

    def view(self, number, timeout=2.0):
        """The legion in a node's statistics; None: it does not answer, or has none yet."""
        data, node = b"", self.nodes[number]
        if not node:
            return None
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(timeout)
                sock.connect(str(node.folder / "s.sock"))
                while chunk := sock.recv(65536):
                    data += chunk
        except OSError:
            return None
        if isinstance(node, Uwsgi):
            data = data.replace(b"\0", b"")
        legions = json.loads(data)["legions"] if data else []
        return legions[0] if legions else None

    def poll(self):
        while not self.stopped:
            for number in range(self.count):
                if number in self.absent or not self.nodes[number]:
                    continue
                asked = time.monotonic()
                try:
                    seen = self.view(number, 0.5)
                except Exception as error:  # whatever is wrong with it is the finding
                    self.faults.append(f"statistics of {number}: {error!r}")
                    continue
                if seen:
                    title = seen.get("epoch", 1) if seen["i_am_the_lord"] else 0
                    self.polls[number].append((asked, time.monotonic(), title))
            time.sleep(0.1)

    def two_said_lord(self):
        """Somebody was Lord before and after another's answer that it was."""
        for number, polls in self.polls.items():
            for (_, since, title), (until, _, again) in zip(polls, polls[1:]):
                if title and title == again and any(
                        since < asked and answered < until and other
                        for i, more in self.polls.items() if i != number
                        for asked, answered, other in more):
                    return True
        return False

    def left(self):
        """How many departures have been told."""
        return sum(node.log().count("left Legion") for node in self.nodes if node)

    def log_lines(self, pattern_text, number):
        return self.nodes[number].log().count(pattern_text)

    def legion_pid(self, number):
        return legion_pid(self.nodes[number])

    # ---- Beginning and end

    def __enter__(self):
        try:
            self.wire.build()
            self.poller.start()
        except BaseException:
            self.wire.close()
            raise
        return self

    def close(self):
        self.stopped = True
        self.poller.join()
        for node in self.nodes:
            if isinstance(node, Uwsgi):
                node.crash()
            elif node and node.process.poll() is None:
                kill_all(marked(node.mark), signal.SIGCONT)
                node.process.terminate()
        for node in self.nodes:
            if node:
                node.process.wait(15)
        self.wire.close()

    def __exit__(self, kind, error, trace):
        if error:
            tails = ["\n".join(node.log().splitlines()[-30:]) for node in self.nodes if node]
            error.add_note("\n--\n".join(tails + ["\n".join(map(str, self.events()))]))
        self.close()
        if not error:
            self.check()

    def check(self):
        """What holds in every row; without promises only what can."""
        assert not self.faults, self.faults[:5]
        assert sum(map(len, self.polls.values())) > 10
        if not self.promises:
            return
        assert not self.two_said_lord()
        assert self.most_at_once() <= 1, self.events()
        assert not self.story.owners_overlap(), self.story.told()


# ---- Many at once ---------------------------------------------------------------------------


class Rows:
    """Tests that each have a Trio and mostly wait, so many run at the same time: as many as
    the relays in this one process can serve without holding anybody's packets up. Rows that
    are `busy`, with packets of their own, come when the others are done."""

    def __init__(self, at_once):
        self.at_once = at_once
        self.rows, self.results, self.busy = {}, {}, set()

    def row(self, secret=AEAD, name=None, long=False, busy=False, **kw):
        """Of function(trio), which returns figures; `kw` is for the Trio."""
        def take(function):
            title = name or function.__name__
            assert title not in self.rows
            self.rows[title] = (function, dict(kw, secret=secret), long)
            if busy:
                self.busy.add(title)
            return function
        return take

    def names(self):
        return [pytest.param(name, marks=[pytest.mark.long] if long else [])
                for name, (_, _, long) in self.rows.items()]

    def run(self, name, start, lock, make_folder, watch):
        function, kw, _ = self.rows[name]
        with lock:
            folder = make_folder(name)
        try:
            with Trio(start, lock, folder, watch, **kw) as trio:
                return function(trio)
        except Exception as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            raise AssertionError(f"{type(error).__name__}: {error}\n{notes}") from error

    def run_all(self, request, start, make_folder):
        """A module's fixture: starts the rows whose tests were chosen."""
        names = [item.callspec.params["name"] for item in request.session.items
                 if item.module is request.module and "rows" in item.fixturenames]
        watch, lock = AddressWatch(), threading.Lock()
        pool = ThreadPoolExecutor(self.at_once)
        begin = functools.partial(pool.submit, self.run)
        calm = {name: begin(name, start, lock, make_folder, watch)
                for name in names if name not in self.busy}

        def after(name):
            wait(calm.values())
            return self.run(name, start, lock, make_folder, watch)

        late = ThreadPoolExecutor(BUSY_AT_ONCE)
        self.results = calm | {name: late.submit(after, name) for name in names if name in self.busy}
        yield self
        for each in (pool, late):
            each.shutdown(wait=True, cancel_futures=True)
        watch.close()

    def check(self, name):
        figures = self.results[name].result(timeout=560)
        print(f"row {name}: {json.dumps(figures)}")
        return figures
