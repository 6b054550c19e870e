"""The request log."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from .exchange import Exchange
from .wire import ApiError, decode_name

_KEPT = 100_000
_HEADERS = ("Range", "Content-Range", "Content-Length", "Accept-Encoding", "x-goog-hash", "x-goog-if-generation-match")


class Entry:
    """One request. *status* is what the server meant to answer; *visible* says whether all of it was sent."""

    __slots__ = (
        "action", "began", "bytes_in", "bytes_out", "connection", "ended", "headers", "in_flight", "method", "number",
        "path", "query", "status", "visible",
    )  # fmt: skip

    def __init__(self, number: int, exchange: Exchange, in_flight: int) -> None:
        self.number = number
        self.method = exchange.method
        self.path = exchange.path
        self.query = exchange.query_text
        self.headers = {name: exchange.headers[name] for name in _HEADERS if name in exchange.headers}
        self.connection = exchange.connection.number
        self.in_flight = in_flight
        self.began = time.monotonic()
        self.ended: float | None = None
        self.status: int | None = None
        self.action: str | None = None
        self.visible = False
        self.bytes_in = 0
        self.bytes_out = 0

    def to_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name not in _HIDDEN}
        shown["target"] = _readable(self.path)
        shown["ms"] = None if self.ended is None else round((self.ended - self.began) * 1000, 3)
        return shown


_HIDDEN = ("began", "ended")


def _readable(path: str) -> str:
    try:
        return decode_name(path)
    except ApiError:
        return path


class Journal:
    """The requests in the order they arrived, the unfinished ones included; the control endpoints are left out."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._number = 0
        self.in_flight = 0
        self.peak = 0

    def begin(self, exchange: Exchange) -> Entry:
        self._number += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        entry = Entry(self._number, exchange, self.in_flight)
        self._entries.append(entry)
        return entry

    def end(self, entry: Entry, exchange: Exchange) -> None:
        self.in_flight -= 1
        entry.ended = time.monotonic()
        entry.bytes_in = exchange.bytes_in
        entry.bytes_out = exchange.bytes_out

    def clear(self) -> None:
        self._entries.clear()
        self.peak = self.in_flight

    def to_json(self) -> list[dict[str, Any]]:
        return [entry.to_json() for entry in self._entries]
