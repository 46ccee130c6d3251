"""tools/layers.py finds what it is there to find: each rule, broken on purpose."""

import pathlib
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path):
    """A house in order, small enough to break one rule at a time."""
    root = tmp_path / "house"
    for name, text in {
        "include/legatus/plugin.h": "int lg_api(void);\n",
        "src/base/base.h": "int lg_base(void);\n",
        "src/base/base.c": '#include "base/base.h"\nint lg_base(void) { return 1; }\n',
        "src/http/http.c": '#include <llhttp.h>\n#include "base/base.h"\n'
        "int lg_http(void);\nint lg_http(void) { return lg_base(); }\n",
        "src/conf/options.h": '#include "../../plugins/files/options.def"\n',
        "src/server/server.c": '#include "base/base.h"\n#include <legatus/plugin.h>\n',
        "src/main.c": "#include <stdlib.h>\nint main(void) { exit(lg_base()); }\n",
        "plugins/files/options.def": "\n",
        "plugins/files/files.h": "\n",
        "plugins/files/files.c": '#include <glusterfs/api/glfs.h>\n#include <legatus/plugin.h>\n'
        '#include "files.h"\n',
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run(root, *arguments):
    """Runs the tool; returns (status, output)."""
    done = subprocess.run(
        [sys.executable, TOP / "tools/layers.py", "--root", root, *arguments],
        capture_output=True, text=True, timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def build(root, room, code):
    """Compiles `code` into where meson would put an object of `room`."""
    folder = root / "build" / room
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "code.c"
    source.write_text(code)
    subprocess.run(["gcc", "-w", "-c", source, "-o", folder / "code.o"], check=True, timeout=60)


def test_a_house_in_order_passes(house):
    assert run(house) == (0, "0 faults\n")


@pytest.mark.parametrize(
    "path, line, why",
    [
        ("src/base/base.c", '#include "conf/options.h"', "base stands below or beside conf"),
        ("src/http/http.c", '#include "conf/options.h"', "http is pure"),
        ("src/http/http.c", "#include <legatus/plugin.h>", "http may not know of plugins"),
        ("src/http/http.c", "#include <uv.h>", "uv.h is for server only"),
        ("src/server/server.c", '#include "cluster/cluster.h"', "server stands below or beside"),
        ("src/server/server.c", '#include "master/master.h"', "server stands below or beside"),
        ("src/server/server.c", '#include "../base/base.h"', "base is another room"),
        ("src/server/server.c", "#include <glusterfs/api/glfs.h>", "is for plugins only"),
        ("src/server/server.c", '#include "attic/box.h"', "there is no room attic"),
        ("src/http/http.c", '#include "../../plugins/files/options.def"', "is another room"),
        ("plugins/files/files.c", '#include "base/base.h"', "a plugin includes only"),
        ("include/legatus/plugin.h", '#include "base/base.h"', "plugin.h includes nothing of ours"),
    ],
)
def test_a_wrong_include_is_named(house, path, line, why):
    with open(house / path, "a", encoding="utf-8") as source:
        source.write(line + "\n")
    count = len((house / path).read_text().splitlines())
    status, output = run(house)
    assert status == 1
    assert f"{path}:{count}: includes " in output and why in output


def test_a_header_that_needs_another_is_named(house):
    (house / "include/legatus/plugin.h").write_text("size_t lg_api(void);\n")
    status, output = run(house)
    assert status == 1 and "gcc refuses it alone" in output and "clang++ refuses" in output


@pytest.fixture
def built(house):
    build(house, "src/base", "int lg_base(void) { return 1; }")
    build(house, "src/http", "#include <string.h>\nint f(char *s) { return strlen(s) + lg_base(); }")
    build(house, "src/server", "void f(void) { _exit(0); }")
    build(house, "legatus.p", "void f(void) { exit(0); }")
    build(house, "plugins/files/files.so.p", "void f(void) { lg_api(); glfs_open(); }")
    return house


def test_a_build_in_order_passes(built):
    assert run(built, "--build", built / "build") == (0, "0 faults\n")


@pytest.mark.parametrize(
    "room, call, why",
    [
        ("src/http", "open(0)", "http makes no call that could reach the system"),
        ("src/http", "clock_gettime(0, 0)", "http makes no call"),
        ("src/http", "getenv(0)", "http makes no call"),
        ("src/base", "write(1, 0, 0)", "base makes no call"),
        ("src/server", "exit(1)", "only main.c exits"),
        ("src/http", "_exit(1)", "only main.c exits"),
        ("plugins/files/files.so.p", "lg_secret()", "plugin.h does not declare it"),
        ("plugins/files/files.so.p", "exit(1)", "only main.c exits"),
    ],
)
def test_a_wrong_call_is_named(built, room, call, why):
    build(built, room, f"void f(void) {{ {call}; }}")
    status, output = run(built, "--build", built / "build")
    assert status == 1
    assert f"refers to {call.split('(')[0]}: " in output and why in output


def test_a_room_that_was_not_built_is_named(built):
    shutil.rmtree(built / "build/src/http")
    status, output = run(built, "--build", built / "build")
    assert status == 1 and "no objects of src/http" in output
