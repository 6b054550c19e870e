"""What an API answers, and the errors it answers with, before any of it becomes bytes on a connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from xml.sax.saxutils import escape

import msgspec

JSON_TYPE = "application/json; charset=UTF-8"
XML_TYPE = "application/xml; charset=UTF-8"

REASONS = {status.value: status.phrase for status in HTTPStatus}
REASONS |= {308: "Resume Incomplete", 499: "Client Closed Request"}

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Answer:
    """A status, headers, and a body: bytes, or views to be sent one after the other.

    A body of unknown length (``length`` is None) is sent chunked.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | Iterable[memoryview | bytes] = b""
    length: int | None = 0

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Headers | None = None) -> Answer:
        body = msgspec.json.encode(value)
        return cls(status, [("Content-Type", JSON_TYPE), *(headers or ())], body, len(body))

    @classmethod
    def xml(cls, text: str, status: int = 200, headers: Headers | None = None) -> Answer:
        body = f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode()
        return cls(status, [("Content-Type", XML_TYPE), *(headers or ())], body, len(body))

    @classmethod
    def text(cls, text: str, status: int, headers: Headers | None = None) -> Answer:
        body = text.encode()
        return cls(status, [("Content-Type", "text/plain; charset=utf-8"), *(headers or ())], body, len(body))


class ApiError(Exception):
    """A refusal. *reason* is the JSON API's word for it, *code* the XML API's."""

    def __init__(
        self, status: int, message: str, *, reason: str = "invalid", code: str = "", headers: Headers | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.code = code or _XML_CODES.get(status, "InvalidArgument")
        self.headers = headers or []

    def as_json(self) -> Answer:
        if self.status == 304:
            return Answer(304, list(self.headers))
        item: dict[str, Any] = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.status == 412:
            item |= {"locationType": "header", "location": "If-Match"}
        if self.status == 401:
            item |= {"locationType": "header", "location": "Authorization"}
        error = {"code": self.status, "message": self.message, "errors": [item]}
        return Answer.json({"error": error}, self.status, self.headers)

    def as_text(self) -> Answer:
        if self.status == 304:
            return Answer(304, list(self.headers))
        return Answer.text(self.message, self.status, self.headers)

    def as_xml(self) -> Answer:
        if self.status == 304:
            return Answer(304, list(self.headers))
        text = f"<Error><Code>{self.code}</Code><Message>{escape(self.message)}</Message></Error>"
        return Answer.xml(text, self.status, self.headers)


_XML_CODES = {
    304: "NotModified",
    400: "InvalidArgument",
    401: "AuthenticationRequired",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    409: "BucketAlreadyOwnedByYou",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    416: "InvalidRange",
    429: "SlowDown",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def no_such_bucket() -> ApiError:
    return ApiError(404, "The specified bucket does not exist.", reason="notFound", code="NoSuchBucket")


def no_such_object(bucket: str, name: str) -> ApiError:
    return ApiError(404, f"No such object: {bucket}/{name}", reason="notFound")


def no_such_route(path: str) -> ApiError:
    return ApiError(404, f"Not Found: {path}", reason="notFound")


@dataclass(slots=True)
class Call:
    """One request whose body has been read: what the JSON and XML handlers work on."""

    method: str
    segments: list[str]
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        return parse_json_object(self.body)

    def number(self, name: str) -> int | None:
        """An integer query parameter."""
        return parse_number(name, self.query.get(name))


def parse_json_object(data: bytes | memoryview) -> dict[str, Any]:
    if not data or not bytes(data).strip():
        return {}
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "Parse Error", reason="parseError", code="MalformedRequest") from error
    if not isinstance(value, dict):
        raise ApiError(400, "Parse Error", reason="parseError", code="MalformedRequest")
    return value


def parse_number(name: str, text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise ApiError(400, f"Invalid value for {name}: {text!r}", reason="invalidParameter")
    return int(text)


def decode_name(text: str) -> str:
    """A percent-encoded name; names are UTF-8."""
    if "%" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(400, "Names must be encoded in UTF-8.", code="InvalidURI") from error


def parse_query(text: str) -> dict[str, str]:
    """A query string; of a repeated parameter the last one counts."""
    query: dict[str, str] = {}
    for pair in text.split("&"):
        if not pair:
            continue
        key, _, value = pair.partition("=")
        if "+" in value or "%" in value:
            value = decode_name(value.replace("+", " "))
        query[unquote(key) if "%" in key else key] = value
    return query
