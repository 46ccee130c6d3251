"""The README's example, copied into an empty folder, works as it stands there."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

TOP = pathlib.Path(__file__).parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")


def blocks():
    """The fenced blocks: {file name: text}, and the commands."""
    files, commands = {}, None
    for text in re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        name = re.match(r"[#;] (\S+)\n", text)
        if name:
            files[name[1]] = text
        else:
            assert commands is None, "one block of commands"
            commands = text
    return files, commands


@pytest.fixture
def folder():
    # Not pytest's own folder, which only root may enter.
    path = pathlib.Path(tempfile.mkdtemp(prefix="legatus-test-readme.", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def legatus():
    return os.environ.get("LEGATUS_BIN", str(TOP / "build/legatus"))


def environment(folder):
    """A PATH with legatus on it."""
    bin_folder = folder.parent / (folder.name + ".bin")
    bin_folder.mkdir(exist_ok=True)
    link = bin_folder / "legatus"
    link.unlink(missing_ok=True)
    link.symlink_to(pathlib.Path(legatus()).resolve())
    clean = {name: value for name, value in os.environ.items() if name != "LEGATUS_BIN"}
    return {**clean, "PATH": f"{bin_folder}:{clean['PATH']}:/usr/sbin"}, bin_folder


def test_the_first_site(folder):
    files, commands = blocks()
    assert sorted(files) == ["brick.vol", "legatus.ini", "site.vol"]
    for name, text in files.items():
        (folder / name).write_text(text)
    env, bin_folder = environment(folder)
    try:
        shell = subprocess.Popen(
            ["bash", "-c", commands + "\nstatus=$?\nkill $(jobs -p); wait; exit $status"],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        try:
            output, errors = shell.communicate(timeout=60)
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        assert output.splitlines()[-1:] == ["hello"], output + errors
        assert shell.returncode == 0, output + errors
    finally:
        shutil.rmtree(bin_folder, ignore_errors=True)


def test_its_configuration_raises_no_warning(folder):
    files, _ = blocks()
    for name, text in files.items():
        (folder / name).write_text(text)
    env, bin_folder = environment(folder)
    try:
        done = subprocess.run(
            ["legatus", "--check", "legatus.ini"],
            cwd=folder, env=env, capture_output=True, text=True, timeout=30,
        )
    finally:
        shutil.rmtree(bin_folder, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()


def test_every_file_it_names_is_there():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (TOP / target).exists(), target
