"""Carry out the steps of `aioartifacts.protocol` over an async object store, on the event loop.

The only caller of an async object store. Encoding and decoding happen in worker threads; bytes of unknown number come from there through
a pipe of bounded chunks. Requests in flight are bounded by ``Limits.transfers``, what they hold by ``Limits.memory``; both are taken
before anything is produced or fetched, first come, first served. Failures that may pass are tried again under the `RetryPolicy`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import anyio

from aioartifacts.budget import LARGE
from aioartifacts.checksum import Digest
from aioartifacts.engine import Outcomes, Task, first_with_notes
from aioartifacts.errors import ArtifactError, IntegrityError, StoreError, TransientStoreError
from aioartifacts.jobs import Job
from aioartifacts.objects.base import AsyncObjectStore, Buffers
from aioartifacts.operations import (
    Commit,
    Compute,
    Decode,
    Delete,
    Get,
    Head,
    Inlined,
    ListUnder,
    Operation,
    Put,
    Source,
    Steps,
    Stored,
    Uncertain,
    Wait,
)
from aioartifacts.parts import FetchedParts, allocate, populate, with_parts
from aioartifacts.pipe import CHUNK, MemoryBody, Pipe
from aioartifacts.putting import check_stored, inline
from aioartifacts.quota import Memory, Quota
from aioartifacts.spill import make_files, map_file, remove_folders, write_at
from aioartifacts.types import KIB, MIB, Limits, ObjectInfo, RetryPolicy
from aioartifacts.workers import LoopWorkers, running_loop

T = TypeVar("T")
K = TypeVar("K")

RANGE = 8 * MIB
"""Bytes fetched by one request; larger parts are fetched by several at once."""
_SPILLED = 8
"""How many budgets an artifact may be larger than all of one, alone in memory; beyond that it goes through temporary files."""
_ON_LOOP = 64 * KIB
"""Bytes that are digested on the loop rather than in a worker."""
_PAGE = 500
"""Objects in one page of a listing."""
_CLEANUP = 30.0
"""Seconds that cleaning up after a cancellation may take; what remains is left to a sweep."""


async def finish(
    work: Coroutine[Any, Any, T], *, limit: float | None = None
) -> tuple[asyncio.Task[T], asyncio.CancelledError | None]:
    """See *work* to its end even when cancelled meanwhile, but for no more than *limit* seconds after that.

    Returns the ended task, and the cancellation to be raised later.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    ended: asyncio.Future[None] = loop.create_future()

    def end(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(end)
    try:
        await ended  # the usual case, without a shield
    except asyncio.CancelledError as error:
        cancelled = error
    else:
        return task, None
    timer = None if limit is None else loop.call_later(limit, task.cancel)
    with anyio.CancelScope(shield=True):
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
    if timer is not None:
        timer.cancel()
    return task, cancelled


class TransferEngine:
    """Carries steps out over an async object store."""

    def __init__(self, objects: AsyncObjectStore, workers: LoopWorkers, limits: Limits, retry: RetryPolicy) -> None:
        self._objects = objects
        self._workers = workers
        self._limits = limits
        self._retry_policy = retry
        self._slots = Quota(limits.transfers)
        self._memory = Memory(limits.memory, LARGE)
        self._large = Quota(max(1, limits.transfers - max(1, limits.transfers // 4)))
        """Slots that large uploads may take: some are left for the small."""
        self._spools = Quota(limits.workers)

    # Verbs

    async def run(self, steps: Steps[T], *, heavy: bool = False) -> T:
        """Carry out *steps* to the end.

        A cancellation is thrown into the steps, and what they do to clean up is carried out, undisturbed and for a bounded time, before
        it leaves. A commit or a deletion under way is waited for, so that its outcome is known.
        """
        answer: Any = None
        error: BaseException | None = None
        cancelled: BaseException | None = None
        while True:
            try:
                if error is None:
                    operation = steps.send(answer)
                else:
                    thrown, error = error, None
                    operation = steps.throw(thrown)
            except StopIteration as stop:
                if cancelled is not None:
                    raise cancelled from None
                return stop.value  # type: ignore[no-any-return]
            except Exception:
                if cancelled is not None:  # it goes before whatever cleaning up has met
                    raise cancelled from None
                raise
            try:
                if cancelled is not None:
                    answer = (await finish(self._clean_up(operation)))[0].result()
                elif isinstance(operation, Commit | Delete):
                    cancelled = await self._decide(operation)
                    answer = None
                elif isinstance(operation, tuple) and operation and isinstance(operation[0], Delete):
                    task, cancelled = await finish(self._perform(operation), limit=_CLEANUP)
                    answer = task.result()
                else:
                    answer = await self._perform(operation)
            except _Uncertain as uncertain:
                cancelled, error = uncertain.cancelled, uncertain.error
            except asyncio.CancelledError as raised:
                cancelled = error = raised
            except GeneratorExit:
                raise  # the loop is gone, and with it whatever would carry out cleaning up
            except BaseException as raised:  # thrown into the steps
                error = raised

    async def run_many(
        self, tasks: Iterable[Task[K, T]], *, fail_fast: bool, saves: bool = False
    ) -> Outcomes[K, T]:
        """Carry out many verbs, as many at once as there are transfers. With *fail_fast* the first failure cancels the others."""
        running_loop()
        outcomes: Outcomes[K, T] = Outcomes()

        async def one(task: Task[K, T]) -> None:
            try:
                outcomes.results[task.key] = await self.run(task.steps)
            except Exception as error:  # an outcome
                outcomes.errors[task.key] = error
                if fail_fast:
                    group.cancel_scope.cancel()

        turns = iter(tasks)
        async with anyio.create_task_group() as group:
            for _ in range(self._limits.transfers):
                group.start_soon(_take_turns, turns, one)
        return outcomes

    async def pages(self, prefix: str, *, name: str | None = None) -> AsyncIterator[list[ObjectInfo]]:
        """List objects, some hundred at a time."""
        running_loop()
        page: list[ObjectInfo] = []
        async for info in self._objects.list(prefix, name=name):
            page.append(info)
            if len(page) == _PAGE:
                yield page
                page = []
        if page:
            yield page

    async def sweep_drafts(self, before: float, *, dry_run: bool) -> list[ObjectInfo]:
        """An async store leaves no temporary objects in sight; uploads never finished end by the service's own rules."""
        return []

    async def validate(self) -> None:
        """Check that the store can be used."""
        running_loop()
        await self._retry(self._objects.validate)

    async def aclose(self) -> None:
        """Close connections, and let idle threads end; a cancellation does not keep it from that."""
        running_loop()
        self._workers.pool.close()
        task, cancelled = await finish(self._objects.aclose(), limit=_CLEANUP)
        if cancelled is not None:
            raise cancelled
        task.result()

    # Operations

    async def _perform(self, operation: Operation | tuple[Operation, ...]) -> Any:
        match operation:
            case Get(key):
                return await self._request(lambda: self._objects.get(key))
            case Head(key):
                return await self._request(lambda: self._objects.head(key))
            case Delete(key, if_generation):
                return await self._request(lambda: self._objects.delete(key, if_generation=if_generation))
            case Compute(call):
                return await self._workers.call(lambda job: call())
            case Put():
                return await self._put(operation)
            case Decode():
                return await self._decode(operation)
            case ListUnder(prefix):
                return [info async for info in self._objects.list(prefix)]
            case Wait(seconds):
                return await anyio.sleep(seconds)
            case tuple():
                return await self._perform_all(operation)
            case Commit():
                return await self._decide(operation)

    async def _perform_all(self, operations: tuple[Operation, ...]) -> tuple[Any, ...]:
        """Carry out several operations at once. The first failure cancels the others, unless they are deletes: those are all tried."""
        if len(operations) == 1:
            return (await self._perform(operations[0]),)
        answers: list[Any] = [None] * len(operations)
        failures: list[BaseException] = []

        async def one(item: tuple[int, Operation]) -> None:
            index, operation = item
            try:
                answers[index] = await self._perform(operation)
            except Exception as error:  # raised below
                failures.append(error)
                if type(operation) is not Delete:
                    group.cancel_scope.cancel()

        turns = iter(list(enumerate(operations)))
        async with anyio.create_task_group() as group:
            for _ in range(min(self._limits.transfers, len(operations))):
                group.start_soon(_take_turns, turns, one)
        if failures:
            raise first_with_notes(failures)
        return tuple(answers)

    async def _clean_up(self, operation: Operation | tuple[Operation, ...]) -> Any:
        with anyio.move_on_after(_CLEANUP):
            return await self._perform(operation)
        raise TransientStoreError(f"cleaning up after a cancellation took longer than {_CLEANUP:g} s")

    async def _request(self, call: Callable[[], Awaitable[T]]) -> T:
        async with self._slots.hold(1):
            return await self._retry(call)

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it works, fails for good, or the retry deadline has passed."""
        policy = self._retry_policy
        started, attempt = time.monotonic(), 0
        while True:
            try:
                return await call()
            except TransientStoreError as error:
                delay = policy.delay(attempt, error.retry_after)
                if time.monotonic() + delay - started > policy.deadline:
                    error.add_note(f"given up after {attempt + 1} attempts in {time.monotonic() - started:.1f} s")
                    raise
            attempt += 1
            await anyio.sleep(delay)

    async def _decide(self, operation: Commit | Delete) -> asyncio.CancelledError | None:
        """Put a record, or remove one. Each attempt is seen to its end, whatever happens; answers the cancellation that came meanwhile."""
        call = self._attempt(operation)
        policy = self._retry_policy
        started, attempt = time.monotonic(), 0
        lost: TransientStoreError | None = None
        async with self._slots.hold(1):
            while True:
                task, cancelled = await finish(call())
                if task.cancelled():  # by a loop that is closed, and cancels everything: the request may yet arrive
                    gone = TransientStoreError("the event loop was closed during a request", path=operation.key)
                    raise _Uncertain(cancelled or asyncio.CancelledError(), gone)
                failure = task.exception()
                if failure is None:
                    return cancelled
                if not isinstance(failure, TransientStoreError):
                    if lost is None or isinstance(operation, Delete) or not isinstance(failure, ArtifactError):
                        raise failure if cancelled is None else cancelled
                    raise Uncertain(failure) if cancelled is None else _Uncertain(cancelled, lost)
                if not failure.refused:
                    lost = failure
                if cancelled is not None:
                    raise _Uncertain(cancelled, failure)
                delay = policy.delay(attempt, failure.retry_after)
                if time.monotonic() + delay - started > policy.deadline:
                    raise failure
                attempt += 1
                try:
                    await anyio.sleep(delay)
                except asyncio.CancelledError as error:
                    raise _Uncertain(error, failure) from None

    def _attempt(self, operation: Commit | Delete) -> Callable[[], Coroutine[Any, Any, object]]:
        if isinstance(operation, Delete):
            return lambda: self._objects.delete(operation.key, if_generation=operation.if_generation)
        body = MemoryBody((memoryview(operation.data),), Digest.of(operation.data))
        return lambda: self._objects.put(operation.key, body, if_generation=operation.if_generation)

    # Parts up

    async def _put(self, put: Put) -> Stored | Inlined:
        small = inline(put)
        if small is not None:
            return small
        if isinstance(put.body, Buffers):
            return await self._put_buffers(put, put.body)
        return await self._put_produced(put)

    async def _put_buffers(self, put: Put, body: Buffers) -> Stored | Inlined:
        digest = await self._digest(body, put)
        large = 1 if body.size > LARGE else 0
        async with self._memory.hold(min(body.size, CHUNK)), self._large.hold(large), self._slots.hold(1):
            return await self._store(put, MemoryBody(body.buffers, digest), digest)

    async def _digest(self, body: Buffers, put: Put) -> Digest:
        digest = Digest(sha256=put.sha256)
        if body.size <= _ON_LOOP:
            for buffer in body.buffers:
                digest.update(buffer)
            return digest

        def compute(job: Job[None]) -> None:
            if body.size > LARGE:
                job.movable = True
                job.outgrow()
            for buffer in body.buffers:
                for start in range(0, len(buffer), MIB):
                    job.check()
                    digest.update(buffer[start : start + MIB])

        await self._workers.call(compute)
        return digest

    async def _put_produced(self, put: Put) -> Stored | Inlined:
        """Have the first chunk produced, and go on when there is room for what it turns out to be.

        If there is none, it is let go, and produced again in its turn: so what turns out small never waits for the large, and what waits
        holds neither memory nor a thread.
        """
        async with Pipe(self._workers, put) as pipe:
            async with self._spools.hold(1):
                small = await pipe.spool()
                if small is not None and len(small) <= put.inline_max:
                    return Inlined(bytes(small), pipe.digest.crc32c, pipe.digest.sha256)
                size = 3 * CHUNK if small is None else len(small)
                if not self._memory.at_once(size):
                    small = None
                    await pipe.rewind()
            async with self._memory.hold(size), self._large.hold(1 if size > LARGE else 0), self._slots.hold(1):
                if small is not None:
                    return await self._store(put, MemoryBody((memoryview(small),), pipe.digest), pipe.digest)
                info = await self._retry(lambda: self._objects.put(put.key, pipe.body))
                return self._stored(put, info, pipe.digest)

    async def _store(self, put: Put, body: MemoryBody, digest: Digest) -> Stored:
        info = await self._retry(lambda: self._objects.put(put.key, body))
        return self._stored(put, info, digest)

    @staticmethod
    def _stored(put: Put, info: ObjectInfo, digest: Digest) -> Stored:
        check_stored(put, info, digest)
        return Stored(digest.size, digest.crc32c, digest.sha256)

    # Parts down

    async def _decode(self, operation: Decode[T]) -> T:
        stored = [source for source in operation.sources if source.key is not None]
        if not stored:
            return await self._decode_fetched(operation, {}, 0)
        try:
            return await self._decode_once(operation, stored)
        except IntegrityError:
            pass
        # Ranges are checked when they have been put together. What was damaged on its way arrives whole the second time.
        return await self._decode_once(operation, stored)

    async def _decode_once(self, operation: Decode[T], stored: Sequence[Source]) -> T:
        size = sum(source.size for source in stored)
        if size > _SPILLED * self._memory.limit:
            try:
                return await self._decode_spilled(operation, stored)
            except ArtifactError:
                raise
            except OSError as error:
                raise StoreError(
                    f"{operation.path!r} is fetched into temporary files, and those failed: {error}; make room, or set TMPDIR",
                    path=operation.path,
                ) from error
        async with self._memory.hold(size):
            fetched = {source.name: allocate(source.size) for source in stored}
            await self._fetch_all(operation, stored, fetched)
            return await self._decode_fetched(operation, fetched, size)

    async def _decode_fetched(self, operation: Decode[T], fetched: dict[str, memoryview], size: int) -> T:
        def decode(job: Job[T]) -> T:
            if size > LARGE:
                job.movable = True
                job.outgrow()
            return with_parts(FetchedParts(operation, job, fetched), operation.call)

        return await self._workers.call(decode)

    async def _fetch_all(
        self, operation: Decode[Any], stored: Sequence[Source], fetched: dict[str, memoryview]
    ) -> None:
        async def one(piece: tuple[Source, int]) -> None:
            source, start = piece
            into = fetched[source.name][start : start + RANGE]
            if source.size > RANGE:
                await self._workers.call(lambda job: populate(into))
            await self._fetch(operation, source, start, into)

        await self._each(_pieces(stored), one)

    async def _fetch(self, operation: Decode[Any], source: Source, start: int, into: memoryview) -> None:
        key = source.key or ""
        got = await self._request(lambda: self._objects.get(key, start=start, length=len(into), into=into))
        if got.info.size != source.size or len(got.data) != len(into):
            raise _damaged(operation, source, got.info)
        if isinstance(got.data, memoryview) and got.data is not into:
            with suppress(BufferError):  # as in `_spill`
                got.data.release()

    async def _decode_spilled(self, operation: Decode[T], stored: Sequence[Source]) -> T:
        """Fetch what would not fit the budget into temporary files, and map those."""
        await self._each(stored, lambda source: self._look(operation, source))
        folders: list[str] = []
        try:
            paths = await self._workers.call(lambda job: make_files(stored, folders))
            await self._each(_pieces(stored), lambda piece: self._spill(operation, piece[0], piece[1], paths))
            fetched = await self._workers.call(
                lambda job: {source.name: map_file(paths[source.name], source.size) for source in stored}
            )
        finally:
            # The maps outlive the names, as far as the system lets them; Windows keeps the files until they are let go.
            task, cancelled = await finish(self._workers.call(lambda job: remove_folders(folders)))
            if cancelled is not None:
                raise cancelled
            task.result()
        return await self._decode_fetched(operation, fetched, sum(source.size for source in stored))

    async def _look(self, operation: Decode[Any], source: Source) -> None:
        """Whether as much is there as the record says, before room is made for it."""
        key = source.key or ""
        info = await self._request(lambda: self._objects.head(key))
        if info.size != source.size:
            raise _damaged(operation, source, info)

    async def _spill(self, operation: Decode[Any], source: Source, start: int, paths: dict[str, str]) -> None:
        size = min(RANGE, source.size - start)
        async with self._memory.hold(size):
            into = allocate(size)
            await self._fetch(operation, source, start, into)
            # To its end: a thread of aiofiles' that nobody waits for would go on writing, and keep the file open.
            task, cancelled = await finish(write_at(paths[source.name], start, into))
            if cancelled is not None:
                raise cancelled
            task.result()
            with suppress(BufferError):  # a store's thread may hold it a little longer, and should not hold the memory
                into.release()

    async def _each(self, items: Sequence[K], one: Callable[[K], Coroutine[Any, Any, None]]) -> None:
        """Do something with every item, as many at once as there are transfers; the first error is raised, the others are its notes."""
        if len(items) < 2:  # the usual case, without a task group
            for item in items:
                await one(item)
            return
        failures: list[BaseException] = []

        async def guarded(item: K) -> None:
            if failures:
                return  # a cancellation reaches only what waits for something
            try:
                await one(item)
            except Exception as error:  # raised below
                failures.append(error)
                group.cancel_scope.cancel()

        turns = iter(items)
        async with anyio.create_task_group() as group:
            for _ in range(min(self._limits.transfers, len(items))):
                group.start_soon(_take_turns, turns, guarded)
        if failures:
            raise first_with_notes(failures)


class _Uncertain(Exception):
    """A commit, or a deletion, was cancelled after an attempt of which nobody knows whether it will arrive."""

    def __init__(self, cancelled: asyncio.CancelledError, error: TransientStoreError) -> None:
        super().__init__(cancelled, error)
        self.cancelled = cancelled
        self.error = error


async def _take_turns(items: Iterator[K], one: Callable[[K], Coroutine[Any, Any, None]]) -> None:
    for item in items:
        await one(item)


def _damaged(operation: Decode[Any], source: Source, found: ObjectInfo) -> IntegrityError:
    return IntegrityError(
        f"part {source.name!r} of {operation.path!r} is damaged: {source.size} bytes were written, {found.size} are there; "
        "restore it from a copy",
        path=operation.path,
        expected=source.size,
        actual=found.size,
    )


def _pieces(stored: Sequence[Source]) -> list[tuple[Source, int]]:
    """Every part in ranges."""
    return [(source, start) for source in stored for start in range(0, source.size, RANGE)]
