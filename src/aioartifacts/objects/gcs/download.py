"""Reading an object or a range of it: one request, straight into the memory it is wanted in.

Where all of an object is read, it is compared with the digest that the service sends along, so that what was damaged on its way is
fetched again. The digest of a range is not to be had; whoever puts ranges together compares the whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aioartifacts.errors import ArtifactError, StoreError, TransientStoreError
from aioartifacts.objects.base import ObjectData
from aioartifacts.objects.gcs.chunks import digest
from aioartifacts.objects.gcs.client import Request
from aioartifacts.objects.gcs.names import Names
from aioartifacts.objects.gcs.resources import head, info_of_headers, read_pin
from aioartifacts.types import Generation

if TYPE_CHECKING:
    import aiohttp

    from aioartifacts.objects.gcs.client import Client

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_UNKNOWN = 1 << 20


async def get(
    client: Client,
    names: Names,
    key: str,
    *,
    start: int,
    length: int | None,
    into: memoryview | None,
    generation: Generation | None,
) -> ObjectData:
    """See `AsyncObjectStore.get`."""
    if into is not None:
        into = into.cast("B") if into.format != "B" else into
        length = into.nbytes if length is None else min(length, into.nbytes)
    url = names.object_url(key, alt="media", generation=read_pin(generation, key=key, operation="get"))
    # gzip is asked for so that an object which is stored compressed comes as it is stored; it is not unpacked here either.
    headers = {"Accept-Encoding": "gzip"}
    whole = start == 0 and length is None
    if not whole:
        headers["Range"] = f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"
    found: ObjectData | None = None
    if length != 0:
        reading = _Reading(key, start, length, into)
        request = Request(
            "GET",
            url,
            "get",
            key,
            headers=headers,
            accept=frozenset({200}) if whole else frozenset({200, 206, 416}),
            raw=True,
            expect=_UNKNOWN if length is None else length,
        )
        found = (await client.stream(request, reading.read)).data
    if found is None:  # nothing lies in the range; what the object is has to be asked for
        info = await head(client, names, key, generation=generation, operation="get")
        found = ObjectData(info, b"" if into is None else into[:0])
    return found


def _owned(view: memoryview) -> bytearray:
    """What a view of memory allocated here looks into."""
    owner = view.obj
    if not isinstance(owner, bytearray):
        raise TypeError("a view of other memory")
    return owner


class Read:
    """What came of a download; None for a range beyond the end."""

    __slots__ = ("data",)

    def __init__(self, data: ObjectData | None) -> None:
        self.data = data


class _Reading:
    def __init__(self, key: str, start: int, length: int | None, into: memoryview | None) -> None:
        self._key = key
        self._start = start
        self._length = length
        self._into = into

    async def read(self, response: aiohttp.ClientResponse) -> Read | ArtifactError:
        if response.status == 416:
            return Read(None)
        announced = response.content_length
        if response.status == 206:
            spans = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if spans is None:
                return self._wrong("a range without saying which")
            first, last, total = (int(number) for number in spans.groups())
            end = total if self._length is None else min(self._start + self._length, total)
            if (first, last + 1) != (self._start, end) or (announced is not None and announced != end - first):
                return self._wrong(f"bytes {first} to {last} of {total}, which were not asked for")
            expected = end - first
        elif self._start or (self._length is not None and (announced is None or announced > self._length)):
            return self._wrong("the whole object instead of a range")
        else:
            expected = total = -1 if announced is None else announced
        data = await (self._fill(response, expected) if expected >= 0 else self._collect(response))
        if data is None or (expected >= 0 and data.nbytes != expected):
            return TransientStoreError(
                f"get of {self._key!r}: the answer is not of the length it said; trying again may help",
                path=self._key,
                operation="get",
            )
        total = data.nbytes if total < 0 else total
        info = info_of_headers(response.headers, key=self._key, size=total)
        if data.nbytes == total and info.crc32c is not None and await digest([data]) != info.crc32c:
            return TransientStoreError(
                f"get of {self._key!r}: the bytes are not those that Cloud Storage has, they were damaged on their way; "
                "trying again may help",
                path=self._key,
                operation="get",
            )
        return Read(ObjectData(info, data if self._into is not None else _owned(data)))

    async def _fill(self, response: aiohttp.ClientResponse, size: int) -> memoryview | None:
        view = memoryview(bytearray(size)) if self._into is None else self._into[:size]
        filled = 0
        while True:
            # Not read() or readany(): they join what has arrived into one more copy.
            piece, more = await response.content.readchunk()
            if not piece and not more:
                return view[:filled] if filled < size else view
            if filled + len(piece) > size:
                return None
            view[filled : filled + len(piece)] = piece
            filled += len(piece)

    async def _collect(self, response: aiohttp.ClientResponse) -> memoryview | None:
        data = bytearray()
        while True:
            piece, more = await response.content.readchunk()
            if not piece and not more:
                break
            data += piece
        if self._into is None:
            return memoryview(data)
        if len(data) > self._into.nbytes:
            return None
        self._into[: len(data)] = data
        return self._into[: len(data)]

    def _wrong(self, what: str) -> StoreError:
        return StoreError(
            f"get of {self._key!r}: the service answered with {what}; check endpoint=", path=self._key, operation="get"
        )
