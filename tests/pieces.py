"""An object that is saved in as many parts as it has pieces."""

from __future__ import annotations

from aioartifacts.materializers.base import Dump, Materializer, Part, Parts
from aioartifacts.objects.base import Body, Buffers


class Pieces:
    """Equal to another of the same pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pieces) and other.pieces == self.pieces

    __hash__ = None  # type: ignore[assignment]


class PiecesMaterializer(Materializer):
    """Every part lies in memory."""

    name = "pieces"
    format = "pieces"
    safe = True

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, Pieces)

    def dump(self, obj: object) -> Dump:
        assert isinstance(obj, Pieces)
        return Dump([Part(f"{number}.bin", self.body(number, piece)) for number, piece in enumerate(obj.pieces)])

    def body(self, number: int, piece: bytes) -> Body:
        return Buffers(piece)

    def load(self, parts: Parts) -> object:
        return Pieces(*(bytes(parts.read(name)) for name in parts.names))
