"""Polars frames and series come back with the same values, types, names and order."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from parts import elsewhere, load, roundtrip, written
from polars.testing import assert_frame_equal, assert_series_equal

from aioartifacts.errors import DecodeError, EncodeError
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.polars import ParquetMaterializer, PolarsMaterializer

IPC, PARQUET = PolarsMaterializer(), ParquetMaterializer()
INTS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
NOON = datetime(2024, 2, 29, 12)

FRAMES: dict[str, pl.DataFrame] = {
    "empty": pl.DataFrame(),
    "rows without columns": pl.DataFrame(height=5),
    "columns without rows": pl.DataFrame(schema={"a": pl.Int8, "b": pl.List(pl.String), "c": pl.Enum(["x"])}),
    "integers": pl.DataFrame({str(t): pl.Series([0, None, 7], dtype=t) for t in INTS}),
    "wide integers": pl.DataFrame(
        {
            "i": pl.Series([2**126, None, -(2**127)], dtype=pl.Int128),
            "u": pl.Series([2**64 - 1, None, 0], dtype=pl.UInt64),
        }
    ),
    "floats": pl.DataFrame(
        {"f": [float("nan"), None, -0.0, float("inf")], "s": pl.Series([1.1, None, 2, 3], dtype=pl.Float32)}
    ),
    "nan payload": pl.DataFrame({"f": np.array([0x7FF8000000000123, 0xFFF8000000000001], "u8").view("f8")}),
    "decimals": pl.DataFrame(
        {
            "d": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(20, 2)),
            "e": pl.Series([Decimal(10**37), None], dtype=pl.Decimal(38, 0)),
        }
    ),
    "times": pl.DataFrame(
        {
            f"{unit} {zone}": pl.Series([NOON, None]).dt.cast_time_unit(unit).dt.replace_time_zone(zone)
            for unit in ("ms", "us", "ns")
            for zone in (None, "UTC", "Europe/Berlin")
        }
    ),
    "dates": pl.DataFrame({"d": [date(1, 1, 1), None, date.max], "t": [time(1, 2, 3, 4), None, time.max]}),
    "durations": pl.DataFrame(
        {unit: pl.Series([timedelta(-1, 2, 3), None], dtype=pl.Duration(unit)) for unit in ("ms", "us", "ns")}
    ),
    "text": pl.DataFrame(
        {"s": ["", None, "ä\0b", "long " * 30, "\U0001f600"], "b": [b"", None, b"\0\xff", b"x" * 40, b"y"]}
    ),
    "categories": pl.DataFrame({"c": pl.Series(["b", None, "a", "b"], dtype=pl.Categorical)}),
    "named categories": pl.DataFrame(
        {"c": pl.Series(["b", None, "a"], dtype=pl.Categorical(pl.Categories("name", "space", pl.UInt8)))}
    ),
    "enum": pl.DataFrame({"e": pl.Series(["lo", None, "hi"], dtype=pl.Enum(["hi", "unused", "lo"]))}),
    "lists": pl.DataFrame({"l": [[1, None], None, []], "ll": [[["a"], None], [], None]}),
    "arrays": pl.DataFrame({"a": pl.Series([[1, 2], None, [3, None]], dtype=pl.Array(pl.Int16, 2))}),
    "structs": pl.DataFrame({"s": pl.Series([{"a": 1, "b": [None, "x"]}, None, {"a": None, "b": None}])}),
    "nulls": pl.DataFrame({"n": [None, None], "b": [True, None]}),
    "names": pl.DataFrame({"": [1], "ä b": [2], "a,b": [3], "0": [4], "\n": [5]}),
    "sorted": pl.DataFrame({"a": [3, 1, 2]}).sort("a").with_columns(b=pl.col("a").reverse()),
    "chunks": pl.concat(
        [pl.DataFrame({"a": [1, 2], "s": ["x", None]}), pl.DataFrame({"a": [3], "s": ["y"]})], rechunk=False
    ),
    "sliced": pl.DataFrame(
        {"a": range(1000), "b": [n % 3 == 0 for n in range(1000)], "s": [str(n) for n in range(1000)]}
    )[123:457],
    "many rows": pl.select(a=pl.int_range(300_000), b=pl.int_range(300_000) % 7 == 0),
}


def same(back: pl.DataFrame, frame: pl.DataFrame) -> None:
    assert type(back) is pl.DataFrame
    assert back.schema == frame.schema
    assert back.columns == frame.columns
    assert back.shape == frame.shape
    assert_frame_equal(back, frame, check_exact=True, categorical_as_str=False)
    for column, before in zip(back.get_columns(), frame.get_columns(), strict=True):
        if len(before) < 1000:
            assert repr(column.to_list()) == repr(before.to_list())
        if before.dtype.is_float():
            assert column.drop_nulls().to_numpy().tobytes() == before.drop_nulls().to_numpy().tobytes()


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("name", FRAMES)
def test_frame_is_exact(name: str, trusted: bool) -> None:
    assert IPC.accepts(FRAMES[name])
    same(roundtrip(IPC, FRAMES[name], trusted=trusted), FRAMES[name])


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("name", FRAMES)
def test_frame_is_exact_in_parquet(name: str, trusted: bool) -> None:
    same(roundtrip(PARQUET, FRAMES[name], trusted=trusted), FRAMES[name])


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
@pytest.mark.parametrize("name", ["", "s"])
def test_series_keeps_name_and_type(materializer: PolarsMaterializer, name: str) -> None:
    series = pl.Series(name, [[1], None, []], dtype=pl.List(pl.UInt8))
    back = roundtrip(materializer, series, trusted=False)
    assert type(back) is pl.Series
    assert_series_equal(back, series, check_exact=True)


def test_mapped_frame_is_exact() -> None:
    same(roundtrip(IPC, FRAMES["text"], mmap=True), FRAMES["text"])


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
def test_columns_stay_known_as_sorted_where_trusted(materializer: PolarsMaterializer) -> None:
    back = roundtrip(materializer, FRAMES["sorted"])
    assert back.flags == FRAMES["sorted"].flags


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
def test_a_stranger_cannot_say_that_a_column_is_sorted(materializer: PolarsMaterializer) -> None:
    data = written(materializer.dump(pl.DataFrame({"a": [3, 1, 2]})))
    back = load(materializer, data, {"kind": "DataFrame", "ascending": [0]}, trusted=False)
    assert back["a"].flags["SORTED_ASC"] is False


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
def test_some_columns(materializer: PolarsMaterializer) -> None:
    frame = pl.DataFrame({"a": [1], "b": [2], "c": [3]})
    for trusted in (True, False):
        for mmap in (True, False):
            back = roundtrip(materializer, frame, columns=("c", "a"), trusted=trusted, mmap=mmap)
            assert back.equals(frame.select("c", "a"))


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
@pytest.mark.parametrize("trusted", [True, False])
def test_columns_that_cannot_be_chosen_are_said(materializer: PolarsMaterializer, trusted: bool) -> None:
    frame = pl.DataFrame({"a": [1], "b": [2]})
    with pytest.raises(DecodeError, match=r"^there is no column 'zz' to be chosen by name; there are 'a', 'b'$"):
        roundtrip(materializer, frame, columns=("a", "zz"), trusted=trusted)
    with pytest.raises(DecodeError, match="names a column twice"):
        roundtrip(materializer, frame, columns=("a", "a"), trusted=trusted)
    with pytest.raises(DecodeError, match="columns= is for frames, and this is a Series"):
        roundtrip(materializer, pl.Series("a", [1]), columns=("a",), trusted=trusted)


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
def test_python_objects_are_declined(materializer: PolarsMaterializer) -> None:
    with pytest.raises(Declined, match="objects"):
        materializer.dump(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
def test_lazy_frame_is_refused_with_a_hint(materializer: PolarsMaterializer) -> None:
    plan = pl.LazyFrame({"a": [1]})
    assert materializer.accepts(plan)
    with pytest.raises(EncodeError, match=r"collect\(\)"):
        materializer.dump(plan)


def test_subclass_is_not_accepted() -> None:
    class Mine(pl.DataFrame):
        pass

    assert not IPC.accepts(Mine())


@pytest.mark.parametrize("materializer", [IPC, PARQUET], ids=["ipc", "parquet"])
def test_errors_of_the_sink_pass_through(materializer: PolarsMaterializer) -> None:
    class Full(Exception):
        pass

    class Sink:
        def write(self, data: Any) -> None:
            raise Full

    with pytest.raises(Full):
        materializer.dump(FRAMES["text"]).parts[0].body.write_to(Sink())


def test_large_frame_is_written_in_pieces() -> None:
    largest = 0

    class Sink:
        def write(self, data: Any) -> None:
            nonlocal largest
            largest = max(largest, len(data))

    IPC.dump(pl.select(a=pl.int_range(2_000_000))).parts[0].body.write_to(Sink())
    assert 0 < largest < 4 << 20


GOOD = written(IPC.dump(FRAMES["text"]))["data.arrow"]


def compressed() -> bytes:
    file = BytesIO()
    pl.DataFrame({"a": [0] * 100_000}).write_ipc(file, compression="zstd")
    return file.getvalue()


@pytest.mark.parametrize("data", [b"", GOOD[:-30], GOOD[8:], bytes(500), compressed()])
def test_hostile_file_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, pl.exceptions.PolarsError, DecodeError)):
        load(IPC, {"data.arrow": data}, {"kind": "DataFrame"}, trusted=False)


@pytest.mark.parametrize("data", [b"", b"PAR1", bytes(500), written(PARQUET.dump(FRAMES["text"]))["data.parquet"][:-9]])
def test_hostile_parquet_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, pl.exceptions.PolarsError, DecodeError)):
        load(PARQUET, {"data.parquet": data}, {"kind": "DataFrame"}, trusted=False)


def test_arrays_of_no_width_are_left_to_parquet() -> None:
    frame = pl.DataFrame({"z": pl.Series([[], None, []], dtype=pl.Array(pl.Int16, 0))})
    with pytest.raises(Declined, match="types"):
        IPC.dump(frame)
    same(roundtrip(PARQUET, frame), frame)


def test_parquet_of_far_more_rows_than_bytes_is_refused_from_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(PARQUET.dump(pl.select(a=pl.repeat(1, 3_000_000, dtype=pl.Int8))))
    assert load(PARQUET, data, {"kind": "DataFrame"}, trusted=False).height == 3_000_000
    monkeypatch.setattr("aioartifacts.materializers.parquet_pages.FREE", 1 << 20)
    with pytest.raises(ValueError, match="become more than"):
        load(PARQUET, data, {"kind": "DataFrame"}, trusted=False)
    assert load(PARQUET, data, {"kind": "DataFrame"}).height == 3_000_000


@pytest.mark.parametrize("kind", ["Series", "LazyFrame", None])
def test_another_kind_than_it_is_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="neither"):
        load(IPC, {"data.arrow": written(IPC.dump(FRAMES["names"]))["data.arrow"]}, {"kind": kind})


def test_summary_tells_columns_up_to_a_size() -> None:
    assert IPC.summary(pl.DataFrame({"a": [1], "b": ["x"]})) == {
        "columns": [["a", "Int64"], ["b", "String"]],
        "shape": [1, 2],
    }
    assert IPC.summary(pl.Series("s", [1, None])) == {"name": "s", "dtype": "Int64", "length": 2, "nulls": 1}
    assert len(str(IPC.summary(pl.DataFrame({f"a column {n}": [1] for n in range(1000)})))) < 8192


def test_loads_in_a_fresh_process(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"i": pl.Series([2**126, None], dtype=pl.Int128), "c": pl.Series(["b", "a"], dtype=pl.Categorical)}
    )
    told = elsewhere(IPC, frame, "back.rows(), back.schema, 'pyarrow' in sys.modules", tmp_path)
    assert told == f"{frame.rows()} {frame.schema} False"
