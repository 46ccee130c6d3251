# SPDX-License-Identifier: Apache-2.0
"""What happens to the virtual address: each row of docs/legion-figures.md with real
processes in namespaces of its own. All rows run at the same time, since all of them
mostly wait; each prints its figures (pytest -s). In every row the address is never on
two living nodes, no lord hook begins before another's unlord hook has ended, no two
nodes say that they are Lord, and the statistics are valid JSON; see trio_rig.py."""

import itertools
import os
import random
import re
import shutil
import signal
import threading
import time

import pytest

from program import marked, wait_for
from relay_rig import Cbc, WallClock
from trio_rig import AEAD, CBC, FREQ, SLACK, TAKE, TOLERANCE, Rows, kill_all

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")
AT_ONCE = 9  # rows
FAIL_OVER = TOLERANCE + FREQ + SLACK
ELECT = 2 * TOLERANCE + 6 * FREQ + SLACK  # whatever happened before
ROWS = Rows(AT_ONCE)
row = ROWS.row


def both(name, **kw):
    """The row with authenticated packets and on the wire of uWSGI."""
    def take(function):
        row(AEAD, name, **kw)(function)
        row(CBC, name + "_cbc", **kw)(function)
        return function
    return take


@pytest.fixture(scope="module")
def rows(request, legatus_module, tmp_path_factory):
    yield from ROWS.run_all(request, legatus_module, tmp_path_factory.mktemp)


# ---- Starts, stops and deaths ------------------------------------------------------------


def first_owner(trio, begin):
    for i in range(trio.count):
        trio.up(i)
    last = time.time()
    first = trio.comes(0, begin, timeout=40)
    trio.settle()
    return {"from the first start": first - begin, "from the last": first - last}


@row()
def cold_start(trio):
    took = first_owner(trio, time.time())
    assert took["from the first start"] < ELECT + 2
    return took


def watch_failures(trio, worker=True):
    """Every kind of process dies by kill -9, in its turn on the Lord."""
    figures = {}
    more = "http-socket = 127.0.0.1:8080\n"
    trio.all_up(more=more)
    node, before = trio.nodes[0], trio.view(0)
    kill_all([node.workers()[1]], signal.SIGKILL)
    node.wait_log("worker 1 is ready", count=2)
    trio.quiet(trio.tolerance + 2 * trio.freq)
    after = trio.view(0)
    assert [after[k] for k in ("uuid", "epoch")] == [before[k] for k in ("uuid", "epoch")]

    at = time.time()
    kill_all([trio.legion_pid(0)], signal.SIGKILL)
    figures["legion process killed: address gone"] = trio.leaves(0, at) - at
    assert figures["legion process killed: address gone"] < trio.tolerance
    trio.settle()

    at = time.time()
    trio.absent.add(0)
    kill_all([node.pid], signal.SIGKILL)
    node.wait_exit()
    figures["master killed: address gone"] = trio.leaves(0, at) - at
    figures["master killed: at the next"] = trio.comes(1, at) - at
    assert figures["master killed: at the next"] < FAIL_OVER
    wait_for("nothing is left", lambda: not marked(node.mark), 5)
    trio.up(0, more=more)
    trio.settle()

    at = trio.fail(0)
    figures["host fails: at the next"] = trio.comes(1, at) - at
    assert figures["host fails: at the next"] < FAIL_OVER
    at = time.time()
    trio.repair(0, more=more)
    figures["it starts again: address back"] = trio.comes(0, at) - at
    assert figures["it starts again: address back"] < ELECT + 1
    trio.settle()
    return figures


both("kill")(watch_failures)


def legion_and_master_at_once(trio):
    """Nobody is left to run an unlord hook: the address stays until the next start
    (as everywhere), but the others know that the title is free."""
    trio.all_up()
    at = time.time()
    trio.gone(0)
    kill_all(marked(trio.nodes[0].mark), signal.SIGKILL)
    trio.nodes[0].process.wait(10)
    took = trio.comes(1, at) - at
    assert took < FAIL_OVER
    assert 0 in trio.owners()
    at = time.time()
    trio.up(0)
    trio.leaves(0, at)  # its setup hook
    trio.settle()
    return {"all its processes killed: at the next": took}


