"""Servers, stores and bodies for the tests of the Google Cloud Storage store."""

from contextlib import asynccontextmanager

import pytest_asyncio

from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.testing.gcs_server import Fault, GCSServer
from aioartifacts.types import KIB, RetryPolicy

BUCKET = "store-under-test"
CHUNK = 256 * KIB
AT_ONCE = RetryPolicy(deadline=30.0, base=0.0, cap=0.0)
NEVER = RetryPolicy(deadline=0.0, base=1.0, cap=1.0)


@pytest_asyncio.fixture
async def server():
    async with GCSServer(buckets=(BUCKET,)) as found:
        yield found


def make_store(server, **options):
    options = {"credentials": "anonymous", "chunk_size": CHUNK, "retry": AT_ONCE, **options}
    return GCSObjectStore(BUCKET, endpoint=server.url, **options)


@asynccontextmanager
async def opened(server, **options):
    store = make_store(server, **options)
    try:
        yield store
    finally:
        await store.aclose()


@pytest_asyncio.fixture
async def store(server):
    async with opened(server) as found:
        yield found


class Bytes:
    """An `AsyncBody`; with ``in_memory=False`` it tells no size and hands out chunks that do not last."""

    def __init__(self, data, *, in_memory=False, size=None, crc32c=None, before_each=None, error=None):
        self.data = data
        self.size = len(data) if in_memory else size
        self.crc32c = crc32c
        self.buffers = (memoryview(data),) if in_memory else None
        self.begun = 0
        self.closed = 0
        self._before_each = before_each
        self._error = error

    async def chunks(self, size):
        self.begun += 1
        chunk = bytearray()
        try:
            for start in range(0, len(self.data), size):
                if self._before_each is not None:
                    await self._before_each(start)
                chunk[:] = b"?" * len(chunk)
                chunk = bytearray(self.data[start : start + size])
                yield memoryview(chunk)
            if self._error is not None:
                raise self._error
        finally:
            self.closed += 1


def fault(server, action, **selection):
    server.add_fault(Fault(action=action, **selection))


def stored(server, key):
    found = server.state.find(BUCKET, key)
    return None if found is None else b"".join(found.content.slices(0, found.size))


def requests(server, method=None):
    return [entry for entry in server.journal.to_json() if method in (None, entry["method"])]


def unfinished(server):
    return len(
        [one for one in server.state.sessions.values() if one.result is None and not one.cancelled]
    ) + len(server.state.multiparts)
