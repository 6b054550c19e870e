"""What can happen to an upload on its way, step by step."""

import asyncio
import base64
import json
import random

import anyio
import pytest
from crc32c import crc32c
from store_places import (
    AT_ONCE,
    BUCKET,
    CHUNK,
    NEVER,
    Bytes,
    fault,
    opened,
    requests,
    server,
    store,
    stored,
    unfinished,
)

from aioartifacts.errors import ArtifactExistsError, ConflictError, StoreError, TransientStoreError
from aioartifacts.objects.gcs.bucket import SPARE
from aioartifacts.objects.gcs.multipart import Spare, Window, part_size
from aioartifacts.objects.gcs.settings import PARTS_MAX
from aioartifacts.types import KIB, MIB

__all__ = ["server", "store"]
pytestmark = pytest.mark.asyncio

DATA = random.Random(1).randbytes(4 * CHUNK + 1000)
PARTS = random.Random(2).randbytes(16 * MIB + 5)
CHUNK_PUT = {"method": "PUT", "query": "upload_id="}
TROUBLES = {
    "503": {"action": "status", "status": 503},
    "429": {"action": "status", "status": 429},
    "408": {"action": "status", "status": 408},
    "503 half way": {"action": "status", "status": 503, "after_bytes": 100_000},
    "503 though applied": {"action": "status", "status": 503, "when": "applied"},
    "drop": {"action": "drop"},
    "drop half way": {"action": "drop", "after_bytes": 100_000},
    "drop though applied": {"action": "drop", "when": "applied"},
}


# one request


async def test_small_body_is_one_request_with_its_digest(server, store):
    info = await store.put("a", Bytes(b"small", in_memory=True))
    (request,) = requests(server)
    assert (request["method"], "uploadType=multipart" in request["query"]) == ("POST", True)
    assert info.crc32c == crc32c(b"small")
    assert info.generation == server.state.find(BUCKET, "a").generation


async def test_small_body_of_unknown_size_is_one_request(server, store):
    await store.put("a", Bytes(b"small"))
    assert [request["method"] for request in requests(server)] == ["POST"]


async def test_body_of_exactly_one_chunk_and_known_size_is_one_request(server, store):
    await store.put("a", Bytes(DATA[:CHUNK], size=CHUNK))
    assert len(requests(server)) == 1


@pytest.mark.parametrize("data", [b"small", DATA], ids=["one request", "in chunks"])
async def test_wrong_digest_is_refused_by_the_service(server, store, data):
    with pytest.raises(StoreError) as caught:
        await store.put("a", Bytes(data, crc32c=crc32c(data) ^ 1))
    assert not isinstance(caught.value, TransientStoreError)
    assert stored(server, "a") is None


async def test_lost_answer_to_a_small_put_is_left_to_the_caller(server, store):
    fault(server, "drop", method="POST", when="applied", count=1)
    with pytest.raises(TransientStoreError):
        await store.put("a", Bytes(b"small"), if_generation=0)
    assert len(requests(server)) == 1, "one attempt"
    with pytest.raises(ArtifactExistsError):
        await store.put("a", Bytes(b"small"), if_generation=0)


async def test_refused_precondition_costs_one_request(server, store):
    await store.put("a", Bytes(b"first"))
    server.journal.clear()
    with pytest.raises(ConflictError):
        await store.put("a", Bytes(b"second"), if_generation=12345)
    assert len(requests(server)) == 1


async def test_generation_of_another_store_conflicts_without_a_request(server, store):
    with pytest.raises(ConflictError):
        await store.put("a", Bytes(b"x"), if_generation="3f:9a")
    assert requests(server) == []


# in chunks


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("nth", [1, 3, 5], ids=["first chunk", "a chunk", "last chunk"])
async def test_upload_survives_trouble_with_a_chunk(server, store, trouble, nth):
    fault(server, **TROUBLES[trouble], **CHUNK_PUT, nth=nth)
    body = Bytes(DATA)
    info = await store.put("a", body, if_generation=0)
    assert server.faults.installed()[0]["fired"] == 1
    assert stored(server, "a") == DATA
    assert (info.size, info.crc32c) == (len(DATA), crc32c(DATA))
    assert (body.begun, unfinished(server)) == (1, 0)


@pytest.mark.parametrize("trouble", [name for name in TROUBLES if "half" not in name])
async def test_upload_survives_trouble_with_opening_it(server, store, trouble):
    fault(server, **TROUBLES[trouble], method="POST", nth=1)
    await store.put("a", Bytes(DATA))
    assert server.faults.installed()[0]["fired"] == 1
    assert stored(server, "a") == DATA


async def test_upload_survives_trouble_with_asking_what_has_arrived(server, store):
    fault(server, "drop", **CHUNK_PUT, nth=(2, 3, 4))
    await store.put("a", Bytes(DATA))
    assert server.faults.installed()[0]["fired"] == 3
    assert stored(server, "a") == DATA


