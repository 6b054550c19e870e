"""NumPy: arrays as ``.npy`` files over their own memory; scalars, masked arrays, recarrays, strings, and ml_dtypes."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal, cast

import numpy as np

from aioartifacts.errors import MissingDependencyError
from aioartifacts.materializers import glimpse
from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.numpy_npy import Array, decode, encode, header, shape_of
from aioartifacts.materializers.pickling_exactly import extra_of_masked
from aioartifacts.types import JSON

_SLICE = 1 << 14
"""Strings encoded or decoded at once, so that the interpreter lock is let go of in between."""
_SUMMARY_MAX = 1_000_000
"""Elements up to which the extremes of an array are worth showing."""
_VIEWS: Mapping[str, type[np.ndarray]] = {"recarray": np.recarray, "matrix": np.matrix, "memmap": np.memmap}
_UNSET = object()


class ArrayMaterializer(Materializer):
    """Exact ``numpy.ndarray``: shape, dtype, byte order and C or Fortran order; any other layout comes back in C order."""

    name = "numpy"
    format = "npy"
    safe = True
    packages = ("numpy",)

    def accepts(self, obj: object) -> bool:
        return type(obj) is np.ndarray and not _is_foreign(obj.dtype) and obj.dtype.kind != "T"

    def dump(self, obj: object) -> Dump:
        array = _array(obj)
        body, meta = encode(array)
        return Dump([Part("data.npy", body)], meta)

    def load(self, parts: Parts) -> object:
        return decode(parts, "data.npy", parts.meta)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return _summary(_array(obj))

    def preview(self, obj: object) -> Mapping[str, JSON]:
        array = _array(obj)
        if not array.ndim:
            return glimpse.text(str(array))
        if type(array) is np.ndarray and array.flags.c_contiguous:
            return glimpse.items(array.reshape(-1)[: glimpse.ITEMS].tolist(), array.size)
        # Not `flat[:n]`: NumPy 2.4 fails at that, now and then, for strings.
        first = (item.tolist() if isinstance(item, np.generic) else item for item in islice(array.flat, glimpse.ITEMS))
        return glimpse.items(list(first), array.size)


class ScalarMaterializer(ArrayMaterializer):
    """NumPy scalars such as ``numpy.float32(1)``: a zero-dimensional array on disk."""

    name = "numpy-scalar"
    format = "numpy-scalar"

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, np.generic) and type(obj) is obj.dtype.type and not _is_foreign(obj.dtype)

    def dump(self, obj: object) -> Dump:
        array: Array = np.asarray(obj)
        scalar = array[()]
        if type(scalar) is not type(obj) or (array.dtype.kind in "SU" and scalar != obj):
            raise Declined(f"{type(obj).__name__} {obj!r:.80} is not kept by an array of its dtype")
        body, meta = encode(array)
        return Dump([Part("data.npy", body)], meta)

    def load(self, parts: Parts) -> object:
        return decode(parts, "data.npy", parts.meta)[()]

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"dtype": str(np.asarray(obj).dtype)}


class ArrayViewMaterializer(ArrayMaterializer):
    """``recarray``, ``matrix`` and ``memmap``: the array, and which of the three it was.

    A memmap comes back as one that is detached from any file of its own.
    """

    name = "numpy-view"
    format = "numpy-view"

    def accepts(self, obj: object) -> bool:
        return type(obj) in _VIEWS.values() and not _is_foreign(obj.dtype)  # type: ignore[attr-defined]

    def dump(self, obj: object) -> Dump:
        array = _array(obj)
        if vars(obj).keys() - {"_mmap", "filename", "offset", "mode", "_getitem"}:
            raise Declined("it carries attributes of its own")
        plain = array.view(np.ndarray)
        record = plain.dtype.type is np.record
        if record:
            plain = plain.view(np.dtype((np.void, plain.dtype)))
        body, meta = encode(plain)
        kind = next(name for name, cls in _VIEWS.items() if cls is type(obj))
        return Dump([Part("data.npy", body)], {**meta, "class": kind, "record": record})

    def load(self, parts: Parts) -> object:
        cls = _VIEWS.get(str(parts.meta.get("class")))
        if cls is None:
            raise ValueError(f"unknown class of array {parts.meta.get('class')!r}")
        array = decode(parts, "data.npy", parts.meta)
        if cls is np.matrix and array.ndim != 2:
            raise ValueError("a matrix has two dimensions")
        if parts.meta.get("record"):
            array = array.view(np.dtype((np.record, array.dtype)))
        return array.view(cls)


class MaskedArrayMaterializer(ArrayMaterializer):
    """Exact ``numpy.ma.MaskedArray``: data (also under the mask), mask, fill value, and whether the mask is hard."""

    name = "numpy-masked"
    format = "numpy-masked"

    def accepts(self, obj: object) -> bool:
        return type(obj) is np.ma.MaskedArray and not _is_foreign(obj.dtype)

    def dump(self, obj: object) -> Dump:
        masked: Any = obj
        if masked.baseclass is not np.ndarray or masked._optinfo:
            raise Declined("it masks a subclass of ndarray, or carries extra information")
        attributes = extra_of_masked(masked)
        if attributes:
            raise Declined(f"it carries attributes of its own: {next(iter(attributes))!r:.80}")
        body, meta = encode(masked.data)
        parts = [Part("data.npy", body)]
        found: dict[str, JSON] = {"data": meta, "hard": bool(masked.hardmask)}
        if masked.mask is not np.ma.nomask:
            mask_body, found["mask"] = encode(masked.mask)
            parts.append(Part("mask.npy", mask_body))
        if masked._fill_value is not None:
            fill_body, found["fill"] = encode(np.asarray(masked._fill_value))
            parts.append(Part("fill.npy", fill_body))
        return Dump(parts, found)

    def load(self, parts: Parts) -> object:
        meta = parts.meta
        data = decode(parts, "data.npy", _mapping(meta.get("data")))
        mask: Any = np.ma.nomask
        if "mask.npy" in parts.names:
            mask = decode(parts, "mask.npy", _mapping(meta.get("mask")))
            if mask.shape != data.shape or mask.dtype != np.ma.make_mask_descr(data.dtype):
                raise ValueError("the mask does not fit the data")
        masked: Any = np.ma.MaskedArray(data, mask=mask, copy=False, hard_mask=bool(meta.get("hard")))
        if "fill.npy" in parts.names:
            masked.fill_value = decode(parts, "fill.npy", _mapping(meta.get("fill")))[()]
        return masked


class MlDtypesMaterializer(ArrayMaterializer):
    """Arrays of the ``ml_dtypes`` package (bfloat16, float8…, int4…): their bits as unsigned integers, and the dtype's name."""

    name = "numpy-ml"
    format = "numpy-ml"

    def accepts(self, obj: object) -> bool:
        return type(obj) is np.ndarray and _is_foreign(obj.dtype)

    def dump(self, obj: object) -> Dump:
        array = _array(obj)
        bits = np.dtype(f"u{array.itemsize}")
        if "ml_dtypes" not in sys.modules or _ml_dtype(array.dtype.name) != array.dtype:
            raise Declined(f"dtype {array.dtype} is not one of ml_dtypes under its own name")
        body, meta = encode(array.view(bits))
        return Dump([Part("data.npy", body)], {**meta, "ml_dtype": array.dtype.name})

    def load(self, parts: Parts) -> object:
        dtype = _ml_dtype(parts.meta.get("ml_dtype"))
        bits = decode(parts, "data.npy", {})
        if bits.dtype.kind != "u" or bits.itemsize != dtype.itemsize:
            raise ValueError(f"{bits.dtype} cannot hold the bits of {dtype}")
        return bits.view(dtype)

    def check_loadable(self, type: str, meta: Mapping[str, JSON], *, trusted: bool) -> None:
        _ml_dtype(meta.get("ml_dtype"))


