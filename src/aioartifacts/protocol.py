"""What is done to an artifact, and in which order: save, load, delete and look, as generators of operations.

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
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aioartifacts import legacy
from aioartifacts.checksum import hex32
from aioartifacts.errors import (
    ArtifactError,
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    DecodeError,
    EncodeError,
    IntegrityError,
    RecordError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.keys import part_files, record_key
from aioartifacts.materializers.base import Declined, Dump, Materializer, MaterializerLookup, Parts
from aioartifacts.objects.base import ObjectData
from aioartifacts.operations import (
    Commit,
    Compute,
    Decode,
    Delete,
    Get,
    Head,
    Inlined,
    ListUnder,
    Put,
    Source,
    Steps,
    Stored,
    Uncertain,
    Wait,
)
from aioartifacts.record import (
    Decoded,
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
from aioartifacts.trust import Keyring, check_trust
from aioartifacts.types import GRACE, INLINE_MAX, JSON, Generation, LoadOptions, ObjectInfo, RetryPolicy, Trust

_log = logging.getLogger("aioartifacts")


@dataclass(frozen=True, slots=True)
class Config:
    """What the steps need to know of the store they work for."""

    materializers: MaterializerLookup
    trust: Trust | None = None
    """None for what `default_trust` says."""
    default_trust: Callable[[], Trust] = lambda: "data"
    """May block, so it is asked in a worker, and only when the answer matters."""
    keys: Keyring = field(default_factory=Keyring)
    inline_max: int = INLINE_MAX
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], float] = time.monotonic


# Save ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object after its materializer has been found."""

    materializer: Materializer
    dump: Dump
    type: str
    summary: Mapping[str, Any]


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
    kept = check_metadata(metadata, path)
    started = config.clock()
    encoded: Encoded = yield Compute(lambda: encode(obj, path, config.materializers, format))
    replaced = None
    while replaced is None:
        replaced = yield from _write(path, encoded, config, kept, overwrite, dict(producer or {}), started)
    yield from _remove(path, replaced)


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
        data = encode_record(record, config.keys)
        if config.clock() - started > GRACE:
            raise StoreError(
                f"saving {path!r} took longer than {GRACE:g} s; a sweep may have taken its parts for leftovers, so save it again",
                path=path,
            )
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


def encode(obj: object, path: str, materializers: MaterializerLookup, format: str | None) -> Encoded:
    """Find the first materializer that can hold *obj* exactly, and let it dump.

    Raises:
        EncodeError: none can, or one failed.
    """
    declined: list[str] = []
    for materializer in materializers.candidates(obj, format):
        try:
            dump = materializer.dump(obj)
            summary = materializer.summary(obj)
        except Declined as reason:
            declined.append(f"{materializer.format}: {reason}")
            continue
        except ArtifactError:
            raise
        except (Exception, SystemExit, GeneratorExit) as error:
            raise encode_error(obj, path, error) from error
        return Encoded(materializer, dump, _type_name(type(obj)), summary)
    raise EncodeError(
        f"{path!r}: a {_type_name(type(obj))} cannot be saved exactly"
        + (f" as {format!r}" if format else "")
        + (f" ({'; '.join(declined)})" if declined else "")
        + ("; leave out format= to let the library choose" if format else "; register a materializer for it"),
        path=path,
    )


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
        environment=environment(materializer),
        producer=producer,
        summary=dict(encoded.summary),
        metadata=metadata,
        meta=dict(dump.meta),
        safe=materializer.safe if dump.safe is None else dump.safe,
    )


def environment(materializer: Materializer) -> dict[str, str]:
    """Versions of the interpreter and of the packages that a format depends on."""
    versions = {"python": platform.python_version(), "aioartifacts": _own_version()}
    for package in materializer.packages:
        found = getattr(sys.modules.get(package), "__version__", None)
        if found is not None:
            versions[package] = str(found)
    return versions


@cache
def _own_version() -> str:
    try:
        return version("aioartifacts")
    except PackageNotFoundError:
        return "unknown"


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
            uncertain = error
        except (ArtifactExistsError, ConflictError) as error:
            if attempt > 0:
                if config.clock() - started > config.retry.deadline:
                    raise ConflictError(
                        f"{path!r} was replaced by others again and again for {config.retry.deadline:g} s; save again later, "
                        "or under a path of its own",
                        path=path,
                        operation="save",
                    ) from error
                yield Wait(min(config.retry.delay(attempt - 1), 1.0))
            attempt += 1
        try:
            found: ObjectData = yield Get(key)
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
                operation="save",
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
                operation="save",
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


