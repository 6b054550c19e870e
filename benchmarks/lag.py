"""How late an event loop is while 1 GiB of everything is saved and loaded beside it; look at the last column."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import mix, ours, peers
from benchmarks.harness import Contender, Row, Workload
from benchmarks.objects import big_dict


class Everything(ours.OneByOne):
    """All at once; one of the dicts with ``format="pickle"``."""

    name = "aioartifacts, gathered"

    async def save(self, objects: Mapping[str, object]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for key, obj in objects.items():
                tasks.create_task(self.store.save(obj, key, format="pickle" if key == "pickled" else None))

    async def load(self, keys: Sequence[str]) -> dict[str, Any]:
        return await self.store.load_many(keys)


class Idle(Contender):
    """Nothing but the ticker: what the machine itself, and whatever else runs on it, costs."""

    name = "an idle loop"
    kind = "aside"

    async def save(self, objects: Mapping[str, object]) -> None:
        await asyncio.sleep(2 if len(objects) > 1_000 else 0)


class JoblibInThreads(peers.Joblib):
    """``asyncio.to_thread(joblib.dump, …)``."""

    name = "joblib in threads"

    async def save(self, objects: Mapping[str, object]) -> None:
        save = super().save
        async with asyncio.TaskGroup() as tasks:
            for key, obj in objects.items():
                tasks.create_task(asyncio.to_thread(save, {key: obj}))

    async def load(self, keys: Sequence[str]) -> list[Any]:
        load = super().load
        return await asyncio.gather(*(asyncio.to_thread(load, [key]) for key in keys))


def workloads(quick: bool) -> Sequence[Workload]:
    count, total, largest = (300, 1 << 20, 1 << 18) if quick else (300_000, 1 << 30, 64 << 20)
    objects: dict[str, object] = mix.mixed(10 if quick else 200, total, largest)
    objects["pickled"] = big_dict(count)
    objects["json"] = big_dict(count)
    objects |= {f"small{number}": {"number": number} for number in range(count // 300)}
    keys = list(objects)
    return [
        Workload(
            "lag",
            f"{len(objects):,} objects, 1 GiB, two of them dicts of {count:,} keys; no fsync",
            [
                Row("save", lambda who: who.save(objects)),
                Row("load", lambda who: who.load(keys), check=lambda got: len(got) == len(keys)),
            ],
            [Everything, Idle, peers.ObstoreAsync, JoblibInThreads],
        )
    ]
