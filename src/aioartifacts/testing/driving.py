"""Call an object store of either kind in one way, so that each law is written once.

A blocking store is called in worker threads, as the engine does; an async one on the test's loop.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

import anyio.to_thread
import pytest
from crc32c import crc32c

from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore, Body, Buffers, ObjectData, Sink
from aioartifacts.types import MIB, Buffer, Generation, ObjectInfo

T = TypeVar("T")
Store: TypeAlias = BlockingObjectStore | AsyncObjectStore
Hook: TypeAlias = Callable[[], Coroutine[Any, Any, object]]

HANG = 60.0
"""Seconds after which a wait between a body and the test is given up as a deadlock."""


class Script(Body):
    """A body as a script: bytes are written, exceptions raised and coroutine functions awaited on the test's loop, in order."""

    def __init__(self, *steps: Buffer | BaseException | Hook, size: int | None = None) -> None:
        self.steps = steps
        self.size = size
        self.iterating = 0
        """Iterations begun and neither finished nor closed."""
        self._loop = asyncio.get_running_loop()

    def write_to(self, sink: Sink) -> None:
        self.iterating += 1
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if callable(step):
                    asyncio.run_coroutine_threadsafe(step(), self._loop).result(HANG)
                else:
                    _write_and_spoil(sink, step)
        finally:
            self.iterating -= 1

    async def pieces(self) -> AsyncIterator[Buffer]:
        self.iterating += 1
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if callable(step):
                    await step()
                else:
                    yield step
        finally:
            self.iterating -= 1


def _write_and_spoil(sink: Sink, data: Buffer) -> None:
    """Write as a producer does that uses one buffer again and again: a sink must not keep what it was given."""
    chunk = bytearray(data)
    sink.write(memoryview(chunk))
    chunk[:] = b"\xdb" * len(chunk)


class ChunkedBody:
    """Any `Body` as the `AsyncBody` an async store takes. Spoils each chunk when the next is asked for, as it may."""

    def __init__(self, body: Body) -> None:
        self.size = body.size
        self.buffers = body.buffers if isinstance(body, Buffers) else None
        self.crc32c: int | None = None
        if self.buffers is not None:
            self.crc32c = 0
            for buffer in self.buffers:
                self.crc32c = crc32c(buffer, self.crc32c)
        self._body = body

    async def chunks(self, size: int) -> AsyncIterator[Buffer]:
        pending = bytearray()
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                pending += piece
                while len(pending) >= size:
                    chunk = pending[:size]
                    del pending[:size]
                    yield memoryview(chunk)
                    chunk[:] = b"\xdb" * size
        if pending:
            yield memoryview(pending)

    def _pieces(self) -> Any:
        return self._body.pieces() if isinstance(self._body, Script) else self._collected()

    async def _collected(self) -> AsyncIterator[Buffer]:
        written: list[bytes] = []
        outcome = await in_thread(lambda: self._body.write_to(_Collector(written)))
        for piece in written:
            yield piece
        outcome.result()


class _Collector:
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def write(self, data: Buffer) -> None:
        self.pieces.append(bytes(data))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a store's verb, to be made later."""

    verb: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def call(verb: str, *args: Any, **options: Any) -> Call:
    """Describe a call of a store's *verb*."""
    return Call(verb, args, options)


async def in_thread(function: Callable[[], Any]) -> Outcome:
    """Run *function* in a worker thread and say how it ended; a `KeyboardInterrupt` too, which a future would not carry well."""

    def settled() -> Outcome:
        try:
            return Outcome(function())
        except BaseException as error:  # handed to the caller, who raises it
            return Outcome(error=error)

    return await anyio.to_thread.run_sync(settled)


async def perform(store: Store, call: Call, *, start: Callable[[], object] = lambda: None) -> Outcome:
    """Make one call of either kind; a listing is answered as a list. *start* is called just before, in a blocking store's thread."""
    if not isinstance(store, AsyncObjectStore):

        def blocking() -> Any:
            start()
            answer = getattr(store, call.verb)(*call.args, **call.options)
            return list(answer) if call.verb == "list" else answer

        return await in_thread(blocking)
    try:
        if call.verb == "list":
            return Outcome([info async for info in store.list(*call.args, **call.options)])
        args = [ChunkedBody(arg) if isinstance(arg, Body) else arg for arg in call.args]
        return Outcome(await getattr(store, call.verb)(*args, **call.options))
    except BaseException as error:  # handed to the caller, who raises it
        return Outcome(error=error)


async def together(store: Store, calls: Sequence[Call]) -> list[Outcome]:
    """Make several calls at once and say how each ended; threads start from one line."""
    line = threading.Barrier(len(calls))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(perform(store, each, start=lambda: line.wait(HANG))) for each in calls]
    return [task.result() for task in tasks]


