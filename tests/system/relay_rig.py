# SPDX-License-Identifier: Apache-2.0
"""Nodes in network namespaces whose packets all pass through this process, so that a
test can lose, delay, repeat, alter and forge them; and what the kernel says about
addresses that come and go in those namespaces."""

import fcntl
import heapq
import itertools
import os
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections import deque

from network_rig import ADDRESS, Network, ip, remove

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
PORT = 4242
nsids = itertools.count(1000)


def place(number):
    return f"10.99.0.{number + 1}"


class Datagram:
    """A UDP datagram on its way from one node to another."""

    def __init__(self, source, target, packet):
        self.source, self.target = source, target
        head = 4 * (packet[0] & 15)
        self.head, self.payload = packet[:head + 8], packet[head + 8:]

    def packet(self, payload):
        """The same with another payload: no checksum is one that fits."""
        head = bytearray(self.head)
        at = 4 * (head[0] & 15)
        head[2:4] = struct.pack("!H", len(head) + len(payload))
        head[at + 4:at + 8] = struct.pack("!HH", 8 + len(payload), 0)
        head[10:12] = b"\0\0"
        head[10:12] = struct.pack("!H", checksum(head[:at]))
        return bytes(head) + payload


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def forged(source, target, payload):
    """A datagram from one address and port 4242 to a node; `source` an address."""
    head = bytearray(struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(source), socket.inet_aton(place(target))))
    head[10:12] = struct.pack("!H", checksum(head))
    return bytes(head) + struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload


class Wire(Network):
    """`count` namespaces, 10.99.0.1 and on, with an eth0 that ends here.

    `fate(datagram)` says what becomes of one: (delay in s, payload) each time it
    is to arrive. It runs on the relay's thread. `off` holds the (source, target)
    pairs between which nothing passes. `heard` keeps the last datagrams."""

    def __init__(self, count):
        super().__init__(count)
        self.devices, self.late = [], []
        self.off, self.fate = set(), None
        self.heard = deque(maxlen=600)
        self.serial = itertools.count()
        self.stopped = False
        self.thread = threading.Thread(target=self.relay, daemon=True)

    def build(self):
        self.nsid = {}
        for i, name in enumerate(self.names):
            ip("netns", "add", name)
            number = next(nsids)
            ip("netns", "set", name, str(number))
            self.nsid[number] = i
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self.devices.append(device)
            fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
            ip("link", "set", name, "netns", name)
            batch = (f"link set {name} name eth0\nlink set lo up\nlink set eth0 up\n"
                     f"addr add {place(i)}/24 dev eth0\nroute add default dev eth0\n")
            subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch, text=True, check=True)
        self.thread.start()

    def link(self, number, state):
        ip("link", "set", "eth0", state, namespace=self.names[number])
        if state == "up":  # it was lost with the link
            ip("route", "replace", "default", "dev", "eth0", namespace=self.names[number])

    def silence(self, number, on):
        for other in range(len(self.names)):
            self.cut(number, other, on)

    def cut(self, one, other, on=True):
        for pair in ((one, other), (other, one)):
            (self.off.add if on else self.off.discard)(pair)

    def iptables(self, number, *words):
        subprocess.run([*self.wrapper(number), "iptables", "-w", *words], check=True,
                       capture_output=True)

    def send(self, target, packet):
        try:
            os.write(self.devices[target], packet)
        except OSError:
            pass  # its link is down

    def forge(self, target, payload, source):
        """From an address, or a node's own."""
        self.send(target, forged(place(source) if isinstance(source, int) else source,
                                 target, payload))

    def targets(self, packet, source):
        if packet[16] >= 224:
            return [i for i in range(len(self.devices)) if i != source]
        target = packet[19] - 1
        known = packet[16:19] == bytes((10, 99, 0)) and 0 <= target < len(self.devices)
        return [target] if known and target != source else []

    def take(self, source):
        try:
            packet = os.read(self.devices[source], 65536)
        except OSError:
            return
        if len(packet) < 28 or packet[0] >> 4 != 4:
            return
        for target in self.targets(packet, source):
            if packet[9] != socket.IPPROTO_UDP:
                self.send(target, packet)
                continue
            datagram = Datagram(source, target, packet)
            self.heard.append((time.monotonic(), datagram))
            if (source, target) in self.off:
                continue
            fate = self.fate
            if not fate:
                self.send(target, packet)
                continue
            for delay, payload in fate(datagram):
                at = time.monotonic() + delay
                heapq.heappush(self.late, (at, next(self.serial), target, datagram.packet(payload)))

    def relay(self):
        with selectors.DefaultSelector() as selector:
            for source, device in enumerate(self.devices):
                selector.register(device, selectors.EVENT_READ, source)
            while not self.stopped:
                wait = max(0.0, self.late[0][0] - time.monotonic()) if self.late else 0.2
                for key, _ in selector.select(min(wait, 0.2)):
                    self.take(key.data)
                while self.late and self.late[0][0] <= time.monotonic():
                    _, _, target, packet = heapq.heappop(self.late)
                    self.send(target, packet)

    def last(self, source, seconds=None):
        """Payloads from a node, the oldest first."""
        since = time.monotonic() - seconds if seconds else 0
        return [d.payload for at, d in list(self.heard) if d.source == source and at >= since]

    def close(self):
        self.stopped = True
        if self.thread.is_alive():
            self.thread.join()
        for name in self.names:
            remove(name)
        for device in self.devices:
            os.close(device)


