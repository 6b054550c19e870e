"""A cancelled call leaves whole artifacts, old or new, nothing else, and changes nothing once it has returned.

Every verb is stopped at every call it makes to the object store, before the call gets there and after it was carried out, by
`asyncio.Task.cancel`, twice too, by `asyncio.timeout`, and by a scope of anyio's.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
import pytest
from figures import count
from holding import HANG, Gate, Pieces, beneath, contents, held, knowing_pieces, orphans, over, strays, turns, values

from aioartifacts import ArtifactStore
from aioartifacts.objects.base import BlockingObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter, AsyncSlowObjectStore, Fault, FaultyObjectStore

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("nothing_left", "small_chunks")]

OLD = Pieces(b"old-0" * 50, b"old-1" * 500, b"old-2" * 900)
NEW = Pieces(b"new-0" * 900, b"new-1" * 40, b"new-2" * 150)
ONE = b"one part" * 30
SMALL = {"a": (1, 2)}


@dataclass(frozen=True)
class Verb:
    """A call to be stopped: what it does, what there was before, and what there is when it has been carried out."""

    name: str
    call: Callable[[ArtifactStore], Awaitable[object]]
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    calls: int = 1
    """Calls to the object store, at least."""

    @property
    def paths(self) -> list[str]:
        return sorted({*self.before, *self.after})


MANY_OLD: dict[str, object] = {"many/a": OLD, "many/b": SMALL}
MANY_NEW: dict[str, object] = {"many/a": NEW, "many/b": ONE, "many/c": SMALL, "many/d": Pieces(b"d" * 99, b"D" * 3000)}

VERBS = [
    Verb("save small", lambda store: store.save(SMALL, "x"), after={"x": SMALL}),
    Verb("save one part", lambda store: store.save(ONE, "x/y"), after={"x/y": ONE}, calls=2),
    Verb("save parts", lambda store: store.save(NEW, "x"), after={"x": NEW}, calls=4),
    Verb("create parts", lambda store: store.save(NEW, "x", overwrite=False), after={"x": NEW}, calls=4),
    Verb("overwrite small", lambda store: store.save(SMALL, "x"), before={"x": OLD}, after={"x": SMALL}, calls=4),
    Verb("overwrite parts", lambda store: store.save(NEW, "x"), before={"x": OLD}, after={"x": NEW}, calls=8),
    Verb("load small", lambda store: store.load("x"), before={"x": SMALL}, after={"x": SMALL}),
    Verb("load parts", lambda store: store.load("x"), before={"x": OLD}, after={"x": OLD}, calls=4),
    Verb("delete parts", lambda store: store.delete("x"), before={"x": OLD, "x/y": SMALL}, after={"x/y": SMALL}, calls=5),
    Verb("save many", lambda store: store.save_many(MANY_NEW), before=MANY_OLD, after=MANY_NEW, calls=10),
    Verb("load many", lambda store: store.load_many(MANY_OLD), before=MANY_OLD, after=MANY_OLD, calls=4),
    Verb("delete many", lambda store: store.delete_many(MANY_OLD), before=MANY_OLD, calls=5),
    Verb("delete tree", lambda store: store.delete_tree("many"), before=MANY_OLD, calls=6),
]


class Way:
    """One way to cancel. `run` raises what the caller sees; `cancel` does it."""

    async def run(self, call: Awaitable[object]) -> None:
        await call

    def cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()

    def check(self, task: asyncio.Task[None]) -> None:
        assert task.cancelled(), f"the cancellation was swallowed: {task!r}"


class Twice(Way):
    def cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        asyncio.get_running_loop().call_soon(task.cancel)


class Timeout(Way):
    def __init__(self) -> None:
        self.limit = asyncio.timeout(None)

    async def run(self, call: Awaitable[object]) -> None:
        async with self.limit:
            await call

    def cancel(self, task: asyncio.Task[None]) -> None:
        self.limit.reschedule(0)

    def check(self, task: asyncio.Task[None]) -> None:
        assert isinstance(task.exception(), TimeoutError)


class Scope(Way):
    def __init__(self) -> None:
        self.scope = anyio.CancelScope()

    async def run(self, call: Awaitable[object]) -> None:
        with self.scope:
            await call

    def cancel(self, task: asyncio.Task[None]) -> None:
        self.scope.cancel()

    def check(self, task: asyncio.Task[None]) -> None:
        assert task.exception() is None
        assert self.scope.cancelled_caught, "the cancellation was swallowed"


WAYS: dict[str, type[Way]] = {"cancel": Way, "cancel twice": Twice, "timeout": Timeout, "scope": Scope}

HOW = [*itertools.product(["memory", "async"], WAYS), ("local", "cancel"), ("local-full", "cancel")]
"""The ways differ in what happens on the loop, where it does not matter what a blocking store is made of."""


async def prepared(kind: str, root: Path, verb: Verb) -> BlockingObjectStore:
    objects = beneath(kind, root)
    store = over(kind, beneath("local", root) if kind == "local-full" else objects)
    for path, value in verb.before.items():
        await store.save(value, path)
    await store.aclose()
    return objects


async def check(kind: str, objects: BlockingObjectStore, verb: Verb) -> None:
    """Every artifact is the old one or the new one, and there is nothing else."""
    found = await values(kind, objects, verb.paths)
    for path in verb.paths:
        allowed = [where[path] for where in (verb.before, verb.after) if path in where]
        if path in found:
            assert found[path] in allowed
        else:
            assert len(allowed) < 2, f"{path} is gone"
    assert not orphans(objects)
    assert not strays(objects)


async def stop(
    kind: str, objects: BlockingObjectStore, verb: Verb, way: Way, nth: int, when: Literal["before", "after"]
) -> bool:
    """Start *verb*, cancel it at its *nth* call of the object store; False when it makes no such call."""
    gate = Gate(nth)
    store = held(kind, objects, gate, when)
    others = asyncio.all_tasks()
    task = asyncio.create_task(way.run(verb.call(store)))
    reached = asyncio.create_task(gate.reached.wait())
    await asyncio.wait([task, reached], timeout=HANG, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        reached.cancel()
        task.result()
        gate.open()
        await store.aclose()
        return False
    way.cancel(task)
    await turns()
    if kind != "async":
        assert not task.done(), "it returned while its thread was in the middle of a call"
    gate.open()
    await asyncio.wait([task], timeout=HANG)
    left = contents(objects)
    way.check(task)
    await store.aclose()
    await turns()
    assert asyncio.all_tasks() == others
    assert contents(objects) == left
    return True


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
@pytest.mark.parametrize(("kind", "way"), HOW)
async def test_cancelled_at_every_call(
    kind: str, verb: Verb, way: str, when: Literal["before", "after"], tmp_path: Path
) -> None:
    stopped: list[tuple[BlockingObjectStore, dict[str, bytes]]] = []
    for nth in range(1, 100):
        objects = await prepared(kind, tmp_path / str(nth), verb)
        if not await stop(kind, objects, verb, WAYS[way](), nth, when):
            assert await values(kind, objects, verb.paths) == verb.after
            break
        await check(kind, objects, verb)
        stopped.append((objects, contents(objects)))
    assert len(stopped) >= verb.calls, "the stores make fewer calls than they used to: fewer points are tried"
    for objects, left in stopped:
        assert contents(objects) == left, "something changed after the call had returned"
    count("cancellation", points=len(stopped))


@pytest.mark.parametrize("kind", ["memory", "async"])
async def test_cleaning_up_that_fails_does_not_take_the_place_of_the_cancellation(kind: str, tmp_path: Path) -> None:
    """Whatever a store of somebody's raises."""
    gate = Gate(3)
    broken = FaultyObjectStore(beneath(kind, tmp_path), Fault("delete", lambda: ConnectionResetError("gone"), times=None))
    store = held(kind, broken, gate, "after")
    task = asyncio.create_task(store.save(NEW, "x"))
    await asyncio.wait_for(gate.reached.wait(), HANG)
    task.cancel()
    await turns()
    gate.open()
    await asyncio.wait([task], timeout=HANG)
    assert task.cancelled(), task.exception()
    await store.aclose()


