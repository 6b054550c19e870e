"""Marks this folder as importable, so that tests can say ``from holding import Gate``."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator

import pytest

from aioartifacts import drivers, pipe, putting, transfer

THREADS = "aioartifacts"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunks of 1 KiB, so that a few kilobytes go through a pipe."""
    for module in (pipe, transfer):
        monkeypatch.setattr(module, "CHUNK", 1024)
    for module in (drivers, putting, transfer):
        monkeypatch.setattr(module, "LARGE", 2048)
    return 1024


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No file stays open, and no thread of the library's goes on, once its stores are gone."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    if len(os.listdir("/proc/self/fd")) > before:
        gc.collect()  # loops and tasks of pytest's, and of earlier tests
    assert len(os.listdir("/proc/self/fd")) <= before
    until = time.monotonic() + 60
    while alive := [thread for thread in threading.enumerate() if thread.name == THREADS]:
        assert time.monotonic() < until, alive
        gc.collect()  # stores that a test has not closed
        alive[0].join(0.1)
