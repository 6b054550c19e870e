"""What a run leaves behind, all at once: many small objects, some of a megabyte, a few large ones; look at the loop lag."""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.gcs_places import Aiohttp, GcloudAio, Gcsfs, Google, Obstore, Ours, at
from benchmarks.harness import Row, Workload


def workloads(quick: bool) -> Sequence[Workload]:
    source = random.Random(7)
    kinds = [(20, 4096), (2, 1 << 16)] if quick else [(800, 4096), (60, 1 << 20), (4, 32 << 20)]
    sizes = [size for count, size in kinds for _ in range(count)]
    source.shuffle(sizes)
    objects = {f"mix/{number}": source.randbytes(size) for number, size in enumerate(sizes)}
    keys = list(objects)
    total = sum(sizes)
    return [
        Workload(
            "gcs-mix, 5 ms",
            f"{len(keys)} objects, {total >> 20} MiB",
            [
                Row("save", lambda who: who.save(objects), bytes=total),
                Row(
                    "load",
                    lambda who: who.load(keys),
                    bytes=total,
                    held=total,
                    check=lambda got: all(bytes(one) == objects[key] for one, key in zip(got, keys, strict=True)),
                ),
            ],
            [at(contender, 5.0) for contender in (Ours, Aiohttp, GcloudAio, Google, Gcsfs, Obstore)],
        )
    ]
