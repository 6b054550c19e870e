"""Carry out the steps of `aioartifacts.protocol` over a blocking object store, in whatever thread this is called in."""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from aioartifacts.checksum import Digest, hex32
from aioartifacts.errors import ArtifactError, EncodeError, IntegrityError
from aioartifacts.forks import start_anew_after_fork
from aioartifacts.objects.base import BlockingObjectStore, Body, Buffers, PutRequest, Sink, join
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
    Steps,
    Stored,
    Wait,
)
from aioartifacts.parts import StoredParts, with_parts
from aioartifacts.types import KIB, MIB, Buffer, ObjectInfo
from aioartifacts.workers import Aside, Batch, CallerWorkers, Cancelled, Job, LoopWorkers, nested

T = TypeVar("T")
K = TypeVar("K")

LARGE = 256 * KIB
"""Bytes from which an artifact counts as large: it then leaves the lane of the small ones."""


class ByteBudget:
    """Bytes that payloads may take at a time, shared by the threads of one store. What is larger than all of it runs alone."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reset()
        start_anew_after_fork(self)

    def _reset(self) -> None:
        self._held: dict[object, int] = {}
        # Taken in C, unlike that of a Condition of its own, so that no interruption leaves it locked.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def __reduce__(self) -> tuple[object, ...]:
        return (ByteBudget, (self.limit,))

    def take(self, size: int, job: Job[Any], holder: object) -> None:
        """Wait for *size* bytes, which are *holder* 's until it gives them back."""
        if nested(2):
            return
        wanted = min(size, self.limit)
        with self._lock:
            while sum(self._held.values()) + wanted > self.limit:
                job.check()
                self._changed.wait(0.1)  # wakes to look whether the job has been cancelled
            self._held[holder] = wanted

    def give(self, holder: object) -> None:
        """Return what *holder* has taken, if anything."""
        with self._lock:
            self._held.pop(holder, None)
            self._changed.notify_all()


def drive(
    steps: Steps[T],
    objects: BlockingObjectStore,
    job: Job[Any],
    budget: ByteBudget,
    operation: Operation | tuple[Operation, ...] | None = None,
) -> T:
    """Carry out *steps* to the end, and return their result. They are waiting for *operation*, when it is given.

    When the job is cancelled, or this thread interrupted at whatever point, that is thrown into the steps, and what they do to clean
    up is carried out before the exception leaves.
    """
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            if operation is not None:
                answer = perform(operation, objects, job, budget)
            while True:
                if error is None:
                    operation = steps.send(answer)
                else:
                    thrown, error = error, None
                    operation = steps.throw(thrown)
                answer = perform(operation, objects, job, budget)
        except Aside as moved:
            moved.resume = functools.partial(_resume, steps, objects, budget, operation)
            raise
        except BaseException as raised:
            if ended(steps):
                if type(raised) is StopIteration:
                    return raised.value  # type: ignore[no-any-return]
                raise
            error, operation = raised, None
            if isinstance(raised, Cancelled):
                job = undisturbed()


def _resume(
    steps: Steps[T],
    objects: BlockingObjectStore,
    budget: ByteBudget,
    operation: Operation | tuple[Operation, ...] | None,
    job: Job[Any],
) -> T:
    return drive(steps, objects, job, budget, operation)


def ended(steps: Steps[Any]) -> bool:
    """Whether a generator has returned or raised: what has just been caught is then its own, and nothing is left to clean up."""
    return getattr(steps, "gi_frame", None) is None


def undisturbed() -> Job[None]:
    """The job under which steps clean up, which have been told already that they are cancelled."""
    return Job(lambda job: None, lambda: None)


@dataclass(slots=True)
class Outcome(Generic[T]):
    """What one of several steps returned or raised."""

    result: T | None = None
    error: BaseException | None = None


def drive_together(
    many: Sequence[Steps[T]], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget
) -> list[Outcome[T]]:
    """Carry out several steps side by side, so that the store can make what they put durable together.

    The outcomes come in the order of *many*.
    """
    outcomes: list[Outcome[T]] = [Outcome() for _ in many]
    turns: list[tuple[int, Any, BaseException | None]] = [(i, None, None) for i in range(len(many))]
    jobs: list[Job[Any]] = [job] * len(many)
    while turns:
        following: list[tuple[int, Any, BaseException | None]] = []
        commits: list[tuple[int, Commit]] = []
        for index, answer, error in turns:
            if isinstance(error, Cancelled):
                jobs[index] = undisturbed()
            try:
                operation = many[index].send(answer) if error is None else many[index].throw(error)
            except StopIteration as stop:
                outcomes[index].result = stop.value
                continue
            except BaseException as raised:
                outcomes[index].error = raised
                continue
            if type(operation) is Commit:
                commits.append((index, operation))
                continue
            try:
                following.append((index, perform(operation, objects, jobs[index], budget), None))
            except BaseException as raised:
                following.append((index, None, raised))
        following.extend(_commit_together(commits, objects, job))
        turns = following
    return outcomes


