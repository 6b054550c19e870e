"""Object contents as a list of segments: appended, sliced and joined without copying what is already there."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Self

from crc32c import crc32c

_SMALL = 32 * 1024
_TAIL = 1024 * 1024
SLICE = 1024 * 1024


class Rope:
    """Bytes with their crc32c and, when asked for, their MD5. It must not change once somebody reads from it."""

    __slots__ = ("_crc", "_md5", "_segments", "_starts", "size")

    def __init__(self, *, md5: bool = False) -> None:
        self._segments: list[bytes | bytearray | memoryview] = []
        self._starts: list[int] = []
        self.size = 0
        self._crc = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None

    def append(self, data: bytes | memoryview) -> None:
        if not data:
            return
        self._crc = crc32c(data, self._crc)
        if self._md5 is not None:
            self._md5.update(data)
        self._attach(data)

    def _attach(self, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        tail = self._segments[-1] if self._segments else None
        if size < _SMALL and isinstance(tail, bytearray) and len(tail) < _TAIL:
            tail += data
        else:
            self._starts.append(self.size)
            self._segments.append(bytearray(data) if size < _SMALL and self._segments else data)
        self.size += size

    def truncate(self, size: int) -> None:
        """Keep the first *size* bytes."""
        if size >= self.size:
            return
        kept = [bytes(piece) for piece in self.slices(0, size)]
        self._segments, self._starts, self.size, self._crc = [], [], 0, 0
        self._md5 = hashlib.md5(usedforsecurity=False) if self._md5 is not None else None
        for piece in kept:
            self.append(piece)

    def slices(self, start: int, stop: int, step: int = SLICE) -> Iterator[memoryview]:
        """Views of the bytes from *start* up to *stop*, each at most *step* long."""
        index = bisect_right(self._starts, start) - 1
        while start < stop:
            offset = start - self._starts[index]
            view = memoryview(self._segments[index])[offset : offset + stop - start]
            for at in range(0, len(view), step):
                yield view[at : at + step]
            start += len(view)
            index += 1

    def tobytes(self) -> bytes:
        return b"".join(self.slices(0, self.size))

    @property
    def crc32c(self) -> int:
        return self._crc

    @property
    def md5(self) -> bytes | None:
        return None if self._md5 is None else self._md5.digest()

    @classmethod
    def of(cls, data: bytes | memoryview, *, md5: bool = False) -> Self:
        rope = cls(md5=md5)
        rope.append(data)
        return rope

    @classmethod
    def join(cls, ropes: Iterable[Rope]) -> Self:
        """The ropes one after the other, sharing their segments. The result has no MD5, as a composed object has none."""
        joined = cls()
        for rope in ropes:
            joined._crc = crc32c_combine(joined._crc, rope.crc32c, rope.size)
            for segment in rope._segments:
                joined._starts.append(joined.size)
                joined._segments.append(segment)
                joined.size += len(segment)
        return joined


# crc32c of a concatenation, from the crc32c of its halves: the first is advanced by as many zero bytes as the second
# is long, which is a multiplication by x**(8 * length) modulo the Castagnoli polynomial. Bit-reflected throughout.
_POLYNOMIAL = 0x82F63B78


def _multiply(a: int, b: int) -> int:
    product = 0
    bit = 1 << 31
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return product


def crc32c_combine(first: int, second: int, second_size: int) -> int:
    """The crc32c of two byte strings one after the other."""
    power = 1 << 23  # x**8: one byte
    shift = 1 << 31  # x**0
    while second_size:
        if second_size & 1:
            shift = _multiply(power, shift)
        power = _multiply(power, power)
        second_size >>= 1
    return _multiply(shift, first) ^ second
