"""Keeps the rooms apart: checks the include direction of docs/ARCHITECTURE.md.

    layers.py [--root DIR] [--build BUILD_DIR]

Of every source: who includes whom. Of every object in the build, where one is
given: pure rooms call nothing that could reach the system, only main.c exits,
plugins use only what plugin.h declares. And plugin.h compiles alone, as C and as
C++. One line per fault, FILE:LINE first; status 1 when there is any.
SPDX-License-Identifier: Apache-2.0
"""

import argparse
import pathlib
import re
import subprocess
import sys

# From the ground up. A room includes itself and rooms of lower rows; the pure
# ones only `base` and `request`.
ROWS = (
    ("base",),
    ("request",),
    ("conf", "legion", "http", "uwsgi", "route", "stats"),
    ("sim",),
    ("log", "shm"),
    ("server", "cluster"),
    ("plugin",),
    ("master",),
    ("operate",),
    ("main",),
)
RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}
PURE = {"request", *ROWS[2], "sim"}
GROUND = {"base", "request"}
# The simulator drives the election, in time and on a network that it makes up.
SIM_GROUND = {"base", "legion"}
# plugin.h declares lg_log, so log/ sees it too.
SEE_PLUGIN_H = {"log", "server", "cluster", "plugin", "master", "main"}

# Other people's headers, and the rooms that may know of them. A plugin may
# include what it likes of others, none of ours but plugin.h.
FOREIGN = {
    "uv.h": {"server"},
    "llhttp.h": {"http"},
    "openssl/": {"cluster", "server"},
    "jansson.h": {"stats", "sim", "operate"},
    "sys/capability.h": {"master"},
    "glusterfs/": set(),
}

