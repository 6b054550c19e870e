"""SciPy sparse arrays and matrices: the arrays they are made of, each as a ``.npy`` part over its own memory.

``lil`` and ``dok`` are no arrays inside; they are written as coordinates and values, ``dok`` in the order of its keys.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts
from aioartifacts.materializers.numpy_npy import Array, decode, encode, shape_of
from aioartifacts.types import JSON

_FORMATS: Mapping[str, tuple[str, ...]] = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "coords"),
    "dia": ("data", "offsets"),
    "lil": ("data", "coords"),
    "dok": ("data", "coords"),
}
_CLASSES: Mapping[str, Any] = {
    f"{name}_{kind}": getattr(sp, f"{name}_{kind}") for name in _FORMATS for kind in ("array", "matrix")
}
_COMPRESSED = ("csr", "csc", "bsr")
_FLAGS = {"has_sorted_indices": "_has_sorted_indices", "has_canonical_format": "_has_canonical_format"}
"""What a compressed format may know of itself already; attributes, and where they are kept."""
_MAX_LIL_ROWS_FACTOR = 64
"""A ``lil`` takes memory for every row; so many times the size of its parts is what a stranger's may take."""


class SparseMatrixMaterializer(Materializer):
    """Exact sparse arrays and matrices of all seven formats: values, also explicit zeros and duplicates, in their order."""

    name = "scipy"
    format = "scipy-sparse"
    safe = True
    packages = ("scipy", "numpy")

    def accepts(self, obj: object) -> bool:
        return _CLASSES.get(type(obj).__name__) is type(obj)

    def dump(self, obj: object) -> Dump:
        sparse: Any = obj
        _check_state(sparse)
        meta: dict[str, JSON] = {"class": type(sparse).__name__, "shape": [operator.index(n) for n in sparse.shape]}
        parts: list[Part] = []
        arrays: dict[str, JSON] = {}
        for name, array in _taken_apart(sparse).items():
            body, arrays[name] = encode(array)
            parts.append(Part(f"{name}.npy", body))
        meta["arrays"] = arrays
        if sparse.format in _COMPRESSED:
            flags = {name: getattr(sparse, kept, None) for name, kept in _FLAGS.items()}
            meta["flags"] = {name: bool(flag) for name, flag in flags.items() if flag is not None}
        if sparse.format == "coo":
            meta["flags"] = {"has_canonical_format": bool(sparse.has_canonical_format)}
        if sparse.maxprint != type(sparse)((1, 1)).maxprint:
            meta["maxprint"] = operator.index(sparse.maxprint)
        return Dump(parts, meta)

    def load(self, parts: Parts) -> object:
        meta: Any = parts.meta
        cls = _CLASSES.get(str(meta.get("class")))
        if cls is None:
            raise ValueError(f"unknown class of sparse array {meta.get('class')!r:.80}")
        shape = shape_of(meta["shape"])
        arrays = {name: decode(parts, f"{name}.npy", meta["arrays"][name]) for name in meta["arrays"]}
        flags = meta.get("flags", {})
        sparse = _put_together(cls, shape, arrays, parts)
        if not parts.trusted and sparse.format in _COMPRESSED:
            copy(sparse).check_format(full_check=True)  # a copy, because it changes byte orders and types of indices
            # A wrong flag makes code in C run past the end, so a stranger's are found out anew.
            flags = {}
        for name, flag in flags.items():
            if name in _FLAGS:
                setattr(sparse, name, flag is True)
        if type(meta.get("maxprint")) is int:
            sparse.maxprint = meta["maxprint"]
        return sparse

    def summary(self, obj: object) -> Mapping[str, JSON]:
        sparse: Any = obj
        return {
            "class": type(sparse).__name__,
            "shape": [operator.index(n) for n in sparse.shape],
            "dtype": str(sparse.dtype),
            "stored": int(sparse.nnz),
        }


def _check_state(sparse: Any) -> None:
    known = {"_shape", "maxprint", "data", "indices", "indptr", "coords", "offsets", "rows", "_dict", "dtype"}
    beyond = vars(sparse).keys() - known - set(_FLAGS) - set(_FLAGS.values())
    if beyond:
        raise Declined(f"it carries an attribute of its own: {sorted(beyond)[0]!r}")


def _taken_apart(sparse: Any) -> dict[str, Array]:
    if sparse.format == "lil":
        lengths = np.fromiter(map(len, sparse.rows), np.int64, len(sparse.rows))
        columns = np.concatenate([np.empty(0, np.int64), *(np.asarray(row, np.int64) for row in sparse.rows if row)])
        data = np.empty(len(columns), sparse.dtype)
        start = 0
        for values in sparse.data:
            data[start : start + len(values)] = values
            start += len(values)
        if start != len(columns):
            raise Declined("its rows and its data do not agree")
        arrays = {"data": data, "coords": np.stack([np.repeat(np.arange(len(lengths)), lengths), columns])}
        _check_same_lists(sparse, arrays)
        return arrays
    if sparse.format == "dok":
        keys = list(sparse._dict)
        coords = np.array(keys, np.int64).reshape(len(keys), len(sparse.shape)).T
        data = np.fromiter(sparse._dict.values(), sparse.dtype, len(keys))
        return {"data": data, "coords": np.ascontiguousarray(coords)}
    if sparse.format == "coo":
        return {"data": sparse.data, **{f"coords{n}": array for n, array in enumerate(sparse.coords)}}
    return {name: getattr(sparse, name) for name in _FORMATS[sparse.format]}


