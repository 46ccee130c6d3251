"""tools/results.py counts what ran, and nothing that failed gets lost."""

import json
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).parents[2]


def count(tmp_path, kind, text):
    """Runs the tool; returns (status, what it counted, output)."""
    report, out = tmp_path / "report", tmp_path / "count"
    report.write_text(text)
    done = subprocess.run(
        [sys.executable, TOP / "tools/results.py", kind, report, out],
        capture_output=True, text=True, timeout=60,
    )
    return done.returncode, out.read_text().strip() if out.exists() else None, done.stdout


def log(*tests):
    return "".join(
        json.dumps({"name": name, "stdout": stdout, "result": result}) + "\n"
        for name, stdout, result in tests
    )


def test_cases_are_counted_not_programs(tmp_path):
    text = log(("a", "1..2\nok 1 - x\nok 2 - y\n# ok - tests\n", "OK"), ("b", "fine\n", "OK"))
    assert count(tmp_path, "meson", text) == (0, "3 0", "")


def test_a_failed_case_is_named(tmp_path):
    text = log(("a", "1..2\nok 1 - x\nnot ok 2 - y\n", "FAIL"))
    assert count(tmp_path, "meson", text) == (1, "1 1", "failed: a: y\n")


def test_a_crash_after_good_cases_is_a_failure(tmp_path):
    text = log(("a", "1..2\nok 1 - x\n", "FAIL"), ("b", "", "TIMEOUT"))
    assert count(tmp_path, "meson", text) == (1, "1 2", "failed: a: FAIL\nfailed: b: TIMEOUT\n")


def test_a_skip_is_a_failure(tmp_path):
    text = '<testsuites><testsuite><testcase classname="t" name="a"/>' \
        '<testcase classname="t" name="b"><skipped/></testcase></testsuite></testsuites>'
    assert count(tmp_path, "junit", text) == (1, "1 1", "failed: t::b\n")


def test_nothing_run_is_a_failure(tmp_path):
    assert count(tmp_path, "meson", "")[0] == 1
    assert count(tmp_path, "junit", "<testsuites/>")[0] == 1


def test_a_missing_report_is_a_failure(tmp_path):
    status, counted, output = count(tmp_path, "junit", "not xml")
    assert status == 1 and counted is None and "report" in output
