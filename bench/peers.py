"""The servers that are measured side by side: how each is started and stopped.

Each serves the same folder tree. A peer has a name, a URL, the HTTP version it is
asked with (1.0 where it keeps no connection) and the processes whose time counts.
SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import tempfile

from volume import wait_until

ADDRESS = "127.0.0.1"

LEGATUS_INI = """\
[legatus]
http-socket = {address}:{port}
http-socket-modifier1 = 27
glusterfs-mount = mountpoint=/,volume={volume.name},server={volume.address}:{volume.port}
processes = {workers}
threads = {threads}
disable-logging = true
"""

UWSGI_INI = """\
[uwsgi]
plugin = glusterfs
http-socket = {address}:{port}
http-socket-modifier1 = 27
glusterfs-mount = mountpoint=/,volume={volume.name},server={volume.address}:{volume.port}
processes = {workers}
threads = {threads}
disable-logging = true
master = {master}
listen = 128
"""

# As Debian's nginx.conf has it, without the access log.
NGINX_CONF = """\
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    {more}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address}:{port};
        root {root};
    }}
}}
"""
NGINX_OPEN_FILE_CACHE = "open_file_cache max=30000 inactive=60s; open_file_cache_valid 60s;"

STREAM_WINDOW = (8, 256 << 10)  # reads in flight of the bare stream, and their size
THREADS = 30  # of a server that has threads, as GlusterFS's own guide for uWSGI says


def free_port():
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


def stop(process, seconds=15):
    """Ends a process group of ours: politely, then not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start(stack, command, log):
    """Starts a process in a group of its own; the stack ends it."""
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )
    stack.callback(stop, process)
    process.log = log
    return process


class Peer:
    """A running server."""

    def __init__(self, name, port, processes, version="1.1"):
        self.name, self.port, self.version = name, port, version
        self.processes = processes  # subprocess.Popen

    def answers(self, path, size):
        """Does it serve that file whole? Raises when it has ended instead."""
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"{self.name} has ended:\n{process.log.read_text()}")
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status == 200 and len(answer.read()) == size
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def start_server(stack, folder, command, template, **words):
    """A server with a port and a configuration of its own; returns (port, processes)."""
    port = free_port()
    config = write(folder, "server.ini", template.format(
        address=ADDRESS, port=port, folder=folder, **words))
    return port, [start(stack, [*command, config], folder / "server.log")]


def start_uwsgi(stack, folder, volume, processes, threads):
    return start_server(
        stack, folder, ["uwsgi", "--ini"], UWSGI_INI, volume=volume, workers=processes,
        threads=threads, master="true" if processes > 1 else "false")


def start_nginx(stack, folder, root, workers, more=""):
    return start_server(
        stack, folder, ["nginx", "-e", folder / "nginx.log", "-c"], NGINX_CONF, root=root,
        workers=workers, more=more)


def mount(stack, folder, volume):
    """Mounts the volume by FUSE; returns (where, the client process)."""
    where = folder / "mount"
    where.mkdir(parents=True)
    client = start(stack, [
        "glusterfs", "-N", f"--volfile-server={volume.address}", f"--volfile-id={volume.name}",
        f"--log-file={folder}/fuse.log", where], folder / "fuse.out")
    stack.callback(subprocess.run, ["umount", "-l", where], check=False, capture_output=True)
    wait_until("the FUSE mount", lambda: os.path.ismount(where), 20)
    return where, client


def start_one(stack, name, setting):
    """Starts one peer; `setting` has folder, volume, workers, program and stream."""
    home = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=setting.folder))
    home.chmod(0o755)
    volume, workers = setting.volume, setting.workers
    if name == "legatus":
        return Peer(name, *start_server(
            stack, home, [setting.program], LEGATUS_INI, volume=volume, workers=workers,
            threads=THREADS))
    if name == "uwsgi":
        return Peer(name, *start_uwsgi(stack, home, volume, 1, THREADS), "1.0")
    if name == "uwsgi-2":
        return Peer(name, *start_uwsgi(stack, home, volume, 2, THREADS // 2), "1.0")
    if name == "nginx-fuse":
        where, client = mount(stack, home, volume)
        port, processes = start_nginx(stack, home, where, workers)
        return Peer(name, port, [*processes, client])
    if name == "nginx-local":
        return Peer(name, *start_nginx(
            stack, home, volume.brick, workers, NGINX_OPEN_FILE_CACHE))
    if name == "gfapi-stream":
        port = free_port()
        command = [setting.stream, volume.address, volume.port, volume.name, port, *STREAM_WINDOW]
        return Peer(name, port, [start(stack, command, home / "server.log")])
    raise ValueError(name)


def cpu_seconds(pids):
    """User and system time of processes and all their descendants."""
    ticks, parents = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid] = int(fields[1])
            ticks[pid] = int(fields[11]) + int(fields[12])
    total = 0
    for pid, used in ticks.items():
        ancestor, depth = pid, 0
        while ancestor not in pids and ancestor in parents and depth < 64:
            ancestor, depth = parents[ancestor], depth + 1
        total += used if ancestor in pids else 0
    return total / os.sysconf("SC_CLK_TCK")
