"""Large uploads: parts side by side, joined by the service at the end (XML API, "Multipart uploads").

One connection carries some 80 MB/s; several carry several times that. Parts are invisible until they are joined, and each is checked by
its digest. The request that joins them takes no preconditions, so this is for unconditional puts only. Composing temporary objects
would take them, but those are visible, and stay when the process dies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from html import escape, unescape
from typing import TYPE_CHECKING

from aioartifacts.errors import ArtifactNotFoundError, StoreError, TransientStoreError
from aioartifacts.objects.gcs.chunks import Chunk, Chunks, digest
from aioartifacts.objects.gcs.client import Answer, Request, finish
from aioartifacts.objects.gcs.names import Names
from aioartifacts.objects.gcs.patience import Patience, persistently
from aioartifacts.objects.gcs.resources import encode_crc32c, head
from aioartifacts.objects.gcs.settings import PART_MIN, PARTS_MAX
from aioartifacts.types import MIB, ObjectInfo

if TYPE_CHECKING:
    from aioartifacts.objects.gcs.client import Client

_UPLOAD_ID = re.compile(r"<UploadId>([^<]+)</UploadId>")
_REFUSED = frozenset({400, 403, 404, 405, 501})


def part_size(size: int, chunk_size: int) -> int:
    """Bytes per part: a chunk, unless that is too little for a part, or makes too many of them."""
    least = -(-size // PARTS_MAX)
    return max(chunk_size, PART_MIN, -(-least // MIB) * MIB)


class Spare:
    """Chunks that uploads from outside memory may hold beyond one each, in all: what keeps many of them at once within bounds."""

    def __init__(self, chunks: int) -> None:
        self._free = chunks

    def take(self) -> bool:
        taken = self._free > 0
        self._free -= taken
        return taken

    def give_back(self) -> None:
        self._free += 1


class Window:
    """The parts of one upload that are on their way: one always, up to *limit* as far as *spare* allows."""

    def __init__(self, limit: int, spare: Spare | None) -> None:
        self._limit = limit
        self._spare = spare
        self._active = 0
        self._borrowed = 0
        self._left = asyncio.Event()

    async def enter(self) -> None:
        while not self._admit():
            self._left.clear()
            await self._left.wait()

    def _admit(self) -> bool:
        if self._active >= self._limit:
            return False
        if self._active and self._spare is not None:
            if not self._spare.take():
                return False
            self._borrowed += 1
        self._active += 1
        return True

    def leave(self) -> None:
        self._active -= 1
        if self._spare is not None and self._borrowed:
            self._borrowed -= 1
            self._spare.give_back()
        self._left.set()


async def put_parts(
    client: Client, names: Names, key: str, size: int, chunks: Chunks, window: Window
) -> ObjectInfo | None:
    """Store a body of known *size* in parts.

    None when the service refuses this kind of upload (an emulator without it; an account that may create objects, but not these
    uploads), before anything of the body was taken.
    """
    upload = _PartsUpload(client, names, key)
    if not await persistently(client.settings.retry, upload.start):
        return None
    try:
        tags = await upload.send_all(chunks, window)
        await upload.complete(tags)
    except BaseException:
        await finish(upload.abort())
        raise
    return await upload.look(size)


class _PartsUpload:
    def __init__(self, client: Client, names: Names, key: str) -> None:
        self._client = client
        self._names = names
        self._key = key
        self._id = ""

    async def start(self) -> bool:
        request = Request(
            "POST",
            self._names.xml_url(self._key, uploads=""),
            "put",
            self._key,
            headers={"Content-Type": "application/octet-stream"},
            accept=_REFUSED | {200},
        )

        async def undo(answer: Answer) -> None:
            if self._accepted(answer):
                await self.abort()

        return self._accepted(await self._client.commit(request, undo))

    def _accepted(self, answer: Answer) -> bool:
        matched = _UPLOAD_ID.search(answer.body.decode("utf-8", "replace"))
        if answer.status != 200 or matched is None:
            return False
        self._id = unescape(matched[1])
        return True

    async def send_all(self, chunks: Chunks, window: Window) -> list[str]:
        tags: dict[int, str] = {}

        async def send(number: int, chunk: Chunk) -> None:
            checksum = await digest(chunk.pieces)
            tags[number] = await persistently(
                self._client.settings.retry, lambda: self._send_part(number, chunk, checksum)
            )

        failure: BaseException
        try:
            async with asyncio.TaskGroup() as group:
                number, last = 0, False
                while not last:
                    await window.enter()
                    number += 1
                    try:
                        chunk = _kept(await chunks.next())
                    except BaseException:
                        window.leave()
                        raise
                    last = chunk.last
                    sending = group.create_task(send(number, chunk))
                    sending.add_done_callback(lambda _: window.leave())  # also when it is cancelled before its first step
                    del chunk  # it goes when it has been sent, which may be before the others have
            return [tags[n] for n in sorted(tags)]
        except BaseExceptionGroup as errors:
            failure = _first(errors)
        raise failure

    async def _send_part(self, number: int, chunk: Chunk, checksum: int) -> str:
        request = Request(
            "PUT",
            self._names.xml_url(self._key, partNumber=number, uploadId=self._id),
            "put",
            self._key,
            headers={"x-goog-hash": f"crc32c={encode_crc32c(checksum)}"},
            body=chunk.pieces,
        )
        tag = (await self._client.call(request)).headers.get("ETag")
        if not tag:
            raise self._failed("took a part without naming it")
        return tag

    async def complete(self, tags: Sequence[str]) -> None:
        """Join the parts. When the answer to that is lost, asking again may be told that there is no such upload any more."""
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag, quote=False)}</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        patience = Patience(self._client.settings.retry)
        lost = False
        while True:
            request = Request(
                "POST",
                self._names.xml_url(self._key, uploadId=self._id),
                "put",
                self._key,
                headers={"Content-Type": "application/xml"},
                body=[memoryview(document)],
                accept=frozenset({200, 404}) if lost else frozenset({200}),
                patience=5.0,  # "can take several minutes"
            )
            try:
                answer = await self._client.commit(request)
            except TransientStoreError as error:
                await patience.wait(error)
                lost = True
                continue
            if answer.status == 404 or b"CompleteMultipartUploadResult" in answer.body:
                return
            raise self._failed("did not join the parts")

    async def look(self, size: int) -> ObjectInfo:
        """What has become of it; the answer to the joining request does not tell."""
        info = None
        with suppress(ArtifactNotFoundError):
            info = await persistently(
                self._client.settings.retry,
                lambda: head(self._client, self._names, self._key, operation="put"),
            )
        if info is not None and info.size == size:
            return info
        raise TransientStoreError(
            f"put of {self._key!r}: the object is not what was uploaded, somebody else wrote or deleted it meanwhile; "
            "trying again may help",
            path=self._key,
            operation="put",
        )

    async def abort(self) -> None:
        """Give the upload up, parts and all."""
        if self._id:
            url = self._names.xml_url(self._key, uploadId=self._id)
            await persistently(
                self._client.settings.retry,
                lambda: self._client.call(Request("DELETE", url, "put", self._key, accept=frozenset({200, 204, 404}))),
            )

    def _failed(self, what: str) -> StoreError:
        return StoreError(
            f"put of {self._key!r}: the service {what}; check endpoint=", path=self._key, operation="put"
        )


def _kept(chunk: Chunk) -> Chunk:
    """A chunk that stays valid when the next is asked for, as views of `bytes` always do."""
    if chunk.lasting or all(isinstance(piece.obj, bytes) for piece in chunk.pieces):
        return chunk
    return Chunk([memoryview(bytes(piece)) for piece in chunk.pieces], chunk.size, chunk.last, lasting=True)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure in a group; single verbs raise no groups."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
