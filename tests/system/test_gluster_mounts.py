# SPDX-License-Identifier: Apache-2.0
"""Which mount a request reaches: prefixes, SCRIPT_NAME, UWSGI_APPID, and real nginx."""

import os
import shutil

import pytest
from gluster_rig import (
    Child,
    EmbeddedBrick,
    Serving,
    accepts,
    fetch,
    free_port,
    need,
    new_folder,
    uwsgi_fetch,
    wait_for,
)

VOLUMES = {"/": "root", "/foo": "foo", "/foo/deep": "deep", "/bar": "bar"}


@pytest.fixture(scope="module")
def bricks():
    """Each volume knows its own name, and holds the others' mountpoints as folders."""
    bricks = {}
    try:
        for mountpoint, name in VOLUMES.items():
            bricks[mountpoint] = brick = EmbeddedBrick(name)
            for folder in ("", "foo", "foo/deep", "bar", "fooz", "x"):
                os.makedirs(os.path.join(brick.brick, folder), exist_ok=True)
                with open(os.path.join(brick.brick, folder, "f"), "w", encoding="ascii") as file:
                    file.write(f"{name}:/{folder}".rstrip("/"))
        yield bricks
    finally:
        for brick in bricks.values():
            brick.close()


def mounts(bricks, *mountpoints):
    return [f"glusterfs-mount = mountpoint={m},{bricks[m].mount}" for m in mountpoints]


def serve(bricks, mountpoints, *lines):
    serving = Serving([*mounts(bricks, *mountpoints), *lines])
    try:
        for mountpoint in mountpoints:
            serving.connected(mountpoint)
            ask = {"REQUEST_METHOD": "GET", "UWSGI_APPID": mountpoint, "PATH_INFO": "/"}
            wait_for(mountpoint, lambda ask=ask: uwsgi_fetch(serving.uwsgi, ask)[0] != 503)
    except BaseException:
        serving.close()
        raise
    return serving


@pytest.fixture(scope="module")
def web(bricks):
    """The document's example: several mounts, nothing in front."""
    serving = serve(bricks, VOLUMES, "glusterfs-index = f")
    yield serving
    serving.close()


def ask(serving, **variables):
    """(status, body) of a GET in the uwsgi protocol"""
    asked = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", **variables}
    status, _, body = uwsgi_fetch(serving.uwsgi, asked)
    return status, body.decode() if status == 200 else None


# ---- nothing in front (fault 8) ----


@pytest.mark.parametrize(
    "path, body",
    [
        ("/f", "root:"),
        ("/x/f", "root:/x"),
        ("/foo/f", "foo:"),
        ("/foo/x/f", "foo:/x"),
        ("/foo/foo/f", "foo:/foo"),
        ("/foo/deep/f", "deep:"),
        ("/foo/deep/x/f", "deep:/x"),
        ("/bar/f", "bar:"),
        ("/fooz/f", "root:/fooz"),
        ("/foo/", "foo:"),
    ],
)
def test_the_longest_mountpoint_is_cut_off(web, path, body):
    status, _, got = web.fetch(path)
    assert (status, got.decode()) == (200, body)


def test_a_mountpoint_without_its_slash_is_redirected(web):
    status, headers, _ = web.fetch("/foo?q=1")
    assert (status, headers["location"]) == (301, "/foo/?q=1")


def test_no_mount_is_404(bricks):
    serving = serve(bricks, ["/foo"])
    try:
        assert serving.fetch("/foo/f")[2] == b"foo:"
        assert serving.status("/f") == 404
        assert serving.status("/fooz/f") == 404
    finally:
        serving.close()


# ---- named by the web server in front ----


def test_appid_names_the_mount_and_the_path_stays(web):
    assert ask(web, UWSGI_APPID="/foo", PATH_INFO="/f") == (200, "foo:")
    assert ask(web, UWSGI_APPID="/foo", PATH_INFO="/foo/f") == (200, "foo:/foo")
    assert ask(web, UWSGI_APPID="/", PATH_INFO="/foo/f") == (200, "root:/foo")


def test_appid_wins_over_script_name(web):
    variables = {"UWSGI_APPID": "/bar", "SCRIPT_NAME": "/foo", "PATH_INFO": "/f"}
    assert ask(web, **variables) == (200, "bar:")


def test_script_name_names_the_mount_and_the_path_stays(web):
    assert ask(web, SCRIPT_NAME="/foo", PATH_INFO="/f") == (200, "foo:")
    assert ask(web, SCRIPT_NAME="/foo", PATH_INFO="/bar/f") == (200, "foo:/bar")
    assert ask(web, SCRIPT_NAME="", PATH_INFO="/bar/f") == (200, "bar:")


