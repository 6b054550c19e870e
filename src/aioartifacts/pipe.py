"""From a producer in a worker thread to an upload on the event loop: a pipe of bounded chunks, and bodies for async stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from aioartifacts.checksum import Digest
from aioartifacts.errors import StoreError
from aioartifacts.jobs import Cancelled, Job
from aioartifacts.operations import Put
from aioartifacts.putting import CountingSink, produce
from aioartifacts.types import MIB, Buffer
from aioartifacts.workers import LoopWorkers

CHUNK = 8 * MIB
"""Bytes handed over at a time. A pipe holds three chunks: one being filled, one waiting, one being sent."""
_LOOK = 5.0
"""Seconds between looks whether the loop is still there."""


class MemoryBody:
    """A body that lies in memory, as an async store sees it."""

    def __init__(self, buffers: tuple[memoryview, ...], digest: Digest) -> None:
        self.buffers: tuple[memoryview, ...] | None = buffers
        self.size: int | None = digest.size
        self.crc32c: int | None = digest.crc32c

    async def chunks(self, size: int) -> AsyncIterator[Buffer]:
        """Slices of the buffers; only a chunk that spans two of them is copied."""
        pending = bytearray()
        for buffer in self.buffers or ():
            start = 0
            while start < len(buffer):
                piece = buffer[start : start + size - len(pending)]
                start += len(piece)
                if not pending and len(piece) == size:
                    yield piece
                    continue
                pending += piece
                if len(pending) == size:
                    yield pending
                    pending = bytearray()
        if pending:
            yield pending


class Pipe:
    """One part on its way from its producer to the store. An async context manager; leaving it ends the producer.

    `spool` starts the producer and waits for its first chunk. What fits into that is the answer; else `body` is to be uploaded, and each
    of its iterations but the first has the bytes produced anew.
    """

    def __init__(self, workers: LoopWorkers, put: Put) -> None:
        self.digest = Digest(sha256=put.sha256)
        """Of everything produced so far."""
        self.body = PipedBody(self, put.body.size)
        self._workers = workers
        self._put = put
        self._flow: _Flow | None = None
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._group is not None
        if self._flow is not None:
            self._flow.cancel()
            self._group.cancel_scope.cancel()  # a producer that has not begun never will
        # The error passes by the group, which would wrap it; the producer's own error has come through the pipe already.
        await self._group.__aexit__(None, None, None)

    async def spool(self) -> bytearray | None:
        """Start producing. Returns everything, if it fits into a chunk; None if there is more."""
        self._flow = flow = self._start()
        first = await flow.get()
        if flow.ended and not flow.waiting:
            return first or bytearray()
        flow.unget(first)
        return None

    def _start(self) -> _Flow:
        assert self._group is not None
        flow = _Flow(asyncio.get_running_loop())
        self.digest = Digest(sha256=self._put.sha256)
        self._group.start_soon(self._produce, flow, self.digest)
        return flow

    async def _produce(self, flow: _Flow, digest: Digest) -> None:
        def call(job: Job[None]) -> None:
            flow.begin(job)
            counting = CountingSink(flow, digest, job, -1, outgrows=False)
            produce(self._put, counting)
            flow.close()

        try:
            await self._workers.call(call)
        except Cancelled:
            flow.end(None)
        except asyncio.CancelledError:
            flow.cancel()  # whoever still reads must not take this for the end of the body
            flow.end(None)
            raise
        except BaseException as error:  # handed to whoever reads
            flow.end(error)
        else:
            flow.end(None)

    async def rewind(self) -> None:
        """End the producer, and forget what it has made; `body` has everything produced anew."""
        flow = self._flow
        assert flow is not None
        flow.taken = True
        flow.cancel()
        await flow.wait_ended()

    async def take_over(self) -> _Flow:
        """The flow under way, if nobody has read from it yet; otherwise a new one, after the old one has been ended."""
        flow = self._flow
        if flow is not None and not flow.taken:
            flow.taken = True
            return flow
        if flow is not None:
            flow.cancel()
            await flow.wait_ended()
        self._flow = flow = self._start()
        flow.taken = True
        return flow


class PipedBody:
    """What a `Pipe` carries, as an async store sees it."""

    buffers: tuple[memoryview, ...] | None = None
    crc32c: int | None = None

    def __init__(self, pipe: Pipe, size: int | None) -> None:
        self.size = size
        self._pipe = pipe

    async def chunks(self, size: int) -> AsyncIterator[Buffer]:
        """What is produced, in chunks of exactly *size* bytes but for the last."""
        flow = await self._pipe.take_over()
        pending = bytearray()
        while (chunk := await flow.get()) is not None:
            if not pending and len(chunk) == size:
                yield chunk
                continue
            pending += chunk
            while len(pending) >= size:
                yield bytes(memoryview(pending)[:size])
                del pending[:size]
        if pending:
            yield pending


class _Flow:
    """Chunks on their way from one run of a producer, in a thread, to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.taken = False
        self.ended = False
        self.job: Job[None] | None = None
        self._loop = loop
        self._filling = bytearray()
        self._waiting: list[bytearray] = []
        self._changed = threading.Condition()
        self._cancelled = False
        self._arrived = asyncio.Event()
        self._error: BaseException | None = None
        self._over = asyncio.Event()

    # In the worker thread

    def begin(self, job: Job[None]) -> None:
        """The producer starts."""
        with self._changed:
            self.job = job
            if self._cancelled:
                raise Cancelled

    def write(self, data: Buffer, /) -> int:
        """Fill chunks, and wait while the loop has one waiting that it has not fetched."""
        view = memoryview(data)
        start = 0
        while start < len(view):
            if len(self._filling) == CHUNK:
                self._hand_over()
            piece = view[start : start + CHUNK - len(self._filling)]
            self._filling += piece
            start += len(piece)
        return len(view)

    def _hand_over(self, *, last: bool = False) -> None:
        if self.job is not None and not last:
            self.job.outgrow(waits=True)
        with self._changed:
            while self._waiting and not self._cancelled:
                if not self._changed.wait(_LOOK) and self._loop.is_closed():
                    raise StoreError("the event loop was closed during an upload")
            if self._cancelled:
                raise Cancelled
            if self._filling:
                self._waiting.append(self._filling)
            self.ended = last
        self._filling = bytearray()
        self._wake()

    def close(self) -> None:
        """Hand over the last chunk."""
        self._hand_over(last=True)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError as error:
            raise StoreError("the event loop was closed during an upload") from error

    # On the loop

    @property
    def waiting(self) -> bool:
        """Whether a chunk has arrived that nobody has fetched."""
        return bool(self._waiting)

    async def get(self) -> bytearray | None:
        """The next chunk; None at the end."""
        while True:
            self._arrived.clear()
            with self._changed:
                if self._cancelled:
                    raise StoreError("an upload went on reading a body that it had given up")
                if self._waiting:
                    chunk = self._waiting.pop(0)
                    self._changed.notify_all()
                    return chunk
                ended = self.ended  # together with its last chunk
            if self._error is not None:
                raise self._error
            if ended:
                return None
            await self._arrived.wait()

    def unget(self, chunk: bytearray | None) -> None:
        """Put the first chunk back."""
        if chunk is not None:
            with self._changed:
                self._waiting.insert(0, chunk)

    def end(self, error: BaseException | None) -> None:
        """The producer has ended, with *error* or without."""
        self._error = error
        self.ended = True
        self._arrived.set()
        self._over.set()

    def cancel(self) -> None:
        """Have the producer stop at its next write."""
        with self._changed:
            self._cancelled = True
            self._waiting.clear()
            self._changed.notify_all()
        self._arrived.set()
        if self.job is not None:
            self.job.cancelled = True

    async def wait_ended(self) -> None:
        """Wait until the producer has stopped."""
        await self._over.wait()
