"""The bytes that payloads may take at a time in the threads of one store, and from when on one counts as large."""

from __future__ import annotations

import threading
from typing import Any

from aioartifacts.forks import start_anew_after_fork
from aioartifacts.jobs import Job, nested
from aioartifacts.types import KIB

LARGE = 256 * KIB
"""Bytes from which an artifact counts as large: it then leaves the lane of the small ones."""


class ByteBudget:
    """Bytes that payloads may take at a time, shared by the threads of one store. What is larger than all of it runs alone."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reset()
        start_anew_after_fork(self)

    def _reset(self) -> None:
        self._held: dict[object, int] = {}
        # Taken in C, unlike that of a Condition of its own, so that no interruption leaves it locked.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def take(self, size: int, job: Job[Any], holder: object) -> None:
        """Wait for *size* bytes, which are *holder* 's until it gives them back."""
        if nested(2):
            return
        wanted = min(size, self.limit)
        with self._lock:
            while sum(self._held.values()) + wanted > self.limit:
                job.check()
                self._changed.wait(0.1)  # wakes to look whether the job has been cancelled
            self._held[holder] = wanted

    def give(self, holder: object) -> None:
        """Return what *holder* has taken, if anything."""
        with self._lock:
            self._held.pop(holder, None)
            self._changed.notify_all()
