"""How an artifact is found and read back: record, trust, parts, decode. The reading half of `aioartifacts.protocol`.

Beside records this knows what FlowyML left: bare pickles, and folders with a ``metadata.json`` of another kind.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import msgspec

from aioartifacts import legacy
from aioartifacts.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    ConflictError,
    DecodeError,
    IntegrityError,
    RecordError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.keys import record_key
from aioartifacts.materializers.base import FAILURES, Materializer, Parts
from aioartifacts.objects.base import ObjectData
from aioartifacts.operations import Compute, Config, Decode, Get, Head, ListUnder, Source, Steps
from aioartifacts.record import Decoded, ForeignRecord, decode_record
from aioartifacts.trust import check_trust
from aioartifacts.types import KIB, LoadOptions, ObjectInfo

T = TypeVar("T")

_REREADS = 16
"""How often a load follows an artifact that is overwritten under its hands."""
_QUICK = 256 * KIB
"""Bytes of a record up to which it is read wherever that is asked for, the event loop included."""


class Found(msgspec.Struct, frozen=True):
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
    return (yield from _reread(path, config, lambda found: _load(found, config, options)))


def _load(found: Found, config: Config, options: LoadOptions) -> Steps[object]:
    if found.format not in config.ready:
        # In a worker, for this may import a heavy library.
        yield Compute(lambda: config.materializers.for_format(found.format))
        config.ready.add(found.format)
    materializer = config.materializers.for_format(found.format)
    if config.trust is None and materializer.safe and found.safe:
        # Found out only by a decoder to which it matters, for it costs a system call.
        return (yield _decode(found, materializer, options, lambda: config.doubt() is None))
    doubt: str | None = (yield Compute(config.doubt)) if config.trust is None else None
    trusted = may_run_code(found, materializer, config, doubt)
    if trusted and config.trust == "signed" and not options.verify:
        # The signature covers the digests, so it is worth as much as comparing them.
        options = replace(options, verify=True)
    return (yield _decode(found, materializer, options, lambda: trusted))


def _decode(found: Found, materializer: Materializer, options: LoadOptions, trusted: Callable[[], bool]) -> Decode[object]:
    return Decode(
        found.path, found.sources, found.meta, options, trusted, lambda parts: decode(materializer, found, parts)
    )


def may_run_code(found: Found, materializer: Materializer | None, config: Config, doubt: str | None) -> bool:
    """Whether code from an artifact may be run while it is decoded. *doubt* is what ``config.doubt`` says, where nobody chose a trust.

    Raises:
        UntrustedArtifactError: it may not, and it cannot be decoded without.
    """
    return check_trust(
        path=found.path,
        format=found.format,
        safe=found.safe and (materializer is None or materializer.safe),
        signature_valid=found.signed,
        trust=config.trust or ("all" if doubt is None else "data"),
        doubt=doubt,
    )


def _reread(path: str, config: Config, work: Callable[[Found], Steps[T]]) -> Steps[T]:
    """Do something with the parts of an artifact; again, when they were replaced together with the record meanwhile.

    Raises:
        IntegrityError: a part is missing though the record has not changed.
        ConflictError: the record changed again and again.
    """
    write_id = None
    for _ in range(_REREADS):
        found = yield from find(path, config)
        if found.write_id == write_id:
            raise IntegrityError(
                f"a part of {path!r} is missing, though its record is there; restore it from a copy, or save the artifact again",
                path=path,
            )
        write_id = found.write_id
        try:
            return (yield from work(found))
        except ArtifactNotFoundError:
            continue
    raise ConflictError(
        f"{path!r} was overwritten {_REREADS} times while it was being read; read it again when its writers are done",
        path=path,
    )


def decode(materializer: Materializer, found: Found, parts: Parts) -> object:
    """Let the materializer load; whatever goes wrong becomes a `DecodeError` that names the versions."""
    try:
        return materializer.load(parts)
    except FAILURES as error:
        # What the materializer misses elsewhere is no part of this artifact.
        if isinstance(error, ArtifactError) and not isinstance(error, ArtifactNotFoundError):
            if error.path is None:
                error.path = found.path
                error.message = f"{found.path!r}: {error.message}"
            raise
        here = environment(materializer)
        differ = [
            f"{package} {wrote} (here {here.get(package, 'not imported')})"
            for package, wrote in found.environment.items()
            if here.get(package) != wrote
        ]
        hint = (
            f"it was written with {', '.join(differ)}; try those versions"
            if differ
            else "here it is decoded by the versions that wrote it"
        )
        if isinstance(error, ModuleNotFoundError) and error.name:
            hint = f"install the package that has the module {error.name.partition('.')[0]!r}, or put it on the path"
        raise DecodeError(
            f"{found.path!r}: decoding format {found.format!r} failed: {type(error).__name__}: {error}; {hint}",
            path=found.path,
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
        if config.keys or len(got.data) > _QUICK:  # a key may have to be fetched
            found: Found = yield Compute(lambda: _found(decode_record(got.data, path), config))
            return found
        return _found(decode_record(got.data, path), config)
    except ForeignRecord:
        described, sizes = yield from describe_folder(path, got)
        return _found_legacy(path, described, sizes)


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
        raise ArtifactNotFoundError(
            f"there is no artifact {path!r}; list_artifacts() shows what there is", path=path
        ) from None
    try:
        meta: ObjectData | None = yield Get(legacy.bare_meta_key(path))
    except ArtifactNotFoundError:
        meta = None
    described = legacy.describe_bare(path, None if meta is None else bytes(meta.data))
    return _found_legacy(path, described, {path: info.size})


def describe_folder(path: str, got: ObjectData) -> Steps[tuple[legacy.LegacyArtifact, dict[str, int]]]:
    """A folder, as FlowyML's ``materialize`` leaves it, and the bytes of each object in it; *got* is its ``metadata.json``.

    Raises:
        RecordError: it is none; `is_foreign` of this error is true.
    """
    listed: list[ObjectInfo] = yield ListUnder(path)
    sizes = {info.key: info.size for info in listed}
    names = [key.removeprefix(f"{path}/") for key in sizes]
    described = legacy.describe_folder(path, bytes(got.data), names)
    if described is None:
        raise RecordError(
            f"{path!r} has a metadata.json that neither aioartifacts nor FlowyML wrote; it is not an artifact",
            path=path,
        ) from ForeignRecord(path)
    return described, sizes


def is_foreign(error: BaseException) -> bool:
    """Whether what was found is no artifact, and never was one, as far as can be seen."""
    return isinstance(error.__cause__, ForeignRecord)


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


def inspect(path: str, config: Config) -> Steps[int]:
    """Read the record and every part, without decoding anything; returns the payload's bytes.

    Raises:
        IntegrityError: the record or a part is damaged or missing.
    """
    return (yield from _reread(path, config, _inspect))


def _inspect(found: Found) -> Steps[int]:
    yield Decode(found.path, found.sources, found.meta, LoadOptions(mmap=True), _never, _read_all)
    return found.size


def read_part(path: str, part: str | None, config: Config) -> Steps[memoryview]:
    """Read one part, verified; mapped where the store can. By default the first.

    Raises:
        ArtifactNotFoundError: there is no such artifact, or it has no such part.
    """
    found: tuple[memoryview | None, tuple[str, ...]] = yield from _reread(path, config, lambda found: _read_part(found, part))
    data, names = found
    if data is None:
        there = f"there are {', '.join(map(repr, names))}" if names else "it has none"
        raise ArtifactNotFoundError(f"{path!r} has no part {part!r}; {there}" if part else f"{path!r} has no parts", path=path)
    return data


def _read_part(found: Found, part: str | None) -> Steps[tuple[memoryview | None, tuple[str, ...]]]:
    names = tuple(source.name for source in found.sources)
    wanted = found.sources[:1] if part is None else tuple(s for s in found.sources if s.name == part)
    if not wanted:
        return None, names
    data: memoryview = yield Decode(found.path, wanted, found.meta, LoadOptions(mmap=True), _never, _first)
    return data, names


def _never() -> bool:
    return False


def _first(parts: Parts) -> memoryview:
    return parts.read(parts.names[0]).toreadonly()


def _read_all(parts: Parts) -> None:
    for name in parts.names:
        parts.read(name)


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
    except TransientStoreError:
        raise
    except (RecordError, ForeignRecord, StoreError):
        return []  # nobody knows what it named
    named = {f"{path}/{part.file}" for part in record.parts if part.file is not None}
    return [info for info in infos if info.key not in named]


def environment(materializer: Materializer) -> dict[str, str]:
    """Versions of the interpreter and of the packages that a format depends on."""
    versions = dict(_always())
    for package in materializer.packages:
        found = getattr(sys.modules.get(package), "__version__", None)
        if found is not None:
            versions[package] = str(found)
    return versions


@cache
def _always() -> tuple[tuple[str, str], ...]:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and not before the first save

    try:
        own = version("aioartifacts")
    except PackageNotFoundError:
        own = "unknown"
    return ("python", platform.python_version()), ("aioartifacts", own)