# Load ---------------------------------------------------------------------------------------------------------------

_REREADS = 4
"""How often a load follows an artifact that is overwritten under its hands."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a record, or what stands for one in a tree that FlowyML wrote, says of an artifact."""

    path: str
    write_id: str
    type: str
    serializer: str
    format: str
    size: int
    sources: tuple[Source, ...]
    meta: Mapping[str, Any]
    safe: bool
    signed: bool
    """Whether the signature is there and one of the store's keys made it."""
    created: datetime | None
    environment: Mapping[str, str]
    producer: Mapping[str, str]
    summary: Mapping[str, Any]
    metadata: dict[str, Any]


def load(path: str, config: Config, options: LoadOptions) -> Steps[object]:
    """Read the record, decide on trust, fetch the parts, decode."""
    write_id = None
    for _ in range(_REREADS):
        found = yield from find(path, config)
        if found.write_id == write_id:
            break
        write_id = found.write_id
        materializer = config.materializers.for_format(found.format)
        safe = materializer.safe and found.safe
        trust = config.trust
        if trust is None:
            trust = "data" if safe else (yield Compute(config.default_trust))
        trusted = check_trust(path=path, format=found.format, safe=safe, signature_valid=found.signed, trust=trust)
        if trusted and trust == "signed" and not options.verify:
            options = replace(options, verify=True)  # the signature covers the digests, so it is worth as much as comparing them
        try:
            return (yield Decode(path, found.sources, found.meta, options, trusted, _decoder(materializer, found)))
        except ArtifactNotFoundError:
            continue
    raise _part_missing(path)


def _part_missing(path: str) -> IntegrityError:
    return IntegrityError(
        f"a part of {path!r} is missing, though its record is there; restore it from a copy, or save the artifact again",
        path=path,
    )


def _decoder(materializer: Materializer, found: Found) -> Callable[[Parts], object]:
    return lambda parts: decode(materializer, found, parts)


def decode(materializer: Materializer, found: Found, parts: Parts) -> object:
    """Let the materializer load; whatever goes wrong becomes a `DecodeError` that names the versions."""
    try:
        return materializer.load(parts)
    except ArtifactError as error:
        if error.path is None:
            error.path = found.path
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        here = environment(materializer)
        differ = [
            f"{package} {wrote} (here {here.get(package, 'not imported')})"
            for package, wrote in found.environment.items()
            if here.get(package) != wrote
        ]
        hint = (
            f"it was written with {', '.join(differ)}; try those versions"
            if differ
            else "the versions are the writer's"
        )
        raise DecodeError(
            f"{found.path!r}: decoding format {found.format!r} failed: {type(error).__name__}: {error}; {hint}",
            path=found.path,
            operation="load",
        ) from error


def find(path: str, config: Config) -> Steps[Found]:
    """Read the record under *path*, or describe what FlowyML left there.

    Raises:
        ArtifactNotFoundError: there is neither.
        RecordError: there is something, but it cannot be understood.
    """
    try:
        got: ObjectData = yield Get(record_key(path))
    except ArtifactNotFoundError:
        return (yield from _find_bare(path))
    try:
        decoded = decode_record(got.data, path)
    except ForeignRecord:
        return (yield from _find_folder(path, got))
    return _found(decoded, config)


def _found(decoded: Decoded, config: Config) -> Found:
    record = decoded.record
    signed = decoded.signed_by(config.keys)
    return Found(
        path=record.path,
        write_id=record.write_id,
        type=record.type,
        serializer=record.serializer,
        format=record.format,
        size=record.size,
        sources=tuple(
            Source(
                part.name,
                part.size,
                None if part.file is None else f"{record.path}/{part.file}",
                part.data,
                part.crc32c,
                part.sha256 if signed else None,
            )
            for part in record.parts
        ),
        meta=record.meta,
        safe=record.safe,
        signed=signed,
        created=_time(record.created),
        environment=record.environment,
        producer=record.producer,
        summary=record.summary,
        metadata=record.metadata,
    )


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _find_bare(path: str) -> Steps[Found]:
    """A bare pickle, as FlowyML's ``save`` leaves it."""
    try:
        info: ObjectInfo = yield Head(path)
    except ArtifactNotFoundError:
        raise not_found(path) from None
    try:
        meta: ObjectData | None = yield Get(legacy.bare_meta_key(path))
    except ArtifactNotFoundError:
        meta = None
    described = legacy.describe_bare(path, None if meta is None else bytes(meta.data))
    return _found_legacy(path, described, {path: info.size})


