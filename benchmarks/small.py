"""Thousands of dicts of 1 KB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import orchestrators, ours, peers, raw
from benchmarks.harness import Row, Workload


def document(number: int) -> dict[str, Any]:
    """A dict of 1 KB of JSON."""
    return {f"key{j}": f"value-{number}-{j}" * 3 if j % 3 else number * j * 1.5 for j in range(31)}


def rows(count: int) -> list[Row]:
    objects = {f"run/{number}": document(number) for number in range(count)}
    keys = list(objects)
    encode = raw.encoded(objects)
    return [
        Row("save", lambda who: who.save(encode if who.kind == "raw" else objects), count),
        Row(
            "load",
            lambda who: who.load(keys),
            count,
            check=lambda got: len(got) == count and _same(got[-1], objects[keys[-1]]),
        ),
        Row("exists", lambda who: who.exists(keys), count, check=all),
        Row("list", lambda who: who.list(), count, check=lambda got: len(got) >= count),
        Row("delete", lambda who: who.delete(keys), count),
    ]


def _same(got: object, saved: object) -> bool:
    return isinstance(got, bytes) or got == saved


def workloads(quick: bool) -> Sequence[Workload]:
    count = 20 if quick else 5_000
    return [
        Workload(
            "small",
            f"{count:,} dicts of 1 KB, no fsync",
            rows(count),
            [
                ours.Bulk, ours.OneByOne, ours.Together, ours.Facade,
                ours.WithoutPreviews, ours.ExecutorHops, raw.Calls,
                peers.FlowyML, peers.FlowyMLWithMetadata, peers.Obstore, peers.ObstoreAsync, peers.Joblib, peers.DiskCache,
                peers.Fsspec, orchestrators.Metaflow, orchestrators.MLflow, orchestrators.Prefect,
            ],
        )
    ]  # fmt: skip
