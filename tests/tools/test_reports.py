# SPDX-License-Identifier: Apache-2.0
"""A sanitizer's report is somebody's: tests/system/reports.py tells whose."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))

from reports import reports  # noqa: E402

RACE = """==================
WARNING: ThreadSanitizer: data race (pid=7)
  Write of size 8 at 0x7b540000ff28 by thread T21:
    #0 {0}
    #1 {1}

  Previous read of size 8 at 0x7b540000ff28 by thread T12:
    #0 {2}
    #1 {3}

  Location is heap block of size 572 at 0x7b540000ff00 allocated by thread T12:
    #0 calloc <null> (legatus+0x66677) (BuildId: 9a)
    #1 gl_body_answer /x/plugins/glusterfs/body.c:541:25 (glusterfs.so+0x1) (BuildId: 9a)

SUMMARY: ThreadSanitizer: data race (/x/legatus+0x857ba) in memcpy
==================
"""
INTERCEPTED = "memcpy <null> (legatus+0x857ba) (BuildId: 9a)"
THEIRS = "<null> <null> (socket.so+0xb827) (BuildId: b1)"
GFAPI = "glfs_h_close <null> (libgfapi.so.0+0x1) (BuildId: b1)"
OURS = "read_done /x/../plugins/glusterfs/body.c:182:18 (glusterfs.so+0xc87f) (BuildId: 2b)"
CORE = "lg_post /x/../src/server/answer.c:118 (legatus+0xc87f) (BuildId: 2b)"


def test_a_race_among_their_functions_is_theirs():
    assert reports(RACE.format(INTERCEPTED, THEIRS, GFAPI, OURS)) == []


def test_a_race_with_one_of_ours_is_ours():
    assert len(reports(RACE.format(INTERCEPTED, THEIRS, OURS, GFAPI))) == 1
    assert len(reports(RACE.format(OURS, GFAPI, INTERCEPTED, CORE))) == 1


def test_what_ours_call_is_ours():
    assert len(reports(RACE.format(INTERCEPTED, OURS, INTERCEPTED, THEIRS))) == 1


def test_log_lines_come_between_the_frames():
    report = RACE.format(INTERCEPTED, THEIRS, GFAPI, OURS)
    lines = report.splitlines(keepends=True)
    for i in range(2, len(lines) - 2):
        assert reports("".join([*lines[:i], "2026-11-22 worker 1 [request] x\n", *lines[i:]])) == []


def test_each_report_counts():
    log = RACE.format(THEIRS, OURS, THEIRS, OURS) + "2026 a line\n" + RACE.format(OURS, THEIRS, OURS, OURS)
    assert len(reports(log)) == 1


def test_a_report_that_was_cut_off_counts():
    report = RACE.format(INTERCEPTED, OURS, INTERCEPTED, THEIRS)
    assert len(reports(report[: report.index("\n\n  Location")])) == 1
    assert len(reports(report[: report.index("\n\nSUMMARY")] + "\n" + report)) == 2
    theirs = RACE.format(INTERCEPTED, THEIRS, INTERCEPTED, GFAPI)
    assert reports(theirs[: theirs.index("\n\nSUMMARY")] + "\n" + theirs) == []


def test_the_others_count_always():
    assert reports("==1==ERROR: AddressSanitizer: heap-use-after-free\n")
    assert reports("x.c:1: runtime error: signed integer overflow\n")
    assert reports("all is well\n") == []
