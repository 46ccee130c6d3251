# SPDX-License-Identifier: Apache-2.0
"""What sanitizers wrote into a log, and whose fault it is.

ThreadSanitizer does not see what orders the threads of libraries that were not built
with it, GlusterFS's among them. A suppression would go by any frame of a stack, and our
callbacks run below their frames. So a report is left out only when every access it
names was made by one of their functions itself: the innermost frame that is not the
sanitizer's own. What one of ours does is never left out."""

import re

THEIRS = re.compile(r"\((libglusterfs|libgfapi|libgfrpc|libgfxdr)\.so|\((api|socket|client|client-io-threads|"
                    r"md-cache|io-cache|open-behind|quick-read|write-behind|read-ahead|readdir-ahead|nl-cache|"
                    r"io-stats|replicate|distribute|utime|meta|upcall|shard|snapview-client)\.so\+")  # fmt: skip
FRAME = re.compile(r"^\s+#(\d+) (.*)$")
HEADING = re.compile(r"^  \w")
# Stacks that say where something comes from, not who touched it.
ORIGINS = re.compile(r"^\s*(Thread T\d+|Location is|Mutex M\d+ .*created at|As if synchronized)")


def innermost(stack):
    """The frame that is no interceptor (those have neither a source nor a library of
    their own) and not in what anybody may call."""
    for frame in stack:
        if re.search(r"\((libc|libtirpc)\.so", frame):
            continue
        if "<null>" not in frame or re.search(r"\([\w.-]+\.so[\d.]*\+", frame):
            return frame
    return ""


def accesses(report):
    """The stacks of a ThreadSanitizer report that made it a report."""
    stacks, origin = [], False
    for line in report.splitlines():
        frame = FRAME.match(line)
        if frame and not origin:
            if frame.group(1) == "0":
                stacks.append([])
            if stacks:
                stacks[-1].append(frame.group(2))
        elif HEADING.match(line):  # anything else is a log line that came between
            origin = bool(ORIGINS.match(line))
    return stacks


def is_theirs(report):
    theirs = [bool(THEIRS.search(innermost(stack))) for stack in accesses(report)]
    # That a number of a closed file was given to another is no race, though it looks
    # like one: the kernel's order does not show.
    if re.search(r"^  Location is file descriptor", report, re.M):
        return any(theirs)
    return bool(theirs) and all(theirs)


def reports(log):
    """Those of a log that are to be answered for."""
    found = []
    # One may begin before another process's has ended, and be cut off by the end of its own.
    for part in re.findall(r"^={18}\n(WARNING: ThreadSanitizer.*?)(?=\n={18}$|\Z)", log, re.M | re.S):
        if not is_theirs(part):
            found.append(part)
    for mark in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
        if mark in log:
            found.append(log[log.index(mark) :])
    if "ThreadSanitizer: CHECK failed" in log or "FATAL: ThreadSanitizer" in log:
        found.append(log)
    return found
