"""The materializer contract: plain synchronous code that turns an object into parts and back.

A materializer runs in a worker thread. It never sees the store, the loop or the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, ClassVar, Protocol

from aioartifacts.objects.base import Body, Buffers, FileBody, Producer, Sink
from aioartifacts.types import JSON, LoadOptions

FAILURES: tuple[type[BaseException], ...] = (Exception, SystemExit, GeneratorExit, CancelledError)
"""What a materializer that fails may raise. A cancellation is then of something of its own: let through, it would silently end a task
that nobody has cancelled."""


class Declined(Exception):
    """Raised by ``dump``: this format cannot hold the object exactly; the message says why. The next candidate is asked."""


@dataclass(frozen=True, slots=True)
class Part:
    """One payload file to be: its name within the artifact, and its bytes."""

    name: str
    """Relative, ``/``-separated, unique within the artifact, with the suffix a reader of the file would expect."""
    body: Body


@dataclass(frozen=True, slots=True)
class Dump:
    """An encoded object.

    Bodies are written out after `Materializer.dump` has returned, perhaps more than once, and perhaps in other threads; so the
    heavy work belongs into a `Producer`, and whatever may still be declined must be found out before.
    """

    parts: Sequence[Part]
    meta: Mapping[str, JSON] = field(default_factory=dict)
    """What ``load`` needs to know beside the parts; kept in the record, so keep it small."""
    safe: bool | None = None
    """Whether this one can be decoded without running code from it; None for what the materializer says in general."""


class Parts(ABC):
    """The parts of an artifact, as ``load`` is given them. Verified before the first byte is handed out, unless told otherwise."""

    names: tuple[str, ...]
    """In the order in which they were dumped."""
    meta: Mapping[str, JSON]
    """What `Dump.meta` held. Comes from the store, so believe it no more than the parts."""
    options: LoadOptions
    trusted: bool
    """Whether code from the artifact may be run. A materializer that calls itself safe must not unpickle while this is false."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes in one part."""

    @abstractmethod
    def read(self, name: str) -> memoryview:
        """One whole part: private and writable; or mapped and read-only, with ``options.mmap`` on a store that can."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """One part as a seekable, buffered binary stream. The caller closes it."""

    @abstractmethod
    def path(self, name: str) -> str:
        """A real file holding one part, to be read only, for libraries that insist on one; valid until ``load`` returns.

        Its base name ends in the part's name.
        """


class Materializer(ABC):
    """Turns objects of some types into parts of one format, and back.

    One that uses a store itself, and in threads that it starts, runs those in copies of its context (``contextvars.copy_context().run``):
    else they may wait for workers and memory that the very call around them holds.

    Attributes:
        name: goes into the record as ``serializer``.
        format: goes into the record, and alone decides which materializer loads it. Versioned by its name if it ever changes.
        safe: whether ``load`` never runs code from the parts, whatever they contain.
        packages: top-level modules whose versions go into the record.
    """

    name: ClassVar[str]
    format: ClassVar[str]
    safe: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def accepts(self, obj: object) -> bool:
        """Whether *obj* is of a type this format is for. Cheap; exactness may still be declined by `dump`."""

    @abstractmethod
    def dump(self, obj: object) -> Dump:
        """Encode *obj* such that `load` gives an equal object of the same type.

        Raises:
            Declined: this format cannot hold *obj* exactly.
        """

    @abstractmethod
    def load(self, parts: Parts) -> object:
        """Decode. Whatever it raises becomes a `DecodeError`; an `ArtifactError` passes as it is."""

    def check_loadable(self, type: str, meta: Mapping[str, JSON], *, trusted: bool) -> None:  # noqa: B027 - nothing shows, by default
        """Raise what `load` would, as far as that shows without the parts: for `explain`. Cheap, and runs nobody else's code.

        *type* is the qualified name of the saved object's class, and *meta* what `Dump.meta` held; *trusted* is as in `Parts`.
        """

    def summary(self, obj: object) -> Mapping[str, JSON]:
        """A few facts worth showing without decoding (shape, dtype, rows, …). Cheap."""
        return {}

    def preview(self, obj: object) -> Mapping[str, JSON]:
        """Return something to show in place of the object.

        It is ``{"text": …}``, ``{"columns": …, "rows": …}`` of text, ``{"png": …}`` in base64, or ``{"part": …}``, the name of a part
        that is a picture.

        Kept in the record, so 64 KiB of JSON at most; much cheaper than the save. Never needed for loading, and one that fails is
        left out.
        """
        return {}


class MaterializerLookup(Protocol):
    """What the engine asks of a registry."""

    def candidates(self, obj: object, format: str | None = None) -> Iterable[Materializer]:
        """The materializers to try for *obj*, in order; with *format*, only the one for that format.

        Raises:
            UnknownFormatError: nothing registered writes *format*.
            MissingDependencyError: a package it needs is not installed.
        """
        ...

    def for_format(self, format: str) -> Materializer:
        """The one materializer that reads *format*.

        Raises:
            UnknownFormatError: nothing registered reads it.
            MissingDependencyError: a package it needs is not installed.
        """
        ...


__all__ = [
    "Body",
    "Buffers",
    "Declined",
    "Dump",
    "FileBody",
    "Materializer",
    "MaterializerLookup",
    "Part",
    "Parts",
    "Producer",
    "Sink",
]
