# SPDX-License-Identifier: Apache-2.0
"""Real GlusterFS for the tests, all of it on loopback or in namespaces of its own.

EmbeddedBrick   one glusterfsd from a static volfile, no glusterd: up in 0.1 s
SingleGlusterd  one glusterd on a loopback address; volumes at will
ThreeNodePool   a trusted pool of three glusterd in three network namespaces

and the program itself (Serving) with a raw HTTP client (fetch, Download). Every
process is stopped by its pid; nothing is left behind when a test fails.

Bricks need a folder whose file system has trusted.* extended attributes: /tmp,
or the one named by LEGATUS_TEST_DIR. Everything runs as root.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest
from program import BINARY, Program


# ---- small things ------------------------------------------------------------------


def need(*tools):
    """What is missing fails the test: a skipped one proves nothing."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    os.environ["PATH"] = path
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        pytest.fail(f"missing here: {', '.join(missing)} (see tools/packages.sh)", pytrace=False)
    if os.geteuid() != 0:
        pytest.fail("bricks and namespaces need root", pytrace=False)


def wait_for(what, condition, timeout=20.0, every=0.05):
    """The first true value of condition(), or a failure that names `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout} s: {what}")
        time.sleep(every)


def run(*argv, timeout=60, check=True):
    """What the command wrote; None when it failed and `check` is false."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        if check:
            raise RuntimeError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return None
    return done.stdout


def new_folder(name):
    """A short path (unix sockets live in it) that may carry trusted.* attributes."""
    base = os.environ.get("LEGATUS_TEST_DIR") or tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=f"lg-{name}-", dir=base)
    try:
        os.setxattr(folder, "trusted.legatus", b"1")
    except OSError as error:
        shutil.rmtree(folder)
        pytest.fail(
            f"{base} takes no trusted.* extended attributes ({error}): name a folder that "
            "does in LEGATUS_TEST_DIR",
            pytrace=False,
        )
    os.chmod(folder, 0o755)
    return folder


def loopback_address():
    """One of 127.0.0.0/8 that no other run of these tests uses."""
    for _ in range(50):
        address = f"127.{random.randint(10, 250)}.{random.randint(0, 250)}.{random.randint(2, 250)}"
        if not accepts((address, 24007), 0.2):
            return address
    pytest.fail("no free loopback address")


def free_port(address="127.0.0.1"):
    with socket.socket() as sock:
        sock.bind((address, 0))
        return sock.getsockname()[1]


def accepts(address, timeout=1.0):
    try:
        connect(address, timeout).close()
        return True
    except OSError:
        return False