def _put_together(cls: Any, shape: tuple[int, ...], arrays: Mapping[str, Array], parts: Parts) -> Any:
    name = cls.__name__.partition("_")[0]
    data = arrays["data"]
    if name == "coo":
        coords = tuple(arrays[f"coords{n}"] for n in range(len(shape)))
        _check_coords(coords, data, shape)
        sparse = _empty(cls, shape, data.dtype)
        sparse.data, sparse.coords = data, coords
        sparse.has_canonical_format = parts.meta.get("flags") == {"has_canonical_format": True} and parts.trusted
        return sparse
    if name in ("lil", "dok"):
        coords = tuple(arrays["coords"])
        _check_coords(coords, data, shape)
        return _lil(cls, shape, coords, data, parts) if name == "lil" else _dok(cls, shape, coords, data)
    fields = [arrays[field] for field in _FORMATS[name]]
    if any(array.ndim != 1 or array.dtype.kind != "i" for array in fields[1:]):
        raise ValueError("indices are of one dimension, and integers")
    if name == "dia":
        if data.ndim != 2 or data.shape[0] != len(fields[1]) or len(set(fields[1].tolist())) != len(fields[1]):
            raise ValueError("the diagonals do not fit their offsets")
    elif name == "bsr":
        if data.ndim != 3 or 0 in data.shape[1:] or any(n % m for n, m in zip(shape, data.shape[1:], strict=True)):
            raise ValueError("the blocks do not fit the shape")
    elif data.ndim != 1:
        raise ValueError("the values are not of one dimension")
    if len(shape) != 2 and (len(shape) != 1 or cls is not sp.csr_array):
        raise ValueError(f"a {cls.__name__} cannot have {len(shape)} dimensions")
    if name in _COMPRESSED:
        major = (1, *shape)[-1 if name == "csc" else -2]
        rows = major // data.shape[1] if name == "bsr" else major
        if len(fields[2]) != rows + 1 or len(fields[1]) != len(data):
            raise ValueError("the arrays do not fit the shape")
    # Not through the constructor: it would choose the type of the indices anew.
    sparse = cls.__new__(cls)
    _init(sparse, shape)
    for field, array in zip(_FORMATS[name], fields, strict=True):
        setattr(sparse, field, array)
    return sparse


def _init(sparse: Any, shape: tuple[int, ...]) -> None:
    fresh = type(sparse)((1, 1))
    vars(sparse).update({"_shape": shape, "maxprint": fresh.maxprint})


def _empty(cls: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if cls.__name__.endswith("matrix") and len(shape) != 2:
        raise ValueError("a matrix has two dimensions")
    return cls(shape, dtype=dtype)


def _check_coords(coords: Sequence[Array], data: Array, shape: tuple[int, ...]) -> None:
    if data.ndim != 1 or len(coords) != len(shape):
        raise ValueError("the coordinates do not fit the shape")
    for array, length in zip(coords, shape, strict=True):
        if array.dtype.kind != "i" or array.shape != data.shape:
            raise ValueError("the coordinates do not fit the values")
        if len(array) and (array.min() < 0 or array.max() >= length):
            raise ValueError("a coordinate is outside of the shape")


def _lil(cls: Any, shape: tuple[int, ...], coords: Sequence[Array], data: Array, parts: Parts) -> Any:
    if len(shape) != 2:
        raise ValueError("a lil has two dimensions")
    if not parts.trusted and shape[0] > _MAX_LIL_ROWS_FACTOR * sum(map(parts.size, parts.names)):
        raise ValueError(f"a lil of {shape[0]} rows would take far more memory than the artifact has bytes")
    sparse = cls(shape, dtype=data.dtype)
    rows, columns = coords
    bounds = np.searchsorted(rows, np.arange(shape[0] + 1)).tolist()
    if (rows[1:] < rows[:-1]).any():
        raise ValueError("the rows of a lil are not in order")
    for row, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            sparse.rows[row] = columns[start:stop].tolist()
            sparse.data[row] = data[start:stop].tolist()
    return sparse


def _check_same_lists(sparse: Any, arrays: Mapping[str, Array]) -> None:
    """Values in the lists of a lil may be of any type; what its dtype does not hold is declined."""
    start = 0
    for values in sparse.data:
        kept = arrays["data"][start : start + len(values)].tolist()
        start += len(values)
        if any(a != b and (a == a or b == b) for a, b in zip(kept, values, strict=True)):
            raise Declined(f"its lists hold values that its dtype {sparse.dtype} does not")


def _dok(cls: Any, shape: tuple[int, ...], coords: Sequence[Array], data: Array) -> Any:
    sparse = _empty(cls, shape, data.dtype)
    keys = zip(*(array.tolist() for array in coords), strict=True) if len(shape) > 1 else coords[0].tolist()
    sparse._dict = dict(zip(keys, data, strict=True))
    if len(sparse._dict) != len(data):
        raise ValueError("a key appears twice")
    return sparse
