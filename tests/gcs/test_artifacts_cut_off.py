"""Verbs that are cut off at each of their requests, by a cancellation, a timeout or a kill: the artifact is the old one or the new one."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys

import pytest
from artifact_places import CHUNKS, PART, SMALL, Thing, names, opened, orphans
from store_places import fault, requests, server, unfinished

from aioartifacts.sync import GCSArtifactStore
from aioartifacts.testing.pytest_plugin import BUCKET as SHARED

__all__ = ["server"]

SIZES = {"small": SMALL, "one part": PART, "in chunks": Thing(CHUNKS)}
OLD = Thing(PART)
MOMENTS = ["before", "commit", "applied", "answer"]


async def cut_off(server, verb, how, when, nth):
    """Start *verb*, cut it off when its *nth* request is held back, and let the request go on; what a cut-off call does is waited for."""
    fault(server, "stall", nth=nth, count=1, when=when, timeout=60)
    timer: list[asyncio.Timeout] = []

    async def timed():
        async with asyncio.timeout(None) as timeout:
            timer.append(timeout)
            await verb

    task = asyncio.create_task(timed())
    stalled = asyncio.create_task(server.stalls.wait(1))
    await asyncio.wait([task, stalled], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        stalled.cancel()
        await asyncio.wait([stalled])
        assert when in ("commit", "answer"), "not every request has such a moment, a read changes nothing, and an empty answer no middle"
        return await task
    if how == "cancel":
        task.cancel()
    else:
        timer[0].reschedule(0)
    for _ in range(20):
        await asyncio.sleep(0)
    server.control.release()
    await asyncio.wait([task])
    assert task.cancelled() if how == "cancel" else type(task.exception()) is TimeoutError
    return None


async def settled(server):
    """Wait until the server has dealt with everything."""
    while server.journal.in_flight:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.001)


async def prepare(server, store, existing, value):
    server.faults.remove()
    server.control.reset()
    if existing:
        await store.save(value, "a")
    server.journal.clear()


async def count(server, store, existing, verb):
    await prepare(server, store, existing, OLD)
    await verb()
    return len(requests(server))


@pytest.mark.asyncio
@pytest.mark.parametrize("when", MOMENTS)
@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("existing", [False, True], ids=["save", "overwrite"])
async def test_cut_off_save_leaves_old_or_new_and_does_nothing_afterwards(server, existing, size, how, when):
    value = SIZES[size]
    async with opened(server) as store:
        for nth in range(1, await count(server, store, existing, lambda: store.save(value, "a")) + 1):
            await prepare(server, store, existing, OLD)
            await cut_off(server, store.save(value, "a"), how, when, nth)
            left = {name: server.state.find("store-under-test", name).generation for name in names(server)}
            await settled(server)
            server.faults.remove()
            now = {name: server.state.find("store-under-test", name).generation for name in names(server)}
            assert now == left, f"request {nth}: something happened after the call had returned"
            found = await store.load("a") if await store.exists("a") else None
            assert found in ([OLD, value] if existing else [None, value])
            assert orphans(server) == set(), f"request {nth}"
            assert unfinished(server) == 0, f"request {nth}"


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("size", SIZES)
async def test_cut_off_load_changes_nothing(server, size, how):
    async with opened(server) as store:
        await store.save(SIZES[size], "a")
        before = names(server)
        for nth in range(1, len(names(server)) + 1):
            for when in ("before", "answer"):
                server.faults.remove()
                await cut_off(server, store.load("a"), how, when, nth)
        server.faults.remove()
        assert await store.load("a") == SIZES[size]
        assert names(server) == before


@pytest.mark.asyncio
@pytest.mark.parametrize("when", MOMENTS)
@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_cut_off_delete_is_done_or_not(server, how, when):
    async with opened(server) as store:
        for nth in range(1, await count(server, store, True, lambda: store.delete("a")) + 1):
            await prepare(server, store, True, OLD)
            await cut_off(server, store.delete("a"), how, when, nth)
            await settled(server)
            server.faults.remove()
            if await store.exists("a"):
                assert await store.load("a") == OLD
                assert orphans(server) == set()
            else:
                await store.sweep(grace=0, dry_run=False)
                assert names(server) == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_cut_off_listing_leaves_nothing_open(server, how):
    async with opened(server) as store:
        await store.save_many({f"p/{number}": number for number in range(10)})
        for when in ("before", "answer"):
            server.faults.remove()
            await cut_off(server, store.list_artifacts(), how, when, 1)
        server.faults.remove()
        assert len(await store.list_artifacts()) == 10
    gc.collect()  # what was left open would warn


@pytest.mark.asyncio
async def test_cut_off_bulk_save_leaves_each_artifact_whole_or_not_there(server):
    values = {f"p/{number}": Thing(PART) if number % 2 else {"n": number} for number in range(40)}
    async with opened(server) as store:
        for nth in (1, 20, 45):
            await prepare(server, store, False, None)
            await cut_off(server, store.save_many(values), "cancel", "commit", nth)
            await settled(server)
            server.faults.remove()
            found = await store.load_many(await store.list_artifacts())
            assert found == {path: values[path] for path in found}
            assert orphans(server) == set()


# A writer that is killed. One process imports the library; a fork of it is the writer.

WRITER = """
import asyncio, os, sys
import aioartifacts, aioartifacts.objects.gcs.bucket
sys.path.insert(0, sys.argv[2])
from artifact_places import CHUNKS, Thing
async def write(url):
    from aioartifacts.objects.gcs import GCSObjectStore
    objects = GCSObjectStore(sys.argv[3], "aioartifacts", endpoint=url, credentials="anonymous", chunk_size=256 * 1024)
    async with aioartifacts.ArtifactStore(objects) as store:
        await store.save(Thing(CHUNKS), "a")
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(write(sys.argv[1]))
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


@pytest.fixture
def writer(gcs_server):
    command = [sys.executable, "-c", WRITER, gcs_server.url, os.path.dirname(__file__), SHARED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        yield process
        process.stdin.close()


def test_killed_writer_leaves_old_or_new(gcs_server, writer):
    with GCSArtifactStore(bucket_name=SHARED, endpoint=gcs_server.url, credentials="anonymous", trust="all") as store:
        found = []
        for nth in range(1, 9):  # create the session, three chunks, create the record, read it, replace it, delete the old part
            for when in ("before", "applied"):
                gcs_server.reset()
                store.save(OLD, "a")
                gcs_server.fault("stall", nth=nth, when=when, timeout=60)
                print("write", file=writer.stdin, flush=True)
                child = int(writer.stdout.readline())
                gcs_server.wait_stalled()
                os.kill(child, signal.SIGKILL)
                assert writer.stdout.readline() == "gone\n"
                gcs_server.clear_faults()
                gcs_server.release()
                value = store.load("a")
                assert value in (OLD, Thing(CHUNKS))
                found.append(value == OLD)
                assert store.verify().ok
                store.sweep(grace=0, dry_run=False)
                assert store.load("a") == value
                assert gcs_server.snapshot()["buckets"][SHARED]["objects"] == 2
        assert sorted(found, reverse=True) == found, "old until some request, and new from then on"
        assert len(set(found)) == 2
