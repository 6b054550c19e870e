"""Trying again inside one upload or listing, where starting the whole call anew would cost what is done already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aioartifacts.errors import TransientStoreError
from aioartifacts.types import RetryPolicy

T = TypeVar("T")


class Patience:
    """Counts failures since the last progress; the policy's deadline runs from the first of them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._attempts = 0
        self._until: float | None = None

    def progressed(self) -> None:
        self._attempts = 0
        self._until = None

    async def wait(self, error: TransientStoreError) -> None:
        """Sleep until the next attempt is due.

        Raises:
            TransientStoreError: *error* itself, when the next attempt would start after the deadline.
        """
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._policy.deadline
        delay = self._policy.delay(self._attempts, error.retry_after)
        if now + delay > self._until:
            raise error
        self._attempts += 1
        await asyncio.sleep(delay)


async def persistently(policy: RetryPolicy, attempt: Callable[[], Awaitable[T]]) -> T:
    """Await *attempt* again while it fails transiently and the policy's deadline allows."""
    patience = Patience(policy)
    while True:
        try:
            return await attempt()
        except TransientStoreError as error:
            await patience.wait(error)
