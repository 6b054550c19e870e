"""Ways to and from a bucket on the test server, which runs in a process of its own; each with 32 requests in flight where it can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from aioartifacts.testing.gcs_server import GCSServerProcess
from benchmarks.harness import Contender

BUCKET = "benchmarks"
TRANSFERS = 32


@cache
def served(latency_ms: float, bandwidth: int | None) -> GCSServerProcess:
    """A server with this latency and bandwidth per connection; it ends with this process."""
    capped = [] if bandwidth is None else ["--bandwidth", str(bandwidth)]
    server = GCSServerProcess("--bucket", BUCKET, "--no-md5", "--latency-ms", str(latency_ms), *capped)
    server.start()
    return server


class OverNetwork(Contender):
    """Clients are opened and closed within each verb, since a client belongs to an event loop."""

    durability = "service"
    latency_ms: ClassVar[float] = 0.0
    bandwidth: ClassVar[int | None] = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        server = served(self.latency_ms, self.bandwidth)
        server.reset()
        self.url = server.url
        self.prepare()

    def prepare(self) -> None:
        """Import what is needed, so that it is not measured."""


def at(contender: type[OverNetwork], latency_ms: float, bandwidth: int | None = None) -> type[OverNetwork]:
    """The same against a server with this latency and bandwidth."""
    return type(contender.__name__, (contender,), {"latency_ms": latency_ms, "bandwidth": bandwidth})


async def _all(calls: Iterable[Callable[[], Coroutine[Any, Any, Any]]]) -> list[Any]:
    """Results in order; as many at once as ours has by default."""
    results: dict[int, Any] = {}
    turns = iter(enumerate(calls))

    async def work() -> None:
        for index, call in turns:
            results[index] = await call()

    await asyncio.gather(*(work() for _ in range(TRANSFERS)))
    return [results[index] for index in sorted(results)]


class Ours(OverNetwork):
    """``store.save_many``, ``store.load_many``."""

    name = "aioartifacts"
    kind = "ours"

    def prepare(self) -> None:
        import aioartifacts.objects.gcs.bucket  # noqa: F401

    def _store(self) -> Any:
        from aioartifacts import GCSArtifactStore

        return GCSArtifactStore(bucket_name=BUCKET, endpoint=self.url, credentials="anonymous", trust="data")

    async def save(self, objects: Mapping[str, object]) -> None:
        async with self._store() as store:
            await store.save_many(objects)

    async def load(self, keys: Sequence[str]) -> list[Any]:
        async with self._store() as store:
            return list((await store.load_many(keys)).values())


class Aiohttp(OverNetwork):
    """Media uploads and downloads, one request each, as short as they can be written."""

    name = "raw aiohttp"
    kind = "raw"
    needs = ("aiohttp",)

    def prepare(self) -> None:
        import aiohttp  # noqa: F401

    def _session(self) -> Any:
        import aiohttp

        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=TRANSFERS), read_bufsize=4 << 20)

    async def save(self, objects: Mapping[str, Any]) -> None:
        async with self._session() as session:

            async def put(key: str, data: Any) -> None:
                url = f"{self.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(key, safe='')}"
                view = memoryview(data).cast("B")
                body = bytes(view) if len(view) <= 1 << 20 else _pieces(view)
                async with session.post(url, data=body, headers={"Content-Length": str(len(view))}) as answer:
                    answer.raise_for_status()
                    await answer.read()

            await _all([lambda key=key, data=data: put(key, data) for key, data in objects.items()])

    async def load(self, keys: Sequence[str]) -> list[Any]:
        async with self._session() as session:

            async def get(key: str) -> bytes:
                url = f"{self.url}/storage/v1/b/{BUCKET}/o/{quote(key, safe='')}?alt=media"
                async with session.get(url) as answer:
                    answer.raise_for_status()
                    data: bytes = await answer.read()
                    return data

            return await _all([lambda key=key: get(key) for key in keys])


async def _pieces(view: memoryview) -> Any:
    for start in range(0, len(view), 1 << 20):
        yield view[start : start + (1 << 20)]


class GcloudAio(OverNetwork):
    """``Storage.upload``, ``Storage.download``."""

    name = "gcloud-aio-storage"
    needs = ("gcloud.aio.storage",)

    def prepare(self) -> None:
        import gcloud.aio.storage  # noqa: F401

    def _storage(self, session: Any) -> Any:
        from gcloud.aio.storage import Storage

        class NoToken:
            async def get(self) -> str:
                return "none"

        return Storage(session=session, token=NoToken(), api_root=self.url, api_is_dev=False)

    async def save(self, objects: Mapping[str, Any]) -> None:
        import aiohttp

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=TRANSFERS)) as session:
            storage = self._storage(session)
            await _all(
                [
                    lambda key=key, data=data: storage.upload(BUCKET, key, bytes(memoryview(data)), timeout=600)
                    for key, data in objects.items()
                ]
            )

    async def load(self, keys: Sequence[str]) -> list[Any]:
        import aiohttp

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=TRANSFERS)) as session:
            storage = self._storage(session)
            return await _all([lambda key=key: storage.download(BUCKET, key, timeout=600) for key in keys])


class Google(OverNetwork):
    """google-cloud-storage, ``upload_from_string`` and ``download_as_bytes``, in 32 threads."""

    name = "google-cloud-storage"
    needs = ("google.cloud.storage",)

    def prepare(self) -> None:
        import requests.adapters
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        self.client = storage.Client(
            project="example", credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )
        self.client._http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=TRANSFERS))
        self.bucket = self.client.bucket(BUCKET)

    def save(self, objects: Mapping[str, Any]) -> None:
        with ThreadPoolExecutor(TRANSFERS) as pool:
            list(pool.map(lambda item: self.bucket.blob(item[0]).upload_from_string(bytes(memoryview(item[1]))), objects.items()))

    def load(self, keys: Sequence[str]) -> list[Any]:
        with ThreadPoolExecutor(TRANSFERS) as pool:
            return list(pool.map(lambda key: self.bucket.blob(key).download_as_bytes(), keys))

    def close(self) -> None:
        self.client.close()


class TransferManager(Google):
    """google-cloud-storage's ``transfer_manager``: parts of 32 MiB in 16 threads, from a file and to a file."""

    name = "google transfer_manager"

    def save(self, objects: Mapping[str, Any]) -> None:
        from google.cloud.storage import transfer_manager

        for key, data in objects.items():
            path = self.folder / "upload"
            path.write_bytes(memoryview(data))
            transfer_manager.upload_chunks_concurrently(
                str(path), self.bucket.blob(key), chunk_size=32 << 20, max_workers=16, worker_type="thread"
            )

    def load(self, keys: Sequence[str]) -> list[Any]:
        from google.cloud.storage import transfer_manager

        path = self.folder / "download"
        for key in keys:
            transfer_manager.download_chunks_concurrently(
                self.bucket.get_blob(key), str(path), chunk_size=32 << 20, max_workers=16, worker_type="thread"
            )
        return [path]


