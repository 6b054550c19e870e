"""A thousand objects of 4 KiB up to a bucket and down, at latencies of 0, 5 and 20 ms."""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.gcs_places import Aiohttp, GcloudAio, Gcsfs, Google, Obstore, Ours, at
from benchmarks.harness import Row, Workload


def workloads(quick: bool) -> Sequence[Workload]:
    count = 20 if quick else 1_000
    source = random.Random(7)
    objects = {f"small/{number}": source.randbytes(4096) for number in range(count)}
    keys = list(objects)
    return [
        Workload(
            f"gcs-small, {latency} ms",
            f"{count:,} x 4 KiB",
            [
                Row("save", lambda who: who.save(objects), count),
                Row("load", lambda who: who.load(keys), count, check=lambda got: [bytes(one) for one in got] == list(objects.values())),
            ],
            [at(contender, latency) for contender in (Ours, Aiohttp, GcloudAio, Google, Gcsfs, Obstore)],
        )
        for latency in ((0,) if quick else (0, 5, 20))
    ]
