"""Counts test cases in a runner's report, for ./check.

    results.py meson testlog.json COUNT     cmocka (TAP) cases; a program without
                                            TAP lines, or that crashed, is one case
    results.py junit report.xml COUNT       pytest cases; a skipped one has failed,
                                            for it could not run

Writes "PASSED FAILED" to the file COUNT and names what failed. Status 1 when
something failed or nothing ran.
SPDX-License-Identifier: Apache-2.0
"""

import json
import re
import sys
import xml.etree.ElementTree

CASE = re.compile(r"^(not )?ok\b[ \d]*-? *(.*)$", re.MULTILINE)
SKIP = re.compile(r"# *SKIP", re.IGNORECASE)


def meson_cases(path):
    """Yields (name, good) for every case in meson's testlog.json."""
    with open(path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            cases = [
                (f"{test['name']}: {name}", not bad and not SKIP.search(name))
                for bad, name in CASE.findall(test.get("stdout", ""))
            ]
            yield from cases
            if test["result"] != "OK" and all(good for _, good in cases):
                yield f"{test['name']}: {test['result']}", False
            elif not cases:
                yield test["name"], True


def junit_cases(path):
    """Yields (name, good) for every case in a junit report."""
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        bad = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        yield f"{case.get('classname')}::{case.get('name')}", not bad


def main(kind, report, count_path):
    try:
        cases = list({"meson": meson_cases, "junit": junit_cases}[kind](report))
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as error:
        print(f"{report}: {error}")
        return 1
    failures = [name for name, good in cases if not good]
    with open(count_path, "w", encoding="ascii") as out:
        print(len(cases) - len(failures), len(failures), file=out)
    for name in failures:
        print("failed:", name)
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
