"""xarray datasets and data arrays: one ``.npy`` part for each variable, and all else as typed JSON.

Everything that ``identical`` compares is kept, and dtypes, encodings, the order of variables, which coordinates have an index, and
the kind of index. NetCDF and zarr would each change some of it (names, attributes, unsigned or complex numbers, times). Data are
read into memory for it: what was opened from a file is loaded, what is a plan (dask) is refused. Coordinates of objects are kept when typed
JSON can hold them; multi-indexes and extension arrays are declined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.indexes import PandasIndex

from aioartifacts.errors import EncodeError
from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.numpy_npy import Array, add_arrays, read_arrays, shape_of
from aioartifacts.materializers.typed_json import decode, encode
from aioartifacts.types import JSON

_VARIABLES_MAX = 4096
"""Characters of a summary that go to variables."""
_MARK = "\0"
"""Key of a dict that stands for something of NumPy among attributes."""


class XarrayMaterializer(Materializer):
    """Exact ``Dataset`` and ``DataArray``."""

    name = "xarray"
    format = "xarray"
    safe = True
    packages = ("xarray", "numpy", "pandas")

    def accepts(self, obj: object) -> bool:
        return type(obj) in (xr.Dataset, xr.DataArray)

    def dump(self, obj: object) -> Dump:
        known: Any = obj
        arrays: list[Array] = []
        content = _taken_apart(known, arrays)
        dump = add_arrays(encode(content, plain=False), arrays)
        _check(_put_together(content, arrays), known)
        return dump

    def load(self, parts: Parts) -> object:
        arrays, content = read_arrays(parts), decode(parts)
        if type(content) is not dict or content.get("kind") not in ("Dataset", "DataArray"):
            raise ValueError("neither a Dataset nor a DataArray")
        return _put_together(content, arrays)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        known: Any = obj
        found: dict[str, JSON] = {"sizes": {str(name): int(size) for name, size in known.sizes.items()}}
        if isinstance(known, xr.DataArray):
            found["dtype"] = str(known.dtype)
        variables = known.variables if isinstance(known, xr.Dataset) else known.coords
        rows: list[JSON] = []
        left = _VARIABLES_MAX
        for name, variable in variables.items():
            row = [str(name)[:200], str(variable.dtype), [str(dim)[:200] for dim in variable.dims]]
            left -= len(str(row))
            if left < 0:
                break
            rows.append(row)
        return {**found, "variables": rows}


def _taken_apart(known: Any, arrays: list[Array]) -> dict[str, Any]:
    """Everything but the arrays, which are added to *arrays*."""
    variables = known._coords if isinstance(known, xr.DataArray) else known.variables
    content: dict[str, Any] = {
        "kind": type(known).__name__,
        "variables": [[name, *_variable(variable, arrays)] for name, variable in variables.items()],
        "indexes": [[name, *_index(index)] for name, index in known.xindexes.items()],
    }
    if isinstance(known, xr.DataArray):
        return {**content, "name": known.name, "own": _variable(known.variable, arrays)}
    return {
        **content,
        "coords": [name for name in known.variables if name in known.coords],
        "attrs": _marked(known._attrs or {}, arrays),
        "encoding": _marked(known._encoding or {}, arrays),
    }


def _put_together(content: dict[str, Any], arrays: list[Array]) -> Any:
    variables = {name: _made(row, arrays) for name, *row in content["variables"]}
    indexes = {name: _made_index(row, variables[name]) for name, *row in content["indexes"]}
    for name, index in indexes.items():
        variables[name] = index.create_variables({name: variables[name]})[name]
    if content["kind"] == "DataArray":
        own = _made(content["own"], arrays)
        array = xr.DataArray(
            own, coords=xr.Coordinates(variables, indexes=indexes), dims=own.dims, name=content["name"]
        )
        array.encoding = own.encoding
        return array
    coords = {name: variables[name] for name in content["coords"]}
    data = {name: variable for name, variable in variables.items() if name not in coords}
    dataset = xr.Dataset(data, xr.Coordinates(coords, indexes=indexes), _unmarked(content["attrs"], arrays))
    dataset = dataset[list(variables)]  # for their order
    dataset.encoding = _unmarked(content["encoding"], arrays)
    return dataset


def _check(back: Any, known: Any) -> None:
    """Raises `Declined` when *back* is not what was to be saved."""
    here, there = ((one._coords if isinstance(one, xr.DataArray) else one.variables) for one in (back, known))
    if list(here) != list(there) or list(back.xindexes) != list(known.xindexes) or not back.identical(known):
        raise Declined("it would not be identical")
    for name, variable in there.items():
        if here[name].dtype != variable.dtype or type(here[name]) is not type(variable):
            raise Declined(f"the variable {name!r:.80} would change its type")
    for name, index in known.xindexes.items():
        one, other = back.xindexes[name].index, index.index
        if type(one) is not type(other) or one.dtype != other.dtype or not one.identical(other):
            raise Declined(f"the index {name!r:.80} would change")
        if back.xindexes[name].dim != index.dim or getattr(one, "freq", None) != getattr(other, "freq", None):
            raise Declined(f"the index {name!r:.80} would change")


def _variable(variable: Any, arrays: list[Array]) -> list[Any]:
    """Dimensions, where the data are, attributes and encoding."""
    if variable.chunks is not None:
        raise EncodeError(
            "its data are not computed yet (dask): save what compute() gives; or, the plan, with format='pickle'"
        )
    data = variable._data
    if type(data) is not np.ndarray and not type(data).__module__.startswith("xarray.core.indexing"):
        raise Declined(f"its data are a {type(data).__qualname__}, and no array of NumPy")
    if not isinstance(variable.dtype, np.dtype):
        raise Declined(f"its data are of the dtype {variable.dtype}, and not of NumPy's")
    values = variable.values
    where: dict[str, Any] = {"shape": list(values.shape)}
    if values.dtype == object:
        where["objects"] = values.ravel().tolist()
    else:
        where["number"] = len(arrays)
        arrays.append(values)
    return [
        list(variable.dims),
        where,
        _marked(variable._attrs or {}, arrays),
        _marked(variable._encoding or {}, arrays),
    ]


def _made(row: list[Any], arrays: list[Array]) -> Any:
    dims, where, attrs, encoding = row
    shape = shape_of(where["shape"])
    if "objects" in where:
        values = np.empty(len(where["objects"]), object)
        values[:] = where["objects"]
        values = values.reshape(shape)
    else:
        values = arrays[where["number"]]
        if values.shape != shape:
            raise ValueError("an array has another shape than its variable")
    return xr.Variable(dims, values, _unmarked(attrs, arrays), _unmarked(encoding, arrays))


def _index(index: Any) -> list[Any]:
    """Dimension, class, name and type of a pandas index, whose values are those of its coordinate."""
    if type(index) is not PandasIndex:
        raise Declined(f"it has a {type(index).__qualname__}")
    inner: Any = index.index
    found: dict[str, Any] = {"name": inner.name, "class": type(inner).__name__, "coord": index.coord_dtype.str}
    if type(inner) is pd.RangeIndex:
        found["range"] = [inner.start, inner.stop, inner.step]
    elif type(inner) in (pd.DatetimeIndex, pd.TimedeltaIndex):
        found["freq"] = None if inner.freq is None else inner.freqstr
    elif type(inner) is not pd.Index:
        raise Declined(f"it has a {type(inner).__qualname__}")
    found["dtype"] = "str" if str(inner.dtype) == "str" else getattr(inner.dtype, "str", None)
    if found["dtype"] is None:
        raise Declined(f"it has an index of the dtype {inner.dtype}")
    return [index.dim, found]


def _made_index(row: list[Any], variable: Any) -> PandasIndex:
    dim, found = row
    made: Any
    name = found["name"]
    if "range" in found:
        start, stop, step = found["range"]
        made = pd.RangeIndex(start, stop, step, name=name)
    elif found["class"] == "DatetimeIndex":
        made = pd.DatetimeIndex(variable.values, name=name, freq=found["freq"])
    elif found["class"] == "TimedeltaIndex":
        made = pd.TimedeltaIndex(variable.values, name=name, freq=found["freq"])
    else:
        dtype = found["dtype"]
        made = pd.Index(variable.values, dtype=dtype if dtype == "str" else np.dtype(dtype), name=name)
    if len(made) != variable.size:
        raise ValueError("an index has another length than its coordinate")
    return PandasIndex(made, dim, coord_dtype=np.dtype(found["coord"]))


def _marked(value: Any, arrays: list[Array]) -> Any:
    """Attributes, with NumPy's values in a form that typed JSON can hold."""
    if type(value) is dict:
        if _MARK in value:
            raise Declined("it has an attribute whose name is a mark of ours")
        return {key: _marked(item, arrays) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)(_marked(item, arrays) for item in value)
    if type(value) is np.ndarray or isinstance(value, np.generic):
        arrays.append(np.asarray(value))
        return {_MARK: "array" if type(value) is np.ndarray else "scalar", "number": len(arrays) - 1}
    if isinstance(value, np.dtype):
        if value.fields is not None or value.hasobject or np.dtype(value.str) != value:
            if value != np.dtype(object):
                raise Declined(f"an attribute is the dtype {value}")
            return {_MARK: "object"}
        return {_MARK: "dtype", "is": value.str}
    if value is str:  # the dtype of text in encodings
        return {_MARK: "str"}
    return value


def _unmarked(value: Any, arrays: list[Array]) -> Any:
    if type(value) is list or type(value) is tuple:
        return type(value)(_unmarked(item, arrays) for item in value)
    if type(value) is not dict:
        return value
    kind = value.get(_MARK)
    if kind is None:
        return {key: _unmarked(item, arrays) for key, item in value.items()}
    if kind == "dtype":
        return np.dtype(value["is"])
    if kind in ("str", "object"):
        return str if kind == "str" else np.dtype(object)
    array = arrays[value["number"]]
    return array if kind == "array" else array[()]