row(name="kill_all_processes")(legion_and_master_at_once)


@row()
def stop_and_reload(trio):
    trio.all_up()
    uuids = [trio.view(i)["uuid"] for i in range(3)]
    for i in range(3):
        trio.nodes[i].signal(signal.SIGHUP)
    trio.quiet(TOLERANCE + 2 * FREQ)
    assert [trio.view(i)["uuid"] for i in range(3)] == uuids
    assert all("reloaded" in node.log() for node in trio.nodes)

    at = time.time()
    assert trio.down(0) == 0
    took = trio.comes(1, at) - at
    assert took < SLACK  # no tolerance in it
    trio.up(0)
    trio.settle()
    assert trio.down(2) == 0  # a follower's stop moves nothing
    trio.quiet(TOLERANCE + 2 * FREQ)
    return {"SIGTERM: at the next": took}


@row()
def failback_ten_times(trio):
    trio.all_up()
    gaps, backs = [], []
    for _ in range(10):
        at = time.time()
        assert trio.down(0) == 0
        trio.comes(1, at)
        at = time.time()
        trio.up(0)
        came = trio.comes(0, at)
        went = trio.leaves(1, at)
        assert went <= came
        gaps.append(came - went)
        backs.append(came - at)
    trio.settle()
    told = [line for line in trio.story.told() if line.split()[1] in ("lord", "unlord")]
    assert told == ["0 lord"] + ["0 unlord", "1 lord", "1 unlord", "0 lord"] * 10
    return {"address nowhere": gaps, "start to address back": backs}


@row()
def killed_under_its_lord_hook(trio):
    """What a lord hook has started does not finish after the legion process that
    started it is dead and its unlord hooks have run."""
    script = trio.folder / "take"
    script.write_text(f"sleep 3\n{TAKE}\n")
    trio.up(0, before=f"legion-lord = site cmd:sh {script}\n")
    for i in (1, 2):
        trio.up(i)
    wait_for("its lord hook", lambda: sleeping(trio, 0, "3"))
    trio.wire.silence(0, True)
    at = time.time()
    kill_all([trio.legion_pid(0)], signal.SIGKILL)
    wait_for("nothing runs on", lambda: not sleeping(trio, 0, "3"), 1)
    took = trio.comes(1, at) - at
    time.sleep(max(0.0, at + 3.5 - time.time()))
    assert trio.owners() == [1] and len(trio.events()) == 1
    trio.wire.silence(0, False)
    return {"legion process killed: at the next": took}


# ---- Cuts ------------------------------------------------------------------------------


def cut_lord(trio, ways):
    """Each way, one after the other: the Lord gives up before another rises."""
    trio.all_up()
    figures = {}
    for name, cut, restore in ways:
        at = time.time()
        cut()
        came = trio.comes(1, at)
        assert trio.leaves(0, at) <= came
        figures[f"{name}: gone"] = trio.leaves(0, at) - at
        figures[f"{name}: at the next"] = came - at
        assert came - at < FAIL_OVER + FREQ
        back = time.time()
        restore()
        figures[f"{name}: back"] = trio.comes(0, back) - back
        assert figures[f"{name}: back"] < ELECT
        trio.settle()
    return figures


def link_and_silence(trio):
    def link(state):
        return lambda: trio.wire.link(0, state)

    def silence(on):
        return lambda: trio.wire.silence(0, on)

    return cut_lord(trio, [
        ("link down", link("down"), link("up")),
        ("cut, once", silence(True), silence(False)),
        ("cut, twice", silence(True), silence(False)),
    ])


both("cuts")(link_and_silence)


def drop(trio, *chains):
    def change(flag):
        for chain, way in chains:
            trio.wire.iptables(0, flag, chain, way, "eth0", "-j", "DROP")
    return (lambda: change("-A")), (lambda: change("-D"))


@row()
def dropped_packets(trio):
    hears, says = ("INPUT", "-i"), ("OUTPUT", "-o")
    return cut_lord(trio, [
        ("dropped both ways", *drop(trio, hears, says)),
        ("deaf Lord", *drop(trio, hears)),
        ("mute Lord", *drop(trio, says)),
    ])


