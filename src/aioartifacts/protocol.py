"""What is done to an artifact, and in which order: save and delete, as generators of operations; load is in `reading`.

A generator yields an operation, or several that may run at once, and is sent the answer, or thrown the error. It does no I/O and
knows no thread and no loop; `aioartifacts.drivers` and `aioartifacts.transfer` carry the operations out. So the order that makes a
save atomic stands in one place, for every store and for both colours:

* save: encode → parts under names never used before → the record, which is the commit → the parts of the record it replaced;
* load: record → may it be decoded here? → parts, verified → decode;
* delete: the record → exactly the parts it names.

A driver that is cancelled throws into the generator and goes on carrying out what that answers: its cleaning up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aioartifacts import legacy
from aioartifacts.checksum import hex32
from aioartifacts.errors import (
    ArtifactError,
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    EncodeError,
    RecordError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.keys import part_files, record_key
from aioartifacts.materializers.base import FAILURES, Body, Declined, Dump, Materializer, Part
from aioartifacts.objects.base import ObjectData
from aioartifacts.operations import (
    Commit,
    Compute,
    Config,
    Delete,
    Get,
    Head,
    Inlined,
    Put,
    Steps,
    Stored,
    Uncertain,
    Wait,
)
from aioartifacts.previews import describe
from aioartifacts.reading import describe_folder, environment
from aioartifacts.record import (
    ForeignRecord,
    PartRecord,
    Record,
    check_metadata,
    decode_record,
    encode_record,
    is_newer,
    new_write_id,
    owner_of,
)
from aioartifacts.types import GRACE, JSON, Generation

_log = logging.getLogger("aioartifacts")


# Save ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object after its materializer has been found."""

    materializer: Materializer
    dump: Dump
    type: str
    summary: Mapping[str, Any]
    environment: dict[str, str]

    @property
    def safe(self) -> bool:
        """Whether it can be decoded without running code from it."""
        return self.materializer.safe if self.dump.safe is None else self.dump.safe


def save(
    obj: object,
    path: str,
    config: Config,
    *,
    metadata: Mapping[str, JSON] | None = None,
    overwrite: bool = True,
    format: str | None = None,
    producer: Mapping[str, str] | None = None,
) -> Steps[None]:
    """Encode, put the parts, commit, remove what was replaced."""
    if not overwrite:
        yield from _refuse_existing(path)
    started = config.clock()
    kept: dict[str, Any]
    encoded: Encoded
    kept, encoded = yield Compute(lambda: (check_metadata(metadata, path), encode(obj, path, config, format)))
    attempt = 0
    while (replaced := (yield from _write(path, encoded, config, kept, overwrite, dict(producer or {}), started))) is None:
        yield from _await_turn(path, config, started, attempt, None)
        attempt += 1
    yield from _remove(path, replaced)
    if config.unloadable is not None and format is None and not encoded.safe:
        _tell_once(path, encoded.materializer.format, config.unloadable)


def _tell_once(path: str, format: str, told: set[str]) -> None:
    if format not in told:
        told.add(format)
        _log.warning(
            "%r is saved as %r, which this store will not load, as decoding it can run code: open it with trust='all' if you trust "
            "whoever can write to it, or with signing_key=…; told once for each format",
            path,
            format,
        )


