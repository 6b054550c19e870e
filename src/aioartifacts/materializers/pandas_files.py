"""Tables as Arrow and Parquet files: written in bounded batches, read where they lie."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.materializers.arrow_ipc import check_file as check_arrow
from aioartifacts.materializers.base import Producer, Sink
from aioartifacts.materializers.pandas_arrow import Field, Kind
from aioartifacts.materializers.parquet_pages import TooLarge, limit
from aioartifacts.materializers.parquet_pages import check_file as check_parquet

ASIDE = "aside.arrow"
"""Arrays that are not as long as the frame (levels, categories, labels): one row, each of them a list in it."""
BATCH = 48 << 20
"""Bytes that one batch may take in memory beyond the object itself. What is not converted costs nothing, so a frame of numbers and
Arrow strings is one batch, whatever its size, and is read without a copy."""
_GROUP = 1 << 20
"""Rows in a row group of Parquet, at most (as in pyarrow)."""


def table_body(schema: Any, fields: Sequence[Field], rows: int, kind: Kind) -> Producer:
    """A table of *rows* as a file."""
    cost = sum(f.cost if kind == "arrow" else f.cost + f.width for f in fields)
    step = max(int(BATCH / cost), 1) if cost * rows > BATCH else max(rows, 1)
    if kind == "parquet":
        step = min(step, _GROUP)

    def produce(sink: Sink) -> None:
        with _writer(schema, sink, kind) as writer:
            for start in range(0, rows if fields else 0, step):
                stop = min(start + step, rows)
                writer.write_batch(pa.RecordBatch.from_arrays([f.chunk(start, stop) for f in fields], schema=schema))

    return Producer(produce)


def open_table(
    memory: memoryview, kind: Kind, *, some: bool, trusted: bool
) -> tuple[Mapping[bytes, bytes], Callable[[int], Any]]:
    """The schema's metadata, and what reads one column; *some* when not all of them will be asked for.

    Raises:
        ValueError: it is not *trusted*, and holds, or may hold, far more than its size.
    """
    if kind == "parquet":
        return _open_parquet(memory, some, trusted)
    if not trusted:
        check_arrow(memory)
    reader = pa.ipc.open_file(pa.py_buffer(memory))
    batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
    types = [field.type for field in reader.schema]

    def column(n: int) -> Any:
        return pa.chunked_array([batch.column(n) for batch in batches], type=types[n])

    return reader.schema.metadata or {}, column


def aside_body(fields: Sequence[Field], lengths: Sequence[int]) -> Producer:
    """Arrays of any length as an Arrow file of one row."""
    schema = pa.schema([pa.field(f"a{n}", pa.large_list(field.type)) for n, field in enumerate(fields)])

    def produce(sink: Sink) -> None:
        lists = [
            pa.LargeListArray.from_arrays(pa.array([0, length], pa.int64()), field.chunk(0, length))
            for field, length in zip(fields, lengths, strict=True)
        ]
        with _writer(schema, sink, "arrow") as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(lists, schema=schema))

    return Producer(produce)


def open_aside(memory: memoryview, *, trusted: bool) -> list[Any]:
    """The inverse of `aside_body`."""
    if not trusted:
        check_arrow(memory)
    reader = pa.ipc.open_file(pa.py_buffer(memory))
    if reader.num_record_batches != 1:
        raise ValueError("the arrays beside a frame are not one batch")
    batch = reader.get_batch(0)
    batch.validate(full=True)
    if batch.num_rows != 1 or not all(pa.types.is_large_list(field.type) for field in reader.schema):
        raise ValueError("the arrays beside a frame are not one row of lists")
    return [pa.chunked_array([column.flatten()]) for column in batch.columns]


def _open_parquet(memory: memoryview, some: bool, trusted: bool) -> tuple[Mapping[bytes, bytes], Callable[[int], Any]]:
    from pyarrow import parquet

    if not trusted:
        _check_text(memory, *check_parquet(memory))
    file = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(memory)))
    schema = file.schema_arrow
    table = None if some else file.read()

    def column(n: int) -> Any:
        return table.column(n) if table is not None else file.read(columns=[schema.names[n]]).column(0)

    return schema.metadata or {}, column


def _check_text(memory: memoryview, taken: int, columns: Sequence[str]) -> None:
    """Count text that a dictionary has once and the rows many times, without making it.

    Raises:
        TooLarge: it takes, with what else there is, more than a stranger's file may.
    """
    from pyarrow import parquet

    if not columns:
        return
    file = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(memory)), read_dictionary=columns)
    for group in range(file.num_row_groups):
        for column in file.read_row_group(group, columns=columns).columns:
            taken += sum(map(_text, column.chunks))
            if taken > limit(memory.nbytes):
                raise TooLarge(memory.nbytes, limit(memory.nbytes))


def _text(array: Any) -> int:
    """Bytes of the text that dictionaries within *array* stand for."""
    pc: Any = importlib.import_module("pyarrow.compute")  # its functions are made when it is imported

    if pa.types.is_dictionary(array.type):
        lengths = pc.cast(pc.binary_length(array.dictionary), pa.int64())
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(map(_text, array.flatten()))
    if pa.types.is_map(array.type):
        return _text(array.keys) + _text(array.items)
    return _text(array.flatten()) if pa.types.is_nested(array.type) else 0


def _writer(schema: Any, sink: Sink, kind: Kind) -> Any:
    if kind == "arrow":
        return pa.ipc.new_file(_File(sink), schema)
    from pyarrow import parquet

    return parquet.ParquetWriter(_File(sink), schema, compression="snappy")


class _File:
    """A sink as the file object that pyarrow wants; large buffers pass through uncopied."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._position = 0

    def write(self, data: Any) -> int:
        size = len(data)
        if size:
            self._sink.write(data if isinstance(data, bytes) else memoryview(data))
            self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
