"""Temporary folders: files that a library wrote become parts, and parts become files that it can read."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from aioartifacts.errors import DecodeError, EncodeError
from aioartifacts.materializers.base import FileBody, Part, Parts
from aioartifacts.types import MIB


class ScratchFolder:
    """A temporary folder that lives as long as this object, as bodies do; `tempfile.TemporaryDirectory` would warn then."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="aioartifacts-")
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def parts(self) -> tuple[Part, ...]:
        """Every file in it as a part, in a fixed order.

        Raises:
            EncodeError: there is a link or a special file in it.
        """
        return tuple(Part(name, _OwnedFile(path, size, self)) for name, path, size in _files(self.path))


@contextmanager
def unfolded(parts: Parts) -> Iterator[str]:
    """A temporary folder with all the parts in it, under their names."""
    folder = ScratchFolder()
    try:
        for name in parts.names:
            target = os.path.join(folder.path, *_segments(name))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with parts.open(name) as source, open(target, "xb") as file:
                shutil.copyfileobj(source, file, MIB)
        yield folder.path
    finally:
        folder.remove()


class _OwnedFile(FileBody):
    """A file in a temporary folder; keeps the folder, for bodies are written out after ``dump`` has returned."""

    __slots__ = ("folder",)

    def __init__(self, path: str, size: int, folder: ScratchFolder) -> None:
        super().__init__(path, size)
        self.folder = folder


def _files(root: str) -> Iterator[tuple[str, str, int]]:
    """Name, path and size of every file below *root*, in a fixed order."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted((*files, *(name for name in folders if os.path.islink(os.path.join(folder, name))))):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            if not stat.S_ISREG(info.st_mode):
                raise EncodeError(f"{relative!r} is not a regular file, and only those are saved")
            yield relative, path, info.st_size


def _segments(name: str) -> list[str]:
    segments = name.split("/")
    for segment in segments:
        # The name comes from the record: it must not lead out of the folder, on any system.
        if segment in ("", ".", "..") or any(character in segment for character in "\\:\0"):
            raise DecodeError(f"{ascii(name)} cannot be the name of a file in a folder")
    return segments
