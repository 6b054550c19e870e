"""Frames, series and indexes that are easily changed on the way to a file and back.

Each says whether it is expected to be exact, or declined by every format here (so that pickle takes it).
"""

from __future__ import annotations

import datetime as dt
import decimal
import string
import uuid
import warnings
import zoneinfo
from collections import OrderedDict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
F = pd.DataFrame


def cells(*values: Any) -> pd.Series:
    """A column of objects with exactly these cells."""
    array = np.empty(len(values), object)
    for n, value in enumerate(values):
        array[n] = value
    return pd.Series(array, dtype=object)


def column(*values: Any) -> F:
    return F({"x": cells(*values)})


class Plain:
    """An object that no file format knows."""

    def __repr__(self) -> str:
        return "Plain()"


class Text(str):
    __slots__ = ()


def _flags() -> F:
    frame = F({"a": [1]}, index=["r"])
    frame.flags.allows_duplicate_labels = False
    return frame


def _attrs(**attrs: Any) -> F:
    frame = F({"a": [1]})
    frame.attrs = attrs
    return frame


def _attributes(held: Any, **attributes: Any) -> Any:
    """With attributes such as people set, which pandas does not know."""
    vars(held).update(attributes)
    return held


def _blocks() -> F:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = F(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
        frame["e"] = np.arange(3)
        frame.insert(0, "first", [True, False, True])
    return frame


def _columns(labels: Any) -> F:
    frame = F(np.arange(2 * len(labels)).reshape(2, -1))
    frame.columns = labels
    return frame


def _objects_index(*values: Any) -> pd.Index:
    return pd.Index(cells(*values).to_numpy(), dtype=object, tupleize_cols=False)


DAYS = pd.date_range("2024-03-30", periods=3)
MULTI = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["k", None])