@row()
def alone_without_a_majority(trio):
    """Two of three cut off one by one: the last one is not Lord, whoever it is."""
    trio.all_up()
    trio.wire.cut(1, 2)  # both reach the Lord still
    time.sleep(TOLERANCE + 2 * FREQ)  # they miss each other
    trio.quiet(2 * TOLERANCE)
    at = time.time()
    trio.wire.silence(0, True)
    gone = trio.leaves(0, at) - at
    time.sleep(ELECT)
    assert trio.owners() == []
    assert not any(trio.view(i)["i_am_the_lord"] for i in range(3))
    at = time.time()
    trio.wire.off.clear()
    took = trio.comes(0, at) - at
    assert took < ELECT
    trio.settle()
    return {"gone": gone, "back": took}


def half_connected(trio):
    """The best two do not reach each other, both reach the third; then the Lord dies."""
    trio.all_up()
    trio.wire.cut(0, 1)
    time.sleep(TOLERANCE + 2 * FREQ)  # they miss each other
    trio.quiet(2 * TOLERANCE)
    at = trio.fail(0)
    took = trio.comes(1, at) - at
    assert took < FAIL_OVER
    return {"host fails: at the next": took}


both("half_connected")(half_connected)


@row(count=5)
def deaf_node_of_five(trio):
    """One sends and cannot hear; then the Lord's host fails: three of five are left."""
    trio.all_up()
    change, _ = drop_at(trio, 4)
    change()
    time.sleep(TOLERANCE + 2 * FREQ)
    trio.quiet(TOLERANCE)
    at = trio.fail(0)
    took = trio.comes(1, at) - at
    assert took < FAIL_OVER
    return {"host fails: at the next": took}


def drop_at(trio, number):
    def change(flag):
        trio.wire.iptables(number, flag, "INPUT", "-i", "eth0", "-j", "DROP")
    return (lambda: change("-A")), (lambda: change("-D"))


@row()
def deaf_node_of_three(trio):
    """With one dead and one deaf of three no two hear each other, so nobody can be
    Lord safely; as soon as it hears, somebody is."""
    trio.all_up()
    change, restore = drop_at(trio, 2)
    change()
    time.sleep(TOLERANCE + 2 * FREQ)
    trio.quiet(TOLERANCE)  # the Lord stays
    trio.fail(0)
    time.sleep(2 * TOLERANCE)
    assert trio.owners() == []
    at = time.time()
    restore()
    took = trio.comes(1, at) - at
    assert took < ELECT
    return {"it hears again: at the next": took}


# ---- Frozen and slow ----------------------------------------------------------------------


def frozen(trio, seconds=20):
    """All processes of the Lord's node stop. What it left stays for as long as they do;
    when they go on it is Lord at no moment, and the address goes first of all."""
    trio.all_up()
    pids = marked(trio.nodes[0].mark)
    at = time.time()
    trio.gone(0)
    kill_all(pids, signal.SIGSTOP)
    figures = {"stopped: at the next": trio.comes(1, at, timeout=25) - at}
    assert figures["stopped: at the next"] < trio.tolerance + trio.freq + SLACK
    time.sleep(max(0.0, at + seconds - time.time()))
    assert trio.owners() == [0, 1]
    back = time.time()
    kill_all(pids, signal.SIGCONT)
    seen = trio.view(0, 5)
    trio.absent.discard(0)
    assert seen and not seen["i_am_the_lord"]
    figures["goes on: old address gone"] = trio.leaves(0, back) - back
    assert figures["goes on: old address gone"] < SLACK
    figures["goes on: address back"] = trio.comes(0, back, timeout=40) - back
    trio.settle()
    told = [line for line in trio.story.told() if line.split()[1] in ("lord", "unlord")]
    assert told == ["0 lord", "1 lord", "0 unlord", "1 unlord", "0 lord"]
    return figures


both("pause_20_s")(frozen)


