"""The object-store contract: five verbs over named byte strings, in a blocking and an async kind.

The laws, which ``aioartifacts.testing.ObjectStoreSuite`` checks on every store:

* A put is all-or-nothing. No reader and no listing sees part of an object, and a put that fails or is interrupted,
  by the body raising too, leaves what was there before and nothing else.
* ``if_generation=0`` creates: of any number of rivals exactly one wins, the others get `ArtifactExistsError`.
  ``if_generation=g`` replaces or deletes exactly *g*, or raises `ConflictError`. ``None`` takes whatever is there.
* A missing key raises `ArtifactNotFoundError` from ``get`` and ``head``. Deleting one is not an error.
* ``list`` is recursive, by whole segments (``"a"`` covers ``a`` and ``a/b``, never ``ab``), in no particular order, and shows no
  temporary object. It may be abandoned half way.
* Keys round-trip byte for byte: nothing is normalised, folded or decoded.
* ``a`` and ``a/b`` cannot both be objects on every store; artifacts never need it. (``a/metadata.json`` and
  ``a/b/metadata.json`` can.)
* Only `ArtifactError`s escape.

A store moves bytes and translates errors. It does not retry whole calls, hash, limit or log; the engine does. It keeps no state
between calls beyond clients and caches that can be rebuilt, and pickles as its configuration.
"""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aioartifacts.types import JSON, Buffer, Generation, ObjectInfo


class Sink(Protocol):
    """Where a body writes itself to. A write takes all it is given."""

    def write(self, data: Buffer, /) -> object: ...


class Body(ABC):
    """Bytes to be stored; can be written out as often as an upload needs to start anew."""

    size: int | None
    """Bytes; None when only writing it out will tell."""

    @abstractmethod
    def write_to(self, sink: Sink) -> None:
        """Write everything to *sink*, in order. Blocking: call it in a worker thread only."""


class Buffers(Body):
    """Bytes that lie in memory already; they are not copied."""

    __slots__ = ("buffers", "size")

    def __init__(self, *buffers: Buffer) -> None:
        self.buffers = tuple([_bytes_of(buffer) for buffer in buffers])
        self.size: int = sum([buffer.nbytes for buffer in self.buffers])  # pyright: ignore[reportIncompatibleVariableOverride]

    def write_to(self, sink: Sink) -> None:
        for buffer in self.buffers:
            sink.write(buffer)


def _bytes_of(buffer: Buffer) -> memoryview:
    view = memoryview(buffer)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


class FileBody(Body):
    """The contents of a regular file."""

    __slots__ = ("path", "size")
    chunk_size = 1 << 20

    def __init__(self, path: str, size: int | None = None) -> None:
        self.path = path
        self.size = size

    def write_to(self, sink: Sink) -> None:
        with open(self.path, "rb", buffering=0) as file:
            while chunk := file.read(self.chunk_size):
                sink.write(chunk)


class Producer(Body):
    """Bytes made on demand by *produce*, a repeatable function that writes to a binary sink.

    The size need not be known, and nothing is ever held whole.
    """

    __slots__ = ("produce", "size")

    def __init__(self, produce: Callable[[Sink], object], size: int | None = None) -> None:
        self.produce = produce
        self.size = size

    def write_to(self, sink: Sink) -> None:
        self.produce(sink)


@dataclass(frozen=True, slots=True)
class ObjectData:
    """Bytes read, and what they were read from."""

    info: ObjectInfo
    """Of the whole object, also when only a range of it was read."""
    data: Buffer


@dataclass(frozen=True, slots=True)
class PutRequest:
    """One put among several; see `BlockingObjectStore.put_many`."""

    key: str
    body: Body
    if_generation: Generation | None = None