def _write(
    path: str,
    encoded: Encoded,
    config: Config,
    metadata: dict[str, Any],
    overwrite: bool,
    producer: dict[str, str],
    started: float,
) -> Steps[tuple[str, ...] | None]:
    """Put the parts under fresh names and commit. Returns the keys of the parts that have been replaced.

    None when it has to be done again with other names: a rival may have replaced this very write already, and removed its parts.
    """
    write_id = new_write_id()
    parts = encoded.dump.parts
    files = part_files(write_id, tuple(part.name for part in parts))
    room = _inline_room(encoded.dump, config.inline_max)
    puts = tuple(
        Put(path, f"{path}/{file}", part.body, inline_max=room, sha256=bool(config.keys))
        for part, file in zip(parts, files, strict=True)
    )
    try:
        placed: tuple[Stored | Inlined, ...] = (yield puts) if puts else ()
        record = _record(path, write_id, encoded, placed, files, metadata, producer)
        data: bytes
        if config.keys or metadata:  # a key may have to be fetched, and metadata may be large
            data = yield Compute(lambda: encode_record(record, config.keys))
        else:
            data = encode_record(record, config.keys)
        if config.clock() - started > GRACE:
            raise StoreError(
                f"saving {path!r} took longer than {GRACE:g} s; a sweep may have taken its parts for leftovers, so save it again",
                path=path,
            )
    except GeneratorExit:
        raise  # the loop is gone, and nobody carries out anything any more
    except BaseException:
        yield from _discard(path, puts)
        raise
    try:
        return (yield from _commit(path, record, data, config, overwrite))
    except TransientStoreError:
        raise  # the commit may yet arrive, so the parts must stay; if it never does, a sweep removes them
    except Uncertain as uncertain:
        if isinstance(uncertain.error, ArtifactExistsError | ConflictError):
            return None
        raise uncertain.error from uncertain.error.__cause__  # as above
    except (ArtifactExistsError, ConflictError):
        yield from _discard(path, puts)
        raise
    except GeneratorExit:
        raise  # as above
    except BaseException:
        # Neither an interruption nor a failing disk says whether the record is in place, so look.
        if not (yield from _is_committed(path, write_id)):
            yield from _discard(path, puts)
        raise


def _discard(path: str, puts: tuple[Put, ...]) -> Steps[None]:
    """Remove the parts of a save that failed. Should that fail too, the first error is the one to hear of."""
    try:
        yield tuple(Delete(put.key) for put in puts)
    except ArtifactError as error:
        _log.warning("parts of a failed save remain until a sweep: %s: %s", path, error)


def _is_committed(path: str, write_id: str) -> Steps[bool]:
    """Whether the record is that of this write; also true when that cannot be found out, since then nothing may be removed."""
    try:
        found: ObjectData = yield Get(record_key(path))
        return decode_record(found.data, path).record.write_id == write_id
    except (ArtifactNotFoundError, RecordError, ForeignRecord):
        return False
    except ArtifactError:
        return True


def _refuse_existing(path: str) -> Steps[None]:
    """Spare the upload when the outcome is plain; the commit decides all the same."""
    try:
        yield Head(record_key(path))
    except ArtifactNotFoundError:
        return
    raise _exists(path)


def _exists(path: str) -> ArtifactExistsError:
    return ArtifactExistsError(
        f"{path!r} exists already, and overwrite=False was asked for; choose another path or overwrite", path=path
    )


def encode(obj: object, path: str, config: Config, format: str | None) -> Encoded:
    """Find the first materializer that can hold *obj* exactly, and let it dump.

    Raises:
        EncodeError: none can, or one failed.
    """
    declined: list[str] = []
    try:
        for materializer in config.materializers.candidates(obj, format):
            try:
                dump = materializer.dump(obj)
                if (wrong := _misshapen(dump)) is not None:
                    raise EncodeError(
                        f"{path!r}: the materializer {materializer.name!r} gave {wrong}; "
                        "its dump() returns Dump([Part(name, Buffers(data)), …])",
                        path=path,
                    )
                summary = describe(materializer, dump, obj, path, previews=config.previews)
            except Declined as reason:
                declined.append(f"{materializer.format}: {reason}")
                continue
            return Encoded(materializer, dump, _type_name(type(obj)), summary, environment(materializer))
    except ArtifactError:
        raise
    except FAILURES as error:  # in `accepts`, too
        raise encode_error(obj, path, error) from error
    raise EncodeError(
        f"{path!r}: a {_type_name(type(obj))} cannot be saved exactly"
        + (f" as {format!r}" if format else "")
        + (f" ({'; '.join(declined)})" if declined else "")
        + ("; leave out format= to let the library choose" if format else "; register a materializer for it"),
        path=path,
    )


