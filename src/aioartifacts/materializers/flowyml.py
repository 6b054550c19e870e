"""Reads what FlowyML's own ``LocalArtifactStore`` wrote; writes nothing. `aioartifacts.legacy` recognises it.

What comes back is what FlowyML's own materializers return. CSV, its fallback, forgets dtypes for good.
"""

from __future__ import annotations

import pickle
from typing import Any, NoReturn

from aioartifacts.errors import DecodeError, UntrustedArtifactError
from aioartifacts.legacy import NUMPY, PANDAS, PICKLE
from aioartifacts.materializers.base import Declined, Materializer, Parts


class _ReadOnly(Materializer):
    def accepts(self, obj: object) -> bool:
        return False

    def dump(self, obj: object) -> NoReturn:
        raise Declined(f"format {self.format!r} is only read, so that trees written by FlowyML can be; save without format=")


class FlowyMLPickle(_ReadOnly):
    """Bare pickles of ``save``, ``data.pkl`` of ``materialize``, and scikit-learn estimators."""

    name = "flowyml"
    format = PICKLE
    safe = False
    packages = ("cloudpickle",)

    def load(self, parts: Parts) -> object:
        if not parts.trusted:
            raise UntrustedArtifactError("FlowyML saved it as a pickle, and decoding it can run code", format=self.format)
        with parts.open(parts.names[0]) as stream:
            return pickle.load(stream)


class FlowyMLNumpy(_ReadOnly):
    """``array.npy``. Arrays of objects are pickles inside, and need trust."""

    name = "flowyml"
    format = NUMPY
    safe = True
    packages = ("numpy",)

    def load(self, parts: Parts) -> object:
        import numpy as np

        with parts.open(parts.names[0]) as stream:
            # Not np.load: that one also takes archives and pickles for arrays.
            return np.lib.format.read_array(stream, allow_pickle=parts.trusted)


class FlowyMLPandas(_ReadOnly):
    """``data.parquet``, or ``data.csv`` for what Parquet did not take, of a DataFrame or a Series."""

    name = "flowyml"
    format = PANDAS
    safe = True
    packages = ("pandas", "pyarrow")

    def load(self, parts: Parts) -> object:
        import pandas as pd

        kind = parts.meta.get("type")
        if kind not in ("pandas_dataframe", "pandas_series"):
            raise DecodeError(f"FlowyML's metadata.json names neither a DataFrame nor a Series, but {kind!r}")
        with parts.open(parts.names[0]) as stream:
            csv = parts.meta.get("format") == "csv"
            frame = pd.read_csv(stream, index_col=0) if csv else pd.read_parquet(stream, engine="pyarrow")
        if kind == "pandas_dataframe":
            return frame
        # The column is named "0" or "None" when the Series had no name; the metadata knows better.
        name = parts.meta.get("name", "")
        series: Any = frame.iloc[:, 0]
        series.name = tuple(name) if isinstance(name, list) else name
        return series