@pytest.mark.parametrize("verb", ["put", "get", "delete"])
async def test_a_loop_that_is_closed_under_a_save_is_its_end(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to clean up, so nobody tries, and complains of not being able to."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)

    def use() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # it tells of the task that it was destroyed

        async def begin() -> asyncio.Task[str]:
            objects, gate = beneath("async", tmp_path), asyncio.Event()
            store = over("async", objects)
            await store.save(ONE, "x")
            await store.aclose()
            slow = AsyncSlowObjectStore(AsyncObjectStoreAdapter(objects), gate, verb=verb)
            store = knowing_pieces(ArtifactStore(slow, trust="all", inline_max=64))
            task = loop.create_task(store.save(ONE * 2, "x"))
            async with asyncio.timeout(HANG):
                while not slow.waiting:  # noqa: ASYNC110 - threads change it, which know no event of the loop
                    await asyncio.sleep(0)
            return task

        task = loop.run_until_complete(begin())
        loop.close()
        del task
        gc.collect()

    await asyncio.to_thread(use)
    assert not complaints


async def test_closing_is_brought_to_its_end() -> None:
    reached, go, closed = asyncio.Event(), asyncio.Event(), []

    class Slow(AsyncObjectStoreAdapter):
        async def aclose(self) -> None:
            reached.set()
            await go.wait()
            closed.append(True)

    store = ArtifactStore(Slow(MemoryObjectStore()))
    task = asyncio.create_task(store.aclose())
    await reached.wait()
    task.cancel()
    await turns()
    go.set()
    await asyncio.wait([task], timeout=HANG)
    assert task.cancelled()
    assert closed
