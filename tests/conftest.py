"""For every test: fails it when the library blocks an event loop, and when its name is not the same in every process.

For the run: the proofs' figures, whichever process has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import figures
import loop_guard
import pytest


@pytest.fixture(autouse=True)
def blocking_calls() -> Iterator[list[str]]:
    """What the library did on a loop's thread that can block; a test that provokes it on purpose clears the list."""
    with loop_guard.watching() as calls:
        yield calls
    if calls:
        pytest.fail("the event loop's thread was blocked by:\n" + "\n".join(calls), pytrace=False)


_UNSTABLE = re.compile(r" at 0x[0-9a-f]|\{[^:{}]*,[^:{}]*\}")
"""An address, or a set of several: not the same in every process, which those that share the tests out rely on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _UNSTABLE.search(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: this name is another one in each process; give it an id")


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = figures.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    figures.figures.update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures.print_on(terminalreporter)