def test_a_name_that_is_no_mount_is_the_root_mount(web):
    assert ask(web, UWSGI_APPID="/nosuch", PATH_INFO="/foo/f") == (200, "root:/foo")
    assert ask(web, SCRIPT_NAME="/fo", PATH_INFO="/f") == (200, "root:")


def test_no_default_app_has_no_root_mount(bricks):
    serving = serve(bricks, ["/", "/foo"], "no-default-app = true")
    try:
        assert ask(serving, UWSGI_APPID="/nosuch", PATH_INFO="/f") == (404, None)
        assert ask(serving, UWSGI_APPID="/foo", PATH_INFO="/f") == (200, "foo:")
    finally:
        serving.close()


def test_manage_script_name_cuts_the_mountpoint(bricks):
    serving = serve(bricks, VOLUMES, "manage-script-name = true")
    try:
        assert serving.fetch("/foo/x/f")[2] == b"foo:/x"
        assert serving.fetch("/foo/deep/f")[2] == b"deep:"
        assert serving.fetch("/fooz/f")[2] == b"root:/fooz"
        assert ask(serving, PATH_INFO="/bar/x/f") == (200, "bar:/x")
        assert ask(serving, UWSGI_APPID="/bar", PATH_INFO="/foo/f") == (200, "bar:/foo")
    finally:
        serving.close()


def test_an_empty_path_is_403(web):
    assert ask(web, PATH_INFO="") == (403, None)
    assert ask(web, UWSGI_APPID="/foo", PATH_INFO="") == (403, None)


def test_dots_in_a_uwsgi_packet_do_not_leave_the_volume(web):
    status, _ = ask(web, UWSGI_APPID="/foo", PATH_INFO="/../../../../etc/passwd")
    assert status in (400, 404)


# ---- real nginx ----

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port};
        uwsgi_modifier1 27;
        uwsgi_param REQUEST_METHOD $request_method;
        uwsgi_param QUERY_STRING $query_string;
        uwsgi_param REQUEST_URI $request_uri;
        uwsgi_param PATH_INFO $document_uri;
        uwsgi_param SERVER_PROTOCOL $server_protocol;
        uwsgi_param HTTP_HOST $host;
        location /one/ {{ {params} uwsgi_param UWSGI_APPID /foo; uwsgi_param PATH_INFO $tail;
                          uwsgi_pass unix:{unix}; }}
        location /two/ {{ {params} uwsgi_param UWSGI_APPID /bar; uwsgi_param PATH_INFO $tail;
                          uwsgi_pass 127.0.0.1:{tcp}; }}
        location /three/ {{ {params} uwsgi_param SCRIPT_NAME /bar; uwsgi_param PATH_INFO $tail;
                            uwsgi_pass unix:{unix}; }}
        set $tail /f;
        if ($document_uri ~ ^/[a-z]+(/.*)$) {{ set $tail $1; }}
    }}
}}
"""
PARAMS = (
    "uwsgi_param REQUEST_METHOD $request_method; uwsgi_param HTTP_RANGE $http_range;"
    " uwsgi_param SERVER_PROTOCOL $server_protocol; uwsgi_param HTTP_HOST $host;"
)


@pytest.fixture(scope="module")
def nginx(bricks):
    need("nginx")
    folder = new_folder("nginx")
    os.chmod(folder, 0o777)
    tcp, port = free_port(), free_port()
    serving = serve(bricks, VOLUMES, f"socket = 127.0.0.1:{tcp}")
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(
            NGINX.format(folder=folder, port=port, tcp=tcp, unix=serving.uwsgi, params=PARAMS)
        )
    child = Child(["nginx", "-c", path, "-p", folder], os.path.join(folder, "out"))
    try:
        wait_for("nginx", lambda: accepts(("127.0.0.1", port)))
        yield ("127.0.0.1", port)
    finally:
        child.stop()
        serving.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "path, body",
    [("/one/f", b"foo:"), ("/one/x/f", b"foo:/x"), ("/two/f", b"bar:"), ("/three/f", b"bar:"),
     ("/two/foo/f", b"bar:/foo")],
)  # fmt: skip
def test_volumes_behind_nginx(nginx, path, body):
    status, headers, got = fetch(nginx, path)
    assert (status, got) == (200, body)
    assert headers["etag"]


def test_head_and_ranges_behind_nginx(nginx):
    status, headers, body = fetch(nginx, "/one/x/f", "HEAD")
    assert (status, headers["content-length"], body) == (200, "6", b"")
    status, headers, body = fetch(nginx, "/one/x/f", headers=["Range: bytes=1-3"])
    assert (status, headers["content-range"], body) == (206, "bytes 1-3/6", b"oo:")
    assert fetch(nginx, "/two/nosuch")[0] == 404
