"""The record: one JSON document per artifact, whose writing is the commit.

The bytes are the canonical form. Behind the fields follow, in this order and as the last members of the object, ``signature`` (only in
signed stores: HMAC-SHA256 of everything before it) and ``checksum`` (crc32c of everything before it). So both cover exact bytes,
and nothing has to be put in order again to check them.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from aioartifacts.checksum import crc32c, hex32
from aioartifacts.errors import EncodeError, MetadataError, RecordError
from aioartifacts.keys import is_part_file
from aioartifacts.trust import Keyring
from aioartifacts.types import JSON, Buffer

SCHEMA = 1
"""The version of the record this library writes, and the newest it reads."""

_CHECKSUM = re.compile(rb',"checksum":"([0-9a-f]{8})"\}\Z')
_SIGNATURE = re.compile(rb',"signature":"([0-9a-f]{64})"\Z')
_WRITE_ID = re.compile("[0-9a-f]{32}")
_CRC32C = re.compile("[0-9a-f]{8}")
_CHECKSUM_SIZE = len(',"checksum":"00000000"}')
_SIGNATURE_SIZE = len(',"signature":""') + 64
_NAMES = (b'{"aioartifacts":', b',"write_id":"')
"""With the first a record begins; the second is nobody else's."""
_PART_MAX = 2**53
"""Bytes; no store holds more in one object."""


class PartRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part: where it lies, or its bytes."""

    name: str
    size: int
    crc32c: str
    """Eight hexadecimal digits."""
    sha256: str | None = None
    """Hexadecimal; only in signed stores."""
    file: str | None = None
    """Relative to the artifact's path; None when the bytes are in `data`."""
    data: bytes | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an artifact; see the module's docstring for its outer form."""

    aioartifacts: int = SCHEMA
    path: str
    write_id: str
    """128 random bits, in hexadecimal; names the parts of this very write."""
    type: str
    serializer: str
    format: str
    file: str | None
    """The first part's file; None when it is inlined."""
    size: int
    parts: tuple[PartRecord, ...]
    created: str
    """UTC, ISO 8601."""
    environment: dict[str, str]
    producer: dict[str, str]
    summary: dict[str, Any]
    metadata: dict[str, Any]
    meta: dict[str, Any]
    """What the materializer needs beside the parts."""
    safe: bool


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record as it was read, with what its signature covers."""

    record: Record
    message: bytes
    signature: str | None

    def signed_by(self, keys: Keyring) -> bool:
        """Whether one of *keys* signed the record and the digests of all its parts."""
        if not keys or self.signature is None or not keys.verify(self.message, self.signature):
            return False
        return all(part.sha256 is not None for part in self.record.parts)


class ForeignRecord(Exception):
    """The document is no record of this library, nor what damage can have made of one."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def new_write_id() -> str:
    """A name that no other write has ever had or will have."""
    return secrets.token_hex(16)


def encode_record(record: Record, keys: Keyring) -> bytes:
    """The record's bytes, signed when there are *keys*.

    Raises:
        EncodeError: what the materializer keeps in it is not JSON.
    """
    try:
        body = _encoder.encode(record)[:-1]
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodeError(
            f"{record.path!r}: what its materializer, {record.serializer!r}, keeps in the record is not JSON: {error}",
            path=record.path,
        ) from error
    if keys:
        body += f',"signature":"{keys.sign(body)}"'.encode()
    return body + f',"checksum":"{hex32(crc32c(body))}"}}'.encode()


def decode_record(data: Buffer, path: str) -> Decoded:
    """Read and check the record found under *path*.

    Raises:
        RecordError: it is damaged, belongs to another path, or was written by a newer version.
        ForeignRecord: somebody else's ``metadata.json``.
    """
    raw = bytes(data)
    checksum = _CHECKSUM.search(raw, max(0, len(raw) - _CHECKSUM_SIZE))
    body = raw[:-_CHECKSUM_SIZE]
    expected = None if checksum is None else checksum[1].decode()
    actual = None if checksum is None else hex32(crc32c(body))
    if expected is None or expected != actual:
        _explain_damage(raw, path)
        raise RecordError(
            f"the record of {path!r} is damaged: its checksum does not match; restore it from a copy, or save the artifact again",
            path=path,
            expected=expected,
            actual=actual,
        )
    try:
        record = _decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        _explain_damage(raw, path)
        raise RecordError(f"the record of {path!r} is not one: {error}", path=path) from error
    if record.aioartifacts > SCHEMA:
        raise _newer(record.aioartifacts, path)
    reason = _inconsistency(record, path)
    if reason is not None:
        raise RecordError(f"the record of {path!r} cannot be used: {reason}", path=path)
    signature = _SIGNATURE.search(body, max(0, len(body) - _SIGNATURE_SIZE))
    if signature is None:
        return Decoded(record, body, None)
    return Decoded(record, body[:-_SIGNATURE_SIZE], signature[1].decode())


