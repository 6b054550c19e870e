"""What survives a power cut: small dicts and arrays with fsync, beside the same calls by hand."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import arrays, ours, raw, small
from benchmarks.harness import Workload


def workloads(quick: bool) -> Sequence[Workload]:
    count, mib = (20, 1 << 10) if quick else (500, 1 << 20)
    return [
        Workload(
            "durable: small",
            f"{count:,} dicts of 1 KB, fsync",
            small.rows(count)[:1],
            [
                ours.durable(ours.Bulk),
                ours.durable(ours.OneByOne),
                ours.durable(ours.Together),
                ours.durable(ours.Facade),
                raw.SyncedCalls,
            ],
        ),
        Workload(
            "durable: arrays",
            "4 x 64 MiB of float64, fsync",
            arrays.rows(arrays.arrays(4, 64 * mib))[:1],
            [ours.durable(ours.Bulk), raw.SyncedArrays],
        ),
    ]
