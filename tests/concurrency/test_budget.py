"""What is held at a time, is bounded: bytes, slots, threads, files."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from holding import HANG, KINDS, Gate, Pieces, beneath, held, over, turns, until

from aioartifacts import parts, transfer
from aioartifacts.budget import ByteBudget
from aioartifacts.errors import IntegrityError
from aioartifacts.jobs import Cancelled, Job
from aioartifacts.pool import WorkerPool
from aioartifacts.quota import Memory, Quota
from aioartifacts.testing import Fault, FaultyObjectStore, truncate
from aioartifacts.types import Limits
from aioartifacts.workers import LoopWorkers

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("nothing_left", "small_chunks")]


# Quotas of a loop


class Holder:
    """Takes part of a quota and keeps it until it is let go."""

    def __init__(self, quota: Quota | Memory, amount: int) -> None:
        self.released = asyncio.Event()
        self.holds = False
        self.quota, self.amount = quota, amount
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        async with self.quota.hold(self.amount):
            self.holds = True
            await self.released.wait()
        self.holds = False

    async def release(self) -> None:
        self.released.set()
        await self.task


async def holders(quota: Quota | Memory, *amounts: int) -> list[Holder]:
    made = [Holder(quota, amount) for amount in amounts]
    await turns()
    return made


def held_now(made: list[Holder]) -> list[bool]:
    return [holder.holds for holder in made]


async def end(made: list[Holder]) -> None:
    for holder in made:
        holder.released.set()
    await asyncio.gather(*(holder.task for holder in made), return_exceptions=True)


async def test_first_come_first_served() -> None:
    made = await holders(Quota(10), 6, 6, 1)
    assert held_now(made) == [True, False, False], "the third must not overtake the second"
    await made[0].release()
    await turns()
    assert held_now(made) == [False, True, True]
    await end(made)


async def test_more_than_all_of_it_runs_alone() -> None:
    made = await holders(Quota(10), 1, 1000, 1)
    assert held_now(made) == [True, False, False]
    await made[0].release()
    await turns()
    assert held_now(made) == [False, True, False]
    await end(made)


async def test_who_gives_up_waiting_lets_the_next_one_in() -> None:
    made = await holders(Quota(10), 6, 6, 4)
    made[1].task.cancel()
    await turns()
    assert held_now(made) == [True, False, True]
    await end(made)


async def test_a_turn_that_came_with_the_cancellation_is_passed_on() -> None:
    quota = Quota(10)
    first = quota.hold(10)
    await first.__aenter__()
    made = await holders(quota, 10, 10)
    await first.__aexit__(None, None, None)  # the first of the two has been given its turn, and has not run yet
    made[0].task.cancel()
    await turns()
    assert held_now(made) == [False, True]
    await end(made)


async def test_everything_comes_back() -> None:
    quota = Quota(3)
    for _ in range(200):
        made = [Holder(quota, amount) for amount in (1, 2, 3, 1, 5)]
        await asyncio.sleep(0)
        for holder in made[::2]:
            holder.task.cancel()
            await asyncio.sleep(0)
        await end(made)
    async with asyncio.timeout(HANG), quota.hold(3):
        assert not quota.at_once(1)
    assert quota.at_once(3)


async def test_nothing_is_had_without_waiting() -> None:
    quota = Quota(10)
    made = await holders(quota, 10, 10, 0)
    assert held_now(made) == [True, False, True]
    await end(made)


async def test_the_small_have_a_part_of_the_memory_to_themselves() -> None:
    memory = Memory(1600, small=10)
    made = await holders(memory, 1500, 700, 10)
    assert held_now(made) == [True, False, True]
    await end(made)


async def test_each_loop_starts_with_the_whole_quota() -> None:
    quota = Quota(1)
    await quota.hold(1).__aenter__()  # and never given back, as by a loop that was closed

    async def elsewhere() -> bool:
        async with asyncio.timeout(HANG), quota.hold(1):
            return True

    assert await asyncio.to_thread(asyncio.run, elsewhere())


async def test_a_materializer_with_a_loop_of_its_own_takes_nothing_for_given_back() -> None:
    quota, pool = Quota(1), WorkerPool(1)

    async def ask() -> bool:
        async with quota.hold(1):
            return quota.at_once(1)

    async with quota.hold(1):
        assert await LoopWorkers(pool).call(lambda job: asyncio.run(ask()))
        assert not quota.at_once(1), "what is held here, still is"
    assert quota.at_once(1)
    pool.close()


# The budget of threads


def a_job() -> Job[Any]:
    return Job(lambda job: None, lambda: None)


async def test_a_thread_waits_for_its_bytes() -> None:
    budget = ByteBudget(100)
    budget.take(80, a_job(), "first")
    waiting = asyncio.create_task(asyncio.to_thread(budget.take, 50, a_job(), "second"))
    await asyncio.to_thread(budget.take, 20, a_job(), "third")
    assert not waiting.done()
    budget.give("first")
    await waiting


async def test_more_bytes_than_there_are_run_alone() -> None:
    budget = ByteBudget(100)
    budget.take(10_000, a_job(), "first")
    waiting = asyncio.create_task(asyncio.to_thread(budget.take, 1, a_job(), "second"))
    await asyncio.to_thread(budget.take, 0, a_job(), "third")
    assert not waiting.done()
    budget.give("first")
    await waiting


async def test_a_thread_that_is_cancelled_stops_waiting_for_bytes() -> None:
    budget, job = ByteBudget(100), a_job()
    budget.take(100, a_job(), "first")
    waiting = asyncio.create_task(asyncio.to_thread(budget.take, 1, job, "second"))
    await turns()
    job.cancelled = True
    with pytest.raises(Cancelled):
        await waiting


# Loads


class Live:
    """Counts the bytes that have been allocated and not let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        self.peak = 0
        self.lock = threading.Lock()
        live = self

        class Counted(bytearray):
            def __del__(self) -> None:
                live.count(-len(self))

        def allocate(size: int) -> memoryview:
            self.count(size)
            return memoryview(Counted(size))

        for module in (transfer, parts):
            monkeypatch.setattr(module, "allocate", allocate)

    def count(self, size: int) -> None:
        with self.lock:
            self.now += size
            self.peak = max(self.peak, self.now)


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
async def test_loads_hold_no_more_than_the_budget(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = over(kind, beneath(kind, tmp_path), limits=Limits(memory=40_000, workers=4))
    values = {f"a/{i}": Pieces(bytes([i]) * 4000, bytes([i + 1]) * 4000) for i in range(40)}
    await store.save_many(values)
    live = Live(monkeypatch)
    assert await store.load_many(values) == values
    assert dict(zip(values, await asyncio.gather(*map(store.load, values)), strict=True)) == values
    assert 0 < live.peak <= 40_000
    assert live.now == 0
    await store.aclose()


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
async def test_an_artifact_larger_than_the_budget_loads(kind: str, tmp_path: Path) -> None:
    store = over(kind, beneath(kind, tmp_path), limits=Limits(memory=1000))
    values = {f"a/{i}": Pieces(bytes([i]) * 9000, b"", bytes([i + 1]) * 3000) for i in range(10)}
    async with asyncio.timeout(HANG):
        await store.save_many(values)
        assert await store.load_many(values) == values
    await store.aclose()


@pytest.fixture
def spill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; ranges are of 1 KiB."""
    folder = tmp_path / "spill"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(transfer, "RANGE", 1024)
    return folder


async def test_what_does_not_fit_the_budget_goes_through_files(
    spill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = over("async", beneath("async", tmp_path), limits=Limits(memory=2048))
    value = Pieces(b"0123456789" * 2000, b"", b"abc" * 3000)
    await store.save(value, "x")
    live = Live(monkeypatch)
    assert await store.load("x") == value
    assert 0 < live.peak <= 2048
    assert not list(spill.iterdir())
    await store.aclose()


async def test_files_of_a_damaged_artifact_are_removed(spill: Path, tmp_path: Path) -> None:
    objects = FaultyObjectStore(beneath("memory", tmp_path))
    store = over("async", objects, limits=Limits(memory=2048))
    await store.save(Pieces(b"0123456789" * 2000), "x")
    objects.script(Fault("get", damage=truncate(100), key="*.bin", nth=3, times=None))
    with pytest.raises(IntegrityError):
        await store.load("x")
    assert objects.fired
    assert not list(spill.iterdir())
    await store.aclose()


@pytest.mark.parametrize("nth", range(1, 22))
async def test_files_of_a_cancelled_load_are_removed(nth: int, spill: Path, tmp_path: Path) -> None:
    objects = beneath("memory", tmp_path)
    await over("memory", objects).save(Pieces(b"0123456789" * 2000), "x")
    gate = Gate(nth)
    store = held("async", objects, gate, "after", limits=Limits(memory=2048))
    task = asyncio.create_task(store.load("x"))
    await asyncio.wait([task, asyncio.create_task(gate.reached.wait())], return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(spill.iterdir())
    await store.aclose()


async def test_a_load_cancelled_while_its_folder_is_made_leaves_none(
    spill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = over("async", beneath("memory", tmp_path), limits=Limits(memory=2048))
    await store.save(Pieces(b"0123456789" * 2000), "x")
    made, go_on = threading.Event(), threading.Event()
    mkdtemp = tempfile.mkdtemp

    def slow(*args: Any, **options: Any) -> str:
        folder = mkdtemp(*args, **options)
        made.set()
        assert go_on.wait(HANG)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", slow)
    task = asyncio.create_task(store.load("x"))
    await until(made.is_set)
    task.cancel()
    await turns()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(spill.iterdir())
    await store.aclose()


# Threads and files


@pytest.mark.parametrize(("kind", "count"), [("memory", 10_000), ("local", 3_000), ("async", 2_000)])
async def test_thousands_of_saves_and_loads_at_once(kind: str, count: int, tmp_path: Path) -> None:
    workers = 4
    store = over(kind, beneath(kind, tmp_path), limits=Limits(workers=workers))
    files, threads, done = 0, 0, False

    async def watch() -> None:
        nonlocal files, threads
        while not done:
            threads = max(threads, sum(thread.name == "aioartifacts" for thread in threading.enumerate()))
            files = max(files, len(os.listdir("/proc/self/fd")))
            await turns(20)

    before = len(os.listdir("/proc/self/fd"))
    watching = asyncio.create_task(watch())
    await asyncio.gather(*(store.save({"n": i}, f"{i % 97}/{i}") for i in range(count)))
    loaded = await asyncio.gather(*(store.load(f"{i % 97}/{i}") for i in range(count)))
    done = True
    await watching
    assert loaded == [{"n": i} for i in range(count)]
    assert threads <= 2 * workers
    assert files <= before + 150
    await store.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_no_threads_before_the_first_call(kind: str, tmp_path: Path) -> None:
    before = threading.active_count()
    store = over(kind, beneath(kind, tmp_path))
    assert threading.active_count() == before
    await store.aclose()