class Gcsfs(OverNetwork):
    """gcsfs, ``pipe_file`` and ``cat_file`` (``cat_ranges`` for a large one)."""

    name = "gcsfs"
    needs = ("gcsfs",)

    def prepare(self) -> None:
        import gcsfs.core  # noqa: F401

    def _fs(self) -> Any:
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(
            token="anon",  # noqa: S106 - none
            project="example",
            endpoint_url=self.url,
            asynchronous=True,
            skip_instance_cache=True,
        )

    async def save(self, objects: Mapping[str, Any]) -> None:
        fs = self._fs()
        session = await fs._set_session()
        await _all(
            [
                lambda key=key, data=data: fs._pipe_file(f"{BUCKET}/{key}", bytes(memoryview(data)), chunksize=50 << 20)
                for key, data in objects.items()
            ]
        )
        await session.close()

    async def load(self, keys: Sequence[str]) -> list[Any]:
        fs = self._fs()
        session = await fs._set_session()
        found = await _all([lambda key=key: fs._cat_file(f"{BUCKET}/{key}") for key in keys])
        await session.close()
        return found


class Obstore(OverNetwork):
    """obstore (Rust) over the XML API, ``put_async`` and ``get_async``."""

    name = "obstore"
    needs = ("obstore",)

    def prepare(self) -> None:
        from obstore.store import GCSStore

        key = {"gcs_base_url": self.url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        self.store = GCSStore(
            BUCKET, config={"service_account_key": json.dumps(key)}, client_options={"allow_http": True, "timeout": "600s"}
        )

    async def save(self, objects: Mapping[str, Any]) -> None:
        import obstore

        await _all(
            [
                lambda key=key, data=data: obstore.put_async(
                    self.store, key, memoryview(data), chunk_size=32 << 20, max_concurrency=16
                )
                for key, data in objects.items()
            ]
        )

    async def load(self, keys: Sequence[str]) -> list[Any]:
        import obstore

        async def get(key: str) -> Any:
            return await (await obstore.get_async(self.store, key)).bytes_async()

        return await _all([lambda key=key: get(key) for key in keys])