def sleeping(trio, number, what="60"):
    """Hooks of a node that sleep."""
    pids = []
    for pid in marked(trio.nodes[number].mark):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if file.read().split("\0")[:2] == ["sleep", what]:
                    pids.append(pid)
        except OSError:
            pass
    return pids


def slow_lord_hook(trio, seconds=6 * TOLERANCE):
    more = "legion-lord = site cmd:sleep 60\nlegion-hook-timeout = 70\n"
    trio.up(0, more=more)
    for i in (1, 2):
        trio.up(i)
    trio.comes(0, 0)
    wait_for("three", lambda: all(len(trio.view(i)["members"]) == 2 for i in range(3)))
    trio.quiet(seconds)
    if seconds > 60:
        trio.settle()
        return {"nobody dropped it for": seconds}
    assert not trio.view(0)["i_am_the_lord"]  # not before its hooks have run
    assert sleeping(trio, 0)
    at = time.time()
    trio.wire.silence(0, True)
    took = trio.comes(1, at) - at
    assert trio.leaves(0, at) - at <= took < FAIL_OVER
    assert not sleeping(trio, 0)  # ended with the title
    return {"nobody dropped it for": seconds, "cut: at the next": took}


row(name="slow_lord_hook")(slow_lord_hook)


@row()
def slow_unlord_hook(trio):
    """It has until the lease ends: others wait for that, and not for it."""
    more = "legion-unlord = site cmd:sleep 60\nlegion-unlord-grace = 0.3\n"
    trio.all_up(more=more)
    end = time.time() + trio.view(0)["lease_ms"] / 1000
    at = time.time()
    trio.absent.add(0)
    trio.nodes[0].signal(signal.SIGTERM)
    gone = trio.leaves(0, at)
    wait_for("the slow one", lambda: sleeping(trio, 0), 1)
    came = trio.comes(1, at)
    assert came >= end
    assert came - at < FAIL_OVER + FREQ
    assert not sleeping(trio, 0)
    assert "its unlord hooks did not succeed" in trio.nodes[0].log()
    return {"address gone": gone - at, "at the next": came - at}


@row()
def unlord_hook_behind_a_slow_one(trio):
    """Of hooks that are not through when the lease ends the slow one is ended, and the
    one behind it takes the address away, at about the time at which another begins."""
    trio.all_up(before="legion-unlord = site cmd:sleep 60\n")
    at = time.time()
    trio.excused.append((next(trio.watch.serial), 0))
    trio.story.crashed(0)
    trio.wire.silence(0, True)
    came, went = trio.comes(1, at), trio.leaves(0, at)
    assert went - came < SLACK
    trio.wire.silence(0, False)
    trio.comes(0, came)
    return {"at the next": came - at, "address gone": went - at}


# ---- Odd neighbours and strangers -----------------------------------------------------------


def mixed_freq(trio, freq=0.08, seconds=4 * TOLERANCE, lord=0):
    """One announces three times as often as the others, as Lord or not."""
    for i in range(3):
        trio.up(i, freq=freq if i == lord else None)
    trio.settle()
    trio.quiet(seconds)
    at = trio.fail(0)
    took = trio.comes(1, at, timeout=40) - at
    assert took < trio.tolerance + trio.freq + SLACK
    return {"host fails: at the next": took}


both("mixed_freq")(mixed_freq)


@row(CBC)
def quicker_follower(trio):
    return mixed_freq(trio, lord=2)


