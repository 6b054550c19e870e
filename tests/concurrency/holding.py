"""Stores whose n-th call stands still until a test lets it go, and what is left of them afterwards."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pieces import Pieces, PiecesMaterializer

from aioartifacts import ArtifactStore
from aioartifacts.errors import ArtifactNotFoundError
from aioartifacts.objects.base import BlockingObjectStore, Body, Producer, Sink
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.record import decode_record
from aioartifacts.testing import AsyncObjectStoreAdapter, AsyncSlowObjectStore, SlowObjectStore

KINDS = ("memory", "local", "local-full", "async")
HANG = float(os.environ.get("HANG", "60"))


class Alternating(PiecesMaterializer):
    """Every other part lies in memory, the others are produced in three writes."""

    def body(self, number: int, piece: bytes) -> Body:
        return super().body(number, piece) if number % 2 else produced(piece)


def produced(data: bytes) -> Producer:
    def produce(sink: Sink) -> None:
        third = len(data) // 3
        for start, stop in ((0, third), (third, 2 * third), (2 * third, len(data))):
            sink.write(data[start:stop])

    return Producer(produce)


class Gate:
    """Holds the *nth* call that comes to it, and tells the test's loop so. Numbers start from 1; 0 holds none."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.calls: list[tuple[str, str]] = []
        self.reached = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._released = asyncio.Event()

    def blocking(self, verb: str, key: str) -> None:
        if self._is_it(verb, key):
            self._loop.call_soon_threadsafe(self.reached.set)
            assert self._opened.wait(HANG)

    async def waiting(self, verb: str, key: str) -> None:
        if self._is_it(verb, key):
            self.reached.set()
            await self._released.wait()

    def _is_it(self, verb: str, key: str) -> bool:
        with self._lock:
            self.calls.append((verb, key))
            return len(self.calls) == self.nth

    def open(self) -> None:
        self._opened.set()
        self._released.set()


def beneath(kind: str, root: Path) -> BlockingObjectStore:
    """An object store, *kind* being one of `KINDS`."""
    if kind.startswith("local"):
        return LocalObjectStore(root, durability="full" if kind == "local-full" else "process")
    return MemoryObjectStore("here")


def over(kind: str, objects: BlockingObjectStore, **options: Any) -> ArtifactStore:
    """The artifact store of that kind over *objects*. What is over 64 bytes gets a part of its own."""
    options = {"trust": "all", "inline_max": 64} | options
    if kind == "async":
        return knowing_pieces(ArtifactStore(AsyncObjectStoreAdapter(objects, chunk_size=700), **options))
    return knowing_pieces(ArtifactStore(objects, **options))


def held(
    kind: str, objects: BlockingObjectStore, gate: Gate, when: Literal["before", "after"], **options: Any
) -> ArtifactStore:
    """The same with *gate* before it reaches *objects*, or after."""
    options = {"trust": "all", "inline_max": 64} | options
    if kind == "async":
        adapter = AsyncObjectStoreAdapter(objects, chunk_size=700)
        return knowing_pieces(ArtifactStore(AsyncSlowObjectStore(adapter, gate.waiting, when=when), **options))
    slow = SlowObjectStore(objects, gate.blocking, when=when)
    slow.durability = getattr(objects, "durability", "process")  # type: ignore[attr-defined]  # decides how bulk verbs are driven
    return knowing_pieces(ArtifactStore(slow, **options))


def knowing_pieces(store: ArtifactStore) -> ArtifactStore:
    store.materializers.register(Alternating, types=Pieces)
    return store


def contents(objects: BlockingObjectStore) -> dict[str, bytes]:
    return {info.key: bytes(objects.get(info.key).data) for info in objects.list()}


def orphans(objects: BlockingObjectStore) -> set[str]:
    """Objects that are neither records nor named by one."""
    found = {info.key for info in objects.list()}
    for key in [key for key in found if key.endswith("/metadata.json")]:
        path = key.removesuffix("/metadata.json")
        named = {f"{path}/{part.file}" for part in decode_record(objects.get(key).data, path).record.parts if part.file}
        assert named <= found, f"{path} has lost parts: {named - found}"
        found -= named | {key}
    return found


def strays(objects: BlockingObjectStore) -> list[str]:
    """Files in flight, and folders that were left empty."""
    if not isinstance(objects, LocalObjectStore):
        return []
    root = Path(objects.root)
    internal = root / ".aioartifacts"
    in_flight = [str(file) for file in internal.rglob("*") if file.is_file() and "lock" not in str(file.relative_to(root))]
    empty = [
        str(folder)
        for folder in root.rglob("*")
        if folder.is_dir() and internal not in (folder, *folder.parents) and not any(folder.iterdir())
    ]
    return in_flight + empty


async def values(kind: str, objects: BlockingObjectStore, paths: Sequence[str]) -> dict[str, object]:
    """What a store that nobody holds loads; what is not there is left out."""
    store = over(kind, objects)
    found: dict[str, object] = {}
    for path in paths:
        try:
            found[path] = await store.load(path)
        except ArtifactNotFoundError:
            continue
    await store.aclose()
    return found


async def turns(count: int = 10) -> None:
    """Let the loop take some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop take turns until *condition* holds."""
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110 - threads change it, which know no event of the loop
            await asyncio.sleep(0)
