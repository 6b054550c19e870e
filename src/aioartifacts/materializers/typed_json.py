"""None, numbers, containers, dates, paths and the like, exactly, as JSON that people and programs can read.

Format ``json``, one part ``data.json``. What is plain JSON is written as such. The rest is tagged
(``meta["tagged"]``), see ``typed_encode``; every node is of exactly a built-in type, or an instance that
``typed_classes`` accepts, or the whole is declined with the place: ``$.a[3]: of type numpy.ndarray``.

Exact means: equal, of the same types, in the same order; ``-0.0``, NaN payloads, huge ints and lone surrogates
included; a list that appears twice is one list again. A cycle is declined. A large object is encoded and decoded in
slices of about a millisecond (``meta["lines"]``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any

from aioartifacts.materializers import glimpse
from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.collector import paused
from aioartifacts.materializers.typed_decode import Decoder, parsed
from aioartifacts.materializers.typed_encode import Encoder
from aioartifacts.materializers.typed_plain import NotPlain, encode_json, fits
from aioartifacts.materializers.typed_scalars import Refused
from aioartifacts.types import JSON, MIB

PART = "data.json"
HELD_MAX = 64 * MIB
"""Bytes of JSON kept after the check; more are thrown away, and encoded again while they are written out."""


class JsonMaterializer(Materializer):
    """Typed JSON."""

    name = "json"
    format = "json"
    safe = True

    def accepts(self, obj: object) -> bool:
        return True

    def dump(self, obj: object) -> Dump:
        cls = type(obj)
        if cls is dict or cls is list:
            try:
                if fits(obj):
                    return Dump((Part(PART, Buffers(encode_json(obj))),))
            except (NotPlain, OverflowError, UnicodeEncodeError):
                return encode(obj, plain=False)
        return encode(obj)

    def load(self, parts: Parts) -> object:
        if parts.meta:
            return decode(parts)
        return parsed(parts.read(PART))

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"length": len(obj)} if isinstance(obj, (list, tuple, dict, set, frozenset)) else {}

    def preview(self, obj: object) -> Mapping[str, JSON]:
        if isinstance(obj, dict):
            return glimpse.entries(obj.items(), len(obj))
        if isinstance(obj, (list, tuple, set, frozenset)):
            return glimpse.items(obj, len(obj))
        return {} if obj is None else glimpse.text(glimpse.cell(obj))


def encode(obj: object, *, plain: bool = True) -> Dump:
    """Encode *obj* as typed JSON; *plain* false saves the attempt to do without tags.

    Raises:
        Declined: it has no exact form; the message begins with the place.
    """
    tags = not plain
    while True:
        try:
            with paused() as collect:
                return _checked(Encoder(obj, tags=tags), {"tagged": True} if tags else {}, collect)
        except NotPlain:
            if tags:
                raise Declined("$: a name that JSON cannot hold") from None
            tags = True
        except Refused as refused:
            raise Declined(str(refused)) from None


def _checked(encoder: Encoder, meta: dict[str, JSON], collect: Callable[[], None]) -> Dump:
    held: list[bytes] = []
    size = 0

    def hold(piece: bytes) -> None:
        nonlocal size
        collect()
        size += len(piece)
        if size <= HELD_MAX:
            held.append(piece)
        else:
            held.clear()

    encoder.write(hold)
    if encoder.lines:
        meta["lines"] = True
    body = Buffers(*held) if size <= HELD_MAX else Producer(_Rewrite(encoder), size)
    return Dump((Part(PART, body),), meta)


class _Rewrite:
    """Writes the object out, each time with an encoder of its own, because two uploads may be at it at once."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def __call__(self, sink: Sink) -> None:
        with paused() as collect:

            def write(piece: bytes) -> None:
                collect()
                sink.write(piece)

            copy(self.encoder).write(write)


def decode(parts: Parts, name: str = PART, meta: Mapping[str, JSON] | None = None) -> Any:
    """Decode what `encode` made, from the part *name*; *meta* where it is not that of the whole artifact.

    Raises:
        UntrustedArtifactError: it names a class whose module is not imported, and the store does not trust the artifact.
    """
    meta = parts.meta if meta is None else meta
    decoder = Decoder(tags=meta.get("tagged") is True, trusted=lambda: parts.trusted)
    if meta.get("lines") is not True:
        return decoder.read_line(parts.read(name))
    with paused() as collect, parts.open(name) as stream:
        return decoder.read_lines(_collecting(stream, collect))


def _collecting(lines: Iterable[bytes], collect: Callable[[], None]) -> Iterator[bytes]:
    for line in lines:
        collect()
        yield line
