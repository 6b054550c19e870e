"""One store, used by several event loops: one after another, and at the same time in threads of their own."""

from __future__ import annotations

import asyncio

from opened import BIG

from aioartifacts import ArtifactStore


async def use(store: ArtifactStore, folder: str) -> None:
    objects = {f"{folder}/{n}": BIG if n % 4 else n for n in range(16)}
    async with asyncio.TaskGroup() as tasks:
        for path, obj in objects.items():
            tasks.create_task(store.save(obj, path))
    assert await store.load_many(objects) == objects


def test_one_after_another(store: ArtifactStore) -> None:
    for folder in ("a", "b"):
        asyncio.run(use(store, folder))
        asyncio.run(store.aclose())
    assert len(asyncio.run(store.list_artifacts())) == 32


def test_while_another_loop_is_at_work(store: ArtifactStore) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(use(store, "a"))
            for folder in ("b", "c"):
                tasks.create_task(asyncio.to_thread(lambda folder=folder: asyncio.run(use(store, folder))))

    asyncio.run(main())
    assert len(asyncio.run(store.list_artifacts())) == 48
