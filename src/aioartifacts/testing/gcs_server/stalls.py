"""Requests that are being held back, so that a test can wait for them instead of sleeping."""

from __future__ import annotations

import asyncio


class Stalls:
    """Holds requests until released."""

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self._changed = asyncio.Event()
        self.held = 0

    def arm(self) -> None:
        """From now on, hold what stalls."""
        self._released.clear()

    def release(self) -> None:
        """Let all go on, and whatever stalls until the next :meth:`arm`."""
        self._released.set()

    async def hold(self, seconds: float) -> None:
        """Wait for the release, at most so many seconds."""
        self._count(1)
        try:
            async with asyncio.timeout(seconds):
                await self._released.wait()
        except TimeoutError:
            return
        finally:
            self._count(-1)

    async def wait(self, count: int = 1) -> None:
        """Return once *count* requests are held."""
        while self.held < count:
            await self._changed.wait()

    def _count(self, change: int) -> None:
        self.held += change
        self._changed.set()
        self._changed = asyncio.Event()
