"""Every kind of pandas Index: its arrays, names, frequency, levels and codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.pandas_arrow import Columns, Fields, numpy_field
from aioartifacts.materializers.pandas_cells import from_json, offset_from_json, offset_to_json, to_json
from aioartifacts.materializers.pandas_columns import array_of, decode, encode
from aioartifacts.types import JSON

TYPES: tuple[type[pd.Index], ...] = (
    pd.Index,
    pd.RangeIndex,
    pd.MultiIndex,
    pd.DatetimeIndex,
    pd.TimedeltaIndex,
    pd.PeriodIndex,
    pd.CategoricalIndex,
    pd.IntervalIndex,
)
"""Exactly these; a subclass is not written as its base."""


def encode_index(index: Any, fields: Fields, *, aligned: bool = False) -> dict[str, JSON]:
    """Describe an index, and put its arrays into *fields*: into the table when *aligned* with it, else aside.

    Raises:
        Declined: its class, its names or its values have no exact form.
    """
    if type(index) not in TYPES:
        raise Declined(f"an index of class {type(index).__qualname__}")
    names: JSON = [to_json(name) for name in index.names]
    if type(index) is pd.RangeIndex:
        return {"kind": "range", "names": names, "range": [index.start, index.stop, index.step]}
    put = fields.put if aligned else fields.put_aside(len(index))
    if type(index) is pd.MultiIndex:
        codes: JSON = [
            put(numpy_field(f"__index_{n}", np.asarray(code), fields.kind)) for n, code in enumerate(index.codes)
        ]
        levels: JSON = [encode_index(level, fields) for level in index.levels]
        return {
            "kind": "multi",
            "names": names,
            "levels": levels,
            "codes": codes,
            "sortorder": getattr(index, "sortorder", None),
        }
    spec: dict[str, JSON] = {
        "kind": "array",
        "names": names,
        "array": encode("__index_0", array_of(index), fields, put),
    }
    freq = getattr(index, "freq", None)
    if freq is not None and type(index) is not pd.PeriodIndex:
        spec["freq"] = offset_to_json(freq)
    return spec


def decode_index(spec: Any, columns: Columns) -> Any:
    """The inverse of `encode_index`.

    Raises:
        ValueError: *spec* was not written by it, or does not fit the columns.
    """
    names = [from_json(name) for name in spec["names"]]
    kind = spec["kind"]
    if kind == "multi":
        levels = [decode_index(level, columns) for level in spec["levels"]]
        codes = [_codes(columns, at) for at in spec["codes"]]
        return pd.MultiIndex(
            levels=levels, codes=codes, names=names, sortorder=spec["sortorder"], verify_integrity=True
        )
    (name,) = names
    if kind == "range":
        start, stop, step = spec["range"]
        return pd.RangeIndex(start, stop, step, name=name)
    if kind != "array":
        raise ValueError(f"unknown kind of index {kind!r:.40}")
    array = decode(spec["array"], columns)
    freq = spec.get("freq")
    if freq is not None:
        if not isinstance(array, np.ndarray) and not isinstance(array, pd.arrays.DatetimeArray):
            raise ValueError("a frequency without times")
        times: Any = pd.TimedeltaIndex if array.dtype.kind == "m" else pd.DatetimeIndex
        return times(array, freq=offset_from_json(freq), name=name, copy=False)
    return pd.Index(array, dtype=array.dtype, name=name, copy=False, tupleize_cols=False)


def _codes(columns: Columns, at: JSON) -> Any:
    found = columns.get(at)
    if found.type not in (pa.int8(), pa.int16(), pa.int32(), pa.int64()):
        raise ValueError("the codes of an index are not integers")
    return columns.numpy(found, np.dtype(found.type.to_pandas_dtype()))
