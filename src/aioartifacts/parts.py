"""The parts of an artifact as a materializer is given them: fetched, verified, and then handed out."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from aioartifacts.checksum import Digest, hex32
from aioartifacts.errors import ArtifactError, IntegrityError
from aioartifacts.jobs import Job
from aioartifacts.materializers.base import Parts
from aioartifacts.objects.base import BlockingObjectStore
from aioartifacts.operations import Decode, Source
from aioartifacts.types import MIB

if TYPE_CHECKING:
    import tempfile

T = TypeVar("T")

PIECE = 4 * MIB
"""Bytes read and digested at a time."""
_HUGE = 8 * MIB
"""Bytes from which the system is asked for large pages, as NumPy asks: fresh memory is found in fewer, larger steps."""
_HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)
_ZEROS = "/dev/zero"
_PRIVATE: int | None = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if hasattr(mmap, "MAP_PRIVATE") else None
_MAPPED = MIB
"""Bytes from which memory for a part comes straight from the system: it is not zeroed first, and goes back when it is let go."""


def with_parts(parts: VerifiedParts, call: Callable[[Parts], T]) -> T:
    """Call with *parts* and close them. A failure to read them is what is raised, whatever the caller has made of it."""
    try:
        return call(parts)
    except Exception:
        if parts.failure is not None:
            raise parts.failure from None
        raise
    finally:
        parts.close()


def memory_stream(data: memoryview) -> BinaryIO:
    """A seekable, buffered stream over memory, which it lets go of when it is closed."""
    return io.BufferedReader(_MemoryStream(data), MIB)


def allocate(size: int) -> memoryview:
    """Writable memory for *size* bytes. Large pieces come straight from the system, so they are not zeroed by hand first."""
    if size < _MAPPED:
        return memoryview(bytearray(size))
    # Private: the default, shared, is a file in memory, which takes no large pages, and which forked children would write to.
    memory = mmap.mmap(-1, size, flags=_PRIVATE) if _PRIVATE is not None else mmap.mmap(-1, size)
    if size >= _HUGE and _HUGE_PAGES is not None:
        with suppress(OSError):  # a kernel without them
            memory.madvise(_HUGE_PAGES)
    return memoryview(memory)


def populate(memory: memoryview) -> None:
    """Have the system find the pages of fresh memory now, without the interpreter lock: the event loop would wait for it."""
    if not (hasattr(os, "readv") and os.path.exists(_ZEROS)):
        return
    with open(_ZEROS, "rb", buffering=0) as zeros:
        done = 0
        while done < len(memory) and (got := os.readv(zeros.fileno(), [memory[done:]])):
            done += got


class VerifiedParts(Parts):
    """What all stores have in common: inlined parts, verification once per part, temporary files, streams."""

    def __init__(self, operation: Decode[Any], job: Job[Any]) -> None:
        self.names = tuple(source.name for source in operation.sources)
        self.meta = operation.meta
        self.options = operation.options
        self.failure: ArtifactError | None = None
        """The first part that could not be read."""
        self._job = job
        self._path = operation.path
        self._trusted = operation.trusted
        self._sources = {source.name: source for source in operation.sources}
        self._sound: set[str] = set()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def trusted(self) -> bool:  # type: ignore[override] # an attribute, found when first asked for
        """See `Parts.trusted`."""
        return self._trusted()

    def _source(self, name: str) -> Source:
        try:
            return self._sources[name]
        except KeyError:
            there = ", ".join(map(repr, self.names[:10]))
            raise self._failed(
                IntegrityError(f"{self._path!r} has no part {name!r}; there are {there or 'none'}", path=self._path)
            ) from None

    def _failed(self, error: ArtifactError) -> ArtifactError:
        self.failure = self.failure or error
        return error

    def size(self, name: str) -> int:
        return self._source(name).size

    def check(self, source: Source, digest: Digest) -> None:
        """Compare what was read of a part with what was recorded.

        Raises:
            IntegrityError: they differ.
        """
        expected: object = source.size
        actual: object = digest.size
        if expected == actual and self.options.verify:
            if source.crc32c is not None:
                expected, actual = source.crc32c, hex32(digest.crc32c)
            if expected == actual and source.sha256 is not None:
                expected, actual = source.sha256, digest.sha256
        if expected != actual:
            raise self._failed(
                IntegrityError(
                    f"part {source.name!r} of {self._path!r} is damaged: {expected} was written, {actual} is there; restore it from a copy",
                    path=self._path,
                    expected=expected,
                    actual=actual,
                )
            )
        self._sound.add(source.name)

    def _digest(self, source: Source) -> Digest:
        return Digest(sha256=source.sha256 is not None and self.options.verify)

    def _verify(self, source: Source, data: memoryview) -> None:
        """Check a part that lies mapped in memory; only its size, when verification is off."""
        if source.name in self._sound:
            return
        digest = self._digest(source)
        if self.options.verify and len(data) == source.size:
            for start in range(0, len(data), PIECE):
                self._job.check()
                digest.update(data[start : start + PIECE])
        else:
            digest.size = len(data)
        self.check(source, digest)

    def open(self, name: str) -> BinaryIO:
        source = self._source(name)
        if source.data is not None:
            return io.BytesIO(source.data)
        return io.BufferedReader(self._stream(source), MIB)

    def _stream(self, source: Source) -> io.RawIOBase:
        """A raw, seekable stream over a verified part that was not inlined."""
        return _MemoryStream(self.read(source.name))

    def temporary(self, name: str) -> str:
        """Where a part may be copied to, for as long as this object is open."""
        if self._folder is None:
            import tempfile  # slow to import, and rarely needed

            self._folder = tempfile.TemporaryDirectory(prefix="aioartifacts-")
        index = self.names.index(name)
        os.makedirs(folder := os.path.join(self._folder.name, str(index)), exist_ok=True)
        leaf = os.path.basename(name)
        return os.path.join(folder, "part" if leaf in ("", os.curdir, os.pardir) else leaf)

    def path(self, name: str) -> str:
        path = self.temporary(name)
        if not os.path.exists(path):
            with open(path, "xb", buffering=0) as file, self.open(name) as stream:
                while chunk := stream.read(MIB):
                    file.write(chunk)
        return path

    def close(self) -> None:
        """Remove temporary files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class StoredParts(VerifiedParts):
    """Parts read from a blocking store when they are asked for, and verified before they are handed out."""

    def __init__(self, operation: Decode[Any], objects: BlockingObjectStore, job: Job[Any]) -> None:
        super().__init__(operation, job)
        self._objects = objects

    def read(self, name: str) -> memoryview:
        source = self._source(name)
        if source.key is None:
            data = source.data or b""
            return memoryview(data) if self.options.mmap else memoryview(bytearray(data))
        try:
            if self.options.mmap:
                mapped = self._objects.map(source.key)
                if mapped is not None:
                    self._verify(source, mapped)
                    return mapped
            return self._read(source, source.key)
        except ArtifactError as error:
            raise self._failed(error) from error.__cause__

    def _read(self, source: Source, key: str) -> memoryview:
        """Read a piece and digest it while it is in the processor's cache, then the next."""
        digest = self._digest(source)
        if source.size > PIECE:  # worth a look whether that much is there at all, before it is made room for
            digest.size = self._objects.head(key).size
            if digest.size != source.size:
                self.check(source, digest)
            digest.size = 0
        memory = allocate(source.size)
        for start in range(0, source.size, PIECE):
            self._job.check()
            piece = memory[start : start + PIECE]
            got = self._objects.get(key, start=start, length=len(piece), into=piece)
            if got.info.size != source.size:
                digest.size = got.info.size
                break
            if self.options.verify:
                digest.update(got.data)
            else:
                digest.size += len(got.data)
        self.check(source, digest)
        return memory

    def _stream(self, source: Source) -> io.RawIOBase:
        mapped = None if source.key is None else self._map(source.key)
        if mapped is None:
            return super()._stream(source)
        self._verify(source, mapped)
        return _MemoryStream(mapped)

    def _map(self, key: str) -> memoryview | None:
        try:
            return self._objects.map(key)
        except ArtifactError as error:
            raise self._failed(error) from error.__cause__

    def path(self, name: str) -> str:
        source = self._source(name)
        file = None if source.key is None else self._objects.file(source.key)
        if file is None or not os.path.basename(file).endswith(os.path.basename(name)):
            return super().path(name)
        self._stream(source).close()  # verifies
        return file


class FetchedParts(VerifiedParts):
    """Parts that have been fetched into memory, or into temporary files mapped into it, and are verified when first asked for."""

    def __init__(self, operation: Decode[Any], job: Job[Any], fetched: Mapping[str, memoryview]) -> None:
        super().__init__(operation, job)
        self._fetched = fetched

    def read(self, name: str) -> memoryview:
        source = self._source(name)
        if source.key is None:
            return memoryview(bytearray(source.data or b""))
        data = self._fetched[name]
        self._verify(source, data)
        return data.toreadonly() if self.options.mmap else data


class _MemoryStream(io.RawIOBase):
    """A raw stream over memory, which it lets go of when it is closed."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        size = max(0, min(len(view), len(self._data) - self._at))
        view[:size] = self._data[self._at : self._at + size]
        self._at += size
        return size

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = {0: 0, 1: self._at, 2: len(self._data)}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}")
        self._at = start + offset
        return self._at

    def close(self) -> None:
        self._data = memoryview(b"")
        super().close()
