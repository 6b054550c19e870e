"""The temporary file of a put."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Protocol

from aioartifacts.errors import ArtifactError
from aioartifacts.objects.base import Body
from aioartifacts.objects.local.content import generation
from aioartifacts.objects.local.oserrors import NO_LINKS, translate
from aioartifacts.types import MIB, Buffer, ObjectInfo


class Drafts(Protocol):
    """Where temporary files are made: either `Tree`."""

    root: str

    def create_draft(self, name: str) -> int: ...
    def discard_draft(self, name: str) -> None: ...
    def reserve(self, fd: int, size: int) -> None: ...
    def sync_file(self, fd: int) -> None: ...
    def keep(self, name: str, draft: str) -> None: ...
    def place(self, draft: str, name: str, *, replace: bool) -> None: ...


RESERVED = MIB
"""Bytes from which room is set aside before a body of known size is written."""


class Draft:
    """The temporary file that a body writes itself to. It comes into being with the first write."""

    __slots__ = ("error", "expected", "fd", "key", "name", "tree", "whole")

    def __init__(self, tree: Drafts, key: str) -> None:
        self.tree = tree
        self.key = key
        self.name = ""
        self.fd = -1
        self.error: ArtifactError | None = None
        self.expected = 0
        self.whole: Buffer | None = None
        """All that has been written, if it was written at once."""

    def fill(self, body: Body) -> None:
        self.expected = body.size or 0
        try:
            body.write_to(self)
        except ArtifactError:
            raise
        except Exception as error:
            # Libraries wrap what their sink raises; the disk's own failure says more.
            if self.error is not None:
                raise self.error from error
            raise
        if self.error is not None:
            raise self.error
        self.write(b"")

    def write(self, data: Buffer, /) -> int:
        if self.error is not None:
            raise self.error
        try:
            if self.fd < 0:
                self._open()
                # Memory that is only read-only here may be used again meanwhile, or freed, as io.BufferedWriter does.
                owner = data.obj if isinstance(data, memoryview) else data
                self.whole = data if type(owner) is bytes else None
            elif data:
                self.whole = None
            size = data.nbytes if isinstance(data, memoryview) else len(data)
            if size and (written := os.write(self.fd, data)) < size:
                # Short on a full disk, on a signal, and at 2 GiB, which is all that Linux takes at once.
                view = memoryview(data).cast("B")
                while written < size:
                    written += os.write(self.fd, view[written:])
        except OSError as error:
            self.error = translate(error, self.tree.root, self.key, "put")
            raise self.error from error
        return size

    def _open(self) -> None:
        if self.name:
            raise OSError(errno.EBADF, "the body writes after it was done")
        self.name = draft_name()  # before the file exists, so that an interrupt in between leaves none
        self.fd = self.tree.create_draft(self.name)
        if self.expected >= RESERVED:
            self.tree.reserve(self.fd, self.expected)

    def sync(self) -> None:
        try:
            self.tree.sync_file(self.fd)
        except OSError as error:
            raise translate(error, self.tree.root, self.key, "put") from error

    def close(self) -> ObjectInfo:
        """Finish the file. Errors on closing count: some file systems report a failed write there only."""
        try:
            status = os.fstat(self.fd)
            if self.expected > max(status.st_size, RESERVED):
                os.ftruncate(self.fd, status.st_size)  # gives back what the body promised and did not write
            info = ObjectInfo(self.key, status.st_size, generation(self.fd, status, self.whole), None, status.st_mtime)
            fd, self.fd = self.fd, -1
            os.close(fd)
        except OSError as error:
            raise translate(error, self.tree.root, self.key, "put") from error
        return info

    def discard(self) -> None:
        """Remove the file, unless it has been given its name."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)
        if self.name:
            with contextlib.suppress(OSError):
                self.tree.discard_draft(self.name)


class Before:
    """What had a key before it is replaced or deleted: kept until that is known to be durable, and put back if it is not."""

    __slots__ = ("key", "missing", "name", "tree")

    def __init__(self, tree: Drafts, key: str) -> None:
        self.tree = tree
        self.key = key
        self.name = ""
        self.missing = True

    def keep(self) -> None:
        """Call with the lock held. On file systems without hard links nothing is kept."""
        name = draft_name()
        try:
            self.missing = False
            self.tree.keep(self.key, name)
            self.name = name
        except FileNotFoundError:
            self.missing = True
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise

    def put_back(self, *, replace: bool) -> bool:
        """Answer whether there was something to be put back. With *replace*, call with the lock held."""
        if self.name:
            self.tree.place(self.name, self.key, replace=replace)
            self.name = ""
            return True
        return False

    def forget(self) -> None:
        """Let go of what was kept."""
        if self.name:
            with contextlib.suppress(OSError):
                self.tree.discard_draft(self.name)


def draft_name() -> str:
    return os.urandom(12).hex()
