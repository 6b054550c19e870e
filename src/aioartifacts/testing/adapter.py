"""Any blocking store as an async one, for tests of what drives async stores."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import anyio

from aioartifacts.errors import ArtifactNotFoundError
from aioartifacts.objects.base import AsyncBody, AsyncObjectStore, BlockingObjectStore, ObjectData, Producer, Sink
from aioartifacts.testing.forwarding import InFront
from aioartifacts.types import MIB, Generation, ObjectInfo

T = TypeVar("T")


class AsyncObjectStoreAdapter(InFront[BlockingObjectStore], AsyncObjectStore):
    """Presents a blocking store as an async one, every verb in a worker thread. For tests: a body is held whole in memory.

    Attributes:
        chunk_size: bytes of a chunk, as asked of a body.
    """

    def __init__(self, inner: BlockingObjectStore, *, chunk_size: int = MIB) -> None:
        super().__init__(inner)
        self.chunk_size = chunk_size

    def __reduce__(self) -> tuple[object, ...]:
        return (functools.partial(type(self), chunk_size=self.chunk_size), (self.inner,))

    async def put(self, key: str, body: AsyncBody, *, if_generation: Generation | None = None) -> ObjectInfo:
        chunks = body.chunks(self.chunk_size)
        try:
            pieces = [bytes(chunk) async for chunk in chunks]
        finally:
            if (aclose := getattr(chunks, "aclose", None)) is not None:
                await aclose()
        stop = threading.Event()

        def produce(sink: Sink) -> None:
            for piece in pieces:
                sink.write(piece)
            if stop.is_set():
                raise _Stopped

        whole = Producer(produce, sum(map(len, pieces)))
        return await _to_its_end(lambda: self.inner.put(key, whole, if_generation=if_generation), stop)

    async def get(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        into: memoryview | None = None,
        generation: Generation | None = None,
    ) -> ObjectData:
        def pinned() -> ObjectData:
            whole = self.inner.get(key)
            if whole.info.generation != generation:
                raise ArtifactNotFoundError(f"{key!r} is no longer of that generation", path=key, operation="get")
            data = memoryview(whole.data)[start:][:length]
            if into is not None:
                into[: len(data)] = data
                data = into[: len(data)]
            return ObjectData(whole.info, data)

        if generation is not None:
            return await _to_its_end(pinned)
        return await _to_its_end(lambda: self.inner.get(key, start=start, length=length, into=into))

    async def head(self, key: str) -> ObjectInfo:
        return await _to_its_end(lambda: self.inner.head(key))

    async def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        await _to_its_end(lambda: self.inner.delete(key, if_generation=if_generation))

    async def list(self, prefix: str = "", *, name: str | None = None) -> AsyncIterator[ObjectInfo]:
        for info in await _to_its_end(lambda: tuple(self.inner.list(prefix, name=name))):
            yield info

    async def validate(self) -> None:
        await _to_its_end(self.inner.validate)

    async def aclose(self) -> None:
        return None


class _Stopped(BaseException):
    """Raised in a put whose caller was cancelled; never leaves this file."""


async def _to_its_end(function: Callable[[], T], stop: threading.Event | None = None) -> T:
    """Run *function* in a worker thread. A cancelled caller is told only when the thread is done, so that nothing happens later."""
    future = asyncio.get_running_loop().run_in_executor(None, function)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
                if stop is not None:
                    stop.set()
    if cancelled is not None:
        future.exception()  # looked at, so that asyncio does not complain that nobody did
        raise cancelled
    return future.result()