# What a pure room may call besides Legatus: functions of their arguments alone.
PURE_CALLS = re.compile(
    r"""mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|rawmemchr|strn?(len|cmp|dup|casecmp)
    |str(r?chr|chrnul|str|casestr|spn|cspn|pbrk|sep|toll?|toull?|tod|toimax|toumax|error)
    |bcmp|v?(sn|as)printf|sscanf|malloc|calloc|realloc|reallocarray|free|qsort(_r)?|bsearch
    |to(upper|lower)|__ctype_(b|tolower|toupper)_loc
    |inet_(pton|ntop)|reg(comp|exec|free|error)|fnmatch|__errno_location|(ll)?round|floor|ceil
    |__stack_chk_fail|__assert_fail|_GLOBAL_OFFSET_TABLE_|lg_\w+|llhttp_\w+|json_\w+""",
    re.VERBOSE,
)
# Ways to end the process, and the rooms that own processes.
EXITS = {
    "exit": {"main"},
    "quick_exit": set(),
    "abort": set(),
    "_exit": {"master", "cluster", "server"},
    "_Exit": {"master", "cluster", "server"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(root, path):
    """The room a source belongs to: "conf", "main", "plugins/glusterfs", "include"."""
    parts = path.relative_to(root).parts
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "main"
    if parts[0] == "plugins":
        return "/".join(parts[:2])
    return parts[0]


def includes(path):
    """Yields (line number, quote or angle, name) of every #include."""
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match[1], match[2]


def wrong_foreign(room, name):
    """Why `room` may not include a header of others, or None."""
    for prefix, rooms in FOREIGN.items():
        if name == prefix or (prefix.endswith("/") and name.startswith(prefix)):
            if room not in rooms and not room.startswith("plugins/"):
                return f"{name} is for {', '.join(sorted(rooms)) or 'plugins'} only"
    return None


def wrong_own(room, target):
    """Why `room` may not include a header of the room `target`, or None."""
    if target == room:
        return None
    if target not in RANK:
        return f"there is no room {target}"
    ground = SIM_GROUND if room == "sim" else GROUND
    if room in PURE and target not in ground:
        return f"{room} is pure and includes only {', '.join(sorted(ground))}"
    if RANK[target] >= RANK[room]:
        return f"{room} stands below or beside {target}"
    return None


def wrong_include(root, path, quote, name):
    """Why this include breaks the direction, or None."""
    room = room_of(root, path)
    beside = (path.parent / name).resolve()
    if name == "legatus/plugin.h":
        if room in SEE_PLUGIN_H or room.startswith("plugins/"):
            return None
        return f"{room} may not know of plugins"
    if quote == "<":
        return wrong_foreign(room, name)
    if room == "include":
        return "plugin.h includes nothing of ours"
    # Beside main.c are the rooms themselves.
    if room != "main" and beside.is_relative_to(root) and beside.exists():
        target = room_of(root, beside)
        # The option table is made of the rows of core and plugins.
        if room == "conf" and target.startswith("plugins/") and beside.name == "options.def":
            return None
        return None if target == room else f"{target} is another room: name it from src/"
    if room.startswith("plugins/"):
        return "a plugin includes only <legatus/plugin.h> of ours"
    if room not in RANK:
        return f"there is no room {room}"
    return wrong_own(room, name.split("/")[0])


def check_includes(root):
    """Yields a line per wrong include."""
    for top in ("include", "src", "plugins"):
        for path in sorted((root / top).rglob("*.[ch]")):
            for number, quote, name in includes(path):
                why = wrong_include(root, path, quote, name)
                if why:
                    yield f"{path.relative_to(root)}:{number}: includes {name}: {why}"


def plain(symbol):
    """A libc name without what glibc, fortify or versions put around it."""
    symbol = re.sub(r"@.*", "", symbol)
    symbol = re.sub(r"^__isoc\d+_", "", symbol)
    return re.sub(r"^__(\w+)_chk$", r"\1", symbol)


def undefined(path):
    """The undefined symbols of an object."""
    listing = subprocess.run(
        ["nm", "-u", "--", path], check=True, capture_output=True, text=True
    ).stdout
    return sorted({plain(line.split()[-1]) for line in listing.splitlines() if line.strip()})


def objects(build):
    """Yields (room, object file) of the build; llhttp's sources are not ours."""
    for path in sorted((build / "src").rglob("*.o")):
        if path.parent.name != "libllhttp.a.p":
            yield path.relative_to(build / "src").parts[0], path
    for path in sorted((build / "plugins").rglob("*.o")):
        yield "/".join(path.relative_to(build).parts[:2]), path
    for path in sorted((build / "legatus.p").glob("*.o")):
        yield "main", path


def wrong_call(room, symbol, plugin_api):
    """Why an object of `room` may not refer to `symbol`, or None."""
    if symbol in EXITS and room not in EXITS[symbol]:
        return "only main.c exits; processes end in " + (", ".join(EXITS[symbol]) or "no room")
    if (room in PURE or room == "base") and not PURE_CALLS.fullmatch(symbol):
        return f"{room} makes no call that could reach the system"
    if room.startswith("plugins/") and symbol.startswith("lg_") and symbol not in plugin_api:
        return "plugin.h does not declare it"
    return None


def check_calls(root, build):
    """Yields a line per wrong reference, and one when the build holds no objects."""
    seen = set()
    declared = (root / "include/legatus/plugin.h").read_text(encoding="utf-8")
    for room, path in objects(build):
        seen.add(room)
        # A plugin of several files calls its own functions as well.
        own = defined(path.parent) if room.startswith("plugins/") else set()
        api = set(re.findall(r"\blg_\w+", declared)) | own
        for symbol in undefined(path):
            why = wrong_call(room, symbol, api)
            if why:
                yield f"{path.relative_to(build)}: refers to {symbol}: {why}"
    rooms = {path.parent.name for path in (root / "src").glob("*/*.c")}
    for room in sorted(rooms - seen):
        yield f"{build}: no objects of src/{room} here: is it built?"


def defined(folder):
    """The symbols that a folder's objects define."""
    listing = subprocess.run(
        ["nm", "--defined-only", "--", *sorted(folder.glob("*.o"))],
        check=True, capture_output=True, text=True,
    ).stdout
    return {line.split()[-1] for line in listing.splitlines() if " " in line}


def check_header_alone(root):
    """Yields a line per compiler that does not take plugin.h by itself."""
    header = root / "include/legatus/plugin.h"
    for command in (
        ["gcc", "-x", "c", "-std=c11", "-Wpedantic"],
        ["clang++", "-x", "c++", "-std=c++14"],
    ):
        run = subprocess.run(
            [*command, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(header)],
            capture_output=True, text=True,
        )
        if run.returncode != 0:
            yield f"include/legatus/plugin.h: {command[0]} refuses it alone:\n{run.stderr}"


def main(argv):
    parser = argparse.ArgumentParser(description="checks the direction of the rooms")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parents[1])
    parser.add_argument("--build", type=pathlib.Path)
    options = parser.parse_args(argv)
    root = options.root.resolve()
    faults = [*check_includes(root), *check_header_alone(root)]
    if options.build:
        faults += check_calls(root, options.build.resolve())
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
