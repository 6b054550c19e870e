"""How much is proved: a sample, or everything with ``AIOARTIFACTS_PROOFS=full`` (``make proofs``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from figures import FULL

T = TypeVar("T")


def scaled(sample: T, full: T) -> T:
    return full if FULL else sample


def sample(points: Sequence[T], every: int, offset: int = 0) -> Sequence[T]:
    """All points in a full run, else each *every*-th; the first and the last always."""
    if FULL or len(points) <= 2:
        return points
    kept = set(range(offset % every, len(points), every)) | {0, len(points) - 1}
    return [points[i] for i in sorted(kept)]