def small_and_garbage(trio):
    """A byte now and then, from a stranger and in the name of a member; then 20,000 of
    garbage. Packets go out as before: what comes in sets no timer."""
    trio.all_up()

    def announcements(seconds):
        time.sleep(seconds)
        return len(trio.wire.last(0, seconds))

    usual = announcements(2)
    end, sent = time.monotonic() + 2 * TOLERANCE, 0

    def byte():
        while time.monotonic() < end:
            for source in ("10.99.0.200", 1):
                for target in (0, 2):
                    trio.wire.forge(target, b"x", source)
            time.sleep(FREQ / 3)

    thread = threading.Thread(target=byte)
    thread.start()
    trio.quiet(2 * TOLERANCE)
    thread.join()
    size = len(trio.nodes[0].log())
    began = time.monotonic()
    noise = [os.urandom(300), b"\x6d\x2c\x01\0" + os.urandom(304), b"m", b"\x6d\0\0\1" * 20]
    while sent < 20000:
        trio.wire.forge(0, noise[sent % 4], "10.99.0.200")
        sent += 1
    took = time.monotonic() - began
    time.sleep(1.2)
    lines = trio.nodes[0].log()[size:].splitlines()
    assert 1 <= len(lines) <= took + 4
    counted = sum(int(n) for n in re.findall(r"(\d+) datagram\(s\) refused", "\n".join(lines)))
    assert trio.left() == 0 and trio.owners() == [0]
    assert announcements(2) >= usual * 0.7
    return {"garbage packets": sent, "log lines": len(lines), "counted": counted, "in s": took}


both("strangers", busy=True)(small_and_garbage)


def replayed(trio, seconds=None):
    """The last packets of a dead Lord come again and again, from its address."""
    trio.all_up()
    packets = trio.wire.last(0)[-12:]
    at = trio.fail(0)
    stop = threading.Event()

    def again():
        while not stop.wait(trio.freq / 2):
            for packet in packets:
                for target in (1, 2):
                    trio.wire.forge(target, packet, 0)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        took = trio.comes(1, at, timeout=40) - at
        assert took < trio.tolerance + trio.freq + SLACK
        trio.quiet(trio.tolerance)
    finally:
        stop.set()
        thread.join()
    assert len(trio.view(1)["members"]) == 1  # it did not come back from the dead
    return {"host fails: at the next": took}


both("replay")(replayed)


def block_splices(live, dead):
    """The first blocks of one packet and the last ones of another, with the length an
    attacker would compute."""
    def blocks(packet):
        return (len(packet) - 4) // 16

    pad = blocks(dead) * 16 - int.from_bytes(dead[1:3], "little")
    for head in range(1, blocks(live) + 1):
        for tail in range(1, blocks(dead) + 1):
            size = 16 * (head + tail) - pad
            yield (b"\x6d" + size.to_bytes(2, "little") + b"\0" + live[4:4 + 16 * head]
                   + dead[-16 * tail:])


def spliced(trio):
    """A living Lord's packets with the end of an old death packet."""
    trio.all_up()
    trio.down(2)
    cipher = Cbc("hello", "thisistheiv")
    dead = wait_for("its death packet", lambda: [
        p for p in trio.wire.last(2)[-4:] if dict(cipher.open(p)).get("dead")])
    trio.up(2)
    trio.settle()
    # One of uWSGI's, as it would have been recorded from the legion's earlier days.
    theirs = [(k, v) for k, v in cipher.open(dead[0]) if k in
              ("legion", "valor", "unix", "lord", "name", "pid", "uuid", "checksum",
               "lord_valor", "lord_uuid", "dead")]
    before = [trio.view(i) for i in range(3)]
    count, logs = 0, trio.left()
    ends = dead[:1] if "legion-safe = off" in trio.more else [dead[0], cipher.make(theirs)]
    for source, end in itertools.product((0, 1), ends):
        live = trio.wire.last(source)[-1]
        for packet in block_splices(live, end):
            count += 1
            for target in range(3):
                if target != source:
                    trio.wire.forge(target, packet, source)
            if count % 50 == 0:
                time.sleep(0.02)
    trio.quiet(2 * TOLERANCE)
    after = [trio.view(i) for i in range(3)]
    assert trio.left() == logs
    for key in ("checksum", "lord_uuid", "epoch"):
        assert [v[key] for v in after] == [v[key] for v in before]
    return {"spliced packets": count}


row(CBC, "splice_cbc", busy=True)(spliced)
row(CBC, "splice_cbc_off", busy=True, more="legion-safe = off\n")(spliced)


