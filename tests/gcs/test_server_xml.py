"""The XML API, as S3-style clients use it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from urllib.parse import quote, urlencode

import pytest
from plain_http import BUCKET, MIB, Client, Reply, object_path, serving

pytestmark = pytest.mark.asyncio

PART = 5 * MIB


def texts(reply: Reply, tag: str) -> list[str]:
    """The texts of all elements of this name."""
    return [item.text or "" for item in ET.fromstring(reply.body).iter() if item.tag.rpartition("}")[2] == tag]  # noqa: S314 - our own server


async def put(client: Client, name: str, body: bytes, **headers: str) -> Reply:
    return await client.send("PUT", f"/{BUCKET}/{quote(name)}", body, **headers)


async def test_putting_and_getting(client: Client) -> None:
    reply = await put(client, "d/ü", b"data", Content_Type="text/x-test", x_goog_meta_colour="blue")
    assert reply.status == 200
    generation = reply.headers["x-goog-generation"]
    found = await client.send("GET", f"/{BUCKET}/d/%C3%BC")
    assert found.body == b"data"
    assert found.headers["x-goog-generation"] == generation
    assert found.headers["ETag"] == reply.headers["ETag"] == '"8d777f385d3dfec8815d20f7496026dc"'
    assert (found.headers["Content-Type"], found.headers["x-goog-meta-colour"]) == ("text/x-test", "blue")
    assert (await client.stat("d/ü")).json()["metadata"] == {"colour": "blue"}


async def test_head_has_the_headers_and_no_body(client: Client) -> None:
    await put(client, "a", b"data")
    reply = await client.send("HEAD", f"/{BUCKET}/a")
    assert (reply.status, reply.headers["Content-Length"], reply.body) == (200, "4", b"")
    assert (await client.send("HEAD", f"/{BUCKET}/b")).status == 404


async def test_what_is_missing(client: Client) -> None:
    reply = await client.send("GET", f"/{BUCKET}/nothing")
    assert (reply.status, texts(reply, "Code")) == (404, ["NoSuchKey"])
    reply = await client.send("GET", "/no-such-bucket/nothing")
    assert (reply.status, texts(reply, "Code")) == (404, ["NoSuchBucket"])
    assert (await client.send("DELETE", f"/{BUCKET}/nothing")).status == 404


async def test_conditions(client: Client) -> None:
    generation = (await put(client, "a", b"one", x_goog_if_generation_match="0")).headers["x-goog-generation"]
    refused = await put(client, "a", b"two", x_goog_if_generation_match="0")
    assert (refused.status, texts(refused, "Code")) == (412, ["PreconditionFailed"])
    assert (await put(client, "a", b"two", x_goog_if_metageneration_match="2")).status == 412
    assert (await put(client, "a", b"two", x_goog_if_generation_match=generation)).status == 200
    target = f"/{BUCKET}/a"
    assert (await client.send("DELETE", target, x_goog_if_generation_match=generation)).status == 412
    assert (await client.send("DELETE", target)).status == 204


async def test_conditions_on_the_etag_and_the_time(client: Client) -> None:
    etag = (await put(client, "a", b"one")).headers["ETag"]
    target = f"/{BUCKET}/a"
    modified = (await client.send("HEAD", target)).headers["Last-Modified"]
    long_ago = "Mon, 01 Jan 2001 00:00:00 GMT"
    assert (await client.send("GET", target, If_Match=etag)).status == 200
    assert (await client.send("GET", target, If_Match='"other"')).status == 412
    assert (await client.send("GET", target, If_None_Match=etag)).status == 304
    assert (await client.send("GET", target, If_None_Match='"other"')).status == 200
    assert (await client.send("GET", target, If_Modified_Since=modified)).status == 304
    assert (await client.send("GET", target, If_Modified_Since=long_ago)).status == 200
    assert (await client.send("GET", target, If_Unmodified_Since=long_ago)).status == 412
    assert (await client.send("GET", target, If_Unmodified_Since=modified)).status == 200


@pytest.mark.parametrize("headers", [{"x_goog_hash": "crc32c=AAAAAA=="}, {"Content_MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}])
async def test_a_wrong_digest_is_refused(client: Client, headers: dict[str, str]) -> None:
    reply = await put(client, "a", b"data", **headers)
    assert (reply.status, texts(reply, "Code")) == (400, ["BadDigest"])


async def test_copying(client: Client) -> None:
    generation = (await put(client, "d/ü", b"data", x_goog_meta_k="v")).headers["x-goog-generation"]
    source = f"{BUCKET}/d%2F%C3%BC"
    assert (await put(client, "b", b"", x_goog_copy_source=source, x_goog_if_generation_match="0")).status == 200
    assert (await put(client, "b", b"", x_goog_copy_source=source, x_goog_if_generation_match="0")).status == 412
    assert (await put(client, "b", b"", x_goog_copy_source=source, x_goog_copy_source_generation="1")).status == 404
    pinned = {"x_goog_copy_source": source, "x_goog_copy_source_generation": generation}
    assert (await put(client, "b", b"", **pinned)).status == 200
    found = (await client.stat("b")).json()
    assert (found["size"], found["metadata"]) == ("4", {"k": "v"})
    assert (await put(client, "b", b"", x_goog_copy_source=f"{BUCKET}/nothing")).status == 404


async def list_all(client: Client, **query: str) -> tuple[list[str], list[str]]:
    names: list[str] = []
    prefixes: list[str] = []
    while True:
        reply = await client.send("GET", f"/{BUCKET}?list-type=2&{urlencode(query)}")
        assert reply.status == 200
        names += texts(reply, "Key")
        prefixes += texts(reply, "Prefix")[1:]
        if texts(reply, "IsTruncated") == ["false"]:
            return names, prefixes
        query["continuation-token"] = texts(reply, "NextContinuationToken")[0]


@pytest.mark.parametrize("page", ["1", "2", "1000"])
async def test_listing(client: Client, page: str) -> None:
    names = ["a", "a&b<c>", "d/1", "d/2", "d/e/3", "f"]
    for name in names:
        await client.put(name, b"x")
    assert await list_all(client, **{"max-keys": page}) == (names, [])
    assert await list_all(client, **{"max-keys": page, "delimiter": "/"}) == (["a", "a&b<c>", "f"], ["d/"])
    assert await list_all(client, **{"max-keys": page, "prefix": "d/", "delimiter": "/"}) == (["d/1", "d/2"], ["d/e/"])
    assert await list_all(client, **{"max-keys": page, "start-after": "d/1"}) == (["d/2", "d/e/3", "f"], [])


async def test_a_list_shows_sizes_and_etags(client: Client) -> None:
    etag = (await put(client, "a", b"data")).headers["ETag"]
    reply = await client.send("GET", f"/{BUCKET}?list-type=2")
    assert (texts(reply, "Size"), texts(reply, "ETag")) == (["4"], [etag])


async def begin(client: Client, name: str, **headers: str) -> str:
    reply = await client.send("POST", f"/{BUCKET}/{name}?uploads", **headers)
    assert reply.status == 200
    return texts(reply, "UploadId")[0]


async def part(client: Client, name: str, upload: str, number: int, body: bytes) -> str:
    reply = await client.send("PUT", f"/{BUCKET}/{name}?partNumber={number}&uploadId={upload}", body)
    assert reply.status == 200
    return reply.headers["ETag"]


async def complete(client: Client, name: str, upload: str, parts: list[tuple[int, str]], **headers: str) -> Reply:
    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in parts)
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return await client.send("POST", f"/{BUCKET}/{name}?uploadId={upload}", body, **headers)


@pytest.mark.parametrize("md5", [True, False])
async def test_a_multipart_upload(md5: bool) -> None:
    async with serving(md5=md5) as client:
        first, last = b"a" * PART, b"b" * 10
        upload = await begin(client, "a", Content_Type="text/x-test", x_goog_meta_k="v")
        etags = [(2, await part(client, "a", upload, 2, last)), (1, await part(client, "a", upload, 1, first))]
        assert (await client.stat("a")).status == 404
        reply = await client.send("GET", f"/{BUCKET}/a?uploadId={upload}")
        assert texts(reply, "PartNumber") == ["1", "2"]
        assert texts(await client.send("GET", f"/{BUCKET}?uploads"), "UploadId") == [upload]
        reply = await complete(client, "a", upload, sorted(etags))
        assert reply.status == 200
        found = (await client.stat("a")).json()
        assert found["generation"] == reply.headers["x-goog-generation"]
        assert (found["contentType"], found["metadata"], "md5Hash" in found) == ("text/x-test", {"k": "v"}, False)
        assert (await client.read("a")).body == first + last
        assert (await complete(client, "a", upload, sorted(etags))).status == 404


async def test_a_part_sent_again_replaces_the_first(client: Client) -> None:
    upload = await begin(client, "a")
    old = await part(client, "a", upload, 1, b"old")
    new = await part(client, "a", upload, 1, b"new")
    assert texts(await complete(client, "a", upload, [(1, old)]), "Code") == ["InvalidPart"]
    assert (await complete(client, "a", upload, [(1, new)])).status == 200
    assert (await client.read("a")).body == b"new"


async def test_a_multipart_upload_is_refused_when_it_does_not_fit(client: Client) -> None:
    upload = await begin(client, "a")
    parts = [(number, await part(client, "a", upload, number, b"small")) for number in (1, 2)]
    assert texts(await complete(client, "a", upload, parts), "Code") == ["EntityTooSmall"]
    assert texts(await complete(client, "a", upload, parts[::-1]), "Code") == ["InvalidPartOrder"]
    assert texts(await complete(client, "a", upload, [(3, "x")]), "Code") == ["InvalidPart"]
    assert (await complete(client, "a", upload, [])).status == 400
    await client.put("a", b"there")
    refused = await complete(client, "a", upload, parts[:1], x_goog_if_generation_match="0")
    assert refused.status == 412
    assert (await client.read("a")).body == b"there"


async def test_aborting_a_multipart_upload(client: Client) -> None:
    upload = await begin(client, "a")
    etag = await part(client, "a", upload, 1, b"x")
    assert (await client.send("DELETE", f"/{BUCKET}/a?uploadId={upload}")).status == 204
    assert texts(await complete(client, "a", upload, [(1, etag)]), "Code") == ["NoSuchUpload"]
    assert (await client.send("DELETE", f"/{BUCKET}/a?uploadId={upload}")).status == 404
    assert client.server.control.snapshot()["multiparts"] == []


async def test_both_apis_see_the_same_objects(client: Client) -> None:
    await put(client, "x/y", b"data", Cache_Control="no-store")
    assert (await client.stat("x/y")).json()["cacheControl"] == "no-store"
    await client.send("PATCH", object_path("x/y"), json.dumps({"metadata": {"k": "v"}}).encode())
    reply = await client.send("GET", f"/{BUCKET}/x/y")
    assert (reply.headers["Cache-Control"], reply.headers["x-goog-meta-k"]) == ("no-store", "v")
    assert reply.headers["x-goog-metageneration"] == "2"
