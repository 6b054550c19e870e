"""Arrow tables, batches, arrays and schemas come back with the same types, metadata and chunks, and hostile files are refused."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from parts import elsewhere, load, roundtrip, through_record, written

from aioartifacts.errors import DecodeError
from aioartifacts.materializers.arrow import ArrowMaterializer
from aioartifacts.materializers.base import Declined
from aioartifacts.types import LoadOptions

ARROW = ArrowMaterializer()


class Reversed(pa.ExtensionType):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(pa.int64(), "aioartifacts.reversed")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Reversed:
        return cls()


def two_dictionaries() -> Any:
    return pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", None, "c"]).dictionary_encode()])


def union() -> Any:
    types = pa.array([0, 1, 0], pa.int8())
    return pa.UnionArray.from_sparse(types, [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])])


def dense_union() -> Any:
    types, offsets = pa.array([0, 1, 1], pa.int8()), pa.array([0, 0, 1], pa.int32())
    return pa.UnionArray.from_dense(types, offsets, [pa.array([1]), pa.array(["b", None])])


TABLES: dict[str, Any] = {
    "empty": pa.table({}),
    "rows without columns": pa.table({"a": [1, 2, 3]}).select([]),
    "columns without rows": pa.schema([("a", pa.int8()), ("b", pa.list_(pa.string()))]).empty_table(),
    "same name twice": pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"]),
    "metadata": pa.table({"a": [1]}).replace_schema_metadata({b"k\xff": b"\0v", "pandas": "{}"}),
    "metadata of a field": pa.table([[1]], schema=pa.schema([pa.field("a", pa.int64(), False, {"unit": "m"})])),
    "times": pa.table(
        {
            unit: pa.array([0, None, -1], pa.timestamp(unit, zone))
            for unit, zone in [("s", None), ("ms", "UTC"), ("us", "Europe/Berlin"), ("ns", "+05:30")]
        }
    ),
    "dates": pa.table({"d": [date(1, 1, 1), None], "t": [time(1, 2, 3, 4), None], "x": [datetime.max, None]}),
    "durations": pa.table(
        {"d": [timedelta(-1, 2, 3), None], "m": pa.array([(1, 2, 3), None], pa.month_day_nano_interval())}
    ),
    "decimals": pa.table(
        {
            "d": pa.array([Decimal("1.50"), None], pa.decimal256(60, 2)),
            "s": pa.array([None, Decimal(1)], pa.decimal32(5, 0)),
        }
    ),
    "floats": pa.table(
        {
            "f": pa.array(np.array([0x7FF8000000000123, 0x8000000000000000], "u8").view("f8")),
            "h": pa.array(np.array([1, np.nan], "f2")),
        }
    ),
    "nested": pa.table(
        {"l": [[{"a": [1, None]}], None, []], "m": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8()))}
    ),
    "views": pa.table(
        {"s": pa.array(["a" * 30, None], pa.string_view()), "l": pa.array([[1], None], pa.list_view(pa.int8()))}
    ),
    "large and fixed": pa.table(
        {
            "l": pa.array(["x"], pa.large_string()),
            "f": pa.array([b"ab"], pa.binary(2)),
            "v": pa.array([[1, 2]], pa.list_(pa.int8(), 2)),
        }
    ),
    "unions": pa.table({"sparse": union(), "dense": dense_union()}),
    "dictionaries that differ": pa.table({"d": two_dictionaries()}),
    "ordered dictionary": pa.table(
        {"d": pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.int8()), ["b", "a", "unused"], ordered=True)}
    ),
    "run ends": pa.table({"r": pa.RunEndEncodedArray.from_arrays([2, 5], ["a", None])}),
    "sliced": pa.table({"a": range(100), "s": [str(n) for n in range(100)], "b": [n % 3 == 0 for n in range(100)]})[
        7:42
    ],
    "nulls": pa.table({"n": pa.nulls(3), "b": pa.array([True, None, False])}),
    "uuid, bool8, json": pa.table(
        {
            "u": pa.array([b"0" * 16], pa.uuid()),
            "b": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
            "j": pa.array(["{}"], pa.json_()),
        }
    ),
    "chunks": pa.table({"a": pa.chunked_array([[1], [], [2, 3]])}),
    "chunks that differ": pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": pa.chunked_array([["x"], ["y", None]])}),
}


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("name", TABLES)
def test_table_is_exact(name: str, trusted: bool) -> None:
    table = TABLES[name]
    assert ARROW.accepts(table)
    back = roundtrip(ARROW, table, trusted=trusted)
    assert type(back) is pa.Table
    assert back.schema.equals(table.schema, check_metadata=True)
    assert [field.metadata or None for field in back.schema] == [field.metadata or None for field in table.schema]
    assert back.shape == table.shape
    back.validate(full=True)
    if name != "floats":  # nan differs from nan
        assert back.equals(table)
    for column, before in zip(back.columns, table.columns, strict=True):
        assert repr(column.to_pylist()) == repr(before.to_pylist())


def test_nan_keeps_its_bits() -> None:
    back = roundtrip(ARROW, TABLES["floats"])
    assert [bytes(memoryview(column.chunk(0).buffers()[1])) for column in back.columns] == [
        bytes(memoryview(column.chunk(0).buffers()[1]))[: len(column) * column.type.byte_width] for column in TABLES["floats"].columns
    ]  # fmt: skip


def test_columns_chunked_alike_keep_their_chunks() -> None:
    assert [len(chunk) for chunk in roundtrip(ARROW, TABLES["chunks"])["a"].chunks] == [1, 0, 2]


def test_columns_chunked_differently_are_cut_where_any_is() -> None:
    back = roundtrip(ARROW, TABLES["chunks that differ"])
    assert [[len(chunk) for chunk in column.chunks] for column in back.columns] == [[1, 1, 1], [1, 1, 1]]


def test_dictionaries_that_differ_stay_different() -> None:
    back = roundtrip(ARROW, TABLES["dictionaries that differ"])
    assert [chunk.dictionary.to_pylist() for chunk in back["d"].chunks] == [["a", "b"], ["b", "c"]]


OTHERS: dict[str, Any] = {
    "batch": pa.record_batch({"a": [1, None], "b": ["x", "y"]}),
    "sliced batch": pa.record_batch({"a": range(10)})[3:5],
    "array": pa.array([1, None, 3], pa.int16()),
    "sliced array": pa.array(["a", None, "ccc", "d"])[1:3],
    "empty array": pa.array([], pa.list_(pa.int8())),
    "dictionary array": pa.array(["a", "b", "a"]).dictionary_encode(),
    "union array": dense_union(),
    "slice of run ends": pa.RunEndEncodedArray.from_arrays([3, 5, 9], ["a", "b", "c"])[2:7],
    "extension array": pa.array([b"0" * 16, None], pa.uuid()),
    "chunks": pa.chunked_array([[1], [], [2, 3]]),
    "no chunks": pa.chunked_array([], pa.float32()),
    "chunks of dictionaries": two_dictionaries(),
}


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("name", OTHERS)
def test_batches_and_arrays_are_exact(name: str, trusted: bool) -> None:
    value = OTHERS[name]
    back = roundtrip(ARROW, value, trusted=trusted)
    assert type(back) is type(value)
    assert len(back) == len(value)
    assert back.equals(value)
    if isinstance(value, pa.ChunkedArray):
        assert [len(chunk) for chunk in back.chunks] == [len(chunk) for chunk in value.chunks]


@pytest.mark.parametrize("name", TABLES)
def test_schema_is_exact(name: str) -> None:
    schema = TABLES[name].schema
    back = roundtrip(ARROW, schema, trusted=False)
    assert type(back) is pa.Schema
    assert back.equals(schema, check_metadata=True)


def test_memory_goes_out_as_it_lies() -> None:
    array = pa.array(range(10_000))
    seen: list[int] = []

    class Sink:
        def write(self, data: Any) -> None:
            seen.append(np.frombuffer(data, "u1").ctypes.data)

    ARROW.dump(pa.table({"a": array})).parts[0].body.write_to(Sink())
    assert array.buffers()[1].address in seen


def test_loaded_table_lies_in_the_memory_of_its_part() -> None:
    data = written(ARROW.dump(pa.table({"a": range(1000)})))["data.arrow"]
    back = load(ARROW, {"data.arrow": data}, {"kind": "Table"}, mmap=True)
    base = np.frombuffer(data, "u1").ctypes.data
    assert base <= back["a"].chunk(0).buffers()[1].address < base + len(data)


def test_errors_of_the_sink_pass_through() -> None:
    class Full(Exception):
        pass

    class Sink:
        def write(self, data: Any) -> None:
            raise Full

    with pytest.raises(Full):
        ARROW.dump(pa.table({"a": [1]})).parts[0].body.write_to(Sink())


def test_some_columns() -> None:
    back = roundtrip(ARROW, pa.table({"a": [1], "b": [2], "c": [3]}), columns=("c", "a"))
    assert back.column_names == ["c", "a"]
    with pytest.raises(DecodeError, match=r"no column 'nope' .*; there are 'a'"):
        roundtrip(ARROW, pa.table({"a": [1]}), columns=("nope",))


def test_chosen_columns_of_one_name_all_come() -> None:
    table = pa.table([[1], [2], [3]], names=["a", "b", "a"])
    assert roundtrip(ARROW, table, columns=("a",)) == table.select([0, 2])


def test_extension_type_that_is_not_registered_is_an_error_and_not_its_storage() -> None:
    pa.register_extension_type(Reversed())
    try:
        table = pa.table({"a": pa.ExtensionArray.from_storage(Reversed(), pa.array([1, 2]))})
        dump = ARROW.dump(table)
        data, meta = written(dump), through_record(dump.meta)
        assert load(ARROW, data, meta).equals(table)
    finally:
        pa.unregister_extension_type("aioartifacts.reversed")
    with pytest.raises(ValueError, match=r"aioartifacts\.reversed"):
        load(ARROW, data, meta)
    with pytest.raises(Declined, match="schema"):
        ARROW.dump(table)


def compressed(new: Any) -> bytes:
    table = pa.table({"a": [0] * 100_000})
    file = BytesIO()
    with new(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return file.getvalue()


GOOD = written(ARROW.dump(pa.table({"a": [1, 2], "s": ["xx", "y"]})))["data.arrow"]


@pytest.mark.parametrize(
    "data",
    [b"", b"ARROW1\0\0" + bytes(40) + b"ARROW1", GOOD[:-30], GOOD[:-1], GOOD[8:], compressed(pa.ipc.new_file)],
    ids=["empty", "zeros", "cut", "cut by one", "no magic", "compressed"],
)
def test_hostile_file_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, pa.ArrowException)):
        load(ARROW, {"data.arrow": data}, {"kind": "Table"}, trusted=False)


def test_compressed_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="compressed"):
        load(ARROW, {"data.arrows": compressed(pa.ipc.new_stream)}, {"kind": "Table"}, trusted=False)


def test_compressed_file_is_read_where_it_is_trusted() -> None:
    back = load(ARROW, {"data.arrow": compressed(pa.ipc.new_file)}, {"kind": "Table"})
    assert back.num_rows == 100_000


def test_batches_that_overlap_are_refused() -> None:
    file = BytesIO()
    batch = pa.record_batch({"a": [1, 2]})
    with pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)
    data = bytearray(file.getvalue())
    size = int.from_bytes(data[-10:-6], "little")
    first = data.index(b"\xff\xff\xff\xff", 12)
    second = data.index(b"\xff\xff\xff\xff", first + 8)
    second_in_footer = data.index(second.to_bytes(8, "little"), len(data) - 10 - size)
    data[second_in_footer : second_in_footer + 8] = first.to_bytes(8, "little")
    with pytest.raises(ValueError, match="overlap"):
        load(ARROW, {"data.arrow": bytes(data)}, {"kind": "Table"}, trusted=False)


def test_flipped_bytes_end_in_an_ordinary_error_or_a_valid_table() -> None:
    for at in range(8, len(GOOD)):
        data = bytearray(GOOD)
        data[at] ^= 0xFF
        try:
            back = load(ARROW, {"data.arrow": bytes(data)}, {"kind": "Table"}, trusted=False)
        except (ValueError, pa.ArrowException, OSError):
            continue
        back.validate(full=True)


@pytest.mark.parametrize("kind", ["RecordBatch", "Array", "ChunkedArray", "Schema", "Tensor", None, 3])
def test_another_kind_than_it_is_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        load(ARROW, {"data.arrow": written(ARROW.dump(TABLES["chunks that differ"]))["data.arrow"]}, {"kind": kind})


def test_scalars_and_the_like_are_not_accepted() -> None:
    for value in (pa.scalar(1), pa.int8(), pa.field("a", pa.int8()), b"x", LoadOptions()):
        assert not ARROW.accepts(value)


def test_summary_tells_columns_up_to_a_size() -> None:
    assert ARROW.summary(pa.table({"a": [1], "b": ["x"]})) == {
        "columns": [["a", "int64"], ["b", "string"]],
        "shape": [1, 2],
    }
    assert ARROW.summary(pa.array([1, None])) == {"length": 2, "dtype": "int64", "nulls": 1}
    wide = ARROW.summary(pa.schema([(f"a column {n}", pa.int8()) for n in range(1000)]))
    assert len(str(wide)) < 8192


def test_loads_in_a_fresh_process(tmp_path: Path) -> None:
    told = elsewhere(ARROW, TABLES["nested"], "back.to_pylist(), 'pandas' in sys.modules", tmp_path)
    assert told == f"{TABLES['nested'].to_pylist()} False"
