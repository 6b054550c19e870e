"""Parts in memory, to try a materializer without a store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

import msgspec

from aioartifacts.materializers.base import Dump, Materializer, Parts
from aioartifacts.parts import memory_stream
from aioartifacts.types import JSON, LoadOptions


class MemoryParts(Parts):
    """What a store hands to ``load``. A context manager, so that the files of `path` go away."""

    def __init__(
        self, data: Mapping[str, bytes], meta: Mapping[str, JSON], *, trusted: bool, options: LoadOptions
    ) -> None:
        self.names = tuple(data)
        self.meta = meta
        self.options = options
        self.trusted = trusted
        self._data = data
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def size(self, name: str) -> int:
        return len(self._data[name])

    def read(self, name: str) -> memoryview:
        data = self._data[name]
        return memoryview(data) if self.options.mmap else memoryview(bytearray(data))

    def open(self, name: str) -> BinaryIO:
        return memory_stream(memoryview(self._data[name]))

    def path(self, name: str) -> str:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="aioartifacts-")
        path = os.path.join(self._folder.name, str(self.names.index(name)), os.path.basename(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(self._data[name])
        return path

    def __enter__(self) -> MemoryParts:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def written(dump: Dump) -> dict[str, bytes]:
    """The bytes of every part."""
    found = {}
    for part in dump.parts:
        sink = BytesIO()
        part.body.write_to(sink)
        found[part.name] = sink.getvalue()
    return found


def load_parts(
    materializer: Materializer,
    data: Mapping[str, bytes],
    meta: Mapping[str, Any],
    *,
    trusted: bool = False,
    options: LoadOptions | None = None,
) -> object:
    """Decode parts given as bytes."""
    through: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(meta))
    with MemoryParts(data, through, trusted=trusted, options=options or LoadOptions()) as parts:
        return materializer.load(parts)
