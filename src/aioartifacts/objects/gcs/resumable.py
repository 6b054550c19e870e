"""Uploads in one request, and in chunks that survive what happens on the way.

After Cloud Storage's "Resumable uploads": every failure is answered by asking how much has arrived, and only the rest is sent again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import getrandbits
from typing import TYPE_CHECKING

import msgspec
import yarl

from aioartifacts.errors import ArtifactError, StoreError, TransientStoreError
from aioartifacts.objects.base import AsyncBody
from aioartifacts.objects.gcs.chunks import Chunk, Chunks, cut, digest
from aioartifacts.objects.gcs.client import Answer, Request, finish
from aioartifacts.objects.gcs.names import FIELDS, Names, precondition
from aioartifacts.objects.gcs.patience import Patience, persistently
from aioartifacts.objects.gcs.resources import encode_crc32c, head, read_resource
from aioartifacts.types import KIB, Generation, ObjectInfo

if TYPE_CHECKING:
    from aioartifacts.objects.gcs.client import Client

RESTARTS = 3
"""Times that an upload begins anew after its session was lost."""
SMALL = 64 * KIB
"""Bytes up to which a request is joined into one write."""
BINARY = "application/octet-stream"

_RANGE = re.compile(r"bytes=0-(\d+)", re.ASCII)


async def put_whole(
    client: Client, names: Names, key: str, body: AsyncBody, chunk: Chunk, if_generation: Generation | None
) -> ObjectInfo:
    """Store a body that is one chunk: one request, metadata and bytes together, with a digest that the service checks."""
    checksum = body.crc32c if body.crc32c is not None else await digest(chunk.pieces)
    metadata = msgspec.json.encode({"name": names.name(key), "crc32c": encode_crc32c(checksum), "contentType": BINARY})
    # Nobody is trusted not to guess it: bytes that imitate the end of their part would not be those of the digest.
    boundary = f"{getrandbits(128):032x}"
    before = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode()
        + metadata
        + f"\r\n--{boundary}\r\nContent-Type: {BINARY}\r\n\r\n".encode()
    )
    after = f"\r\n--{boundary}--\r\n".encode()
    match = precondition(if_generation, key=key, operation="put")
    if chunk.size <= SMALL:
        joined = memoryview(b"".join([before, *chunk.pieces, after]))
        message = [joined]
    else:
        message = [memoryview(before), *chunk.pieces, memoryview(after)]
    request = Request(
        "POST",
        names.upload_url(uploadType="multipart", ifGenerationMatch=match, fields=FIELDS),
        "put",
        key,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
        body=message,
        creating=match == "0",
    )
    return read_resource(await client.commit(request), key=key, operation="put")


async def put_chunks(
    client: Client,
    names: Names,
    key: str,
    body: AsyncBody,
    chunks: Chunks,
    first: Chunk,
    if_generation: Generation | None,
) -> ObjectInfo:
    """Store a body in chunks, of which *first* has been taken already. One chunk is held at a time."""
    match = precondition(if_generation, key=key, operation="put")
    chunk = first
    for restart in range(RESTARTS + 1):
        if restart:
            await chunks.restart()
            chunk = await chunks.next()
        upload = Upload(client, names, key, body, match)
        await persistently(client.settings.retry, upload.start)
        try:
            return await upload.send_all(chunks, chunk)
        except SessionLostError:
            await finish(upload.cancel())
        except BaseException:
            await finish(upload.cancel())
            raise
    raise TransientStoreError(
        f"put of {key!r}: Cloud Storage lost the upload session {RESTARTS + 1} times; trying again may help",
        path=key,
        operation="put",
    )


class SessionLostError(Exception):
    """The service no longer knows the session, or no longer has what it had."""


@dataclass(slots=True)
class Upload:
    """One session. Its address is a secret: whoever has it can write."""

    client: Client
    names: Names
    key: str
    body: AsyncBody
    match: str | None
    url: str = field(default="", repr=False)

    async def start(self) -> None:
        metadata = {"name": self.names.name(self.key), "contentType": BINARY}
        if self.body.crc32c is not None:
            metadata["crc32c"] = encode_crc32c(self.body.crc32c)
        headers = {"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Type": BINARY}
        if self.body.size is not None:
            headers["X-Upload-Content-Length"] = str(self.body.size)
        asked = self.names.upload_url(uploadType="resumable", ifGenerationMatch=self.match, fields=FIELDS)
        request = Request(
            "POST",
            asked,
            "put",
            self.key,
            headers=headers,
            body=[memoryview(msgspec.json.encode(metadata))],
            accept=frozenset({200, 201}),
            creating=self.match == "0",
        )

        async def undo(answer: Answer) -> None:
            self._remember(asked, answer)
            await self.cancel()

        self._remember(asked, await self.client.commit(request, undo))

    def _remember(self, asked: str, answer: Answer) -> None:
        location = answer.headers.get("Location")
        if not location:
            raise self._failed("opened no upload session")
        self.url = str(yarl.URL(asked, encoded=True).join(yarl.URL(location, encoded=True)))

    async def send_all(self, chunks: Chunks, chunk: Chunk) -> ObjectInfo:
        patience = Patience(self.client.settings.retry)
        start = 0
        while True:
            info = await self._send(chunk, start, patience)
            if info is not None:
                return info
            start += chunk.size
            chunk = await chunks.next()

    async def _send(self, chunk: Chunk, start: int, patience: Patience) -> ObjectInfo | None:
        """Send one chunk until all of it has arrived; answers the object when it was the last."""
        end = start + chunk.size
        total = end if chunk.last else self.body.size
        position, ask = start, False
        while True:
            try:
                answer = await self._put(chunk, start, position, total, ask=ask)
            except TransientStoreError as error:
                await patience.wait(error)
                ask = True
                continue
            if answer.status in (404, 410):
                raise SessionLostError
            if answer.status != 308:
                return await self._done(answer, chunk)
            arrived = self._arrived(answer)
            if not start <= arrived <= end:
                raise SessionLostError
            if arrived > position:
                patience.progressed()
            elif not ask:
                await patience.wait(self._nothing_arrived())
            position, ask = arrived, False
            if position == end and not chunk.last:
                return None

    async def _put(self, chunk: Chunk, start: int, position: int, total: int | None, *, ask: bool) -> Answer:
        size = "*" if total is None else str(total)
        end = start + chunk.size
        rest = [] if ask else cut(chunk.pieces, position - start, chunk.size)
        # An empty one with the whole size both asks what has arrived and, when all has, completes the object.
        span = f"bytes {position}-{end - 1}/{size}" if rest else f"bytes */{size}"
        request = Request(
            "PUT",
            self.url,
            "put",
            self.key,
            headers={"Content-Range": span},
            body=rest or None,
            accept=frozenset({200, 201, 308, 404, 410}),
            creating=self.match == "0",
        )
        return await (self.client.commit(request) if chunk.last else self.client.call(request))

    async def _done(self, answer: Answer, chunk: Chunk) -> ObjectInfo:
        if not chunk.last:
            raise self._failed("completed the object before its last chunk was sent")
        if answer.body:
            return read_resource(answer, key=self.key, operation="put")
        return await persistently(
            self.client.settings.retry, lambda: head(self.client, self.names, self.key, operation="put")
        )

    def _arrived(self, answer: Answer) -> int:
        span = answer.headers.get("Range")
        if span is None:
            return 0
        matched = _RANGE.fullmatch(span.strip())
        if matched is None:
            raise self._failed("did not say how much of an upload has arrived")
        return int(matched[1]) + 1

    async def cancel(self) -> None:
        """Give the session up. Of no consequence when it fails: nothing of it is visible, and the service forgets it in a week."""
        if self.url:
            await self.client.call(Request("DELETE", self.url, "put", self.key, accept=frozenset(range(200, 600))))

    def _failed(self, what: str) -> ArtifactError:
        return StoreError(
            f"put of {self.key!r}: the service {what}; check endpoint=", path=self.key, operation="put"
        )

    def _nothing_arrived(self) -> TransientStoreError:
        return TransientStoreError(
            f"put of {self.key!r}: Cloud Storage took nothing of what was sent; trying again may help",
            path=self.key,
            operation="put",
        )