async def test_only_what_has_not_arrived_is_sent_again(server):
    fault(server, "status", status=503, after_bytes=CHUNK + 1000, **CHUNK_PUT, nth=1)
    async with opened(server, chunk_size=2 * CHUNK) as store:
        await store.put("a", Bytes(DATA))
    ranges = [request["headers"]["Content-Range"] for request in requests(server, "PUT")]
    total = len(DATA)
    assert ranges == [
        f"bytes 0-{2 * CHUNK - 1}/*",
        "bytes */*",
        f"bytes {CHUNK}-{2 * CHUNK - 1}/*",
        f"bytes {2 * CHUNK}-{4 * CHUNK - 1}/*",
        f"bytes {4 * CHUNK}-{total - 1}/{total}",
    ]
    assert stored(server, "a") == DATA


async def test_body_of_unknown_size_that_ends_with_a_chunk_is_completed(server, store):
    await store.put("a", Bytes(DATA[: 2 * CHUNK]))
    assert requests(server, "PUT")[-1]["headers"]["Content-Range"] == f"bytes */{2 * CHUNK}"
    assert stored(server, "a") == DATA[: 2 * CHUNK]


@pytest.mark.parametrize("status", [404, 410])
async def test_lost_session_is_begun_anew_with_a_fresh_body(server, store, status):
    fault(server, "status", status=status, **CHUNK_PUT, nth=3)
    body = Bytes(DATA)
    await store.put("a", body)
    assert stored(server, "a") == DATA
    assert (body.begun, body.closed, unfinished(server)) == (2, 2, 0)


async def test_session_that_is_always_lost_is_given_up(server, store):
    fault(server, "status", status=410, **CHUNK_PUT)
    with pytest.raises(TransientStoreError, match="lost the upload session 4 times"):
        await store.put("a", Bytes(DATA))
    assert (stored(server, "a"), unfinished(server)) == (None, 0)


async def test_deadline_ends_an_upload_and_its_session(server):
    fault(server, "status", status=503, **CHUNK_PUT)
    async with opened(server, retry=NEVER) as store:
        with pytest.raises(TransientStoreError, match="503"):
            await store.put("a", Bytes(DATA))
        assert requests(server, "DELETE")[-1]["status"] == 499
    assert unfinished(server) == 0


async def test_precondition_is_checked_when_the_upload_ends(server, store):
    async def rival(start):
        if start == 2 * CHUNK:
            await store.put("a", Bytes(b"rival"))

    with pytest.raises(ArtifactExistsError):
        await store.put("a", Bytes(DATA, before_each=rival), if_generation=0)
    assert stored(server, "a") == b"rival"


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
async def test_body_of_another_size_than_it_said_is_refused(server, store, size):
    with pytest.raises(StoreError, match="not of the size it said"):
        await store.put("a", Bytes(DATA, size=size))
    assert (stored(server, "a"), unfinished(server)) == (None, 0)


# cancelled


async def _cancelled_when(reached, store, body):
    task = asyncio.create_task(store.put("a", body))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_upload_deletes_its_session(server, store):
    reached = asyncio.Event()

    async def stay(start):
        if start == 3 * CHUNK:
            reached.set()
            await asyncio.Event().wait()

    body = Bytes(DATA, before_each=stay)
    await _cancelled_when(reached, store, body)
    assert requests(server)[-1]["method"] == "DELETE"
    assert requests(server)[-1]["status"] == 499
    assert (unfinished(server), body.closed) == (0, 1)


async def test_upload_cancelled_by_a_scope_deletes_its_session(server, store):
    with anyio.CancelScope() as scope:

        async def stop(start):
            if start == 3 * CHUNK:
                scope.cancel()

        await store.put("a", Bytes(DATA, before_each=stop))
    assert scope.cancelled_caught
    assert requests(server)[-1]["status"] == 499
    assert unfinished(server) == 0


@pytest.mark.parametrize("data", [b"small", DATA], ids=["one request", "in chunks"])
async def test_put_cancelled_at_its_commit_returns_when_the_commit_is_decided(server, store, data):
    selection = {"method": "POST"} if data == b"small" else {**CHUNK_PUT, "nth": 5}
    fault(server, "stall", when="commit", **selection)
    task = asyncio.create_task(store.put("a", Bytes(data)))
    await server.control._stalls.wait(1)
    for _ in range(2):  # cancelled twice: no difference
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    server.control.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored(server, "a") == data


# in parallel parts


def parallel(server, **options):
    return opened(server, **{"parallel": 3, "parallel_from": 8 * MIB, **options})


@pytest.mark.parametrize("in_memory", [True, False])
async def test_large_body_goes_in_parallel_parts(server, in_memory):
    fault(server, "latency", method="PUT", latency_ms=20)
    async with parallel(server) as store:
        info = await store.put("a b/ü#?%2F", Bytes(PARTS, in_memory=in_memory, size=len(PARTS)))
    assert stored(server, "a b/ü#?%2F") == PARTS
    assert (info.size, info.crc32c) == (len(PARTS), crc32c(PARTS))
    parts = requests(server, "PUT")
    assert len(parts) == 4
    assert server.journal.peak == 3
    digests = [base64.b64encode(crc32c(PARTS[i : i + 5 * MIB]).to_bytes(4, "big")).decode() for i in range(0, len(PARTS), 5 * MIB)]
    assert sorted(part["headers"]["x-goog-hash"] for part in parts) == sorted(f"crc32c={digest}" for digest in digests)


