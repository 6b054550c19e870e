"""Run contenders by turns in one process, and keep of each run its time, processor time, memory and event-loop lag."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import inspect
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

TICK = 0.001
"""Seconds between two looks at the event loop."""


class Unable(Exception):
    """Raised by a contender's verb: it cannot do this; the message says why."""


class Contender:
    """One way to save and load objects in a folder of its own. Verbs are plain functions or coroutines."""

    name: ClassVar[str]
    kind: ClassVar[str] = "peer"
    """``"ours"``, ``"peer"``, ``"raw"`` for the limit that the others are compared with, ``"aside"`` for what counts as neither."""
    durability: ClassVar[str] = "process"
    """``"full"``: survives a power cut. ``"process"``: synced by nobody. ``"torn"``: a killed process leaves half of it."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that may not be installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def close(self) -> None:
        """Let go of everything."""

    def __getattr__(self, verb: str) -> Any:
        raise Unable("cannot do")


@dataclass(frozen=True)
class Row:
    """One thing that is measured: a verb, and how much it has to do."""

    name: str
    call: Callable[[Any], Any]
    """Called with the contender; may return an awaitable function's coroutine."""
    count: int = 1
    bytes: int = 0
    """Payload that passes; 0 where only the count matters."""
    held: int = 0
    """Bytes of the object that the call returns, which are not counted as extra memory."""
    check: Callable[[Any], bool] | None = None
    """Whether what the call returned is right; not timed."""


@dataclass(frozen=True)
class Workload:
    """Contenders, and the rows that each goes through from top to bottom in every round."""

    name: str
    about: str
    rows: Sequence[Row]
    contenders: Sequence[type[Contender]]


@dataclass
class Sample:
    """One run."""

    seconds: float
    cpu: float
    peak: int
    """Bytes of memory above what was there before and above the object itself."""
    lags: list[float] | None
    """Seconds by which each tick of the event loop came late; None for blocking calls."""


@dataclass
class Result:
    """All runs of one contender on one row."""

    workload: str
    row: Row
    contender: type[Contender]
    samples: list[Sample] = field(default_factory=list)
    unable: str | None = None

    @property
    def seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        times = [sample.seconds for sample in self.samples]
        return min(times), max(times)

    @property
    def cpu(self) -> float:
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def peak(self) -> int:
        return max(sample.peak for sample in self.samples)

    @property
    def lag(self) -> tuple[float, float] | None:
        """99th percentile and worst of all ticks of all rounds."""
        lags = sorted(lag for sample in self.samples for lag in sample.lags or ())
        return (lags[int(0.99 * (len(lags) - 1))], lags[-1]) if lags else None

    def times_faster(self, other: Result) -> float:
        """How many times faster than *other*: the median over the rounds, since the runs of a round share the weather."""
        pairs = zip(self.samples, other.samples, strict=True)
        return statistics.median(theirs.seconds / ours.seconds for ours, theirs in pairs)


def run(workload: Workload, *, rounds: int, folder: Path, say: Callable[[str], None]) -> list[Result]:
    """Run all contenders of *workload* by turns; each round begins with another one."""
    results = {
        (row.name, contender): Result(workload.name, row, contender)
        for row in workload.rows
        for contender in workload.contenders
    }
    able = [contender for contender in workload.contenders if not _missing(contender, results)]
    for number in range(rounds):
        say(f"{workload.name}: round {number + 1} of {rounds}")
        for index in range(len(able)):
            contender = able[(index + number) % len(able)]
            _round(contender, workload.rows, results, folder)
    return list(results.values())


def missing_modules(contender: type[Contender]) -> list[str]:
    """What it needs that is not installed."""
    return [module for module in contender.needs if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package that the module would be in
        return False


def _missing(contender: type[Contender], results: Mapping[tuple[str, type[Contender]], Result]) -> bool:
    missing = missing_modules(contender)
    for (_, who), result in results.items():
        if who is contender and missing:
            result.unable = "not installed"
    return bool(missing)


def _round(
    contender: type[Contender], rows: Sequence[Row], results: Mapping[tuple[str, type[Contender]], Result], folder: Path
) -> None:
    place = Path(tempfile.mkdtemp(dir=folder, prefix="round-"))
    made = contender(place)
    try:
        with asyncio.Runner() as runner:
            for row in rows:
                result = results[row.name, contender]
                if result.unable is not None:
                    continue
                try:
                    result.samples.append(measure(made, row, runner))
                except Unable as error:
                    result.unable = str(error)
            made.close()
    finally:
        shutil.rmtree(place)


def measure(contender: Contender, row: Row, runner: asyncio.Runner) -> Sample:
    """Run one row once."""
    gc.collect()
    before = _memory(reset=True)
    lags: list[float] | None = None
    cpu, began = time.process_time(), time.perf_counter()
    answer = row.call(contender)
    if inspect.iscoroutine(answer):
        # Beside the task: when a task has ended, its runner makes a repr of the whole result, and throws it away.
        kept: list[Any] = []
        seconds, lags = runner.run(_with_ticker(answer, kept))
        answer = kept.pop()
    else:
        seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    peak = max(0, _memory() - before - row.held)
    if row.check is not None and not row.check(answer):
        raise AssertionError(f"{contender.name}, {row.name}: what came back is not what was saved")
    return Sample(seconds, cpu, peak, lags)


async def _with_ticker(call: Coroutine[Any, Any, Any], kept: list[Any]) -> tuple[float, list[float]]:
    lags: list[float] = []
    stopped = False

    async def tick() -> None:
        while not stopped:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            lags.append(time.perf_counter() - due)

    ticker = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    began = time.perf_counter()
    try:
        kept.append(await call)
        seconds = time.perf_counter() - began
    finally:
        stopped = True
        await ticker
    return seconds, lags


def _memory(*, reset: bool = False) -> int:
    """Bytes of this process in memory: now, with *reset*, else the most there were since then. 0 where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0
    if reset:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    wanted = "VmRSS:" if reset else "VmHWM:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    return 0
