"""The verbs on a bucket, over one client: what a store does on one event loop."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aioartifacts.errors import ArtifactNotFoundError, PermissionDeniedError, StoreError
from aioartifacts.objects.base import AsyncBody, ObjectData
from aioartifacts.objects.gcs import download, multipart, resources
from aioartifacts.objects.gcs.chunks import Chunk, Chunks
from aioartifacts.objects.gcs.client import Client, Request
from aioartifacts.objects.gcs.multipart import Spare, Window
from aioartifacts.objects.gcs.names import FIELDS, Names, precondition
from aioartifacts.objects.gcs.patience import persistently
from aioartifacts.objects.gcs.resumable import put_chunks, put_whole
from aioartifacts.objects.gcs.settings import Settings
from aioartifacts.types import Generation, ObjectInfo

PAGE = 1000
"""Objects per page of a listing: the most that Cloud Storage gives."""
SPARE = 8
"""Chunks in all that parallel uploads from outside memory may hold, beyond one each."""


class Bucket:
    """See `GCSObjectStore` for what the verbs promise."""

    def __init__(self, client: Client, names: Names, settings: Settings) -> None:
        self.client = client
        self._names = names
        self._settings = settings
        self._spare = Spare(min(settings.parallel, SPARE))

    @classmethod
    async def open(cls, names: Names, settings: Settings) -> Bucket:
        return cls(await Client.open(settings), names, settings)

    async def put(self, key: str, body: AsyncBody, if_generation: Generation | None) -> ObjectInfo:
        self._names.name(key)
        precondition(if_generation, key=key, operation="put")
        if if_generation is None and body.size is not None and body.size >= self._settings.parallel_from:
            info = await self._put_parallel(key, body, body.size)
            if info is not None:
                return info
        if body.buffers is not None and body.size is not None and body.size <= self._settings.chunk_size:
            only = Chunk(body.buffers, body.size, last=True)
            return await put_whole(self.client, self._names, key, body, only, if_generation)
        async with aclosing(Chunks(body, self._settings.chunk_size, key=key)) as chunks:
            first = await chunks.next()
            if first.last:
                return await put_whole(self.client, self._names, key, body, first, if_generation)
            return await put_chunks(self.client, self._names, key, body, chunks, first, if_generation)

    async def _put_parallel(self, key: str, body: AsyncBody, size: int) -> ObjectInfo | None:
        if self._settings.parallel == 1:
            return None
        window = Window(self._settings.parallel, None if body.buffers is not None else self._spare)
        async with aclosing(Chunks(body, multipart.part_size(size, self._settings.chunk_size), key=key)) as chunks:
            return await multipart.put_parts(self.client, self._names, key, size, chunks, window)

    async def get(
        self, key: str, start: int, length: int | None, into: memoryview | None, generation: Generation | None
    ) -> ObjectData:
        return await download.get(
            self.client, self._names, key, start=start, length=length, into=into, generation=generation
        )

    async def head(self, key: str, *, operation: str = "head") -> ObjectInfo:
        return await resources.head(self.client, self._names, key, operation=operation)

    async def delete(self, key: str, if_generation: Generation | None) -> None:
        match = precondition(if_generation, key=key, operation="delete")
        url = self._names.object_url(key, ifGenerationMatch=match)
        try:
            await self.client.commit(Request("DELETE", url, "delete", key, accept=frozenset({200, 204})))
        except ArtifactNotFoundError:
            return

    async def list(self, prefix: str, name: str | None) -> AsyncGenerator[ObjectInfo, None]:
        if prefix:
            self._names.name(prefix)
            if name is None or name == prefix.rpartition("/")[2]:
                found = await self._find(prefix)
                if found is not None:
                    yield found
        token: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._page(prefix, token)
            for resource in page.items:
                key = self._names.key(resource.name)
                if key is not None and (name is None or key.rpartition("/")[2] == name):
                    yield resource.info(key)
            token = page.next_page_token
            if not token:
                return
            if token in seen:
                raise StoreError(
                    f"list of {prefix!r} in {self._names.url}: the service gave a page token twice, the listing would never end",
                    path=prefix,
                    operation="list",
                )
            seen.add(token)

    async def _find(self, key: str) -> ObjectInfo | None:
        try:
            return await persistently(self._settings.retry, lambda: self.head(key, operation="list"))
        except ArtifactNotFoundError:
            return None

    async def _page(self, prefix: str, token: str | None) -> resources.Page:
        url = self._names.objects_url(
            prefix=self._names.listing_prefix(prefix) or None,
            maxResults=PAGE,
            pageToken=token,
            fields=f"items({FIELDS}),nextPageToken",
        )
        request = Request("GET", url, "list", None)
        answer = await persistently(self._settings.retry, functools.partial(self.client.call, request))
        return resources.read_page(answer, operation="list")

    async def copy(self, source: str, target: str) -> ObjectInfo:
        token: str | None = None
        while True:
            fields = f"done,rewriteToken,resource({FIELDS})"
            url = self._names.rewrite_url(source, target, rewriteToken=token, fields=fields)
            request = Request("POST", url, "copy", source)
            answer = await persistently(self._settings.retry, functools.partial(self.client.commit, request))
            step = resources.read_rewrite(answer, key=source, operation="copy")
            if step.done and step.resource is not None:
                return step.resource.info(target)
            if step.done or not step.token:
                raise StoreError(
                    f"copy of {source!r}: the service neither finished nor said how to go on; check endpoint=",
                    path=source,
                    operation="copy",
                )
            token = step.token

    async def validate(self) -> None:
        try:
            await self.client.call(Request("GET", self._names.bucket_url(fields="name"), "validate", None))
            return
        except PermissionDeniedError:
            pass  # the roles for objects do not include 'storage.buckets.get'
        await self._page("", None)
