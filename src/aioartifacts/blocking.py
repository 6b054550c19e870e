"""The engine for blocking object stores: a whole verb, or many small ones, in one hop into a worker."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from aioartifacts.budget import ByteBudget
from aioartifacts.drivers import drive, drive_together
from aioartifacts.engine import Outcomes, Task
from aioartifacts.jobs import Aside, Batch, Cancelled, Job
from aioartifacts.objects.base import BlockingObjectStore
from aioartifacts.operations import Steps
from aioartifacts.types import ObjectInfo
from aioartifacts.workers import CallerWorkers, LoopWorkers

T = TypeVar("T")
K = TypeVar("K")

_SHARED = 32
"""Light verbs that share one turn of a worker, at most."""
_QUICK = 0.001
"""Seconds that a verb takes on average, up to which one thread gets done with many sooner than two that compete for the interpreter."""
_PAGE = 500
"""Objects listed in one hop."""


class BlockingEngine:
    """Carries steps out over a blocking object store: a whole verb, or many small ones, in one hop into a worker."""

    def __init__(
        self, objects: BlockingObjectStore, workers: LoopWorkers | CallerWorkers, budget: ByteBudget, *, durable: bool
    ) -> None:
        self._objects = objects
        self._workers = workers
        self._budget = budget
        self._durable = durable
        """Whether saves wait for a disk, so that it pays to have many under way."""

    async def run(self, steps: Steps[T], *, heavy: bool = False) -> T:
        def work(job: Job[T]) -> T:
            job.movable = True
            if heavy:
                job.outgrow()
            return drive(steps, self._objects, job, self._budget)

        return await self._workers.call(work)

    async def run_many(
        self, tasks: Iterable[Task[K, T]], *, fail_fast: bool, saves: bool = False
    ) -> Outcomes[K, T]:
        source = _Turns(iter(tasks))

        def turn(job: Job[None], batch: Batch[K, T]) -> None:
            if saves:
                self._run_together(source, job, batch, fail_fast)
            else:
                self._run_in_turn(source, job, batch, fail_fast)

        calls = iter(lambda: None if source.exhausted else turn, None)
        batch = await self._workers.call_many(calls, fail_fast=fail_fast, quick=not (saves and self._durable))
        return Outcomes(batch.results, batch.errors)

    def _run_in_turn(self, source: _Turns[K, T], job: Job[None], batch: Batch[K, T], fail_fast: bool) -> None:
        quick = True
        began = time.perf_counter()
        for count in range(1, _SHARED + 1):
            task = source.next()
            if task is None:
                return
            self._run_alone(task, job, batch)
            if job.outgrown or job.cancelled or (fail_fast and batch.errors):
                return
            quick = time.perf_counter() - began < count * _QUICK
            if batch.quick and not quick:
                break  # so that others come to help
        batch.quick = quick

    def _run_together(self, source: _Turns[K, T], job: Job[None], batch: Batch[K, T], fail_fast: bool) -> None:
        began = time.perf_counter()
        tasks: list[Task[K, T]] = []
        while len(tasks) < _SHARED and (task := source.next()) is not None:
            tasks.append(task)
            if not task.light:
                break
        # One that may be heavy goes last, and alone, so that no light one waits for it.
        heavy = tasks.pop() if tasks and not tasks[-1].light else None
        outcomes = drive_together([task.steps for task in tasks], self._objects, job, self._budget)
        for task, outcome in zip(tasks, outcomes, strict=True):
            if outcome.error is None:
                batch.results[task.key] = outcome.unwrap()
            elif isinstance(outcome.error, Exception):
                batch.errors[task.key] = outcome.error
            elif not isinstance(outcome.error, Cancelled):
                raise outcome.error
        if not self._durable:
            batch.quick = time.perf_counter() - began < len(tasks) * _QUICK
        if heavy is not None and not (fail_fast and batch.errors):
            self._run_alone(heavy, job, batch)

    def _run_alone(self, task: Task[K, T], job: Job[None], batch: Batch[K, T]) -> None:
        job.movable = True
        self._settle(task.key, lambda job: drive(task.steps, self._objects, job, self._budget), job, batch)
        job.movable = False

    def _settle(self, key: K, call: Callable[[Job[Any]], T], job: Job[None], batch: Batch[K, T]) -> None:
        try:
            batch.results[key] = call(job)
        except Aside as moved:
            resume = moved.resume or call
            moved.resume = lambda job: self._settle(key, resume, job, batch)
            raise
        except Cancelled:
            return
        except Exception as error:  # an outcome
            batch.errors[key] = error

    async def pages(self, prefix: str, *, name: str | None = None) -> AsyncIterator[list[ObjectInfo]]:
        listing = await self._workers.call(lambda job: iter(self._objects.list(prefix, name=name)))
        while page := await self._workers.call(lambda job: list(itertools.islice(listing, _PAGE))):
            yield page

    async def sweep_drafts(self, before: float, *, dry_run: bool) -> list[ObjectInfo]:
        return await self._workers.call(lambda job: self._objects.sweep_drafts(before, dry_run=dry_run))

    async def validate(self) -> None:
        await self._workers.call(lambda job: self._objects.validate())

    async def aclose(self) -> None:
        self._workers.pool.close()


class _Turns(Generic[K, T]):
    """Tasks handed out to several threads."""

    def __init__(self, tasks: Iterator[Task[K, T]]) -> None:
        self.exhausted = False
        self._tasks = tasks
        self._lock = threading.Lock()

    def next(self) -> Task[K, T] | None:
        with self._lock:
            task = None if self.exhausted else next(self._tasks, None)
            self.exhausted = task is None
            return task
