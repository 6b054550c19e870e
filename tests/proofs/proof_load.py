"""Saves and loads very much at once, and tells what that took of the process.

``python proof_load.py many URL N``: N small artifacts at once. ``python proof_load.py large URL FOLDER MEMORY``: one folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import aioartifacts as aa


def resident() -> int:
    """Bytes of memory that are this process's own; pages of mapped files are the system's, which takes them back when it likes."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(fields[kind].split()[0]) for kind in ("RssAnon", "RssShmem")) * 1024


class Watch:
    """Looks at this process every few milliseconds."""

    def __init__(self) -> None:
        self.descriptors = self.threads = self.memory = 0
        self._before = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._before = resident()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.002):
            self.descriptors = max(self.descriptors, len(os.listdir("/proc/self/fd")))
            self.threads = max(self.threads, threading.active_count() - 1)  # but this one
            self.memory = max(self.memory, resident() - self._before)

    def told(self) -> dict[str, int]:
        return {"descriptors": self.descriptors, "threads": self.threads, "memory": self.memory}


def open_store(url: str, **options: Any) -> aa.ArtifactStore:
    if url.startswith("http"):
        return aa.GCSArtifactStore(bucket_name="load", endpoint=url, credentials="anonymous", trust="all", **options)
    return aa.LocalArtifactStore(url, durability="process", trust="all", **options)


async def many(url: str, n: int) -> dict[str, int]:
    async with open_store(url) as store:
        await store.save("warm", "warm")
        await store.load("warm")
        values = {f"many/{i}": {"number": i, "text": "x" * 500} for i in range(n)}
        with Watch() as watch:
            async with asyncio.TaskGroup() as group:
                for path, value in values.items():
                    group.create_task(store.save(value, path))
            async with asyncio.TaskGroup() as group:
                tasks = {path: group.create_task(store.load(path)) for path in values}
        assert all(task.result() == values[path] for path, task in tasks.items())
        return watch.told()


async def large(url: str, folder: str, memory: int) -> dict[str, object]:
    async with open_store(url, limits=aa.Limits(memory=memory)) as store:
        await store.save("warm", "warm")
        await store.load("warm")
        with Watch() as watch:
            await store.save(Path(folder), "large")
            loaded = await store.load("large")
        return {**watch.told(), "loaded": str(loaded)}


async def main() -> None:
    kind, url, *rest = sys.argv[1:]
    print(json.dumps(await (many(url, int(rest[0])) if kind == "many" else large(url, rest[0], int(rest[1])))))


if __name__ == "__main__":
    asyncio.run(main())
