"""The JSON API's objects, status code by status code."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import json
import weakref
import zlib

import pytest
from crc32c import crc32c
from plain_http import BUCKET, MIB, Client, object_path, serving

pytestmark = pytest.mark.asyncio

READS = [
    "/storage/v1/b/bkt/o/d%2Fa?alt=media",
    "/download/storage/v1/b/bkt/o/d%2Fa?alt=media",
    "/bkt/d/a?",
]


def encoded_crc(data: bytes) -> str:
    return base64.b64encode(crc32c(data).to_bytes(4, "big")).decode()


async def test_an_upload_answers_with_the_resource(client: Client) -> None:
    reply = await client.put("d/a", b"hello", Content_Type="text/x-test")
    found = reply.json()
    assert reply.status == 200
    assert found["kind"] == "storage#object"
    assert (found["bucket"], found["name"], found["size"]) == (BUCKET, "d/a", "5")
    assert (found["metageneration"], found["contentType"]) == ("1", "text/x-test")
    assert found["id"] == f"{BUCKET}/d/a/{found['generation']}"
    assert found["crc32c"] == encoded_crc(b"hello")
    assert found["md5Hash"] == "XUFAKrxLKna5cZ2REBfFkg=="


@pytest.mark.parametrize("target", READS)
async def test_the_three_ways_to_read(client: Client, target: str) -> None:
    generation = (await client.put("d/a", b"hello")).json()["generation"]
    reply = await client.send("GET", target)
    assert (reply.status, reply.body) == (200, b"hello")
    assert reply.headers["x-goog-generation"] == generation
    assert reply.headers["x-goog-hash"] == f"crc32c={encoded_crc(b'hello')},md5=XUFAKrxLKna5cZ2REBfFkg=="


@pytest.mark.parametrize("target", READS)
@pytest.mark.parametrize(
    ("header", "content_range", "body"),
    [
        ("bytes=0-0", "bytes 0-0/10", b"0"),
        ("bytes=2-5", "bytes 2-5/10", b"2345"),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=-30", "bytes 0-9/10", b"0123456789"),
        ("bytes=5-500", "bytes 5-9/10", b"56789"),
    ],
)
async def test_ranges(client: Client, target: str, header: str, content_range: str, body: bytes) -> None:
    await client.put("d/a", b"0123456789")
    reply = await client.send("GET", target, Range=header)
    assert (reply.status, reply.headers["Content-Range"], reply.body) == (206, content_range, body)
    assert reply.headers["x-goog-hash"].startswith(f"crc32c={encoded_crc(b'0123456789')}")


@pytest.mark.parametrize("target", READS)
@pytest.mark.parametrize(("size", "header"), [(10, "bytes=10-"), (10, "bytes=50-60"), (10, "bytes=-0"), (0, "bytes=0-")])
async def test_unsatisfiable_ranges(client: Client, target: str, size: int, header: str) -> None:
    await client.put("d/a", b"x" * size)
    reply = await client.send("GET", target, Range=header)
    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-"])
async def test_what_is_not_one_range_is_ignored(client: Client, header: str) -> None:
    await client.put("a", b"0123456789")
    reply = await client.read("a", Range=header)
    assert (reply.status, reply.body) == (200, b"0123456789")


@pytest.mark.parametrize("target", READS)
async def test_a_read_pinned_to_a_generation(client: Client, target: str) -> None:
    old = (await client.put("d/a", b"old")).json()["generation"]
    new = (await client.put("d/a", b"new")).json()["generation"]
    assert (await client.send("GET", f"{target}&generation={new}")).body == b"new"
    assert (await client.send("GET", f"{target}&generation={old}")).status == 404


async def test_a_reader_keeps_the_generation_it_began(client: Client) -> None:
    data = bytes(range(256)) * 64 * 1024
    await client.put("a", data)
    async with client.session.get(f"{client.server.url}{object_path('a')}?alt=media") as answer:
        first = await answer.content.readexactly(100_000)
        await client.put("a", b"short")
        assert first + await answer.read() == data


async def test_missing_objects_and_buckets(client: Client) -> None:
    assert (await client.stat("nothing")).reason == "notFound"
    assert (await client.stat("nothing")).status == 404
    assert (await client.read("nothing")).status == 404
    assert (await client.send("DELETE", object_path("nothing"))).status == 404
    assert (await client.send("PATCH", object_path("nothing"), b"{}")).status == 404
    assert (await client.send("GET", "/storage/v1/b/no-such-bucket/o")).status == 404
    assert (await client.send("POST", "/upload/storage/v1/b/no-such-bucket/o?uploadType=media&name=a")).status == 404
    assert (await client.send("GET", "/storage/v1/b/bkt/o/un/encoded")).status == 404


async def test_deleting_answers_204(client: Client) -> None:
    await client.put("a", b"x")
    reply = await client.send("DELETE", object_path("a"))
    assert (reply.status, reply.body) == (204, b"")
    assert (await client.stat("a")).status == 404


# ifGenerationMatch and the others: against a live object with generation g and metageneration m, and against none.
CONDITIONS = [
    ("ifGenerationMatch={g}", 200, 412),
    ("ifGenerationMatch=0", 412, 200),
    ("ifGenerationMatch=1", 412, 412),
    ("ifGenerationNotMatch={g}", 304, 304),
    ("ifGenerationNotMatch=0", 200, 304),
    ("ifGenerationNotMatch=1", 200, 304),
    ("ifMetagenerationMatch={m}", 200, 412),
    ("ifMetagenerationMatch=99", 412, 412),
    ("ifMetagenerationNotMatch={m}", 304, 304),
    ("ifMetagenerationNotMatch=99", 200, 304),
    ("ifGenerationMatch={g}&ifMetagenerationMatch=99", 412, 412),
]


async def _condition(client: Client, template: str) -> str:
    await client.put("a", b"old")
    found = (await client.send("PATCH", object_path("a"), b'{"metadata": {"k": "v"}}')).json()
    assert found["metageneration"] == "2"
    return template.format(g=found["generation"], m=found["metageneration"])


@pytest.mark.parametrize(("template", "status", "_absent"), CONDITIONS)
async def test_conditions_on_a_write(client: Client, template: str, status: int, _absent: int) -> None:
    condition = await _condition(client, template)
    reply = await client.put("a", b"new", f"&{condition}")
    assert reply.status == status
    assert (await client.read("a")).body == (b"new" if status == 200 else b"old")


@pytest.mark.parametrize(("template", "_present", "status"), CONDITIONS)
async def test_conditions_on_a_write_of_what_is_absent(
    client: Client, template: str, _present: int, status: int
) -> None:
    assert (await client.put("b", b"new", f"&{template.format(g=12345, m=1)}")).status == status


@pytest.mark.parametrize(("template", "status", "_absent"), CONDITIONS)
@pytest.mark.parametrize(("method", "query"), [("GET", "alt=media"), ("GET", "alt=json"), ("PATCH", ""), ("DELETE", "")])
async def test_conditions_on_what_exists(
    client: Client, template: str, status: int, _absent: int, method: str, query: str
) -> None:
    condition = await _condition(client, template)
    reply = await client.send(method, f"{object_path('a')}?{query}&{condition}")
    expected = 204 if (method, status) == ("DELETE", 200) else status
    assert reply.status == expected
    gone = (method, status) == ("DELETE", 200)
    assert (await client.stat("a")).status == (404 if gone else 200)


async def test_of_many_creators_one_wins(client: Client) -> None:
    replies = await asyncio.gather(*(client.put("a", b"%d" % n, "&ifGenerationMatch=0") for n in range(20)))
    statuses = sorted(reply.status for reply in replies)
    assert statuses == [200] + [412] * 19
    winner = next(reply for reply in replies if reply.status == 200)
    assert (await client.stat("a")).json()["generation"] == winner.json()["generation"]


async def test_a_failed_condition_says_so(client: Client) -> None:
    await client.put("a", b"x")
    assert (await client.put("a", b"y", "&ifGenerationMatch=0")).reason == "conditionNotMet"


async def test_etags_as_conditions(client: Client) -> None:
    etag = (await client.put("a", b"x")).json()["etag"]
    assert (await client.read("a", If_None_Match=etag)).status == 304
    assert (await client.read("a", If_Match="CAE=")).status == 412
    assert (await client.read("a", If_Match=etag)).status == 200


@pytest.mark.parametrize(
    "headers", [{"x_goog_hash": "crc32c=AAAAAA=="}, {"x_goog_hash": "md5=AAAAAAAAAAAAAAAAAAAAAA=="}]
)
async def test_a_wrong_digest_in_a_header_is_refused(client: Client, headers: dict[str, str]) -> None:
    reply = await client.put("a", b"data", **headers)
    assert (reply.status, reply.reason) == (400, "invalid")
    assert (await client.stat("a")).status == 404


async def test_a_right_digest_in_a_header_is_accepted(client: Client) -> None:
    assert (await client.put("a", b"data", x_goog_hash=f"crc32c={encoded_crc(b'data')}")).status == 200


def related(resource: dict[str, object], data: bytes, newline: bytes = b"\r\n") -> bytes:
    lines = [
        b"--frontier", b"Content-Type: application/json; charset=UTF-8", b"", json.dumps(resource).encode(),
        b"--frontier", b"Content-Type: text/x-part", b"", data, b"--frontier--",
    ]  # fmt: skip
    return newline.join(lines)


MULTIPART = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart"
RELATED = 'multipart/related; boundary="frontier"'


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("data", [b"", b"data", b"\r\n", b"\n--fronti\r\n--frontie", b"x" * 3 * MIB])
async def test_a_multipart_upload(client: Client, data: bytes, newline: bytes) -> None:
    body = related({"name": "ü/a", "metadata": {"k": "v"}}, data, newline)
    reply = await client.send("POST", MULTIPART, body, Content_Type=RELATED)
    assert reply.status == 200
    assert reply.json()["metadata"] == {"k": "v"}
    assert reply.json()["contentType"] == "text/x-part"
    assert (await client.read("ü/a")).body == data


@pytest.mark.parametrize("field", [{"crc32c": "AAAAAA=="}, {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}])
async def test_a_wrong_digest_in_the_resource_is_refused(client: Client, field: dict[str, object]) -> None:
    reply = await client.send("POST", MULTIPART, related({"name": "a", **field}, b"data"), Content_Type=RELATED)
    assert reply.status == 400


@pytest.mark.parametrize("body", [b"", b"--frontier--", b"--frontier\r\n\r\n{}\r\n--frontier--", b"no frontier at all"])
async def test_a_malformed_multipart_body_is_refused(client: Client, body: bytes) -> None:
    assert (await client.send("POST", MULTIPART, body, Content_Type=RELATED)).status == 400


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", ".", "..", "é" * 513, ".well-known/acme-challenge/x"])
async def test_illegal_names_are_refused(client: Client, name: str) -> None:
    assert (await client.put(name, b"")).status == 400
    assert (await client.send("GET", f"/storage/v1/b/{BUCKET}/o")).json() == {"kind": "storage#objects"}


@pytest.mark.parametrize("name", ["é" * 512, "/", "//", "a//b", "...", " ", "\t", "\x00", "a/../b", "%", "\U0010ffff"])
async def test_legal_names_round_trip(client: Client, name: str) -> None:
    assert (await client.put(name, b"x")).json()["name"] == name
    assert (await client.read(name)).body == b"x"
    assert (await client.stat(name)).json()["name"] == name


async def test_a_name_that_is_not_utf8_is_refused(client: Client) -> None:
    assert (await client.send("GET", f"/storage/v1/b/{BUCKET}/o/%ff")).status == 400


async def test_patching_merges_and_replacing_does_not(client: Client) -> None:
    await client.send(
        "POST",
        MULTIPART,
        related({"name": "a", "metadata": {"k": "1", "l": "2"}, "cacheControl": "no-store", "contentType": "a/b"}, b"x"),
        Content_Type=RELATED,
    )
    change = {"metadata": {"l": None, "m": "3"}, "cacheControl": None, "contentLanguage": "de"}
    patched = (await client.send("PATCH", object_path("a"), json.dumps(change).encode())).json()
    assert patched["metadata"] == {"k": "1", "m": "3"}
    assert (patched.get("cacheControl"), patched["contentLanguage"], patched["contentType"]) == (None, "de", "a/b")
    assert patched["metageneration"] == "2"
    replaced = (await client.send("PUT", object_path("a"), b'{"metadata": {"n": "4"}}')).json()
    assert (replaced["metadata"], replaced.get("contentLanguage")) == ({"n": "4"}, None)
    assert replaced["generation"] == patched["generation"]


async def test_too_much_metadata_is_refused(client: Client) -> None:
    await client.put("a", b"x")
    change = json.dumps({"metadata": {"k": "v" * 8192}}).encode()
    assert (await client.send("PATCH", object_path("a"), change)).status == 400


async def test_gzip_is_decompressed_unless_it_is_accepted(client: Client) -> None:
    plain = b"text " * 100_000
    packed = gzip.compress(plain)
    await client.put("a", packed, "&contentEncoding=gzip", Content_Type="text/plain")

    unpacked = await client.read("a")
    assert (unpacked.status, unpacked.body) == (200, plain)
    assert "Content-Encoding" not in unpacked.headers
    assert "Content-Length" not in unpacked.headers
    assert unpacked.headers["x-goog-stored-content-encoding"] == "gzip"
    assert unpacked.headers["x-goog-stored-content-length"] == str(len(packed))
    assert unpacked.headers["x-goog-hash"].startswith(f"crc32c={encoded_crc(packed)}")

    ranged = await client.read("a", Range="bytes=0-9")
    assert (ranged.status, ranged.body) == (200, plain), "a range of what is decompressed is ignored"

    kept = await client.read("a", Accept_Encoding="gzip")
    assert (kept.body, kept.headers["Content-Encoding"]) == (packed, "gzip")
    ranged = await client.read("a", Accept_Encoding="gzip", Range="bytes=0-9")
    assert (ranged.status, ranged.body) == (206, packed[:10])


async def test_gzip_that_must_not_be_transformed_is_not(client: Client) -> None:
    packed = gzip.compress(b"text")
    resource = {"name": "a", "contentEncoding": "gzip", "cacheControl": "no-transform"}
    await client.send("POST", MULTIPART, related(resource, packed), Content_Type=RELATED)
    assert (await client.read("a")).body == packed


async def test_an_encoded_request_body_is_stored_as_it_came(client: Client) -> None:
    packed = gzip.compress(b"text")
    await client.put("a", packed, Content_Encoding="gzip")
    assert (await client.stat("a")).json()["size"] == str(len(packed))


async def test_composing_checks_its_sources(client: Client) -> None:
    generation = (await client.put("a", b"one")).json()["generation"]
    await client.put("b", b"two")

    async def compose(*sources: object) -> int:
        body = json.dumps({"sourceObjects": sources}).encode()
        return (await client.send("POST", f"{object_path('c')}/compose", body)).status

    assert await compose() == 400
    assert await compose({"name": "a"}, {"name": "nothing"}) == 404
    assert await compose({"name": "a", "generation": "1"}) == 404
    assert await compose({"name": "a", "objectPreconditions": {"ifGenerationMatch": "1"}}) == 412
    assert await compose(*({"name": "a"} for _ in range(33))) == 400
    assert (await client.stat("c")).status == 404
    assert await compose({"name": "a", "generation": generation}, {"name": "b"}) == 200
    found = (await client.stat("c")).json()
    assert (found["componentCount"], found.get("md5Hash")) == (2, None)
    assert found["crc32c"] == encoded_crc(b"onetwo")
    assert (await client.read("c")).body == b"onetwo"


async def test_composing_an_object_onto_itself_appends(client: Client) -> None:
    await client.put("a", b"one")
    await client.put("b", b"two")
    body = json.dumps({"sourceObjects": [{"name": "a"}, {"name": "b"}]}).encode()
    assert (await client.send("POST", f"{object_path('a')}/compose", body)).status == 200
    assert (await client.read("a")).body == b"onetwo"
    assert (await client.send("POST", f"{object_path('a')}/compose?ifGenerationMatch=0", body)).status == 412


async def test_rewriting_checks_both_sides(client: Client) -> None:
    generation = (await client.put("a", b"one")).json()["generation"]
    target = f"{object_path('a')}/rewriteTo/b/{BUCKET}/o/x%2Fb"
    assert (await client.send("POST", f"{target}?ifSourceGenerationMatch=1")).status == 412
    assert (await client.send("POST", f"{target}?sourceGeneration=1")).status == 404
    assert (await client.send("POST", f"{target}?ifGenerationMatch=0")).json()["done"] is True
    assert (await client.send("POST", f"{target}?ifGenerationMatch=0")).status == 412
    assert (await client.send("POST", f"{target}?sourceGeneration={generation}", b"{}")).status == 200
    assert (await client.read("x/b")).body == b"one"


async def test_moving(client: Client) -> None:
    await client.put("a", b"one")
    assert (await client.send("POST", f"{object_path('a')}/moveTo/o/b")).status == 200
    assert (await client.stat("a")).status == 404
    assert (await client.read("b")).body == b"one"


@pytest.mark.parametrize(
    "name", ["ab", "Upper", "under_score-", "goog-x", "my-google-x", "1.2.3.4", "a..b", "a-.b", "x" * 64, "a/b", "ü"]
)
async def test_illegal_bucket_names_are_refused(client: Client, name: str) -> None:
    reply = await client.send("POST", "/storage/v1/b?project=p", json.dumps({"name": name}).encode())
    assert reply.status == 400


async def test_a_bucket_that_is_not_empty_is_not_deleted(client: Client) -> None:
    await client.put("a", b"x")
    assert (await client.send("DELETE", f"/storage/v1/b/{BUCKET}")).status == 409
    await client.send("DELETE", object_path("a"))
    assert (await client.send("DELETE", f"/storage/v1/b/{BUCKET}")).status == 204


async def test_without_md5(client: Client) -> None:
    async with serving(md5=False) as bare:
        found = (await bare.put("a", b"data")).json()
        assert "md5Hash" not in found
        assert found["crc32c"] == encoded_crc(b"data")


async def test_a_large_object_in_pieces_of_every_size(client: Client) -> None:
    pieces = [bytes([number % 251]) * (number * 7919 % 90_000) for number in range(120)]
    data = b"".join(pieces)

    async def body() -> object:
        for piece in pieces:
            yield piece

    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=a"
    found = (await client.send("POST", target, body())).json()
    assert found["crc32c"] == encoded_crc(data)
    assert (await client.read("a")).body == data
    for start in (0, 1, 89_999, 1_000_000, len(data) - 1):
        reply = await client.read("a", Range=f"bytes={start}-{start + 200_000}")
        assert zlib.crc32(reply.body) == zlib.crc32(data[start : start + 200_001])


async def test_metadata_with_line_breaks_cannot_split_an_answer(client: Client) -> None:
    await client.put("a", b"x")
    change = json.dumps({"metadata": {"k": "v\r\nX-Evil: 1"}, "contentType": "a/b\r\nX-Evil: 1"}).encode()
    await client.send("PATCH", object_path("a"), change)
    reply = await client.send("GET", f"/{BUCKET}/a")
    assert reply.status == 200
    assert "X-Evil" not in reply.headers


async def test_a_finished_upload_does_not_keep_an_overwritten_object_alive(client: Client) -> None:
    location = await client.begin("a")
    await client.send("PUT", location, b"x" * 1000)
    content = weakref.ref(client.server.state.buckets[BUCKET].objects["a"])
    await client.put("a", b"y")
    gc.collect()
    assert content() is None
    assert (await client.chunk(location, b"", "bytes */*")).json()["size"] == "1000"


BATCH = "/batch/storage/v1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"--b\r\nContent-Type: application/http\r\n\r\nGET /storage/v1/b/bkt/o/a HTTP/1.1\r\n\r\n\r\n--b--", b"200"),
        (b"--b\r\nContent-Type: application/http\r\n\r\nGET /storage/v1/b/bkt/o/z HTTP/1.1\r\n\r\n\r\n--b--", b"404"),
        (b"--b\r\nContent-Type: application/http\r\n\r\nGET /storage/v1/b/bkt/o/a?alt=media\r\n\r\n--b--", b"400"),
        (b"--b\r\nContent-Type: application/http\r\n\r\nnonsense\r\n\r\n--b--", b"400"),
        (b"--b\r\nContent-Type: application/http\r\n\r\nPATCH /storage/v1/b/bkt/o/a HTTP/1.1\r\nContent-Type: application/json"
         b'\r\n\r\n{"metadata": {"k": "v"}}\r\n--b--', b"200"),
    ],
)  # fmt: skip
async def test_calls_in_a_batch(client: Client, body: bytes, status: bytes) -> None:
    await client.put("a", b"x")
    reply = await client.send("POST", BATCH, body, Content_Type="multipart/mixed; boundary=b")
    assert reply.status == 200
    assert b"\r\n\r\nHTTP/1.1 " + status in reply.body
    if b"PATCH" in body:
        assert (await client.stat("a")).json()["metadata"] == {"k": "v"}


async def test_a_batch_has_a_limit(client: Client) -> None:
    call = b"--b\r\nContent-Type: application/http\r\n\r\nDELETE /storage/v1/b/bkt/o/a\r\n\r\n"
    reply = await client.send("POST", BATCH, call * 101 + b"--b--", Content_Type="multipart/mixed; boundary=b")
    assert reply.status == 400