def _find_folder(path: str, got: ObjectData) -> Steps[Found]:
    """A folder, as FlowyML's ``materialize`` leaves it."""
    described, sizes = yield from _describe_folder(path, got)
    return _found_legacy(path, described, sizes)


def _describe_folder(path: str, got: ObjectData) -> Steps[tuple[legacy.LegacyArtifact, dict[str, int]]]:
    listed: list[ObjectInfo] = yield ListUnder(path)
    sizes = {info.key: info.size for info in listed}
    names = [key.removeprefix(f"{path}/") for key in sizes]
    described = legacy.describe_folder(path, bytes(got.data), names)
    if described is None:
        raise RecordError(
            f"{path!r} has a metadata.json that neither aioartifacts nor FlowyML wrote; it is not an artifact",
            path=path,
        )
    return described, sizes


def _found_legacy(path: str, described: legacy.LegacyArtifact, sizes: Mapping[str, int]) -> Found:
    missing = [key for key in described.keys if key not in sizes]
    if missing:
        raise IntegrityError(f"{path!r} was written by FlowyML, and {missing[0]!r} of it is missing", path=path)
    sources = tuple(Source(name, sizes[key], key) for name, key in zip(described.names, described.keys, strict=True))
    return Found(
        path=path,
        write_id="",
        type=described.type,
        serializer=described.serializer,
        format=described.format,
        size=sum(source.size for source in sources),
        sources=sources,
        meta=described.meta,
        safe=described.safe,
        signed=False,
        created=None,
        environment={},
        producer=described.producer,
        summary=described.summary,
        metadata=dict(described.metadata),
    )


def not_found(path: str) -> ArtifactNotFoundError:
    """The one message for an artifact that is not there."""
    return ArtifactNotFoundError(f"there is no artifact {path!r}; list_artifacts() shows what there is", path=path)


def inspect(path: str, config: Config) -> Steps[int]:
    """Read the record and every part, without decoding anything; returns the payload's bytes.

    Raises:
        IntegrityError: the record or a part is damaged or missing.
    """
    write_id = None
    for _ in range(_REREADS):
        found = yield from find(path, config)
        if found.write_id == write_id:
            break
        write_id = found.write_id
        try:
            yield Decode(path, found.sources, found.meta, LoadOptions(mmap=True), False, _read_all)
        except ArtifactNotFoundError:
            continue
        return found.size
    raise _part_missing(path)


def _read_all(parts: Parts) -> None:
    for name in parts.names:
        parts.read(name)


# Look ---------------------------------------------------------------------------------------------------------------


def exists(path: str) -> Steps[bool]:
    """Whether there is a record, or a bare pickle of FlowyML's."""
    for key in (record_key(path), path):
        try:
            yield Head(key)
        except ArtifactNotFoundError:
            continue
        return True
    return False


def look(path: str, config: Config) -> Steps[Found | None]:
    """What is known of an artifact, or None when there is none."""
    try:
        return (yield from find(path, config))
    except ArtifactNotFoundError:
        return None


def orphans(path: str, infos: Sequence[ObjectInfo]) -> Steps[list[ObjectInfo]]:
    """Which of these parts under *path* its record, read after they were listed, does not name."""
    try:
        got: ObjectData = yield Get(record_key(path))
        record = decode_record(got.data, path).record
    except ArtifactNotFoundError:
        return list(infos)
    except (RecordError, ForeignRecord):
        return []  # nobody knows what it named
    named = {f"{path}/{part.file}" for part in record.parts if part.file is not None}
    return [info for info in infos if info.key not in named]


# Delete -------------------------------------------------------------------------------------------------------------


def delete(path: str, config: Config) -> Steps[bool]:
    """Remove the record, then the parts it names; the answer is whether there was an artifact."""
    key = record_key(path)
    started, attempt = config.clock(), 0
    while True:
        try:
            got: ObjectData = yield Get(key)
        except ArtifactNotFoundError:
            return (yield from _delete_bare(path))
        parts: tuple[str, ...] = ()
        try:
            parts = _part_keys(decode_record(got.data, path).record)
        except ForeignRecord:
            described, _ = yield from _describe_folder(path, got)
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
