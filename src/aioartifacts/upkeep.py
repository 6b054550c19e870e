"""Looking after a whole store: is everything sound, and what have killed writers left? Never done by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeGuard

from aioartifacts import reading
from aioartifacts.engine import Engine, Task
from aioartifacts.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    IntegrityError,
    InvalidConfigError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.keys import path_of_part, path_of_record
from aioartifacts.operations import Config, Delete, Steps
from aioartifacts.types import ObjectInfo, SweepReport, TransferEvent, VerifyReport

OnProgress = Callable[[TransferEvent], object]


async def verify(engine: Engine, config: Config, prefix: str, on_progress: OnProgress | None) -> VerifyReport:
    """Read every part of every artifact under *prefix*."""
    artifacts = size = 0
    damaged: dict[str, Exception] = {}
    orphans: list[str] = []
    async for page in engine.pages(prefix):
        orphans += [info.key for info in await _orphans(engine, page)]
        paths = [path for info in page if (path := path_of_record(info.key)) is not None]
        tasks = (Task(path, reading.inspect(path, config)) for path in paths)
        outcomes = await engine.run_many(tasks, fail_fast=False)
        for path in paths:
            error = outcomes.errors.get(path)
            if isinstance(error, ArtifactNotFoundError):
                continue  # deleted meanwhile
            artifacts += 1
            size += outcomes.results.get(path, 0)
            if isinstance(error, IntegrityError) or _is_of_one_object(error):
                damaged[path] = error
                error.path, error.operation = path, "verify"
            elif error is not None:
                raise error
            if on_progress is not None:
                on_progress(TransferEvent("verify", path, artifacts, size))
    return VerifyReport(artifacts, size, damaged, orphans)


def _is_of_one_object(error: BaseException | None) -> TypeGuard[StoreError]:
    """Whether the store failed at a single object: one that cannot be read, not a store that cannot be reached."""
    return isinstance(error, StoreError) and not isinstance(error, TransientStoreError) and bool(error.path)


async def sweep(
    engine: Engine, prefix: str, grace: float, dry_run: bool, on_progress: OnProgress | None
) -> SweepReport:
    """Remove what is older than *grace* seconds and no record names."""
    if not isinstance(grace, int | float) or not grace >= 0:
        raise InvalidConfigError(f"grace is a number of seconds, 0 or more, not {grace!r}")
    before = time.time() - grace
    swept: list[ObjectInfo] = []
    size = 0
    async for page in engine.pages(prefix):
        old = [info for info in page if info.updated is not None and info.updated <= before]
        orphans = await _orphans(engine, old)
        if not dry_run:
            outcomes = await engine.run_many((Task(info.key, _delete(info)) for info in orphans), fail_fast=True)
            for key, error in outcomes.errors.items():
                raise _at(path_of_part(key), error)
        for info in orphans:
            swept.append(info)
            size += info.size
            if on_progress is not None:
                on_progress(TransferEvent("sweep", path_of_part(info.key) or info.key, len(swept), size))
    if not prefix:
        drafts = await engine.sweep_drafts(before, dry_run=dry_run)
        swept += drafts
        size += sum(info.size for info in drafts)
    return SweepReport([info.key for info in swept], size, dry_run)


async def _orphans(engine: Engine, listed: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Which of the objects listed are parts that no record names. The records are read now, after the listing."""
    parts: dict[str, list[ObjectInfo]] = {}
    for info in listed:
        path = path_of_part(info.key)
        if path is not None:
            parts.setdefault(path, []).append(info)
    tasks = (Task(path, reading.orphans(path, infos)) for path, infos in parts.items())
    outcomes = await engine.run_many(tasks, fail_fast=False)
    for path, error in outcomes.errors.items():
        raise _at(path, error)
    return [info for found in outcomes.results.values() for info in found]


def _at(path: str | None, error: BaseException) -> BaseException:
    if isinstance(error, ArtifactError):
        error.path = path or error.path
    return error


def _delete(info: ObjectInfo) -> Steps[None]:
    yield Delete(info.key)
