"""Clients that know the real service work on the fake one: google-cloud-storage, gcsfs, obstore, gcloud-aio-storage."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from crc32c import crc32c
from peer_clients import BUCKET, PEERS, GooglePeer, Missing, Peer, Refused

from aioartifacts.testing.gcs_server import GCSServerProcess, service_account

# Importing Google's packages, on a Python they are about to leave behind.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:google"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:google"),
    # gcsfs hands memoryviews of more than 1 MiB to aiohttp.
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

ODD_NAMES = [
    "with space", "a#b", "a?b=c&d", "a%2Fb", "100%", "a+b", "ünïcode/naïve", "日本語", "emoji 🎉/🧪", "a;b,c=d@e:f$g!h",
    "~tilde*(x)[y]{z}|'\"<>^`", "trailing.", "dots/.../x", "back\\slash", "e\u0301 decomposed", "a" * 1024,
]  # fmt: skip


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, gcs_server: GCSServerProcess) -> Iterator[Peer]:
    client = PEERS[request.param](gcs_server.url)
    yield client
    client.close()


def able(verb: str) -> pytest.MarkDecorator:
    """For the clients that have this verb."""
    names = [name for name, kind in PEERS.items() if hasattr(kind, verb)]
    return pytest.mark.parametrize("peer", names, indirect=True)


def pattern(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def test_what_is_put_is_got(peer: Peer) -> None:
    peer.put("a/b", b"hello")
    assert peer.get("a/b") == b"hello"


def test_an_empty_object(peer: Peer) -> None:
    peer.put("empty", b"")
    assert peer.get("empty") == b""
    assert peer.stat("empty").size == 0


def test_overwriting(peer: Peer) -> None:
    peer.put("a", b"one")
    first = peer.stat("a")
    peer.put("a", b"three")
    second = peer.stat("a")
    assert peer.get("a") == b"three"
    assert first.generation is not None
    assert second.generation is not None
    assert int(second.generation) > int(first.generation)


def test_create_refuses_what_exists(peer: Peer) -> None:
    peer.create("a", b"first")
    with pytest.raises(Refused):
        peer.create("a", b"second")
    assert peer.get("a") == b"first"


@able("conditional_put")
def test_replacing_exactly_one_generation(peer: Peer) -> None:
    peer.put("a", b"one")
    generation = int(peer.stat("a").generation or 0)
    peer.conditional_put("a", b"two", generation)  # type: ignore[attr-defined]
    with pytest.raises(Refused):
        peer.conditional_put("a", b"three", generation)  # type: ignore[attr-defined]
    assert peer.get("a") == b"two"


@able("conditional_delete")
def test_deleting_exactly_one_generation(peer: Peer) -> None:
    peer.put("a", b"one")
    old = int(peer.stat("a").generation or 0)
    peer.put("a", b"two")
    with pytest.raises(Refused):
        peer.conditional_delete("a", old)  # type: ignore[attr-defined]
    peer.conditional_delete("a", int(peer.stat("a").generation or 0))  # type: ignore[attr-defined]
    with pytest.raises(Missing):
        peer.stat("a")


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 10), (0, 1000), (999, 1000)])
def test_ranges(peer: Peer, start: int, stop: int) -> None:
    data = pattern(1000)
    peer.put("a", data)
    assert peer.get_range("a", start, stop) == data[start:stop]


@pytest.mark.parametrize("verb", ["get", "stat", "delete"])
def test_what_is_missing_is_missing(peer: Peer, verb: str) -> None:
    with pytest.raises(Missing):
        getattr(peer, verb)("nothing/here")


def test_deleting(peer: Peer) -> None:
    peer.put("a", b"x")
    peer.put("a/b", b"y")
    peer.delete("a")
    assert peer.names() == ["a/b"]


def test_listing_over_several_pages(peer: Peer) -> None:
    names = [f"x/{number:03d}" for number in range(30)]
    for name in ["w", *names, "y"]:
        peer.put(name, b"")
    assert peer.names("x/") == names


def test_listing_one_level(peer: Peer) -> None:
    for name in ["top", "d/a", "d/b", "d/e/1", "d/e/2", "d/f/g/h", "dd/a"]:
        peer.put(name, b"")
    assert peer.folder("d/") == (["d/a", "d/b"], ["d/e/", "d/f/"])


def test_uploading_in_several_requests(peer: Peer, gcs_server: GCSServerProcess) -> None:
    data = pattern(12_000_000)
    peer.put_chunked("large", data)
    assert peer.get("large") == data
    assert len([item for item in gcs_server.log() if item["bytes_in"]]) > 1


def test_describing(peer: Peer) -> None:
    peer.put_described("a", b"x", "text/x-test", {"colour": "blue", "size": "12"})
    found = peer.stat("a")
    assert found.content_type == "text/x-test"
    assert found.metadata == {"colour": "blue", "size": "12"}


def test_copying(peer: Peer) -> None:
    peer.put_described("a", b"data", "text/x-test", {"k": "v"})
    peer.copy("a", "b/c")
    assert peer.get("b/c") == b"data"
    assert peer.stat("b/c").metadata == {"k": "v"}
    assert peer.stat("b/c").content_type == "text/x-test"


@able("compose")
def test_composing(peer: Peer) -> None:
    parts = [pattern(100_000), b"", b"tail", pattern(70_000)]
    for number, data in enumerate(parts):
        peer.put(f"part-{number}", data)
    peer.compose([f"part-{number}" for number in range(4)], "whole")  # type: ignore[attr-defined]
    whole = b"".join(parts)
    assert peer.get("whole") == whole
    assert peer.stat("whole").crc32c == base64.b64encode(crc32c(whole).to_bytes(4, "big")).decode()


@able("compose")
def test_checksums(peer: Peer) -> None:
    peer.put("a", b"123456789")
    assert peer.stat("a").crc32c == base64.b64encode((0xE3069283).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(peer: Peer, name: str, gcs_server: GCSServerProcess) -> None:
    peer.put(name, name.encode())
    peer.put("other", b"")
    assert peer.get(name) == name.encode()
    assert set(peer.names()) == {name, "other"}
    peer.delete(name)
    assert peer.names() == ["other"]


@pytest.mark.parametrize("writer", PEERS)
def test_what_one_client_writes_the_others_read(writer: str, gcs_server: GCSServerProcess) -> None:
    data = pattern(300_000)
    clients = {name: kind(gcs_server.url) for name, kind in PEERS.items()}
    try:
        clients[writer].put("shared/näme 🎉", data)
        assert {name: client.get("shared/näme 🎉") == data for name, client in clients.items()} == dict.fromkeys(PEERS, True)
    finally:
        for client in clients.values():
            client.close()


@pytest.mark.parametrize("peer", ["google-cloud-storage"], indirect=True)
class TestGoogle:
    def test_patching_metadata(self, peer: GooglePeer) -> None:
        peer.put_described("a", b"x", "text/plain", {"keep": "1", "drop": "2"})
        blob = peer.bucket.get_blob("a")
        blob.metadata = {"drop": None, "new": "3"}
        blob.patch()
        again = peer.bucket.get_blob("a")
        assert again.metadata == {"keep": "1", "new": "3"}
        assert again.metageneration == 2
        assert again.generation == blob.generation

    def test_a_batch(self, peer: GooglePeer) -> None:
        for name in ("a", "b", "c"):
            peer.put(name, b"x")
        with peer.client.batch():
            peer.bucket.delete_blob("a")
            peer.bucket.delete_blob("c")
        assert peer.names() == ["b"]

    def test_a_batch_with_a_failure_in_it(self, peer: GooglePeer) -> None:
        from google.api_core.exceptions import NotFound

        peer.put("a", b"x")

        def delete_both() -> None:
            with peer.client.batch():
                peer.bucket.delete_blob("a")
                peer.bucket.delete_blob("nothing")

        with pytest.raises(NotFound):
            delete_both()
        assert peer.names() == []

    def test_a_wrong_digest_is_refused(self, peer: GooglePeer) -> None:
        from google.api_core.exceptions import BadRequest

        blob = peer.bucket.blob("a")
        blob.crc32c = "AAAAAA=="
        with pytest.raises(BadRequest, match="CRC32C"):
            blob.upload_from_string(b"data", checksum=None)
        assert peer.names() == []

    def test_an_upload_of_unknown_size(self, peer: GooglePeer) -> None:
        data = pattern(700_000)
        with peer.bucket.blob("a").open("wb", chunk_size=256 * 1024) as file:
            for at in range(0, len(data), 100_000):
                file.write(data[at : at + 100_000])
        assert peer.get("a") == data

    def test_an_upload_survives_503(self, peer: GooglePeer, gcs_server: GCSServerProcess) -> None:
        gcs_server.fault("status", query="upload_id=", nth=2, after_bytes=100)
        data = pattern(800_000)
        peer.put_chunked("a", data)
        assert peer.get("a") == data
        assert [item["fired"] for item in gcs_server.faults()] == [1]

    def test_a_rewrite_in_several_calls(self, peer: GooglePeer, gcs_server: GCSServerProcess) -> None:
        peer.put("a", pattern(3_000_000))
        target, token, calls = peer.bucket.blob("b"), None, 0
        while calls == 0 or token is not None:
            # The client has no argument for it; the service splits on its own.
            path = f"{peer.bucket.blob('a').path}/rewriteTo{target.path}"
            query = {"maxBytesRewrittenPerCall": 1048576} | ({"rewriteToken": token} if token else {})
            answer = peer.client._post_resource(path, {}, query_params=query)
            token, calls = answer.get("rewriteToken"), calls + 1
        assert calls == 3
        assert peer.get("b") == pattern(3_000_000)

    def test_a_bucket(self, peer: GooglePeer) -> None:
        from google.api_core.exceptions import Conflict, NotFound

        bucket = peer.client.create_bucket("another-bucket")
        assert peer.client.bucket("another-bucket").exists()
        with pytest.raises(Conflict):
            peer.client.create_bucket(BUCKET)
        assert {item.name for item in peer.client.list_buckets()} == {"another-bucket", BUCKET}
        bucket.delete()
        with pytest.raises(NotFound):
            peer.client.get_bucket("another-bucket")


def test_google_with_a_service_account() -> None:
    from google.cloud import storage
    from google.oauth2.service_account import Credentials

    with GCSServerProcess("--bucket", BUCKET, "--require-token") as server:
        credentials = Credentials.from_service_account_info(service_account(server.url))
        client = storage.Client(project="example", credentials=credentials, client_options={"api_endpoint": server.url})
        client.bucket(BUCKET).blob("a").upload_from_string(b"data")
        server.revoke_tokens()
        assert client.bucket(BUCKET).blob("a").download_as_bytes() == b"data", "a refused token is renewed"
        client.close()
        assert 401 in [item["status"] for item in server.log()]
