"""Reading an object or a range of it: one request, straight into the memory it is wanted in.

When the connection is lost in the middle, another request goes on behind the last byte that arrived, of the same generation.
Where all of an object is read, it is compared with the digest that the service sends along, so that what was damaged on its way is
fetched again. The digest of a range is not to be had; whoever puts ranges together compares the whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aioartifacts.errors import ArtifactError, ArtifactNotFoundError, StoreError, TransientStoreError
from aioartifacts.objects.base import ObjectData
from aioartifacts.objects.gcs.chunks import digest
from aioartifacts.objects.gcs.client import Request
from aioartifacts.objects.gcs.names import Names
from aioartifacts.objects.gcs.patience import Patience
from aioartifacts.objects.gcs.resources import head, info_of_headers, read_pin
from aioartifacts.types import Generation, ObjectInfo

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
        try:
            found = await client.stream(request, reading.read)
        except TransientStoreError as error:
            if not reading.resumable:
                raise
            found = await _resume(client, names, key, reading, generation, error)
    if found is None:  # nothing lies in the range; what the object is has to be asked for
        info = await head(client, names, key, generation=generation, operation="get")
        found = ObjectData(info, b"" if into is None else into[:0])
    return found


async def _resume(
    client: Client, names: Names, key: str, reading: _Reading, generation: Generation | None, error: TransientStoreError
) -> ObjectData:
    """Fetch what is missing. When nothing of it can be had for as long as the policy allows, the caller hears of that."""
    patience = Patience(client.settings.retry)
    while True:
        await patience.wait(error)
        before = reading.filled
        request = Request(
            "GET",
            names.object_url(key, alt="media", generation=str(reading.generation)),
            "get",
            key,
            headers={"Accept-Encoding": "gzip", "Range": reading.rest},
            accept=frozenset({206}),
            raw=True,
            expect=reading.missing,
        )
        try:
            return await client.stream(request, reading.go_on)
        except TransientStoreError as again:
            if not reading.resumable:
                raise
            error = again
        except ArtifactNotFoundError:
            if generation is not None:
                raise
            raise error from None  # it was replaced meanwhile, so it has to be read from its beginning
        if reading.filled > before:
            patience.progressed()


def _owned(view: memoryview) -> bytearray:
    """What a view of memory allocated here looks into."""
    owner = view.obj
    if not isinstance(owner, bytearray):
        raise TypeError("a view of other memory")
    return owner


class _Reading:
    def __init__(self, key: str, start: int, length: int | None, into: memoryview | None) -> None:
        self._key = key
        self._start = start
        self._length = length
        self._into = into
        self._view: memoryview | None = None
        """Where the bytes go, once their number is known."""
        self._info: ObjectInfo | None = None
        self.filled = 0

    @property
    def generation(self) -> Generation | None:
        return None if self._info is None else self._info.generation

    @property
    def missing(self) -> int:
        """Bytes that have not arrived."""
        return 0 if self._view is None else self._view.nbytes - self.filled

    @property
    def resumable(self) -> bool:
        """Whether some bytes have arrived, and it is known how to get the others."""
        return self.filled > 0 and self.missing > 0 and self.generation is not None

    @property
    def rest(self) -> str:
        """The range of what is missing."""
        first = self._start + self.filled
        return f"bytes={first}-{first + self.missing - 1}"

    async def read(self, response: aiohttp.ClientResponse) -> ObjectData | None | ArtifactError:
        """Read an answer; None for a range beyond the end."""
        if response.status == 416:
            return None
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
        if expected < 0:
            data = await self._collect(response)
            if data is None:
                return self._cut_short()
            return await self._checked(data, info_of_headers(response.headers, key=self._key, size=data.nbytes))
        self._info = info_of_headers(response.headers, key=self._key, size=total)
        self._view = memoryview(bytearray(expected)) if self._into is None else self._into[:expected]
        return await self._fill(response, self._view, self._info)

    async def go_on(self, response: aiohttp.ClientResponse) -> ObjectData | ArtifactError:
        """Read what was missing after an earlier answer was cut off."""
        spans = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if self._view is None or self._info is None or spans is None or f"bytes={spans[1]}-{spans[2]}" != self.rest:
            return self._wrong("a range that was not asked for")
        return await self._fill(response, self._view, self._info)

    async def _checked(self, data: memoryview, info: ObjectInfo) -> ObjectData | ArtifactError:
        if data.nbytes == info.size and info.crc32c is not None and await digest([data]) != info.crc32c:
            return TransientStoreError(
                f"get of {self._key!r}: the bytes are not those that Cloud Storage has, they were damaged on their way; "
                "trying again may help",
                path=self._key,
                operation="get",
            )
        return ObjectData(info, data if self._into is not None else _owned(data))

    async def _fill(self, response: aiohttp.ClientResponse, view: memoryview, info: ObjectInfo) -> ObjectData | ArtifactError:
        while True:
            # Not read() or readany(): they join what has arrived into one more copy.
            piece, more = await response.content.readchunk()
            if not piece and not more:
                return await self._checked(view, info) if self.filled == view.nbytes else self._cut_short()
            end = self.filled + len(piece)
            if end > view.nbytes:
                self.filled = 0  # what has arrived is not to be trusted
                return self._cut_short()
            view[self.filled : end] = piece
            self.filled = end

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

    def _cut_short(self) -> TransientStoreError:
        return TransientStoreError(
            f"get of {self._key!r}: the answer is not of the length it said; trying again may help",
            path=self._key,
            operation="get",
        )

    def _wrong(self, what: str) -> StoreError:
        return StoreError(
            f"get of {self._key!r}: the service answered with {what}; check endpoint=", path=self._key, operation="get"
        )
