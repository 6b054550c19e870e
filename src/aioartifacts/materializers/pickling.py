"""Pickles: cloudpickle, protocol 5, streamed, with large buffers beside the stream; what every format made of one shares.

One part ``data.pkl``: a pickle stream, which plain ``pickle.load`` reads when nothing follows it.
When the object holds buffers of 64 KiB or more (arrays, mostly), they are not in the stream but follow it, as they lie
in memory::

    stream | padding | buffer | padding | buffer … | index | trailer

The index is offset and size of each buffer; the trailer is the offset of the index, the number of buffers, and a magic.

All numbers are 64-bit little-endian. Buffers begin at multiples of 64. A pickle ends in ``.``, and the magic does
not, which tells the two apart.

Neither way does one C call see the whole: the interpreter lock is let go between frames of 64 KiB. Not safe: a pickle
is a program.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, BinaryIO, ClassVar

import cloudpickle  # type: ignore[import-untyped]

from aioartifacts.errors import DecodeError, UntrustedArtifactError
from aioartifacts.materializers.base import Buffers, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.collector import paused, settle
from aioartifacts.materializers.pickling_exactly import reducer_of, reducers
from aioartifacts.types import JSON, KIB, Buffer

PART = "data.pkl"
MAGIC = b"aioPKL5\x00"
OUT_OF_BAND_MIN = 64 * KIB
"""Bytes from which a buffer is worth a place of its own."""
ALIGNMENT = 64
STREAM_HELD_MAX = 256 * KIB
"""Bytes of stream that are made at once, and held; a longer one is made while it is written out."""
SEARCH_MAX = 16 * 1024 * KIB
"""Bytes of pickle spent on finding out which of the parts of an object is the one that does not pickle."""

_TRAILER = struct.Struct("<QQ8s")
_PLACE = struct.Struct("<QQ")


class PickledMaterializer(Materializer):
    """Base of the formats that are such a pickle."""

    safe = False
    packages: ClassVar[tuple[str, ...]] = ("cloudpickle",)

    def dump(self, obj: object) -> Dump:
        held = _Held()
        try:
            buffers = _stream(obj, held)
        except _Overflow:
            return Dump((Part(PART, Producer(_Write(obj))),))
        return Dump((Part(PART, Buffers(*held.pieces, *_after(held.size, buffers))),))

    def load(self, parts: Parts) -> object:
        if not parts.trusted:
            raise UntrustedArtifactError(
                "it is a pickle, and decoding one can run any code. If you trust whoever wrote it, open the store with trust='all'",
                format=self.format,
            )
        with parts.open(PART) as stream:
            size = parts.size(PART)
            places = _places(stream, size)
            if not places:
                stream.seek(0)
                return _load(stream, ())
        # One read for all of it: buffers are slices of that memory, and the stream is read from it as well.
        whole = parts.read(PART)
        buffers = [whole[offset : offset + length] for offset, length in places]
        return _load(_Memory(whole[: places[0][0]]), buffers)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"class": f"{type(obj).__module__}.{type(obj).__qualname__}"}


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's, exact where that is not; its dispatch table flat: a ChainMap, written in Python, would be asked once per instance."""

    def __init__(self, sink: Sink, buffers: list[memoryview]) -> None:
        self.dispatch_table = {**cloudpickle.Pickler.dispatch_table, **reducers()}
        self._reducers: dict[type, Callable[[Any], Any] | None] = {}
        self._buffers = buffers
        super().__init__(sink, protocol=5, buffer_callback=self._in_band)  # pyright: ignore[reportCallIssue]

    def reducer_override(self, obj: Any) -> Any:
        """Classes and functions are cloudpickle's; of what else is no plain builtin, some `pickling_exactly` knows better."""
        cls = type(obj)
        try:
            reducer = self._reducers[cls]
        except KeyError:
            if issubclass(cls, (type, FunctionType)):
                return super().reducer_override(obj)
            reducer = self._reducers[cls] = reducer_of(cls)
        reduced = reducer(obj) if reducer is not None else None
        return NotImplemented if reduced is None else reduced

    def _in_band(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < OUT_OF_BAND_MIN:
            return True
        self._buffers.append(view)
        return False


class _Overflow(Exception):
    """The stream is longer than what is to be held."""


class _Held:
    """A sink in memory, for a short stream."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, data: Buffer, /) -> None:
        self.size += memoryview(data).nbytes
        if self.size > STREAM_HELD_MAX:
            raise _Overflow
        self.pieces.append(bytes(data))


class _Write:
    """Makes the stream while it is written out."""

    def __init__(self, obj: object) -> None:
        self.obj = obj

    def __call__(self, sink: Sink) -> None:
        counted = _Counted(sink)
        buffers = _stream(self.obj, counted)
        for piece in _after(counted.size, buffers):
            sink.write(piece)


class _Counted:
    """A sink whose writes are Python calls, so that the interpreter lock can change hands; keeps apart what the sink raises."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.size = 0
        self.failed = False

    def write(self, data: Buffer, /) -> None:
        try:
            self._sink.write(data)
        except BaseException:
            self.failed = True
            raise
        self.size += memoryview(data).nbytes


def _stream(obj: object, sink: _Held | _Counted) -> list[memoryview]:
    """Write the pickle stream to *sink*; return the buffers that belong after it.

    Raises:
        TypeError: something in *obj* does not pickle; the message says where it is.
    """
    buffers: list[memoryview] = []
    try:
        pickler = Pickler(sink, buffers)
        if isinstance(sink, _Counted):
            settle()  # else each look at what is young goes through all of its memo
        pickler.dump(obj)
    except _Overflow:
        raise
    except Exception as error:
        if isinstance(sink, _Counted) and sink.failed:
            raise
        raise TypeError(_explained(obj, error)) from error
    return buffers


def _after(position: int, buffers: Sequence[memoryview]) -> Iterator[Buffer]:
    """What follows a stream of *position* bytes."""
    if not buffers:
        return
    index = bytearray()
    for buffer in buffers:
        padding = -position % ALIGNMENT
        if padding:
            yield bytes(padding)
        position += padding
        index += _PLACE.pack(position, buffer.nbytes)
        yield buffer
        position += buffer.nbytes
    yield bytes(index + _TRAILER.pack(position, len(buffers), MAGIC))


def _places(stream: BinaryIO, size: int) -> list[tuple[int, int]]:
    """Where the buffers lie; empty when there are none."""
    if size < _TRAILER.size:
        return []
    stream.seek(size - _TRAILER.size)
    offset, count, magic = _TRAILER.unpack(_exactly(stream, _TRAILER.size))
    if magic != MAGIC:
        return []
    if count == 0 or offset + count * _PLACE.size + _TRAILER.size != size:
        raise DecodeError("the index of the pickle's buffers is damaged")
    stream.seek(offset)
    places = list(_PLACE.iter_unpack(_exactly(stream, count * _PLACE.size)))
    end = 0
    for start, length in places:
        if start < end or start % ALIGNMENT or start + length > offset:
            raise DecodeError("the index of the pickle's buffers is damaged")
        end = start + length
    return places


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise DecodeError("the pickle is cut short")
    return data


class _Memory:
    """A stream over memory."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._view) if size < 0 else self._position + size
        data = bytes(self._view[self._position : end])
        self._position += len(data)
        return data

    def readinto(self, target: memoryview) -> int:
        data = self._view[self._position : self._position + len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readline(self) -> bytes:
        # Protocol 5 has no lines, but for names in opcodes of protocol 0, which cloudpickle never writes.
        start = self._position
        while self._position < len(self._view):
            self._position += 1
            if self._view[self._position - 1] == 10:
                break
        return bytes(self._view[start : self._position])


class _Source:
    """A stream whose reads are Python calls: between two of them the interpreter lock can change hands, and garbage be collected."""

    def __init__(self, stream: BinaryIO | _Memory, collect: Callable[[], None]) -> None:
        self._stream = stream
        self._collect = collect

    def read(self, size: int = -1) -> bytes:
        self._collect()
        return self._stream.read(size)

    def readinto(self, target: Any) -> int:
        self._collect()
        return self._stream.readinto(target)  # type: ignore[union-attr]  # a buffered reader has it; BinaryIO does not say

    def readline(self) -> bytes:
        return self._stream.readline()


def _load(stream: BinaryIO | _Memory, buffers: Sequence[memoryview]) -> object:
    with paused() as collect:
        return pickle.load(_Source(stream, collect), buffers=buffers)


# What to say of an object that does not pickle.


def _explained(obj: object, error: Exception) -> str:
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return "nested too deeply to be pickled; save its parts one by one, or flatten it"
    where, culprit = find_unpicklable(obj)
    kind = type(culprit)
    return f"{where} cannot be pickled: {kind.__module__}.{kind.__qualname__}: {error}"


def find_unpicklable(obj: object) -> tuple[str, object]:
    """The place, and the innermost thing, that makes *obj* fail to pickle; as far as that is found with bounded work."""
    sink = _Searching()
    where, found = "$", obj
    for _ in range(50):
        for step, child in _children(found):
            try:
                Pickler(sink, []).dump(child)
            except _Overflow:
                return where, found
            except Exception:  # what is looked for: the first child that does not pickle, for whatever reason of its own
                where, found = where + step, child
                break
        else:
            break
    return where, found


class _Searching:
    """A sink for nothing, that ends the search when it has cost enough."""

    def __init__(self) -> None:
        self._left = SEARCH_MAX

    def write(self, data: Buffer, /) -> None:
        self._left -= memoryview(data).nbytes
        if self._left < 0:
            raise _Overflow


def _children(obj: object) -> Iterator[tuple[str, object]]:
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[key {ascii(key)[:40]}]", key
            yield f"[{ascii(key)[:40]}]", value
    elif isinstance(obj, (list, tuple)):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, (set, frozenset)):
        for value in obj:
            yield "{…}", value
    if isinstance(obj, BaseException):
        yield from ((f".{name}", value) for name in ("__cause__", "__context__") if (value := getattr(obj, name)) is not None)
    for name, value in getattr(obj, "__dict__", {}).items() if not isinstance(obj, type) else ():
        yield f".{name}", value
