"""`GCSObjectStore`: the five verbs on a bucket."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import anyio.to_thread

from aioartifacts.errors import InvalidConfigError, MissingDependencyError
from aioartifacts.objects.base import AsyncBody, AsyncObjectStore, ObjectData
from aioartifacts.objects.gcs.names import Names
from aioartifacts.objects.gcs.settings import PUBLIC_ENDPOINT, Credentials, Settings, resolve_endpoint
from aioartifacts.types import JSON, MIB, Generation, ObjectInfo, RetryPolicy

if TYPE_CHECKING:
    from aioartifacts.objects.gcs.bucket import Bucket


class GCSObjectStore(AsyncObjectStore):
    """An object store in a Google Cloud Storage bucket, below *prefix*.

    Parameters:
        bucket: the bare name of the bucket. A store without one can be made and pickled; whatever it is asked for, it asks for a bucket.
        prefix: whole segments that all names start with, as in ``"team/artifacts"``; empty for the whole bucket.
        project: for the record only, in `config`; reading and writing objects takes none.
        endpoint: ``"https://host"``, or ``"http://host:port"`` of an emulator. Without it ``STORAGE_EMULATOR_HOST`` counts, and then
            no credentials are used; without that, the public service.
        credentials: a service-account or other credentials file; ``"anonymous"``; ``AccessToken("…")``; a function that returns a
            token, or a coroutine function, called before each request; None for Application Default Credentials. They are used with a
            custom *endpoint*, too.
        chunk_size: bytes, a multiple of 256 KiB. What is smaller is uploaded in one request, what is larger in chunks of this size.
        parallel: parts of one large upload on their way at once; 1 turns parallel uploads off. Uploads from outside memory hold a chunk
            each, and beyond that eight over the whole store.
        parallel_from: bytes from which an unconditional upload of known size is sent in parallel parts.
        connections: connections open at once; more requests wait for one.
        sock_connect: seconds that connecting may take.
        sock_read: seconds without a byte, in either direction, after which an attempt has failed. There is no limit on the whole.
        retry: how steps of one upload, listing or copy, and the rest of a download, are tried again. Whole calls are not; the caller
            does that.

    It may be used on several event loops, and after `fork`; each gets connections of its own, which `aclose` closes. Pickled, it is its
    configuration; a function as credentials is pickled by reference, an `AccessToken` refuses.
    """

    _latest: tuple[asyncio.AbstractEventLoop, _Slot] | None

    def __init__(
        self,
        bucket: str | None,
        prefix: str = "",
        *,
        project: str | None = None,
        endpoint: str | None = None,
        credentials: Credentials = None,
        chunk_size: int = 8 * MIB,
        parallel: int = 16,
        parallel_from: int = 64 * MIB,
        connections: int = 32,
        sock_connect: float = 20.0,
        sock_read: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  # frozen
    ) -> None:
        endpoint, credentials = resolve_endpoint(endpoint, credentials)
        self._settings = Settings(
            bucket=bucket,
            prefix=prefix,
            project=project,
            endpoint=endpoint,
            credentials=credentials,
            chunk_size=chunk_size,
            parallel=parallel,
            parallel_from=parallel_from,
            connections=connections,
            sock_connect=sock_connect,
            sock_read=sock_read,
            retry=retry,
        )
        self._names = Names(endpoint, bucket or "?", prefix)
        self.url = self._names.url
        self._forget_slots()

    def __repr__(self) -> str:
        return f"GCSObjectStore({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        settings = self._settings
        options = {name: getattr(settings, name) for name in settings.__slots__ if name not in ("bucket", "prefix")}
        return (_rebuild, (settings.bucket, settings.prefix, options))

    def location(self, path: str) -> str:
        return self._names.location(path)

    def relative(self, location: str) -> str | None:
        self._require_bucket()
        return self._names.relative(location)

    def config(self) -> Mapping[str, JSON]:
        settings = self._settings
        endpoint = None if settings.endpoint == PUBLIC_ENDPOINT else settings.endpoint
        return {
            "bucket_name": settings.bucket,
            "prefix": settings.prefix,
            "project_id": settings.project,
            "endpoint": endpoint,
        }

    async def put(self, key: str, body: AsyncBody, *, if_generation: Generation | None = None) -> ObjectInfo:
        """See `AsyncObjectStore.put`.

        A precondition whose first answer was lost may fail against this very put when it is sent again: the error then is the same as
        for somebody else's, and reading the object back tells which it was.
        """
        bucket = self._opened() or await self._bucket()
        return await bucket.put(key, body, if_generation)

    async def get(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        into: memoryview | None = None,
        generation: Generation | None = None,
    ) -> ObjectData:
        """See `AsyncObjectStore.get`. Bytes come as they are stored: what is stored compressed is not unpacked."""
        bucket = self._opened() or await self._bucket()
        return await bucket.get(key, start, length, into, generation)

    async def head(self, key: str) -> ObjectInfo:
        return await (await self._bucket()).head(key)

    async def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        await (await self._bucket()).delete(key, if_generation)

    async def list(self, prefix: str = "", *, name: str | None = None) -> AsyncGenerator[ObjectInfo, None]:
        """See `AsyncObjectStore.list`. Folder markers that consoles create (names that end in ``/``) are not shown."""
        async with aclosing((await self._bucket()).list(prefix, name)) as found:
            async for info in found:
                yield info

    async def copy(self, source_key: str, target_key: str) -> ObjectInfo:
        """Copy an object within the service, metadata and all; the target is replaced. No bytes pass through here.

        Raises:
            ArtifactNotFoundError: *source_key* is missing.
        """
        return await (await self._bucket()).copy(source_key, target_key)

    async def validate(self) -> None:
        """See `AsyncObjectStore.validate`. Asks for the bucket or, where the account may not, for a listing of it."""
        await (await self._bucket()).validate()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        with self._slots_lock():
            self._latest = None
            slot = self._slots.pop(asyncio.get_running_loop(), None)
        if slot is not None:
            await slot.aclose()

    def _opened(self) -> Bucket | None:
        """The bucket if the running loop used it last, without the lock."""
        latest = self._latest
        if latest is None or latest[0] is not asyncio.get_running_loop() or self._pid != os.getpid():
            return None
        return latest[1].bucket

    async def _bucket(self) -> Bucket:
        """The bucket as the running loop sees it; opened when it is first needed."""
        self._require_bucket()
        loop = asyncio.get_running_loop()
        with self._slots_lock():
            slot = self._slots.get(loop)
            if slot is None:
                slot = self._slots[loop] = _Slot()
            self._latest = loop, slot
        return slot.bucket or await slot.open(self._names, self._settings)

    def _require_bucket(self) -> None:
        if self._settings.bucket is None:
            raise InvalidConfigError(
                "no bucket is given: pass bucket_name='my-bucket' (the first argument is the store's name), or open "
                "'gs://my-bucket/prefix'"
            )

    def _slots_lock(self) -> threading.Lock:
        if self._pid != os.getpid():
            # After a fork: what the parent opened is kept, unused, for closing it here would disturb the parent's own loop.
            _INHERITED.append(self._slots)
            self._forget_slots()
        return self._lock

    def _forget_slots(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._latest = None
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, _Slot] = WeakKeyDictionary()


_INHERITED: list[object] = []


class _Slot:
    """One event loop's place for a bucket."""

    def __init__(self) -> None:
        self.bucket: Bucket | None = None
        self._opening = asyncio.Lock()

    async def open(self, names: Names, settings: Settings) -> Bucket:
        async with self._opening:
            if self.bucket is None:
                # aiohttp and gcloud take a second or two to import: not on the loop.
                bucket_class = await anyio.to_thread.run_sync(_import_bucket)
                opened = await bucket_class.open(names, settings)
                self.bucket = opened
            return self.bucket

    async def aclose(self) -> None:
        async with self._opening:
            bucket, self.bucket = self.bucket, None
            if bucket is not None:
                await bucket.client.aclose()


def _rebuild(bucket: str | None, prefix: str, options: dict[str, Any]) -> GCSObjectStore:
    return GCSObjectStore(bucket, prefix, **options)


def _import_bucket() -> type[Bucket]:
    try:
        return importlib.import_module("aioartifacts.objects.gcs.bucket").Bucket  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"a store in Google Cloud Storage needs the package {error.name!r}: pip install 'aioartifacts[gcs]'"
        ) from error
