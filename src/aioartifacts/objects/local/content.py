"""Reading an open file, and telling which version of an object it holds."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import sys

from aioartifacts.types import KIB, Buffer

DIGESTED = 128 * KIB
"""Bytes up to which a generation is a digest of the whole object. Records, the only objects that are ever replaced, stay below."""


def generation(fd: int, status: os.stat_result, data: Buffer | None = None) -> str:
    """One version of an object. *data* is its content, where it is at hand."""
    size = status.st_size
    if size <= DIGESTED:
        return hashlib.sha256(read(fd, size, 0) if data is None else data).hexdigest()[:32]
    # The identity alone would do, but for an inode number used again within one tick of the file system's clock.
    digest = hashlib.sha256(f"{size} {status.st_ino} {status.st_mtime_ns} ".encode())
    digest.update(read(fd, DIGESTED // 2, 0))
    digest.update(read(fd, DIGESTED // 2, size - DIGESTED // 2))
    return digest.hexdigest()[:32]


def read(fd: int, size: int, start: int) -> bytes:
    """Read *size* bytes from *start*, or as many of them as there are."""
    if size <= 0:
        return b""
    data = _pread(fd, size, start)
    while len(data) < size and (more := _pread(fd, size - len(data), start + len(data))):
        data += more
    return data


def _pread_by_seeking(fd: int, size: int, start: int) -> bytes:
    os.lseek(fd, start, os.SEEK_SET)
    return os.read(fd, size)


_pread = getattr(os, "pread", _pread_by_seeking)


def read_into(fd: int, view: memoryview, start: int) -> memoryview:
    """Fill *view* as far as the file goes, and return the filled beginning."""
    done = 0
    with io.FileIO(fd, closefd=False) as file:
        file.seek(start)
        while done < len(view) and (n := file.readinto(view[done:])):
            done += n
    return view[:done]


def buffer(size: int) -> memoryview:
    """Writable memory that nobody has touched yet: a ``bytearray`` would be filled with zeros before it is filled with data."""
    if sys.platform == "win32":
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
