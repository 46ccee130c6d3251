# SPDX-License-Identifier: Apache-2.0
"""Network namespaces on a bridge, for legions over links that go down."""

import os
import signal
import subprocess
import uuid

ADDRESS = "10.99.0.100"


def ip(*words, namespace=None, check=True):
    prefix = ["ip", "-n", namespace] if namespace else ["ip"]
    return subprocess.run([*prefix, *words], check=check, capture_output=True, text=True).stdout


def remove(namespace):
    """With whatever still runs in it."""
    for pid in ip("netns", "pids", namespace, check=False).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    ip("netns", "del", namespace, check=False)


class Network:
    """A bridge in a namespace of its own, and `count` namespaces with one eth0 each,
    10.99.0.1 and on."""

    def __init__(self, count, subnet="10.99.0"):
        self.subnet = subnet
        tag = "lg" + uuid.uuid4().hex[:6]
        self.switch = tag + "s"
        self.names = [f"{tag}{i}" for i in range(count)]

    def build(self):
        ip("netns", "add", self.switch)
        ip("link", "add", "br0", "type", "bridge", namespace=self.switch)
        # Without a querier a snooping bridge would cut multicast off in time.
        ip("link", "set", "br0", "type", "bridge", "mcast_snooping", "0", namespace=self.switch)
        ip("link", "set", "br0", "up", namespace=self.switch)
        for i, name in enumerate(self.names):
            ip("netns", "add", name)
            ip("link", "add", f"port{i}", "type", "veth", "peer", "name", "eth0", "netns", name,
               namespace=self.switch)
            ip("link", "set", f"port{i}", "master", "br0", "up", namespace=self.switch)
            ip("addr", "add", f"{self.subnet}.{i + 1}/24", "dev", "eth0", namespace=name)
            ip("link", "set", "lo", "up", namespace=name)
            ip("link", "set", "eth0", "up", namespace=name)
            ip("route", "add", "224.0.0.0/4", "dev", "eth0", namespace=name)
            ip("-6", "addr", "add", f"fd99::{i + 1}/64", "dev", "eth0", "nodad", namespace=name)
            ip("route", "add", "default", "dev", "eth0", namespace=name)  # for broadcasts

    def link(self, number, state):
        """The switch's end of a node's cable: the node itself sees nothing wrong."""
        ip("link", "set", f"port{number}", state, namespace=self.switch)

    def silence(self, number, on):
        """Cuts a node off without any link going down."""
        flag = "nomaster" if on else "master"
        words = [flag] if on else [flag, "br0"]
        ip("link", "set", f"port{number}", *words, namespace=self.switch)

    def owners(self):
        """Which nodes carry the address."""
        return [i for i, name in enumerate(self.names)
                if f" {ADDRESS}/" in ip("-4", "addr", "show", "dev", "eth0", namespace=name)]

    def wrapper(self, number):
        return ("ip", "netns", "exec", self.names[number])

    def close(self):
        for name in [*self.names, self.switch]:
            remove(name)
