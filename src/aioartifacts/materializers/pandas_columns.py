"""One strategy for each kind of pandas array: how it lies in Arrow, and how exactly the same array comes of it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.pandas_arrow import (
    Array,
    Columns,
    Field,
    Fields,
    arrow_type,
    indices,
    missing_bits,
    numpy_field,
)
from aioartifacts.materializers.pandas_cells import (
    from_json,
    offset_from_json,
    offset_to_json,
    to_json,
    zone_from_json,
    zone_to_json,
)
from aioartifacts.materializers.pandas_objects import decode_objects, encode_objects
from aioartifacts.types import JSON

Put = Callable[[Field], int]
Spec = dict[str, JSON]


def array_of(holder: Any) -> Any:
    """The array behind a Series or an Index: of NumPy where there is one, else pandas' own."""
    return holder.to_numpy() if isinstance(holder.dtype, np.dtype) else holder.array


def encode(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    """Describe *array*, and put what it consists of into fields called *name*.

    Raises:
        Declined: there is no strategy for it, or a cell has no exact form.
    """
    if isinstance(array, np.ndarray):
        return _encode_numpy(name, array, fields, put)
    strategy = _ENCODE.get(type(array.dtype))
    if strategy is None and array.dtype.name in _MASKED:
        strategy = _encode_masked
    if strategy is None or type(array).__module__.partition(".")[0] != "pandas":
        raise Declined(f"there is no strategy for dtype {array.dtype}")
    return strategy(name, array, fields, put)


def decode(spec: Any, columns: Columns) -> Any:
    """The inverse of `encode`.

    Raises:
        ValueError: *spec* was not written by it, or does not fit the columns.
    """
    if type(spec) is not dict:
        raise ValueError("not the description of a column")
    strategy = _DECODE.get(spec["kind"])
    if strategy is None:
        raise ValueError(f"unknown kind of column {spec['kind']!r:.40}")
    return strategy(spec, columns)


def _encode_numpy(name: str, array: Array, fields: Fields, put: Put) -> Spec:
    if array.dtype == object:
        return encode_objects(name, array, fields, put)
    if array.dtype.kind not in "biufcmM":
        raise Declined(f"there is no strategy for dtype {array.dtype}")
    return {"kind": "numpy", "dtype": array.dtype.str, "at": put(numpy_field(name, array, fields.kind))}


def _decode_numpy(spec: Spec, columns: Columns) -> Array:
    dtype = _dtype(spec["dtype"])
    found = columns.get(spec["at"])
    _check(found, arrow_type(dtype, "arrow"), arrow_type(dtype, "parquet"))
    return columns.numpy(found, dtype, missing="NaT" if dtype.kind in "mM" else None)


def _encode_zoned(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    tz = zone_to_json(array.dtype.tz)
    unit = array.dtype.unit
    seconds = fields.kind == "parquet" and unit == "s"
    type_ = pa.int64() if seconds else pa.timestamp(unit, tz=_zone_name(array.dtype.tz))
    field = numpy_field(name, array.asi8, fields.kind, timestamp=type_)
    return {"kind": "zoned", "unit": unit, "tz": tz, "at": put(field)}


def _decode_zoned(spec: Spec, columns: Columns) -> Any:
    tz = zone_from_json(spec["tz"])
    dtype = np.dtype(f"M8[{_unit(spec['unit'])}]")
    found = columns.get(spec["at"])
    if not pa.types.is_timestamp(found.type) or found.type.unit != spec["unit"]:
        _check(found, pa.int64())
    values = columns.numpy(found, dtype, missing="NaT")
    return pd.DatetimeIndex(values, copy=False).tz_localize("UTC").tz_convert(tz).array


def _zone_name(tz: Any) -> str:
    name = getattr(tz, "key", None) or getattr(tz, "zone", None)  # of zoneinfo, of pytz
    if name is not None:
        return str(name)
    minutes, seconds = divmod(int(tz.utcoffset(None).total_seconds()), 60)
    if seconds or not minutes:
        return "UTC"
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _encode_period(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    freq = str(array.dtype.name).removeprefix("period[").removesuffix("]")
    if pd.PeriodDtype(freq) != array.dtype:
        raise Declined(f"the frequency {freq} does not name {array.dtype}")
    return {"kind": "period", "freq": freq, "at": put(numpy_field(name, array.asi8, fields.kind))}


def _decode_period(spec: Spec, columns: Columns) -> Any:
    found = columns.get(spec["at"])
    _check(found, pa.int64())
    dtype = pd.PeriodDtype(str(spec["freq"]))
    return pd.arrays.PeriodArray(columns.numpy(found, np.dtype("i8")), dtype=dtype)


def _encode_interval(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    return {
        "kind": "interval",
        "closed": array.closed,
        "freqs": [None if freq is None else offset_to_json(freq) for freq in map(_freq, (array.left, array.right))],
        "left": encode(f"{name}.left", array_of(array.left), fields, put),
        "right": encode(f"{name}.right", array_of(array.right), fields, put),
    }


def _decode_interval(spec: Any, columns: Columns) -> Any:
    left, right = (
        _with_freq(decode(spec[side], columns), freq)
        for side, freq in zip(("left", "right"), spec["freqs"], strict=True)
    )
    return pd.arrays.IntervalArray.from_arrays(left, right, closed=spec["closed"])


def _freq(index: Any) -> Any:
    """Of times; pandas 2 keeps it on the ends of intervals, pandas 3 does not."""
    return getattr(index, "freq", None) if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) else None


def _with_freq(values: Any, freq: JSON) -> Any:
    if freq is None:
        return values
    times: Any = pd.TimedeltaIndex if values.dtype.kind == "m" else pd.DatetimeIndex
    return times(values, freq=offset_from_json(freq), copy=False)


def _encode_category(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    from aioartifacts.materializers.pandas_axes import encode_index  # which needs columns for its own arrays

    categories = array.categories
    codes = array.codes
    field = numpy_field(name, codes, fields.kind)
    if fields.kind == "arrow" and put == fields.put and categories.dtype == "str" and len(categories):
        field = _dictionary(field, codes, pa.array(categories.array, type=pa.large_string()))
    at = put(field)
    return {
        "kind": "category",
        "ordered": bool(array.ordered),
        "at": at,
        "categories": encode_index(categories, fields),
    }


def _dictionary(field: Field, codes: Array, values: Any) -> Field:
    """The codes with their words, for other readers of the file; we ourselves only read the codes."""
    index = field.type

    def chunk(start: int, stop: int) -> Any:
        piece: Any = np.ascontiguousarray(codes[start:stop])
        valid = missing_bits(piece, -1)
        if valid is not None:
            piece = np.maximum(piece, 0)  # polars looks at the key even where it is null
        buffers = [valid, pa.py_buffer(piece.view("u1"))]
        return pa.DictionaryArray.from_arrays(pa.Array.from_buffers(index, len(piece), buffers), values, safe=False)

    return Field(field.name, pa.dictionary(index, values.type), chunk, field.width + 0.125, field.width)


def _decode_category(spec: Any, columns: Columns) -> Any:
    from aioartifacts.materializers.pandas_axes import decode_index

    found = indices(columns.get(spec["at"]))
    if found.type not in (pa.int8(), pa.int16(), pa.int32(), pa.int64()):
        raise ValueError("the codes of a category are not integers")
    codes = columns.numpy(found, np.dtype(found.type.to_pandas_dtype()), missing=-1)
    dtype = pd.CategoricalDtype(decode_index(spec["categories"], columns), ordered=spec["ordered"] is True)
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _encode_masked(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    type_ = arrow_type(array.dtype.numpy_dtype, fields.kind)

    def chunk(start: int, stop: int) -> Any:
        return pa.array(array[start:stop], type=type_)

    return {
        "kind": "masked",
        "dtype": array.dtype.name,
        "at": put(Field(name, type_, chunk, 1.25, array.dtype.itemsize)),
    }


def _decode_masked(spec: Any, columns: Columns) -> Any:
    if spec["dtype"] not in _MASKED:
        raise ValueError(f"not a masked dtype: {spec['dtype']!r:.40}")
    dtype: Any = pd.api.types.pandas_dtype(spec["dtype"])
    found = columns.get(spec["at"])
    _check(found, arrow_type(dtype.numpy_dtype, "arrow"))
    mask = np.concatenate([np.zeros(0, bool), *(np.asarray(chunk.is_null()) for chunk in found.chunks)])
    chunks = [
        pa.Array.from_buffers(c.type, len(c), [None, c.buffers()[1]], offset=c.offset) for c in found.chunks if len(c)
    ]
    values = columns.numpy(pa.chunked_array(chunks, type=found.type), dtype.numpy_dtype)
    return _MASKED[spec["dtype"]](values, mask)


def _encode_string(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    dtype = array.dtype
    spec: Spec = {"kind": "string", "storage": dtype.storage, "nan": dtype.na_value is not pd.NA}
    if dtype.storage != "pyarrow":
        inner = encode_objects(name, array.to_numpy(dtype=object), fields, put)
        if inner["as"] not in ("str", "none"):
            raise Declined("a cell of its string column is not exactly a str, or not UTF-8")
        return {**spec, "at": inner["at"]}
    return {**spec, "at": put(_arrow_field(name, pa.chunked_array(array.__arrow_array__())))}


def _decode_string(spec: Any, columns: Columns) -> Any:
    storage = spec["storage"]
    if storage not in ("python", "pyarrow"):
        raise ValueError(f"unknown storage of strings {storage!r:.40}")
    found = columns.get(spec["at"])
    _check(found, pa.large_string(), pa.string(), pa.null())
    keywords: Any = {"na_value": np.nan} if spec["nan"] is True else {}
    if pa.types.is_null(found.type):
        found = found.cast(pa.large_string())
    dtype: Any = pd.StringDtype(storage, **keywords)
    return dtype.__from_arrow__(found)


def _encode_arrow(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    found = pa.chunked_array(array.__arrow_array__())
    if not _is_plain(found.type, fields.kind) or array.dtype != pd.ArrowDtype(found.type):
        raise Declined(f"{fields.kind} does not keep {array.dtype} as it is")
    return {"kind": "arrow", "at": put(_arrow_field(name, found))}


def _decode_arrow(spec: Any, columns: Columns) -> Any:
    return pd.arrays.ArrowExtensionArray(columns.get(spec["at"]))


def _is_plain(type_: Any, kind: str) -> bool:
    simple = pa.types.is_primitive(type_) or pa.types.is_null(type_) or pa.types.is_decimal(type_)
    text = type_ in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()) or pa.types.is_fixed_size_binary(
        type_
    )
    if kind == "parquet":
        units = pa.types.is_duration(type_) or pa.types.is_time(type_) or pa.types.is_date64(type_)
        seconds = pa.types.is_timestamp(type_) and type_.unit == "s"
        return (simple or text) and not (units or seconds or pa.types.is_interval(type_) or pa.types.is_null(type_))
    nested = pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    inner = [type_.value_type] if nested else [f.type for f in type_] if pa.types.is_struct(type_) else None
    return simple or text or (inner is not None and all(_is_plain(t, kind) for t in inner))


def _arrow_field(name: str, found: Any) -> Field:
    """What is Arrow's already; in one piece it is not copied."""
    found = found.combine_chunks() if found.num_chunks == 0 else found
    if isinstance(found, pa.Array):
        found = pa.chunked_array([found])
    width = found.nbytes / max(len(found), 1)

    def chunk(start: int, stop: int) -> Any:
        piece = found.slice(start, stop - start)
        return (
            piece.chunk(0)
            if piece.num_chunks == 1
            else pa.concat_arrays(piece.chunks)
            if len(piece)
            else pa.array([], found.type)
        )

    return Field(name, found.type, chunk, 0.0 if found.num_chunks == 1 else width, width)


def _encode_sparse(name: str, array: Any, fields: Fields, put: Put) -> Spec:
    values = array.sp_values
    if not isinstance(values, np.ndarray):
        raise Declined("its sparse values are not in a NumPy array")
    places = array.sp_index.indices
    return {
        "kind": "sparse",
        "blocks": array.kind == "block",
        "length": len(array),
        "fill": to_json(array.fill_value),
        "index": fields.put_aside(len(places))(numpy_field(name, places, fields.kind)),
        "values": encode(name, values, fields, fields.put_aside(len(values))),
    }


def _decode_sparse(spec: Any, columns: Columns) -> Any:
    found = columns.get(spec["index"])
    _check(found, pa.int32())
    places = columns.numpy(found, np.dtype("i4"))
    length = spec["length"]
    values = decode(spec["values"], columns)
    if (
        type(length) is not int
        or len(places) != len(values)
        or (len(places) and not 0 <= places[0] <= places[-1] < length)
    ):
        raise ValueError("the places of sparse values do not fit")
    dtype = pd.SparseDtype(values.dtype, from_json(spec["fill"]))
    cls: Any = pd.arrays.SparseArray
    if hasattr(cls, "from_indices"):  # since pandas 3.1, where the other way is deprecated
        kind = "block" if spec["blocks"] is True else "integer"
        return cls.from_indices(values, places, length, fill_value=dtype.fill_value, kind=kind, dtype=values.dtype)
    from pandas._libs import sparse

    index = cast("Any", sparse).IntIndex(length, places)
    return cls(values, sparse_index=index.to_block_index() if spec["blocks"] is True else index, dtype=dtype)


def _check(found: Any, *types: Any) -> None:
    if found.type not in types:
        raise ValueError(f"a column is of type {found.type}, not {types[0]}")


def _dtype(found: JSON) -> np.dtype[Any]:
    if type(found) is not str or len(found) > 40 or (dtype := np.dtype(found)).kind not in "biufcmM":
        raise ValueError(f"not the dtype of a column: {found!r:.40}")
    return dtype


def _unit(found: JSON) -> str:
    if found not in ("s", "ms", "us", "ns"):
        raise ValueError("not a unit of time")
    return str(found)


_MASKED: Mapping[str, Any] = {
    **{f"{sign}{bits}": pd.arrays.IntegerArray for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)},
    "Float32": pd.arrays.FloatingArray,
    "Float64": pd.arrays.FloatingArray,
    "boolean": pd.arrays.BooleanArray,
}
_ENCODE: Mapping[type, Callable[[str, Any, Fields, Put], Spec]] = {
    pd.DatetimeTZDtype: _encode_zoned,
    pd.PeriodDtype: _encode_period,
    pd.IntervalDtype: _encode_interval,
    pd.CategoricalDtype: _encode_category,
    pd.StringDtype: _encode_string,
    pd.ArrowDtype: _encode_arrow,
    pd.SparseDtype: _encode_sparse,
}
_DECODE: Mapping[object, Callable[[Any, Columns], Any]] = {
    "numpy": _decode_numpy,
    "objects": decode_objects,
    "zoned": _decode_zoned,
    "period": _decode_period,
    "interval": _decode_interval,
    "category": _decode_category,
    "masked": _decode_masked,
    "string": _decode_string,
    "arrow": _decode_arrow,
    "sparse": _decode_sparse,
}
