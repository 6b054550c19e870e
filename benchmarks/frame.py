"""A DataFrame of 178 MB with strings, categories and dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import ours, peers
from benchmarks.harness import Row, Workload

COLUMNS = ("price", "when")


def frame(rows: int) -> Any:
    """Numbers, strings, a category and dates; about 90 bytes a row."""
    noise = np.random.default_rng(7)
    towns = np.array([f"town {number:03}" for number in range(500)])
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "price": noise.random(rows),
            "amount": noise.integers(0, 1_000, rows),
            "town": towns[noise.integers(0, 500, rows)],
            "kind": pd.Categorical.from_codes(noise.integers(0, 8, rows), list("abcdefgh")),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(noise.integers(0, 10**7, rows), unit="s"),
            "flag": noise.random(rows) < 0.5,
        }
    )


def workloads(quick: bool) -> Sequence[Workload]:
    table = frame(1_000 if quick else 3_000_000)
    size = int(table.memory_usage(deep=True).sum())
    rows = [
        Row("save", lambda who: who.save({"frame": table})),
        Row("load", lambda who: who.load(["frame"]), held=size, check=lambda got: got[0].equals(table)),
        Row(
            "load two columns",
            lambda who: who.load_columns("frame", COLUMNS),
            held=size,
            check=lambda got: got[list(COLUMNS)].equals(table[list(COLUMNS)]),
        ),
    ]
    return [
        Workload(
            "frame",
            f"{len(table):,} rows, {size / 1e6:.0f} MB in memory, no fsync",
            rows,
            [ours.Facade, peers.Parquet, peers.Feather, peers.FlowyML, peers.Joblib],
        )
    ]
