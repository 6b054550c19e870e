"""Arrow IPC files of strangers, checked before a library reads them: what reading takes is bounded by their size.

A compressed buffer tells how much memory to take for it, and a file may tell of the same bytes any number of times. What
this library writes does neither. The layout is that of "Arrow Columnar Format", version 1.5, and its ``File.fbs``,
``Message.fbs``, in flatbuffers, of which the few fields are read that matter.
"""

from __future__ import annotations

import struct

_MAGIC = b"ARROW1"
_BLOCK = struct.Struct("<qiiq")
_BUFFER = struct.Struct("<qq")
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


def check_file(memory: memoryview) -> None:
    """Check a file, which ends in a footer that tells where its batches are.

    Raises:
        ValueError: it is none, or is compressed, or its parts overlap.
    """
    try:
        if bytes(memory[:6]) != _MAGIC or bytes(memory[-6:]) != _MAGIC:
            raise ValueError("not an Arrow IPC file")
        (size,) = struct.unpack_from("<i", memory, memory.nbytes - 10)
        if not 0 < size <= memory.nbytes - 18:
            raise ValueError("the footer of the Arrow IPC file is damaged")
        start = memory.nbytes - 10 - size
        footer = memory[start : start + size]
        root = _root(footer)
        end = 8
        blocks = [block for number in (2, 3) for block in _structs(footer, root, number, _BLOCK)]
        for offset, metadata, _, body in sorted(blocks):
            if offset < end or metadata < 8 or body < 0 or offset + metadata + body > start:
                raise ValueError("the batches of the Arrow IPC file overlap, or are outside of it")
            end = offset + metadata + body
            _check_message(memory[offset : offset + metadata], body)
    except (struct.error, IndexError) as error:
        raise ValueError("the Arrow IPC file is damaged") from error


def check_stream(memory: memoryview) -> None:
    """Check a stream of messages.

    Raises:
        ValueError: it is none, or is compressed, or its parts overlap.
    """
    try:
        at = 0
        while at < memory.nbytes:
            mark, size = struct.unpack_from("<Ii", memory, at)
            if mark != 0xFFFFFFFF or size < 0:
                raise ValueError("the Arrow IPC stream is damaged")
            if size == 0:
                break
            body = _check_message(memory[at : at + 8 + size])
            at += 8 + size + body
        if at > memory.nbytes:
            raise ValueError("the Arrow IPC stream is cut short")
    except (struct.error, IndexError) as error:
        raise ValueError("the Arrow IPC stream is damaged") from error


def _check_message(message: memoryview, body: int | None = None) -> int:
    """Check one message, of a *body* of that size, and return what it says itself."""
    (mark, size) = struct.unpack_from("<Ii", message)
    if mark != 0xFFFFFFFF or not 0 < size <= message.nbytes - 8:
        raise ValueError("a message of the Arrow IPC data is damaged")
    data = message[8 : 8 + size]
    root = _root(data)
    kind = _scalar(data, root, 1, "<B")
    length = _scalar(data, root, 3, "<q")
    if length < 0 or (body is not None and length > body):
        raise ValueError("a message of the Arrow IPC data is damaged")
    header = _table(data, root, 2)
    if kind == _DICTIONARY:
        header = _table(data, header, 1)
    elif kind == _SCHEMA:
        return length
    elif kind != _BATCH:
        raise ValueError("the Arrow IPC data hold something else than batches")
    if _field(data, header, 3) is not None:
        raise ValueError("the Arrow IPC data are compressed, which only a trusted artifact's may be")
    total = 0
    for offset, taken in _structs(data, header, 2, _BUFFER):
        if offset < 0 or taken < 0 or offset + taken > length:
            raise ValueError("a buffer of the Arrow IPC data is outside of its message")
        total += taken
    if total > length:
        raise ValueError("buffers of the Arrow IPC data overlap")
    return length


def _root(data: memoryview) -> int:
    return int(struct.unpack_from("<I", data)[0])


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Where a field of a table lies; None when it is not there."""
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    if vtable < 0:
        raise IndexError("a table outside of the data")
    (size,) = struct.unpack_from("<H", data, vtable)
    slot = 4 + 2 * number
    if slot + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", data, vtable + slot)
    return table + offset if offset else None


def _scalar(data: memoryview, table: int, number: int, code: str) -> int:
    at = _field(data, table, number)
    return 0 if at is None else int(struct.unpack_from(code, data, at)[0])


def _table(data: memoryview, table: int, number: int) -> int:
    at = _field(data, table, number)
    if at is None:
        raise IndexError("a table is missing")
    return at + int(struct.unpack_from("<I", data, at)[0])


def _structs(data: memoryview, table: int, number: int, layout: struct.Struct) -> list[tuple[int, ...]]:
    """A vector of structs."""
    at = _field(data, table, number)
    if at is None:
        return []
    at += int(struct.unpack_from("<I", data, at)[0])
    (count,) = struct.unpack_from("<I", data, at)
    end = at + 4 + count * layout.size
    if end > data.nbytes:
        raise IndexError("a vector outside of the data")
    return list(layout.iter_unpack(data[at + 4 : end]))
