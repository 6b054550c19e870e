"""A body, chunk by chunk, and which chunk is the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import crc32c

from aioartifacts.errors import StoreError
from aioartifacts.objects.base import AsyncBody
from aioartifacts.types import MIB, Buffer

Pieces = Sequence[memoryview]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes in order, in one or more pieces."""

    pieces: Pieces
    size: int
    last: bool
    lasting: bool = False
    """Whether the pieces stay valid when the next chunk is asked for."""


class Chunks:
    """The chunks of a body from its beginning, of *size* bytes but for the last.

    Whether a chunk of full size is the last is not known when the body's size is not: then an empty one may follow. A chunk is called
    the last only after the body has come to its end without an error.
    """

    def __init__(self, body: AsyncBody, size: int, *, key: str) -> None:
        self._body = body
        self._size = size
        self._key = key
        self._iterator: AsyncIterator[Buffer] | None = None
        self._offset = 0

    async def next(self) -> Chunk:
        if self._body.buffers is not None:
            return self._slice(self._body.buffers)
        if self._iterator is None:
            self._iterator = self._body.chunks(self._size)
        data = await self._ask()
        if data is None:
            self._check(self._body.size in (None, self._offset))
            return Chunk((), 0, last=True)
        view = memoryview(data)
        self._offset += view.nbytes
        if view.nbytes == self._size and self._offset != self._body.size:
            return Chunk((view,), view.nbytes, last=False)
        if not isinstance(data, bytes):
            view = memoryview(bytes(view))  # the chunk ends when the end is asked for
        ended = await self._ask() is None  # or with an error of the body's own, which says more
        self._check(ended and self._body.size in (None, self._offset))
        return Chunk((view,), view.nbytes, last=True)

    async def restart(self) -> None:
        """Begin again; the next chunk is the first."""
        await self.aclose()
        self._offset = 0

    async def aclose(self) -> None:
        iterator, self._iterator = self._iterator, None
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            await aclose()

    async def _ask(self) -> Buffer | None:
        return None if self._iterator is None else await anext(self._iterator, None)

    def _slice(self, buffers: Pieces) -> Chunk:
        start, stop = self._offset, self._offset + self._size
        pieces = cut(buffers, start, stop)
        size = sum(piece.nbytes for piece in pieces)
        self._offset += size
        total = sum(buffer.nbytes for buffer in buffers)
        return Chunk(pieces, size, last=self._offset == total, lasting=True)

    def _check(self, ended_well: bool) -> None:
        if not ended_well:
            raise StoreError(
                f"put of {self._key!r}: the body is not of the size it said ({self._body.size} bytes), or its chunks are not",
                path=self._key,
                operation="put",
            )


def cut(buffers: Pieces, start: int, stop: int) -> list[memoryview]:
    """Bytes *start* to *stop* of buffers laid end to end, without a copy."""
    pieces = []
    offset = 0
    for buffer in buffers:
        if offset >= stop:
            break
        piece = buffer[max(0, start - offset) : stop - offset]
        if piece.nbytes and offset + buffer.nbytes > start:
            pieces.append(piece)
        offset += buffer.nbytes
    return pieces


async def digest(pieces: Pieces) -> int:
    """crc32c of all pieces; lets others run after each megabyte."""
    value = 0
    for piece in pieces:
        for start in range(0, piece.nbytes, MIB):
            if start:
                await asyncio.sleep(0)
            value = crc32c.crc32c(piece[start : start + MIB], value)
    return value