def bit_flips(trio):
    """Before each packet come a dozen copies of it, each with one bit flipped, until
    every byte of some packet of every node has been altered."""
    trio.all_up()
    before = [trio.view(i) for i in range(3)]
    places, lock = {}, threading.Lock()

    def fate(datagram):
        payload = datagram.payload
        with lock:
            at = places.get((datagram.source, datagram.target), 0)
            places[datagram.source, datagram.target] = at + 16
        copies = []
        for position in range(at, at + 16):
            copy = bytearray(payload)
            copy[position % len(copy)] ^= 1 << position // len(copy) % 8 ^ random.randrange(8)
            copies.append((0, bytes(copy)))
        return [*copies, (0, payload)]

    trio.wire.fate = fate
    wait_for("every byte", lambda: len(places) == 6 and min(places.values()) > 700, 40)
    trio.quiet(1)
    trio.wire.fate = None
    after = [trio.view(i) for i in range(3)]
    assert trio.left() == 0 and len(trio.events()) == 1
    for key in ("checksum", "lord_uuid", "epoch"):
        assert [v[key] for v in after] == [v[key] for v in before]
    for i, v in enumerate(after):
        assert {m["uuid"] for m in v["members"]} == {b["uuid"] for k, b in enumerate(before) if k != i}
    return {"altered packets": sum(places.values())}


both("bit_flips", busy=True)(bit_flips)


@row(CBC)
def forged_by_one_with_the_secret(trio):
    """Well sealed packets that lack what they need or carry rubbish: refused, and
    the statistics answer as before."""
    trio.all_up()
    cipher = Cbc("hello", "thisistheiv")
    items = [(k, v) for k, v in cipher.open(trio.wire.last(2)[-1])
             if k in ("legion", "valor", "unix", "lord", "name", "pid", "uuid", "checksum",
                      "lord_valor", "lord_uuid")]
    assert len(items) == 10
    stranger = [(k, b"01234567-89ab-cdef-0123-456789abcdef" if k == "uuid" else v) for k, v in items]
    packets = []
    for source in (items, stranger):
        packets += [source[:i] + source[i + 1:] for i in range(10) if source is items or i in (4, 6)]
        packets += [source + [source[4]], [(k, v if k != "name" else b"\xff\0\"\\") for k, v in source]]
        packets += [[(k, v if k != "uuid" else bytes(range(36))) for k, v in source]]
        packets += [[(k, v if k != "valor" else b"-1") for k, v in source]]
    for packet in packets:
        for target in (0, 1):
            trio.wire.forge(target, cipher.make(packet), 2)
    trio.quiet(TOLERANCE)
    assert all(len(trio.view(i)["members"]) == 2 for i in range(3))
    return {"forged packets": len(packets)}


# ---- Bad links and clocks -----------------------------------------------------------------


def lossy(rate, seconds=20):
    def run(trio):
        trio.all_up()
        chance = random.Random(rate)
        trio.wire.fate = lambda d: [] if chance.random() * 100 < rate else [(0, d.payload)]
        began = time.time()
        time.sleep(seconds)
        end = time.time()
        trio.wire.fate = None
        held, since = 0.0, None
        for _, at, _, came in trio.events():
            at = min(max(at, began), end)
            held += 0 if since is None else at - since
            since = at if came else None
        held += end - since if since else 0
        figures = {"loss %": rate, "s": seconds, "departures told": trio.left(),
                   "changes": sum(began <= at <= end and came for _, at, _, came in trio.events()),
                   "address held %": round(100 * held / (end - began), 2)}
        assert rate > 10 or figures["address held %"] >= 99
        trio.settle()
        return figures
    return run


for percent in (10, 30, 50):
    row(name=f"loss_{percent}", freq=0.3, tolerance=1.5)(lossy(percent))
    row(name=f"loss_{percent}_300_s", long=True, freq=1, tolerance=3)(lossy(percent, 300))
row(name="loss_10_300_s_t5", long=True, freq=1, tolerance=5)(lossy(10, 300))


@row()
def delayed_and_doubled(trio):
    """Delays up to a fifth of the tolerance put packets out of order; a third of them
    comes twice, the second time late."""
    trio.all_up()
    chance = random.Random(1)

    def fate(datagram):
        copies = [(chance.random() * TOLERANCE / 5, datagram.payload)]
        if chance.random() < 0.3:
            copies.append((chance.random() * 2 * TOLERANCE, datagram.payload))
        return copies

    trio.wire.fate = fate
    trio.quiet(5 * TOLERANCE)
    at = trio.fail(0)
    took = trio.comes(1, at) - at
    assert took < FAIL_OVER + TOLERANCE / 2
    return {"host fails: at the next": took}