class StringArrayMaterializer(ArrayMaterializer):
    """Arrays of ``StringDType``: lengths in bytes (-1 where missing) as one array, the text as one run of UTF-8."""

    name = "numpy-string"
    format = "numpy-string"

    def accepts(self, obj: object) -> bool:
        return type(obj) is np.ndarray and obj.dtype.kind == "T"

    def dump(self, obj: object) -> Dump:
        array = _array(obj)
        order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        meta: dict[str, JSON] = {"order": order, "shape": list(array.shape), "coerce": array.dtype.coerce}
        missing: Any = getattr(array.dtype, "na_object", _UNSET)
        if missing is None or type(missing) is str:
            meta["missing"] = missing
        elif type(missing) is float and math.isnan(missing):
            meta["missing"] = {"nan": True}
        elif missing is not _UNSET:
            raise Declined(f"the missing value of the array, {missing!r:.80}, is not None, nan or a str")
        flat = array.ravel(order)

        def lengths(sink: Sink) -> None:
            sink.write(header("<i8", (flat.size,), False))
            for cells in _encoded(flat, missing):
                sink.write(np.array([-1 if cell is None else len(cell) for cell in cells], "<i8").tobytes())

        def text(sink: Sink) -> None:
            for cells in _encoded(flat, missing):
                sink.write(b"".join(cell for cell in cells if cell))

        return Dump([Part("lengths.npy", Producer(lengths)), Part("text.txt", Producer(text))], meta)

    def load(self, parts: Parts) -> object:
        meta = parts.meta
        shape = shape_of(meta.get("shape"))
        lengths = decode(parts, "lengths.npy", {})
        text = parts.read("text.txt")
        if lengths.dtype != np.dtype("<i8") or lengths.shape != (math.prod(shape),) or (lengths < -1).any():
            raise ValueError("the lengths do not fit the shape")
        keywords: dict[str, Any] = {"coerce": meta.get("coerce") is True}
        missing: Any = None
        if "missing" in meta:
            missing = math.nan if isinstance(meta["missing"], Mapping) else meta["missing"]
            if not (missing is None or isinstance(missing, str | float)):
                raise ValueError("the missing value is neither None, nan nor a str")
            keywords["na_object"] = missing
        array = np.empty(lengths.shape, np.dtypes.StringDType(**keywords))
        start = 0
        for first in range(0, len(lengths), _SLICE):
            cells: list[object] = []
            for length in lengths[first : first + _SLICE].tolist():
                if length < 0 and "missing" not in meta:
                    raise ValueError("a string is missing where none can be")
                cells.append(missing if length < 0 else str(text[start : start + length], "utf-8"))
                start += max(length, 0)
            array[first : first + _SLICE] = cells
        if start != text.nbytes:
            raise ValueError("the text is not as long as its strings")
        return array.reshape(shape, order="F" if meta.get("order") == "F" else "C")

    def summary(self, obj: object) -> Mapping[str, JSON]:
        array = _array(obj)
        return {"shape": list(array.shape), "dtype": str(array.dtype)}


