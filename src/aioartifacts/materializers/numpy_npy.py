"""The ``.npy`` format: header and dtype, both ways; the array's own memory in between is never copied.

The files are what ``numpy.save`` writes (NEP 1), so anything that reads ``.npy`` reads them. Where NumPy's header does not carry a
dtype exactly (titles, alignment, fields that overlap), the exact one is described in the artifact's meta. Objects in
an array are never pickled: such arrays are declined, and such files refused.
"""

from __future__ import annotations

import ast
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from aioartifacts.materializers.base import Body, Buffers, Declined, Dump, Part, Parts, Producer, Sink
from aioartifacts.types import JSON

_MAGIC = b"\x93NUMPY"
_ALIGN = 64
_MAX_HEADER = 10_000
"""Characters. NumPy's own bound: ``ast.literal_eval`` is not safe for longer untrusted text (numpy.lib.format, 1.24)."""
_CHUNK = 4 << 20
"""Bytes copied at once out of an array whose memory is not contiguous."""

Array: TypeAlias = np.ndarray[Any, Any]


def encode(array: Array) -> tuple[Body, dict[str, JSON]]:
    """The ``.npy`` bytes of an array, and what its header cannot say.

    Raises:
        Declined: the dtype holds objects, or cannot be described exactly.
    """
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)
    dtype = array.dtype
    if dtype.hasobject:
        raise Declined(f"an array of dtype {dtype} holds Python objects")
    meta: dict[str, JSON] = {}
    descr: Any
    try:
        if _carries_metadata(dtype):
            raise Declined("its dtype carries metadata")
        descr = np.lib.format.dtype_to_descr(dtype)
        exact = _same(np.lib.format.descr_to_dtype(descr), dtype)
    except (ValueError, TypeError):
        descr, exact = f"|V{dtype.itemsize}", False
    if not exact:
        meta["dtype"] = _describe(dtype)
        if not _same(_dtype(meta["dtype"]), dtype):
            raise Declined(f"dtype {dtype} cannot be described exactly")
        try:
            "".join(_texts(meta["dtype"])).encode()
        except UnicodeEncodeError as error:
            raise Declined("a field of its dtype has a name that is no Unicode") from error
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    start = header(descr, array.shape, fortran)
    if len(start) > _MAX_HEADER:
        raise Declined("the description of its dtype is longer than readers of .npy accept")
    if array.nbytes == 0:
        return Buffers(start), meta
    if fortran or array.flags.c_contiguous:
        flat: Any = (array.T if fortran else array).reshape(-1).view(np.uint8)
        return Buffers(start, memoryview(flat)), meta
    return Producer(_strided(start, array), len(start) + array.nbytes), meta


def decode(parts: Parts, name: str, meta: Mapping[str, JSON]) -> Array:
    """An array over the memory of one part; writable when that is.

    Raises:
        ValueError: the bytes are no ``.npy`` file, not of that size, or ask for objects.
    """
    memory = parts.read(name)
    descr, shape, fortran, start = _read_header(memory)
    dtype = _dtype(meta["dtype"]) if "dtype" in meta else np.lib.format.descr_to_dtype(descr)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are never decoded from .npy")
    if start + math.prod(shape) * dtype.itemsize != memory.nbytes:
        raise ValueError(f"{name} has {memory.nbytes} bytes, which is not what shape {shape} and dtype {dtype} take")
    return np.ndarray(shape, dtype, buffer=memory, offset=start, order="F" if fortran else "C")


def add_arrays(dump: Dump, arrays: Iterable[Array]) -> Dump:
    """The same dump, with each of *arrays* in a part of its own.

    Raises:
        Declined: a dtype holds objects, or cannot be described exactly.
    """
    parts, metas = list(dump.parts), list[JSON]()
    for n, array in enumerate(arrays):
        body, meta = encode(array)
        parts.append(Part(f"array-{n}.npy", body))
        metas.append(meta)
    return Dump(parts, {**dump.meta, "arrays": metas})


def read_arrays(parts: Parts) -> list[Array]:
    """The arrays that `add_arrays` added."""
    metas: Any = parts.meta.get("arrays", [])
    return [decode(parts, f"array-{n}.npy", meta) for n, meta in enumerate(metas)]


