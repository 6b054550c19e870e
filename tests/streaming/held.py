"""How much memory a save takes beside the object itself: each kind of object in a process of its own.

python tests/streaming/held.py [MIB]      all kinds, of 1024 MiB unless told otherwise
python tests/streaming/held.py MIB KIND   one of them, in this process
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def array(mib: int) -> Any:
    import numpy as np

    return np.ones(mib << 17)


def strided(mib: int) -> Any:
    import numpy as np

    return np.ones((2, mib << 17))[:, ::2]


def frame(mib: int) -> Any:
    import numpy as np
    import pandas as pd

    return pd.DataFrame(np.ones((mib << 13, 16)))


def parquet_frame(mib: int) -> Any:
    """Numbers that do not compress, in row groups of a million rows at most."""
    import numpy as np
    import pandas as pd

    return pd.DataFrame(np.random.default_rng(0).random((mib << 13, 16)))


def polars_frame(mib: int) -> Any:
    import numpy as np
    import polars as pl

    return pl.DataFrame(np.ones((mib << 13, 16)))


def text_frame(mib: int) -> Any:
    """Objects, which have to be converted in many batches; about half of it is their text."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series([f"{name}{n:060d}" for n in range(mib << 12)], dtype=object) for name in "ab"})


def pickled_list(mib: int) -> Any:
    """Instances of some kilobytes. For each, large or small, pickle itself remembers about 400 bytes until it is done."""
    return [_Item(n, f"{n:04000d}") for n in range(mib << 8)]


class _Item:
    __slots__ = ("n", "text")

    def __init__(self, n: int, text: str) -> None:
        self.n, self.text = n, text


def json_list(mib: int) -> Any:
    return [{"n": n, "text": f"{n:0100d}", "t": (n,)} for n in range(mib << 10)]


def arrow_table(mib: int) -> Any:
    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped]

    return pa.table({"a": np.ones(mib << 17)})


def tensor(mib: int) -> Any:
    import torch

    return torch.ones(mib << 18)


KINDS = {
    make.__name__: make
    for make in (
        array, strided, frame, parquet_frame, text_frame, polars_frame, pickled_list, json_list, arrow_table, tensor
    )
}  # fmt: skip
FORMATS = {"parquet_frame": "pandas-parquet"}


def memory(which: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def one(mib: int, kind: str) -> dict[str, float]:
    """Save one, and say what it took at most."""
    from aioartifacts.sync import LocalArtifactStore

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalArtifactStore(folder, durability="process", trust="all") as store,
    ):
        store.save(KINDS[kind](1), "first", format=FORMATS.get(kind))  # whatever is imported
        empty = memory("VmRSS")
        obj = KINDS[kind](mib)
        size = memory("VmRSS") - empty
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        started = time.perf_counter()
        store.save(obj, "a", format=FORMATS.get(kind))
        seconds = time.perf_counter() - started
        return {
            "held": (memory("VmHWM") - before) / 2**20,
            "payload": store.size("a") / 2**20,
            "object": size / 2**20,
            "seconds": seconds,
        }


def all_kinds(mib: int) -> dict[str, dict[str, float]]:
    found = {}
    for kind in KINDS:
        command = [sys.executable, __file__, str(mib), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    if len(sys.argv) > 2:
        print(json.dumps(one(mib, sys.argv[2])))
    else:
        for kind, result in all_kinds(mib).items():
            print(
                f"{kind:13} object {result['object']:6.0f} MiB   payload {result['payload']:6.0f} MiB   held beside it {result['held']:6.1f} MiB   {result['seconds']:6.2f} s"
            )
