"""Bytes of unknown number on their way from a producer in a thread to an upload on the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import pytest
from holding import HANG, turns, until

from aioartifacts.errors import ArtifactError, EncodeError, StoreError, TransientStoreError
from aioartifacts.objects.base import (
    AsyncBody,
    AsyncObjectStore,
    Buffers,
    FileBody,
    Producer,
    Sink,
)
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.operations import Inlined, Put, Stored
from aioartifacts.pipe import MemoryBody, Pipe
from aioartifacts.pool import WorkerPool
from aioartifacts.testing import AsyncObjectStoreAdapter
from aioartifacts.transfer import TransferEngine
from aioartifacts.types import Buffer, Generation, Limits, ObjectInfo, RetryPolicy
from aioartifacts.workers import LoopWorkers

CHUNK = 1024
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, 20 * CHUNK]

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("nothing_left", "small_chunks")]


@pytest.fixture
def workers() -> Iterator[LoopWorkers]:
    pool = WorkerPool(2, 4)
    yield LoopWorkers(pool)
    pool.close()


def some(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def in_writes(data: bytes, step: int) -> Producer:
    def produce(sink: Sink) -> None:
        for start in range(0, len(data), step):
            sink.write(bytearray(data[start : start + step]))

    return Producer(produce)


class Stop(Exception):
    pass


class Uploads(AsyncObjectStoreAdapter):
    """A store whose uploads a test writes: a function of the body, which returns what has been stored."""

    def __init__(self, upload: Callable[[AsyncBody], AsyncIterator[Buffer]]) -> None:
        super().__init__(MemoryObjectStore())
        self.upload = upload
        self.stored: bytes | None = None

    async def put(self, key: str, body: AsyncBody, *, if_generation: Generation | None = None) -> ObjectInfo:
        self.stored = b"".join([bytes(chunk) async for chunk in self.upload(body)])
        return ObjectInfo(key, len(self.stored))


async def whole(body: AsyncBody, size: int = 700) -> AsyncIterator[Buffer]:
    async for chunk in body.chunks(size):
        yield chunk


def engine(store: AsyncObjectStore, workers: LoopWorkers, **limits: int) -> TransferEngine:
    return TransferEngine(store, workers, Limits(**limits), RetryPolicy(deadline=5, base=0.0))


async def put(
    store: AsyncObjectStore, workers: LoopWorkers, body: Producer | Buffers | FileBody, *, inline_max: int = -1
) -> Stored | Inlined:
    async with asyncio.timeout(HANG):
        answer = await engine(store, workers)._put(Put("a", "a/part", body, inline_max=inline_max))
    assert isinstance(answer, Stored | Inlined)
    return answer


@pytest.mark.parametrize("step", [1, 333, CHUNK, 5 * CHUNK])
@pytest.mark.parametrize("size", SIZES)
async def test_every_byte_arrives_once(size: int, step: int, workers: LoopWorkers) -> None:
    if step == 1 and size > 4 * CHUNK:
        step = 7
    store = Uploads(whole)
    answer = await put(store, workers, in_writes(some(size), step))
    assert store.stored == some(size)
    assert isinstance(answer, Stored)
    assert answer.size == size


@pytest.mark.parametrize("size", [0, 1, 64, 65, CHUNK, CHUNK + 1])
async def test_small_or_large_is_decided_at_the_end(size: int, workers: LoopWorkers) -> None:
    store = Uploads(whole)
    answer = await put(store, workers, in_writes(some(size), 10), inline_max=64)
    if size <= 64:
        assert isinstance(answer, Inlined)
        assert answer.data == some(size)
        assert store.stored is None
    else:
        assert isinstance(answer, Stored)
        assert store.stored == some(size)


@pytest.mark.parametrize("asked", [1, 700, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("size", [1, CHUNK, 3 * CHUNK + 5])
async def test_chunks_are_of_the_size_that_was_asked_for(size: int, asked: int, workers: LoopWorkers) -> None:
    lengths: list[int] = []

    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        async for chunk in body.chunks(asked):
            lengths.append(len(chunk))
            yield bytes(chunk)

    store = Uploads(upload)
    await put(store, workers, in_writes(some(size), 100))
    assert store.stored == some(size)
    assert all(length == asked for length in lengths[:-1])
    assert 0 < lengths[-1] <= asked


async def test_chunks_of_memory_span_buffers() -> None:
    buffers = Buffers(some(10), b"", some(5), some(33))
    from aioartifacts.checksum import Digest

    body = MemoryBody(buffers.buffers, Digest())
    assert [bytes(chunk) async for chunk in body.chunks(16)] == [
        (some(10) + some(5) + some(33))[start : start + 16] for start in range(0, 48, 16)
    ]


# The producer fails


@pytest.mark.parametrize("after", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
@pytest.mark.parametrize("error", [Stop("odd"), SystemExit(3), GeneratorExit(), asyncio.CancelledError()], ids=lambda e: type(e).__name__)
async def test_a_producer_that_fails(error: BaseException, after: int, workers: LoopWorkers) -> None:
    def produce(sink: Sink) -> None:
        sink.write(some(after))
        raise error

    store = Uploads(whole)
    with pytest.raises(EncodeError) as caught:
        await put(store, workers, Producer(produce))
    assert caught.value.__cause__ is error
    assert store.stored is None


async def test_a_file_that_is_gone(workers: LoopWorkers) -> None:
    with pytest.raises(EncodeError):
        await put(Uploads(whole), workers, FileBody("/nowhere/at/all"))


async def test_an_interrupted_producer_interrupts_the_save(workers: LoopWorkers) -> None:
    class Interrupt(BaseException):
        pass

    def produce(sink: Sink) -> None:
        sink.write(some(3 * CHUNK))
        raise Interrupt

    with pytest.raises(Interrupt):
        await put(Uploads(whole), workers, Producer(produce))


async def test_a_producer_that_swallows_what_the_sink_raised(workers: LoopWorkers) -> None:
    failed = asyncio.Event()

    def produce(sink: Sink) -> None:
        try:
            while True:
                sink.write(some(CHUNK))
        except BaseException:
            pass

    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        async for chunk in body.chunks(CHUNK):
            yield chunk
            failed.set()
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="full"):
        await put(Uploads(upload), workers, Producer(produce))


# The upload fails


@pytest.mark.parametrize("after", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [CHUNK, 5 * CHUNK, 40 * CHUNK])
async def test_an_upload_that_fails_ends_the_producer(size: int, after: int, workers: LoopWorkers) -> None:
    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        chunks = body.chunks(CHUNK)
        for _ in range(after):
            yield await anext(chunks, b"")
        raise StoreError("odd")

    with pytest.raises(StoreError, match="odd"):
        await put(Uploads(upload), workers, in_writes(some(size), 100))


@pytest.mark.parametrize("after", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, 5 * CHUNK, 40 * CHUNK])
@pytest.mark.parametrize("close", [True, False], ids=["closed", "abandoned"])
async def test_an_upload_may_begin_anew(size: int, after: int, close: bool, workers: LoopWorkers) -> None:
    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        for _ in range(2):
            chunks = body.chunks(CHUNK)
            for _ in range(after):
                await anext(chunks, b"")
            if close:
                await chunks.aclose()  # type: ignore[attr-defined]
        async for chunk in body.chunks(CHUNK):
            yield chunk

    store = Uploads(upload)
    await put(store, workers, in_writes(some(size), 100))
    assert store.stored == some(size)


async def test_an_upload_that_failed_for_now_is_tried_again(workers: LoopWorkers) -> None:
    attempts = 0

    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        nonlocal attempts
        attempts += 1
        async for chunk in body.chunks(CHUNK):
            yield chunk
            if attempts < 4:
                raise TransientStoreError("try again")

    store = Uploads(upload)
    await put(store, workers, in_writes(some(10 * CHUNK), 100))
    assert store.stored == some(10 * CHUNK)
    assert attempts == 4


async def test_an_upload_that_reads_a_body_it_gave_up_is_told(workers: LoopWorkers) -> None:
    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        first = body.chunks(CHUNK)
        await anext(first)
        second = body.chunks(CHUNK)
        await anext(second)
        async for chunk in first:
            yield chunk

    with pytest.raises(StoreError, match="given up"):
        await put(Uploads(upload), workers, in_writes(some(10 * CHUNK), 100))


async def test_an_upload_that_stops_early_is_noticed(workers: LoopWorkers) -> None:
    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        async for chunk in body.chunks(CHUNK):
            yield chunk
            return

    with pytest.raises(ArtifactError, match="something else"):
        await put(Uploads(upload), workers, in_writes(some(10 * CHUNK), 100))


# Cancellation


class Stage:
    """A place to stand still, in a thread or on the loop."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def hold(self) -> None:
        self.reached.set()
        assert self.released.wait(HANG)


