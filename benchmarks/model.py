"""What very many artifacts cost in a bucket, on paper, and whether the test server counts the same: ``python -m benchmarks.model``.

The formulas are those of the table in docs/gcs.md. Prices and rates are Google's, read where docs/performance.md says. There is no clock
in them: times follow from a latency that is given. Only rivals for one path (``--rivals``) are timed.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from aioartifacts import ArtifactStore, Limits
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.testing.gcs_server import GCSServer, GCSServerProcess
from aioartifacts.testing.gcs_server.wire import ApiError
from aioartifacts.transfer import RANGE
from aioartifacts.types import INLINE_MAX, KIB, MIB

_OPTIONS = inspect.signature(GCSObjectStore).parameters
CHUNK: int = _OPTIONS["chunk_size"].default
PARALLEL_FROM: int = _OPTIONS["parallel_from"].default
PAGE = 1000
"""Objects in one page of a listing, at most."""
GIB = 1024 * MIB

CLASS_A = 0.005 / 1000
CLASS_B = 0.0004 / 1000
STORED = 0.000027397 * 730
SENT = 0.12
"""US dollars: an operation of class A, of class B, a GiB stored for a month, a GiB sent to the Internet (the first 10 TiB of a month)."""
FIRST_WRITES = 1000
FIRST_READS = 5000
DOUBLED_EVERY = 1200.0
"""Writes and reads a second that a bucket takes at first, and the seconds in which they may double."""


@dataclass(frozen=True)
class Cost:
    """Requests, and how many operations of each class they are; what is neither is free."""

    requests: int
    class_a: int = 0
    class_b: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.requests + other.requests, self.class_a + other.class_a, self.class_b + other.class_b)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.requests * times, self.class_a * times, self.class_b * times)

    @property
    def dollars(self) -> float:
        return self.class_a * CLASS_A + self.class_b * CLASS_B


NOTHING = Cost(0)


def is_inline(size: int) -> bool:
    return size <= INLINE_MAX


def save(size: int) -> Cost:
    """A new artifact of one part, of known size. A resumable upload is one operation, however many chunks it has; parts are one each."""
    record = Cost(1, class_a=1)
    if is_inline(size):
        return record
    pieces = math.ceil(size / CHUNK)
    if size <= CHUNK:
        return record + Cost(1, class_a=1)
    if size < PARALLEL_FROM:
        return record + Cost(1 + pieces, class_a=1)
    return record + Cost(2 + pieces, class_a=2 + pieces) + Cost(1, class_b=1)


def overwrite(old: int, new: int) -> Cost:
    """One that is there already: creating it is refused (and counted here as if it were charged), its record is read, then replaced."""
    return save(new) + Cost(1, class_a=1) + Cost(1, class_b=1) + Cost(0 if is_inline(old) else 1)


def load(size: int) -> Cost:
    parts = 0 if is_inline(size) else math.ceil(size / RANGE)
    return Cost(1 + parts, class_b=1 + parts)


def look(size: int) -> Cost:
    """``exists``, ``size``, ``get_metadata``, ``info``."""
    return Cost(1, class_b=1)


def delete(size: int) -> Cost:
    return Cost(1, class_b=1) + Cost(1 if is_inline(size) else 2)


def listing(objects: int) -> Cost:
    pages = max(1, math.ceil(objects / PAGE))
    return Cost(pages, class_a=pages)


def objects(size: int) -> int:
    """How many there are of one artifact, each a line in every listing above it."""
    return 1 if is_inline(size) else 2


Mix = Mapping[int, int]
"""How many artifacts there are of each size."""

PER_THOUSAND: Mix = {2 * KIB: 900, MIB: 99, 256 * MIB: 1}
"""The artifacts of a thousand steps: parameters and metrics, small frames, one model."""
LIGHT: Mix = {200: 900, INLINE_MAX + 1: 99, CHUNK + 1: 1}
"""The same number of requests but for the largest, for a server in memory."""


def of(mix: Mix, verb: Callable[[int], Cost]) -> Cost:
    return sum((verb(size) * count for size, count in mix.items()), NOTHING)


def times(mix: Mix, factor: float) -> Mix:
    return {size: round(count * factor) for size, count in mix.items()}


def ramp(requests: int, first: float) -> float:
    """Seconds until a bucket that is new to it has taken so many, the rate growing as fast as it may."""
    return DOUBLED_EVERY * math.log2(1 + requests * math.log(2) / (first * DOUBLED_EVERY))


# On paper


def paper(*, latency: float, processes: int, transfers: int) -> str:
    lines = [
        f"{transfers} transfers a process, {latency * 1e3:g} ms a request, {processes:,} processes",
        "",
        "| artifacts | verb | requests | US$ | one process | all of them | the bucket at its first rate | and doubling every 20 min |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for exponent in (6, 8):
        mix = times(PER_THOUSAND, 10**exponent / 1000)
        many = sum(objects(size) * count for size, count in mix.items())
        for name, cost, first, at_once, together in (
            ("save", of(mix, save), FIRST_WRITES, transfers, transfers * processes),
            ("load", of(mix, load), FIRST_READS, transfers, transfers * processes),
            ("delete", of(mix, delete), FIRST_WRITES, transfers, transfers * processes),
            ("list, all in one", listing(many), FIRST_READS, 1, 1),
        ):
            limited = cost.requests - cost.class_b if first == FIRST_WRITES else cost.requests
            cells = [
                f"10^{exponent}",
                name,
                f"{cost.requests:,}",
                f"{cost.dollars:,.2f}",
                span(cost.requests * latency / at_once),
                span(cost.requests * latency / together),
                span(limited / first),
                span(ramp(limited, first)),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for exponent in (6, 8):
        mix = times(PER_THOUSAND, 10**exponent / 1000)
        size = sum(size * count for size, count in mix.items()) / GIB
        lines.append(
            f"10^{exponent}: {size:,.0f} GiB, {size * STORED:,.0f} US$ a month; {size * SENT:,.0f} US$ to send it to the Internet"
        )
    return "\n".join(lines)


def span(seconds: float) -> str:
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} s"


# Against the test server


@dataclass(frozen=True)
class Check:
    """One verb on all artifacts: what the model says, and what the server has logged."""

    artifacts: int
    verb: str
    model: Cost
    seen: Cost


def simulate(counts: Sequence[int], *, bucket: str = "model") -> Iterator[Check]:
    """Save, look at, list, load, replace and delete so many artifacts at a time, in a bucket that is empty at first."""
    with GCSServerProcess("--bucket", bucket, "--no-md5") as server:
        for count in counts:
            server.reset()
            yield from asyncio.run(_verbs(count, bucket, server))


async def _verbs(count: int, bucket: str, server: GCSServerProcess) -> list[Check]:
    sizes = _sizes(count)
    mix = {size: sizes.count(size) for size in set(sizes)}
    paths = [f"run-{number % 100:02}/{number:06}" for number in range(count)]
    below = GCSObjectStore(bucket, "team", endpoint=server.url, credentials="anonymous")
    checks: list[Check] = []

    async with ArtifactStore(below, limits=Limits(transfers=32)) as store:

        async def check(verb: str, model: Cost, calls: Sequence[Callable[[], Awaitable[Any]]]) -> None:
            seen = NOTHING
            for call in calls:
                server.clear_log()
                await call()
                seen += _seen(server.log())
            checks.append(Check(count, verb, model, seen))

        def batches(verb: Callable[[list[int]], Awaitable[Any]]) -> list[Callable[[], Awaitable[Any]]]:
            parts = [list(range(count))[start : start + BATCH] for start in range(0, count, BATCH)]
            return [partial(verb, part) for part in parts]

        def bodies(numbers: list[int]) -> dict[str, bytes]:
            return {paths[number]: bytes(sizes[number]) for number in numbers}

        few = range(min(count, 100))
        listed: list[str] = []

        async def look_at_few() -> None:
            for number in few:
                assert await store.size(paths[number]) == sizes[number]

        async def list_all() -> None:
            listed.extend(await store.list_artifacts())

        await check("save", of(mix, save), batches(lambda numbers: store.save_many(bodies(numbers))))
        await check("size of 100", sum((look(sizes[number]) for number in few), NOTHING), [look_at_few])
        await check("list", listing(sum(map(objects, sizes))), [list_all])
        assert listed == sorted(paths)
        in_run = [size for path, size in zip(paths, sizes, strict=True) if path.startswith("run-07/")]
        await check("list one run of 100", listing(sum(map(objects, in_run))), [lambda: store.list_artifacts("run-07")])
        await check("load", of(mix, load), batches(lambda numbers: store.load_many([paths[n] for n in numbers])))
        again = sum((overwrite(size, size) for size in sizes), NOTHING)
        await check("save again", again, batches(lambda numbers: store.save_many(bodies(numbers))))
        await check("delete", of(mix, delete), batches(lambda numbers: store.delete_many([paths[n] for n in numbers])))
    return checks


BATCH = 5_000
"""Artifacts between two looks at the log."""


def _sizes(count: int) -> list[int]:
    """Of each artifact: `LIGHT`, evenly mixed, and one that is sent in parallel parts, if there are ten."""
    every = [size for size, share in LIGHT.items() for _ in range(share)]
    sizes = [every[number * 7 % len(every)] for number in range(count)]
    if count >= 10:
        sizes[-1] = PARALLEL_FROM + 1
    return sizes


def _seen(log: Sequence[Mapping[str, Any]]) -> Cost:
    return sum((_classified(entry) for entry in log), NOTHING)


def _classified(entry: Mapping[str, Any]) -> Cost:
    """A request by what the price list says of its kind."""
    method, query = entry["method"], entry["query"]
    if method == "DELETE" or (method == "PUT" and "upload_id=" in query):
        return Cost(1)
    if method == "GET" and not entry["path"].endswith("/o"):
        return Cost(1, class_b=1)
    return Cost(1, class_a=1)


# Rivals for one path


@dataclass(frozen=True)
class Race:
    """What became of so many workers that each replaced the same path once."""

    workers: int
    saved: int
    seconds: float
    requests: int


async def race(workers: int, interval: float, *, bucket: str = "model") -> Race:
    """Have the path replaced by all of them at once, where the service takes one write of a name every *interval* seconds."""
    async with GCSServer(buckets=(bucket,)) as server, AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(
                ArtifactStore(GCSObjectStore(bucket, endpoint=server.url, credentials="anonymous"))
            )
            for _ in range(workers)
        ]
        await stores[0].save("first", "latest")
        _limit_writes(server, interval)
        server.journal.clear()
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(store.save(i, "latest") for i, store in enumerate(stores)), return_exceptions=True
        )
        seconds = time.monotonic() - began
        saved = sum(isinstance(outcome, str) for outcome in outcomes)
        return Race(workers, saved, seconds, len(server.journal.to_json()))


def _limit_writes(server: GCSServer, interval: float) -> None:
    commit = server.state.commit
    last: dict[str, float] = {}

    def limited(bucket: str, name: str, *rest: Any, **options: Any) -> Any:
        server.state.check_write(bucket, name, rest[2] if len(rest) > 2 else options["conditions"])  # 412 goes first
        if time.monotonic() - last.get(name, -math.inf) < interval:
            raise ApiError(429, "The object exceeded the rate limit for object mutation operations.")
        last[name] = time.monotonic()
        return commit(bucket, name, *rest, **options)

    server.state.commit = limited  # type: ignore[method-assign]


def report(checks: Sequence[Check]) -> str:
    lines = [
        "| artifacts | verb | requests: model | counted | class A: model | counted | class B: model | counted | requests each |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for check in checks:
        numbers = [
            f"{number:,}"
            for name in ("requests", "class_a", "class_b")
            for number in (getattr(check.model, name), getattr(check.seen, name))
        ]
        each = f"{check.seen.requests / check.artifacts:.4f}"
        lines.append("| " + " | ".join([f"{check.artifacts:,}", check.verb, *numbers, each]) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    parser.add_argument(
        "--artifacts", nargs="*", type=int, default=[10, 100, 1_000, 10_000], help="how many to simulate"
    )
    parser.add_argument("--latency", type=float, default=30.0, help="of a request, in ms, for the paper")
    parser.add_argument("--processes", type=int, default=1_000, help="for the paper")
    parser.add_argument(
        "--transfers", type=int, default=Limits().transfers, help="requests that a process has under way, for the paper"
    )
    parser.add_argument(
        "--rivals", nargs="*", type=int, default=[], help="so many workers replace one path, at one write a second"
    )
    given = parser.parse_args(argv)
    print(paper(latency=given.latency / 1e3, processes=given.processes, transfers=given.transfers), flush=True)
    checks = list(simulate(given.artifacts))
    if checks:
        print("\n" + report(checks))
    for rivals in given.rivals:
        found = asyncio.run(race(rivals, 1.0))
        print(
            f"\n{found.workers} workers replace one path, at one write a second: {found.saved} have, "
            f"in {found.seconds:.1f} s, with {found.requests / found.workers:.1f} requests each"
        )
    wrong = [check for check in checks if check.model != check.seen]
    print(f"\n{len(checks) - len(wrong)} of {len(checks)} as the model says")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
