"""Uploads through the JSON API: media, multipart, and resumable in chunks."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .exchange import Exchange
from .names import check_object_name
from .rope import Rope
from .selection import select
from .state import CHUNK, Description, Preconditions, Session, State
from .wire import Answer, ApiError, Headers, parse_json_object

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]+)-([0-9]+|\*)|\*)/([0-9]+|\*)")
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Uploads:
    """Answers requests to ``/upload/storage/v1/b/<bucket>/o``. Every method raises ApiError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def handle(self, exchange: Exchange, bucket: str) -> Answer:
        query = exchange.query
        if "upload_id" in query:
            return await self._session(exchange, query["upload_id"])
        self._state.bucket(bucket)
        conditions = Preconditions.from_query(query)
        kind = query.get("uploadType")
        if kind == "resumable":
            return await self._initiate(exchange, bucket, query, conditions)
        if kind == "media":
            content = self._state.rope()
            async for chunk in exchange.chunks():
                content.append(chunk)
            resource: dict[str, Any] = {}
            content_type = exchange.headers.get("Content-Type")
        elif kind == "multipart":
            resource, content_type, data = split_related(
                exchange.headers.get("Content-Type", ""), await exchange.read()
            )
            content = Rope.of(data, md5=self._state.md5)
        else:
            raise ApiError(400, f"Invalid upload type: {kind!r}", reason="badRequest")
        description = _describe(resource, query, content_type, exchange)
        await exchange.commit()
        stored = self._state.commit(bucket, _name(resource, query), content, description, conditions)
        return _stored_answer(stored.resource, query)

    async def _initiate(
        self, exchange: Exchange, bucket: str, query: dict[str, str], conditions: Preconditions
    ) -> Answer:
        resource = parse_json_object(await exchange.read())
        content_type = exchange.headers.get("X-Upload-Content-Type")
        description = _describe(resource, query, content_type, exchange)
        await exchange.commit()
        session = self._state.open_session(bucket, _name(resource, query), description, conditions)
        size = exchange.headers.get("X-Upload-Content-Length")
        if size is not None and size.isdecimal():
            session.total = int(size)
        host = exchange.headers.get("Host")
        base = f"http://{host}" if host else self._state.base_url
        location = f"{base}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session.id}"
        return Answer(200, [("Location", location), *_upload_id(session), *_TEXT])

    async def _session(self, exchange: Exchange, upload_id: str) -> Answer:
        session = self._state.sessions.get(upload_id)
        if session is None:
            raise ApiError(404, "Not Found", reason="notFound")
        if session.cancelled:
            raise ApiError(410, "The upload was cancelled.", reason="gone")
        if exchange.method == "DELETE":
            await exchange.drain()
            if session.result is None:
                session.cancelled = True
                session.content = self._state.rope()
            return Answer(499, _upload_id(session))
        if exchange.method not in ("PUT", "POST"):
            raise ApiError(405, "Method Not Allowed", reason="methodNotAllowed")
        if isinstance(session.result, ApiError):
            raise session.result
        if session.result is not None:
            await exchange.drain()
            return _stored_answer(session.result, exchange.query)
        header = exchange.headers.get("Content-Range")
        match = None if header is None else _CONTENT_RANGE.fullmatch(header.strip())
        if header is not None and match is None:
            raise _bad_request(f"Failed to parse Content-Range header: {header!r}")
        if match is not None and match[1] is None:
            return await self._status(exchange, session, match[3])
        return await self._chunk(exchange, session, match)

    async def _status(self, exchange: Exchange, session: Session, total: str) -> Answer:
        """``bytes */SIZE``: how much is there? It also completes an upload all of whose bytes are."""
        if await exchange.read():
            raise _bad_request("Invalid request. A status check must not have a body.")
        size = _agree(session, None if total == "*" else int(total))
        _take_over(session, None)
        if total == "*" or size != session.content.size:
            return self._incomplete(exchange, session)
        await exchange.commit()
        return _stored_answer(self._state.finish_session(session).resource, exchange.query)

    async def _chunk(self, exchange: Exchange, session: Session, match: re.Match[str] | None) -> Answer:
        length = exchange.content_length
        if match is None:
            first, end, total = 0, length, _agree(session, length)
        else:
            first = int(match[1])
            end = None if match[2] == "*" else int(match[2]) + 1
            total = _agree(session, None if match[3] == "*" else int(match[3]))
        if end is not None and (end < first or (total is not None and end > total)):
            raise _bad_request(f"Invalid Content-Range: {exchange.headers.get('Content-Range')!r}")
        if end is not None and length is not None and length != end - first:
            raise _bad_request(f"The Content-Range covers {end - first} bytes, the Content-Length is {length}.")
        session.total = total
        _take_over(session, exchange)
        have = session.content.size
        if first > have:
            message = (
                "Invalid request.  According to the Content-Range header, the upload offset is "
                f"{first} byte(s), which exceeds already uploaded size of {have} byte(s)."
            )
            raise PlainError(503, message)
        # Without a last byte position the body's end is the object's end, unless a total says otherwise.
        final = end is None or end == total
        if not final and length is not None and length < CHUNK:
            message = (
                f"Invalid request.  The number of bytes uploaded is required to be equal or greater than {CHUNK}, "
                f"except for the final request (it's recommended to be the exact multiple of {CHUNK}).  "
                f"The received request contained {length} bytes, which does not meet this requirement."
            )
            raise PlainError(400, message)
        whole = False
        try:
            await self._receive(exchange, session, first)
            whole = True
            await exchange.commit()
        finally:
            # What is not the end is kept in whole 256 KiB only; the client learns how much from Range.
            if session.writer is exchange and not (final and whole):
                session.content.truncate(session.content.size // CHUNK * CHUNK)
        if session.writer is not exchange:
            raise PlainError(503, "Another request of this upload took over.")
        if not final:
            return self._incomplete(exchange, session)
        if total is not None and session.content.size != total:
            raise _bad_request(f"The object was announced with {total} bytes and has {session.content.size}.")
        if session.result is not None or session.cancelled:
            return await self._session(exchange, session.id)
        supplement = session.description.with_hash_header(exchange.headers.get("x-goog-hash"))
        session.description = supplement
        return _stored_answer(self._state.finish_session(session).resource, exchange.query)

    async def _receive(self, exchange: Exchange, session: Session, first: int) -> None:
        """Append the body, skipping what is there already."""
        skip = session.content.size - first
        async for chunk in exchange.chunks():
            if session.writer is not exchange or session.cancelled or session.result is not None:
                continue
            if skip > 0:
                skip, chunk = skip - len(chunk), chunk[skip:]
            session.content.append(chunk)

    def _incomplete(self, exchange: Exchange, session: Session) -> Answer:
        headers = [*_upload_id(session), *_TEXT]
        if session.content.size:
            headers.append(("Range", f"bytes=0-{session.content.size - 1}"))
        if exchange.headers.get("X-GUploader-No-308", "").lower() == "yes":
            return Answer(200, [*headers, ("X-HTTP-Status-Code-Override", "308")])
        return Answer(308, headers)


class PlainError(ApiError):
    """A refusal by the upload server itself, which answers in plain text."""

    def as_json(self) -> Answer:
        return self.as_text()


def _bad_request(message: str) -> ApiError:
    return PlainError(400, message)


def _take_over(session: Session, exchange: Exchange | None) -> None:
    """The newest request of an upload speaks for it; what an older one is still sending is ignored."""
    session.writer = exchange
    session.content.truncate(session.content.size // CHUNK * CHUNK)


def _agree(session: Session, total: int | None) -> int | None:
    """The size of the object, as far as it is known; it cannot change."""
    if total is None:
        return session.total
    if session.total is not None and session.total != total:
        raise _bad_request(f"The object was announced with {session.total} bytes, and now with {total}.")
    return total


def _upload_id(session: Session) -> Headers:
    return [("X-GUploader-UploadID", session.id)]


def _name(resource: dict[str, Any], query: dict[str, str]) -> str:
    name = query.get("name", resource.get("name", ""))
    if not isinstance(name, str):
        raise ApiError(400, "Invalid value for: name")
    check_object_name(name)
    return name


def _describe(
    resource: dict[str, Any], query: dict[str, str], content_type: str | None, exchange: Exchange
) -> Description:
    description = Description.from_resource(resource).with_hash_header(exchange.headers.get("x-goog-hash"))
    if description.content_type is None:
        description = replace(description, content_type=content_type or "application/octet-stream")
    if "contentEncoding" in query:
        description = replace(description, simple={**description.simple, "contentEncoding": query["contentEncoding"]})
    return description


def _stored_answer(resource: dict[str, Any], query: dict[str, str]) -> Answer:
    fields = query.get("fields")
    value = select(resource, fields) if fields else resource
    return Answer.json(value, headers=[("ETag", resource["etag"])])


def split_related(content_type: str, body: bytes) -> tuple[dict[str, Any], str | None, memoryview]:
    """The object resource, the content type and the bytes of a ``multipart/related`` upload.

    Line ends may be LF alone, which the service accepts too.
    """
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if not content_type.lower().startswith("multipart/") or match is None:
        raise ApiError(400, "Bad content type. Please use multipart.", reason="badContent")
    delimiter = b"--" + match[1].encode()
    start = body.find(delimiter)
    line_end = body.find(b"\n", start)
    if start < 0 or line_end < 0:
        raise _malformed()
    newline = b"\r\n" if body[line_end - 1 : line_end] == b"\r" else b"\n"
    middle = body.find(newline + delimiter, line_end)
    last = body.rfind(newline + delimiter + b"--")
    if middle < 0 or last <= middle:
        raise _malformed()
    _, first_at = _part(body, line_end + 1, newline)
    resource = parse_json_object(body[first_at:middle])
    headers, data_at = _part(body, body.index(newline, middle + len(newline)) + len(newline), newline)
    return resource, headers.get("content-type"), memoryview(body)[data_at:last]


def _part(body: bytes, at: int, newline: bytes) -> tuple[dict[str, str], int]:
    """The headers of the part that begins at *at*, and where its content begins."""
    headers: dict[str, str] = {}
    while True:
        end = body.find(newline, at)
        if end < 0:
            raise _malformed()
        line, at = body[at:end], end + len(newline)
        if not line:
            return headers, at
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()


def _malformed() -> ApiError:
    return ApiError(400, "Malformed multipart body.", reason="badRequest")
