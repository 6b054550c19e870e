"""Reading, listing, copying and checking a bucket."""

import asyncio
import gzip
import random

import pytest
from crc32c import crc32c
from store_places import BUCKET, NEVER, Bytes, fault, make_store, opened, requests, server, store, stored

from aioartifacts.errors import (
    ArtifactNotFoundError,
    ConflictError,
    PermissionDeniedError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.objects.gcs.bucket import Bucket
from aioartifacts.objects.gcs.client import Answer
from aioartifacts.objects.gcs.names import Names
from aioartifacts.testing.gcs_server.state import Description
from aioartifacts.types import MIB

__all__ = ["server", "store"]
pytestmark = pytest.mark.asyncio

DATA = random.Random(3).randbytes(2 * MIB + 3)


def seed(server, name, data, **description):
    content = server.state.rope()
    content.append(data)
    return server.state.commit(BUCKET, name, content, Description(**description))


async def test_whole_read_tells_generation_and_digest(server, store):
    placed = seed(server, "a", DATA)
    got = await store.get("a")
    assert (got.data, got.info.size, got.info.generation) == (DATA, len(DATA), placed.generation)
    assert got.info.crc32c == crc32c(DATA)


async def test_compressed_object_comes_as_it_is_stored(server, store):
    packed = gzip.compress(DATA)
    seed(server, "a", packed, simple={"contentEncoding": "gzip"})
    got = await store.get("a")
    assert got.data == packed
    assert got.info.size == len(packed)
    assert (await store.get("a", start=5, length=10)).data == packed[5:15]


@pytest.mark.parametrize(("start", "length"), [(0, 10), (5, None), (7, 0), (len(DATA) - 2, 100), (len(DATA), 1), (10**9, None)])
async def test_range_is_read_into_a_view(server, store, start, length):
    seed(server, "a", DATA)
    room = bytearray(len(DATA))
    got = await store.get("a", start=start, length=length, into=memoryview(room))
    expected = DATA[start:] if length is None else DATA[start : start + length]
    assert got.data == expected
    assert room[: len(expected)] == expected
    assert not any(room[len(expected) :])
    assert got.info.size == len(DATA)


async def test_empty_object_is_read_whole_and_by_range(server, store):
    seed(server, "a", b"")
    assert (await store.get("a")).data == b""
    assert (await store.get("a", start=0, length=5)).data == b""
    assert (await store.get("a", start=3)).info.size == 0


async def test_generation_of_another_store_counts_as_missing(server, store):
    seed(server, "a", DATA)
    with pytest.raises(ArtifactNotFoundError):
        await store.get("a", generation="9f")


@pytest.mark.parametrize("into", [False, True])
async def test_whole_object_with_a_flipped_bit_is_fetched_again(server, store, into):
    seed(server, "a", DATA)
    fault(server, "flip", method="GET", query="alt=media", count=1)
    room = memoryview(bytearray(len(DATA))) if into else None
    with pytest.raises(TransientStoreError, match="damaged on their way"):
        await store.get("a", into=room)
    assert (await store.get("a", into=room)).data == DATA


async def test_flipped_bit_in_a_range_is_for_the_caller_to_see(server, store):
    seed(server, "a", DATA)
    fault(server, "flip", method="GET", query="alt=media")
    got = await store.get("a", length=1000)
    assert got.info.crc32c == crc32c(DATA)
    assert got.data != DATA[:1000]


@pytest.mark.parametrize("into", [False, True])
async def test_read_that_breaks_off_before_its_first_byte_is_transient_and_one_attempt(server, store, into):
    seed(server, "a", DATA)
    fault(server, "drop", method="GET")
    with pytest.raises(TransientStoreError):
        await store.get("a", into=memoryview(bytearray(len(DATA))) if into else None)
    assert len(requests(server)) in (1, 2), "aiohttp alone repeats what a kept connection lost"


def cut_off(server, *after):
    """Have the answers to the next reads end after so many bytes."""
    for size in after:
        fault(server, "truncate", method="GET", query="alt=media", after_bytes=size, count=1)


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize(("start", "length"), [(0, None), (0, len(DATA)), (1000, None), (1000, MIB)])
async def test_read_that_breaks_off_goes_on_where_it_stopped(server, store, start, length, into):
    placed = seed(server, "a", DATA)
    cut_off(server, 300_000, 0, 200_000)
    room = memoryview(bytearray(len(DATA) - start)) if into else None
    got = await store.get("a", start=start, length=length, into=room)
    end = len(DATA) if length is None else start + length
    assert got.data == DATA[start:end]
    assert got.info.crc32c == crc32c(DATA)
    others = requests(server)[1:]
    assert len(others) == 3
    # What aiohttp has read ahead when a connection is lost is fetched again.
    ranges = [other["headers"]["Range"].removeprefix("bytes=").split("-") for other in others]
    begins = [int(begin) for begin, _ in ranges]
    assert start < begins[0] == begins[1] < begins[2] <= start + 500_000
    assert {last for _, last in ranges} == {str(end - 1)}
    assert all(f"generation={placed.generation}" in other["query"] for other in others)


async def test_read_that_is_replaced_before_it_goes_on_begins_anew(server, store):
    seed(server, "a", DATA)
    cut_off(server, 300_000)
    fault(server, "status", status=404, method="GET", query="generation=", count=1)
    with pytest.raises(TransientStoreError):
        await store.get("a")
    assert (await store.get("a")).data == DATA


async def test_read_that_goes_on_with_other_bytes_than_asked_for_is_refused(server, store):
    seed(server, "a", DATA)
    cut_off(server, 300_000)
    fault(server, "status", status=206, method="GET", query="generation=", count=1)
    with pytest.raises(StoreError, match="not asked for"):
        await store.get("a")


async def test_read_that_never_goes_on_is_transient(server):
    seed(server, "a", DATA)
    fault(server, "stall", when="answer", method="GET")
    async with opened(server, sock_read=0.2, retry=NEVER) as store:
        with pytest.raises(TransientStoreError):
            await store.get("a")
        server.control.release()


async def test_service_that_stops_reading_is_transient():
    async def never_read(reader, writer):
        try:
            await asyncio.Event().wait()
        finally:
            writer.transport.abort()

    deaf = await asyncio.start_server(never_read, "127.0.0.1", 0, limit=1024)
    deaf.url = f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}"
    handlers = asyncio.all_tasks()
    async with opened(deaf, chunk_size=64 * MIB, sock_read=0.2) as store:
        with pytest.raises(TransientStoreError):
            await store.put("a", Bytes(bytes(48 * MIB), in_memory=True))
    deaf.close()
    for task in asyncio.all_tasks() - handlers:
        task.cancel()
    await deaf.wait_closed()