class ObjectStore(ABC):
    """What both kinds share: a name for the place, and for the objects in it."""

    url: str
    """Where the store is: ``file:///…``, ``memory://…``, ``gs://…``. Never ends in ``/``, never carries a secret."""

    @abstractmethod
    def location(self, path: str) -> str:
        """What a user calls *path* outside the store: an absolute file path, or a URI. No I/O."""

    @abstractmethod
    def relative(self, location: str) -> str | None:
        """The inverse of `location`; None when *location* is no location at all, but might be a path.

        Raises:
            InvalidPathError: *location* is a location, but of something outside this store.
        """

    @abstractmethod
    def config(self) -> Mapping[str, JSON]:
        """The configuration, for ``to_dict``: JSON, and without secrets."""

    @abstractmethod
    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the configuration, never as open clients or files."""


class BlockingObjectStore(ObjectStore):
    """An object store of plain functions, called in worker threads. Thread-safe."""

    trusted_by_default = False
    """Whether an artifact store over this one trusts everything unless told otherwise. See `doubt`."""

    @abstractmethod
    def put(self, key: str, body: Body, *, if_generation: Generation | None = None) -> ObjectInfo:
        """Store *body* under *key*; visible only when complete.

        Exceptions raised by the body pass through unchanged, after everything written for it is removed.

        Raises:
            ArtifactExistsError: *if_generation* is 0 and the key exists.
            ConflictError: *if_generation* is another generation than the present one.
        """

    def put_many(self, puts: Sequence[PutRequest]) -> list[ObjectInfo | BaseException]:
        """Store several objects; each is all-or-nothing by itself. A store may make them durable together.

        An answer is the object's info or the exception that its put raised, in the order of *puts*. Exceptions that are not
        `Exception` s (`KeyboardInterrupt`) are raised.
        """
        answers: list[ObjectInfo | BaseException] = []
        for put in puts:
            try:
                answers.append(self.put(put.key, put.body, if_generation=put.if_generation))
            except Exception as error:
                answers.append(error)
        return answers

    @abstractmethod
    def get(
        self, key: str, *, start: int = 0, length: int | None = None, into: memoryview | None = None
    ) -> ObjectData:
        """Read an object, or *length* bytes of it from *start*, in one piece.

        With *into*, a writable byte view, the bytes are read there and the answer's data is the filled beginning of it. A range
        beyond the end gives what there is. ``info.generation`` is set when the whole object was asked for, and no *into*.

        Raises:
            ArtifactNotFoundError: the key is missing, or is not an object (a folder, a link, a device).
        """

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Say what is known of an object without reading it.

        Raises:
            ArtifactNotFoundError: the key is missing, or is not an object.
        """

    @abstractmethod
    def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        """Remove an object, and folders that it leaves empty. A missing key is not an error.

        Raises:
            ConflictError: the key exists, with another generation than *if_generation*.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, name: str | None = None) -> Iterator[ObjectInfo]:
        """Iterate over every object under *prefix*, recursively and by whole segments; ``""`` is everything.

        With *name*, only objects whose last segment is *name*. (A local store then need not enter folders of parts.)
        """

    def map(self, key: str) -> memoryview | None:
        """Map a whole object read-only into memory, or None where the store cannot.

        The view stays valid when the object is deleted or replaced meanwhile (POSIX).

        Raises:
            ArtifactNotFoundError: the key is missing, or is not an object.
        """
        return None

    def file(self, key: str) -> str | None:
        """The path of a real, regular file that holds exactly the object, to be read only; None where there is none."""
        return None

    def sweep_drafts(self, before: float, *, dry_run: bool) -> builtins.list[ObjectInfo]:
        """Remove what killed puts have left: temporary files last written before *before* (Unix time), and empty folders.

        Returns the temporary files, removed or, with *dry_run*, to be removed. A store that leaves none has none to remove.
        """
        return []

    def validate(self) -> None:
        """Check that the store can be used at all: reachable, writable.

        Raises:
            StoreError: it cannot; the message says why.
        """

    def doubt(self) -> str | None:
        """Say, for a message, who else may have written here and what to do about it. May block.

        None when everything here was written by us, or by people we must trust anyway.
        """
        return None if self.trusted_by_default else f"others may be able to write to {self.url}"


class AsyncBody(Protocol):
    """A body as an async store sees it: repeatable chunks. Provided by the engine."""

    size: int | None
    """Bytes, when known beforehand."""
    crc32c: int | None
    """Of the whole, when known beforehand."""
    buffers: tuple[memoryview, ...] | None
    """The bytes themselves, when they lie in memory; to be sliced and sent without a copy."""

    def chunks(self, size: int) -> AsyncIterator[Buffer]:
        """Iterate over the bytes from the beginning, in chunks of exactly *size* bytes but for the last.

        May be called again after a failure. At most one iteration at a time. A chunk is valid until the next is asked for.
        Close the iterator (``aclose``) when leaving it early.
        """
        ...


class AsyncObjectStore(ObjectStore):
    """An object store of coroutines, called on one event loop at a time. Verbs as in `BlockingObjectStore`."""

    @abstractmethod
    async def put(self, key: str, body: AsyncBody, *, if_generation: Generation | None = None) -> ObjectInfo:
        """See `BlockingObjectStore.put`. The answer's crc32c is the back end's own, for the caller to compare."""

    @abstractmethod
    async def get(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        into: memoryview | None = None,
        generation: Generation | None = None,
    ) -> ObjectData:
        """See `BlockingObjectStore.get`. *generation* pins the read: another one counts as missing.

        One stream: ranges in parallel, and trying again from the beginning, are the engine's.
        """

    @abstractmethod
    async def head(self, key: str) -> ObjectInfo:
        """See `BlockingObjectStore.head`."""

    @abstractmethod
    async def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        """See `BlockingObjectStore.delete`."""

    @abstractmethod
    def list(self, prefix: str = "", *, name: str | None = None) -> AsyncIterator[ObjectInfo]:
        """See `BlockingObjectStore.list`."""

    async def validate(self) -> None:
        """See `BlockingObjectStore.validate`."""

    async def aclose(self) -> None:
        """Close connections. The store may be used again; it then opens new ones."""


def join(body: Buffers) -> bytes:
    """Small bodies in one piece."""
    return bytes(body.buffers[0]) if len(body.buffers) == 1 else b"".join(body.buffers)