@row()
def wall_clocks(trio):
    """Sealed packets are counted, not dated: no clock needs to be right."""
    clock = WallClock(trio.folder)
    clock.set(90)
    trio.up(0, env=clock.env)
    for i in (1, 2):
        trio.up(i)
    trio.settle()
    for seconds in (-90, 0, 90):
        clock.set(seconds)
        trio.quiet(TOLERANCE + 2 * FREQ)
    return {}


@row(CBC)
def wall_clocks_cbc(trio):
    """uWSGI's packets are dated: the node whose clock is wrong is left out, the others
    have a Lord; it is back as soon as its clock is right."""
    clock = WallClock(trio.folder)
    trio.up(0, env=clock.env)
    for i in (1, 2):
        trio.up(i)
    trio.settle()
    figures = {}
    for seconds in (90, -90):
        at = time.time()
        clock.set(seconds)
        came = trio.comes(1, at)
        assert trio.leaves(0, at) <= came
        figures[f"{seconds:+} s: at the next"] = came - at
        assert came - at < FAIL_OVER + FREQ
        time.sleep(TOLERANCE)
        assert trio.owners() == [1]
        at = time.time()
        clock.set(0)
        figures[f"{seconds:+} s: back"] = trio.comes(0, at) - at
        trio.settle()
    return figures


@row()
def boot_clocks(trio):
    """Hosts that were started at other times; one starts again with a clock that is
    behind what it remembers."""
    ahead = (shutil.which("unshare"), "--time", "--boottime", "100000", "--")
    trio.up(0, wrapper=ahead)
    trio.up(1)
    trio.up(2, wrapper=ahead)
    trio.settle()
    assert os.readlink(f"/proc/{trio.nodes[0].pid}/ns/time") != os.readlink("/proc/self/ns/time")
    at = trio.fail(0)
    figures = {"host fails: at the next": trio.comes(1, at) - at}
    assert figures["host fails: at the next"] < FAIL_OVER
    at = time.time()
    trio.repair(0)
    figures["100,000 s back: address back"] = trio.comes(0, at) - at
    assert figures["100,000 s back: address back"] < ELECT + 1
    trio.settle()
    return figures


# ---- With the default timings ------------------------------------------------------------


DEFAULTS = dict(long=True, freq=3, tolerance=15)


def default_timings(trio):
    """f3 t15, as uWSGI's rows of the table."""
    figures = first_owner(trio, time.time())
    for cause, fail, repair in (
        ("host fails", trio.fail, trio.repair),
        ("cut", lambda i: trio.wire.silence(i, True), lambda i: trio.wire.silence(i, False)),
    ):
        at = time.time()
        fail(0)
        figures[f"{cause}: at the next"] = trio.comes(1, at, timeout=40) - at
        assert figures[f"{cause}: at the next"] < trio.tolerance + trio.freq + SLACK
        repair(0)
        trio.settle(timeout=60)
    at = time.time()
    trio.down(0)
    figures["SIGTERM: at the next"] = trio.comes(1, at) - at
    return figures


row(name="default_timings", **DEFAULTS)(default_timings)
row(CBC, name="default_timings_cbc", **DEFAULTS)(default_timings)
row(name="default_pause_20_s", **DEFAULTS)(frozen)
row(CBC, name="default_replay_cbc", **DEFAULTS)(replayed)
row(CBC, name="default_mixed_freq_cbc", **DEFAULTS)(lambda trio: mixed_freq(trio, 1, 60))
row(name="uwsgis_short_timings", long=True, freq=1, tolerance=3)(default_timings)
row(name="slow_lord_hook_60_s", long=True)(lambda trio: slow_lord_hook(trio, 65))


@pytest.mark.parametrize("name", ROWS.names())
def test_row(rows, name):
    rows.check(name)
