"""For every test: fails it when the library blocks an event loop."""

from __future__ import annotations

from collections.abc import Iterator

import loop_guard
import pytest


@pytest.fixture(autouse=True)
def blocking_calls() -> Iterator[list[str]]:
    """What the library did on a loop's thread that can block; a test that provokes it on purpose clears the list."""
    with loop_guard.watching() as calls:
        yield calls
    if calls:
        pytest.fail("the event loop's thread was blocked by:\n" + "\n".join(calls), pytrace=False)
