"""One request and its answer on the connection: reading, sending, pacing, and the faults that hit on the way."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from email.utils import formatdate
from functools import lru_cache

from aiohttp import web

from .faults import NO_PLAN, Fault, Plan
from .stalls import Stalls
from .wire import REASONS, Answer, ApiError, decode_name, parse_query

_PACED_SLICE = 64 * 1024
# A sleep is never exact: a flow that is late by less than this makes up for it, and waits shorter than a timer's
# resolution are put together.
_CATCH_UP = 0.05
_TIMER = 0.001
_LINE_BREAKS = re.compile(r"[\r\n\x00]+")
_connection_numbers = itertools.count(1)


class Dropped(Exception):
    """The connection was closed on purpose, and there is no answer."""


class Interrupted(Exception):
    """A fault struck while the request's body was being read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.action)
        self.fault = fault


class Pacer:
    """A flow of bytes, on average at most so many a second."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def delay(self, size: int, rate: int, now: float) -> float:
        """For how many seconds from *now* these bytes keep the line busy, after those before them."""
        idle = now - self._free_at > _CATCH_UP
        self._free_at = (now if idle else self._free_at) + size / rate
        return self._free_at - now

    async def pass_bytes(self, size: int, rate: int) -> None:
        delay = self.delay(size, rate, time.monotonic())
        if delay > _TIMER:
            await pause(delay)


async def pause(seconds: float) -> None:
    """All waiting on purpose goes through here."""
    await asyncio.sleep(seconds)


class Connection:
    """What belongs to a client's connection rather than to one of its requests."""

    __slots__ = ("incoming", "number", "outgoing")

    def __init__(self) -> None:
        self.number = next(_connection_numbers)
        self.incoming = Pacer()
        self.outgoing = Pacer()