def _commit_together(
    commits: list[tuple[int, Commit]], objects: BlockingObjectStore, job: Job[Any]
) -> list[tuple[int, Any, BaseException | None]]:
    if not commits:
        return []
    try:
        job.check()
        answers = objects.put_many([PutRequest(c.key, Buffers(c.data), c.if_generation) for _, c in commits])
    except BaseException as raised:
        return [(index, None, raised) for index, _ in commits]
    return [
        (index, None, answer if isinstance(answer, BaseException) else None)
        for (index, _), answer in zip(commits, answers, strict=True)
    ]


def perform(
    operation: Operation | tuple[Operation, ...], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget
) -> Any:
    """Carry out one operation, or several one after another."""
    match operation:
        case Get(key, versioned):
            job.check()
            # A range, even if of everything, has no generation to be computed.
            return objects.get(key) if versioned else objects.get(key, length=sys.maxsize)
        case Commit(key, data, if_generation):
            job.check()
            objects.put(key, Buffers(data), if_generation=if_generation)
            return None
        case Decode():
            job.check()
            return _decode(operation, objects, job, budget)
        case Compute(call):
            job.check()
            return call()
        case Put():
            job.check()
            return _put(operation, objects, job)
        case Head(key):
            job.check()
            return objects.head(key)
        case Delete(key, if_generation):
            return objects.delete(key, if_generation=if_generation)
        case ListUnder(prefix):
            job.check()
            return list(objects.list(prefix))
        case Wait(seconds):
            job.check()
            time.sleep(seconds)
            return None
        case tuple():
            return _perform_all(operation, objects, job, budget)


def _perform_all(
    operations: tuple[Operation, ...], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget
) -> tuple[Any, ...]:
    if len(operations) > 1 and all(type(operation) is Put for operation in operations):
        return _put_all([op for op in operations if isinstance(op, Put)], objects, job)
    answers: list[Any] = []
    failure: BaseException | None = None
    for operation in operations:
        try:
            answers.append(perform(operation, objects, job, budget))
        except BaseException as error:
            # Deletes are what is left to clean up: one that fails must not keep the others from being tried.
            if type(operation) is not Delete:
                raise
            failure = failure or error
    if failure is not None:
        raise failure
    return tuple(answers)


# Put ----------------------------------------------------------------------------------------------------------------


class _Inline(Exception):
    """Raised by a body at its end to say that it was so small that there is nothing to store."""


class CountedBody(Body):
    """A body that counts and digests what passes, a bounded piece at a time, and keeps it in memory up to *inline_max* bytes.

    Small or large is decided here alone: nothing reaches the store's sink before the limit is passed, and a body that never
    passes it ends by raising, so that the store has nothing to keep.
    """

    def __init__(self, put: Put, job: Job[Any]) -> None:
        self.size = put.body.size
        self.digest = Digest(sha256=put.sha256)
        self.inlined: bytes | None = None
        self._put = put
        self._job = job

    def write_to(self, sink: Sink) -> None:
        self.digest = Digest(sha256=self._put.sha256)
        counting = CountingSink(sink, self.digest, self._job, self._put.inline_max)
        produce(self._put, counting)
        if counting.held is not None:
            self.inlined = bytes(counting.held)
            raise _Inline

    def answer(self) -> Stored | Inlined:
        """What became of the body, once it has been put."""
        digest = self.digest
        if self.inlined is not None:
            return Inlined(self.inlined, digest.crc32c, digest.sha256)
        return Stored(digest.size, digest.crc32c, digest.sha256)


class CountingSink:
    """What a producer writes to: counts, digests, looks whether anybody still wants it, and passes on."""

    def __init__(self, sink: Sink, digest: Digest, job: Job[Any], inline_max: int, *, outgrows: bool = True) -> None:
        self._outgrows = outgrows
        self.held: bytearray | None = bytearray() if inline_max >= 0 else None
        self.failure: BaseException | None = None
        self._sink = sink
        self._digest = digest
        self._job = job
        self._inline_max = inline_max

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data)
        if view.format != "B" or view.ndim != 1:
            view = view.cast("B")
        size = view.nbytes
        if self.held is not None and len(self.held) + size <= self._inline_max:
            self._digest.update(view)
            self.held += view
            return size
        try:
            if self.held:
                self._sink.write(self.held)
            self.held = None
            for start in range(0, size, MIB):
                self._job.check()
                piece = view[start : start + MIB]
                self._digest.update(piece)
                if self._outgrows and self._digest.size > LARGE:
                    self._job.outgrow()
                self._sink.write(piece)
        except BaseException as error:
            self.failure = error
            raise
        return size


