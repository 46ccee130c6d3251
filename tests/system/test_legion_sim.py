# SPDX-License-Identifier: Apache-2.0
"""legatus legion-sim: a user's own legion in virtual time."""

import json

import pytest

from program import run

INI = """[uwsgi]
legion = clusterip 192.168.173.17:4242 98 bf-cbc:hello
legion-node = clusterip 192.168.173.22:4242
legion-node = clusterip 192.168.173.30:4242
legion-quorum = clusterip 2
legion-freq = 1
legion-tolerance = 5
legion-lord = clusterip cmd:ip addr add 192.168.173.111/24 dev eth0
legion-unlord = clusterip cmd:ip addr del 192.168.173.111/24 dev eth0
"""
STORY = ("--nodes", "3", "--for", "5m", "--loss", "10%", "--kill", "1@60s+30s",
         "--partition", "2@2m+30s", "--pause", "3@200s+20s", "--seed", "7")


@pytest.fixture
def ini(tmp_path):
    path = tmp_path / "site.ini"
    path.write_text(INI.replace("bf-cbc", "aes-256-gcm"))
    return path


def test_story_and_verdict(ini):
    told = run("legion-sim", ini, *STORY)
    assert told.returncode == 0 and told.stderr == "", told.stderr
    lines = told.stdout.splitlines()
    assert any("60.000  site" in line and "killed" in line for line in lines)
    assert any("site-2" in line and "LORD, epoch " in line for line in lines)
    assert lines[-1].startswith("never two Lords; a Lord for "), lines[-1]
    assert run("legion-sim", ini, *STORY).stdout == told.stdout
    other = run("legion-sim", ini, *STORY[:-1], "8")
    assert other.returncode == 0 and other.stdout != told.stdout


def test_uwsgis_rules_have_two(ini):
    """A partition: without a quorum each side makes its own Lord."""
    ini.write_text(ini.read_text().replace("legion-quorum = clusterip 2\n", ""))
    files = []
    for number in range(3):
        files.append(ini.parent / f"node{number}.ini")
        files[-1].write_text(ini.read_text())
    told = run("legion-sim", *files, "--for", "2m", "--partition", "1@1m+30s")
    assert told.returncode == 1
    assert told.stdout.splitlines()[-1].startswith("TWO LORDS, first at ")


def test_for_machines(ini):
    told = run("legion-sim", ini, *STORY, "--json")
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert lines[-1]["kept"] is True and lines[-1]["seconds"] == 300
    assert {"at", "node", "name", "what"} == set(lines[0])


def test_what_cannot_be_run_says_why(ini, tmp_path):
    for arguments, why in (
        ((), "legatus: legion-sim: 0 nodes, of 1 to 64"),
        ((ini, "--kill", "7@1s"), "number 7 is named"),
        ((ini, "--loss", "many"), "legion-sim: --loss many: not understood"),
    ):
        told = run("legion-sim", *arguments)
        assert told.returncode == 2 and told.stdout == "" and why in told.stderr, told.stderr
    bad = tmp_path / "bad.ini"
    bad.write_text(ini.read_text() + "legion-freq = never\n")
    told = run("legion-sim", bad)
    assert told.returncode == 2 and f'{bad}:10: error: bad value "never" for "legion-freq"' in told.stderr
    none = tmp_path / "none.ini"
    none.write_text("[uwsgi]\nhttp-socket = 127.0.0.1:1\n")
    told = run("legion-sim", none)
    assert told.returncode == 2 and "none.ini: expected a legion in it" in told.stderr