def _explain_damage(raw: bytes, path: str) -> None:
    """Tell the documents that are no damaged records of ours from those that are."""
    try:
        document = json.loads(raw)  # takes NaN, which FlowyML writes and msgspec refuses
    except (ValueError, RecursionError):
        if not _resembles_ours(raw):
            raise ForeignRecord(path) from None
        return
    if not isinstance(document, dict) or "aioartifacts" not in document:
        if _resembles_ours(raw):
            return
        raise ForeignRecord(path)
    version = document["aioartifacts"]
    if isinstance(version, int) and version > SCHEMA:
        raise _newer(version, path)


def _resembles_ours(raw: bytes) -> bool:
    """Whether it can have been a record of ours: torn, with some bytes changed, or with the zeros that a power cut leaves."""
    return any(name in raw for name in _NAMES) or _NAMES[0].startswith(raw.rstrip(b"\0"))


def _newer(version: int, path: str) -> RecordError:
    return RecordError(
        f"the record of {path!r} has schema version {version}, and this aioartifacts reads up to {SCHEMA}; upgrade aioartifacts",
        path=path,
        expected=SCHEMA,
        actual=version,
    )


def is_newer(error: RecordError) -> bool:
    """Whether the record is sound, for all we know, and only written by a newer version."""
    return type(error.actual) is int


def owner_of(data: Buffer) -> str | None:
    """The path that a sound record was written for, wherever it was found; None when it is not one."""
    try:
        return decode_record(data, msgspec.json.decode(data, type=_Owner).path).record.path
    except (msgspec.MsgspecError, RecordError, ForeignRecord, RecursionError, UnicodeDecodeError):
        return None


class _Owner(msgspec.Struct):
    path: str


def _inconsistency(record: Record, path: str) -> str | None:
    if record.aioartifacts != SCHEMA:
        return f"there is no schema version {record.aioartifacts}"
    if record.path != path:
        return f"it was written for {record.path!r}; a record cannot be moved to another path by copying it"
    if not _WRITE_ID.fullmatch(record.write_id):
        return "its write_id is not 32 hexadecimal digits"
    if len(record.parts) > 1 and len({part.name for part in record.parts}) != len(record.parts):
        return "two of its parts have the same name"
    if record.size != sum([part.size for part in record.parts]):
        return "its size is not that of its parts"
    for part in record.parts:
        if not 0 <= part.size <= _PART_MAX or not _CRC32C.fullmatch(part.crc32c):
            return f"size or digest of its part {part.name!r} makes no sense"
        if (part.file is None) == (part.data is None):
            return f"its part {part.name!r} must have either a file or data"
        if part.file is not None and (not is_part_file(part.file) or record.write_id not in part.file):
            return f"its part {part.name!r} would lie at {part.file!r}, outside the artifact"
        if part.data is not None and len(part.data) != part.size:
            return f"its part {part.name!r} has another size than it says"
    return None


def check_metadata(metadata: Mapping[str, JSON] | None, path: str) -> dict[str, Any]:
    """Return user metadata as the record will hold it.

    Raises:
        MetadataError: it is no mapping, or does not come back from JSON as it was.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise MetadataError(f"metadata of {path!r} must be a mapping, not {type(metadata).__name__}", path=path)
    given = dict(metadata)
    try:
        kept: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(given))
        same = kept == given
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise MetadataError(
            f"metadata of {path!r} is not JSON ({error}); save what is not as an artifact of its own", path=path
        ) from error
    if not same:
        raise MetadataError(
            f"metadata of {path!r} would change in JSON (keys that are not str, NaN, tuples, dates, …): "
            f"{_first_difference(given, kept, '$')}; convert it, or save it as an artifact of its own",
            path=path,
        )
    return kept


def _first_difference(given: object, kept: object, where: str) -> str:
    if isinstance(given, dict) and isinstance(kept, dict) and given.keys() == kept.keys():
        for key in given:
            if given[key] != kept[key]:
                return _first_difference(given[key], kept[key], f"{where}.{key}")
    elif isinstance(given, dict) and isinstance(kept, dict):
        odd = next(iter(given.keys() - kept.keys()), None)  # JSON has made a str of it
        return f"the key {ascii(odd)[:100]} of {_shown(where)} is {type(odd).__name__} and would become str"
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (a, b) in enumerate(zip(given, kept, strict=True)):
            if a != b:
                return _first_difference(a, b, f"{where}[{index}]")
    return f"{_shown(where)} is {type(given).__name__} and would become {type(kept).__name__}"


def _shown(where: str) -> str:
    return where if len(where) <= 200 else f"{where[:100]} … {where[-100:]}"
