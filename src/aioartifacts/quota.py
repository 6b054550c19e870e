"""How much of something an event loop does at a time: requests, and bytes held."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from aioartifacts.jobs import nested
from aioartifacts.workers import running_loop


class Quota:
    """So much of something at a time, first come, first served. Whoever wants more than all of it gets all of it, alone.

    Calls made from inside a materializer never wait: what they would wait for may be held by the very call around them. Nor does what
    wants nothing. Each event loop starts with the whole of it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._queue: _Queue | None = None

    def _here(self) -> _Queue:
        loop = running_loop()
        queue = self._queue
        if queue is None or queue.loop is not loop:
            queue = self._queue = _Queue(loop, self.limit)
        return queue

    def at_once(self, amount: int) -> bool:
        """Whether `hold` would not wait."""
        if nested():
            return True
        queue = self._here()
        return not queue.waiting and min(amount, self.limit) <= queue.free

    def hold(self, amount: int) -> Hold:
        """Wait for *amount* and keep it for the length of a ``with`` block."""
        return Hold(None if amount <= 0 or nested() else self._here(), min(amount, self.limit))


class Hold:
    """Some of a quota, for the length of a ``with`` block. Every request is in one or more, so it is no generator."""

    __slots__ = ("_amount", "_queue")

    def __init__(self, queue: _Queue | None, amount: int) -> None:
        self._queue = queue
        self._amount = amount

    async def __aenter__(self) -> None:
        if self._queue is not None:
            await self._queue.take(self._amount)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._queue is not None:
            self._queue.give(self._amount)


class _Queue:
    """What is left of a quota on one loop, and who waits for it."""

    __slots__ = ("free", "loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, free: int) -> None:
        self.loop = loop
        self.free = free
        self.waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, amount: int) -> None:
        if not self.waiting and amount <= self.free:
            self.free -= amount
            return
        turn: asyncio.Future[None] = self.loop.create_future()
        self.waiting.append((turn, amount))
        try:
            await turn
        except BaseException:
            self.give(amount if turn.done() and not turn.cancelled() else 0)
            raise

    def give(self, amount: int) -> None:
        self.free += amount
        while self.waiting:
            turn, wanted = self.waiting[0]
            if turn.done():  # cancelled
                self.waiting.popleft()
                continue
            if wanted > self.free:
                return
            self.waiting.popleft()
            self.free -= wanted
            turn.set_result(None)


class Memory:
    """The byte budget of a loop. A sixteenth of it is kept for the small, so that they never wait for the large."""

    def __init__(self, limit: int, small: int) -> None:
        """*small*: bytes up to which something is small."""
        kept = limit // 16 if limit // 16 >= small else 0
        self.limit = limit - kept
        self._small = small if kept else 0
        self._for_small = Quota(kept)
        self._for_all = Quota(self.limit)

    def _quota(self, size: int) -> Quota:
        return self._for_small if size <= self._small else self._for_all

    def hold(self, size: int) -> Hold:
        """Wait for *size* bytes and keep them for the length of a ``with`` block."""
        return self._quota(size).hold(size)

    def at_once(self, size: int) -> bool:
        """Whether `hold` would not wait."""
        return self._quota(size).at_once(size)