def _strided(header: bytes, array: Array) -> Callable[[Sink], None]:
    def produce(sink: Sink) -> None:
        sink.write(header)
        size = max(_CHUNK // max(array.itemsize, 1), 1)
        for chunk in np.nditer(array, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=size, order="C"):
            sink.write(chunk.tobytes())  # type: ignore[attr-defined]

    return produce


def header(descr: Any, shape: tuple[int, ...], fortran: bool) -> bytes:
    """What comes before the elements, with the version that its length and its characters need."""
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape})
    try:
        encoded, version = text.encode("latin1"), 1
    except UnicodeEncodeError:
        encoded, version = text.encode("utf-8"), 3
    if version == 1 and len(encoded) > 0xFFFF - 2 * _ALIGN:
        version = 2
    width = 2 if version == 1 else 4
    padding = -(len(_MAGIC) + 2 + width + len(encoded) + 1) % _ALIGN
    length = (len(encoded) + padding + 1).to_bytes(width, "little")
    return _MAGIC + bytes((version, 0)) + length + encoded + b" " * padding + b"\n"


def _read_header(memory: memoryview) -> tuple[Any, tuple[int, ...], bool, int]:
    start = bytes(memory[:8])
    if start[:6] != _MAGIC or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise ValueError("not a .npy file of a known version")
    width = 2 if start[6] == 1 else 4
    if memory.nbytes < 8 + width:
        raise ValueError("the .npy header is cut short")
    (length,) = struct.unpack_from("<H" if width == 2 else "<I", memory, 8)
    end = 8 + width + length
    if length > _MAX_HEADER or end > memory.nbytes:
        raise ValueError(f"the .npy header is {length} characters long")
    text = str(memory[8 + width : end], "utf-8" if start[6] == 3 else "latin1")
    try:
        header = ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError("the .npy header cannot be read") from error
    if type(header) is not dict or header.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("the .npy header lacks something")
    if type(header["fortran_order"]) is not bool:
        raise ValueError("the .npy header is not valid")
    return header["descr"], shape_of(header["shape"]), header["fortran_order"], end


def shape_of(found: Any) -> tuple[int, ...]:
    """A shape that was read from an artifact.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(found, list | tuple) or not all(type(n) is int and n >= 0 for n in found):
        raise ValueError(f"not a shape: {found!r:.80}")
    return tuple(found)


def _describe(dtype: np.dtype[Any]) -> JSON:
    """A dtype in JSON, with all that NumPy distinguishes."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _describe(base), "shape": list(shape)}
    if dtype.fields is None:
        return dtype.char if dtype.isnative and np.dtype(dtype.str).char != dtype.char else dtype.str
    fields: list[JSON] = []
    held: Any = dtype.fields
    for name in dtype.names or ():
        inner, offset, *title = held[name]
        if title and type(title[0]) is not str:
            raise Declined("a field of its dtype has a title that is no str")
        fields.append([name, _describe(inner), offset, *title])
    return {
        "fields": fields,
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
        "record": dtype.type is np.record,
    }


def _texts(described: JSON) -> Iterator[str]:
    """All text in the description of a dtype."""
    if isinstance(described, str):
        yield described
    elif isinstance(described, Mapping):
        for value in described.values():
            yield from _texts(value)
    elif isinstance(described, list):
        for value in described:
            yield from _texts(value)


def _dtype(found: JSON) -> np.dtype[Any]:
    """The inverse of `_describe`."""
    if isinstance(found, str):
        if len(found) > 40 or "O" in found or "," in found:
            raise ValueError(f"not a dtype: {found!r:.80}")
        return np.dtype(found)
    if not isinstance(found, Mapping):
        raise ValueError("not a dtype")
    if "base" in found:
        return np.dtype((_dtype(found["base"]), shape_of(found["shape"])))
    rows: Any = found["fields"]
    spec: dict[str, Any] = {
        "names": [row[0] for row in rows],
        "formats": [_dtype(row[1]) for row in rows],
        "offsets": [row[2] for row in rows],
        "itemsize": found["itemsize"],
    }
    if any(len(row) > 3 for row in rows):
        spec["titles"] = [row[3] if len(row) > 3 else None for row in rows]
    make: Any = np.dtype  # its overloads do not know a description in a dict together with align=
    dtype: np.dtype[Any] = make(spec, align=found["aligned"] is True)
    return np.dtype((np.record, dtype)) if found["record"] is True else dtype


def _same(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    """Equality that also sees alignment, titles, the record type, and which of two C types of one size it is."""
    return a == b and _describe(a) == _describe(b)


def _carries_metadata(dtype: np.dtype[Any]) -> bool:
    if dtype.metadata:
        return True
    if dtype.subdtype is not None:
        return _carries_metadata(dtype.subdtype[0])
    return any(_carries_metadata(field[0]) for field in (dtype.fields or {}).values())
