"""The guard that fails tests for blocking the loop sees what it must, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loop_guard import PACKAGE

pytestmark = pytest.mark.asyncio

COROUTINE = "async def call(work): return work()"
FUNCTION = "def call(work): return work()"


def defined_in(file: str, source: str) -> Callable[..., Any]:
    """A function that the guard takes for one in *file*."""
    names: dict[str, Any] = {}
    exec(compile(source, file, "exec"), names)
    return names["call"]  # type: ignore[no-any-return]


@pytest.fixture
def work(tmp_path: Path) -> Callable[[], object]:
    return lambda: (tmp_path / "x").write_bytes(b"")


async def test_blocking_in_a_coroutine_of_ours_is_noticed(
    work: Callable[[], object], blocking_calls: list[str]
) -> None:
    await defined_in(f"{PACKAGE}store.py", COROUTINE)(work)
    assert len(blocking_calls) == 1
    assert "store.py:1 call" in blocking_calls[0]
    blocking_calls.clear()


async def test_blocking_in_a_callback_of_ours_is_noticed(
    work: Callable[[], object], blocking_calls: list[str]
) -> None:
    asyncio.get_running_loop().call_soon(defined_in(f"{PACKAGE}workers.py", FUNCTION), work)
    await asyncio.sleep(0)
    assert len(blocking_calls) == 1
    blocking_calls.clear()


async def test_flushing_is_noticed(tmp_path: Path, blocking_calls: list[str]) -> None:
    with (tmp_path / "x").open("wb") as file:
        await defined_in(f"{PACKAGE}store.py", COROUTINE)(lambda: os.fsync(file.fileno()))
    assert "os.fsync" in blocking_calls.pop()


async def test_a_worker_thread_may_block(work: Callable[[], object], blocking_calls: list[str]) -> None:
    await asyncio.to_thread(defined_in(f"{PACKAGE}drivers.py", FUNCTION), work)
    assert not blocking_calls


async def test_the_test_itself_may_block(work: Callable[[], object], blocking_calls: list[str]) -> None:
    defined_in(f"{PACKAGE}objects/local.py", FUNCTION)(work)
    assert not blocking_calls
