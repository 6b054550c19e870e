"""What previews cost: processor time of the same saves on disk, with and without them, by turns.

python benchmarks/previews.py
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import pandas as pd
from PIL import Image

from aioartifacts.sync import LocalArtifactStore

OBJECTS = {
    "small dict": {"accuracy": 0.9, "loss": 0.1, "epochs": 10},
    "small array": np.arange(100.0),
    "array of 80 MB": np.zeros(10_000_000),
    "frame of 80 MB": pd.DataFrame(np.zeros((1_000_000, 10))),
    "frame of 1,000 rows": pd.DataFrame({"a": range(1000), "b": [str(n) for n in range(1000)]}),
    "image of 4 MP": Image.effect_noise((2000, 2000), 50).convert("RGB"),
}


def seconds(store: LocalArtifactStore, obj: object, count: int) -> float:
    started = time.process_time()
    for _ in range(count):
        store.save(obj, "a")
    return (time.process_time() - started) / count


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = {on: LocalArtifactStore(f"{folder}/{on}", previews=on, durability="process") for on in (True, False)}
        for name, obj in OBJECTS.items():
            count = max(2, int(0.3 / seconds(stores[False], obj, 1)))
            times = {on: min(seconds(stores[on], obj, count) for _ in range(7)) for on in (True, False)}
            print(f"{name:20} {times[False] * 1e3:9.3f} ms without, {times[True] / times[False] - 1:+7.1%} with previews")


if __name__ == "__main__":
    main()