def _array(obj: object) -> Array:
    return cast("Array", obj)  # `accepts` has looked


def _mapping(found: JSON) -> Mapping[str, JSON]:
    return found if isinstance(found, Mapping) else {}


def _is_foreign(dtype: np.dtype[Any]) -> bool:
    """Whether another package has registered the dtype: ``.npy`` would call it void, or something else altogether."""
    return dtype.fields is None and dtype.subdtype is None and dtype.num >= 256 and dtype.kind != "T"


def _ml_dtype(name: object) -> np.dtype[Any]:
    try:
        import ml_dtypes  # an optional package, only needed for arrays that were made with it
    except ImportError as error:
        raise MissingDependencyError(
            f"an array of {name!r:.80} needs the package ml_dtypes: {error}; pip install 'ml_dtypes'", install="ml_dtypes"
        ) from error
    scalar = getattr(ml_dtypes, name, None) if isinstance(name, str) else None
    if not (isinstance(scalar, type) and issubclass(scalar, np.generic)):
        raise ValueError(f"{name!r:.80} is not a dtype of the ml_dtypes {ml_dtypes.__version__} installed here")
    return np.dtype(scalar)


def _encoded(flat: Array, missing: object) -> Iterator[list[bytes | None]]:
    """The cells in slices, as UTF-8 or None."""
    for first in range(0, flat.size, _SLICE):
        cells = flat[first : first + _SLICE].tolist()
        yield [None if _is_missing(cell, missing) else cell.encode() for cell in cells]


def _is_missing(cell: object, missing: object) -> bool:
    return cell is missing and type(missing) is not str


def _summary(array: Array) -> Mapping[str, JSON]:
    found: dict[str, JSON] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if array.dtype.kind in "iuf" and 0 < array.size <= _SUMMARY_MAX:
        with np.errstate(all="ignore"):
            low, high = np.asarray(array).min().item(), np.asarray(array).max().item()
        if math.isfinite(low) and math.isfinite(high):
            found["min"], found["max"] = _plain(low), _plain(high)
    return found


def _plain(number: Any) -> int | float:
    return number if isinstance(number, int) else float(number)
