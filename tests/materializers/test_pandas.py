"""Frames, series and indexes come back identical, or are declined; never different."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identical import differences
from pandas_corpus import ARROW_ONLY, DECLINED, EXACT, cells
from parts import elsewhere, load, roundtrip, written

from aioartifacts.errors import DecodeError
from aioartifacts.materializers import pandas_files
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.pandas import PandasMaterializer, PandasParquetMaterializer

ARROW = PandasMaterializer()
PARQUET = PandasParquetMaterializer()
BOTH = pytest.mark.parametrize("materializer", [ARROW, PARQUET], ids=["arrow", "parquet"])


@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_exact(materializer: Any, name: str) -> None:
    obj = EXACT[name]
    assert materializer.accepts(obj)
    assert differences(obj, roundtrip(materializer, obj, trusted=False)) == []


@pytest.mark.parametrize("name", EXACT | ARROW_ONLY)
def test_exact_when_mapped(name: str) -> None:
    obj = (EXACT | ARROW_ONLY)[name]
    assert differences(obj, roundtrip(ARROW, obj, mmap=True)) == []


@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_exact_in_many_batches(materializer: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandas_files, "BATCH", 1)
    monkeypatch.setattr(pandas_files, "_GROUP", 1)
    assert differences(EXACT[name], roundtrip(materializer, EXACT[name])) == []


@pytest.mark.parametrize("name", ARROW_ONLY)
def test_what_parquet_changes_is_declined_by_it(name: str) -> None:
    with pytest.raises(Declined):
        PARQUET.dump(ARROW_ONLY[name])


@BOTH
@pytest.mark.parametrize("name", DECLINED)
def test_declined(materializer: Any, name: str) -> None:
    with pytest.raises(Declined):
        materializer.dump(DECLINED[name])


PLACES: dict[str, tuple[Any, str]] = {
    "cell": (pd.DataFrame({"a": [1, 2, 3], "b": cells(1, "x", len)}), "^column 'b': cell 2: a value of type "),
    "cell of a series": (cells("x", len), "^values: cell 1: "),
    "index": (pd.Series([1], index=pd.Index([len], dtype=object)), "^index: cell 0: "),
    "label": (pd.DataFrame([[1]], columns=pd.Index([len], dtype=object)), "^columns: cell 0: "),
    "name": (pd.Series([1], name=len), "^name: "),
    "name of an index": (pd.DataFrame({"a": [1]}, index=pd.Index([1], name=len)), "^index: "),
    "dtype": (pd.DataFrame({"n": [1], "a": pd.array([1], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.int8())))}), "^column 'a': "),
}


@BOTH
@pytest.mark.parametrize("what", PLACES)
def test_what_is_declined_is_told_with_its_place(materializer: Any, what: str) -> None:
    obj, place = PLACES[what]
    with pytest.raises(Declined, match=place):
        materializer.dump(obj)


@pytest.mark.parametrize("subclassed", [pd.DataFrame, pd.Series, pd.Index])
def test_subclasses_are_not_accepted(subclassed: Any) -> None:
    class Mine(subclassed):  # type: ignore[misc]
        pass

    mine = subclassed([1])
    assert ARROW.accepts(mine)
    mine.__class__ = Mine
    assert not ARROW.accepts(mine)
    assert not ARROW.accepts([1])


def test_index_of_a_foreign_class_is_declined() -> None:
    class Mine(pd.Index):
        pass

    frame = pd.DataFrame({"a": [1]})
    mine = pd.Index(["x"])
    mine.__class__ = Mine
    frame.index = mine
    with pytest.raises(Declined, match="Mine"):
        ARROW.dump(frame)


def test_numbers_and_arrow_strings_are_written_from_where_they_lie() -> None:
    frame = pd.DataFrame({"f": np.arange(5000.0), "i": np.arange(5000), "t": pd.date_range("2020", periods=5000)})
    frame["s"] = pd.array(["x" * 20] * 5000, dtype="str")
    pieces: list[Any] = []

    class Keeping:
        def write(self, data: Any) -> None:
            pieces.append(np.frombuffer(data, "u1"))

    ARROW.dump(frame).parts[0].body.write_to(Keeping())
    for name in "fit":
        own = frame[name].to_numpy()
        assert any(np.shares_memory(piece, own) for piece in pieces)
    text = np.frombuffer(frame["s"].array.__arrow_array__().chunk(0).buffers()[2], "u1")  # type: ignore[attr-defined]
    assert any(np.shares_memory(piece, text) for piece in pieces)


def test_writing_leaves_the_text_of_the_object_as_it_was() -> None:
    text = "ä" * 1000
    before = sys.getsizeof(text)
    frame = pd.DataFrame({"x": pd.Series([text], dtype=object)})
    written(ARROW.dump(frame))
    assert sys.getsizeof(text) == before


def batches(data: bytes) -> int:
    return int(pa.ipc.open_file(pa.py_buffer(data)).num_record_batches)


def test_what_is_converted_goes_in_batches_and_what_is_not_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandas_files, "BATCH", 4096)
    plain = written(ARROW.dump(pd.DataFrame({"x": np.arange(10_000)})))["frame.arrow"]
    assert batches(plain) == 1
    frame = pd.DataFrame({"x": np.arange(10_000), "o": pd.Series([f"{n:8}" for n in range(10_000)], dtype=object)})
    assert batches(written(ARROW.dump(frame))["frame.arrow"]) > 10


def test_conversions_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from aioartifacts.materializers import pandas as module

    made: list[Any] = []

    class Watched(module.Fields):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.spare = 5000
            made.append(self)

    monkeypatch.setattr(module, "Fields", Watched)
    frame = pd.DataFrame({c: pd.Series(["x" * 10] * 100, dtype=object) for c in "abcdef"})
    assert differences(frame, roundtrip(ARROW, frame)) == []
    assert 0 <= made[0].spare < 5000


def test_mapped_frame_lies_in_the_file_and_is_read_only() -> None:
    frame = pd.DataFrame({"x": np.arange(100.0), "t": pd.date_range("2020", periods=100)})
    data = written(ARROW.dump(frame))
    back = load(ARROW, data, mmap=True)
    memory = np.frombuffer(data["frame.arrow"], "u1")
    assert np.shares_memory(back["x"].to_numpy(), memory)
    assert np.shares_memory(back["t"].to_numpy(), memory)
    with pytest.raises(ValueError, match="read-only"):
        back.loc[0, "x"] = 5.0


@BOTH
@pytest.mark.parametrize("name", ["blocks", "datetime64", "zones", "nullable", "categories", "text", "int and None"])
def test_loaded_frame_can_be_written_to(materializer: Any, name: str) -> None:
    back = roundtrip(materializer, EXACT[name])
    for n in range(back.shape[1]):
        back.iloc[0, n] = back.iloc[1, n]
    assert back.iloc[0].tolist() == back.iloc[1].tolist() or name == "datetime64" or back.iloc[1].isna().any()


@BOTH
def test_chosen_columns(materializer: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c.d": pd.Categorical(["u", "v"])}, index=["r", "s"])
    back = roundtrip(materializer, frame, columns=("c.d", "a"))
    assert differences(frame[["c.d", "a"]], back) == []


@BOTH
def test_chosen_columns_of_duplicate_labels_all_come(materializer: Any) -> None:
    frame = pd.DataFrame([[1, 2.0, "x"]], columns=["a", "b", "a"])
    assert differences(frame[["a"]], roundtrip(materializer, frame, columns=("a",))) == []


def test_a_column_that_is_not_there_is_said() -> None:
    with pytest.raises(DecodeError, match=r"no column 'nope' .*; there are 'a'"):
        roundtrip(ARROW, pd.DataFrame({"a": [1]}), columns=("a", "nope"))


def test_columns_of_a_series_are_refused() -> None:
    with pytest.raises(DecodeError, match="columns= is for frames, and this is a Series"):
        roundtrip(ARROW, pd.Series([1]), columns=("a",))


def frame_for_others() -> pd.DataFrame:
    return pd.DataFrame(
        {"n": [1, 2, 3], "s": ["a", None, "c"], "c": pd.Categorical(["u", None, "v"]), "t": pd.to_datetime(["2020", None, "2021"])}
    )


def test_polars_reads_the_arrow_file() -> None:
    other = pl.read_ipc(BytesIO(written(ARROW.dump(frame_for_others()))["frame.arrow"]))
    assert other.columns == ["n", "s", "c", "t"]
    assert other["c"].cast(pl.String).to_list() == ["u", None, "v"]
    assert other["s"].to_list() == ["a", None, "c"]
    assert other["t"].null_count() == 1


def test_polars_and_pyarrow_read_the_parquet_file() -> None:
    data = written(PARQUET.dump(frame_for_others()))["frame.parquet"]
    assert pq.read_table(BytesIO(data)).column_names == ["n", "s", "c", "t"]
    assert pl.read_parquet(BytesIO(data))["n"].to_list() == [1, 2, 3]


def test_small_frame_is_one_part() -> None:
    assert [part.name for part in ARROW.dump(EXACT["index, multi"]).parts] == ["frame.arrow"]


@BOTH
def test_many_categories_are_a_part_of_their_own(materializer: Any) -> None:
    words = pd.Index([f"category number {n}" for n in range(10_000)])
    series = pd.Series(pd.Categorical.from_codes(np.arange(10_000)[::-1], words))
    dump = materializer.dump(series)
    assert [part.name for part in dump.parts][1:] == ["aside.arrow"]
    assert differences(series, roundtrip(materializer, series, trusted=False)) == []


@pytest.mark.parametrize("name", ["blocks", "text", "dicts", "categories", "nullable", "index, multi", "sparse", "intervals"])
@BOTH
def test_damaged_file_is_an_error_or_harmless(materializer: Any, name: str) -> None:
    data = written(materializer.dump(EXACT[name]))[materializer.part]
    random = np.random.default_rng(len(name))
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 4):
            broken[place] = random.integers(0, 256)
        cut = bytes(broken[: random.integers(1, len(broken))] if random.random() < 0.2 else broken)
        try:
            back = load(materializer, {materializer.part: cut}, trusted=False)
            repr(back)
        except (ValueError, OSError, NotImplementedError, MemoryError, pa.ArrowException):
            refused += 1
    assert refused


def respecified(data: bytes, change: Any) -> bytes:
    """An Arrow file with another description."""
    import json

    table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    metadata = dict(table.schema.metadata)
    spec = json.loads(metadata[b"aioartifacts"])
    change(spec)
    metadata[b"aioartifacts"] = json.dumps(spec).encode()
    sink = BytesIO()
    with pa.ipc.new_file(sink, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table)
    return sink.getvalue()


SPECS: list[dict[str, Any]] = [
    {"version": 2},
    {"rows": 4},
    {"rows": -1},
    {"rows": None},
    {"class": "Panel"},
    {"columns": []},
    {"columns": [{"kind": "numpy", "dtype": "O", "at": 0}] * 2},
    {"columns": [{"kind": "numpy", "dtype": "<i8", "at": 99}] * 2},
    {"columns": [{"kind": "numpy", "dtype": "<i8", "at": -99}] * 2},
    {"columns": [{"kind": "numpy", "dtype": "<f8", "at": 0}] * 2},
    {"columns": [{"kind": "numpy", "dtype": "<i8", "at": "n"}] * 2},
    {"columns": [{"kind": "numpy", "dtype": "<i8", "at": -1}] * 2},
    {"columns": [{"kind": "masked", "dtype": "category", "at": 0}] * 2},
    {"columns": [{"kind": "masked", "dtype": "Int32", "at": 0}] * 2},
    {"columns": [{"kind": "objects", "as": "cells", "missing": "None", "at": 0}] * 2},
    {"columns": [{"kind": "string", "storage": "disk", "nan": True, "at": 1}] * 2},
    {"columns": [{"kind": "zoned", "unit": "s", "tz": {"zone": "../../etc/passwd"}, "at": 0}] * 2},
    {"columns": [{"kind": "zoned", "unit": "D", "tz": "utc", "at": 0}] * 2},
    {"columns": [{"kind": "period", "freq": "nope", "at": 0}] * 2},
    {"columns": [{"kind": "pickle"}] * 2},
    {"columns": [5, 5]},
    {"columns": {"a": 1}},
    {"index": {"kind": "range", "names": [None], "range": [0, 10**12, 1]}},
    {"index": {"kind": "range", "names": [None], "range": ["a", 3, 1]}},
    {"index": {"kind": "array", "names": [{"exec": "x"}], "array": {"kind": "numpy", "dtype": "<i8", "at": 0}}},
    {"index": {"kind": "array", "names": [None], "freq": "D", "array": {"kind": "numpy", "dtype": "<i8", "at": 0}}},
    {"index": {"kind": "multi", "names": [None], "levels": [], "codes": [0], "sortorder": None}},
    {"index": None},
    {"attrs": [1]},
    {"attrs": {"dict": [[[], 1]]}},
    {"attributes": [1]},
    {"attributes": {"dict": [["_mgr", 1]]}},
    {"attributes": {"dict": [["shape", 1]]}},
    {"attributes": {"dict": [[1, 1]]}},
    {"labels": {"kind": "range", "names": [None], "range": [0, 1, 1]}},
]


@pytest.mark.parametrize("changes", SPECS, ids=range(len(SPECS)))
def test_hostile_description_is_refused(changes: dict[str, Any]) -> None:
    data = written(ARROW.dump(pd.DataFrame({"n": [1, 2, 3], "s": ["a", "b", "c"]})))["frame.arrow"]
    with pytest.raises((ValueError, pa.ArrowException)):
        load(ARROW, {"frame.arrow": respecified(data, lambda spec: spec.update(changes))}, trusted=False)


def test_codes_beyond_the_categories_are_refused() -> None:
    series = pd.Series(pd.Categorical([1, 2, 3]))
    data = written(ARROW.dump(series))["frame.arrow"]
    at = data.index(b"\0\1\2\0\0\0\0\0")
    with pytest.raises(ValueError, match="codes"):
        load(ARROW, {"frame.arrow": data[:at] + b"\0\1\x50" + data[at + 3 :]})


def test_file_of_somebody_else_is_refused() -> None:
    sink = BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(ValueError, match="does not describe"):
        load(PARQUET, {"frame.parquet": sink.getvalue()})


def test_summary() -> None:
    frame = pd.DataFrame({"a": [1, 2], 3: ["x", "y"]})
    assert ARROW.summary(frame) == {"shape": [2, 2], "dtypes": {"a": "int64", "3": "str"}}
    assert ARROW.summary(pd.Series([1.0])) == {"shape": [1], "dtype": "float64"}


def test_loads_in_a_fresh_process(tmp_path: Path) -> None:
    frame = pd.concat([EXACT["categories"], EXACT["dicts"], EXACT["zones"]], axis=1)
    assert elsewhere(ARROW, frame, "repr(back.dtypes.to_dict())", tmp_path) == repr(frame.dtypes.to_dict())


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
    st.sampled_from([pd.NaT, pd.NA, np.nan, (1, "a"), pd.Timestamp("2020", tz="UTC"), np.float32(1), [], {}]),
)
LABELS = st.one_of(st.text(max_size=4), st.integers(), st.none(), st.tuples(st.integers(), st.text(max_size=2)), st.dates())


@st.composite
def frames(draw: Any) -> pd.DataFrame:
    rows = draw(st.integers(0, 6))
    frame = pd.DataFrame(index=pd.RangeIndex(rows))
    columns: dict[int, Any] = {}
    for n in range(draw(st.integers(0, 5))):
        values = draw(st.lists(draw(st.sampled_from([SCALARS, st.text(max_size=3), st.integers(-5, 5)])), min_size=rows, max_size=rows))
        array = np.empty(rows, object)
        for row, value in enumerate(values):
            array[row] = value
        series = pd.Series(array, dtype=object)
        columns[n] = series if draw(st.booleans()) else series.convert_dtypes() if draw(st.booleans()) else series.infer_objects()
    if columns:
        frame = pd.DataFrame(columns)
    labels = np.empty(len(columns), object)
    for n in range(len(columns)):
        labels[n] = draw(LABELS)
    frame.columns = pd.Index(labels, dtype=object, tupleize_cols=False)
    return frame


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames())
def test_any_small_frame_is_exact(frame: pd.DataFrame) -> None:
    for materializer in (ARROW, PARQUET):
        assert differences(frame, roundtrip(materializer, frame, trusted=False)) == []
