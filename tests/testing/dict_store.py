"""The least object store that keeps the laws, and the suite's accessors to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from aioartifacts.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidConfigError,
    InvalidPathError,
)
from aioartifacts.objects.base import BlockingObjectStore, Body, ObjectData
from aioartifacts.testing import ObjectStoreSuite
from aioartifacts.types import Generation, ObjectInfo


class DictObjectStore(BlockingObjectStore):
    """The least that keeps the laws."""

    url = "dict://here"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.lock = threading.Lock()
        self.count = 0

    def write(self, key: str, data: bytes) -> int:
        self.count += 1
        self.objects[key] = (data, self.count)
        return self.count

    def put(self, key: str, body: Body, *, if_generation: Generation | None = None) -> ObjectInfo:
        data = written(body)
        with self.lock:
            self.check(key, if_generation)
            return ObjectInfo(key, len(data), self.write(key, data))

    def check(self, key: str, if_generation: Generation | None) -> None:
        present = self.objects.get(key, (b"", 0))[1]
        if if_generation == 0 and present:
            raise ArtifactExistsError("it exists", path=key)
        if if_generation not in (None, present):
            raise ConflictError("it changed", path=key)

    def read(self, key: str) -> tuple[bytes, ObjectInfo]:
        if key not in self.objects:
            raise ArtifactNotFoundError("it is missing", path=key)
        data, generation = self.objects[key]
        return data, ObjectInfo(key, len(data), generation)

    def get(self, key, *, start=0, length=None, into=None) -> ObjectData:
        data, info = self.read(key)
        data = memoryview(data)[start:][:length]
        if into is not None:
            into[: len(data)] = data
            data = into[: len(data)]
        return ObjectData(info, data)

    def head(self, key: str) -> ObjectInfo:
        return self.read(key)[1]

    def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        with self.lock:
            if key in self.objects and if_generation not in (None, self.objects[key][1]):
                raise ConflictError("it changed", path=key)
            self.objects.pop(key, None)

    def list(self, prefix: str = "", *, name: str | None = None) -> Iterator[ObjectInfo]:
        with self.lock:
            present = list(self.objects.items())
        for key, (data, generation) in present:
            inside = not prefix or key == prefix or key.startswith(prefix + "/")
            if inside and (name is None or key.rpartition("/")[2] == name):
                yield ObjectInfo(key, len(data), generation)

    def map(self, key: str) -> memoryview | None:
        return memoryview(self.read(key)[0])

    def location(self, path: str) -> str:
        return f"{self.url}/{path}"

    def relative(self, location: str) -> str | None:
        if not location.startswith("dict:"):
            return None
        path = location.removeprefix(f"{self.url}/")
        if path == location or path.startswith("../"):
            raise InvalidPathError("it is elsewhere", path=location)
        return path

    def config(self):
        return {"kind": "dict"}

    def __reduce__(self):
        raise InvalidConfigError("a dict of this process cannot be pickled")


class DictSuite(ObjectStoreSuite):
    """The accessors, for a store with a `DictObjectStore` at its bottom."""

    def bottom(self, store) -> DictObjectStore:
        while not isinstance(store, DictObjectStore):
            store = store.inner
        return store

    def raw_get(self, store, key):
        return self.bottom(store).objects.get(key, (None, 0))[0]

    def raw_put(self, store, key, data):
        self.bottom(store).write(key, data)

    def raw_keys(self, store):
        return set(self.bottom(store).objects)


def written(body: Body) -> bytes:
    """All that a body writes."""
    pieces: list[bytes] = []

    class Pieces:
        def write(self, data):
            pieces.append(bytes(data))

    body.write_to(Pieces())
    return b"".join(pieces)