def alive(pid):
    """Neither gone nor a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def end(pids, timeout=5.0):
    """Stops processes, gently first; each by its pid."""
    for sign in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + (0 if sign == signal.SIGCONT else timeout)
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)


class Child:
    """A process of ours in the foreground, its output in a file."""

    def __init__(self, argv, output):
        self.output = output
        with open(output, "ab") as file:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        self.pid = self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def kill(self):
        self.popen.kill()
        self.popen.wait(10)

    def stop(self, timeout=5.0):
        if self.running():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def pause(self):
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self):
        self.popen.send_signal(signal.SIGCONT)


# ---- the embedded brick ----------------------------------------------------------------


class EmbeddedBrick:
    """A brick without glusterd, and the volfile for its clients.

    `below` are more translators (type, {option: value}) right above the disk,
    such as debug/error-gen; `above` are more of the clients', such as
    performance/io-cache.
    """

    def __init__(self, name="emb", below=(), ping_timeout=5, above=()):
        need("glusterfsd")
        self.name = name
        self.folder = new_folder(name)
        self.brick = os.path.join(self.folder, "brick")
        self.volfile = os.path.join(self.folder, "client.vol")
        self.address = loopback_address()
        self.port = free_port(self.address)
        self.child = None
        self.ping_timeout = ping_timeout
        self.above = above
        os.mkdir(self.brick, 0o755)
        self.write(below)
        self.start()

    @property
    def mount(self):
        return f"volume={self.name},volfile={self.volfile}"

    def write(self, below=()):
        translators = [
            ("storage/posix", {"directory": self.brick}),
            *below,
            ("features/access-control", {}),
            ("features/locks", {}),
            ("features/upcall", {"cache-invalidation": "on"}),
            ("performance/io-threads", {}),
        ]
        server = {
            "transport-type": "tcp",
            "transport.socket.bind-address": self.address,
            "transport.socket.listen-port": self.port,
            "auth.addr.brick.allow": "*",
        }
        client = {
            "transport-type": "tcp",
            "remote-host": self.address,
            "remote-port": self.port,
            "remote-subvolume": "brick",
            "ping-timeout": self.ping_timeout,
        }
        names = [f"x{i}" for i in range(len(translators) - 1)] + ["brick"]
        text = ""
        for i, (kind, options) in enumerate(translators):
            text += volfile_part(names[i], kind, options, names[i - 1 : i] if i else [])
        text += volfile_part("server", "protocol/server", server, ["brick"])
        with open(os.path.join(self.folder, "brick.vol"), "w", encoding="ascii") as file:
            file.write(text)
        with open(self.volfile, "w", encoding="ascii") as file:
            file.write(volfile_part("c0", "protocol/client", client, []))
            last = "c0"
            for i, (kind, options) in enumerate(self.above):
                file.write(volfile_part(f"a{i}", kind, options, [last]))
                last = f"a{i}"
            file.write(volfile_part("mdc", "performance/md-cache", {"cache-invalidation": "on"}, [last]))

    def start(self):
        volfile = os.path.join(self.folder, "brick.vol")
        log = os.path.join(self.folder, "brick.log")
        self.child = Child(["glusterfsd", "-N", "-f", volfile, "-l", log], log + ".out")
        wait_for(f"brick {self.name}", lambda: accepts((self.address, self.port)))

    def kill(self):
        self.child.kill()

    def pause(self):
        self.child.pause()

    def resume(self):
        self.child.resume()

    def open_files(self):
        """Paths inside the brick that its process has open, the folder's own apart."""
        return open_files(self.child.pid, self.brick)

    def close(self):
        if self.child:
            self.child.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def open_files(pid, brick):
    """What clients have open of a brick: each handle of theirs is a descriptor there."""
    folder = f"/proc/{pid}/fd"
    found = []
    for fd in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, fd))
        except OSError:
            continue
        if target.startswith(brick + "/") and "/.glusterfs/" not in target + "/":
            found.append(target)
        elif target.startswith(brick + "/.glusterfs/") and is_gfid_link(target):
            found.append(target)
    return found


def is_gfid_link(path):
    """bricks open files as .glusterfs/ab/cd/abcd...: those are clients' handles"""
    return re.search(r"/\.glusterfs/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f-]{36}$", path) is not None


def volfile_part(name, kind, options, below):
    lines = [f"volume {name}", f"    type {kind}"]
    lines += [f"    option {key} {value}" for key, value in options.items()]
    lines += [f"    subvolumes {' '.join(below)}"] if below else []
    return "\n".join(lines) + "\nend-volume\n"


# ---- glusterd -----------------------------------------------------------------------------


def glusterd_volfile(path, address, options):
    lines = {
        "transport-type": "socket",
        "transport.socket.bind-address": address,
        "transport.socket.read-fail-log": "off",
        "ping-timeout": "0",
        "event-threads": "1",
        "rpc-auth-allow-insecure": "on",
        "max-port": "60999",
        **options,
    }
    with open(path, "w", encoding="ascii") as file:
        file.write(volfile_part("management", "mgmt/glusterd", lines, []))


class Pool:
    """What one glusterd and three have in common: the command line."""

    def cli(self, *args, node=0, check=True):
        raise NotImplementedError

    def answers(self, node=0):
        return self.cli("volume", "list", node=node, check=False) is not None

    def online(self, volume):
        status = self.cli("volume", "status", volume, "--xml", check=False) or ""
        return status.count("<status>1</status>")

    def start_volume(self, volume, processes):
        """One `start force` may leave killed bricks down (10.3): repeat until they are up."""
        for _ in range(10):
            self.cli("volume", "start", volume, "force", check=False)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                if self.online(volume) >= processes:
                    return
                time.sleep(0.1)
        pytest.fail(f"volume {volume}: {processes} processes did not come up")

    def brick_pids(self, volume):
        xml = self.cli("volume", "status", volume, "--xml")
        nodes = re.findall(r"<node>(.*?)</node>", xml, re.S)
        bricks = [n for n in nodes if "<hostname>Self-heal Daemon" not in n]
        pids = [int(re.search(r"<pid>(-?\d+)</pid>", n).group(1)) for n in bricks]
        return [pid for pid in pids if pid > 0]


