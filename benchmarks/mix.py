"""Five hundred artifacts of very different sizes: bytes and arrays, log-normal, 1 KB to 64 MiB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import ours, peers
from benchmarks.harness import Row, Workload


def mixed(count: int, total: int, largest: int) -> dict[str, Any]:
    """*count* arrays and bytes, *total* bytes in all, about."""
    noise = np.random.default_rng(7)
    sizes = np.clip(noise.lognormal(12.5, 2.6, count), 1_000, largest)
    sizes = np.clip(sizes * (total / sizes.sum()), 1_000, largest).astype(int)
    return {
        f"mix{number}": noise.random(size // 8 + 1) if number % 3 else noise.bytes(size)
        for number, size in enumerate(sizes.tolist())
    }


def workloads(quick: bool) -> Sequence[Workload]:
    objects = mixed(10, 1 << 20, 1 << 18) if quick else mixed(500, 2 << 30, 64 << 20)
    size = sum(memoryview(obj).nbytes for obj in objects.values())
    keys = list(objects)
    return [
        Workload(
            "mix",
            f"{len(objects)} arrays and bytes, {size / 2**30:.2f} GiB, no fsync",
            [
                Row("save", lambda who: who.save(objects), bytes=size),
                Row("load", lambda who: who.load(keys), bytes=size, held=size, check=lambda got: len(got) == len(keys)),
            ],
            [ours.Bulk, ours.Together, peers.ObstoreAsync, peers.Joblib, peers.FlowyML, peers.Fsspec],
        )
    ]