def _misshapen(dump: object) -> str | None:
    """What is wrong with what a materializer, which anybody may have written, calls a dump; None when it is one."""
    if not isinstance(dump, Dump):
        return f"a {type(dump).__name__}"
    parts: Any = dump.parts
    meta: Any = dump.meta
    if not isinstance(parts, Sequence):
        return f"a Dump of a {type(parts).__name__}"
    if not isinstance(meta, Mapping):
        return f"meta of type {type(meta).__name__}"
    for part in parts:
        if not isinstance(part, Part):
            return f"a {type(part).__name__} among the parts"
        name: Any = part.name
        body: Any = part.body
        if not isinstance(name, str):
            return f"a part the name {name!r}"
        if not isinstance(body, Body):
            return f"the part {name!r} a body of type {type(body).__name__}"
    if len(parts) > 1 and len({part.name for part in parts}) != len(parts):
        return f"two parts one name: {[part.name for part in parts]}"
    return None


def encode_error(obj: object, path: str, cause: BaseException) -> EncodeError:
    """What a materializer's failure becomes."""
    return EncodeError(
        f"{path!r}: encoding a {_type_name(type(obj))} failed: {type(cause).__name__}: {cause}", path=path
    )


def _type_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _inline_room(dump: Dump, inline_max: int) -> int:
    """Bytes up to which each part goes into the record, such that all together stay within *inline_max*."""
    if len(dump.parts) == 1:
        return inline_max
    sizes = [part.body.size for part in dump.parts if part.body.size is not None]
    if sum(sizes) > inline_max:
        return -1
    return inline_max if len(sizes) == len(dump.parts) else inline_max // len(dump.parts)


def _record(
    path: str,
    write_id: str,
    encoded: Encoded,
    placed: tuple[Stored | Inlined, ...],
    files: tuple[str, ...],
    metadata: dict[str, Any],
    producer: dict[str, str],
) -> Record:
    materializer, dump = encoded.materializer, encoded.dump
    parts = tuple(
        PartRecord(name=part.name, size=got.size, crc32c=hex32(got.crc32c), sha256=got.sha256, file=file)
        if isinstance(got, Stored)
        else PartRecord(name=part.name, size=len(got.data), crc32c=hex32(got.crc32c), sha256=got.sha256, data=got.data)
        for part, got, file in zip(dump.parts, placed, files, strict=True)
    )
    return Record(
        path=path,
        write_id=write_id,
        type=encoded.type,
        serializer=materializer.name,
        format=materializer.format,
        file=parts[0].file if parts else None,
        size=sum(part.size for part in parts),
        parts=parts,
        created=datetime.now(UTC).isoformat(),
        environment=encoded.environment,
        producer=producer,
        summary=dict(encoded.summary),
        metadata=metadata,
        meta=dict(dump.meta),
        safe=encoded.safe,
    )


def _commit(path: str, record: Record, data: bytes, config: Config, overwrite: bool) -> Steps[tuple[str, ...]]:
    """Put the record: create it, or replace exactly the one that was read. Returns the keys of the parts that one named."""
    key = record_key(path)
    expected: Generation = 0
    replaced: tuple[str, ...] = ()
    uncertain: Uncertain | None = None
    started, attempt = config.clock(), 0
    while True:
        try:
            yield Commit(key, data, expected)
            return replaced
        except Uncertain as error:
            if not isinstance(error.error, ArtifactExistsError | ConflictError):
                raise
            uncertain, refused = error, error.error
        except (ArtifactExistsError, ConflictError) as error:
            refused = error
        yield from _await_turn(path, config, started, attempt, refused)
        attempt += 1
        try:
            found: ObjectData = yield Get(key, versioned=True)
        except ArtifactNotFoundError:
            if uncertain is not None:
                raise uncertain from None
            expected, replaced = 0, ()
            continue
        write_id, parts = _previous(found, path)
        if write_id == record.write_id:
            return replaced  # our own commit, whose answer was lost
        if not overwrite:
            raise _exists(path)
        if uncertain is not None and _part_keys(record):
            raise uncertain
        if found.info.generation is None:
            raise ConflictError(f"{path!r} exists, and the store cannot tell which version of it", path=path)
        expected, replaced, uncertain = found.info.generation, parts, None


