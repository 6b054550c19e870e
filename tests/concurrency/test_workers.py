"""The door into threads: cancellation, lanes, batches, and threads that come and go."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from holding import HANG, turns, until

from aioartifacts import jobs
from aioartifacts.jobs import Aside, Batch, Job
from aioartifacts.pool import WorkerPool
from aioartifacts.workers import CallerWorkers, LoopWorkers

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("nothing_left")]


class Held:
    """Work that stands still until it is let go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.release = threading.Event()
        self.done = threading.Event()

    def __call__(self, job: object = None) -> str:
        self.started.set()
        assert self.release.wait(HANG)
        self.done.set()
        return "done"


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(2, 4)
    yield made
    made.close()


@pytest.fixture
def workers(pool: WorkerPool) -> LoopWorkers:
    return LoopWorkers(pool)


# Cancellation


@pytest.mark.parametrize("hop", [anyio.to_thread.run_sync, asyncio.to_thread], ids=["anyio", "asyncio"])
async def test_other_ways_into_a_thread_let_go_before_it_is_done(hop: Callable[..., Any]) -> None:
    """Why there is a door of our own; when this fails, it may no longer be needed."""
    held = Held()
    task = asyncio.create_task(hop(held))
    await until(held.started.is_set)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not held.done.is_set()
    held.release.set()
    assert held.done.wait(HANG), "it went on after it had been cancelled"


async def test_a_cancelled_call_waits_for_its_thread(workers: LoopWorkers) -> None:
    held = Held()
    task = asyncio.create_task(workers.call(held))
    await until(held.started.is_set)
    for _ in range(3):
        task.cancel()
        await turns()
    assert not task.done()
    held.release.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert held.done.is_set()