@pytest.mark.parametrize("written", [0, 1, CHUNK, CHUNK + 1, 4 * CHUNK])
@pytest.mark.parametrize("reading", [True, False], ids=["reading", "not reading"])
async def test_cancelled_while_the_producer_works(written: int, reading: bool, workers: LoopWorkers) -> None:
    stage, ended = Stage(), threading.Event()

    def produce(sink: Sink) -> None:
        try:
            sink.write(some(written))
            stage.hold()
            while True:
                sink.write(some(CHUNK))
        finally:
            ended.set()

    async def upload(body: AsyncBody) -> AsyncIterator[Buffer]:
        if not reading:
            stage.reached.set()
            await asyncio.Event().wait()
        async for chunk in body.chunks(CHUNK):
            yield chunk

    task = asyncio.create_task(put(Uploads(upload), workers, Producer(produce)))
    await until(stage.reached.is_set)
    await turns()
    task.cancel()
    await turns()
    stage.released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set(), "the producer went on"


async def test_cancelled_while_the_producer_waits_for_a_worker(workers: LoopWorkers) -> None:
    stages = [Stage(), Stage()]
    ahead = [asyncio.create_task(workers.call(lambda job, stage=stage: stage.hold())) for stage in stages]  # type: ignore[misc]
    await until(lambda: all(stage.reached.is_set() for stage in stages))
    produced: list[int] = []
    task = asyncio.create_task(put(Uploads(whole), workers, Producer(lambda sink: produced.append(1))))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for stage in stages:
        stage.released.set()
    await asyncio.gather(*ahead)
    assert not produced


