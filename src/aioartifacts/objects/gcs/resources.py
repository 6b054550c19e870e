"""What the service says of an object, as `ObjectInfo`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from aioartifacts.errors import ArtifactNotFoundError, StoreError
from aioartifacts.objects.gcs.names import FIELDS, Names
from aioartifacts.types import Generation, ObjectInfo

if TYPE_CHECKING:
    from aioartifacts.objects.gcs.client import Answer, Client

T = TypeVar("T")

_HASH = re.compile(r"(?:^|[,\s])crc32c=([A-Za-z0-9+/]{6}==)")


class Resource(msgspec.Struct):
    """An object in the JSON API; numbers come as strings."""

    name: str = ""
    size: int = 0
    generation: int | None = None
    crc32c: str | None = None
    updated: datetime | None = None

    def info(self, key: str) -> ObjectInfo:
        return ObjectInfo(
            key=key,
            size=self.size,
            generation=self.generation,
            crc32c=None if self.crc32c is None else decode_crc32c(self.crc32c),
            updated=None if self.updated is None else self.updated.timestamp(),
        )


class Page(msgspec.Struct):
    """One page of a listing."""

    items: list[Resource] = []
    next_page_token: str | None = msgspec.field(default=None, name="nextPageToken")


class Rewrite(msgspec.Struct):
    """One step of a copy."""

    done: bool
    token: str | None = msgspec.field(default=None, name="rewriteToken")
    resource: Resource | None = None


_RESOURCE = msgspec.json.Decoder(Resource, strict=False)
_PAGE = msgspec.json.Decoder(Page, strict=False)
_REWRITE = msgspec.json.Decoder(Rewrite, strict=False)


def read_resource(answer: Answer, *, key: str, operation: str) -> ObjectInfo:
    return _read(_RESOURCE, answer, key=key, operation=operation).info(key)


def read_page(answer: Answer, *, operation: str) -> Page:
    return _read(_PAGE, answer, key=None, operation=operation)


def read_rewrite(answer: Answer, *, key: str, operation: str) -> Rewrite:
    return _read(_REWRITE, answer, key=key, operation=operation)


def _read(decoder: msgspec.json.Decoder[T], answer: Answer, *, key: str | None, operation: str) -> T:
    try:
        return decoder.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # raised below, where the error has no context
    raise StoreError(
        f"{operation} of {key!r}: the answer is not what Cloud Storage answers; check endpoint=", path=key, operation=operation
    )


async def head(
    client: Client, names: Names, key: str, *, generation: Generation | None = None, operation: str = "head"
) -> ObjectInfo:
    """Ask for an object's metadata; another generation than *generation* counts as missing."""
    from aioartifacts.objects.gcs.client import Request

    pin = read_pin(generation, key=key, operation=operation)
    request = Request("GET", names.object_url(key, generation=pin, fields=FIELDS), operation, key)
    return read_resource(await client.call(request), key=key, operation=operation)


def read_pin(generation: Generation | None, *, key: str, operation: str) -> str | None:
    """The value of ``generation=``.

    Raises:
        ArtifactNotFoundError: it is no generation that Cloud Storage could ever have given.
    """
    text = None if generation is None else str(generation)
    if text is not None and not (text.isascii() and text.isdigit()):
        raise ArtifactNotFoundError(
            f"{operation} of {key!r}: there is no generation {text[:40]!r}", path=key, operation=operation
        )
    return text


def info_of_headers(headers: Mapping[str, str], *, key: str, size: int) -> ObjectInfo:
    """What the headers of a download tell of the whole object; not when it was written, which nobody asks a download."""
    generation = headers.get("x-goog-generation", "")
    digest = _HASH.search(headers.get("x-goog-hash", ""))
    return ObjectInfo(
        key=key,
        size=size,
        generation=int(generation) if generation.isdigit() else None,
        crc32c=decode_crc32c(digest[1]) if digest else None,
    )


def encode_crc32c(value: int) -> str:
    """Base64 of the big-endian digest, as Cloud Storage writes it."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def decode_crc32c(text: str) -> int | None:
    """The inverse of `encode_crc32c`; None for what is no crc32c."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return int.from_bytes(data, "big") if len(data) == 4 else None
