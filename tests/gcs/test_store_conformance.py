"""Every law of object stores, on Google Cloud Storage: small bodies in one request, larger ones in chunks, or in parallel parts."""

import pytest_asyncio

from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.testing.gcs_server import GCSServer
from aioartifacts.testing.gcs_server.state import Description, Preconditions
from aioartifacts.testing.objectstore_suite import ObjectStoreSuite
from aioartifacts.types import KIB, MIB

BUCKET = "laws-of-objects"


class GCSSuite(ObjectStoreSuite):
    """Looks at the server's memory, past its protocol. Uploads that are not finished count as objects."""

    prefix = ""
    options = {}

    @pytest_asyncio.fixture
    async def store(self):
        async with GCSServer(buckets=(BUCKET,)) as self.server:
            store = GCSObjectStore(
                BUCKET, self.prefix, endpoint=self.server.url, credentials="anonymous", **self.options
            )
            yield store
            await store.aclose()

    def _name(self, key):
        return f"{self.prefix}/{key}" if self.prefix else key

    def raw_get(self, store, key):
        found = self.server.state.find(BUCKET, self._name(key))
        return None if found is None else b"".join(found.content.slices(0, found.size))

    def raw_put(self, store, key, data):
        content = self.server.state.rope()
        content.append(data)
        self.server.state.commit(BUCKET, self._name(key), content, Description(), Preconditions())

    def raw_keys(self, store):
        state = self.server.state
        unfinished = {
            f"session of {session.name}"
            for session in state.sessions.values()
            if session.result is None and not session.cancelled
        }
        unfinished |= {f"parts of {upload.name}" for upload in state.multiparts.values()}
        return {name.removeprefix(self._name("")) for name in state.bucket(BUCKET).objects} | unfinished


class TestGCSObjectStore(GCSSuite):
    """As users have it."""


class TestGCSObjectStoreInSmallChunks(GCSSuite):
    prefix = "team/ärtifacts + more"
    options = {"chunk_size": 256 * KIB}


class TestGCSObjectStoreInParallelParts(GCSSuite):
    options = {"chunk_size": 512 * KIB, "parallel": 3, "parallel_from": MIB}
    spill = 8 * MIB
