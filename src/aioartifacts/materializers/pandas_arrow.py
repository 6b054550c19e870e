"""Between arrays and Arrow: fields that are made slice by slice when written, and columns that are read without a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.types import JSON

Kind: TypeAlias = Literal["arrow", "parquet"]
Array: TypeAlias = np.ndarray[Any, Any]

NAT = np.iinfo(np.int64).min
_BITS = 1 << 20
"""Rows looked at together for missing times; a multiple of eight."""


@dataclass(frozen=True, slots=True)
class Field:
    """One Arrow field to be."""

    name: str
    """What a reader of the file would call it."""
    type: Any
    chunk: Callable[[int, int], Any]
    """Rows *start* to *stop* as an Arrow array of that type; repeatable."""
    cost: float
    """Bytes that a row takes in memory beyond the object itself while it is written."""
    width: float
    """Bytes that a row takes in the file, roughly."""


class Fields:
    """Where arrays are put: as long as the frame, into its table; of any other length, aside."""

    def __init__(self, rows: int, kind: Kind) -> None:
        self.rows = rows
        self.kind: Kind = kind
        self.spare = 32 << 20
        """Bytes of conversions, made to see whether they are possible, that may still be kept for writing."""
        self.table: list[Field] = []
        self.aside: list[Field] = []
        self.lengths: list[int] = []

    def put(self, field: Field) -> int:
        """Into the table; the answer says where it is."""
        self.table.append(field)
        return len(self.table) - 1

    def put_aside(self, length: int) -> Callable[[Field], int]:
        """As `put`, for an array of *length*."""

        def put(field: Field) -> int:
            self.aside.append(field)
            self.lengths.append(length)
            return -len(self.aside)

        return put


NULLS_MAX = 32 << 20
"""Values of no type in a stranger's column: 256 MiB of objects."""


class Columns:
    """Where they are found again."""

    def __init__(
        self,
        rows: int,
        table: Callable[[int], Any],
        aside: Sequence[Any],
        *,
        memory: memoryview | None,
        mapped: bool,
        full: bool,
    ) -> None:
        self.rows = rows
        self.aside = aside
        self.mapped = mapped
        self._table = table
        self._full = full
        self._memory = memory
        self._base = pa.py_buffer(memory).address if memory is not None and memory.nbytes else 0
        self._asked: set[int] = set()

    def get(self, at: JSON) -> Any:
        """The chunked array at a place that `Fields` gave out; checked, deeply when it comes from a stranger.

        A stranger's takes memory in proportion to the file: no place is asked for twice, and nulls, which take none there, are few.
        """
        if type(at) is not int:
            raise ValueError("not the number of a column")
        if self._full and at in self._asked:
            raise ValueError(f"column {at} is used twice")
        self._asked.add(at)
        found = self._table(at) if at >= 0 else self.aside[-at - 1]
        if at >= 0 and len(found) != self.rows:
            raise ValueError(f"column {at} has {len(found)} rows, not {self.rows}")
        if self._full and pa.types.is_null(found.type) and len(found) > NULLS_MAX:
            raise ValueError(f"{len(found)} nulls are more than are read for a store that does not trust them")
        found.validate(full=self._full)
        return found

    def numpy(self, found: Any, dtype: np.dtype[Any], missing: object = None) -> Array:
        """The values of *found* as an array, over the memory of the part where that can be.

        Where a value is null it is *missing*; without that, nulls are an error.
        """
        chunks = [chunk for chunk in found.chunks if len(chunk)]
        if missing is None and any(chunk.null_count for chunk in chunks):
            raise ValueError("a value is missing where none can be")
        if len(chunks) == 1:
            return self._values(chunks[0], dtype, missing)
        array = np.empty(len(found), dtype)
        start = 0
        for chunk in chunks:
            array[start : start + len(chunk)] = self._values(chunk, dtype, missing, keep=False)
            start += len(chunk)
        return array

    def _values(self, chunk: Any, dtype: np.dtype[Any], missing: object, *, keep: bool = True) -> Array:
        if dtype.kind == "b":
            bits: Array = chunk.to_numpy(zero_copy_only=False)
            return bits if bits.flags.writeable else bits.copy()
        buffer = chunk.buffers()[1]
        start = chunk.offset * dtype.itemsize
        size = len(chunk) * dtype.itemsize
        if buffer is None or buffer.size < start + size:
            raise ValueError("a column is shorter than it says")
        place = buffer.address - self._base + start
        array: Array
        if self._memory is not None and 0 <= place <= self._memory.nbytes - size:
            array = np.ndarray(len(chunk), dtype, buffer=self._memory, offset=place)
        else:
            array = np.frombuffer(buffer, dtype, count=len(chunk), offset=start)
        if missing is not None and chunk.null_count:
            array = _filled(array, np.asarray(chunk.is_null()), missing)
        return array if array.flags.writeable or self.mapped or not keep else array.copy()