EXACT: dict[str, Any] = {
    # numbers
    "integers": F({c: np.arange(3, dtype=c) for c in ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]}),
    "floats": F({c: np.array([1.5, -0.0, np.nan], c) for c in ["f2", "f4", "f8"]}),
    "nan payloads": F({"x": np.array([0x7FF8000000000123, 0xFFF8000000000000], "u8").view("f8")}),
    "infinities": F({"x": [np.inf, -np.inf]}),
    "longdouble": F({"x": np.array([1, 3], np.longdouble) / 7}),
    "complex": F({"x": [1 + 2j, complex("nan")], "y": np.array([1j, 2], "c8")}),
    "bool": F({"x": [True, False, True]}),
    "blocks": _blocks(),
    "2d block": F(np.arange(20.0).reshape(5, 4)),
    "2d block, fortran": F(np.asfortranarray(np.arange(20).reshape(5, 4))),
    "every other row": F({"x": np.arange(10), "y": list(string.ascii_lowercase[:10])}).iloc[::2],
    "sorted backwards": F({"x": np.arange(10), "y": list("abcdefghij")}).iloc[::-1],
    # text
    "text": F({"x": ["a", "", "ä\0b", "\U0001f600"]}),
    "text, missing": F({"x": ["a", None, np.nan]}),
    "text, nothing but missing": F({"x": pd.array([None, None], dtype="str")}),
    "text, python storage": F({"x": pd.array(["a", None], dtype=pd.StringDtype("python"))}),
    "text, python storage, nan": F({"x": pd.array(["a", None], dtype=pd.StringDtype("python", na_value=np.nan))}),
    "text, arrow storage": F({"x": pd.array(["a", None], dtype=pd.StringDtype("pyarrow"))}),
    "text, arrow storage, nan": F({"x": pd.array(["a", None], dtype=pd.StringDtype("pyarrow", na_value=np.nan))}),
    "text, in pieces": pd.concat([F({"x": ["a", "b"]}), F({"x": ["c", None]})]),
    "text, sliced": F({"x": ["a", "b", "c", None, "e"]}).iloc[1:4],
    "text objects": column("a", "b", ""),
    "text objects, None": column("a", None, "c"),
    "text objects, nan": column("a", np.nan, "c"),
    "text objects, NA": column("a", pd.NA, "c"),
    "text objects, NaT": column("a", pd.NaT, "c"),
    "text objects, None and nan": column("a", None, np.nan),
    "text objects, another nan": column("a", float("nan"), -float("nan")),
    "lone surrogate": column("a", "\ud800"),
    # objects
    "bytes": column(b"a", b"", b"\0\xff"),
    "bytes, None": column(b"a", None),
    "bytearray": column(bytearray(b"x")),
    "only None": column(None, None),
    "only nan objects": column(np.nan, np.nan),
    "only other nan objects": column(float("nan"), -float("nan")),
    "only NaT objects": column(pd.NaT, pd.NaT),
    "only NA": column(pd.NA),
    "None and nan": column(None, np.nan, pd.NaT, pd.NA),
    "int objects": column(1, 2, -(2**63)),
    "int and None": column(1, None, 3),
    "int and nan": column(1, np.nan),
    "int and str": column(1, "1", 1.0, True),
    "int over 64 bits": column(2**70, -(2**64), 1),
    "int over 4300 digits": column(10**5000),
    "uint64 objects": column(2**63),
    "bool objects": column(True, False),
    "bool and None": column(True, None),
    "bool and int": column(True, 1, 0),
    "float objects": column(1.0, float("nan"), -0.0),
    "float and None": column(1.0, None, np.nan),
    "float and NA": column(1.5, pd.NA),
    "complex objects": column(1j, complex("nan")),
    "dicts": column({"a": 1}, {"b": [1, 2], 3: None}, {}),
    "sets": column({1, 2}, set(), frozenset({"a"})),
    "lists": column([1, 2], [], ["a", None]),
    "lists of one length": column([1, 2], [3, 4]),
    "tuples": column((1, 2), (), (("a",),)),
    "decimals": column(decimal.Decimal("1.10"), decimal.Decimal("NaN"), decimal.Decimal("1E+5")),
    "uuids": column(uuid.UUID(int=5), None),
    "dates": column(dt.date(2020, 1, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31)),
    "dates, None": column(dt.date(2020, 1, 1), None),
    "date and datetime": column(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)),
    "datetimes": column(dt.datetime(2020, 1, 1, 2, 3, 4, 5), dt.datetime(1, 1, 1)),
    "times": column(dt.time(1, 2, 3, 4), dt.time(5, tzinfo=dt.UTC)),
    "timedeltas": column(dt.timedelta(1, 2, 3)),
    "mixed time zones": column(
        pd.Timestamp("2020-01-01", tz="Europe/Berlin"), pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-01-01")
    ),
    "fold": column(dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1), dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)),
    "timestamps of several units": column(pd.Timestamp(5, unit="ns"), pd.Timestamp(5, unit="s"), pd.Timestamp("2020").as_unit("s")),
    "uuids that tell how safe they are": column(*(uuid.UUID(int=5, is_safe=safe) for safe in uuid.SafeUUID)),
    "periods and intervals": column(pd.Period("2020-01", "M"), pd.Interval(0, 1, closed="both")),
    "numpy scalars": column(np.int64(1), np.float32(1.5), np.bool_(True), np.datetime64("2020", "Y"), np.str_("x")),
    # times
    "datetime64": F({u: np.array(["2020-01-01", "NaT", "1969-12-31"], f"M8[{u}]") for u in ["s", "ms", "us", "ns"]}),
    "datetime64[s], far": F({"x": np.array(["-99999-01-01", "99999-01-01"], "M8[s]")}),
    "datetime64[s], very far": F({"x": np.array([2**60, -(2**60)], "i8").view("M8[s]")}),
    "timedelta64": F({u: np.array([1, "NaT", -5], f"m8[{u}]") for u in ["s", "ms", "us", "ns"]}),
    "zones": F(
        {
            "utc": DAYS.tz_localize("UTC"),
            "berlin": DAYS.tz_localize("Europe/Berlin"),
            "fixed": DAYS.tz_localize(dt.timezone(dt.timedelta(hours=-3, minutes=-30))),
            "named": DAYS.tz_localize(dt.timezone(dt.timedelta(seconds=5), "odd")),
            "seconds": DAYS.tz_localize("Asia/Tokyo").as_unit("s"),
            "missing": pd.DatetimeIndex(["2020-01-01", None, "2020-01-02"], tz="America/New_York").as_unit("ns"),
        }
    ),
    "periods": F({"m": pd.period_range("2020-01", periods=3, freq="M"), "q": pd.PeriodIndex(["2020Q1", None, "2021Q4"], freq="Q-NOV")}),
    # categories
    "categories": F({"x": pd.Categorical(["b", "a", None, "b"])}),
    "categories, ordered and unused": F({"x": pd.Categorical(["b", "a"], categories=["z", "b", "a"], ordered=True)}),
    "categories of int": F({"x": pd.Categorical([3, 1, 3])}),
    "categories of float": F({"x": pd.Categorical([0.5, None, 1.5])}),
    "categories of bool": F({"x": pd.Categorical([True, False])}),
    "categories of times": F({"x": pd.Categorical(DAYS), "y": pd.Categorical(DAYS.tz_localize(BERLIN))}),
    "categories of intervals": F({"x": pd.cut([1, 5, 9], 3)}),
    "categories, mixed": F({"x": pd.Categorical(cells(1, "a", (1, 2)))}),
    "categories of object text": F({"x": pd.Categorical.from_codes([0, 1], pd.Index(["a", "b"], dtype=object))}),
    "categories, none": F({"x": pd.Categorical([None, None])}),
    "categories, many": F({"x": pd.Categorical.from_codes(np.arange(300), np.arange(300).astype(str))}),
    "categories with a name": F({"x": pd.Categorical.from_codes([0], pd.Index(["a"], name="n"))}),
    # extension arrays
    "nullable": F(
        {
            **{d: pd.array([1, None, 3], dtype=d) for d in ["Int8", "Int64", "UInt16", "Float32", "Float64"]},
            "b": pd.array([True, None, False], dtype="boolean"),
        }
    ),
    "nullable, none missing": F({"x": pd.array([1, 2], dtype="Int32"), "y": pd.array([True, False], dtype="boolean")}),
    "nullable float with nan": F({"x": pd.arrays.FloatingArray(np.array([1.0, np.nan, 2.0]), np.array([False, False, True]))}),
    "intervals": F({"x": pd.interval_range(0, 3, closed="left"), "y": pd.arrays.IntervalArray.from_tuples([(0.5, 1.0), None, (2, 3)])}),
    "intervals of times": F({"x": pd.interval_range(DAYS[0], periods=3, closed="both")}),
    "sparse": F({"x": pd.arrays.SparseArray([0, 0, 1, 0]), "y": pd.arrays.SparseArray([np.nan, 1.0, np.nan, np.nan])}),
    "sparse, blocks": F({"x": pd.arrays.SparseArray([0, 5, 5, 0], fill_value=0, kind="block")}),
    "arrow": F(
        {
            "i": pd.array([1, None], dtype=pd.ArrowDtype(pa.int32())),
            "s": pd.array(["a", None], dtype=pd.ArrowDtype(pa.string())),
            "t": pd.array([0, None], dtype=pd.ArrowDtype(pa.timestamp("us", "UTC"))),
            "d": pd.array([decimal.Decimal("1.10"), None], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
            "f": pd.array([1.5, None], dtype=pd.ArrowDtype(pa.float64())),
        }
    ),
    # labels
    "labels, mixed": _columns(_objects_index(1, "1", "a")),
    "labels, numbers": _columns([10, 20]),
    "labels, floats and nan": _columns([1.5, np.nan]),
    "labels, flat tuples": _columns(_objects_index(("a", 1), ("b", 2))),
    "labels, None and nan and NaT": _columns(_objects_index(None, np.nan, pd.NaT)),
    "labels, bool": _columns([True, False]),
    "labels, times": _columns(DAYS),
    "labels, multi": _columns(MULTI),
    "labels, categories": _columns(pd.CategoricalIndex(["a", "b"], ordered=True, name="c")),
    "labels, named": _columns(pd.Index(["a", "b"], name="the columns")),
    "labels, named by a tuple": _columns(pd.Index(["a", "b"], name=("x", 1))),
    "labels, duplicate": F([[1, "a"], [2, "b"]], columns=["x", "x"]),
    "labels, object text": _columns(pd.Index(["a", "b"], dtype=object)),
    "labels, odd text": _columns(["", "a.b", "a\0", "\n", "__index_0"]),
    "surrogates in a row": column("\ud800\udc00", "\U00010000", 1),
    "surrogates in a row, name and attrs": _attrs(**{"\ud800\udc00": ["\ud83d\ude00", "\U0001f600"]}),
    "labels, surrogates in a row": _columns(_objects_index("\ud800\udc00", "\U00010000")),
    "labels, surrogate": _columns(_objects_index("\udc80", "x")),
    "labels, timestamps": _columns(_objects_index(pd.Timestamp("2020"), "a", dt.date(2020, 1, 1))),
    # indexes
    "index, range": F({"a": [1, 2, 3]}, index=pd.RangeIndex(5, -1, -2, name="r")),
    "index, integers": F({"a": [1, 2]}, index=[7, 7]),
    "index, text": F({"a": [1, 2]}, index=pd.Index(["x", "y"], name=0)),
    "index, days": F({"a": [1, 2, 3]}, index=DAYS),
    "index, month ends": F({"a": [1, 2]}, index=pd.date_range("2020-01-31", periods=2, freq="ME", tz="Europe/Berlin")),
    "index, hours over a change of time": F({"a": range(48)}, index=pd.date_range("2024-10-26", periods=48, freq="h", tz=BERLIN)),
    "index, days over a change of time": F({"a": range(5)}, index=pd.date_range("2024-10-25", periods=5, freq="D", tz=BERLIN)),
    "index, no frequency": F({"a": [1, 2, 3]}, index=pd.DatetimeIndex(DAYS, freq=None)),
    "index, timedeltas": F({"a": [1, 2]}, index=pd.timedelta_range("1D", periods=2)),
    "index, periods": F({"a": [1, 2]}, index=pd.period_range("2020", periods=2, freq="Y")),
    "index, intervals": F({"a": [1, 2]}, index=pd.interval_range(0, 2, name="i")),
    "index, categories": F({"a": [1, 2]}, index=pd.CategoricalIndex(["u", "v"], categories=["v", "u", "w"])),
    "index, multi": F({"a": [1, 2, 3]}, index=MULTI),
    "index, multi, unused levels": F({"a": [1, 2, 3]}, index=MULTI).iloc[:1],
    "index, multi, missing": F({"a": [1, 2]}, index=pd.MultiIndex.from_arrays([["a", None], [pd.NaT, DAYS[0]]])),
    "index, nullable": F({"a": [1, 2]}, index=pd.Index([1, None], dtype="Int64")),
    "index, mixed objects": F({"a": [1, 2, 3]}, index=_objects_index(1, "a", (1, 2))),
    "index, named NaN": F({"a": [1]}, index=pd.Index([1], name=np.nan)),
    # shapes
    "nothing": F(),
    "no rows": F({"a": np.array([], "i4"), "b": pd.array([], "str"), "c": cells(), "d": pd.Categorical([])}),
    "no rows, more": F({"a": np.array([], "M8[s]"), "b": pd.array([], "Int64"), "c": pd.array([], "boolean"), "d": np.array([], bool)}),
    "no columns": F(index=["a", "b"]),
    "no columns, range": F(index=pd.RangeIndex(5)),
    "no columns, multi": F(index=MULTI),
    "no rows, multi": F({"a": [1, 2, 3]}, index=MULTI).iloc[:0],
    "wide": F(np.arange(600).reshape(2, 300)),
    # what hangs on it
    "attrs": _attrs(source="x", nested={"a": (1, {2}), 3: None}),
    "attrs, not JSON": _attrs(when=pd.Timestamp("2020"), values={1, 2}, big=2**80, nothing=float("nan")),
    "no duplicate labels": _flags(),
    "attributes": _attributes(F({"a": [1]}), name="x", limits=(1, {2})),
    "series, attributes": _attributes(pd.Series([1]), unit="K"),
    # series and indexes
    "series": pd.Series([1, 2], name="s"),
    "series, unnamed": pd.Series([1.5, 2]),
    "series, named 0": pd.Series([1], name=0),
    "series, named by a tuple": pd.Series(["a"], name=("x", 1)),
    "series, categories": pd.Series(["a", "b"], dtype="category", index=DAYS[:2]),
    "series, objects": cells(1, "a", None),
    "series, empty": pd.Series([], dtype=object),
    "series, multi": pd.Series([1, 2, 3], index=MULTI),
    "alone: range": pd.RangeIndex(3, name="r"),
    "alone: days": DAYS,
    "alone: multi": MULTI,
    "alone: text": pd.Index(["a", None]),
    "alone: objects": _objects_index("a", 1, None, ("x",)),
    "alone: categories": pd.CategoricalIndex(["a", "b"]),
    "alone: empty": pd.Index([], dtype="f8"),
    "alone: intervals": pd.IntervalIndex.from_breaks([0, 1, 3], closed="neither"),
    "alone: periods": pd.period_range("2020", periods=3, freq="W-SUN", name="p"),
}

