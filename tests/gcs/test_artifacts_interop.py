"""What Google's own client writes we read, and what we write it reads; the digests agree."""

from __future__ import annotations

import base64
import pickle

import numpy as np
import pytest
from artifact_places import Thing
from crc32c import crc32c
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager

from aioartifacts import ArtifactNotFoundError, UntrustedArtifactError
from aioartifacts.record import decode_record
from aioartifacts.sync import GCSArtifactStore
from aioartifacts.testing.pytest_plugin import BUCKET

VALUE = {"weights": list(range(100)), "name": "ö"}


@pytest.fixture
def bucket(gcs_server):
    client = storage.Client(
        project="example", credentials=AnonymousCredentials(), client_options={"api_endpoint": gcs_server.url}
    )
    yield client.bucket(BUCKET)
    client.close()


@pytest.fixture
def store(gcs_server):
    with GCSArtifactStore(bucket_name=BUCKET, endpoint=gcs_server.url, credentials="anonymous", trust="all") as found:
        yield found


def upload(bucket, path, data):
    bucket.blob(f"aioartifacts/{path}").upload_from_string(data, checksum="crc32c")


@pytest.mark.parametrize("path", ["model", "runs/r1/model.pkl", "a b/ü#?%2F+/😀"])
def test_bare_pickle_as_flowyml_uploads_it_is_read(bucket, store, path):
    upload(bucket, path, pickle.dumps(VALUE))
    assert store.load(path) == VALUE
    assert store.load(f"gs://{BUCKET}/aioartifacts/{path}") == VALUE
    assert store.exists(path)
    assert store.size(path) == len(pickle.dumps(VALUE))
    assert store.info(path).safe is False


def test_large_bare_pickle_is_read(bucket, store):
    array = np.arange(2_500_000.0)
    upload(bucket, "model", pickle.dumps(array))
    assert np.array_equal(store.load("model"), array)


def test_pickle_that_google_s_transfer_manager_uploads_in_parts_is_read(bucket, store, tmp_path):
    array = np.arange(1_500_000.0)
    (tmp_path / "file").write_bytes(pickle.dumps(array))
    transfer_manager.upload_chunks_concurrently(
        str(tmp_path / "file"), bucket.blob("aioartifacts/model"), chunk_size=5 << 20, worker_type="thread"
    )
    assert np.array_equal(store.load("model"), array)


def test_bare_pickle_is_refused_under_trust_data_with_the_choices(bucket, gcs_server):
    upload(bucket, "model", pickle.dumps(VALUE))
    with GCSArtifactStore(bucket_name=BUCKET, endpoint=gcs_server.url, credentials="anonymous") as store:
        with pytest.raises(UntrustedArtifactError, match="trust='all'") as caught:
            store.load("model")
        assert store.exists("model")
    assert caught.value.path == "model"


def test_bare_pickle_is_overwritten_and_deleted(bucket, store):
    upload(bucket, "model", pickle.dumps(VALUE))
    store.save({"new": 1}, "model")
    assert store.load("model") == {"new": 1}
    store.delete("model")
    upload(bucket, "other", pickle.dumps(VALUE))
    assert store.delete("other") is True
    with pytest.raises(ArtifactNotFoundError):
        store.load("other")
    assert bucket.get_blob("aioartifacts/other") is None


@pytest.mark.parametrize("data", [b"0123456789" * 5000, bytes(20 << 20)], ids=["one request", "in chunks"])
def test_what_we_write_google_s_client_reads_with_the_same_digest(bucket, store, data):
    store.save(Thing(data), "a b/ü#?%2F+")
    document = bucket.blob("aioartifacts/a b/ü#?%2F+/metadata.json").download_as_bytes(checksum="crc32c")
    (part,) = decode_record(document, "a b/ü#?%2F+").record.parts
    blob = bucket.get_blob(f"aioartifacts/a b/ü#?%2F+/{part.file}")
    content = blob.download_as_bytes(checksum="crc32c")
    assert blob.crc32c == base64.b64encode(crc32c(content).to_bytes(4, "big")).decode()
    assert int(part.crc32c, 16) == crc32c(content)
    assert blob.size == part.size
    assert pickle.loads(content) == Thing(data)


def test_store_copied_by_google_s_client_is_a_store(bucket, store, gcs_server):
    store.save_many({"a": b"x" * 100_000, "b/c": VALUE})
    for blob in bucket.list_blobs(prefix="aioartifacts/"):
        bucket.copy_blob(blob, bucket, "copy/" + blob.name.removeprefix("aioartifacts/"))
    with GCSArtifactStore(bucket_name=BUCKET, prefix="copy", endpoint=gcs_server.url, credentials="anonymous") as copy:
        assert copy.load_many(["a", "b/c"]) == {"a": b"x" * 100_000, "b/c": VALUE}
        assert copy.verify().ok


def test_folder_markers_of_the_console_are_not_artifacts(bucket, store):
    upload(bucket, "runs/", b"")
    store.save(1, "runs/a")
    assert store.list_artifacts() == ["runs/a"]
