"""What becomes of a put: its body is counted and digested as it passes, kept in the record if it stays small, and compared once stored."""

from __future__ import annotations

from typing import Any

from aioartifacts.budget import LARGE
from aioartifacts.checksum import Digest, hex32
from aioartifacts.engine import first_with_notes
from aioartifacts.errors import ArtifactError, EncodeError, IntegrityError
from aioartifacts.jobs import Job
from aioartifacts.materializers.base import FAILURES
from aioartifacts.objects.base import BlockingObjectStore, Body, Buffers, PutRequest, Sink, join
from aioartifacts.operations import Inlined, Put, Stored
from aioartifacts.types import MIB, Buffer, ObjectInfo


class _Inline(Exception):
    """Raised by a body at its end to say that it was so small that there is nothing to store."""


class CountedBody(Body):
    """A body that counts and digests what passes, a bounded piece at a time, and keeps it in memory up to *inline_max* bytes.

    Small or large is decided here alone: nothing reaches the store's sink before the limit is passed, and a body that never
    passes it ends by raising, so that the store has nothing to keep.
    """

    def __init__(self, put: Put, job: Job[Any]) -> None:
        self.size = put.body.size
        self.digest = Digest(sha256=put.sha256)
        self.inlined: bytes | None = None
        self._put = put
        self._job = job

    def write_to(self, sink: Sink) -> None:
        self.digest = Digest(sha256=self._put.sha256)
        counting = CountingSink(sink, self.digest, self._job, self._put.inline_max)
        produce(self._put, counting)
        if counting.held is not None:
            self.inlined = bytes(counting.held)
            raise _Inline

    def answer(self) -> Stored | Inlined:
        """What became of the body, once it has been put."""
        digest = self.digest
        if self.inlined is not None:
            return Inlined(self.inlined, digest.crc32c, digest.sha256)
        return Stored(digest.size, digest.crc32c, digest.sha256)


class CountingSink:
    """What a producer writes to: counts, digests, looks whether anybody still wants it, and passes on."""

    def __init__(self, sink: Sink, digest: Digest, job: Job[Any], inline_max: int, *, outgrows: bool = True) -> None:
        self._outgrows = outgrows
        self.held: bytearray | None = bytearray() if inline_max >= 0 else None
        self.failure: BaseException | None = None
        self._sink = sink
        self._digest = digest
        self._job = job
        self._inline_max = inline_max

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data)
        if view.format != "B" or view.ndim != 1:
            view = view.cast("B")
        size = view.nbytes
        if self.held is not None and len(self.held) + size <= self._inline_max:
            self._digest.update(view)
            self.held += view
            return size
        try:
            if self.held:
                self._sink.write(self.held)
            self.held = None
            for start in range(0, size, MIB):
                self._job.check()
                piece = view[start : start + MIB]
                self._digest.update(piece)
                if self._outgrows and self._digest.size > LARGE:
                    self._job.outgrow()
                self._sink.write(piece)
        except BaseException as error:
            self.failure = error
            raise
        return size


def produce(put: Put, sink: CountingSink) -> None:
    """Write a part's body to *sink*; what the materializer raises becomes an `EncodeError`, what the sink raises stays what it is."""
    try:
        put.body.write_to(sink)
    except FAILURES as error:
        if sink.failure is not None:
            raise sink.failure from None  # whatever the materializer has made of it
        if isinstance(error, ArtifactError):
            raise
        raise EncodeError(f"{put.path!r}: encoding failed: {type(error).__name__}: {error}", path=put.path) from error
    if sink.failure is not None:
        raise sink.failure  # and the materializer has made nothing of it


def inline(put: Put) -> Inlined | None:
    """The answer to a put whose body is known to be small, without asking any store."""
    body = put.body
    if type(body) is not Buffers or body.size > put.inline_max:
        return None
    digest = Digest(sha256=put.sha256)
    digest.update(data := join(body))
    return Inlined(data, digest.crc32c, digest.sha256)


def put_one(put: Put, objects: BlockingObjectStore, job: Job[Any]) -> Stored | Inlined:
    """Carry out one put, and compare what the store says it holds with what it was given."""
    small = inline(put)
    if small is not None:
        return small
    body = CountedBody(put, job)
    try:
        info = objects.put(put.key, body)
    except _Inline:
        return body.answer()
    check_stored(put, info, body.digest)
    return body.answer()


def put_all(puts: list[Put], objects: BlockingObjectStore, job: Job[Any]) -> tuple[Stored | Inlined, ...]:
    """Carry out several puts side by side; of several failures the first is raised, the others are its notes."""
    job.check()
    answers: list[Stored | Inlined | None] = [inline(put) for put in puts]
    left = [index for index, answer in enumerate(answers) if answer is None]
    bodies = [CountedBody(puts[index], job) for index in left]
    stored = objects.put_many([PutRequest(puts[i].key, body) for i, body in zip(left, bodies, strict=True)])
    failures: list[BaseException] = []
    for index, body, info in zip(left, bodies, stored, strict=True):
        if isinstance(info, BaseException) and not isinstance(info, _Inline):
            failures.append(info)
            continue
        if isinstance(info, ObjectInfo):
            check_stored(puts[index], info, body.digest)
        answers[index] = body.answer()
    if failures:
        raise first_with_notes(failures)
    return tuple(answer for answer in answers if answer is not None)


def check_stored(put: Put, info: ObjectInfo, digest: Digest) -> None:
    """Compare what the store says it holds with what was handed to it.

    Raises:
        IntegrityError: bytes were lost or changed on the way.
    """
    if info.size != digest.size:
        expected: object = digest.size
        actual: object = info.size
    elif info.crc32c is not None and info.crc32c != digest.crc32c:
        expected, actual = hex32(digest.crc32c), hex32(info.crc32c)
    else:
        return
    raise IntegrityError(
        f"{put.path!r}: the store holds something else than it was given under {put.key!r}; save again",
        path=put.path,
        expected=expected,
        actual=actual,
    )
