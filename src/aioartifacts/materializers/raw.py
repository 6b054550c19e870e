"""bytes, bytearray, memoryview and str, as they are.

Formats ``bytes``, ``bytearray``, ``memoryview`` and ``str``: one part each, and nothing in it but the content. Which
of the four it was is the format's business; a view's item format and shape, and whether text has lone surrogates, are
in the meta.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar

from aioartifacts.errors import DecodeError
from aioartifacts.materializers import glimpse
from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.types import JSON

TEXT_SLICE = 1 << 20
"""Characters of a long text encoded at a time: one call over all of it would hold the interpreter lock throughout."""


class BytesMaterializer(Materializer):
    """``bytes``; written without a copy, read with one."""

    name = "bytes"
    format = "bytes"
    safe = True
    kind: ClassVar[type] = bytes

    def accepts(self, obj: object) -> bool:
        return type(obj) is self.kind

    def dump(self, obj: object) -> Dump:
        if type(obj) is not self.kind:
            raise Declined(f"{type(obj).__qualname__} is not exactly {self.kind.__name__}")
        return Dump((Part("data.bin", Buffers(obj)),))  # type: ignore[arg-type]  # checked above, through `kind`

    def load(self, parts: Parts) -> object:
        return bytes(parts.read("data.bin"))

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"size": memoryview(obj).nbytes}  # type: ignore[arg-type]  # bytes-like: `accepts`


class BytearrayMaterializer(BytesMaterializer):
    """``bytearray``."""

    name = "bytearray"
    format = "bytearray"
    kind = bytearray

    def load(self, parts: Parts) -> object:
        return bytearray(parts.read("data.bin"))


class MemoryviewMaterializer(BytesMaterializer):
    """``memoryview`` in C order: content, item format, shape, and whether it was read-only; never what lay under it.

    Loading gives a view of private memory, or of mapped, read-only memory when the load asks for that.
    """

    name = "memoryview"
    format = "memoryview"
    kind = memoryview

    def dump(self, obj: object) -> Dump:
        if type(obj) is not memoryview:
            raise Declined(f"{type(obj).__qualname__} is not exactly memoryview")
        if not obj.c_contiguous:
            raise Declined("the view is strided; save bytes(view), or the object it is a view of")
        if not obj.nbytes and obj.ndim != 1:
            raise Declined("an empty view of several dimensions cannot be built again")
        if len(obj.format.lstrip("@")) != 1:
            raise Declined(f"items of format {obj.format!r} cannot be viewed again after loading")
        # A cast refuses a zero in the shape, and there is nothing to write then.
        body = Buffers(obj.cast("B")) if obj.nbytes else Buffers(b"")
        meta: dict[str, JSON] = {"format": obj.format, "shape": list(obj.shape or ()), "readonly": obj.readonly}
        return Dump((Part("data.bin", body),), {} if meta == _bytes_meta(obj.nbytes) else meta)

    def load(self, parts: Parts) -> object:
        view = parts.read("data.bin")
        meta = {**_bytes_meta(view.nbytes), **parts.meta}
        code, shape = meta["format"], meta["shape"]
        sizes = tuple(n for n in shape if type(n) is int and n >= 0) if isinstance(shape, list) else None
        if not isinstance(code, str) or sizes is None or list(sizes) != shape:
            raise DecodeError("the record's format and shape of this memoryview make no sense")
        view = _shaped(view, code, sizes)
        return view.toreadonly() if meta["readonly"] else view


def _bytes_meta(size: int) -> dict[str, JSON]:
    return {"format": "B", "shape": [size], "readonly": True}


def _shaped(view: memoryview, code: str, shape: tuple[int, ...]) -> memoryview:
    item = memoryview(bytes(16)).cast(code).itemsize  # type: ignore[call-overload]  # an unknown code raises
    if math.prod(shape) * item != view.nbytes:
        raise DecodeError(f"{view.nbytes} bytes do not make items of format {code!r} in shape {list(shape)}")
    if code == "B" and shape == (view.nbytes,):
        return view
    if not view.nbytes:
        if len(shape) != 1:
            raise DecodeError("an empty view of several dimensions cannot be built")
        return view.cast(code)  # type: ignore[call-overload, no-any-return]
    flat = view.cast("B")
    return flat.cast(code, shape) if shape != (view.nbytes // item,) else flat.cast(code)  # type: ignore[call-overload, no-any-return]


class StrMaterializer(Materializer):
    """``str`` as UTF-8. Lone surrogates pass, and the meta says that there are some."""

    name = "str"
    format = "str"
    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is str

    def dump(self, obj: object) -> Dump:
        if type(obj) is not str:
            raise Declined(f"{type(obj).__qualname__} is not exactly str")
        if len(obj) <= TEXT_SLICE:
            try:
                return Dump((Part("data.txt", Buffers(obj.encode())),))
            except UnicodeEncodeError:
                return Dump((Part("data.txt", Buffers(obj.encode("utf-8", "surrogatepass"))),), {"surrogates": True})
        surrogates = False
        size = 0
        for piece in _pieces(obj):
            encoded = piece.encode("utf-8", "surrogatepass")
            size += len(encoded)
            surrogates = surrogates or not _valid(piece)
        return Dump((Part("data.txt", Producer(_Text(obj), size)),), {"surrogates": True} if surrogates else {})

    def load(self, parts: Parts) -> object:
        errors = "surrogatepass" if parts.meta.get("surrogates") is True else "strict"
        if parts.size("data.txt") <= TEXT_SLICE:
            return str(parts.read("data.txt"), "utf-8", errors)
        with parts.open("data.txt") as stream:
            return "".join(_decoded(iter(lambda: stream.read(TEXT_SLICE), b""), errors))

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"characters": len(obj)}  # type: ignore[arg-type]  # a str: `accepts`

    def preview(self, obj: object) -> Mapping[str, JSON]:
        assert isinstance(obj, str)
        return glimpse.text(obj)


class _Text:
    """Writes a long text in slices; a class, so that a body of it pickles."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, sink: Sink) -> None:
        for piece in _pieces(self.text):
            sink.write(piece.encode("utf-8", "surrogatepass"))


def _pieces(text: str) -> Iterable[str]:
    return (text[start : start + TEXT_SLICE] for start in range(0, len(text), TEXT_SLICE))


def _valid(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(chunks: Iterable[bytes], errors: str) -> Iterable[str]:
    # codecs' incremental decoder fails on a surrogate cut in two (CPython issue 24214), so cut between characters here.
    rest = b""
    for chunk in chunks:
        chunk = rest + chunk
        end = len(chunk)
        while end > 0 and end > len(chunk) - 4 and chunk[end - 1] & 0xC0 == 0x80:
            end -= 1
        if end > 0 and chunk[end - 1] >= 0xC0:
            end -= 1
        else:
            end = len(chunk)
        rest = chunk[end:]
        yield str(chunk[:end], "utf-8", errors)
    if rest:
        yield str(rest, "utf-8", errors)
