"""CSV on request: what comes back equals what was given, or it is declined with the reason."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parts import load, written

from aioartifacts import sync
from aioartifacts.errors import DecodeError, EncodeError
from aioartifacts.materializers import pandas_csv
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.pandas_csv import PART, PandasCsvMaterializer

CSV = PandasCsvMaterializer()


def hard(rows: int) -> pd.DataFrame:
    numbers = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "i": np.arange(rows).astype("int8"),
            "large": numbers.integers(0, 2**63, rows).astype("uint64") * 2 + 1,
            "x": numbers.normal(size=rows) * 10.0 ** numbers.integers(-300, 300, rows),
            "single": numbers.normal(size=rows).astype("float32"),
            "b": numbers.random(rows) > 0.5,
            "text": [f'é"x,\n\r{i}' if i % 3 else "" for i in range(rows)],
            "no numbers": [("NA", "nan", "1", " 2", "True", "null")[i % 6] for i in range(rows)],
            "t": pd.date_range("1999", periods=rows, freq="137ns"),
            "day": pd.date_range("2001", periods=rows, freq="D").astype("datetime64[s]"),
        }
    )
    frame.loc[0, "x"], frame.loc[1, "x"], frame.loc[2, "x"], frame.loc[3, "x"] = np.nan, np.inf, -0.0, 5e-324
    frame.loc[3, "t"] = pd.NaT
    return frame


FRAMES: dict[str, Any] = {
    "hard": lambda: hard(500),
    "no rows": lambda: pd.DataFrame({"a": pd.Series([], dtype="int64"), "b": pd.Series([], dtype="str")}),
    "one empty text": lambda: pd.DataFrame({"a": [""]}),
    "one column of spaces": lambda: pd.DataFrame({" ": ["  ", "", "x", "\t"]}),
    "only missing": lambda: pd.DataFrame({"a": [np.nan, np.nan]}),
    "odd labels": lambda: pd.DataFrame({"": [1], 'a "b", c': [2], "x\ny": [3], "Unnamed: 0": [4], "a.1": [5]}),
}


def exact(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert list(one.dtypes) == list(other.dtypes)
    assert one.index.identical(other.index)
    assert one.columns.identical(other.columns)
    for label in one:
        if one[label].dtype.kind == "f":
            assert one[label].to_numpy().tobytes() == other[label].to_numpy().tobytes()


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("rows", [7, pandas_csv.ROWS])
def test_frame_comes_back_exactly(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandas_csv, "ROWS", rows)
    frame = FRAMES[name]()
    dump = CSV.dump(frame)
    exact(load(CSV, written(dump), dump.meta, trusted=False), frame)


def test_it_is_csv() -> None:
    frame = hard(20)
    lines = list(csv.reader(written(CSV.dump(frame))[PART].decode().splitlines(keepends=True)))
    assert lines[0] == list(frame.columns)
    assert len(lines) == 21


DECLINED: dict[str, Any] = {
    "text with a value missing": lambda: pd.DataFrame({"a": ["x", None]}),
    "objects": lambda: pd.DataFrame({"a": [1, "x"]}),
    "a zone": lambda: pd.DataFrame({"a": pd.date_range("2001", periods=2, tz="UTC")}),
    "categories": lambda: pd.DataFrame({"a": pd.Categorical(["x"])}),
    "a nullable int": lambda: pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
    "a NaN with a sign": lambda: pd.DataFrame({"a": [-np.nan]}),
    "labels that are numbers": lambda: pd.DataFrame({1: [2]}),
    "a label twice": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "no columns": lambda: pd.DataFrame(),
    "an index": lambda: pd.DataFrame({"a": [1]}, index=[5]),
    "a named index": lambda: pd.DataFrame({"a": [1]}).rename_axis("n"),
    "named columns": lambda: pd.DataFrame({"a": [1]}).rename_axis(columns="n"),
    "attrs": lambda: _with_attrs(),
    "an attribute": lambda: _with_attribute(),
}


def _with_attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["unit"] = "m"
    return frame


def _with_attribute() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    vars(frame)["unit"] = "m"
    return frame


BROKEN: dict[str, tuple[Any, str]] = {
    "a carriage return in a label": (lambda: pd.DataFrame({"a\rb": [1]}), r"the label 'a\\rb' has a carriage return"),
    "a carriage return in every row": (lambda: pd.DataFrame({"n": [1] * 9, "a": ["x\ry"] * 9}), "column 'a': text with a carriage return"),
    "a label that is no Unicode": (lambda: pd.DataFrame([[1]], columns=pd.Index(["\ud800"], dtype=object)), "columns: a label"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_rows_is_said_where_it_is(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandas_csv, "ROWS", 9)
    make, place = BROKEN[what]
    with pytest.raises(Declined, match=place):
        CSV.dump(make())


def test_a_value_that_csv_does_not_hold_is_said_with_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandas_csv, "ROWS", 4)
    with pytest.raises(Declined, match=r"^column 'b', row 6: a value "):
        CSV.dump(pd.DataFrame({"a": range(9), "b": [*"abcdef", None, "h", None]}))


@pytest.mark.parametrize("what", DECLINED)
def test_what_csv_cannot_tell_is_declined(what: str) -> None:
    with pytest.raises(Declined):
        CSV.dump(DECLINED[what]())


def test_by_its_short_name_and_some_columns() -> None:
    store = sync.MemoryArtifactStore(trust="data")
    frame = hard(30)
    store.save(frame, "a", format="csv")
    assert store.info("a").format == "pandas-csv"
    exact(store.load("a"), frame)
    exact(store.load("a", columns=["text", "i"]), frame[["text", "i"]])
    with pytest.raises(DecodeError, match="no column 'zz'"):
        store.load("a", columns=["zz"])
    with pytest.raises(EncodeError, match="column 'a'"):
        store.save(pd.DataFrame({"a": ["x", None]}), "b", format="csv")
    assert not store.exists("b")
    store.save(frame, "b", format="parquet")
    assert store.info("b").format == "pandas-parquet"


HOSTILE: dict[str, tuple[bytes, dict[str, Any]]] = {
    "fewer rows": (b"a\n1\n", {"rows": 2, "columns": [["a", "int64"]]}),
    "no number": (b"a\nx\n", {"rows": 1, "columns": [["a", "int64"]]}),
    "fewer columns": (b"a\n1\n", {"rows": 1, "columns": [["a", "int64"], ["b", "str"]]}),
    "objects": (b"a\n1\n", {"rows": 1, "columns": [["a", "object"]]}),
    "no dtype": (b"a\n1\n", {"rows": 1, "columns": [["a", "system"]]}),
    "no columns": (b"a\n1\n", {"rows": 1, "columns": []}),
    "columns of another kind": (b"a\n1\n", {"rows": 1, "columns": 5}),
    "no rows": (b"a\n1\n", {"columns": [["a", "int64"]]}),
    "no text": (b"a\n\xff\n", {"rows": 1, "columns": [["a", "str"]]}),
    "nothing": (b"", {"rows": 1, "columns": [["a", "str"]]}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_damage_is_an_error(what: str) -> None:
    data, meta = HOSTILE[what]
    with pytest.raises((ValueError, TypeError)):
        load(CSV, {PART: data}, meta, trusted=False)
