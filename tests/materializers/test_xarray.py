"""xarray datasets and data arrays come back identical, with encodings, order and indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from parts import load, roundtrip, written

from aioartifacts.errors import EncodeError
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.xarray import XarrayMaterializer

XR = XarrayMaterializer()


def weather() -> Any:
    dataset = xr.Dataset(
        {"t": (("x", "time"), np.array([[1, np.nan, 3], [4, 5, 6]], "f4")), "n": ((), np.int16(5))},
        coords={"time": pd.date_range("2020", periods=3), "x": ["a", "bc"], "s": 5, "label": ("x", [1, 2])},
        attrs={
            "units": "K",
            "range": np.array([1.5, 2.5], "f4"),
            "nested": {"a": (1, [2.0])},
            "nan": float("nan"),
            "1": np.int8(3),
        },
    )
    dataset.t.encoding = {
        "dtype": np.dtype("i2"),
        "_FillValue": np.int16(-1),
        "chunksizes": (1, 3),
        "zlib": True,
        "text": str,
    }
    dataset.encoding = {"unlimited_dims": {"time"}, "source": "a.nc"}
    dataset.time.attrs["long_name"] = "ä"
    return dataset


def without_index() -> Any:
    return xr.Dataset({"v": ("x", [1, 2])}, xr.Coordinates({"x": xr.Variable("x", [10, 20])}, indexes={}))


OBJECTS: dict[str, Callable[[], Any]] = {
    "empty": xr.Dataset,
    "weather": weather,
    "data array": lambda: weather()["t"],
    "array without a name": lambda: xr.DataArray(np.arange(6).reshape(2, 3)),
    "no dimensions": lambda: xr.DataArray(np.datetime64("NaT", "ns"), name=("a", 1)),
    "coordinate without an index": without_index,
    "index of another coordinate": lambda: weather().set_xindex("label"),
    "from pandas": lambda: pd.DataFrame({"v": [1.5, None]}, index=pd.Index(["a", "b"], name="k")).to_xarray(),
    "objects": lambda: xr.Dataset({"o": ("x", np.array(["a", None], object))}, {"x": np.array(["k", "l"], object)}),
    "range": lambda: xr.Dataset(coords={"x": pd.RangeIndex(2, 20, 3)}),
    "timedeltas": lambda: xr.Dataset(coords={"d": pd.timedelta_range("1h", periods=3)}),
    "times without a frequency": lambda: xr.Dataset(
        coords={"t": pd.DatetimeIndex(["2020-01-01", "2020-01-05", "NaT"])}
    ),
    "seconds": lambda: xr.DataArray(np.array(["2020-01-01", "NaT"], "M8[s]"), dims="t"),
    "small floats": lambda: xr.Dataset({"c": ("x", np.array([1j, 2], "c8"))}, {"x": np.array([0.5, 1.5], "f4")}),
    "unsorted, twice": lambda: xr.Dataset(coords={"x": [3, 1, 1]}),
    "order": lambda: xr.Dataset({"b": ("x", [1]), "x": ("x", [2]), "a": ("y", [3.0, 4.0])}, {"s": 1})[
        ["s", "b", "a", "x"]
    ],
    "fortran": lambda: xr.DataArray(np.asfortranarray(np.arange(6.0).reshape(2, 3)), dims=("a", "b")),
    "bytes and bools": lambda: xr.Dataset({"s": ("x", np.array([b"ab", b""])), "b": ("x", [True, False])}),
}


def variables(known: Any) -> dict[Any, Any]:
    found = dict(known.coords.variables) if isinstance(known, xr.DataArray) else dict(known.variables)
    return {**found, "\0own": known.variable} if isinstance(known, xr.DataArray) else found


@pytest.mark.parametrize("name", OBJECTS)
def test_it_is_identical(name: str) -> None:
    known = OBJECTS[name]()
    assert XR.accepts(known)
    back = roundtrip(XR, known, trusted=False)
    assert type(back) is type(known)
    xr.testing.assert_identical(back, known)
    assert list(variables(back)) == list(variables(known))
    assert list(back.coords) == list(known.coords)
    assert dict(back.sizes) == dict(known.sizes)
    assert back.encoding == known.encoding
    for key, variable in variables(known).items():
        assert variables(back)[key].dtype == variable.dtype
        assert variables(back)[key].encoding == variable.encoding
        assert repr(variables(back)[key].values.tolist()) == repr(variable.values.tolist())
    assert list(back.xindexes) == list(known.xindexes)
    for key, index in known.indexes.items():
        assert type(back.indexes[key]) is type(index)
        assert back.indexes[key].dtype == index.dtype
        assert back.indexes[key].identical(index)
        assert getattr(back.indexes[key], "freq", None) == getattr(index, "freq", None)


def test_types_in_attributes_and_encodings_are_kept() -> None:
    back, known = roundtrip(XR, weather()), weather()
    for key, value in known.attrs.items():
        assert type(back.attrs[key]) is type(value)
    assert back.attrs["range"].dtype == np.float32
    assert {key: type(value) for key, value in back.t.encoding.items()} == {
        key: type(value) for key, value in known.t.encoding.items()
    }


def test_selection_works_after_loading() -> None:
    back = roundtrip(XR, weather())
    assert back.sel(x="bc", time="2020-01-02").t.item() == 5


def test_arrays_are_not_copied() -> None:
    array = np.arange(1000.0)
    body: Any = next(part.body for part in XR.dump(xr.DataArray(array)).parts if part.name == "array-0.npy")
    assert np.shares_memory(np.frombuffer(body.buffers[1], "u1"), array)


def dask_like() -> Any:
    class Plan(np.lib.mixins.NDArrayOperatorsMixin):
        shape, ndim, dtype, chunks = (2,), 1, np.dtype("f8"), ((2,),)

        def __array_function__(self, *args: Any) -> Any:
            raise NotImplementedError

        def __array_ufunc__(self, *args: Any) -> Any:
            raise NotImplementedError

    return xr.DataArray(xr.Variable("x", Plan(), fastpath=True))


def test_plan_is_refused_with_a_hint() -> None:
    with pytest.raises(EncodeError, match=r"compute\(\)"):
        XR.dump(dask_like())


@pytest.mark.parametrize(
    "make",
    [
        lambda: xr.Dataset({"v": ("x", [1, 2])}, {"x": ("x", [1, 2]), "y": ("x", [3, 4])}).set_index(z=["x", "y"]),
        lambda: xr.Dataset(coords={"c": pd.CategoricalIndex(["a", "b"])}),
        lambda: xr.Dataset(coords={"t": pd.DatetimeIndex(["2020"], tz="UTC")}),
        lambda: xr.Dataset(attrs={"x": object()}),
        lambda: xr.Dataset({"o": ("x", np.array([object()], object))}),
    ],
    ids=["multi-index", "categories", "time zone", "attribute", "object"],
)
def test_what_cannot_be_held_is_declined(make: Callable[[], Any]) -> None:
    with pytest.raises(Declined):
        XR.dump(make())


def test_others_are_not_accepted() -> None:
    class Mine(xr.Dataset):
        __slots__ = ()

    for value in (Mine(), xr.Variable("x", [1]), xr.DataTree()):
        assert not XR.accepts(value)


VALID = written(XR.dump(xr.DataArray([1, 2], dims="x", coords={"x": [5, 6]})))
META = dict(XR.dump(xr.DataArray([1, 2], dims="x", coords={"x": [5, 6]})).meta)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"DataArray"', b'"Variable"'),
        (b'"number":0', b'"number":9'),
        (b'"number":0', b'"number":"x"'),
        (b'"shape":[2]', b'"shape":[3]'),
        (b'"class":"Index"', b'"class":"Index","range":[0,1000000000000,1]'),
        (b'"dtype":"<i8"', b'"dtype":"nonsense"'),
        (b'"indexes":[["x"', b'"indexes":[["y"'),
    ],
)
def test_hostile_text_is_refused(old: bytes, new: bytes) -> None:
    assert old in VALID["data.json"]
    with pytest.raises((ValueError, TypeError, LookupError)):
        load(XR, {**VALID, "data.json": VALID["data.json"].replace(old, new)}, META, trusted=False)


def test_summary_tells_sizes_and_variables() -> None:
    summary: Any = XR.summary(weather())
    assert summary["sizes"] == {"x": 2, "time": 3}
    assert ["t", "float32", ["x", "time"]] in summary["variables"]
