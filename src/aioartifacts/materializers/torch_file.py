"""The layout of ``.safetensors`` files, so that others can read ours: a JSON header, then bytes without gaps.

::

    length of the header (64-bit, little-endian) | header, padded with spaces | bytes of one entry after the other

Written and read here rather than by the library of that name, for these are the bytes as they lie in memory: nothing is copied.
Entries go by falling size of their elements, and the header is padded to a multiple of 64, so that each lies where its dtype needs it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aioartifacts.materializers.base import Buffers
from aioartifacts.types import Buffer

METADATA = "__metadata__"
_ALIGNMENT = 64
_LENGTH = struct.Struct("<Q")

DTYPES: Mapping[str, str] = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "bool": "BOOL", "complex64": "C64",
}  # fmt: skip
"""What the format calls the dtypes of torch."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Bytes with a name; *dtype* and *shape* are for other readers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    alignment: int
    data: Buffer


def layout(entries: Sequence[Entry], metadata: Mapping[str, str]) -> Buffers:
    """A whole file."""
    table: dict[str, object] = {METADATA: metadata}
    position = 0
    ordered = sorted(entries, key=lambda entry: -entry.alignment)
    for entry in ordered:
        end = position + memoryview(entry.data).nbytes
        table[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (position, end)}
        position = end
    header = msgspec.json.encode(table)
    header += b" " * (-(len(header) + _LENGTH.size) % _ALIGNMENT)
    return Buffers(_LENGTH.pack(len(header)) + header, *(entry.data for entry in ordered))


def places(read: Any, size: int) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """The metadata, and first and last byte of every entry, from a file of *size* bytes; *read* gives it from its beginning."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    start = _LENGTH.size + length
    if start > size:
        raise ValueError("the header is longer than the file")
    table = msgspec.json.decode(read(length), type=dict[str, dict[str, Any]])
    metadata = table.pop(METADATA, {})
    found: dict[str, tuple[int, int]] = {}
    for name, entry in table.items():
        first, last = entry["data_offsets"]
        if type(first) is not int or type(last) is not int or not 0 <= first <= last <= size - start:
            raise ValueError(f"entry {name!r:.80} does not lie in the file")
        found[name] = (start + first, start + last)
    return metadata, found