async def test_waiting_for_the_thread_does_not_spin_under_a_scope(
    workers: LoopWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, loop, futures = Held(), asyncio.get_running_loop(), 0
    create_future = loop.create_future

    def counted() -> asyncio.Future[Any]:
        nonlocal futures
        futures += 1
        return create_future()

    monkeypatch.setattr(loop, "create_future", counted)

    async def cancel() -> None:
        await until(held.started.is_set)
        scope.cancel()
        await turns(500)
        held.release.set()

    with anyio.CancelScope() as scope:
        canceller = asyncio.create_task(cancel())
        await workers.call(held)
    await canceller
    assert scope.cancelled_caught
    assert futures < 10


async def test_the_thread_is_told_of_the_cancellation(workers: LoopWorkers) -> None:
    started, seen = threading.Event(), []

    def work(job: Job[None]) -> None:
        started.set()
        try:
            while True:
                job.check()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    task = asyncio.create_task(workers.call(work))
    await until(started.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["Cancelled"]


async def test_a_call_cancelled_in_the_queue_never_runs(workers: LoopWorkers) -> None:
    ahead, ran = [Held(), Held()], []
    tasks = [asyncio.create_task(workers.call(held)) for held in ahead]
    await until(lambda: all(held.started.is_set() for held in ahead))
    queued = asyncio.create_task(workers.call(lambda job: ran.append(job)))
    await turns()
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued  # at once, though no worker is free
    for held in ahead:
        held.release.set()
    assert await asyncio.gather(*tasks) == ["done", "done"]
    assert await workers.call(lambda job: "the next") == "the next"
    assert not ran


async def test_a_batch_cancelled_in_the_queue_never_runs(workers: LoopWorkers) -> None:
    ahead, ran = [Held(), Held()], []
    tasks = [asyncio.create_task(workers.call(held)) for held in ahead]
    await until(lambda: all(held.started.is_set() for held in ahead))
    queued = asyncio.create_task(workers.call_many(iter([lambda job, batch: ran.append(job)]), fail_fast=True))
    await turns()
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    for held in ahead:
        held.release.set()
    await asyncio.gather(*tasks)
    assert not ran


async def test_a_cancelled_batch_finishes_what_runs_and_starts_nothing(workers: LoopWorkers) -> None:
    held, ran = Held(), []
    calls = [lambda job, batch: held(), *[lambda job, batch: ran.append(job)] * 50]
    blocker = Held()
    other = asyncio.create_task(workers.call(blocker))  # the second worker
    await until(blocker.started.is_set)
    task = asyncio.create_task(workers.call_many(iter(calls), fail_fast=False))
    await until(held.started.is_set)
    task.cancel()
    await turns()
    assert not task.done()
    held.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    blocker.release.set()
    await other
    assert not ran


async def test_work_whose_loop_has_been_closed_ends_quietly(pool: WorkerPool) -> None:
    held = Held()

    def abandon() -> None:
        loop = asyncio.new_event_loop()

        async def start() -> None:
            waiting = asyncio.ensure_future(LoopWorkers(pool).call(held))
            kept.append(waiting)
            await until(held.started.is_set)

        loop.run_until_complete(start())
        loop.close()
        held.release.set()

    kept: list[asyncio.Future[str]] = []
    await asyncio.to_thread(abandon)
    await until(held.done.is_set)
    assert await LoopWorkers(pool).call(lambda job: 1) == 1
    kept[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # it is what this test is about
    kept[0].get_coro().close()  # type: ignore[attr-defined]


# Lanes


async def test_small_calls_pass_large_ones(workers: LoopWorkers) -> None:
    large = [Held() for _ in range(6)]

    def work(held: Held) -> Callable[[Job[str]], str]:
        def call(job: Job[str]) -> str:
            job.outgrow()
            return held()

        return call

    tasks = [asyncio.create_task(workers.call(work(held))) for held in large]
    await until(lambda: sum(held.started.is_set() for held in large) == 2)
    async with asyncio.timeout(HANG):
        assert [await workers.call(lambda job, i=i: i) for i in range(20)] == list(range(20))  # type: ignore[misc]
    assert sum(held.started.is_set() for held in large) == 2, "no more than two large ones at a time"
    for held in large:
        held.release.set()
    await asyncio.gather(*tasks)


async def test_no_more_than_twice_the_workers_compute(pool: WorkerPool, workers: LoopWorkers) -> None:
    lock, running, peak, threads = threading.Lock(), 0, 0, set()

    def work(job: Job[None]) -> None:
        nonlocal running, peak
        job.outgrow()
        with lock:
            running += 1
            peak = max(peak, running)
            threads.add(threading.get_ident())
        sum(range(2000))
        with lock:
            running -= 1

    await asyncio.gather(*(workers.call(work) for _ in range(200)))
    assert peak <= 2 * pool.workers
    assert len(threads) <= 2 * pool.workers + 4


async def test_a_large_call_cancelled_while_it_waits_its_turn(workers: LoopWorkers) -> None:
    ahead, went_on = [Held(), Held()], []

    def work(held: Callable[[], object]) -> Callable[[Job[object]], object]:
        def call(job: Job[object]) -> object:
            job.outgrow()
            return held()

        return call

    tasks = [asyncio.create_task(workers.call(work(held))) for held in ahead]
    await until(lambda: all(held.started.is_set() for held in ahead))
    waiting = asyncio.create_task(workers.call(work(lambda: went_on.append(1))))
    await workers.call(lambda job: None)  # it has been taken out of the queue before this
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting  # while both places are taken
    for held in ahead:
        held.release.set()
    await asyncio.gather(*tasks)
    assert not went_on


async def test_a_large_call_cancelled_on_its_way_aside_is_called_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when a large one ahead of it has come to its end."""
    pool, told = WorkerPool(1, 0), threading.Event()
    workers, ahead, loop = LoopWorkers(pool), Held(), asyncio.get_running_loop()

    def cancel(job: Job[None], cancel: Callable[[Job[None]], bool] = pool.cancel) -> bool:
        gone = cancel(job)
        told.set()
        return gone

    monkeypatch.setattr(pool, "cancel", cancel)

    def large(job: Job[str]) -> str:
        job.outgrow()
        return ahead()

    def movable(job: Job[None]) -> None:
        job.movable = True
        try:
            job.outgrow()
        except Aside:
            loop.call_soon_threadsafe(going.cancel)
            assert told.wait(HANG)
            raise

    first = asyncio.create_task(workers.call(large))
    await until(ahead.started.is_set)
    going = asyncio.create_task(workers.call(movable))
    await asyncio.wait([going], timeout=HANG / 2)
    ended = going.done()
    ahead.release.set()
    await asyncio.wait([first, going])
    pool.close()
    assert ended, "it waited for the one ahead"
    assert going.cancelled()


async def test_a_batch_of_thousands_does_not_keep_single_calls_waiting(workers: LoopWorkers) -> None:
    order: list[str] = []

    def counted(job: Job[None], batch: Batch[int, int]) -> None:
        order.append("batch")
        if len(order) == 100:
            loop.call_soon_threadsafe(reached.set)

    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    bulk = asyncio.create_task(workers.call_many(iter([counted] * 20_000), fail_fast=True))
    await reached.wait()
    await workers.call(lambda job: order.append("single"))
    await bulk
    assert order.index("single") < len(order) - 1


# Batches


async def test_an_iterator_that_fails_ends_the_batch(workers: LoopWorkers) -> None:
    class Odd(Exception):
        pass

    def turn(job: Job[None], batch: Batch[int, int]) -> None:
        batch.results[len(batch.results)] = next(source)

    def numbers() -> Iterator[int]:
        yield from range(5)
        raise Odd

    source = numbers()
    with pytest.raises(Odd):
        await workers.call_many(iter([turn] * 100), fail_fast=True)


async def test_what_a_call_in_a_batch_raises_stops_the_others(workers: LoopWorkers) -> None:
    ran: list[int] = []

    def odd(job: Job[None], batch: Batch[int, int]) -> None:
        raise ZeroDivisionError

    calls = [odd, *[lambda job, batch: ran.append(1)] * 1000]
    with pytest.raises(ZeroDivisionError):
        await workers.call_many(iter(calls), fail_fast=False)
    assert len(ran) < 1000


async def test_one_worker_does_what_is_quick(workers: LoopWorkers) -> None:
    running, most = 0, 0

    def count(job: Job[None], batch: Batch[int, int]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        batch.results[len(batch.results)] = threading.get_ident()
        running -= 1

    batch = await workers.call_many(iter([count] * 2_000), fail_fast=True, quick=True)
    assert (len(batch.results), most) == (2_000, 1)


async def test_others_come_when_it_is_not_quick_after_all(workers: LoopWorkers) -> None:
    both = threading.Barrier(2)

    def slow(job: Job[None], batch: Batch[int, int]) -> None:
        batch.quick = False

    def meet(job: Job[None], batch: Batch[int, int]) -> None:
        both.wait(HANG)

    await workers.call_many(iter([slow, meet, meet]), fail_fast=True, quick=True)


async def test_what_is_quick_goes_on_beside_what_has_been_outgrown(workers: LoopWorkers) -> None:
    passed = threading.Event()

    def large(job: Job[None], batch: Batch[int, int]) -> None:
        job.outgrow()
        assert passed.wait(HANG)

    def small(job: Job[None], batch: Batch[int, int]) -> None:
        passed.set()

    await workers.call_many(iter([large, small]), fail_fast=True, quick=True)


async def test_an_empty_batch(workers: LoopWorkers) -> None:
    batch: Batch[int, int] = await workers.call_many(iter([]), fail_fast=True)
    assert batch.results == {}


# Threads


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aioartifacts"]


async def test_closing_ends_threads_and_the_next_call_starts_new_ones(pool: WorkerPool, workers: LoopWorkers) -> None:
    assert await workers.call(lambda job: 1) == 1
    threads = ours()
    pool.close()
    for thread in threads:
        await asyncio.to_thread(thread.join, HANG)
    assert not ours()
    assert await workers.call(lambda job: 2) == 2


@pytest.mark.parametrize("quick", [True, False])
async def test_a_pool_closed_while_its_workers_are_busy_keeps_none(quick: bool) -> None:
    pool = WorkerPool(2)
    await LoopWorkers(pool).call_many(iter([lambda job, batch: pool.close()] * 3), fail_fast=True, quick=quick)
    await until(lambda: all(thread.name != "aioartifacts" for thread in threading.enumerate()))


async def test_threads_of_a_pool_that_nobody_has_any_more_end() -> None:
    workers = LoopWorkers(WorkerPool(2))
    await workers.call(lambda job: 1)
    threads = ours()
    del workers
    while any(thread.is_alive() for thread in threads):
        gc.collect()
        await asyncio.sleep(0)


async def test_threads_are_used_again(workers: LoopWorkers) -> None:
    seen = {await workers.call(lambda job: threading.get_ident()) for _ in range(100)}
    assert len(seen) <= 2


async def test_context_variables_come_along(workers: LoopWorkers) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("the caller's")
    assert await workers.call(lambda job: variable.get()) == "the caller's"


async def test_what_a_call_holds_is_gone_before_its_caller_goes_on() -> None:
    class Large:
        pass

    large = Large()
    held = weakref.ref(large)
    gone: list[bool] = []
    job: Job[None] = Job(lambda job, large=large: None, lambda: gone.append(held() is None))  # type: ignore[misc]
    del large
    job.run(None)
    assert gone == [True]


async def test_a_call_within_a_call_does_not_wait_for_it(workers: LoopWorkers) -> None:
    loop = asyncio.get_running_loop()

    def nested(job: Job[int]) -> int:
        return asyncio.run_coroutine_threadsafe(workers.call(lambda job: 1), loop).result(HANG)

    assert await asyncio.gather(*(workers.call(nested) for _ in range(20))) == [1] * 20


async def test_an_interruption_leaves_nobody_thinking_that_it_is_within_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come between any two steps; whoever is within a call for ever has no budget any more."""

    class Interrupted:
        get = jobs.DEPTH.get

        def set(self, value: int) -> object:
            token = jobs.DEPTH.set(value)
            if value:
                raise KeyboardInterrupt
            return token

        reset = jobs.DEPTH.reset

    monkeypatch.setattr("aioartifacts.workers.DEPTH", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        await CallerWorkers(WorkerPool(1)).call(lambda job: None)
    assert not jobs.nested()


async def test_batch_that_fails_lets_go_of_what_waits_to_be_large(pool: WorkerPool, workers: LoopWorkers) -> None:
    """Its jobs in the queue for the second lane do not wait there for large jobs of others."""
    large = [Held() for _ in range(pool.workers)]

    def heavy(held: Held) -> Callable[[Job[str]], str]:
        def work(job: Job[str]) -> str:
            job.outgrow()
            return held(job)

        return work

    others = [asyncio.create_task(workers.call(heavy(held))) for held in large]
    for held in large:
        await until(held.started.is_set)
    waiting = threading.Event()

    def grows(job: Job[None], batch: Batch[str, None]) -> None:
        waiting.set()
        job.outgrow()

    def fails(job: Job[None], batch: Batch[str, None]) -> None:
        assert waiting.wait(HANG)
        while not pool._parked:
            assert not job.cancelled
        batch.errors["fails"] = ValueError("no")

    try:
        batch = await asyncio.wait_for(workers.call_many(iter([grows, fails]), fail_fast=True), HANG)
    finally:
        for held in large:
            held.release.set()
    assert list(batch.errors) == ["fails"]
    assert await asyncio.gather(*others) == ["done", "done"]
