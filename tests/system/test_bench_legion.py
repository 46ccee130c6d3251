# SPDX-License-Identifier: Apache-2.0
"""bench/legion: it measures what it says, at least in small."""

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import time

import pytest

from program import BINARY, TOP


@pytest.fixture(scope="module")
def bench():
    sys.path.append(str(TOP / "bench"))
    loader = importlib.machinery.SourceFileLoader("bench_legion", str(TOP / "bench/legion"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_legion", loader))
    loader.exec_module(module)
    return module


class Told:
    """A legion of which only the story is known."""

    def __init__(self, *lines):
        self.lines = lambda: list(lines)


def test_time_with_a_lord_is_summed_as_it_was_told(bench):
    told = Told((1, 0, "lord"), (12, 0, "unlord"), (13, 1, "lord"), (16, 0, "lord"), (18, 1, "unlord"))
    assert bench.standing(told, 10, 20) == {"some": 0.9, "two": 0.2, "moves": 2}
    assert bench.standing(Told(), 10, 20) == {"some": 0, "two": 0, "moves": 0}


def test_a_hook_that_is_late_turns_no_story_round(bench, tmp_path):
    legion = bench.legions.Legion(tmp_path, None, 3, 0.1, 0.3)
    subprocess.run([legion.tell, "1", "lord"], check=True, timeout=10)
    with subprocess.Popen(["sh", "-c", f"read go; exec {legion.tell} 0 unlord"],
                          stdin=subprocess.PIPE) as late:
        time.sleep(0.05)  # more than the ticks they are told apart by
        subprocess.run([legion.tell, "0", "lord"], check=True, timeout=10)
        assert legion.lords() == {0, 1}
        late.communicate(b"go\n", timeout=10)
    assert [line[1:] for line in legion.lines()] == [(1, "lord"), (0, "unlord"), (0, "lord")]
    subprocess.run([legion.tell, "1", "unlord"], check=True, timeout=10)
    assert legion.lords() == {0} and legion.lines() == sorted(legion.lines(), key=lambda line: line[0])


def test_what_missed_its_aim_is_said(bench):
    ours, theirs = [{"kill -9": 0.3}, {"kill -9": 0.41}], [{"kill -9": 0.5}, {"failed": "so"}]
    text = "".join(bench.aims({"0.1|Legatus, tolerance 0.3": ours, "0.1|keepalived": theirs}))
    assert "within 0.4 s: MISSED, 0.410 at most" in text
    assert "keepalived: met, 0.355 beside 0.500" in text


@pytest.mark.long
def test_a_quick_run_measures_everything(tmp_path):
    kept, report = tmp_path / "kept", tmp_path / "report.md"
    done = subprocess.run(
        [TOP / "bench/legion", "--quick", "--program", BINARY, "--keep", kept, "--output", report],
        capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    figures = json.loads(kept.read_text())
    for name, results in figures["failover"].items():
        for event in ("cold start", "kill -9", "stop", "cut", "two at once"):
            assert event in results[0], f"{name}: {results[0]}"
        if "Legatus" in name:
            assert 0.1 < results[0]["kill -9"] < 2 and results[0]["two at once"] < 0
    assert figures["loss"]["Legatus, tolerance 5"]["two"] == 0
    assert {key.split("|")[2] for key in figures["resources"]} == {"Legatus", "uWSGI"}
    assert all(one["cpu"] > 0 and one["titles"] == 1 for one in figures["resources"].values())
    assert "## Failover" in report.read_text() and report.read_text() in done.stdout
