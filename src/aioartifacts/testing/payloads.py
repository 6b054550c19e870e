"""Bytes for the laws to put, and to compare with what is found."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest

from aioartifacts.types import KIB, MIB, Buffer

SIZES = [0, 1, *(edge + beside for edge in (64 * KIB, 256 * KIB, MIB) for beside in (-1, 0, 1)), 8 * MIB + 1]


@cache
def content(size: int, seed: int = 0) -> bytes:
    """Bytes in which a lost, doubled or moved chunk shows."""
    return random.Random(seed * 1_000_003 + size).randbytes(size)


def check_bytes(found: Buffer | None, expected: Buffer | None, why: str = "not the bytes that were expected") -> None:
    """Fail with the place where two runs of bytes part.

    pytest's own comparison of two megabytes takes hours where it is not cut short, which it is not with ``CI`` set or ``-vv``.
    """
    if found is None or expected is None:
        same = found is expected
        assert same, f"{why}: {'nothing' if found is None else f'{len(found)} bytes'} is there"
        return
    one, other = bytes(found), bytes(expected)
    if one != other:
        at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        here, there = one[at : at + 16], other[at : at + 16]
        pytest.fail(f"{why}: {len(one)} bytes for {len(other)}; from byte {at} on {here!r} and not {there!r}")


def file_content(path: str | Path) -> bytes | None:
    """The bytes of a regular file; None when there is none."""
    return Path(path).read_bytes() if Path(path).is_file() else None


def in_pieces(data: bytes, size: int = 100_003) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]
