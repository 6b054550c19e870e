"""The only door into threads: calls into a pool, from coroutines and from ordinary code, that survive cancellation.

A call that is cancelled drops its job if it has not started; otherwise it tells the job, waits until the thread is done, and only
then lets go. So nothing happens any more after a cancelled call has returned. (``anyio.to_thread.run_sync`` and ``asyncio.to_thread``
let the thread finish later when the task is cancelled natively; tests/concurrency/test_workers.py would notice if that changed.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

import anyio

from aioartifacts.errors import StoreError
from aioartifacts.jobs import DEPTH, Batch, Job
from aioartifacts.pool import WorkerPool

T = TypeVar("T")
K = TypeVar("K")


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that this runs in.

    Raises:
        StoreError: there is none, or it is none of asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise StoreError(
            "no event loop of asyncio is running here: trio is not supported, and code that is not async uses aioartifacts.sync"
        ) from error


class Waiter:
    """Wakes one task on its loop when something in a thread is done; several are woken by one message."""

    __slots__ = ("_mailbox", "_woken", "done", "future")

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self.done = False
        self.future: asyncio.Future[None] = mailbox.loop.create_future()

    def post(self) -> None:
        """Called in a worker thread, once."""
        self._mailbox.post(self)

    async def wait(self, cancel: Callable[[], bool]) -> None:
        """Wait until it is done, whatever happens; on cancellation call *cancel*, which answers whether nothing is left to wait for."""
        try:
            await self.future
        except asyncio.CancelledError:
            if not self.done and not cancel():
                # Not asyncio.shield alone: under an anyio scope it would be cancelled again at once, and spin.
                with anyio.CancelScope(shield=True):
                    while not self.done:
                        self.future = self._mailbox.loop.create_future()
                        try:
                            await self.future
                        except asyncio.CancelledError:
                            continue
            raise


class Mailbox:
    """Carries word from worker threads to one event loop; what comes in before the loop has looked shares a message."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._done: list[Waiter] = []

    def post(self, waiter: Waiter) -> None:
        """Wake *waiter*; called in a worker thread."""
        with self._lock:
            self._done.append(waiter)
            first = len(self._done) == 1
        if first:
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                with self._lock:  # the loop is closed: nobody waits any more
                    self._done.clear()

    def _deliver(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for waiter in done:
            waiter.done = True
            if not waiter.future.done():
                waiter.future.set_result(None)


class LoopWorkers:
    """A worker pool as coroutines see it."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self._mailbox: Mailbox | None = None

    def _waiter(self) -> Waiter:
        loop = running_loop()
        mailbox = self._mailbox
        if mailbox is None or mailbox.loop is not loop:
            mailbox = self._mailbox = Mailbox(loop)
        return Waiter(mailbox)

    async def call(self, call: Callable[[Job[T]], T]) -> T:
        """Make *call* in a worker thread. When this is cancelled, it returns after the thread is done with it, not before."""
        waiter, pool = self._waiter(), self.pool.here()
        job = Job(call, waiter.post)
        pool.submit(job)
        await waiter.wait(lambda: pool.cancel(job))
        return job.outcome()

    async def call_many(
        self, calls: Iterator[Callable[[Job[None], Batch[K, T]], None]], *, fail_fast: bool, quick: bool = False
    ) -> Batch[K, T]:
        """Make many calls in worker threads. Cancellation as in `call`."""
        waiter, pool = self._waiter(), self.pool.here()
        batch: Batch[K, T] = Batch(calls, waiter.post, fail_fast=fail_fast, quick=quick)
        pool.submit(batch)
        await waiter.wait(lambda: pool.cancel(batch))
        if batch.crash is not None:
            raise batch.crash
        return batch


class Done:
    """Tells a thread that something has ended. Unlike a `threading.Event`, it can be interrupted at any point and waited for again."""

    __slots__ = ("_word", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._word: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """It has ended."""
        self.ended = True
        self._word.put(None)

    def wait(self) -> None:
        """Wait for the end."""
        while not self.ended:
            with suppress(Empty):
                # A signal that comes just before the thread falls asleep does not wake it, so it looks now and then.
                self._word.get(timeout=0.5)


class CallerWorkers:
    """A worker pool as ordinary code sees it: single calls run in the caller's own thread."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool

    async def call(self, call: Callable[[Job[T]], T]) -> T:
        """Make *call* here and now."""
        job = Job(call, _nothing)
        depth = DEPTH.get()
        try:
            DEPTH.set(depth + 1)
            return call(job)
        finally:
            DEPTH.set(depth)

    async def call_many(
        self, calls: Iterator[Callable[[Job[None], Batch[K, T]], None]], *, fail_fast: bool, quick: bool = False
    ) -> Batch[K, T]:
        """Make many calls in worker threads and wait for them. An interruption (Ctrl-C) is raised after they are done."""
        pool = self.pool.here()
        done = Done()
        batch: Batch[K, T] = Batch(calls, done.set, fail_fast=fail_fast, quick=quick)
        try:
            pool.submit(batch)
            done.wait()
        except BaseException:
            while not done.ended:
                with suppress(KeyboardInterrupt):  # the first one is raised below
                    pool.cancel(batch)
                    done.wait()
            raise
        if batch.crash is not None:
            raise batch.crash
        return batch


def _nothing() -> None:
    """For jobs that nobody is waiting for in another thread."""
