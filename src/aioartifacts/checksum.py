"""crc32c over anything: what Google Cloud Storage checks itself, and the fastest digest that notices every short burst error.

The only place that knows the `crc32c` package. It takes any contiguous buffer, uses the processor's instruction where there is
one, and lets go of the interpreter lock for large buffers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

from aioartifacts.types import Buffer


def crc32c(data: Buffer, value: int = 0) -> int:
    """crc32c (Castagnoli, RFC 3720 appendix B.4) of *data*, continued from *value*."""
    return _implementation()(data, value)


@cache
def _implementation() -> Callable[[Buffer, int], int]:
    # Imported when first needed: it asks importlib.metadata for its own version, which takes longer than importing all of this.
    from crc32c import crc32c

    return crc32c


def hex32(value: int) -> str:
    """A 32-bit digest as eight hexadecimal digits."""
    return f"{value:08x}"


class Digest:
    """Size, crc32c and, on request, sha256 of bytes as they pass."""

    __slots__ = ("_sha256", "crc32c", "size")

    def __init__(self, *, sha256: bool = False) -> None:
        self.size = 0
        self.crc32c = 0
        self._sha256 = hashlib.sha256() if sha256 else None

    def update(self, data: Buffer) -> None:
        self.size += len(data)
        self.crc32c = crc32c(data, self.crc32c)
        if self._sha256 is not None:
            self._sha256.update(data)

    @classmethod
    def of(cls, data: Buffer) -> Digest:
        """The digest of *data*, without sha256."""
        digest = cls()
        digest.update(data)
        return digest

    @property
    def sha256(self) -> str | None:
        """Hexadecimal; None when it was not asked for."""
        return None if self._sha256 is None else self._sha256.hexdigest()
