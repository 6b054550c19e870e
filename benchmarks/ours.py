"""aioartifacts, as it is used: in bulk, one by one with ``await``, and through the facade."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import aioartifacts as aa
from aioartifacts import sync
from benchmarks.harness import Contender


class Bulk(Contender):
    """The bulk verbs: ``save_many``, ``load_many``."""

    name = "aioartifacts, bulk"
    kind = "ours"
    durability: Literal["full", "process"] = "process"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = aa.LocalArtifactStore(folder, durability=self.durability)

    async def save(self, objects: Mapping[str, object]) -> None:
        await self.store.save_many(objects)

    async def load(self, keys: Sequence[str]) -> list[Any]:
        got = await self.store.load_many(keys)
        return [got[key] for key in keys]

    async def load_mapped(self, keys: Sequence[str]) -> list[Any]:
        got = await self.store.load_many(keys, mmap=True)
        return [got[key] for key in keys]

    async def load_mapped_unverified(self, keys: Sequence[str]) -> list[Any]:
        got = await self.store.load_many(keys, mmap=True, verify=False)
        return [got[key] for key in keys]

    async def list(self) -> list[str]:
        return await self.store.list_artifacts()

    async def size(self, keys: Sequence[str]) -> list[int]:
        return [await self.store.size(key) for key in keys]

    async def delete(self, keys: Sequence[str]) -> None:
        await self.store.delete_many(keys)


class OneByOne(Bulk):
    """A loop of ``await store.save(…)``."""

    name = "aioartifacts, await each"

    async def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            await self.store.save(obj, key)

    async def load(self, keys: Sequence[str]) -> list[Any]:
        return [await self.store.load(key) for key in keys]

    async def exists(self, keys: Sequence[str]) -> list[bool]:
        return [await self.store.exists(key) for key in keys]

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            await self.store.delete(key)


class Together(OneByOne):
    """As many tasks as there are objects, each with one ``await store.save(…)``."""

    name = "aioartifacts, gathered"

    async def save(self, objects: Mapping[str, object]) -> None:
        await asyncio.gather(*(self.store.save(obj, key) for key, obj in objects.items()))

    async def load(self, keys: Sequence[str]) -> list[Any]:
        return await asyncio.gather(*(self.store.load(key) for key in keys))

    async def exists(self, keys: Sequence[str]) -> list[bool]:
        return await asyncio.gather(*(self.store.exists(key) for key in keys))

    async def delete(self, keys: Sequence[str]) -> None:
        await asyncio.gather(*(self.store.delete(key) for key in keys))


class Facade(Contender):
    """``aioartifacts.sync`` in a plain loop."""

    name = "aioartifacts, facade"
    kind = "ours"
    durability: Literal["full", "process"] = "process"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = sync.LocalArtifactStore(folder, durability=self.durability)

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            self.store.save(obj, key)

    def load(self, keys: Sequence[str]) -> list[Any]:
        return [self.store.load(key) for key in keys]

    def load_columns(self, key: str, columns: Sequence[str]) -> Any:
        return self.store.load(key, columns=columns)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [self.store.exists(key) for key in keys]

    def list(self) -> list[str]:
        return self.store.list_artifacts()

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.store.delete(key)


class WithoutPreviews(Facade):
    """Without the first items in the record."""

    name = "aioartifacts, facade, previews=False"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = sync.LocalArtifactStore(folder, durability=self.durability, previews=False)


class ExecutorHops(Facade):
    """The same work, each piece handed to asyncio's own executor: what a hop into a thread costs at least."""

    name = "the facade in executor hops"
    kind = "aside"

    async def save(self, objects: Mapping[str, object]) -> None:  # type: ignore[override]
        loop = asyncio.get_running_loop()
        for key, obj in objects.items():
            await loop.run_in_executor(None, self.store.save, obj, key)

    async def load(self, keys: Sequence[str]) -> list[Any]:  # type: ignore[override]
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(None, self.store.load, key) for key in keys]


def durable(contender: type[Contender]) -> type[Contender]:
    """The same with fsync."""
    return type(f"Durable{contender.__name__}", (contender,), {"durability": "full"})
