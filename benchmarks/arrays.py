"""Float64 arrays: eight of 128 MiB, and one of 1 GiB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import ours, peers, raw
from benchmarks.harness import Contender, Row, Workload


def rows(objects: Mapping[str, Any]) -> list[Row]:
    keys = list(objects)
    size = sum(array.nbytes for array in objects.values())
    last = objects[keys[-1]]

    def right(got: Sequence[Any]) -> bool:
        return len(got) == len(keys) and bool(np.array_equal(got[-1], last))

    return [
        Row("save", lambda who: who.save(objects), bytes=size),
        Row("load copied, verified", lambda who: who.load(keys), bytes=size, held=size, check=right),
        Row("load mapped, verified", lambda who: who.load_mapped(keys), bytes=size, held=size, check=right),
        Row("load mapped, unverified", lambda who: who.load_mapped_unverified(keys), held=size, check=right),
    ]


def arrays(count: int, size: int) -> dict[str, Any]:
    """*count* arrays of *size* bytes of noise."""
    noise = np.random.default_rng(7)
    return {f"array{number}": noise.random(size // 8) for number in range(count)}


CONTENDERS: list[type[Contender]] = [
    ours.Bulk, raw.Arrays, peers.Numpy, peers.ObstoreArrays, peers.Joblib, peers.Safetensors, peers.Zarr, peers.FlowyMLArrays,
]  # fmt: skip


def workloads(quick: bool) -> Sequence[Workload]:
    mib = 1 << 10 if quick else 1 << 20
    return [
        Workload(
            "arrays",
            f"{count} x {size} MiB of float64, no fsync; warm page cache",
            rows(arrays(count, size * mib)),
            CONTENDERS,
        )
        for count, size in ((8, 128), (1, 1024))
    ]
