"""One object of 1 GiB up to a bucket and down: without limits, and with 20 ms and 80 MB/s for each connection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gcs_places import Aiohttp, GcloudAio, Gcsfs, Google, Obstore, Ours, TransferManager, at
from benchmarks.harness import Row, Workload

CAP = 80_000_000


def workloads(quick: bool) -> Sequence[Workload]:
    size = 4 << 20 if quick else 1 << 30
    data = np.random.default_rng(7).integers(0, 256, size, dtype=np.uint8)

    def same(got: Sequence[Any]) -> bool:
        found = got[0].read_bytes() if isinstance(got[0], Path) else got[0]
        return bool(np.array_equal(np.frombuffer(memoryview(found), dtype=np.uint8), data))

    return [
        Workload(
            name,
            f"one array of {size >> 20} MiB",
            [
                Row("save", lambda who: who.save({"large": data}), bytes=size),
                Row("load", lambda who: who.load(["large"]), bytes=size, held=size, check=same),
            ],
            [at(contender, latency, cap) for contender in (Ours, Aiohttp, GcloudAio, Google, TransferManager, Gcsfs, Obstore)],
        )
        for name, latency, cap in [("gcs-large", 0.0, None), ("gcs-large, 20 ms, 80 MB/s a connection", 20.0, CAP)]
    ]
