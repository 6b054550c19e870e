"""Values that travel between the layers: frozen, slotted, without behaviour beyond their own arithmetic."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, TypeAlias, TypeVar

T = TypeVar("T")

JSON: TypeAlias = "None | bool | int | float | str | Sequence[JSON] | Mapping[str, JSON]"
"""What JSON can hold; user metadata and summaries are made of it."""

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in memory, in any of the forms a part may hand over."""

Generation: TypeAlias = int | str
"""One version of one object. Opaque, except that ``0`` as a precondition means "does not exist"."""

Durability: TypeAlias = Literal["full", "process"]
"""``"full"``: a returned save survives a power cut. ``"process"``: it survives a killed process only."""

Trust: TypeAlias = Literal["data", "signed", "all"]
"""Which artifacts a store may decode; see :mod:`aioartifacts.trust`."""

OnError: TypeAlias = Literal["raise", "collect"]
"""What a bulk verb does with a failure: stop and raise a group, or return it among the outcomes."""

GRACE = 24 * 3600.0
"""Seconds for which a part may lie there without a record that names it: how long a save may take. Default of `sweep`."""

KIB = 1024
MIB = 1024 * KIB
INLINE_MAX = 16 * KIB
"""Default largest payload, in bytes, that is kept inside the record."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What an object store knows of one object."""

    key: str
    size: int
    """Bytes."""
    generation: Generation | None = None
    """None where the store would have to read the object to know it; ``get`` of a whole object tells it."""
    crc32c: int | None = None
    """As computed by the back end itself; None when it keeps none."""
    updated: float | None = None
    """Unix time, seconds."""


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """What a store knows of one artifact without decoding it."""

    path: str
    location: str
    """An absolute file path, or a URI; accepted wherever a path is."""
    type: str
    """Qualified name of the saved object's class."""
    format: str
    serializer: str
    """Name of the materializer that wrote it."""
    size: int
    """Payload bytes, over all parts."""
    parts: int
    safe: bool
    """Whether it can be decoded without running code from it."""
    signed: bool
    created: datetime | None
    """UTC; None where the record does not tell."""
    metadata: Mapping[str, JSON]
    summary: Mapping[str, JSON]
    producer: Mapping[str, str]
    environment: Mapping[str, str]
    """Versions of the interpreter and the libraries that wrote it."""
    preview: Mapping[str, JSON]
    """Something to show: ``text``, or ``columns`` and ``rows`` of text, or ``png`` in base64, or ``part``, the name of a part that is
    a picture; empty when there is nothing."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether this interpreter can load an artifact, as far as can be told without decoding it."""

    path: str
    type: str
    """Qualified name of the saved object's class."""
    format: str
    loadable: bool
    reasons: tuple[str, ...]
    """Why not, and what to do about it; empty when it is loadable."""
    cautions: tuple[str, ...]
    """What differs from where it was written: versions, modules that are not here. Often harmless."""
    install: str | None
    """What to give to ``pip install``, when a package is missing."""
    environment: Mapping[str, str]
    """Versions of the interpreter and the libraries that wrote it."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How an artifact is to be loaded; handed to the materializer with its parts."""

    mmap: bool = False
    """Map the payload read-only instead of copying it, where format and store allow."""
    verify: bool = True
    """Check size and crc32c of every part before it is decoded."""
    columns: tuple[str, ...] | None = None
    """Only these columns, for formats that can read some."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store does at once.

    Attributes:
        transfers: object-store requests in flight, at most.
        workers: threads that encode and decode, at most. Left to itself, a local store with full durability uses four or more.
        memory: bytes the library itself may hold for payloads and chunks, at most.
    """

    transfers: int = 32
    workers: int = field(default_factory=lambda: max(2, os.cpu_count() or 2))
    memory: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try a failed request again.

    Full jitter after Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): each delay is uniform
    between 0 and ``min(cap, base * 2**attempt)``.

    Attributes:
        deadline: seconds from the first attempt after which no new one starts.
        base: upper bound, in seconds, of the first delay.
        cap: upper bound, in seconds, of any delay.
    """

    deadline: float = 120.0
    base: float = 0.25
    cap: float = 16.0

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds to wait after failed attempt number *attempt* (from 0); never less than *retry_after*."""
        jittered = random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt, 32)))
        return max(jittered, retry_after or 0.0)


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """Progress of a call that goes over many artifacts."""

    operation: str
    path: str
    """The artifact that has just been dealt with."""
    artifacts: int
    """How many have been dealt with so far."""
    transferred: int
    """Bytes read or removed so far."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one of many did: exactly one of *value* and *error* counts."""

    value: T | None = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.error is None

    def unwrap(self) -> T:
        """The value.

        Raises:
            ArtifactError: the error, when there was one.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found."""

    artifacts: int
    """How many were read."""
    size: int
    """Payload bytes of those that are sound."""
    damaged: Mapping[str, Exception]
    """By path: what is wrong with the record or a part. Parts that are missing are among it."""
    orphans: Sequence[str]
    """Keys of parts that no record names: left by killed writers, or being written right now."""

    @property
    def ok(self) -> bool:
        """Whether every artifact is sound. Orphans do no harm."""
        return not self.damaged


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What `sweep` removed, or would have removed."""

    removed: Sequence[str]
    """Keys of orphaned parts and temporary files."""
    size: int
    """Their bytes."""
    dry_run: bool
    """Whether they are all still there."""