class AddressWatch:
    """Every coming and going of ADDRESS in all namespaces with a number, in the order
    in which the kernel did them: one queue for all of them."""

    SOL_NETLINK, LISTEN_ALL_NSID, GROUP_IPV4_IFADDR = 270, 8, 0x10
    NEW, DELETED, IFA_LOCAL = 20, 21, 2

    def __init__(self):
        self.events = {}  # by number: [(serial, Unix time, came)]
        self.lost = False
        self.serial = itertools.count()
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
        self.socket.setsockopt(self.SOL_NETLINK, self.LISTEN_ALL_NSID, 1)
        self.socket.bind((0, self.GROUP_IPV4_IFADDR))
        self.socket.settimeout(0.2)
        self.stopped = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped:
            try:
                data, extra, _, _ = self.socket.recvmsg(65536, 64)
            except TimeoutError:
                continue
            except OSError:
                self.lost = True
                continue
            for level, kind, value in extra:
                if (level, kind) == (self.SOL_NETLINK, self.LISTEN_ALL_NSID):
                    self.note(struct.unpack("i", value[:4])[0], data, time.time())

    def note(self, number, data, now):
        while len(data) >= 24:
            size, kind = struct.unpack("IH", data[:6])
            at = 24
            while kind in (self.NEW, self.DELETED) and at + 4 <= size:
                length, attribute = struct.unpack("HH", data[at:at + 4])
                if attribute == self.IFA_LOCAL and data[at + 4:at + 8] == socket.inet_aton(ADDRESS):
                    self.events.setdefault(number, []).append(
                        (next(self.serial), now, kind == self.NEW))
                at += max(4, (length + 3) & ~3)
            data = data[max(16, (size + 3) & ~3):]

    def close(self):
        self.stopped = True
        self.thread.join()
        self.socket.close()


# ---- Clocks ---------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *offset; /* s */

static int64_t by(void)
{
    if (!offset) {
        int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            abort();
        close(fd);
        offset = at;
    }
    return *offset;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int err = real(clock, now);
    if (!err && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += by();
    return err;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
"""


class WallClock:
    """A wall clock of a node's own: processes started with `env` read the host's
    plus set(seconds), which may change while they run."""

    def __init__(self, folder):
        self.file = folder / "offset"
        self.set(0)
        source, library = folder / "shim.c", folder / "shim.so"
        source.write_text(SHIM)
        if not library.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"],
                           check=True)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self.file)}

    def set(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))


# ---- uWSGI's wire -----------------------------------------------------------------------

class Cbc:
    """Packets of aes-128-cbc:SECRET IV, opened and made as one who has the secret."""

    def __init__(self, secret, iv):
        self.words = ["-K", secret.encode().ljust(16, b"\0").hex(),
                      "-iv", iv.encode().ljust(16, b"0").hex()]

    def run(self, flag, data):
        return subprocess.run(["openssl", "enc", flag, "-aes-128-cbc", *self.words], input=data,
                              stdout=subprocess.PIPE, check=True).stdout

    def open(self, packet):
        """[(key, value)]"""
        data, items = self.run("-d", packet[4:]), []
        while data:
            words = []
            for _ in range(2):
                size = int.from_bytes(data[:2], "little")
                words.append(data[2:2 + size])
                data = data[2 + size:]
            items.append((words[0].decode(), words[1]))
        return items

    def make(self, items):
        data = b"".join(len(word).to_bytes(2, "little") + word
                        for key, value in items for word in (key.encode(), value))
        return b"\x6d" + len(data).to_bytes(2, "little") + b"\0" + self.run("-e", data)
