"""Choose a format, look before loading, and read one part as a stream."""

from __future__ import annotations

import tempfile

import numpy as np
import pandas as pd

import aioartifacts.sync as aa


def main() -> None:
    frame = pd.DataFrame({"city": ["Berlin", "Oslo", None], "degrees": [21.5, 17.0, np.nan]})
    with tempfile.TemporaryDirectory() as folder, aa.LocalArtifactStore(folder) as store:
        store.save(frame, "weather/default")
        store.save(frame, "weather/small", format="pandas-parquet")  # every reader of Parquet reads it, too

        for path in store.list_artifacts():
            info = store.info(path)  # nothing is decoded
            print(path, info.format, info.preview["columns"])
        explanation = store.explain("weather/small")
        print("can be loaded here:", explanation.loadable, explanation.reasons)

        with store.open_part("weather/small") as stream:
            print("begins with", stream.read(4))
        some = store.load("weather/default", columns=["degrees"])
        print("only", list(some.columns))
        array = store.load(store.save(np.arange(1_000_000), "large"), mmap=True)  # read-only, from the file itself
        print("mapped:", not array.flags.writeable, array[-1])


if __name__ == "__main__":
    main()
