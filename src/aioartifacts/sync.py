"""The facade: the artifact stores for ordinary code. Same names, same guarantees, blocking.

It works from any thread, also while an event loop runs in it (a notebook), after ``fork`` and ``spawn``, and under Ctrl-C. Over a
blocking object store (disk, memory) a verb runs right in the caller's thread; over an async one (Google Cloud Storage), in one
event-loop thread per process.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar, Unpack, overload

from aioartifacts import run as _runs
from aioartifacts import store as _async
from aioartifacts import stores as _stores
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.options import OpenOptions, StoreOptions
from aioartifacts.portal import portal
from aioartifacts.types import (
    GRACE,
    JSON,
    ArtifactInfo,
    Durability,
    Explanation,
    OnError,
    Outcome,
    SweepReport,
    VerifyReport,
)
from aioartifacts.upkeep import OnProgress

if TYPE_CHECKING:
    from aioartifacts.errors import (
        ArtifactError,
        ArtifactExistsError,
        ArtifactNotFoundError,
        ConflictError,
        DecodeError,
        EncodeError,
        IntegrityError,
        InvalidConfigError,
        InvalidPathError,
        MaterializerError,
        MetadataError,
        MissingDependencyError,
        PermissionDeniedError,
        RecordError,
        StoreError,
        TransientStoreError,
        UnknownFormatError,
        UntrustedArtifactError,
    )
    from aioartifacts.materializers.base import Buffers, Declined, Dump, FileBody, Materializer, Part, Parts, Producer
    from aioartifacts.materializers.registry import MaterializerRegistry
    from aioartifacts.types import Limits, LoadOptions, RetryPolicy, TransferEvent

T = TypeVar("T")
C = TypeVar("C", bound=type)


def _told_like(twin: type) -> Callable[[C], C]:
    """Have ``help`` tell of a blocking class all that it tells of its async twin: options, guarantees and errors are the same."""

    def tell(cls: C) -> C:
        for name, verb in vars(cls).items():
            if (name == "__init__" or not name.startswith("_")) and callable(verb):
                verb.__doc__ = getattr(twin, name, verb).__doc__
        return cls

    return tell


@_told_like(_async.ArtifactStore)
class ArtifactStore:
    """Artifacts over one object store. Safe for any number of threads."""

    _store: _async.ArtifactStore

    def __init__(
        self,
        objects: BlockingObjectStore | AsyncObjectStore,
        *,
        name: str | None = None,
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store over *objects*. Touches neither disk nor network."""
        self._wrap(_async.ArtifactStore(objects, name=name, **options), closes=False)

    def _wrap(self, store: _async.ArtifactStore, *, closes: bool = True) -> None:
        """Be the facade of *store*; *closes* says that nobody else has it, or what is beneath it."""
        self._store = store
        self._in_caller = store._serve_caller()
        if closes and not self._in_caller:
            portal.close_with(self, store.aclose)

    def _call(self, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
        if not self._in_caller:
            return portal.call(lambda: verb(*args, **options))
        return _finish(verb(*args, **options))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self._store))

    def __repr__(self) -> str:
        return f"sync.{self._store!r}"

    @property
    def name(self) -> str:
        """What the store is called in `to_dict`."""
        return self._store.name

    @property
    def materializers(self) -> MaterializerRegistry:
        """The store's registry of materializers; register your own here."""
        return self._store.materializers

    # One artifact

    def save(
        self,
        artifact: object,
        path: str,
        metadata: Mapping[str, JSON] | None = None,
        *,
        overwrite: bool = True,
        format: str | None = None,
    ) -> str:
        """Save an object; it becomes visible only when complete."""
        return self._call(self._store.save, artifact, path, metadata, overwrite=overwrite, format=format)

    @overload
    def load(
        self,
        path: str,
        as_type: type[T],
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> T: ...
    @overload
    def load(
        self,
        path: str,
        as_type: None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any: ...
    def load(
        self,
        path: str,
        as_type: type[Any] | None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any:
        """Load an object; it equals the one that was saved."""
        return self._call(self._store.load, path, as_type, mmap=mmap, verify=verify, columns=columns)

    def exists(self, path: str) -> bool:
        """Say whether there is an artifact. Reads nothing."""
        return self._call(self._store.exists, path)

    def delete(self, path: str) -> bool:
        """Remove an artifact, and answer whether there was one. Artifacts below its path stay."""
        return self._call(self._store.delete, path)

    def get_metadata(self, path: str) -> dict[str, Any] | None:
        """Return the metadata the artifact was saved with, or None when there is no artifact."""
        return self._call(self._store.get_metadata, path)

    def size(self, path: str) -> int:
        """Return the payload's bytes over all parts; 0 when there is no artifact."""
        return self._call(self._store.size, path)

    def info(self, path: str) -> ArtifactInfo:
        """Return what is known of an artifact without decoding it."""
        return self._call(self._store.info, path)

    def explain(self, path: str) -> Explanation:
        """Say whether this interpreter can load an artifact, and if not, why and what to install. Decodes nothing."""
        return self._call(self._store.explain, path)

    def open_part(self, path: str, part: str | None = None) -> BinaryIO:
        """Open one part of an artifact, by default its first, as a seekable stream of bytes. Decodes nothing, so no trust is needed."""
        return self._call(self._store.open_part, path, part)

    def materialize(self, obj: object, name: str, run_id: str, step_name: str, project_name: str = "default") -> str:
        """Save a step's output at ``project/date/run_id/data/step/name``, the date being today's in UTC."""
        return self._call(self._store.materialize, obj, name, run_id, step_name, project_name)

    # Many artifacts

    def list_artifacts(self, prefix: str = "") -> list[str]:
        """Return the paths of all artifacts at or under *prefix*, by whole segments, sorted."""
        return self._call(self._store.list_artifacts, prefix)

    def iter_artifacts(self, prefix: str = "") -> Iterator[ArtifactInfo]:
        """Iterate over what is known of all artifacts at or under *prefix*, in no particular order, however many there are."""
        # Not closed here: the one who abandons it may be the interpreter at its end, when nobody can be waited for any more.
        infos = self._store.iter_artifacts(prefix)
        while (found := self._call(_next, infos) if not self._in_caller else _next_here(infos)) is not None:
            yield found

    @overload
    def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: Literal["raise"] = "raise"
    ) -> dict[str, str]: ...
    @overload
    def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: Literal["collect"]
    ) -> dict[str, Outcome[str]]: ...
    @overload
    def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: OnError
    ) -> dict[str, str] | dict[str, Outcome[str]]: ...
    def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: OnError = "raise"
    ) -> dict[str, str] | dict[str, Outcome[str]]:
        """Save many objects at once, by path; returns their locations, by path."""
        return self._call(self._store.save_many, artifacts, overwrite=overwrite, on_error=on_error)

    @overload
    def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: Literal["raise"] = "raise"
    ) -> dict[str, Any]: ...
    @overload
    def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: Literal["collect"]
    ) -> dict[str, Outcome[Any]]: ...
    @overload
    def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: OnError
    ) -> dict[str, Any] | dict[str, Outcome[Any]]: ...
    def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: OnError = "raise"
    ) -> dict[str, Any] | dict[str, Outcome[Any]]:
        """Load many objects at once; returns them by path, as the path was given. Errors as in `save_many`."""
        return self._call(self._store.load_many, paths, mmap=mmap, verify=verify, on_error=on_error)

    @overload
    def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: Literal["raise"] = "raise",
    ) -> dict[str, str]: ...
    @overload
    def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: Literal["collect"],
    ) -> dict[str, Outcome[str]]: ...
    @overload
    def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: OnError,
    ) -> dict[str, str] | dict[str, Outcome[str]]: ...
    def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: OnError = "raise",
    ) -> dict[str, str] | dict[str, Outcome[str]]:
        """Save many outputs of a step at once, by name; returns their locations, by name. Errors as in `save_many`."""
        return self._call(self._store.materialize_many, objects, run_id, step_name, project_name, on_error=on_error)

    @overload
    def delete_many(self, paths: Iterable[str], *, on_error: Literal["raise"] = "raise") -> dict[str, bool]: ...
    @overload
    def delete_many(self, paths: Iterable[str], *, on_error: Literal["collect"]) -> dict[str, Outcome[bool]]: ...
    @overload
    def delete_many(self, paths: Iterable[str], *, on_error: OnError) -> dict[str, bool] | dict[str, Outcome[bool]]: ...
    def delete_many(
        self, paths: Iterable[str], *, on_error: OnError = "raise"
    ) -> dict[str, bool] | dict[str, Outcome[bool]]:
        """Remove many artifacts at once; answers by path whether there was one. Errors as in `save_many`."""
        return self._call(self._store.delete_many, paths, on_error=on_error)

    def delete_tree(self, prefix: str) -> int:
        """Remove every artifact at or under *prefix*, by whole segments, and answer how many there were."""
        return self._call(self._store.delete_tree, prefix)

    def run(self, run_id: str, project_name: str = "default", *, date: datetime.date | str | None = None) -> Run:
        """Return a handle that pins project, run and date (today's in UTC, or the given one), so that a retry lands in the same place."""
        return Run(self, run_id, project_name, date=date)

    def verify(self, prefix: str = "", *, on_progress: OnProgress | None = None) -> VerifyReport:
        """Read every part of every artifact at or under *prefix* and compare it with its record; nothing is decoded or changed."""
        return self._call(self._store.verify, prefix, on_progress=on_progress)

    def sweep(
        self,
        prefix: str = "",
        *,
        grace: float = GRACE,
        dry_run: bool = True,
        on_progress: OnProgress | None = None,
    ) -> SweepReport:
        """Remove what killed writers have left at or under *prefix*: parts older than *grace* seconds that no record names."""
        return self._call(self._store.sweep, prefix, grace=grace, dry_run=dry_run, on_progress=on_progress)

    # The store itself

    def validate(self) -> bool:
        """Check that the store can be reached and written to."""
        return self._call(self._store.validate)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration: JSON, and without secrets."""
        return self._store.to_dict()

    def close(self) -> None:
        """Let go of threads and connections. The store may be used again; it then opens new ones.

        Without it they go with the store, or at the end of the process.
        """
        self._call(self._store.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@_told_like(_stores.LocalArtifactStore)
class LocalArtifactStore(ArtifactStore):
    """Artifacts in a folder on local disk."""

    def __init__(
        self,
        base_path: str | os.PathLike[str] = ".aioartifacts_store",
        *,
        name: str = "local",
        durability: Durability = "full",
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store in the folder *base_path*, which is created by the first save."""
        self._wrap(_stores.LocalArtifactStore(base_path, name=name, durability=durability, **options))

    @property
    def base_path(self) -> str:
        """The folder, as an absolute path."""
        return str(self._store._objects.config()["base_path"])


