"""Clients: one per event loop and process, opened late and closed cleanly; and how much they hold."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import warnings

import pytest
from store_places import BUCKET, CHUNK, Bytes, make_store, opened, server, store

from aioartifacts.errors import StoreError
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.objects.gcs.client import _CLOSING
from aioartifacts.testing.pytest_plugin import BUCKET as SHARED
from aioartifacts.types import MIB

__all__ = ["server", "store"]


@pytest.mark.asyncio
async def test_closed_store_leaves_nothing_to_warn_about(server):
    store = make_store(server)
    async with asyncio.TaskGroup() as group:
        for i in range(10):
            group.create_task(store.put(f"a/{i}", Bytes(b"x")))
    await store.aclose()
    del store
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("gone", ["on the loop", "after the loop"])
def test_store_that_was_never_closed_says_so_once(gcs_server, caplog, gone):
    """And nothing below it does, which the caller has never seen."""
    kept = []

    async def use():
        store = GCSObjectStore(SHARED, endpoint=gcs_server.url, credentials="anonymous")
        await store.put("a", Bytes(b"x"))
        if gone == "after the loop":
            kept.append(store)
        del store
        gc.collect()
        await asyncio.sleep(0)
        while _CLOSING:
            await asyncio.wait(_CLOSING)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(use())
        kept.clear()
        gc.collect()
    said = [str(warning.message) for warning in caught]
    ours = [message for message in said if message.startswith(f"connections to {gcs_server.url} were never closed")]
    assert len(ours) == 1
    # Those of the interpreter itself, which nobody can close once the loop is.
    left = [message for message in said if message not in ours]
    assert all(message.startswith(("unclosed transport", "unclosed <socket")) for message in left)
    assert not left or gone == "after the loop"
    assert caplog.records == []


NEVER_CLOSED = """
import sys
from aioartifacts import sync
url = sys.argv[1]
def use(name):
    store = sync.GCSArtifactStore(bucket_name=sys.argv[2], endpoint=url, credentials="anonymous")
    store.save(1, name)
    return store
