"""The buckets, objects and unfinished uploads of one server. No input or output: every call is one atomic step."""

from __future__ import annotations

import base64
import secrets
import time
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

from .names import check_bucket_name, check_object_name
from .rope import Rope
from .wire import ApiError, no_such_bucket, no_such_object, parse_number

CHUNK = 256 * 1024
MIN_PART = 5 * 1024 * 1024
MAX_COMPONENTS = 32
_MAX_METADATA = 8 * 1024
_MAX_SESSIONS = 20_000

# The writable fields of an object resource that are stored as they come.
SIMPLE_FIELDS = ("contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "customTime")


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The four conditions a request may set. The ``not`` ones answer 304, the others 412."""

    generation: int | None = None
    generation_not: int | None = None
    metageneration: int | None = None
    metageneration_not: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], infix: str = "") -> Preconditions:
        if not any(key.startswith("if") for key in query):
            return NO_CONDITIONS
        names = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
        keys = [f"if{infix}{name}" for name in names]
        return cls(*(parse_number(key, query.get(key)) for key in keys))

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Preconditions:
        keys = ("x-goog-if-generation-match", "x-goog-if-metageneration-match")
        generation, metageneration = (parse_number(key, headers.get(key)) for key in keys)
        return cls(generation=generation, metageneration=metageneration)

    def check(self, found: StoredObject | None) -> None:
        if self is NO_CONDITIONS:
            return
        generation = found.generation if found else 0
        if self.generation is not None and self.generation != generation:
            raise condition_not_met()
        if self.metageneration is not None and (found is None or self.metageneration != found.metageneration):
            raise condition_not_met()
        # "If no live object exists, the precondition fails": also for a generation that nothing has.
        if self.generation_not is not None and (found is None or self.generation_not == generation):
            raise not_modified(found)
        if self.metageneration_not is not None and (found is None or self.metageneration_not == found.metageneration):
            raise not_modified(found)


NO_CONDITIONS = Preconditions()


def condition_not_met() -> ApiError:
    return ApiError(412, "At least one of the pre-conditions you specified did not hold.", reason="conditionNotMet")


def not_modified(found: StoredObject | None) -> ApiError:
    return ApiError(304, "Not Modified", reason="notModified", headers=[("ETag", found.etag)] if found else [])


@dataclass(frozen=True)
class StoredObject:
    """One generation of one object. Never changed: a patch makes a new value that shares the content."""

    bucket: str
    name: str
    content: Rope
    generation: int
    base_url: str
    metageneration: int = 1
    content_type: str | None = None
    storage_class: str = "STANDARD"
    metadata: Mapping[str, str] = field(default_factory=dict)
    simple: Mapping[str, str] = field(default_factory=dict)
    components: int | None = None
    updated: int = 0

    @property
    def size(self) -> int:
        return self.content.size

    @cached_property
    def crc32c(self) -> str:
        return base64.b64encode(self.content.crc32c.to_bytes(4, "big")).decode()

    @cached_property
    def md5(self) -> str | None:
        digest = self.content.md5
        return None if digest is None else base64.b64encode(digest).decode()

    @cached_property
    def etag(self) -> str:
        return base64.b64encode(b"\x08" + _varint(self.generation) + b"\x10" + _varint(self.metageneration)).decode()

    @cached_property
    def xml_etag(self) -> str:
        """What the XML API quotes: the MD5 in hexadecimal, when there is one."""
        digest = self.content.md5
        return f'"{self.etag}"' if digest is None else f'"{digest.hex()}"'

    @cached_property
    def hash_header(self) -> str:
        return f"crc32c={self.crc32c}" + (f",md5={self.md5}" if self.md5 else "")

    @property
    def last_modified(self) -> datetime:
        return datetime.fromtimestamp(self.updated / 1e6, UTC)

    @cached_property
    def resource(self) -> dict[str, Any]:
        """The object as the JSON API shows it."""
        path = f"b/{quote(self.bucket, safe='')}/o/{quote(self.name, safe='')}"
        created = timestamp(self.generation)
        shown: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{self.base_url}/storage/v1/{path}",
            "mediaLink": f"{self.base_url}/download/storage/v1/{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": self.storage_class,
            "size": str(self.size),
            "crc32c": self.crc32c,
            "etag": self.etag,
            "timeCreated": created,
            "updated": timestamp(self.updated),
            "timeStorageClassUpdated": created,
            "timeFinalized": created,
        }
        if self.content_type is not None:
            shown["contentType"] = self.content_type
        if self.md5 is not None:
            shown["md5Hash"] = self.md5
        if self.components is not None:
            shown["componentCount"] = self.components
        if self.metadata:
            shown["metadata"] = dict(self.metadata)
        return shown | dict(self.simple)


def timestamp(microseconds: int) -> str:
    return f"{_to_the_second(microseconds // 1_000_000)}.{microseconds // 1000 % 1000:03d}Z"


@lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@dataclass(frozen=True, slots=True)
class Description:
    """What a writer says about an object: everything but its bytes."""

    content_type: str | None = None
    storage_class: str = "STANDARD"
    metadata: Mapping[str, str] = field(default_factory=dict)
    simple: Mapping[str, str] = field(default_factory=dict)
    crc32c: str | None = None
    md5: str | None = None

    @classmethod
    def from_resource(cls, resource: Mapping[str, Any]) -> Description:
        return cls(
            content_type=_text(resource, "contentType"),
            storage_class=_text(resource, "storageClass") or "STANDARD",
            metadata=checked_metadata(resource.get("metadata") or {}),
            simple={key: text for key in SIMPLE_FIELDS if (text := _text(resource, key)) is not None},
            crc32c=_text(resource, "crc32c"),
            md5=_text(resource, "md5Hash"),
        )

    def with_hash_header(self, header: str | None) -> Description:
        """Add the digests of an ``x-goog-hash`` header."""
        if not header:
            return self
        split = (item.strip().partition("=") for item in header.split(","))
        found = {kind: digest for kind, _, digest in split}
        return replace(self, crc32c=found.get("crc32c", self.crc32c), md5=found.get("md5", self.md5))

    def check_digests(self, content: Rope) -> None:
        """Raises ApiError: the bytes are not those the writer meant."""
        crc32c = base64.b64encode(content.crc32c.to_bytes(4, "big")).decode()
        if self.crc32c is not None and self.crc32c != crc32c:
            raise ApiError(
                400, f"Provided CRC32C {self.crc32c!r} doesn't match calculated CRC32C {crc32c!r}.", code="BadDigest"
            )
        if self.md5 is not None and content.md5 is not None:
            md5 = base64.b64encode(content.md5).decode()
            if self.md5 != md5:
                raise ApiError(
                    400, f"Provided MD5 hash {self.md5!r} doesn't match calculated MD5 hash {md5!r}.", code="BadDigest"
                )


def _text(resource: Mapping[str, Any], key: str) -> str | None:
    value = resource.get(key)
    if value is not None and not isinstance(value, str):
        raise ApiError(400, f"Invalid value for: {key}")
    return value


def checked_metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise ApiError(400, "Invalid value for: metadata")
    kept: dict[str, str] = {}
    for key, value in metadata.items():
        if isinstance(value, dict | list):
            raise ApiError(400, f"Invalid value for: metadata.{key}")
        if value is not None:
            kept[str(key)] = value if isinstance(value, str) else str(value)
    try:
        size = sum(len(key.encode()) + len(value.encode()) for key, value in kept.items())
    except UnicodeEncodeError as error:
        raise ApiError(400, "Metadata must be encoded in UTF-8.") from error
    if size > _MAX_METADATA:
        raise ApiError(400, f"The metadata supplied exceeds the maximum of {_MAX_METADATA} bytes.")
    return kept


@dataclass(slots=True)
class Bucket:
    name: str
    created: int
    objects: dict[str, StoredObject] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def put(self, stored: StoredObject) -> None:
        if stored.name not in self.objects:
            insort(self.names, stored.name)  # str order is UTF-8 byte order
        self.objects[stored.name] = stored

    def remove(self, name: str) -> None:
        del self.objects[name]
        del self.names[bisect_left(self.names, name)]


@dataclass(slots=True)
class Session:
    """One resumable upload. *result* is the object's resource, which keeps nobody's bytes alive."""

    id: str
    bucket: str
    name: str
    description: Description
    conditions: Preconditions
    content: Rope
    total: int | None = None
    cancelled: bool = False
    result: dict[str, Any] | ApiError | None = None
    writer: object = None


@dataclass(slots=True)
class Multipart:
    """One XML API multipart upload."""

    id: str
    bucket: str
    name: str
    description: Description
    parts: dict[int, tuple[str, Rope]] = field(default_factory=dict)


class State:
    """Everything one server remembers. *md5* off leaves out what takes most of the time of a large upload."""

    def __init__(self, *, md5: bool = True) -> None:
        self.md5 = md5
        self.base_url = ""
        self.buckets: dict[str, Bucket] = {}
        self.sessions: dict[str, Session] = {}
        self.multiparts: dict[str, Multipart] = {}
        self._last = 0

    def clear(self) -> None:
        self.buckets.clear()
        self.sessions.clear()
        self.multiparts.clear()

    def tick(self) -> int:
        """The time in microseconds, never the same twice: a generation."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last

    def rope(self) -> Rope:
        return Rope(md5=self.md5)

    def create_bucket(self, name: str) -> Bucket:
        check_bucket_name(name)
        if name in self.buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise ApiError(409, message, reason="conflict")
        bucket = self.buckets[name] = Bucket(name, self.tick())
        return bucket

    def delete_bucket(self, name: str) -> None:
        if self.bucket(name).objects:
            message = "The bucket you tried to delete is not empty."
            raise ApiError(409, message, reason="conflict", code="BucketNotEmpty")
        del self.buckets[name]

    def bucket(self, name: str) -> Bucket:
        bucket = self.buckets.get(name)
        if bucket is None:
            raise no_such_bucket()
        return bucket

    def find(self, bucket: str, name: str) -> StoredObject | None:
        return self.bucket(bucket).objects.get(name)

    def get(
        self, bucket: str, name: str, generation: int | None = None, conditions: Preconditions = NO_CONDITIONS
    ) -> StoredObject:
        found = self.find(bucket, name)
        if found is None or generation not in (None, found.generation):
            raise no_such_object(bucket, name)
        conditions.check(found)
        return found

    def check_write(self, bucket: str, name: str, conditions: Preconditions) -> None:
        """Raises ApiError: a write under this name would be refused now."""
        check_object_name(name)
        conditions.check(self.find(bucket, name))

    def commit(
        self,
        bucket: str,
        name: str,
        content: Rope,
        description: Description,
        conditions: Preconditions = NO_CONDITIONS,
        *,
        components: int | None = None,
    ) -> StoredObject:
        """Make the object visible, or raise ApiError and change nothing."""
        self.check_write(bucket, name, conditions)
        description.check_digests(content)
        now = self.tick()
        stored = StoredObject(
            bucket=bucket,
            name=name,
            content=content,
            generation=now,
            base_url=self.base_url,
            content_type=description.content_type,
            storage_class=description.storage_class,
            metadata=description.metadata,
            simple=description.simple,
            components=components,
            updated=now,
        )
        self.buckets[bucket].put(stored)
        return stored

    def delete(self, bucket: str, name: str, generation: int | None, conditions: Preconditions) -> None:
        self.get(bucket, name, generation, conditions)
        self.buckets[bucket].remove(name)

    def patch(self, found: StoredObject, changes: Mapping[str, Any], *, whole: bool) -> StoredObject:
        """Change the description: *whole* replaces it, otherwise fields are merged and null removes one."""
        metadata = {} if whole else dict(found.metadata)
        if "metadata" in changes:
            if changes["metadata"] is None:
                metadata = {}
            else:
                metadata |= checked_metadata(changes["metadata"])
                for key in [key for key, value in changes["metadata"].items() if value is None]:
                    metadata.pop(key, None)
        simple = {} if whole else dict(found.simple)
        for key in SIMPLE_FIELDS:
            if key in changes:
                text = _text(changes, key)
                simple.pop(key, None)
                if text is not None:
                    simple[key] = text
        content_type = None if whole else found.content_type
        if "contentType" in changes:
            content_type = _text(changes, "contentType")
        patched = replace(
            found,
            metadata=checked_metadata(metadata),
            simple=simple,
            content_type=content_type,
            metageneration=found.metageneration + 1,
            updated=self.tick(),
        )
        self.buckets[found.bucket].put(patched)
        return patched

    def open_session(self, bucket: str, name: str, description: Description, conditions: Preconditions) -> Session:
        self.check_write(bucket, name, conditions)
        session = Session(secrets.token_urlsafe(24), bucket, name, description, conditions, self.rope())
        self.sessions[session.id] = session
        if len(self.sessions) > _MAX_SESSIONS:
            self._forget_sessions()
        return session

    def _forget_sessions(self) -> None:
        """Forget the older half of the sessions that came to an end."""
        ended = [item.id for item in self.sessions.values() if item.result is not None or item.cancelled]
        for session_id in ended[: len(ended) // 2]:
            del self.sessions[session_id]

    def finish_session(self, session: Session) -> StoredObject:
        try:
            stored = self.commit(
                session.bucket, session.name, session.content, session.description, session.conditions
            )
        except ApiError as error:
            session.result = error
            session.content = self.rope()
            raise
        session.result = stored.resource
        session.content = self.rope()
        return stored
