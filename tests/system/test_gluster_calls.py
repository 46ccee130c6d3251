# SPDX-License-Identifier: Apache-2.0
"""What new files cost at the bricks, counted there, and in the worker's threads."""

import pathlib
import re
import xml.etree.ElementTree

import pytest
from gluster_client import Client
from gluster_rig import Serving, SingleGlusterd

FILES = 40


@pytest.fixture(scope="module")
def glusterd():
    glusterd = SingleGlusterd()
    try:
        yield glusterd
    finally:
        glusterd.close()


def calls(glusterd, volume):
    """{call: how often} since this was last asked, of all bricks."""
    said = glusterd.cli("volume", "profile", volume, "info", "incremental", "--xml")
    total = {}
    for fop in xml.etree.ElementTree.fromstring(said).iterfind(".//intervalStats//fop"):
        name = fop.findtext("name")
        total[name] = total.get(name, 0) + int(fop.findtext("hits"))
    return total


def handed_over(web):
    """How often threads of libgfapi that calls are handed to have waited for one."""
    count = 0
    for worker in web.program.workers().values():
        for task in pathlib.Path(f"/proc/{worker}/task").iterdir():
            if "iotwr" in (task / "comm").read_text():
                status = (task / "status").read_text()
                count += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M).group(1))
    return count


@pytest.mark.parametrize(
    "name, replica, settings",
    [
        ("usual", 1, {}),
        ("plain", 1, {"performance__stat_prefetch": "off"}),
        ("telling", 1, {"features__cache_invalidation": "on"}),
        ("three", 3, {"performance__client_io_threads": "on"}),
    ],
)
def test_a_new_file_costs_three_calls(closing, glusterd, name, replica, settings):
    glusterd.create(name, replica, **settings)
    client = closing(Client(name, "tcp", glusterd.address, 24007))
    client.mkdir("/d")
    for i in range(FILES):
        client.write(f"/d/{i}", 0, "x" * 4096)
    glusterd.cli("volume", "profile", name, "start")
    lines = [f"glusterfs-mount = mountpoint=/,volume={name},server={glusterd.address}:0"]
    web = closing(Serving([*lines, "uid = 65534", "gid = 65534"]))
    web.connected()
    assert web.status("/d/0") == 200  # the folder is known from here on
    calls(glusterd, name)
    before = handed_over(web)
    for i in range(1, FILES):
        assert web.fetch(f"/d/{i}")[2] == b"x" * 4096
    counted, files = calls(glusterd, name), FILES - 1
    # Each copy is looked up. Folders and the root are looked at each second, too, and
    # what quick-read holds may be too old for it where a thread had to wait.
    assert counted.get("ACCESS") == files, counted
    assert files <= counted.get("STAT") <= files + 10, counted
    assert replica * files <= counted["LOOKUP"] <= replica * (files + 10), counted
    assert counted.get("READ", 0) <= 10, counted
    assert "OPEN" not in counted and "GETXATTR" not in counted, counted
    assert handed_over(web) - before < 10