use("gone before the end")
store = use("there until the end")
run = store.run("r")
infos = store.iter_artifacts()
next(infos)
print("done")
"""


def test_facade_that_nobody_closes_is_closed_at_the_end(gcs_server):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", NEVER_CLOSED, gcs_server.url, SHARED],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.asyncio
async def test_many_first_calls_open_one_client(server, store):
    async with asyncio.TaskGroup() as group:
        found = [group.create_task(store._bucket()) for _ in range(10)]
    assert len({task.result() for task in found}) == 1


@pytest.mark.asyncio
async def test_call_that_is_cut_off_by_closing_is_a_store_error(server, store):
    reached = asyncio.Event()

    async def stay(start):
        if start:
            reached.set()
            await asyncio.Event().wait()

    bucket = await store._bucket()
    await bucket.client.aclose()
    with pytest.raises(StoreError, match="closed"):
        await store.put("a", Bytes(bytes(2 * CHUNK), before_each=stay))


@pytest.mark.parametrize("verb", ["cancelled", "failed"])
@pytest.mark.asyncio
async def test_connections_are_closed_though_closing_the_credentials(server, store, monkeypatch, verb):
    reached = asyncio.Event()

    async def stay():
        reached.set()
        if verb == "failed":
            raise LookupError("odd")
        await asyncio.Event().wait()

    client = (await store._bucket()).client
    monkeypatch.setattr(client._tokens, "aclose", stay)
    task = asyncio.create_task(store.aclose())
    await reached.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), LookupError)
    assert client._session.closed
    assert not client._finalizer.alive, "it would complain"


def test_each_loop_has_its_own_client(gcs_server):
    store = GCSObjectStore(SHARED, endpoint=gcs_server.url, credentials="anonymous")

    async def use():
        await store.put("a", Bytes(b"x"))
        bucket = await store._bucket()
        await store.aclose()
        return bucket

    buckets = [asyncio.run(use()), asyncio.run(use())]
    thread = threading.Thread(target=lambda: buckets.append(asyncio.run(use())))
    thread.start()
    thread.join(60)
    assert len(set(buckets)) == 3


def test_forked_child_opens_its_own_connections(gcs_server):
    store = GCSObjectStore(SHARED, endpoint=gcs_server.url, credentials="anonymous")

    async def use(key):
        await store.put(key, Bytes(b"x"))
        await store.aclose()

    async def parent():
        await store.put("before", Bytes(b"x"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 and JAX warn of forking with threads, which is the point here
            child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio._set_running_loop(None)
                asyncio.run(use("child"))
                code = 0
            finally:
                os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        await store.put("after", Bytes(b"x"))
        keys = sorted([info.key async for info in store.list()])
        await store.aclose()
        return status, keys

    assert asyncio.run(parent()) == (0, ["after", "before", "child"])


# memory; the server is another process


class Pattern:
    """Many bytes out of one buffer."""

    crc32c = None
    buffers = None

    def __init__(self, count, *, size=None):
        self.count = count
        self.size = size

    async def chunks(self, size):
        buffer = bytearray(size)
        for _ in range(self.count):
            yield memoryview(buffer)


async def _peak(work):
    gc.collect()
    tracemalloc.start()
    try:
        await work
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.asyncio
async def test_upload_of_unknown_size_holds_less_than_two_chunks(gcs_server):
    store = GCSObjectStore(SHARED, endpoint=gcs_server.url, credentials="anonymous", chunk_size=4 * MIB)
    await store.validate()
    assert await _peak(store.put("a", Pattern(12))) < 8 * MIB
    await store.aclose()
    assert gcs_server.snapshot()["buckets"][SHARED]["bytes"] == 48 * MIB


@pytest.mark.asyncio
async def test_parallel_upload_holds_as_many_chunks_as_allowed(gcs_server):
    store = GCSObjectStore(
        SHARED, endpoint=gcs_server.url, credentials="anonymous", chunk_size=5 * MIB, parallel=2, parallel_from=MIB
    )
    await store.validate()
    assert await _peak(store.put("a", Pattern(12, size=60 * MIB))) < 5 * MIB * (2 + 2)
    await store.aclose()
    assert gcs_server.snapshot()["buckets"][SHARED]["bytes"] == 60 * MIB


@pytest.mark.asyncio
@pytest.mark.parametrize("parallel", [1, 4])
async def test_bytes_in_memory_are_not_copied(gcs_server, parallel):
    store = GCSObjectStore(
        SHARED, endpoint=gcs_server.url, credentials="anonymous", parallel=parallel, parallel_from=16 * MIB
    )
    await store.validate()
    body, room = Bytes(bytes(48 * MIB), in_memory=True), memoryview(bytearray(48 * MIB))
    assert await _peak(store.put("a", body)) < 8 * MIB
    assert await _peak(store.get("a", into=room)) < 16 * MIB, "what is read ahead, and no copy of the whole"
    await store.aclose()


@pytest.mark.asyncio
async def test_nothing_given_to_a_request_is_shared_with_another(server, store):
    bucket = await store._bucket()
    session = bucket.client._storage.session
    seen = []
    original = session.request

    async def request(method, url, headers, **options):
        seen.append((headers, options))
        return await original(method, url, headers, **options)

    session.request = request
    async with asyncio.TaskGroup() as group:
        for i in range(5):
            group.create_task(store.put(f"a/{i}", Bytes(bytes(2 * CHUNK))))
    assert len({id(headers) for headers, _ in seen}) == len(seen) == 20
    assert {options["timeout"].total for _, options in seen} == {None}, "no limit on the whole of a transfer"
    assert all(options["timeout"].sock_read and options["timeout"].sock_connect for _, options in seen)


def test_store_is_built_without_a_loop_and_used_on_one(gcs_server):
    store = GCSObjectStore(SHARED, endpoint=gcs_server.url, credentials="anonymous")

    async def use():
        async with opened(gcs_server):  # another store, never used, closes too
            pass
        await store.validate()
        await store.aclose()

    asyncio.run(use())
    assert store.url == f"gs://{SHARED}" != f"gs://{BUCKET}"
