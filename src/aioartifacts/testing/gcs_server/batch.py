"""Several metadata calls in one request: ``/batch/storage/v1``."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP

from .wire import REASONS, Answer, ApiError, Call, parse_query

_LIMIT = 100


def handle_batch(call: Call, handle: Callable[[Call], Answer]) -> Answer:
    """Carry out the calls one after the other. Media cannot be uploaded or downloaded this way."""
    content_type = call.headers.get("Content-Type", "")
    if not content_type.lower().startswith("multipart/mixed"):
        raise ApiError(400, "Failed to parse batch request: not multipart/mixed", reason="badRequest")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + call.body)
    parts = list(message.iter_parts())
    if len(parts) > _LIMIT:
        raise ApiError(400, f"The batch request exceeds the limit of {_LIMIT} calls.", reason="badRequest")
    boundary = f"batch_{secrets.token_hex(12)}"
    out = bytearray()
    for part in parts:
        payload = part.get_payload(decode=True)
        answer = _answer(payload if isinstance(payload, bytes) else b"", call.base_url, handle)
        reference = str(part.get("Content-ID", "")).strip("<> ")
        out += f"--{boundary}\r\nContent-Type: application/http\r\n".encode()
        if reference:
            out += f"Content-ID: <response-{reference}>\r\n".encode()
        out += f"\r\nHTTP/1.1 {answer.status} {REASONS.get(answer.status, '')}\r\n".encode()
        for name, value in answer.headers:
            out += f"{name}: {value}\r\n".encode()
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        out += f"Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n"
    out += f"--{boundary}--\r\n".encode()
    return Answer(200, [("Content-Type", f"multipart/mixed; boundary={boundary}")], bytes(out), len(out))


def _answer(payload: bytes, base_url: str, handle: Callable[[Call], Answer]) -> Answer:
    head, _, body = payload.replace(b"\r\n", b"\n").lstrip(b"\n").partition(b"\n\n")
    request_line, _, header_text = head.decode("latin-1").partition("\n")
    match = re.fullmatch(r"([A-Z]+) (?:https?://[^/]+)?/storage/v1/([^ ?]*)(?:\?([^ ]*))?(?: HTTP/1\.1)?", request_line)
    if match is None:
        return ApiError(400, f"Not a call that can be batched: {request_line!r}", reason="badRequest").as_json()
    split = (line.partition(": ") for line in header_text.split("\n"))
    headers = {name: value for name, _, value in split}
    try:
        call = Call(match[1], match[2].split("/"), parse_query(match[3] or ""), headers, body.strip(), base_url)
        if call.query.get("alt") == "media":
            raise ApiError(400, "Media cannot be downloaded in a batch.", reason="badRequest")
        return handle(call)
    except ApiError as error:
        return error.as_json()
