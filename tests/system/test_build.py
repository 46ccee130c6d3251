"""The Makefile: a GlusterFS of one's own, installing, and an old one refused."""

import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).parents[2]


def pkg_config(*arguments):
    return subprocess.run(
        ["pkg-config", *arguments, "glusterfs-api"], check=True, capture_output=True, text=True,
    ).stdout.strip()


def own_glusterfs(prefix, version):
    """A GlusterFS as if built from source: its own libdir and .pc file."""
    lib = prefix / "lib"
    (lib / "pkgconfig").mkdir(parents=True)
    for path in pathlib.Path(pkg_config("--variable=libdir")).glob("lib*gfapi.so*"):
        (lib / path.name).symlink_to(path)
    (lib / "pkgconfig/glusterfs-api.pc").write_text(
        f"prefix={prefix}\nlibdir={lib}\n"
        f"Name: glusterfs-api\nDescription: a test\nVersion: {version}\n"
        f"Libs: -L{lib} -lgfapi\nCflags: {pkg_config('--cflags')}\n")
    return lib


def make(*arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "LEGATUS_BIN"}
    return subprocess.run(
        ["make", "-C", TOP, *arguments], env={**clean, **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Built as the plugin's document says, then installed: (build, root, libdir)."""
    folder = tmp_path_factory.mktemp("build")
    lib = own_glusterfs(folder / "opt/glusterfs", "7.6.0")
    arguments = (f"BUILD={folder}/build", "PREFIX=/usr", f"DESTDIR={folder}/root")
    done = make(*arguments, PKG_CONFIG_PATH=f"{lib}/pkgconfig/", UWSGI_PROFILE="glusterfs")
    assert done.returncode == 0, done.stdout + done.stderr
    done = make(*arguments, "install", PKG_CONFIG_PATH=f"{lib}/pkgconfig/",
                UWSGI_PROFILE="glusterfs")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build", folder / "root", lib


def runpath(path):
    """The library folders an object names, without the build's own."""
    dynamic = subprocess.run(
        ["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    found = re.search(r"R(?:UN)?PATH\).*\[(.*)\]", dynamic)
    return found[1].split(":") if found else []


def test_the_plugin_finds_its_own_glusterfs(built):
    build, root, lib = built
    assert str(lib) in runpath(build / "plugins/glusterfs/glusterfs.so")
    installed = list(root.glob("usr/lib/**/legatus/plugins/glusterfs.so"))
    assert len(installed) == 1
    assert runpath(installed[0]) == [str(lib)]


def test_what_is_installed(built):
    _, root, _ = built
    program = root / "usr/bin/legatus"
    assert os.access(program, os.X_OK)
    assert not any("gfapi" in line for line in subprocess.run(
        ["readelf", "-d", program], check=True, capture_output=True, text=True,
    ).stdout.splitlines())
    assert [path.name for path in root.glob("usr/include/**/*.h")] == ["plugin.h"]
    assert (root / "usr/share/man/man1/legatus.1").exists()
    assert not list(root.rglob("probe*.so")), "the tests' plugin is for tests"


def test_the_build_finds_its_plugin_uninstalled(built, tmp_path):
    build, _, _ = built
    config = tmp_path / "site.ini"
    config.write_text(
        "[uwsgi]\nhttp-socket = 127.0.0.1:9090\nhttp-socket-modifier1 = 27\n"
        "glusterfs-mount = mountpoint=/,volume=v,server=127.0.0.1:0\n")
    done = subprocess.run(
        [build / "legatus", "--check", config], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_old_glusterfs_is_refused_by_version(tmp_path):
    lib = own_glusterfs(tmp_path / "opt/glusterfs", "7.5.13")
    done = make(f"BUILD={tmp_path}/build", "configure", PKG_CONFIG_PATH=f"{lib}/pkgconfig/",
                UWSGI_PROFILE="glusterfs")
    assert done.returncode != 0
    assert "7.5.13" in done.stdout + done.stderr and ">= 7.6" in done.stdout + done.stderr