@_told_like(_stores.MemoryArtifactStore)
class MemoryArtifactStore(ArtifactStore):
    """Artifacts in this process's memory: for tests, and for steps that run side by side."""

    def __init__(self, *, name: str = "memory", **options: Unpack[StoreOptions]) -> None:
        """Make an empty store."""
        self._wrap(_stores.MemoryArtifactStore(name=name, **options))


@_told_like(_stores.GCSArtifactStore)
class GCSArtifactStore(ArtifactStore):
    """Artifacts in a Google Cloud Storage bucket. Needs the extra ``gcs``."""

    def __init__(
        self,
        name: str = "gcs",
        bucket_name: str | None = None,
        project_id: str | None = None,
        prefix: str = "aioartifacts",
        *,
        endpoint: str | None = None,
        credentials: Any = None,
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store in a bucket, below *prefix*. Touches neither disk nor network."""
        self._wrap(
            _stores.GCSArtifactStore(
                name, bucket_name, project_id, prefix, endpoint=endpoint, credentials=credentials, **options
            )
        )


@_told_like(_runs.Run)
class Run:
    """A run of a pipeline in a store: project, run and date are pinned, so that a retry after midnight lands in the same place."""

    def __init__(
        self,
        store: ArtifactStore,
        run_id: str,
        project_name: str = "default",
        *,
        date: datetime.date | str | None = None,
    ) -> None:
        """Make a handle. *date* is a date or ``YYYY-MM-DD``; today's in UTC by default."""
        self.store = store
        self._run = _runs.Run(store._store, run_id, project_name, date=date)
        self.run_id = run_id
        self.project_name = project_name
        self.date = self._run.date

    def path(self, name: str, step_name: str) -> str:
        """Return the path of a step's output."""
        return self._run.path(name, step_name)

    def materialize(self, obj: object, name: str, step_name: str) -> str:
        """Save a step's output; returns its location."""
        return self.store._call(self._run.materialize, obj, name, step_name)

    @overload
    def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: Literal["raise"] = "raise"
    ) -> dict[str, str]: ...
    @overload
    def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: Literal["collect"]
    ) -> dict[str, Outcome[str]]: ...
    @overload
    def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: OnError
    ) -> dict[str, str] | dict[str, Outcome[str]]: ...
    def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: OnError = "raise"
    ) -> dict[str, str] | dict[str, Outcome[str]]:
        """Save many outputs of a step at once, by name; returns their locations, by name."""
        return self.store._call(self._run.materialize_many, objects, step_name, on_error=on_error)

    @overload
    def load(
        self,
        name: str,
        step_name: str,
        as_type: type[T],
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> T: ...
    @overload
    def load(
        self,
        name: str,
        step_name: str,
        as_type: None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any: ...
    def load(
        self,
        name: str,
        step_name: str,
        as_type: type[Any] | None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any:
        """Load a step's output. Options and errors are those of `ArtifactStore.load`."""
        return self.store._call(self._run.load, name, step_name, as_type, mmap=mmap, verify=verify, columns=columns)


def open_store(url: str | os.PathLike[str], **options: Unpack[OpenOptions]) -> ArtifactStore:
    """Open the artifact store a URL names: a folder, ``file:///…``, ``memory://``, ``gs://bucket/prefix``, or a plug-in's scheme."""
    return _facade(_stores.open_store(url, **options))


open_store.__doc__ = _stores.open_store.__doc__


def _facade(store: _async.ArtifactStore) -> ArtifactStore:
    """The class of the same name around an async store."""
    cls = globals().get(type(store).__name__, ArtifactStore)
    return _rebuild(cls, store, closes=True)


def _rebuild(cls: type[ArtifactStore], store: _async.ArtifactStore, *, closes: bool = False) -> ArtifactStore:
    facade = cls.__new__(cls)
    facade._wrap(store, closes=closes)  # not when copied: a shallow copy shares it
    return facade


async def _next(infos: AsyncIterator[ArtifactInfo]) -> ArtifactInfo | None:
    return await anext(infos, None)


def _next_here(infos: AsyncIterator[ArtifactInfo]) -> ArtifactInfo | None:
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)  # else a loop that runs in this thread takes the iterator for one of its own, and ends it
    try:
        return _finish(_next(infos))
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: over a blocking object store nothing suspends, as every step is taken here and now."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a verb over a blocking object store waited for an event loop")


__all__ = [
    "ArtifactError",
    "ArtifactExistsError",
    "ArtifactInfo",
    "ArtifactNotFoundError",
    "ArtifactStore",
    "Buffers",
    "ConflictError",
    "Declined",
    "DecodeError",
    "Dump",
    "EncodeError",
    "Explanation",
    "FileBody",
    "GCSArtifactStore",
    "IntegrityError",
    "InvalidConfigError",
    "InvalidPathError",
    "Limits",
    "LoadOptions",
    "LocalArtifactStore",
    "Materializer",
    "MaterializerError",
    "MaterializerRegistry",
    "MemoryArtifactStore",
    "MetadataError",
    "MissingDependencyError",
    "Outcome",
    "Part",
    "Parts",
    "PermissionDeniedError",
    "Producer",
    "RecordError",
    "RetryPolicy",
    "Run",
    "StoreError",
    "SweepReport",
    "TransferEvent",
    "TransientStoreError",
    "UnknownFormatError",
    "UntrustedArtifactError",
    "VerifyReport",
    "open_store",
]


def __getattr__(name: str) -> Any:
    # What neither waits nor blocks is the package's own, so that ``import aioartifacts.sync as aa`` has everything.
    if name in __all__:
        return getattr(import_module("aioartifacts"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