async def interrupt_put(store: Store, key: str, *before: Buffer) -> None:
    """Begin a put, and cancel it once its body has handed over *before*; return when the store has.

    An async store's task is cancelled while it waits for the next chunk; a blocking one is told in the only way there is,
    by the body.
    """
    if not isinstance(store, AsyncObjectStore):
        outcome = await perform(store, call("put", key, Script(*before, asyncio.CancelledError(), b"rest")))
        assert isinstance(outcome.error, asyncio.CancelledError), "the body's exception must come out unchanged"
        return
    arrived, released = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        arrived.set()
        await released.wait()

    task = asyncio.create_task(store.put(key, ChunkedBody(Script(*before, stay, b"rest"))))
    waiting = asyncio.create_task(arrived.wait())
    await asyncio.wait([task, waiting], timeout=HANG, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    released.set()  # whatever went on in spite of the cancellation can now do its worst


async def let_others_run() -> None:
    """Give tasks and worker threads that should not be there the time to show themselves."""
    for _ in range(3):
        await asyncio.sleep(0)
    await asyncio.to_thread(lambda: None)
    await in_thread(lambda: None)


async def interrupt_put_at(store: Store, key: str, pieces: Sequence[Buffer], point: int) -> None:
    """Interrupt a put after *point* turns of the loop (async store) or after *point* pieces of its body (blocking store)."""
    if not isinstance(store, AsyncObjectStore):
        await perform(store, call("put", key, Script(*pieces[:point], asyncio.CancelledError(), *pieces[point:])))
        return
    task = asyncio.create_task(store.put(key, ChunkedBody(Script(*pieces))))
    for _ in range(point):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def offers(store: Store, verb: str) -> bool:
    """Whether a verb that only blocking stores have is to be tested; an async store must not have it: nobody would call it."""
    if isinstance(store, BlockingObjectStore):
        return True
    assert isinstance(store, AsyncObjectStore)
    assert not hasattr(store, verb), f"{verb} is a verb of blocking stores; on an async store nobody calls it"
    return False


class StoreUnderTest:
    """What a store's author provides, and the verbs as the laws use them."""

    spill = MIB + 1
    """Bytes of a body after which the store has certainly handed some on to its medium: more than one chunk of an async store."""

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, fresh and empty; override it, as an async fixture if you like."""
        raise pytest.UsageError(f"{type(self).__name__} must override the fixture 'store'")

    # Not abstract: pytest leaves out abstract classes without a word.
    def raw_get(self, store: Store, key: str) -> bytes | None | Awaitable[bytes | None]:
        """Read an object from the medium, past the store; None when it is not there."""
        raise self._lacks("raw_get")

    def raw_put(self, store: Store, key: str, data: bytes) -> None | Awaitable[None]:
        """Write an object to the medium, past the store, as another process would have."""
        raise self._lacks("raw_put")

    def raw_keys(self, store: Store) -> set[str] | Awaitable[set[str]]:
        """Everything in the medium that holds data, temporary objects and unfinished uploads included; lock files are not."""
        raise self._lacks("raw_keys")

    def _lacks(self, method: str) -> pytest.UsageError:
        return pytest.UsageError(
            f"{type(self).__name__} must define {method}(): raw_get, raw_put and raw_keys lead past the store to its medium"
        )

    async def stored(self, store: Store, key: str) -> bytes | None:
        return await _value(self.raw_get(store, key))

    async def seed(self, store: Store, *keys: str, data: bytes = b"seed") -> None:
        for key in keys:
            await _value(self.raw_put(store, key, data))

    async def stored_keys(self, store: Store) -> set[str]:
        return await _value(self.raw_keys(store))

    async def put(
        self, store: Store, key: str, body: Body | Buffer, *, if_generation: Generation | None = None
    ) -> ObjectInfo:
        body = body if isinstance(body, Body) else Buffers(body)
        outcome = await perform(store, call("put", key, body, if_generation=if_generation))
        return cast("ObjectInfo", outcome.result())

    async def get(self, store: Store, key: str, **options: Any) -> ObjectData:
        return cast("ObjectData", (await perform(store, call("get", key, **options))).result())

    async def head(self, store: Store, key: str) -> ObjectInfo:
        return cast("ObjectInfo", (await perform(store, call("head", key))).result())

    async def delete(self, store: Store, key: str, **options: Any) -> None:
        (await perform(store, call("delete", key, **options))).result()

    async def list(self, store: Store, prefix: str = "", **options: Any) -> Sequence[ObjectInfo]:
        return cast("Sequence[ObjectInfo]", (await perform(store, call("list", prefix, **options))).result())

    async def keys(self, store: Store, prefix: str = "", **options: Any) -> Sequence[str]:
        """Listed keys, sorted; one that is listed twice is there twice."""
        return sorted(info.key for info in await self.list(store, prefix, **options))

    async def generation(self, store: Store, key: str) -> Generation:
        """The present generation, as a whole get tells it."""
        generation = (await self.get(store, key)).info.generation
        assert generation is not None, "a get of the whole object must tell its generation"
        return generation


async def _value(answer: T | Awaitable[T]) -> T:
    if inspect.isawaitable(answer):
        awaited: T = await answer
        return awaited
    return answer