async def test_retry_after_is_passed_on(server, store):
    fault(server, "status", status=429, headers={"Retry-After": "7"}, method="GET")
    with pytest.raises(TransientStoreError) as caught:
        await store.head("a")
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_busy_service_is_transient(server, store, status):
    fault(server, "status", status=status)
    with pytest.raises(TransientStoreError, match=str(status)):
        await store.get("a")


@pytest.mark.parametrize("status", [400, 409, 413, 301])
async def test_other_refusals_are_final(server, store, status):
    fault(server, "status", status=status)
    with pytest.raises(StoreError, match=str(status)) as caught:
        await store.get("a")
    assert not isinstance(caught.value, TransientStoreError)


async def test_service_that_is_not_there_is_transient(server):
    async with opened(server) as store:
        await server.stop()
        with pytest.raises(TransientStoreError):
            await store.head("a")


async def test_delete_of_another_generation_conflicts(server, store):
    seed(server, "a", b"x")
    with pytest.raises(ConflictError):
        await store.delete("a", if_generation=1)
    assert stored(server, "a") == b"x"


async def test_refusal_that_arrives_in_pieces_is_read_to_its_end():
    body = b'{"error": {"code": 404, "message": "The specified bucket does not exist."}}'

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10])
        await writer.drain()
        for _ in range(20):  # let the client see the beginning alone
            await asyncio.sleep(0)
        writer.write(body[10:])
        await writer.drain()
        writer.close()

    slow = await asyncio.start_server(answer, "127.0.0.1", 0)
    slow.url = f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}"
    async with opened(slow) as store:
        with pytest.raises(StoreError, match="no such bucket"):
            await store.head("a")
    slow.close()
    await slow.wait_closed()


# listing