async def test_precondition_keeps_a_large_body_out_of_parts(server):
    async with parallel(server) as store:
        await store.put("a", Bytes(PARTS, in_memory=True), if_generation=0)
    assert stored(server, "a") == PARTS
    assert not [request for request in requests(server) if "partNumber" in request["query"]]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_parts_survive_trouble(server, trouble):
    fault(server, **TROUBLES[trouble], method="PUT", query="partNumber=2", count=1)
    async with parallel(server) as store:
        await store.put("a", Bytes(PARTS, in_memory=True))
    assert server.faults.installed()[0]["fired"] == 1
    assert (stored(server, "a"), unfinished(server)) == (PARTS, 0)


@pytest.mark.parametrize("trouble", [name for name in TROUBLES if "half" not in name])
async def test_joining_the_parts_survives_trouble(server, trouble):
    fault(server, **TROUBLES[trouble], method="POST", query="uploadId=", count=1)
    async with parallel(server) as store:
        info = await store.put("a", Bytes(PARTS, in_memory=True))
    assert server.faults.installed()[0]["fired"] == 1
    assert info.crc32c == crc32c(PARTS)
    assert (stored(server, "a"), unfinished(server)) == (PARTS, 0)


async def test_failed_part_aborts_the_upload_and_is_no_group(server):
    fault(server, "status", status=403, method="PUT", query="partNumber=3")
    async with parallel(server) as store:
        with pytest.raises(StoreError):
            await store.put("a", Bytes(PARTS, in_memory=True))
    assert (stored(server, "a"), unfinished(server)) == (None, 0)


async def test_body_that_raises_between_parts_aborts_the_upload_and_passes_unchanged(server):
    error = LookupError("of the body")
    async with parallel(server) as store:
        with pytest.raises(LookupError) as caught:
            await store.put("a", Bytes(PARTS, size=len(PARTS) + 1, error=error))
    assert caught.value is error
    assert (stored(server, "a"), unfinished(server)) == (None, 0)


async def test_cancelled_parts_are_aborted(server):
    fault(server, "stall", method="PUT", query="partNumber=2")
    async with parallel(server) as store:
        task = asyncio.create_task(store.put("a", Bytes(PARTS, in_memory=True)))
        await server.control._stalls.wait(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert requests(server)[-1]["method"] == "DELETE"
        server.control.release()
    assert (stored(server, "a"), unfinished(server)) == (None, 0)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_service_without_parts_gets_chunks(server, status):
    fault(server, "status", status=status, method="POST", query="^uploads")
    body = Bytes(PARTS, size=len(PARTS))
    async with parallel(server, chunk_size=4 * MIB) as store:
        await store.put("a", body)
    assert (stored(server, "a"), body.begun) == (PARTS, 1)


async def test_parts_are_never_too_many_nor_too_small():
    assert part_size(100 * MIB, 256 * KIB) == 5 * MIB
    assert part_size(100 * MIB, 8 * MIB) == 8 * MIB
    huge = 5 * 1024 * 1024 * MIB
    assert -(-huge // part_size(huge, 8 * MIB)) <= PARTS_MAX


async def test_window_admits_one_part_always_and_more_while_there_is_room():
    spare = Spare(1)
    one, other = Window(3, spare), Window(3, spare)
    for window in (one, one, other):
        await asyncio.wait_for(window.enter(), 5)
    waiting = asyncio.create_task(other.enter())
    await asyncio.sleep(0)
    assert not waiting.done(), "the spare chunk is taken"
    one.leave()
    other.leave()
    await asyncio.wait_for(waiting, 5)
    for window in (one, other):
        window.leave()
    assert (spare.take(), spare.take()) == (True, False), "all was given back, once"


async def test_part_that_never_got_its_turn_gives_its_room_back(server):
    """A task that is cancelled before its first step never runs, not even its ``finally``."""

    class Breaks(Bytes):
        async def chunks(self, size):
            for number in range(2):
                yield PARTS[number * size : (number + 1) * size]
            raise LookupError("of the body")  # with no pause behind the chunk before

    async with parallel(server) as store:
        bucket = await store._bucket()
        with pytest.raises(LookupError):
            await store.put("a", Breaks(PARTS, size=len(PARTS)))
        free = sum(bucket._spare.take() for _ in range(SPARE))
        assert free == store._settings.parallel
    assert unfinished(server) == 0


async def test_upload_goes_on_as_long_as_there_is_progress(server):
    fault(server, "status", status=503, after_bytes=CHUNK, **CHUNK_PUT, nth=(1, 3, 5, 7))
    async with opened(server, chunk_size=4 * CHUNK, retry=AT_ONCE) as store:
        await store.put("a", Bytes(DATA))
    assert json.dumps([entry["fired"] for entry in server.faults.installed()]) == "[4]"
    assert stored(server, "a") == DATA
