"""Materializers of the FlowyML kind, which save into a folder and load from one, made into ours.

::

    registry.register(directory_materializer(GraphMaterializer, types=Graph), types=Graph)

The folder is a temporary one: every file in it becomes a part. Links and special files in it are refused; empty
folders are forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aioartifacts.errors import EncodeError, InvalidConfigError, UntrustedArtifactError
from aioartifacts.materializers.base import Dump, Materializer, Parts
from aioartifacts.materializers.scratch import ScratchFolder, unfolded

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
        folder = ScratchFolder()
        self._adapted.save(obj, Path(folder.path))
        parts = folder.parts()
        if not parts:
            raise EncodeError(f"{self.name} saved no file for an object of type {type(obj).__qualname__}")
        return Dump(parts)

    def load(self, parts: Parts) -> object:
        if not self.safe and not parts.trusted:
            raise UntrustedArtifactError(
                f"format {self.format!r} is read by {self.name}, which may run code from its files. If you trust whoever wrote them, "
                "open the store with trust='all'",
                format=self.format,
            )
        with unfolded(parts) as folder:
            return self._adapted.load(Path(folder))
