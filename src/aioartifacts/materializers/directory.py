"""Materializers of the FlowyML kind, which save into a folder and load from one, made into ours.

::

    registry.register(directory_materializer(GraphMaterializer, types=Graph), types=Graph)

The folder is a temporary one: every file in it becomes a part. Links and special files in it are refused; empty
folders are forgotten.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aioartifacts.errors import DecodeError, EncodeError, InvalidConfigError, UntrustedArtifactError
from aioartifacts.materializers.base import Dump, FileBody, Materializer, Part, Parts
from aioartifacts.types import MIB

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]+")


def directory_materializer(
    legacy: Any,
    *,
    name: str | None = None,
    format: str | None = None,
    types: type | Iterable[type] = (),
    safe: bool = False,
) -> Materializer:
    """Adapt *legacy*, an object or class with ``save(obj, directory)`` and ``load(directory)``.

    *name* defaults to the class's name, *format* to ``directory-`` and the name in lower case. It accepts objects of *types* and
    their subclasses; without, those for which the adapted ``can_handle(obj)`` says so, and everything if there is none.
    A class is made into an instance first, without arguments. Only say *safe* when loading never runs code from the files.

    The directory comes as a ``pathlib.Path``; what ``save`` returns is ignored.

    Raises:
        InvalidConfigError: *legacy* has no ``save`` and ``load``.
    """
    adapted = legacy() if isinstance(legacy, type) else legacy
    if not callable(getattr(adapted, "save", None)) or not callable(getattr(adapted, "load", None)):
        raise InvalidConfigError(f"{legacy!r} has no save(obj, directory) and load(directory)")
    title = name or type(adapted).__name__
    made = DirectoryMaterializer(adapted, (types,) if isinstance(types, type) else tuple(types))
    # Class variables in general, but here one class serves many formats.
    vars(made).update(name=title, format=format or "directory-" + _ILLEGAL.sub("-", title).lower(), safe=safe)
    return made


class DirectoryMaterializer(Materializer):
    """An adapted materializer; see `directory_materializer`."""

    name = "directory"
    format = "directory"

    def __init__(self, adapted: Any, types: tuple[type, ...]) -> None:
        self._adapted = adapted
        self._types = types

    def accepts(self, obj: object) -> bool:
        if self._types:
            return isinstance(obj, self._types)
        can_handle = getattr(self._adapted, "can_handle", None)
        return bool(can_handle(obj)) if callable(can_handle) else True

    def dump(self, obj: object) -> Dump:
        folder = _Folder()
        self._adapted.save(obj, Path(folder.path))
        parts = tuple(Part(name, _OwnedFile(path, size, folder)) for name, path, size in _files(folder.path))
        if not parts:
            raise EncodeError(f"{self.name} saved no file for an object of type {type(obj).__qualname__}", operation="save")
        return Dump(parts)

    def load(self, parts: Parts) -> object:
        if not self.safe and not parts.trusted:
            raise UntrustedArtifactError(
                f"format {self.format!r} is read by {self.name}, which may run code from its files. If you trust whoever wrote them, "
                "open the store with trust='all'",
                format=self.format,
            )
        folder = _Folder()
        for name in parts.names:
            target = os.path.join(folder.path, *_segments(name))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with parts.open(name) as source, open(target, "xb") as file:
                shutil.copyfileobj(source, file, MIB)
        try:
            return self._adapted.load(Path(folder.path))
        finally:
            folder.remove()


class _Folder:
    """A temporary folder that lives as long as this object, as bodies do; `tempfile.TemporaryDirectory` would warn then."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="aioartifacts-")
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _OwnedFile(FileBody):
    """A file in a temporary folder; keeps the folder, for bodies are written out after ``dump`` has returned."""

    __slots__ = ("folder",)

    def __init__(self, path: str, size: int, folder: _Folder) -> None:
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
                raise EncodeError(f"{relative!r} is not a regular file, and only those are saved", operation="save")
            yield relative, path, info.st_size


def _segments(name: str) -> list[str]:
    segments = name.split("/")
    for segment in segments:
        # The name comes from the record: it must not lead out of the folder, on any system.
        if segment in ("", ".", "..") or any(character in segment for character in "\\:\0"):
            raise DecodeError(f"{ascii(name)} cannot be the name of a file in a folder")
    return segments
