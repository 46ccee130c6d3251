# SPDX-License-Identifier: Apache-2.0
"""legatus legion-sim: a user's own legion in virtual time."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from program import BINARY, run

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
DOCS = pathlib.Path(__file__).parents[2] / "docs"
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
    verdict = lines[-1]
    assert verdict["kept"] is True and verdict["seconds"] == 300 and verdict["events"] > 1000
    assert verdict["two_lords"] == 0 and verdict["first_two_lords_at"] is None
    assert all(set(line) == {"at", "node", "name", "what"} for line in lines[:-1])
    text = run("legion-sim", ini, *STORY).stdout.splitlines()
    assert len(text) == len(lines)
    for line, words in zip(lines[:-1], text):
        assert words.endswith(line["what"]) and f"{line['at']:.3f}" in words
    assert run("legion-sim", ini, *STORY, "--json").stdout == told.stdout  # to the last byte
    assert run("legion-sim", ini, *STORY[:-1], "8", "--json").stdout != told.stdout


def test_any_name_will_do(ini):
    """Of a file, which is the node's, and of the legion: spaces, quotes, bytes that are no
    text."""
    odd = os.fsencode(ini.parent) + b'/a "b\\\xff\x01.ini'
    with open(odd, "wb") as file:
        file.write(ini.read_bytes().replace(b"clusterip", b'q"\xfe'))
    told = subprocess.run([BINARY, b"legion-sim", odd, b"--nodes", b"3", b"--for", b"20s", b"--json"],
                          capture_output=True, timeout=20)
    lines = [json.loads(line) for line in told.stdout.decode().splitlines()]
    assert told.returncode == 0 and lines[-1]["titles"] == 1, told.stderr
    assert lines[0]["name"] == 'a-"b\\--'
    assert any('i am now the Lord of the Legion q"\ufffd' in line["what"] for line in lines[:-1])


def test_growing_a_legion(ini):
    """The quorum first, then the nodes. The other way round there are two Lords as soon as
    the network parts the old majority from the new one."""
    story = ("--nodes", "3", "--for", "4m", "--partition", "1,2@2m+1m")
    grown = run("legion-sim", ini, *story, "--grow", "5@30s")
    assert grown.returncode == 0, grown.stdout[-500:]
    assert [line.split()[1] for line in grown.stdout.splitlines() if "quorum set to 3" in line] == [
        "site", "site-2", "site-3"]
    assert re.search(r"site-5 +\[uwsgi-legion\] the Lord of the Legion clusterip is site ", grown.stdout)
    hasty = run("legion-sim", ini, *story, "--grow-unprepared", "5@30s")
    assert hasty.returncode == 1
    assert hasty.stdout.splitlines()[-1].startswith("TWO LORDS, first at 12")


def test_a_frozen_machine_is_the_exception(ini):
    """Its clock stands still with it: it wakes as Lord, and says so no longer than until it
    hears of the next one."""
    told = run("legion-sim", ini, "--nodes", "3", "--for", "3m", "--freeze", "1@1m+30s")
    lines = told.stdout.splitlines()
    assert told.returncode == 0 and lines[-1].startswith("never two Lords")
    assert re.fullmatch(r"for 0\.\d+ s one that was frozen was Lord beside another, by its own clock: "
                        r"its epoch is the older one", lines[-2]), lines[-2]
    assert sum("THAWED: site-2 is Lord too" in line for line in lines) == 1
    epochs = [int(epoch) for epoch in re.findall(r"LORD, epoch (\d+)", told.stdout)]
    assert len(epochs) == 3 and epochs == sorted(epochs)
    paused = run("legion-sim", ini, "--nodes", "3", "--for", "3m", "--pause", "1@1m+30s")
    assert paused.returncode == 0 and "beside another" not in paused.stdout


def test_many_nodes(ini):
    """Nodes, partitions and growth beyond what a word has bits for."""
    half = ",".join(str(i) for i in range(1, 41))
    told = run("legion-sim", ini, "--nodes", "80", "--for", "30s", "--partition", f"{half},41@20s",
               "--json", timeout=60)
    verdict = json.loads(told.stdout.splitlines()[-1])
    assert told.returncode == 0 and verdict["kept"] and verdict["titles"] == 1
    assert verdict["longest_without"] < 15 + 3 * 1 + 1  # the start-up wait, and three intervals


def test_what_cannot_be_run_says_why(ini, tmp_path):
    for arguments, why in (
        ((), "legatus: legion-sim: expected FILE.ini"),
        ((ini, "--kill", "7@1s"), "node 7 is named, of 1"),
        ((ini, "--nodes", "5", "--grow", "4@1s"), "--grow to 4 nodes, from 5"),
        ((ini, "--nodes", "2001"), "legion-sim: --nodes 2001: not understood"),
        ((ini, "--freeze", "1@1s"), "legion-sim: --freeze 1@1s: not understood"),
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


def documented():
    """(command, lines, line number) of every story in the documentation."""
    text = (DOCS / "legion-stories.md").read_text()
    for block in re.finditer(r"^```\n\$ legatus (.*)\n([^`]*)^```$", text, re.M):
        yield block[1].split(), block[2].splitlines(), text.count("\n", 0, block.start()) + 2


@pytest.mark.parametrize("words, lines, number", documented(),
                         ids=[f"line{number}" for _, _, number in documented()])
def test_documented_stories(words, lines, number):
    """Line by line, but for what "..." leaves out; the last line is the verdict."""
    told = run(*words, folder=DOCS / "examples")
    rest = iter(told.stdout.splitlines())
    left_out = False
    for line in lines:
        if line == "...":
            left_out = True
            continue
        found = next((other for other in rest if not left_out or other == line), None)
        assert found == line, f"legion-stories.md: {' '.join(words)}"
        left_out = False
    assert next(rest, None) is None
    assert told.returncode == (1 if "TWO LORDS" in lines[-1] else 0) and told.stderr == ""


def test_stories_are_all_tested():
    assert len(list(documented())) == (DOCS / "legion-stories.md").read_text().count("$ legatus")
