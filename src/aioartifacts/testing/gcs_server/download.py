"""Reading an object's bytes: ranges, conditional reads, and decompression on the way out."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from .rope import Rope
from .state import Preconditions, State, StoredObject, condition_not_met, not_modified
from .wire import Answer, ApiError, Headers

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*")
_SIMPLE_HEADERS = {
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
}


def download(
    state: State,
    bucket: str,
    name: str,
    generation: int | None,
    conditions: Preconditions,
    headers: Mapping[str, str],
    *,
    xml: bool,
) -> Answer:
    """The whole object or the range asked for. The XML API also shows the metadata, and evaluates the times."""
    found = state.get(bucket, name, generation, conditions)
    _check_conditional(found, headers, xml=xml)
    shown = _object_headers(found, xml=xml)
    content = found.content
    gzipped = found.simple.get("contentEncoding") == "gzip"
    if gzipped and not _may_send_gzip(found, headers):
        shown += [("Warning", '214 UploadServer "gunzipped"'), ("Vary", "Accept-Encoding")]
        return Answer(200, shown, _gunzip(content), None)
    if "contentEncoding" in found.simple:
        shown.append(("Content-Encoding", found.simple["contentEncoding"]))
    span = _range(headers.get("Range"), content.size)
    if span is None:
        return Answer(200, shown, content.slices(0, content.size), content.size)
    start, stop = span
    shown.append(("Content-Range", f"bytes {start}-{stop - 1}/{content.size}"))
    return Answer(206, shown, content.slices(start, stop), stop - start)


def _object_headers(found: StoredObject, *, xml: bool) -> Headers:
    headers = [
        ("Content-Type", found.content_type or "application/octet-stream"),
        ("ETag", found.xml_etag if xml else found.etag),
        ("Last-Modified", format_datetime(found.last_modified, usegmt=True)),
        ("Accept-Ranges", "bytes"),
        ("x-goog-generation", str(found.generation)),
        ("x-goog-metageneration", str(found.metageneration)),
        ("x-goog-hash", found.hash_header),
        ("x-goog-storage-class", found.storage_class),
        ("x-goog-stored-content-encoding", found.simple.get("contentEncoding", "identity")),
        ("x-goog-stored-content-length", str(found.size)),
    ]
    if found.components is not None:
        headers.append(("x-goog-component-count", str(found.components)))
    for key, header in _SIMPLE_HEADERS.items():
        if key in found.simple:
            headers.append((header, found.simple[key]))
    if xml:
        headers += [(f"x-goog-meta-{key}", value) for key, value in found.metadata.items()]
    return headers


def _check_conditional(found: StoredObject, headers: Mapping[str, str], *, xml: bool) -> None:
    etag = found.xml_etag.strip('"') if xml else found.etag
    wanted = headers.get("If-Match")
    if wanted is not None and not _names_etag(wanted, etag):
        raise condition_not_met()
    unwanted = headers.get("If-None-Match")
    if unwanted is not None and _names_etag(unwanted, etag):
        raise not_modified(found)
    if not xml:
        return
    modified = found.last_modified.replace(microsecond=0)
    since = _date(headers.get("If-Unmodified-Since"))
    if since is not None and wanted is None and modified > since:
        raise condition_not_met()
    since = _date(headers.get("If-Modified-Since"))
    if since is not None and unwanted is None and modified <= since:
        raise not_modified(found)


def _date(header: str | None) -> datetime | None:
    """A date in GMT; what is none is ignored."""
    try:
        moment = parsedate_to_datetime(header) if header is not None else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _names_etag(header: str, etag: str) -> bool:
    listed = {item.strip().removeprefix("W/").strip('"') for item in header.split(",")}
    return "*" in listed or etag in listed


def _may_send_gzip(found: StoredObject, headers: Mapping[str, str]) -> bool:
    accepted = {item.partition(";")[0].strip() for item in headers.get("Accept-Encoding", "").lower().split(",")}
    return (
        "gzip" in accepted
        or "no-transform" in found.simple.get("cacheControl", "")
        or bytes(next(found.content.slices(0, min(2, found.size)), b"")) != b"\x1f\x8b"
    )


def _gunzip(content: Rope) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(31)
    for piece in content.slices(0, content.size, 64 * 1024):
        data: bytes | memoryview = piece
        while data:
            yield decompressor.decompress(data, 1024 * 1024)
            data = decompressor.unconsumed_tail
    yield decompressor.flush()


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open range asked for; None for the whole. What is not a single range of bytes is ignored."""
    if header is None:
        return None
    match = _RANGE.fullmatch(header)
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
        satisfiable = int(match[2]) > 0 and size > 0
    else:
        start, stop = int(match[1]), size if match[2] == "" else min(size, int(match[2]) + 1)
        if match[2] != "" and int(match[2]) < start:
            return None
        satisfiable = start < size
    if not satisfiable:
        message = "The requested range cannot be satisfied."
        reason = "requestedRangeNotSatisfiable"
        raise ApiError(416, message, reason=reason, headers=[("Content-Range", f"bytes */{size}")])
    return start, stop
