"""What the harness measures is the contender's, and nothing of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import harness


class Large:
    """A result whose repr takes long, and much memory."""

    shown = False

    def __repr__(self) -> str:
        Large.shown = True
        return "large"


class Asynchronous(harness.Contender):
    name = "asynchronous"

    async def load(self) -> Large:
        return Large()


def test_results_of_coroutines_are_not_shown(tmp_path: Path) -> None:
    row = harness.Row("load", lambda who: who.load(), check=lambda got: type(got) is Large)
    with asyncio.Runner() as runner:
        sample = harness.measure(Asynchronous(tmp_path), row, runner)
    assert sample.lags is not None
    assert not Large.shown
