"""A GlusterFS volume of one brick or of replicas, under a glusterd of our own on loopback.

All state lives in one folder; every process is known by its pid.
SPDX-License-Identifier: Apache-2.0
"""

import os
import pathlib
import signal
import subprocess
import time

GLUSTERD_VOL = """\
volume management
    type mgmt/glusterd
    option working-directory {folder}/lib
    option run-directory {folder}/run
    option glusterd-sockfile {folder}/run/glusterd.socket
    option transport-type socket
    option transport.socket.bind-address {address}
    option transport.socket.listen-port 24007
    option transport.socket.read-fail-log off
    option ping-timeout 0
    option event-threads 1
    option rpc-auth-allow-insecure on
    option max-port 60999
end-volume
"""


def wait_until(what, condition, seconds):
    """Polls until condition() holds; raises after that many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not after {seconds} s")
        time.sleep(0.05)


class Volume:
    """Up after construction; `close` stops it and leaves only its folder."""

    def __init__(self, folder, address, name, settings=(), replicas=1):
        self.folder = pathlib.Path(folder)
        self.address, self.port, self.name = address, 24007, name
        self.brick = self.folder / "brick"  # the first, which has all files
        self.folders = [self.brick, *(self.folder / f"brick{i}" for i in range(1, replicas))]
        for part in ("lib", "run", "log"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for brick in self.folders:
            brick.mkdir(exist_ok=True)
        config = self.folder / "glusterd.vol"
        config.write_text(GLUSTERD_VOL.format(folder=self.folder, address=address))
        self.glusterd = subprocess.Popen(
            ["glusterd", "-N", "-f", config, "-p", self.folder / "run/glusterd.pid",
             f"--log-file={self.folder}/log/glusterd.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            wait_until("glusterd", lambda: self.cli("volume", "list") is not None, 30)
            bricks = [f"{address}:{brick}" for brick in self.folders]
            kind = ["replica", str(replicas)] if replicas > 1 else []
            self.must("volume", "create", name, *kind, *bricks, "force")
            if replicas > 1:  # the daemon asks localhost, where this glusterd is not
                settings = ("cluster.self-heal-daemon=off", *settings)
            for setting in settings:
                self.must("volume", "set", name, *setting.split("=", 1))
            self.must("volume", "start", name)
            wait_until("the bricks", self.is_online, 30)
        except BaseException:
            self.close()
            raise

    def cli(self, *arguments):
        """What gluster printed, or None when it failed."""
        done = subprocess.run(
            ["gluster", "--mode=script", f"--glusterd-sock={self.folder}/run/glusterd.socket",
             f"--log-file={self.folder}/log/cli.log", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )
        self.said = done.stdout + done.stderr
        return done.stdout if done.returncode == 0 else None

    def must(self, *arguments):
        if self.cli(*arguments) is None:
            raise RuntimeError(f"gluster {' '.join(arguments)}: {self.said.strip()}")

    def is_online(self):
        status = self.cli("volume", "status", self.name, "--xml") or ""
        return status.count("<status>1</status>") >= len(self.folders)

    def bricks(self):
        """{pid: arguments} of the processes that glusterd has started for this volume."""
        found, ours = {}, {str(brick) for brick in self.folders}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_text().split("\0")
            except (OSError, ValueError):
                continue
            if command[0].endswith("glusterfsd") and not ours.isdisjoint(command):
                found[int(path.name)] = command
        return found

    def close(self):
        # What glusterd puts elsewhere: a socket per brick, a log named after it.
        left = [
            pathlib.Path(command[command.index("-S") + 1])
            for command in self.bricks().values() if "-S" in command
        ]
        for brick in self.folders:
            log = str(brick).strip("/").replace("/", "-") + ".log"
            left.append(pathlib.Path("/var/log/glusterfs/bricks", log))
        self.cli("volume", "stop", self.name, "force")
        self.glusterd.terminate()
        try:
            self.glusterd.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.glusterd.kill()
            self.glusterd.wait()
        for pid in self.bricks():
            os.kill(pid, signal.SIGKILL)
        for path in left:
            path.unlink(missing_ok=True)
