# SPDX-License-Identifier: Apache-2.0
"""Fixtures that start the real program; see program.py."""

import contextlib
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from network_rig import Network  # noqa: E402
from program import BINARY, Program  # noqa: E402


def starter(make_folder):
    """Yields start(text, plugin=..., ...) -> Program; ends all it started."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is not built (make; or name one in LEGATUS_BIN)", pytrace=False)
    programs = []

    def start(text, **kw):
        folder = make_folder()
        folder.chmod(0o755)
        # pytest's own folder is for its user alone; workers may be others.
        for parent in folder.parents[:2]:
            parent.chmod(parent.stat().st_mode | 0o011)
        program = Program.__new__(Program)
        programs.append(program)
        program.__init__(folder, text, **kw)
        return program

    faults = []
    yield start
    for program in reversed(programs):
        if not hasattr(program, "process"):
            continue
        try:
            program.close()
        except AssertionError as error:
            faults.append(str(error))
    assert not faults, "\n".join(faults)


@pytest.fixture
def legatus(tmp_path_factory):
    """start(text, plugin="probe", ...): a program for one test."""
    yield from starter(lambda: tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def legatus_module(tmp_path_factory):
    """The same, for all tests of a file."""
    yield from starter(lambda: tmp_path_factory.mktemp("run"))


@pytest.fixture
def closing():
    """keep(thing) -> thing, to be closed when the test is over: the last one first, and all of
    them, whatever happens."""
    with contextlib.ExitStack() as stack:
        def keep(thing):
            stack.callback(thing.close)
            return thing

        yield keep


@pytest.fixture
def network():
    """Three nodes' namespaces on a bridge; takes root."""
    net = Network(3)
    try:
        net.build()
        yield net
    finally:
        net.close()