class Sent(web.StreamResponse):
    """Tells aiohttp that the answer is on its way already. It is written directly, past what aiohttp does for any answer."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._stay = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        return self._stay

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


KEEP = Sent(keep_alive=True)
CLOSE = Sent(keep_alive=False)


class Exchange:
    """A request being answered."""

    __slots__ = (
        "_query",
        "bytes_in",
        "bytes_out",
        "connection",
        "headers",
        "method",
        "path",
        "plan",
        "query_text",
        "request",
        "stalls",
    )  # fmt: skip

    def __init__(self, request: web.BaseRequest, connection: Connection, stalls: Stalls) -> None:
        self.request = request
        self.method = request.method
        self.path, _, self.query_text = request.raw_path.partition("?")
        self.headers: Mapping[str, str] = request.headers
        self.connection = connection
        self.stalls = stalls
        self.plan: Plan = NO_PLAN
        self.bytes_in = 0
        self.bytes_out = 0
        self._query: dict[str, str] | None = None

    @property
    def decoded_path(self) -> str:
        try:
            return decode_name(self.path)
        except ApiError:
            return self.path

    @property
    def query(self) -> dict[str, str]:
        if self._query is None:
            self._query = parse_query(self.query_text)
        return self._query

    @property
    def content_length(self) -> int | None:
        text = self.headers.get("Content-Length")
        return None if text is None else int(text)

    async def start(self) -> None:
        """What happens before the request is looked at."""
        if self.plan.latency:
            await pause(self.plan.latency)
        fault = self.plan.fault
        if fault is None or fault.when != "before" or fault.after_bytes is not None:
            return
        if fault.action == "stall":
            await self.stall(fault)
        elif fault.action in ("status", "drop"):
            raise Interrupted(fault)

    async def commit(self) -> None:
        """The body has been read; what follows takes effect at once."""
        fault = self.plan.fault
        if fault is not None and fault.action == "stall" and fault.when == "commit":
            await self.stall(fault)

    async def stall(self, fault: Fault) -> None:
        await self.stalls.hold(fault.timeout)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The request's body as it comes in.

        Raises:
            ConnectionError: the client went away.
            Interrupted: a fault says so.
        """
        if self.headers.get("Expect", "").lower() == "100-continue" and self.request.transport is not None:
            self.request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = self.request.content
        fault = self.plan.fault
        stop = None
        if fault is not None and fault.when == "before" and fault.after_bytes is not None:
            stop = fault.after_bytes if fault.action in ("status", "drop", "stall") else None
        while chunk := await content.readany():
            if self.plan.rate is not None:
                await self.connection.incoming.pass_bytes(len(chunk), self.plan.rate)
            if stop is not None and fault is not None and self.bytes_in + len(chunk) >= stop:
                cut = stop - self.bytes_in
                self.bytes_in += cut
                if cut:
                    yield chunk[:cut]
                if fault.action != "stall":
                    raise Interrupted(fault)
                await self.stall(fault)
                stop, chunk = None, chunk[cut:]
            self.bytes_in += len(chunk)
            if chunk:
                yield chunk

    async def read(self) -> bytes:
        """The whole body, for what is small."""
        pieces = [chunk async for chunk in self.chunks()]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def drain(self) -> None:
        """Read the body to its end and forget it, unless the client still waits to be asked for it."""
        if self.bytes_in == 0 and "Expect" in self.headers:
            return
        while chunk := await self.request.content.readany():
            self.bytes_in += len(chunk)

    def abort(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()

    async def send(self, answer: Answer) -> Sent:
        """Raises ConnectionError: the client went away."""
        fault = self.plan.fault
        body: Iterable[memoryview | bytes]
        body = (answer.body,) if isinstance(answer.body, bytes) else answer.body
        bodiless = self.method == "HEAD" or answer.status in (204, 304)
        cut: int | None = None
        if fault is not None and not bodiless:
            body, cut = self._damaged(body, answer.length, fault)
        chunked = answer.length is None and not bodiless
        keep = self.request.keep_alive and cut is None
        head = _head(answer, keep=keep, bodiless=bodiless)
        if bodiless:
            body = ()
        elif isinstance(answer.body, bytes) and fault is None and self.plan.rate is None:
            await self._write(head + answer.body)
            self.bytes_out = len(answer.body)
            return KEEP if keep else CLOSE
        await self._write(head)
        for piece in self._paced(body):
            if cut is not None:
                piece = piece[: cut - self.bytes_out]
            if self.plan.rate is not None:
                await self.connection.outgoing.pass_bytes(len(piece), self.plan.rate)
            if piece:
                await self._write(b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if chunked else piece)
                self.bytes_out += len(piece)
            if cut is not None and self.bytes_out >= cut:
                if fault is None or fault.action != "stall":
                    return CLOSE
                await self.stall(fault)
                cut = None
        if chunked and cut is None:
            await self._write(b"0\r\n\r\n")
        return KEEP if keep else CLOSE

    def _paced(self, body: Iterable[memoryview | bytes]) -> Iterator[memoryview | bytes]:
        if self.plan.rate is None:
            yield from body
            return
        for piece in body:
            for at in range(0, len(piece), _PACED_SLICE):
                yield piece[at : at + _PACED_SLICE]

    def _damaged(
        self, body: Iterable[memoryview | bytes], length: int | None, fault: Fault
    ) -> tuple[Iterable[memoryview | bytes], int | None]:
        """The body with a bit flipped, and after how many bytes to stop sending it."""
        at = fault.after_bytes if fault.after_bytes is not None else (length or 0) // 2
        if fault.action == "flip":
            return _flipped(body, at), None
        if fault.action == "truncate":
            return body, at
        if fault.action == "stall" and fault.when == "answer":
            return _split(body, at), at
        return body, None

    async def _write(self, data: bytes | memoryview) -> None:
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client went away")
        transport.write(data)
        if len(data) > _PACED_SLICE:
            await self.request.writer.drain()


def _flipped(body: Iterable[memoryview | bytes], at: int) -> Iterator[memoryview | bytes]:
    seen = 0
    for piece in body:
        if seen <= at < seen + len(piece):
            changed = bytearray(piece)
            changed[at - seen] ^= 1
            yield bytes(changed)
        else:
            yield piece
        seen += len(piece)


def _split(body: Iterable[memoryview | bytes], at: int) -> Iterator[memoryview | bytes]:
    """The same bytes, with a piece ending at *at*."""
    seen = 0
    for piece in body:
        if seen < at < seen + len(piece):
            yield piece[: at - seen]
            yield piece[at - seen :]
        else:
            yield piece
        seen += len(piece)


@lru_cache(maxsize=2)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _head(answer: Answer, *, keep: bool, bodiless: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Unknown')}"]
    for name, value in answer.headers:
        # Metadata may hold line breaks; a header may not.
        lines.append(f"{name}: {value}" if value.isprintable() else f"{name}: {_LINE_BREAKS.sub(' ', value)}")
    if answer.length is not None:
        if answer.status not in (204, 304):
            lines.append(f"Content-Length: {answer.length}")
    elif not bodiless:
        lines.append("Transfer-Encoding: chunked")
    lines.append(f"Date: {_http_date(int(time.time()))}")
    lines.append("Server: UploadServer")
    if not keep:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode(errors="surrogateescape")
