"""How the cost of one artifact grows with how many there are: it should not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import ours, peers
from benchmarks.harness import Row, Workload


def workloads(quick: bool) -> Sequence[Workload]:
    return [_workload(count) for count in ((10, 30) if quick else (10, 100, 1_000, 10_000, 100_000))]


def _workload(count: int) -> Workload:
    objects: dict[str, Any] = {
        f"run{number % 100}/{number}": {"number": number, "text": "x" * 100} for number in range(count)
    }
    keys = list(objects)
    some = keys[:: max(1, count // 1_000)]
    return Workload(
        f"many: {count:,}",
        "the cost of one artifact among so many, no fsync",
        [
            Row("save", lambda who: who.save(objects), count),
            Row("load", lambda who: who.load(keys), count, check=lambda got: got[-1] == objects[keys[-1]]),
            Row("list", lambda who: who.list(), count, check=lambda got: len(got) == count),
            Row("size of some", lambda who: who.size(some), len(some), check=all),
        ],
        [ours.Bulk, peers.FlowyML],
    )