async def test_a_loop_that_is_closed_does_not_hold_its_producer(
    workers: LoopWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aioartifacts import pipe as module

    monkeypatch.setattr(module, "_LOOK", 0.01)
    failures: list[BaseException] = []
    ended = threading.Event()

    def produce(sink: Sink) -> None:
        try:
            while True:
                sink.write(some(CHUNK))
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            ended.set()

    kept: list[asyncio.Task[object]] = []

    def abandon() -> None:
        loop = asyncio.new_event_loop()

        async def start() -> None:
            async def go() -> None:
                async with Pipe(LoopWorkers(workers.pool), Put("a", "a/part", Producer(produce))) as pipe:
                    await pipe.spool()
                    spooled.set()
                    await asyncio.Event().wait()

            spooled = asyncio.Event()
            kept.append(asyncio.ensure_future(go()))
            await spooled.wait()
            kept.extend(asyncio.all_tasks() - {asyncio.current_task(), *kept})  # type: ignore[arg-type]

        loop.run_until_complete(start())
        loop.close()

    await asyncio.to_thread(abandon)
    await until(ended.is_set)
    assert isinstance(failures[0], StoreError)
    for task in kept:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is what this test is about




async def test_cancelled_body_never_looks_complete(workers: LoopWorkers) -> None:
    """Not even to a task of the store's own, which no cancellation reaches."""
    stage = Stage()

    def produce(sink: Sink) -> None:
        sink.write(some(CHUNK + 1))
        stage.hold()
        while True:
            sink.write(some(CHUNK))

    class Detached(Uploads):
        async def put(self, key: str, body: AsyncBody, *, if_generation: Generation | None = None) -> ObjectInfo:
            reader = asyncio.ensure_future(super().put(key, body))
            try:
                return await asyncio.shield(reader)
            except asyncio.CancelledError:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([reader])
                assert reader.exception() is not None
                raise

    store = Detached(whole)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(put, store, workers, Producer(produce))
            await until(stage.reached.is_set)
            await turns()
            scope.cancel()
            stage.released.set()
    assert store.stored is None