class SingleGlusterd(Pool):
    def __init__(self):
        need("glusterd", "gluster", "glusterfsd")
        self.folder = new_folder("gd")
        self.address = loopback_address()
        self.socket = os.path.join(self.folder, "run", "glusterd.socket")
        self.child = None
        for name in ("lib", "run", "log", "bricks"):
            os.mkdir(os.path.join(self.folder, name), 0o755)
        glusterd_volfile(
            os.path.join(self.folder, "glusterd.vol"),
            self.address,
            {
                "working-directory": os.path.join(self.folder, "lib"),
                "run-directory": os.path.join(self.folder, "run"),
                "glusterd-sockfile": self.socket,
            },
        )
        self.start()

    def start(self):
        log = os.path.join(self.folder, "log", "glusterd.log")
        volfile = os.path.join(self.folder, "glusterd.vol")
        self.child = Child(
            ["glusterd", "-N", "-f", volfile, "-p", os.path.join(self.folder, "run", "gd.pid"),
             f"--log-file={log}", "--log-level=INFO"],
            log + ".out",
        )  # fmt: skip
        try:
            wait_for("glusterd", lambda: self.answers(), 30, 0.1)
        except BaseException:
            with open(log, encoding="utf-8", errors="replace") as file:
                print("".join(file.readlines()[-20:]))
            self.close()
            raise

    def cli(self, *args, node=0, check=True):
        log = os.path.join(self.folder, "log", "cli.log")
        return run(
            "gluster", "--mode=script", f"--glusterd-sock={self.socket}", f"--log-file={log}",
            *args, check=check,
        )  # fmt: skip

    def brick_folder(self, volume, i=0):
        return os.path.join(self.folder, "bricks", f"{volume}.{i}")

    def create(self, volume, replica=1, start=True, parts=1, **options):
        kind = ["replica", str(replica)] if replica > 1 else []
        bricks = [f"{self.address}:{self.brick_folder(volume, i)}" for i in range(replica * parts)]
        self.cli("volume", "create", volume, *kind, *bricks, "force")
        for key, value in options.items():
            self.cli("volume", "set", volume, key.replace("__", ".").replace("_", "-"), value)
        if start:
            self.start_volume(volume, len(bricks) + (1 if replica > 1 else 0))

    def pids(self):
        """Every process that was started for this pool, by its command line."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace")
                exe = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:
                continue
            if exe.startswith("gluster") and self.folder + "/" in words:
                found.append(int(pid))
        return found

    def close(self):
        if self.child:
            self.child.stop()
        end(self.pids())
        shutil.rmtree(self.folder, ignore_errors=True)


class ThreeNodePool(Pool):
    """Three real nodes, each in a network and a mount namespace, and a fourth
    network namespace for the client. Volume unbit001 = replica 3."""

    NET = "10.88.0"
    volume = "unbit001"

    def __init__(self):
        need("glusterd", "gluster", "glusterfsd", "ip", "nsenter", "unshare")
        self.folder = new_folder("pool")
        self.tag = f"lg{os.getpid() % 100000}"
        self.holders = {}
        self.daemons = {}
        self.namespaces = []
        try:
            self.make_network()
            for n in (1, 2, 3):
                self.start_node(n)
            self.make_volume()
        except BaseException:
            self.close()
            raise

    @property
    def client(self):
        """Prefix of a command that is to run where the nodes can be reached."""
        return ["ip", "netns", "exec", f"{self.tag}c"]

    @property
    def servers(self):
        return ";".join(f"{self.NET}.{n}:0" for n in (1, 2, 3))

    def make_network(self):
        client = f"{self.tag}c"
        for name in (client, *(f"{self.tag}n{n}" for n in (1, 2, 3))):
            run("ip", "netns", "add", name)
            self.namespaces.append(name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", client, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        run("ip", "-n", client, "addr", "add", f"{self.NET}.254/24", "dev", "br0")
        run("ip", "-n", client, "link", "set", "br0", "up")
        for n in (1, 2, 3):
            node = f"{self.tag}n{n}"
            run("ip", "-n", client, "link", "add", f"p{n}", "type", "veth", "peer", "name", "eth0",
                "netns", node)  # fmt: skip
            run("ip", "-n", client, "link", "set", f"p{n}", "master", "br0", "up")
            run("ip", "-n", node, "addr", "add", f"{self.NET}.{n}/24", "dev", "eth0")
            run("ip", "-n", node, "link", "set", "eth0", "up")

    def node_folder(self, n):
        return os.path.join(self.folder, f"n{n}")

    def brick_folder(self, n):
        return os.path.join(self.node_folder(n), "brick", self.volume)

    def start_node(self, n):
        """The holder keeps the mount namespace alive when glusterd dies."""
        folder = self.node_folder(n)
        for name in ("lib", "log", "run/gluster", "brick"):
            os.makedirs(os.path.join(folder, name))
        for name in ("/var/lib/glusterd", "/var/log/glusterfs"):
            os.makedirs(name, exist_ok=True)
        script = (
            'mount --bind "$0/lib" /var/lib/glusterd && mount --bind "$0/log" /var/log/glusterfs'
            ' && mount --bind "$0/run" /run && touch "$0/ready" && exec sleep 7200'
        )
        self.holders[n] = Child(
            ["ip", "netns", "exec", f"{self.tag}n{n}", "unshare", "-m", "--propagation", "private",
             "sh", "-c", script, folder],
            os.path.join(folder, "holder.out"),
        )  # fmt: skip
        wait_for(f"node {n}", lambda: os.path.exists(os.path.join(folder, "ready")))
        volfile = os.path.join(folder, "glusterd.vol")
        glusterd_volfile(
            volfile,
            f"{self.NET}.{n}",
            {
                "working-directory": "/var/lib/glusterd",
                # without these a probe of a peer fails, and its command hangs (10.3)
                "transport.socket.keepalive-time": "10",
                "transport.socket.keepalive-interval": "2",
            },
        )
        self.start_glusterd(n)

    def inside(self, n):
        return ["nsenter", "-t", str(self.holders[n].pid), "-m", "-n", "--"]

    def start_glusterd(self, n):
        folder = self.node_folder(n)
        volfile = os.path.join(folder, "glusterd.vol")
        self.daemons[n] = Child(
            [*self.inside(n), "glusterd", "-N", "-f", volfile], os.path.join(folder, "glusterd.out")
        )
        wait_for(f"glusterd {n}", lambda: self.answers(n), 30, 0.1)

    def kill_glusterd(self, n):
        self.daemons[n].kill()

    def cli(self, *args, node=1, check=True):
        return run(*self.inside(node or 1), "gluster", "--mode=script", *args, check=check)

    def peers(self, n):
        status = self.cli("peer", "status", node=n, check=False) or ""
        return status.count("Peer in Cluster (Connected)")

    def make_volume(self):
        for n in (2, 3):
            self.cli("peer", "probe", f"{self.NET}.{n}")
        for n in (1, 2, 3):
            wait_for(f"peers of node {n}", lambda n=n: self.peers(n) == 2, 30, 0.1)
        bricks = [f"{self.NET}.{n}:{self.brick_folder(n)}" for n in (1, 2, 3)]
        wait_for(
            "volume create",
            lambda: self.cli("volume", "create", self.volume, "replica", "3", *bricks, "force",
                             check=False),
            20, 0.5,
        )  # fmt: skip
        self.start()

    def start(self):
        self.start_volume(self.volume, 6)  # 3 bricks, 3 self-heal daemons

    def pids_in(self, n):
        return [int(pid) for pid in run("ip", "netns", "pids", f"{self.tag}n{n}").split()]

    def kill_brick(self, n):
        killed = 0
        for pid in self.pids_in(n):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if b"--brick-name" in words:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        assert killed == 1

    def link(self, n, up):
        run("ip", "-n", f"{self.tag}c", "link", "set", f"p{n}", "up" if up else "down")

    def close(self):
        for child in [*self.daemons.values(), *self.holders.values()]:
            child.stop(2)
        for name in self.namespaces:
            pids = (run("ip", "netns", "pids", name, check=False) or "").split()
            end([int(pid) for pid in pids])
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- the program ---------------------------------------------------------------------------


class Serving:
    """The program with an ini of its own, listening on a unix socket, which is
    reached from every namespace; `prefix` runs it in one."""

    def __init__(self, lines, prefix=(), threads=8, processes=1):
        if not BINARY.exists():
            pytest.fail(f"{BINARY} is not built (make; or name one in LEGATUS_BIN)", pytrace=False)
        self.folder = new_folder("run")
        self.path = os.path.join(self.folder, "http.sock")
        self.uwsgi = os.path.join(self.folder, "uwsgi.sock")
        os.chmod(self.folder, 0o777)
        text = [
            f"http-socket = {self.path}",
            "http-socket-modifier1 = 27",
            f"socket = {self.uwsgi}",
            "chmod-socket = 666",
            f"threads = {threads}",
            f"processes = {processes}",
            *lines,
        ]
        self.began = time.monotonic()
        try:
            self.program = Program(self.folder, "\n".join(text), wrapper=prefix)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def fetch(self, path, method="GET", headers=(), timeout=30):
        return fetch(self.path, path, method, headers, timeout)

    def status(self, path, timeout=30):
        return self.fetch(path, timeout=timeout)[0]

    def wait_status(self, path, status, timeout=20, every=0.1):
        wait_for(f"{status} for {path}", lambda: self.status(path) == status, timeout, every)

    def connected(self, path="/", timeout=20):
        """Returns the seconds from the start until the mount of `path` was there."""
        wait_for(f"{path} is connected", lambda: self.status(path) != 503, timeout, 0.02)
        return time.monotonic() - self.began

    def log(self):
        return self.program.log()

    def wait_log(self, pattern, timeout=20):
        try:
            return wait_for(f"log line {pattern!r}", lambda: re.search(pattern, self.log()), timeout)
        except BaseException:
            print(self.log())
            raise

    def close(self):
        try:
            self.program.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


# ---- HTTP, raw: paths are sent as they are ---------------------------------------------------


def connect(address, timeout=30.0):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family)
    sock.settimeout(timeout)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def request_text(path, method="GET", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read_head(sock):
    """(status, {header: value}, what was read of the body already)"""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise EOFError(f"closed after {data!r}")
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), {k.lower(): v for k, v in headers.items()}, rest


def fetch(address, path, method="GET", headers=(), timeout=30):
    """(status, headers, body); an EOFError when the body is cut short."""
    with connect(address, timeout) as sock:
        sock.sendall(request_text(path, method, headers))
        status, found, body = read_head(sock)
        while True:
            more = sock.recv(1 << 20)
            if not more:
                break
            body += more
    length = found.get("content-length")
    if method != "HEAD" and length is not None and len(body) != int(length):
        raise EOFError(f"{len(body)} of {length} bytes")
    return status, found, body


class Download:
    """A body taken piece by piece, so that things can happen meanwhile."""

    def __init__(self, address, path, timeout=60, headers=()):
        self.sock = connect(address, timeout)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.sock.sendall(request_text(path, headers=headers))
        self.status, self.headers, first = read_head(self.sock)
        self.length = int(self.headers.get("content-length", "-1"))
        self.hash = hashlib.sha256(first)
        self.got = len(first)

    def read(self, limit=None):
        """Up to `limit` bytes more, or all there are."""
        until = None if limit is None else self.got + limit
        while until is None or self.got < until:
            more = self.sock.recv(1 << 20)
            if not more:
                break
            self.hash.update(more)
            self.got += len(more)
        return self.got

    def drain(self, quiet_s):
        """Takes what comes until nothing has for `quiet_s`."""
        self.sock.settimeout(quiet_s)
        try:
            self.read()
        except TimeoutError:
            pass

    @property
    def complete(self):
        return self.got == self.length

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def uwsgi_fetch(path, variables, timeout=30):
    """One request in the uwsgi protocol (modifier1 27) over the unix socket `path`."""
    packet = b""
    for name, value in variables.items():
        for text in (name.encode(), value.encode()):
            packet += struct.pack("<H", len(text)) + text
    with connect(path, timeout) as sock:
        sock.sendall(struct.pack("<BHB", 27, len(packet), 0) + packet)
        status, headers, body = read_head(sock)
        while True:
            more = sock.recv(1 << 20)
            if not more:
                return status, headers, body
            body += more


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
