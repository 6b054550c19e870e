"""Small artifacts never wait for large ones."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from holding import HANG, Pieces, beneath, knowing_pieces, over, until

from aioartifacts import ArtifactStore
from aioartifacts.materializers.base import Dump, Materializer, Part, Parts
from aioartifacts.objects.base import Producer, Sink
from aioartifacts.testing import AsyncObjectStoreAdapter, AsyncSlowObjectStore, SlowObjectStore
from aioartifacts.types import Limits

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("nothing_left", "small_chunks")]

LIMITS = Limits(transfers=8, workers=2, memory=64 * 1024)
LARGE = 40
"""Large artifacts at a time: more than there are workers, slots, or room in the budget."""
SMALL: dict[str, object] = {
    "small/inlined": {"a": 1},
    "small/buffers": b"x" * 500,
    "small/produced": Pieces(b"y" * 500),
    "small/pickled": ValueError("odd"),
    "small/parts": Pieces(b"y" * 500, b"z" * 500),
}


class Slow:
    """An object that is written until the test lets it end."""

    begun = 0
    lock = threading.Lock()
    gate = threading.Event()


class SlowMaterializer(Materializer):
    name = "slow"
    format = "slow"

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, Slow)

    def dump(self, obj: object) -> Dump:
        return Dump([Part("slow", Producer(self.produce))])

    def produce(self, sink: Sink) -> None:
        for _ in range(3):
            sink.write(bytes(1000))
        with Slow.lock:
            Slow.begun += 1
        assert Slow.gate.wait(HANG)
        sink.write(bytes(1000))

    def load(self, parts: Parts) -> object:
        raise NotImplementedError


class Meeting:
    """An object that is loaded only when another one is being loaded too."""

    gate = threading.Barrier(2)


class MeetingMaterializer(SlowMaterializer):
    name = "meeting"
    format = "meeting"
    safe = True

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, Meeting)

    def produce(self, sink: Sink) -> None:
        sink.write(bytes(3000))

    def load(self, parts: Parts) -> object:
        parts.read("slow")
        Meeting.gate.wait(HANG)
        return "met"


@pytest.fixture(autouse=True)
def fresh() -> None:
    Slow.begun = 0
    Slow.gate = threading.Event()
    Meeting.gate = threading.Barrier(2)


async def use(store: ArtifactStore) -> None:
    """Save and load small ones, one by one and many at once."""
    async with asyncio.timeout(HANG):
        for path, value in SMALL.items():
            await store.save(value, path)
            assert repr(await store.load(path)) == repr(value) or await store.load(path) == value
        many = {f"many/{i}": {"i": i} for i in range(300)}
        await store.save_many(many)
        assert await store.load_many(many) == many
        assert await store.delete_many(many) == dict.fromkeys(many, True)


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("kind", ["memory", "local", "async"])
async def test_while_large_ones_are_being_produced(kind: str, bulk: bool, tmp_path: Path) -> None:
    store = over(kind, beneath(kind, tmp_path), limits=LIMITS)
    store.materializers.register(SlowMaterializer, types=Slow)
    large = {f"large/{i}": Slow() for i in range(LARGE)}
    saves = [store.save_many(large)] if bulk else [store.save(value, path) for path, value in large.items()]
    tasks = [asyncio.create_task(save) for save in saves]  # type: ignore[arg-type]
    await until(lambda: Slow.begun >= 2)
    await use(store)
    assert not any(task.done() for task in tasks)
    Slow.gate.set()
    await asyncio.gather(*tasks)
    assert len(await store.list_artifacts("large")) == LARGE
    await store.aclose()


@pytest.mark.parametrize("verb", ["put", "get"])
async def test_while_large_transfers_are_stuck(verb: str, tmp_path: Path) -> None:
    objects, gate = beneath("memory", tmp_path), asyncio.Event()
    values = {f"large/{i}": Pieces(bytes(9000)) for i in range(LARGE)}
    if verb == "get":
        await over("memory", objects).save_many(values)
    slow = AsyncSlowObjectStore(AsyncObjectStoreAdapter(objects), gate, verb=verb, key="large/*.bin")
    store = knowing_pieces(ArtifactStore(slow, trust="all", inline_max=64, limits=LIMITS))
    call: Any = (lambda path: store.save(values[path], path)) if verb == "put" else store.load
    tasks = [asyncio.create_task(call(path)) for path in values]
    await until(lambda: len(slow.waiting) >= 2)
    if verb == "put":
        await use(store)
        assert not any(task.done() for task in tasks)
    gate.set()
    await asyncio.gather(*tasks)
    await store.aclose()


async def test_while_a_large_one_is_being_read(tmp_path: Path) -> None:
    objects, gate = beneath("memory", tmp_path), threading.Event()
    await over("memory", objects).save_many({f"large/{i}": Pieces(bytes(9000)) for i in range(LARGE)})
    slow = SlowObjectStore(objects, gate, verb="get", key="large/*.bin")
    store = knowing_pieces(ArtifactStore(slow, trust="all", inline_max=64, limits=LIMITS))
    tasks = [asyncio.create_task(store.load(f"large/{i}")) for i in range(LARGE)]
    await until(lambda: len(slow.waiting) >= 2)
    await use(store)
    gate.set()
    await asyncio.gather(*tasks)
    await store.aclose()


@pytest.mark.parametrize("kind", ["memory", "local", "async"])
async def test_a_single_save_during_a_bulk_of_thousands(kind: str, tmp_path: Path) -> None:
    store = over(kind, beneath(kind, tmp_path), limits=LIMITS)
    saved: list[str] = []

    class Values(dict[str, object]):
        """Tells how far the bulk has come."""

        def items(self) -> Any:
            for path, value in super().items():
                saved.append(path)
                yield path, value

    count = 10_000 if kind == "memory" else 2_000  # more than are saved while threads take turns at the interpreter
    bulk = asyncio.create_task(store.save_many(Values.fromkeys(f"bulk/{i}" for i in range(count))))
    await until(lambda: len(saved) > 40)
    await store.save("single", "x")
    assert len(saved) < count, "it waited for the bulk"
    await bulk
    await store.aclose()


async def test_a_store_slot_is_held_only_as_long_as_needed(tmp_path: Path) -> None:
    """What waits for its turn holds neither a thread nor a chunk."""
    gate = asyncio.Event()
    slow = AsyncSlowObjectStore(AsyncObjectStoreAdapter(beneath("memory", tmp_path)), gate, verb="put", key="large/*.bin")
    store = knowing_pieces(ArtifactStore(slow, trust="all", inline_max=64, limits=LIMITS))
    tasks = [asyncio.create_task(store.save(Pieces(bytes(50_000)), f"large/{i}")) for i in range(LARGE)]
    await until(lambda: len(slow.waiting) == 6)  # three quarters of the slots
    threads = [thread for thread in threading.enumerate() if thread.name == "aioartifacts"]
    assert len(threads) <= 2 * LIMITS.workers + LIMITS.transfers
    gate.set()
    await asyncio.gather(*tasks)
    await store.aclose()




@pytest.mark.parametrize("kind", ["memory", "local", "local-full", "async"])
async def test_many_large_ones_are_loaded_at_once(kind: str, tmp_path: Path) -> None:
    store = over(kind, beneath(kind, tmp_path), inline_max=64)
    store.materializers.register(MeetingMaterializer, types=Meeting)
    paths = await store.save_many({"a": Meeting(), "b": Meeting()})
    assert await store.load_many(paths) == {"a": "met", "b": "met"}
    await store.aclose()
