"""What previews cost: the time that making one takes, and what part that is of the save it is made in, family by family.

python benchmarks/previews.py

The save is the cheapest there is, without fsync and without previews, on a disk; so is the preview, the best of many.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from aioartifacts import MaterializerRegistry
from aioartifacts.materializers.base import Dump, Materializer
from aioartifacts.previews import describe, split
from aioartifacts.sync import LocalArtifactStore


def objects() -> Iterator[tuple[str, object]]:
    import matplotlib.figure
    import plotly.graph_objects as go  # type: ignore[import-untyped]
    import polars as pl
    import pyarrow as pa  # type: ignore[import-untyped]
    import torch
    import xarray as xr
    from PIL import Image
    from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]

    yield "small dict", {"accuracy": 0.9, "loss": 0.1, "epochs": 10}
    yield "dict of 100 settings", {f"setting {n}": [n, "x" * n] for n in range(100)}
    yield "list of 100,000 numbers", list(range(100_000))
    yield "text of 1 KB", "lorem ipsum " * 85
    yield "small array", np.arange(100.0)
    yield "array of 100 MB", np.zeros(12_500_000)
    yield "small frame", pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    yield "frame of 1,000 rows", pd.DataFrame({"a": range(1000), "b": [str(n) for n in range(1000)]})
    yield "frame of 100 MB", pd.DataFrame(np.zeros((1_250_000, 10)))
    yield "small polars frame", pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    yield "polars frame of 100 MB", pl.DataFrame(np.zeros((1_250_000, 10)))
    yield "small arrow table", pa.table({"a": [1, 2], "b": ["x", "y"]})
    yield "arrow table of 100 MB", pa.table({"a": np.zeros(12_500_000)})
    yield "small tensor", torch.arange(100.0)
    yield "tensor of 100 MB", torch.zeros(25_000_000)
    yield "small dataset", xr.Dataset({"a": ("x", np.arange(3))})
    yield "fitted estimator", LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    yield "image of 4 MP", Image.effect_noise((2000, 2000), 50).convert("RGB")
    yield "plotly figure", go.Figure(go.Scatter(y=[1, 2, 3]))
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([1, 2, 3])
    yield "matplotlib figure", figure


def best(work: Callable[[], object], enough: float = 0.3) -> float:
    """Seconds of processor time that it takes at least."""
    started = time.process_time()
    work()
    count = max(1, int(enough / 20 / max(time.process_time() - started, 1e-6)))
    found = []
    for _ in range(15):
        started = time.process_time()
        for _ in range(count):
            work()
        found.append((time.process_time() - started) / count)
    return min(found)


def preview(materializer: Materializer, dump: Dump, obj: object) -> tuple[float, int]:
    """Seconds, and bytes of JSON."""
    times = {
        on: best(lambda on=on: describe(materializer, dump, obj, "a", previews=on))  # type: ignore[misc]
        for on in (True, False)
    }
    found: Any = split(describe(materializer, dump, obj, "a", previews=True))[1]
    return times[True] - times[False], len(msgspec.json.encode(found)) if found else 0


def main() -> None:
    registry = MaterializerRegistry()
    print(f"{'':24} {'save':>11} {'preview':>11} {'of it':>7} {'bytes':>7}")
    with tempfile.TemporaryDirectory() as folder:
        store = LocalArtifactStore(folder, previews=False, durability="process")
        for name, obj in objects():
            store.save(obj, "a")
            materializer = registry.for_format(store.info("a").format)
            taken, size = preview(materializer, materializer.dump(obj), obj)
            whole = best(lambda obj=obj: store.save(obj, "a"))  # type: ignore[misc]
            print(f"{name:24} {whole * 1e6:8.0f} µs {taken * 1e6:8.1f} µs {taken / whole:7.2%} {size:7}", flush=True)


if __name__ == "__main__":
    main()
