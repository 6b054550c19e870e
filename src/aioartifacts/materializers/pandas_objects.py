"""Columns of Python objects: natively where all cells are of one plain type, else cell by cell as tagged JSON.

Which missing value it was (None, nan, NaT or NA) is kept; where a column has two of them, its cells go one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.pandas_arrow import Array, Columns, Field, Fields
from aioartifacts.materializers.pandas_cells import from_text, to_text
from aioartifacts.types import JSON

_SLICE = 1 << 13
"""Cells handled together, so that the interpreter lock is let go of in between."""
_PIECE = 4 << 20
"""Characters or bytes converted at once, unless a single cell is longer."""

Convert: TypeAlias = Callable[[list[Any], int], Iterator[Any]]
"""Of some cells, and the number of the first of them."""

_NATIVE: Mapping[type, tuple[str, Any]] = {
    str: ("str", pa.large_string()),
    bytes: ("bytes", pa.large_binary()),
    bool: ("bool", pa.bool_()),
    int: ("int", pa.int64()),
    float: ("float", pa.float64()),
    date: ("date", pa.date32()),
}
_MISSING: Mapping[str, object] = {"None": None, "nan": np.nan, "NaT": pd.NaT, "NA": pd.NA}


def encode_objects(name: str, array: Array, fields: Fields, put: Callable[[Field], int]) -> dict[str, JSON]:
    """Describe a column of objects, and put it into a field.

    Raises:
        Declined: a cell is not plain data.
    """
    missing, kind = _survey(array)
    if kind is not None:
        label, type_ = _NATIVE[kind]
        try:
            field = _tried(name, array, fields, type_, _native(type_, _MISSING[missing]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            pass  # integers beyond 64 bits, or text that is not Unicode: cell by cell
        else:
            return {"kind": "objects", "as": label, "missing": missing, "at": put(field)}
    elif missing and len(array):
        field = Field(name, pa.null(), lambda start, stop: pa.nulls(stop - start), 0.0, 0.0)
        return {"kind": "objects", "as": "none", "missing": missing, "at": put(field)}
    try:
        field = _tried(name, array, fields, pa.large_string(), _tagged)
    except RecursionError as error:
        raise Declined("a cell nests too deeply") from error
    return {"kind": "objects", "as": "cells", "missing": "None", "at": put(field)}


def decode_objects(spec: Any, columns: Columns) -> Array:
    """The inverse of `encode_objects`."""
    label, found = spec["as"], columns.get(spec["at"])
    if label == "cells":
        if not pa.types.is_large_string(found.type) or found.null_count:
            raise ValueError("cells are not text")
        cells: Any = (from_text(text) for text in _values(found))
        return np.fromiter(cells, object, count=len(found))
    expected = {"none": pa.null(), **dict(_NATIVE.values())}.get(label)
    if expected is None or found.type != expected or spec["missing"] not in _MISSING:
        raise ValueError(f"a column of objects is {found.type}, not {label!r:.40}")
    missing: Any = _MISSING[spec["missing"]]
    if label in ("str", "bytes"):
        return _texts(found, missing)
    values: Iterator[Any] = _values(found)
    if missing is not None and found.null_count:
        values = (missing if value is None else value for value in values)
    return np.fromiter(values, object, count=len(found))


def _survey(array: Array) -> tuple[str, type | None]:
    """The one kind of missing value, and the one plain type of all other cells, if so it is."""
    types: set[type] = set()
    for start in range(0, len(array), _SLICE):
        types.update(map(type, array[start : start + _SLICE].tolist()))
    missing = [name for name, value in _MISSING.items() if name != "nan" and type(value) in types]
    kinds = types - {type(value) for name, value in _MISSING.items() if name != "nan"}
    if float in kinds and (len(kinds) > 1 or (not missing and _all_nan(array))):
        if _all_nan(array):
            kinds.discard(float)
            missing.append("nan")
        else:
            return "", None
    if len(missing) > 1 or len(kinds) > 1:
        return "", None
    kind = next(iter(kinds), None)
    if kind is not None and kind not in _NATIVE:
        return "", None
    return (missing[0] if missing else "None" if kind or not len(array) else ""), kind


def _all_nan(array: Array) -> bool:
    """Whether every float is the one object that is ``numpy.nan``."""
    for start in range(0, len(array), _SLICE):
        if any(type(cell) is float and cell is not np.nan for cell in array[start : start + _SLICE].tolist()):
            return False
    return True


def _native(type_: Any, missing: Any) -> Convert:
    sized = type_ in (pa.large_string(), pa.large_binary())

    def convert(cells: list[Any], first: int) -> Iterator[Any]:
        if missing is not None:
            cells = [None if cell is missing else cell for cell in cells]
        for piece in _cut(cells) if sized else (cells,):
            if type_ == pa.large_string() and not all(cell is None or cell.isascii() for cell in piece):
                # pyarrow would ask each str for its UTF-8, which the str would keep from then on.
                encoded = [None if cell is None else cell.encode() for cell in piece]
                yield pa.array(encoded, type=pa.large_binary()).view(type_)
            else:
                yield pa.array(piece, type=type_, from_pandas=False)

    return convert


def _cut(cells: list[Any]) -> Iterator[list[Any]]:
    """The cells again, in lists of bounded size (or single)."""
    if len(cells) < 2 or sum(len(cell) for cell in cells if cell is not None) <= _PIECE:
        yield cells
    else:
        half = len(cells) // 2
        yield from _cut(cells[:half])
        yield from _cut(cells[half:])


def _tagged(cells: list[Any], first: int) -> Iterator[Any]:
    texts: list[str] = []
    size = 0
    for number, cell in enumerate(cells, first):
        try:
            texts.append(to_text(cell))
        except Declined as declined:
            raise Declined(f"cell {number}: {declined}") from declined.__cause__
        size += len(texts[-1])
        if size > _PIECE:
            yield pa.array(texts, type=pa.large_string())
            texts, size = [], 0
    if texts:
        yield pa.array(texts, type=pa.large_string())


def _tried(name: str, array: Array, fields: Fields, type_: Any, convert: Convert) -> Field:
    """A field whose conversion is known to work, because it has been done; small results are kept."""

    def pieces(start: int, stop: int) -> Iterator[Any]:
        for first in range(start, stop, _SLICE):
            yield from convert(array[first : min(first + _SLICE, stop)].tolist(), first)

    kept: list[Any] | None = []
    size = 0
    for piece in pieces(0, len(array)):
        size += piece.nbytes
        if size > fields.spare:
            kept = None
        if kept is not None:
            kept.append(piece)
    if kept is not None:
        fields.spare -= size
    width = size / max(len(array), 1)
    whole = None if kept is None else pa.chunked_array(kept, type=type_)

    def chunk(start: int, stop: int) -> Any:
        found = list(pieces(start, stop)) if whole is None else whole.slice(start, stop - start).chunks
        return pa.concat_arrays(found) if found else pa.array([], type=type_)

    return Field(name, type_, chunk, 2 * width, width)


def _texts(found: Any, missing: Any) -> Array:
    """Text as objects; Arrow makes one object of equal cells."""
    array = np.empty(len(found), object)
    first = 0
    for chunk in found.chunks:
        for start in range(0, len(chunk), _SLICE):
            piece = chunk.slice(start, _SLICE)
            cells = array[first : first + len(piece)]
            cells[:] = piece.to_numpy(zero_copy_only=False)
            if missing is not None and piece.null_count:
                cells[np.asarray(piece.is_null())] = missing
            first += len(piece)
    return array


def _values(found: Any) -> Iterator[Any]:
    for chunk in found.chunks:
        for start in range(0, len(chunk), _SLICE):
            yield from chunk.slice(start, _SLICE).to_pylist()