def produce(put: Put, sink: CountingSink) -> None:
    """Write a part's body to *sink*; what the materializer raises becomes an `EncodeError`, what the sink raises stays what it is."""
    try:
        put.body.write_to(sink)
    except (Exception, SystemExit, GeneratorExit) as error:
        if sink.failure is not None:
            raise sink.failure from None  # whatever the materializer has made of it
        if isinstance(error, ArtifactError):
            raise
        raise EncodeError(f"{put.path!r}: encoding failed: {type(error).__name__}: {error}", path=put.path) from error
    if sink.failure is not None:
        raise sink.failure  # and the materializer has made nothing of it


def inline(put: Put) -> Inlined | None:
    """The answer to a put whose body is known to be small, without asking any store."""
    body = put.body
    if type(body) is not Buffers or body.size > put.inline_max:
        return None
    digest = Digest(sha256=put.sha256)
    digest.update(data := join(body))
    return Inlined(data, digest.crc32c, digest.sha256)


def _put(put: Put, objects: BlockingObjectStore, job: Job[Any]) -> Stored | Inlined:
    small = inline(put)
    if small is not None:
        return small
    body = CountedBody(put, job)
    try:
        info = objects.put(put.key, body)
    except _Inline:
        return body.answer()
    check_stored(put, info, body.digest)
    return body.answer()


def _put_all(puts: list[Put], objects: BlockingObjectStore, job: Job[Any]) -> tuple[Stored | Inlined, ...]:
    job.check()
    answers: list[Stored | Inlined | None] = [inline(put) for put in puts]
    left = [index for index, answer in enumerate(answers) if answer is None]
    bodies = [CountedBody(puts[index], job) for index in left]
    stored = objects.put_many([PutRequest(puts[i].key, body) for i, body in zip(left, bodies, strict=True)])
    failures: list[BaseException] = []
    for index, body, info in zip(left, bodies, stored, strict=True):
        if isinstance(info, BaseException) and not isinstance(info, _Inline):
            failures.append(info)
            continue
        if isinstance(info, ObjectInfo):
            check_stored(puts[index], info, body.digest)
        answers[index] = body.answer()
    if failures:
        raise first_with_notes(failures)
    return tuple(answer for answer in answers if answer is not None)


def check_stored(put: Put, info: ObjectInfo, digest: Digest) -> None:
    """Compare what the store says it holds with what was handed to it.

    Raises:
        IntegrityError: bytes were lost or changed on the way.
    """
    if info.size != digest.size:
        expected: object = digest.size
        actual: object = info.size
    elif info.crc32c is not None and info.crc32c != digest.crc32c:
        expected, actual = hex32(digest.crc32c), hex32(info.crc32c)
    else:
        return
    raise IntegrityError(
        f"{put.path!r}: the store holds something else than it was given under {put.key!r}; save again",
        path=put.path,
        operation="save",
        expected=expected,
        actual=actual,
    )


def first_with_notes(failures: Sequence[BaseException]) -> BaseException:
    """The first of several errors, the others as its notes."""
    first, *others = failures
    for other in others[:10]:
        first.add_note(f"and: {type(other).__name__}: {other}")
    return first


def _decode(operation: Decode[T], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget) -> T:
    size = sum(source.size for source in operation.sources if source.key is not None)
    if size <= LARGE:
        return with_parts(StoredParts(operation, objects, job), operation.call)
    job.outgrow()
    holder = object()
    try:
        budget.take(0 if operation.options.mmap else size, job, holder)
        return with_parts(StoredParts(operation, objects, job), operation.call)
    finally:
        budget.give(holder)


# Engine -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Task(Generic[K, T]):
    """One of many verbs to be carried out: what to call its outcome, and its steps."""

    key: K
    steps: Steps[T]
    light: bool = True
    """Whether it is sure to be quick, so that it may share a turn with others."""


@dataclass(slots=True)
class Outcomes(Generic[K, T]):
    """What became of many verbs; those dropped after a failure are in neither."""

    results: dict[K, T] = field(default_factory=dict)
    errors: dict[K, BaseException] = field(default_factory=dict)


class Engine(Protocol):
    """What an artifact store asks of whatever carries its steps out."""

    async def run(self, steps: Steps[T], *, heavy: bool = False) -> T:
        """Carry out one verb; a *heavy* one is known beforehand to take long."""
        ...

    async def run_many(
        self, tasks: Iterable[Task[K, T]], *, fail_fast: bool, saves: bool = False
    ) -> Outcomes[K, T]:
        """Carry out many verbs at once. With *fail_fast* the first failure stops the others. *saves* says that all of them save."""
        ...

    def pages(self, prefix: str, *, name: str | None = None) -> AsyncIterator[list[ObjectInfo]]:
        """List objects, some hundred at a time."""
        ...

    async def sweep_drafts(self, before: float, *, dry_run: bool) -> list[ObjectInfo]:
        """Remove temporary files of the object store's own, last written before *before* (Unix time)."""
        ...

    async def validate(self) -> None:
        """Check that the store can be used."""
        ...

    async def aclose(self) -> None:
        """Let go of threads and connections; the engine may be used again."""
        ...


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
                batch.results[task.key] = outcome.result  # type: ignore[assignment]
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
        except Exception as error:
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