def numpy_field(name: str, array: Array, kind: Kind, *, timestamp: Any = None) -> Field:
    """A field over a one-dimensional array of fixed-size values; contiguous memory is not copied.

    NaT becomes null, with its bits left in place; NaN stays NaN. *timestamp* is the Arrow type when the integers are points in time.
    """
    dtype = array.dtype
    type_ = timestamp or arrow_type(dtype, kind)
    times = timestamp is not None or dtype.kind in "mM"
    contiguous = array.flags.c_contiguous

    def chunk(start: int, stop: int) -> Any:
        values: Any = np.ascontiguousarray(array[start:stop])
        if dtype.kind == "b":
            return pa.array(values, type=type_)
        validity = missing_bits(values.view("i8")) if times else None
        return pa.Array.from_buffers(type_, stop - start, [validity, pa.py_buffer(values.view("u1"))])

    cost = (0.0 if contiguous else dtype.itemsize) + (0.125 if times or dtype.kind == "b" else 0.0)
    return Field(name, type_, chunk, cost, dtype.itemsize)


def missing_bits(values: Array, missing: int = NAT) -> Any:
    """A validity bitmap for integers of which one means missing; None when none is."""
    pieces: list[Array] = []
    found = False
    for start in range(0, len(values), _BITS):
        valid = values[start : start + _BITS] != missing
        found = found or not valid.all()
        pieces.append(np.packbits(valid, bitorder="little"))
    return pa.py_buffer(np.concatenate(pieces)) if found else None


def arrow_type(dtype: np.dtype[Any], kind: Kind) -> Any:
    """The Arrow type that shares its memory layout with a NumPy dtype; plain bytes where there is none."""
    if dtype.kind in "mM":
        unit, step = np.datetime_data(dtype)
        if step == 1 and unit in ("s", "ms", "us", "ns") and dtype.isnative:
            if dtype.kind == "m":
                return pa.duration(unit) if kind == "arrow" else pa.int64()
            return pa.timestamp(unit) if kind == "arrow" or unit != "s" else pa.int64()  # Parquet has no seconds
        return pa.binary(dtype.itemsize)
    plain = _TYPES.get(dtype.str if dtype.isnative else "")
    return plain if plain is not None else pa.binary(dtype.itemsize)


def indices(found: Any) -> Any:
    """The codes of a dictionary column; other columns as they are."""
    if pa.types.is_dictionary(found.type):
        return pa.chunked_array([chunk.indices for chunk in found.chunks], type=found.type.index_type)
    return found


def _filled(array: Array, null: Array, missing: object) -> Array:
    marker = np.asarray(missing).astype(array.dtype) if array.dtype.kind not in "mM" else np.asarray("NaT", array.dtype)
    bits = f"i{array.itemsize}"
    if (array.view(bits)[null] == marker.view(bits)).all():
        return array
    array = array.copy()
    array[null] = marker
    return array


_TYPES: Mapping[str, Any] = {
    np.dtype(name).str: type_
    for name, type_ in {
        "bool": pa.bool_(),
        **{f"{sign}{bits}": getattr(pa, f"{sign}{bits}")() for sign in ("int", "uint") for bits in (8, 16, 32, 64)},
        "float16": pa.float16(),
        "float32": pa.float32(),
        "float64": pa.float64(),
    }.items()
}
