# SPDX-License-Identifier: Apache-2.0
"""A writer on a volume: libgfapi by ctypes, in a process of its own.

As a program it is that process: it reads commands as JSON lines and answers each
with a number, 0 or an errno. Client is its other end, for the tests.

    gluster_client.py VOLUME volfile FILE
    gluster_client.py VOLUME tcp|unix HOST PORT
"""

import ctypes
import json
import os
import select
import struct
import subprocess
import sys

CHUNK = 1 << 20


class Volume:
    def __init__(self, volume, kind, *where):
        self.api = ctypes.CDLL("libgfapi.so.0", use_errno=True)
        for name in ("glfs_new", "glfs_creat", "glfs_open"):
            getattr(self.api, name).restype = ctypes.c_void_p
        self.api.glfs_write.restype = ctypes.c_ssize_t
        self.api.glfs_pwrite.restype = ctypes.c_ssize_t
        self.fs = ctypes.c_void_p(self.api.glfs_new(volume.encode()))
        self.api.glfs_set_logging(self.fs, b"/dev/null", 0)
        if kind == "volfile":
            self.check(self.api.glfs_set_volfile(self.fs, where[0].encode()))
        else:
            host, port = where[0].encode(), int(where[1])
            self.check(self.api.glfs_set_volfile_server(self.fs, kind.encode(), host, port))
        self.check(self.api.glfs_init(self.fs))

    def check(self, result):
        if result is None or result < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return result

    def put(self, source, path):
        """Copies a local file; holes stay holes."""
        fd = self.open(self.api.glfs_creat, path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        offset = 0
        with open(source, "rb") as file:
            while data := file.read(CHUNK):
                if data.strip(b"\0"):
                    self.write_all(fd, data, offset)
                offset += len(data)
        self.check(self.api.glfs_ftruncate(fd, ctypes.c_long(offset), None, None))
        self.check(self.api.glfs_close(fd))

    def write(self, path, offset, text):
        fd = self.open(self.api.glfs_creat, path, os.O_RDWR | os.O_CREAT, 0o644)
        self.write_all(fd, text.encode("latin-1"), offset)
        self.check(self.api.glfs_close(fd))

    def open(self, call, path, *args):
        fd = call(self.fs, path.encode(), *args)
        if not fd:
            self.check(None)
        return ctypes.c_void_p(fd)

    def write_all(self, fd, data, offset):
        while data:
            size = ctypes.c_size_t(len(data))
            where = ctypes.c_long(offset)
            done = self.check(self.api.glfs_pwrite(fd, data, size, where, 0, None, None))
            data = data[done:]
            offset += done

    def truncate(self, path, size):
        fd = self.open(self.api.glfs_open, path, os.O_RDWR)
        self.check(self.api.glfs_ftruncate(fd, ctypes.c_long(size), None, None))
        self.check(self.api.glfs_close(fd))

    def mkdir(self, path):
        self.check(self.api.glfs_mkdir(self.fs, path.encode(), 0o755))

    def symlink(self, target, path):
        self.check(self.api.glfs_symlink(self.fs, target.encode(), path.encode()))

    def rename(self, old, new):
        self.check(self.api.glfs_rename(self.fs, old.encode(), new.encode()))

    def unlink(self, path):
        self.check(self.api.glfs_unlink(self.fs, path.encode()))

    def chmod(self, path, mode):
        self.check(self.api.glfs_chmod(self.fs, path.encode(), mode))

    def deny(self, path, uid):
        """Lets everybody read but one user: an ACL, which the mode does not show."""
        everybody = 0xFFFFFFFF
        # owner rw-, that user ---, group r--, mask r--, others r--
        entries = [(1, 6, everybody), (2, 0, uid), (4, 4, everybody), (16, 4, everybody),
                   (32, 4, everybody)]  # fmt: skip
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        name, size = b"system.posix_acl_access", ctypes.c_size_t(len(acl))
        self.check(self.api.glfs_setxattr(self.fs, path.encode(), name, acl, size, 0))


class Client:
    """`where` as on the command line; `prefix` runs the process elsewhere. The
    commands are Volume's methods: client.put("/tmp/x", "/x")."""

    def __init__(self, *where, prefix=()):
        argv = [*prefix, sys.executable, os.path.abspath(__file__), *map(str, where)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self._answer(["connect"])
        except BaseException:
            self.close()
            raise

    def _answer(self, command):
        if not select.select([self.process.stdout], [], [], 60)[0]:
            raise TimeoutError(f"the writer hangs at {command}")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the writer died at {command}")
        if int(line):
            raise OSError(int(line), f"{command}: {os.strerror(int(line))}")

    def __getattr__(self, name):
        def call(*args):
            self.process.stdin.write(json.dumps([name, *args]) + "\n")
            self.process.stdin.flush()
            self._answer([name, *args])

        return call

    def close(self):
        """Killed: glfs_fini takes ten seconds and everything is written."""
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


def main():
    try:
        volume = Volume(*sys.argv[1:])
    except OSError as error:
        print(error.errno or 5, flush=True)
        return
    print(0, flush=True)
    for line in sys.stdin:
        name, *args = json.loads(line)
        try:
            getattr(volume, name)(*args)
            print(0, flush=True)
        except OSError as error:
            print(error.errno or 5, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