def _await_turn(path: str, config: Config, started: float, attempt: int, refused: ArtifactError | None) -> Steps[None]:
    """Wait before trying once more to replace what others replace too; the first time not at all.

    Raises:
        ConflictError: that has been going on for too long.
    """
    if attempt == 0:
        return
    if config.clock() - started > config.retry.deadline:
        raise ConflictError(
            f"{path!r} was replaced by others again and again for {config.retry.deadline:g} s; save again later, "
            "or under a path of its own",
            path=path,
        ) from refused
    yield Wait(min(config.retry.delay(attempt - 1), 1.0))


def _previous(found: ObjectData, path: str) -> tuple[str | None, tuple[str, ...]]:
    """Write id and keys of the parts of the record to be replaced. Of a damaged one nobody knows; a sweep removes what it named.

    Raises:
        ConflictError: it is not ours to replace.
        RecordError: it was written by a newer version.
    """
    try:
        record = decode_record(found.data, path).record
    except ForeignRecord:
        described = legacy.describe_folder(path, bytes(found.data))
        if described is None:
            raise ConflictError(
                f"saving {path!r} would overwrite a metadata.json that neither aioartifacts nor FlowyML wrote; choose another path, "
                "or move it away",
                path=path,
            ) from None
        return None, described.keys
    except RecordError as error:
        if is_newer(error):
            raise
        other = owner_of(found.data)
        if other is not None and other != path:
            raise ConflictError(
                f"saving {path!r} would overwrite {other!r}: the disk does not tell the two names apart; choose another path",
                path=path,
            ) from error
        return None, ()
    return record.write_id, _part_keys(record)


def _part_keys(record: Record) -> tuple[str, ...]:
    return tuple(f"{record.path}/{part.file}" for part in record.parts if part.file is not None)


def _remove(path: str, keys: tuple[str, ...]) -> Steps[None]:
    """Remove the parts that a record named. It is out of sight already, so a failure leaves work for a sweep, and no more."""
    if keys:
        try:
            yield tuple(Delete(key) for key in keys)
        except ArtifactError as error:
            _log.warning("parts of a replaced or deleted artifact remain until a sweep: %s: %s", path, error)


# Delete -------------------------------------------------------------------------------------------------------------


def delete(path: str, config: Config) -> Steps[bool]:
    """Remove the record, then the parts it names; the answer is whether there was an artifact."""
    key = record_key(path)
    started, attempt = config.clock(), 0
    while True:
        try:
            got: ObjectData = yield Get(key, versioned=True)
        except ArtifactNotFoundError:
            return (yield from _delete_bare(path))
        parts: tuple[str, ...] = ()
        try:
            parts = _part_keys(decode_record(got.data, path).record)
        except ForeignRecord:
            described, _ = yield from describe_folder(path, got)
            parts = described.keys
        except RecordError as error:
            if is_newer(error):
                raise
            # What it named cannot be known; a sweep removes it.
        try:
            yield Delete(key, if_generation=got.info.generation)
            break
        except ConflictError:
            if config.clock() - started > config.retry.deadline:
                raise
            yield Wait(min(config.retry.delay(attempt), 1.0))
            attempt += 1
    yield from _remove(path, parts)
    return True


def _delete_bare(path: str) -> Steps[bool]:
    """A bare pickle of FlowyML's. The metadata file stays: other pickles may share it."""
    try:
        yield Head(path)
    except ArtifactNotFoundError:
        return False
    yield Delete(path)
    return True
