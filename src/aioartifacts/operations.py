"""What the steps of `aioartifacts.protocol` can ask for, and be answered: frozen values, carried out by the drivers.

They are msgspec structs, made in C where a frozen dataclass sets each field through Python: every save and load makes some.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from aioartifacts.errors import ArtifactError
from aioartifacts.materializers.base import MaterializerLookup, Parts
from aioartifacts.objects.base import Body
from aioartifacts.trust import Keyring
from aioartifacts.types import INLINE_MAX, Generation, LoadOptions, RetryPolicy, Trust

T = TypeVar("T")


class Compute(msgspec.Struct, Generic[T], frozen=True):
    """Call a function that may take long; the answer is what it returns."""

    call: Callable[[], T]


class Put(msgspec.Struct, frozen=True):
    """Store a body; the answer is `Stored`, or `Inlined` when it turns out to be of *inline_max* bytes or less."""

    path: str
    """The artifact's, for messages."""
    key: str
    body: Body
    inline_max: int = -1
    sha256: bool = False


class Commit(msgspec.Struct, frozen=True):
    """Store a record, unless the call has been cancelled meanwhile; the answer is None."""

    key: str
    data: bytes
    if_generation: Generation | None


class Uncertain(Exception):
    """Thrown into the steps after a `Commit` that failed, when an earlier attempt at it may have succeeded, or may yet."""

    def __init__(self, error: ArtifactError) -> None:
        super().__init__(error)
        self.error = error
        """What the last attempt said."""


class Get(msgspec.Struct, frozen=True):
    """Read a whole small object; the answer is `ObjectData`."""

    key: str
    versioned: bool = False
    """Whether the answer must tell the generation, which a store may have to compute."""


class Head(msgspec.Struct, frozen=True):
    """Ask for an object's `ObjectInfo`."""

    key: str


class ListUnder(msgspec.Struct, frozen=True):
    """Ask for the list of `ObjectInfo` of everything under a prefix that is known to hold little."""

    prefix: str


class Delete(msgspec.Struct, frozen=True):
    """Remove an object, or exactly one generation of it."""

    key: str
    if_generation: Generation | None = None


class Source(msgspec.Struct, frozen=True):
    """Where one part is to be read from, and what must be found there."""

    name: str
    size: int
    key: str | None = None
    data: bytes | None = None
    """The part itself, when it was inlined; covered by the record's checksum."""
    crc32c: str | None = None
    """None for what was written without one."""
    sha256: str | None = None
    """Only where a signature covers it."""


class Decode(msgspec.Struct, Generic[T], frozen=True):
    """Fetch the parts of an artifact, verified, and call a function with them."""

    path: str
    sources: tuple[Source, ...]
    meta: Mapping[str, Any]
    options: LoadOptions
    trusted: Callable[[], bool]
    """Whether code from it may be run. May block, so it is asked in a worker, and only by a decoder to which it matters."""
    call: Callable[[Parts], T]


class Wait(msgspec.Struct, frozen=True):
    """Let some seconds pass."""

    seconds: float


class Stored(msgspec.Struct, frozen=True):
    """A part that lies in an object of its own."""

    size: int
    crc32c: int
    sha256: str | None


class Inlined(msgspec.Struct, frozen=True):
    """A part so small that it goes into the record."""

    data: bytes
    crc32c: int
    sha256: str | None


Operation: TypeAlias = "Compute[Any] | Put | Commit | Get | Head | ListUnder | Delete | Decode[Any] | Wait"
Steps: TypeAlias = Generator["Operation | tuple[Operation, ...]", Any, T]
"""Yields operations, singly or several at once, and returns the verb's result."""


elapsed: Callable[[], float] = (
    functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic
)
"""Seconds; on Linux those in which the machine sleeps count too. A save that slept for longer than a sweep's grace has to know: its parts
may be gone."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the steps need to know of the store they work for."""

    materializers: MaterializerLookup
    trust: Trust | None = None
    """None for ``"all"``, unless there is a `doubt`."""
    doubt: Callable[[], str | None] = lambda: "nobody says who can write to it"
    """Why no more than data is trusted by default; None when everything is. May block, so it is asked in a worker, and only when the
    answer matters."""
    keys: Keyring = field(default_factory=Keyring)
    inline_max: int = INLINE_MAX
    previews: bool = True
    """Whether records hold previews."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], float] = elapsed
    unloadable: set[str] | None = None
    """Formats that were chosen and saved though the store will not load them, and told of; None where nobody knows without asking
    that it will not."""
    ready: set[str] = field(default_factory=set)
    """Formats whose materializers are loaded; asking for one of them is quick."""
