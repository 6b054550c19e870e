"""Every law of object stores, and artifacts of every size, on a real bucket. Runs only where you ask for it:

    AIOARTIFACTS_TEST_BUCKET=my-bucket python -m pytest tests/gcs/test_real_bucket.py

with Application Default Credentials that may read, write, list and delete objects there ('gcloud auth application-default login', or
GOOGLE_APPLICATION_CREDENTIALS). Everything goes below ``aioartifacts-test-…/`` and is removed afterwards. It costs a few cents.

Without that variable there is nothing in this file to run, and so nothing to skip. That it works, `test_real_bucket_file` shows, which
runs it against the test server.
"""

from __future__ import annotations

import os
from uuid import uuid4

import numpy as np
import pytest
import pytest_asyncio
from google.cloud import storage

from aioartifacts import GCSArtifactStore
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.testing.objectstore_suite import ObjectStoreSuite
from aioartifacts.types import MIB

BUCKET = os.environ.get("AIOARTIFACTS_TEST_BUCKET", "")


class TestRealBucket(ObjectStoreSuite):
    """The laws. Google's own client looks past our store."""

    __test__ = bool(BUCKET)

    @pytest_asyncio.fixture
    async def store(self):
        self.client = storage.Client()
        self.bucket = self.client.bucket(BUCKET)
        self.folder = f"aioartifacts-test-{uuid4()}"
        store = GCSObjectStore(BUCKET, self.folder)
        try:
            yield store
        finally:
            await store.aclose()
            for blob in list(self.bucket.list_blobs(prefix=f"{self.folder}/")):
                blob.delete()
            self.client.close()

    def raw_get(self, store, key):
        blob = self.bucket.get_blob(f"{self.folder}/{key}")
        return None if blob is None else blob.download_as_bytes()

    def raw_put(self, store, key, data):
        self.bucket.blob(f"{self.folder}/{key}").upload_from_string(data)

    def raw_keys(self, store):
        return {blob.name.removeprefix(f"{self.folder}/") for blob in self.bucket.list_blobs(prefix=f"{self.folder}/")}


class TestArtifactsInARealBucket:
    __test__ = bool(BUCKET)

    @pytest_asyncio.fixture
    async def store(self):
        async with GCSArtifactStore(bucket_name=BUCKET, prefix=f"aioartifacts-test-{uuid4()}", trust="all") as store:
            yield store
            await store.delete_many(await store.list_artifacts())
            await store.sweep(grace=0, dry_run=False)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("size", [1024, MIB, 20 * MIB, 100 * MIB])
    async def test_round_trip(self, store, size):
        value = np.arange(size // 8, dtype="float64")
        assert await store.validate()
        location = await store.save(value, "a b/ü#?%2F+/😀", {"n": 1})
        assert np.array_equal(await store.load(location), value)
        assert await store.get_metadata(location) == {"n": 1}
        assert await store.save(value[:100], location) == location
        assert await store.list_artifacts() == ["a b/ü#?%2F+/😀"]
        assert (await store.verify()).ok
        assert np.array_equal(await store.load(location), value[:100])
        assert await store.delete(location)
        assert not await store.exists(location)
