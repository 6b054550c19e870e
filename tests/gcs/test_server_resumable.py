"""Resumable uploads: chunks, status queries, interruptions, cancelling."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from plain_http import BUCKET, CHUNK, Client, object_path

from aioartifacts.testing.gcs_server import Fault

pytestmark = pytest.mark.asyncio


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


async def test_chunks_until_the_last(client: Client) -> None:
    data = pattern(2 * CHUNK + 100)
    location = await client.begin("a/b", {"metadata": {"k": "v"}}, X_Upload_Content_Type="text/x-test")
    for first in (0, CHUNK):
        reply = await client.chunk(location, data[first : first + CHUNK], f"bytes {first}-{first + CHUNK - 1}/*")
        assert (reply.status, reply.headers["Range"]) == (308, f"bytes=0-{first + CHUNK - 1}")
        assert (await client.stat("a/b")).status == 404, "nothing is visible before the end"
    last = await client.chunk(location, data[2 * CHUNK :], f"bytes {2 * CHUNK}-{len(data) - 1}/{len(data)}")
    assert last.status == 200
    assert (last.json()["metadata"], last.json()["contentType"]) == ({"k": "v"}, "text/x-test")
    assert (await client.read("a/b")).body == data


async def test_everything_in_one_request(client: Client) -> None:
    data = pattern(100_000)
    location = await client.begin("a")
    assert (await client.send("PUT", location, data)).status == 200
    assert (await client.read("a")).body == data


async def test_chunks_may_be_posted(client: Client) -> None:
    location = await client.begin("a")
    assert (await client.send("POST", location, b"data", Content_Range="bytes 0-3/4")).status == 200


@pytest.mark.parametrize("total", ["*", "1000000"])
async def test_a_status_query_before_any_byte_has_no_range(client: Client, total: str) -> None:
    location = await client.begin("a")
    reply = await client.chunk(location, b"", f"bytes */{total}")
    assert reply.status == 308
    assert "Range" not in reply.headers


async def test_a_status_query_tells_what_is_there(client: Client) -> None:
    location = await client.begin("a")
    await client.chunk(location, pattern(CHUNK), f"bytes 0-{CHUNK - 1}/*")
    reply = await client.chunk(location, b"", "bytes */*")
    assert (reply.status, reply.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")


async def test_a_status_query_with_the_size_completes(client: Client) -> None:
    location = await client.begin("a")
    await client.chunk(location, pattern(CHUNK), f"bytes 0-{CHUNK - 1}/*")
    reply = await client.chunk(location, b"", f"bytes */{CHUNK}")
    assert (reply.status, reply.json()["size"]) == (200, str(CHUNK))


async def test_an_empty_object(client: Client) -> None:
    location = await client.begin("a")
    assert (await client.chunk(location, b"", "bytes */0")).status == 200
    assert (await client.stat("a")).json()["size"] == "0"


async def test_a_status_query_after_the_end_answers_with_the_object(client: Client) -> None:
    location = await client.begin("a")
    done = await client.send("PUT", location, b"data")
    for total in ("*", "4"):
        reply = await client.chunk(location, b"", f"bytes */{total}")
        assert (reply.status, reply.json()["generation"]) == (200, done.json()["generation"])


async def test_the_last_chunk_again_does_not_write_again(client: Client) -> None:
    location = await client.begin("a")
    done = await client.chunk(location, b"data", "bytes 0-3/4")
    again = await client.chunk(location, b"data", "bytes 0-3/4")
    assert (again.status, again.json()["generation"]) == (200, done.json()["generation"])


@pytest.mark.parametrize("content_range", ["bytes */*", "bytes */4"])
async def test_a_status_query_with_a_body_is_refused(client: Client, content_range: str) -> None:
    location = await client.begin("a")
    assert (await client.chunk(location, b"data", content_range)).status == 400
    assert (await client.stat("a")).status == 404


@pytest.mark.parametrize("content_range", ["bytes", "0-3/4", "bytes 3-0/4", "bytes 0-3/2", "bytes -3/4", "bytes 0-9/10"])
async def test_a_range_that_does_not_fit_is_refused(client: Client, content_range: str) -> None:
    location = await client.begin("a")
    assert (await client.chunk(location, b"data", content_range)).status == 400
    assert (await client.chunk(location, b"data", "bytes 0-3/4")).status == 200


async def test_a_small_chunk_that_is_not_the_last_is_refused(client: Client) -> None:
    location = await client.begin("a")
    reply = await client.chunk(location, pattern(CHUNK - 1), f"bytes 0-{CHUNK - 2}/*")
    assert reply.status == 400
    assert b"required to be equal or greater than 262144" in reply.body
    assert "Range" not in (await client.chunk(location, b"", "bytes */*")).headers


async def test_an_odd_chunk_is_kept_in_whole_quanta(client: Client) -> None:
    data = pattern(3 * CHUNK)
    location = await client.begin("a")
    reply = await client.chunk(location, data[: 2 * CHUNK + 77], f"bytes 0-{2 * CHUNK + 76}/*")
    assert (reply.status, reply.headers["Range"]) == (308, f"bytes=0-{2 * CHUNK - 1}")
    gap = await client.chunk(location, data[2 * CHUNK + 77 :], f"bytes {2 * CHUNK + 77}-{3 * CHUNK - 1}/{3 * CHUNK}")
    assert gap.status == 503
    assert b"exceeds already uploaded size of 524288 byte(s)" in gap.body
    last = await client.chunk(location, data[2 * CHUNK :], f"bytes {2 * CHUNK}-{3 * CHUNK - 1}/{3 * CHUNK}")
    assert last.status == 200
    assert (await client.read("a")).body == data


async def test_bytes_that_are_there_already_are_ignored(client: Client) -> None:
    data = pattern(2 * CHUNK)
    location = await client.begin("a")
    await client.chunk(location, data[:CHUNK], f"bytes 0-{CHUNK - 1}/*")
    other = b"\xff" * CHUNK + data[CHUNK:]
    reply = await client.chunk(location, other, f"bytes 0-{2 * CHUNK - 1}/{2 * CHUNK}")
    assert reply.status == 200
    assert (await client.read("a")).body == data


async def test_the_total_cannot_change(client: Client) -> None:
    location = await client.begin("a", X_Upload_Content_Length="100")
    assert (await client.chunk(location, b"data", "bytes 0-3/4")).status == 400
    location = await client.begin("a")
    await client.chunk(location, pattern(CHUNK), f"bytes 0-{CHUNK - 1}/{2 * CHUNK}")
    assert (await client.chunk(location, b"data", f"bytes {CHUNK}-{CHUNK + 3}/{CHUNK + 4}")).status == 400


async def test_cancelling(client: Client) -> None:
    location = await client.begin("a")
    await client.chunk(location, pattern(CHUNK), f"bytes 0-{CHUNK - 1}/*")
    assert (await client.send("DELETE", location)).status == 499
    assert (await client.chunk(location, b"data", f"bytes {CHUNK}-{CHUNK + 3}/{CHUNK + 4}")).status == 410
    assert (await client.chunk(location, b"", "bytes */*")).status == 410
    assert client.server.control.snapshot()["sessions"] == []
    assert (await client.stat("a")).status == 404


async def test_cancelling_what_is_complete_does_not_take_it_back(client: Client) -> None:
    location = await client.begin("a")
    await client.send("PUT", location, b"data")
    await client.send("DELETE", location)
    assert (await client.read("a")).body == b"data"


async def test_an_unknown_upload_is_not_found(client: Client) -> None:
    location = await client.begin("a")
    assert (await client.send("PUT", location + "x", b"data")).status == 404


async def test_a_condition_is_checked_at_the_beginning_and_at_the_end(client: Client) -> None:
    location = await client.begin("a", query="&ifGenerationMatch=0")
    await client.put("a", b"first")
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=a&ifGenerationMatch=0"
    assert (await client.send("POST", target)).status == 412
    assert (await client.send("PUT", location, b"second")).status == 412
    assert (await client.send("PUT", location, b"second")).status == 412
    assert (await client.read("a")).body == b"first"


async def test_digests_are_checked_at_the_end(client: Client) -> None:
    location = await client.begin("a", {"crc32c": "AAAAAA=="})
    assert (await client.send("PUT", location, b"data")).status == 400
    location = await client.begin("a")
    assert (await client.send("PUT", location, b"data", x_goog_hash="crc32c=AAAAAA==")).status == 400
    assert (await client.stat("a")).status == 404


async def test_an_answer_without_308_on_request(client: Client) -> None:
    location = await client.begin("a")
    reply = await client.chunk(location, pattern(CHUNK), f"bytes 0-{CHUNK - 1}/*", X_GUploader_No_308="yes")
    assert (reply.status, reply.headers["X-HTTP-Status-Code-Override"]) == (200, "308")
    assert reply.headers["Range"] == f"bytes=0-{CHUNK - 1}"


async def test_a_body_of_unknown_length_is_the_rest(client: Client) -> None:
    data = pattern(3 * CHUNK + 5)

    async def body() -> object:
        for at in range(0, len(data), 50_000):
            yield data[at : at + 50_000]

    location = await client.begin("a")
    assert (await client.send("PUT", location, body(), Content_Range="bytes 0-*/*")).status == 200
    assert (await client.read("a")).body == data


@pytest.mark.parametrize("action", ["drop", "status"])
async def test_an_interrupted_chunk_is_kept_in_whole_quanta(client: Client, action: str) -> None:
    data = pattern(4 * CHUNK)
    location = await client.begin("a")
    client.server.add_fault(Fault(action=action, method="PUT", after_bytes=2 * CHUNK + 10))  # type: ignore[arg-type]
    if action == "drop":
        with pytest.raises(aiohttp.ClientError):
            await client.send("PUT", location, data)
    else:
        assert (await client.send("PUT", location, data)).status == 503
    client.server.faults.remove()
    reply = await client.chunk(location, b"", f"bytes */{len(data)}")
    assert (reply.status, reply.headers["Range"]) == (308, f"bytes=0-{2 * CHUNK - 1}")
    rest = await client.chunk(location, data[2 * CHUNK :], f"bytes {2 * CHUNK}-{len(data) - 1}/{len(data)}")
    assert rest.status == 200
    assert (await client.read("a")).body == data


async def test_the_newest_request_of_an_upload_takes_over(client: Client) -> None:
    data = pattern(2 * CHUNK)
    location = await client.begin("a")
    client.server.add_fault(Fault(action="stall", method="PUT", after_bytes=CHUNK + 10, count=1))
    stuck = asyncio.create_task(client.send("PUT", location, b"\xff" * (2 * CHUNK)))
    await client.server.stalls.wait()
    reply = await client.chunk(location, b"", "bytes */*")
    assert reply.headers["Range"] == f"bytes=0-{CHUNK - 1}"
    last = await client.chunk(location, data[CHUNK:], f"bytes {CHUNK}-{2 * CHUNK - 1}/{2 * CHUNK}")
    assert last.status == 200
    client.server.control.release()
    assert (await stuck).status == 503
    assert (await client.read("a")).body == b"\xff" * CHUNK + data[CHUNK:]


async def test_the_name_may_come_in_the_resource(client: Client) -> None:
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable"
    reply = await client.send("POST", target, json.dumps({"name": "ü/b"}).encode())
    assert (await client.send("PUT", reply.headers["Location"], b"x")).json()["name"] == "ü/b"
    assert (await client.send("GET", object_path("ü/b"))).status == 200