ARROW_ONLY: dict[str, Any] = {
    "arrow, lists": F({"x": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
    "arrow, struct": F({"x": pd.array([{"a": 1}, None], dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())])))}),
    "arrow, seconds": F({"x": pd.array([1, None], dtype=pd.ArrowDtype(pa.timestamp("s")))}),
    "arrow, durations": F({"x": pd.array([1, None], dtype=pd.ArrowDtype(pa.duration("ms")))}),
}
"""Exact as an Arrow file, declined by Parquet."""


def _cycle() -> F:
    inner: list[Any] = []
    inner.append(inner)
    return column(inner)


DECLINED: dict[str, Any] = {
    "objects of one's own": column(Plain()),
    "a class": column(Plain),
    "a function": column(len),
    "a subclass of str": column(Text("a")),
    "a subclass of str in a str column": F({"x": cells("a", Text("b"))}),
    "OrderedDict": column(OrderedDict(a=1)),
    "a frame in a frame": column(F({"a": [1]})),
    "an array in a cell": column(np.arange(3)),
    "a cycle": _cycle(),
    "attrs with an object": _attrs(x=Plain()),
    "attributes with an object": _attributes(F({"a": [1]}), x=Plain()),
    "a name of one's own": pd.Series([1], name=Plain),
    "a label of one's own": _columns(_objects_index(Plain, "a")),
    "a frequency without a name": F({"a": [1, 2]}, index=pd.DatetimeIndex(["2020-01-01", "2020-01-02"]).map(lambda x: x)),
}
DECLINED.pop("a frequency without a name")