@pytest.mark.parametrize("trouble", ["503", "drop"])
async def test_listing_goes_on_after_trouble_with_a_page(server, store, trouble):
    for i in range(1500):
        seed(server, f"a/{i}", b"")
    fault(server, "drop" if trouble == "drop" else "status", method="GET", query="pageToken", count=2)
    assert len([info async for info in store.list("a")]) == 1500
    assert server.faults.installed()[0]["fired"] == 2


async def test_listing_gives_up_at_the_deadline(server):
    fault(server, "status", method="GET")
    async with opened(server, retry=NEVER) as store:
        with pytest.raises(TransientStoreError):
            [info async for info in store.list()]


async def test_listing_shows_no_folder_markers_and_nothing_outside_the_prefix(server):
    for name in ("team/", "team/a/", "team/a/x", "teams/y", "other"):
        seed(server, name, b"")
    store = make_store(server)
    inside = type(store)(BUCKET, "team", endpoint=server.url, credentials="anonymous")
    assert [info.key async for info in inside.list()] == ["a/x"]
    await inside.aclose()


async def test_page_tokens_that_go_in_circles_end_the_listing():
    class Circling:
        async def call(self, request):
            token = "two" if "pageToken=one" in request.url else "one"
            return Answer(200, {}, b'{"nextPageToken": "%s"}' % token.encode())

    settings = make_store(type("Nowhere", (), {"url": "http://127.0.0.1:1"}))._settings
    bucket = Bucket(Circling(), Names("http://127.0.0.1:1", BUCKET, ""), settings)
    with pytest.raises(StoreError, match="never end"):
        [info async for info in bucket.list("", None)]


async def test_answer_that_is_not_cloud_storage_is_a_store_error():
    class Stranger:
        async def call(self, request):
            return Answer(200, {}, b"<html>welcome</html>")

    settings = make_store(type("Nowhere", (), {"url": "http://127.0.0.1:1"}))._settings
    bucket = Bucket(Stranger(), Names("http://127.0.0.1:1", BUCKET, ""), settings)
    with pytest.raises(StoreError, match="endpoint"):
        await bucket.head("a")


# buckets


async def test_missing_bucket_is_no_missing_artifact(server):
    elsewhere = type(make_store(server))("no-such-bucket", endpoint=server.url, credentials="anonymous")
    calls = [
        lambda: elsewhere.validate(),
        lambda: elsewhere.put("a", Bytes(b"x")),
        lambda: elsewhere.put("a", Bytes(DATA)),
        lambda: elsewhere.head("a"),
        lambda: elsewhere.delete("a"),
        lambda: anext(elsewhere.list()),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="no such bucket"):
            await call()
    await elsewhere.aclose()


async def test_account_that_may_not_see_the_bucket_validates_by_listing(server, store):
    fault(server, "status", status=403, path=f"/b/{BUCKET}$")
    await store.validate()
    fault(server, "status", status=403, path="/o$")
    with pytest.raises(PermissionDeniedError, match="objectUser"):
        await store.validate()


# copy


async def test_copy_stays_within_the_service(server, store):
    seed(server, "a/ü #?", DATA)
    info = await store.copy("a/ü #?", "b/%2F+")
    assert stored(server, "b/%2F+") == DATA
    assert (info.key, info.size, info.crc32c) == ("b/%2F+", len(DATA), crc32c(DATA))
    assert not [request for request in requests(server) if "alt=media" in request["query"]]
    with pytest.raises(ArtifactNotFoundError):
        await store.copy("missing", "b")


async def test_copy_goes_on_until_it_is_done():
    class Slowly:
        def __init__(self):
            self.urls = []

        async def commit(self, request):
            self.urls.append(request.url)
            if len(self.urls) < 3:
                return Answer(200, {}, b'{"done": false, "rewriteToken": "t%d&"}' % len(self.urls))
            return Answer(200, {}, b'{"done": true, "resource": {"name": "b", "size": "7", "generation": "9"}}')

    settings = make_store(type("Nowhere", (), {"url": "http://127.0.0.1:1"}))._settings
    client = Slowly()
    info = await Bucket(client, Names("http://127.0.0.1:1", BUCKET, ""), settings).copy("a", "b")
    assert (info.key, info.size, info.generation) == ("b", 7, 9)
    assert ["rewriteToken=" in url for url in client.urls] == [False, True, True]
    assert "rewriteToken=t2%26" in client.urls[2]
