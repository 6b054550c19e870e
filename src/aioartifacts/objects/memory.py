"""Objects in a dictionary of this process: for tests, and for pipelines that need nothing to last."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping

from aioartifacts.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidConfigError,
    InvalidPathError,
)
from aioartifacts.forks import start_anew_after_fork
from aioartifacts.objects.base import BlockingObjectStore, Body, ObjectData
from aioartifacts.types import JSON, Buffer, Generation, ObjectInfo


class MemoryObjectStore(BlockingObjectStore):
    """Objects in memory, gone with the store. What it hands out is ``bytes``, or read-only views of them.

    *name* is a label, seen in locations and messages. Every store is empty at first and shares nothing with another one, of the same
    name neither.
    """

    trusted_by_default = True

    def __init__(self, name: str | None = None) -> None:
        self.name = name or os.urandom(4).hex()
        if not isinstance(self.name, str) or "/" in self.name:
            raise InvalidConfigError(f"the name of a memory store is a single word without '/', not {name!r}")
        self.url = f"memory://{self.name}"
        self._objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self._generation = 0
        self._reset()
        start_anew_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise InvalidConfigError(
            "a memory store lives in one process and is not pickled; to share artifacts between processes, use a folder"
        )

    def config(self) -> Mapping[str, JSON]:
        return {"name": self.name}

    def location(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    def relative(self, location: str) -> str | None:
        if location == self.url:
            return ""
        if location.startswith(f"{self.url}/"):
            path = location[len(self.url) + 1 :]
            self._check_key(path, "relative")
            return path
        if "://" in location or location.startswith("/"):
            raise InvalidPathError(f"{location!r} is not inside the store {self.url}", path=location)
        return None

    def put(self, key: str, body: Body, *, if_generation: Generation | None = None) -> ObjectInfo:
        self._check_key(key, "put")
        sink = _Collector()
        body.write_to(sink)
        data = sink.join()
        with self._lock:
            if if_generation is not None:
                self._check_generation(key, if_generation, "put")
            self._generation += 1
            info = ObjectInfo(key, len(data), self._generation, None, time.time())
            self._objects[key] = data, info
        return info

    def get(self, key: str, *, start: int = 0, length: int | None = None, into: memoryview | None = None) -> ObjectData:
        data, info = self._find(key, "get")
        if into is None and start == 0 and length is None:
            return ObjectData(info, data)
        view = memoryview(data)[start : None if length is None else start + length]
        info = ObjectInfo(key, info.size, None, None, info.updated)
        if into is None:
            return ObjectData(info, bytes(view))
        size = min(len(view), len(into))
        into[:size] = view[:size]
        return ObjectData(info, into[:size])

    def head(self, key: str) -> ObjectInfo:
        return self._find(key, "head")[1]

    def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        self._check_key(key, "delete")
        with self._lock:
            if key in self._objects:
                if if_generation is not None:
                    self._check_generation(key, if_generation, "delete")
                del self._objects[key]

    def list(self, prefix: str = "", *, name: str | None = None) -> Iterator[ObjectInfo]:
        if prefix:
            self._check_key(prefix, "list")
        with self._lock:
            infos = [info for _, info in self._objects.values()]
        return (
            info
            for info in infos
            if (not prefix or info.key == prefix or info.key.startswith(f"{prefix}/"))
            and (name is None or info.key.rpartition("/")[2] == name)
        )

    def map(self, key: str) -> memoryview:
        return memoryview(self._find(key, "map")[0])

    def _find(self, key: str, operation: str) -> tuple[bytes, ObjectInfo]:
        self._check_key(key, operation)
        try:
            return self._objects[key]
        except KeyError:
            raise ArtifactNotFoundError(f"there is no {key!r} in {self.url}", path=key, operation=operation) from None

    def _check_generation(self, key: str, expected: Generation, operation: str) -> None:
        found = self._objects.get(key)
        if expected == 0 and operation == "put":
            if found is not None:
                raise ArtifactExistsError(f"{key!r} exists already", path=key, operation=operation)
        elif found is None or found[1].generation != expected:
            raise ConflictError(
                f"{key!r} was {'replaced' if found else 'deleted'} meanwhile: read it again, then try again",
                path=key,
                operation=operation,
            )

    def _check_key(self, key: str, operation: str) -> None:
        """Refuse what no other store would take, so that what works in memory works on a disk."""
        if "\0" in key or any(segment in ("", ".", "..") for segment in key.split("/")):
            raise InvalidPathError(f"{key!r} is no key of an object", path=key, operation=operation)


class _Collector:
    """A sink that keeps what it is given; copies it, unless nobody can change it."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: Buffer, /) -> int:
        if (
            isinstance(data, memoryview)
            and type(data.obj) is bytes
            and data.nbytes == len(data.obj)
            and data.contiguous
        ):
            data = data.obj
        chunk = bytes(data)
        self._chunks.append(chunk)
        return len(chunk)

    def join(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
