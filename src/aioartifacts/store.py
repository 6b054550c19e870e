"""The artifact stores: save, load and look at artifacts from ``async`` code."""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Literal, Self, TypedDict, TypeVar, Unpack, overload

from aioartifacts import protocol, reading, upkeep
from aioartifacts.blocking import BlockingEngine
from aioartifacts.budget import ByteBudget
from aioartifacts.engine import Engine, Task, first_with_notes
from aioartifacts.errors import ArtifactError, ArtifactNotFoundError, DecodeError, InvalidConfigError, InvalidPathError
from aioartifacts.explaining import explain
from aioartifacts.keys import RECORD, check_path, check_prefix, materialized_path, path_of_record
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.operations import Config, Steps
from aioartifacts.parts import memory_stream
from aioartifacts.previews import split
from aioartifacts.trust import SigningKey, keyring
from aioartifacts.types import (
    GRACE,
    INLINE_MAX,
    JSON,
    ArtifactInfo,
    Durability,
    Explanation,
    Limits,
    LoadOptions,
    OnError,
    RetryPolicy,
    SweepReport,
    Trust,
    VerifyReport,
)
from aioartifacts.upkeep import OnProgress
from aioartifacts.workers import CallerWorkers, LoopWorkers, WorkerPool

if TYPE_CHECKING:
    from aioartifacts.materializers.registry import MaterializerRegistry

T = TypeVar("T")


class StoreOptions(TypedDict, total=False):
    """Options that every artifact store takes."""

    trust: Trust | None
    """What may be decoded: ``"data"``, ``"signed"`` or ``"all"``. Default: ``"signed"`` with a *signing_key*; else ``"all"`` in memory and
    in a local folder that only we can write to, and ``"data"`` anywhere else."""
    signing_key: SigningKey | None
    """32 bytes or more, or a callable that gives them: what is saved is signed with it (HMAC-SHA256)."""
    verification_keys: tuple[SigningKey, ...]
    """Further keys whose signatures are valid, for rotation."""
    limits: Limits
    """How much is done at once."""
    retry: RetryPolicy
    """When failed requests are tried again, and how long rivals for one path are waited for."""
    inline_max: int
    """Largest payload, in bytes, that is kept inside the record; 16 KiB by default."""
    previews: bool
    """Whether saving puts a small preview (first rows, a thumbnail) into the record; it does by default."""
    materializers: MaterializerRegistry
    """The registry to use instead of a fresh default one."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one of many did: exactly one of *value* and *error* counts."""

    value: T | None = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.error is None

    def unwrap(self) -> T:
        """The value.

        Raises:
            ArtifactError: the error, when there was one.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class ArtifactStore:
    """Artifacts over one object store. Safe for any number of tasks; give each event loop a store of its own.

    Guarantees, for every verb: an artifact is visible completely or not at all; what `load` returns equals what `save` was given;
    nothing that takes long runs on the event loop; a call that was cancelled or timed out changes nothing after it has returned;
    nothing but an `ArtifactError` is raised on purpose.
    """

    _kind = "custom"

    def __init__(
        self,
        objects: BlockingObjectStore | AsyncObjectStore,
        *,
        name: str | None = None,
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store over *objects*. Touches neither disk nor network.

        Raises:
            InvalidConfigError: an option makes no sense.
        """
        unknown = options.keys() - StoreOptions.__annotations__.keys()
        if unknown:
            raise InvalidConfigError(
                f"{type(self).__name__} has no option {sorted(unknown)[0]!r}; there are {', '.join(StoreOptions.__annotations__)}"
            )
        trust: Trust | None = options.get("trust")
        if trust not in (None, "data", "signed", "all"):
            raise InvalidConfigError(f"trust is 'data', 'signed' or 'all', not {trust!r}")
        keys = keyring(options.get("signing_key"), options.get("verification_keys", ()))
        if trust == "signed" and not keys:
            raise InvalidConfigError("trust='signed' needs signing_key=…")
        if trust is None and keys:
            trust = "signed"
        self.name = name or self._kind
        if not isinstance(self.name, str):
            raise InvalidConfigError(f"name is a str, not {name!r}")
        self._objects = objects
        self._options = options
        self._limits = _check_limits(options.get("limits", _default_limits(objects)))
        self._materializers = options.get("materializers")
        if not callable(getattr(self.materializers, "candidates", None)):
            raise InvalidConfigError(f"materializers is a MaterializerRegistry, not {self.materializers!r}")
        self._config = Config(
            materializers=self.materializers,
            trust=trust,
            default_trust=self._default_trust,
            keys=keys,
            inline_max=_check_inline_max(options.get("inline_max", INLINE_MAX)),
            previews=bool(options.get("previews", True)),
            retry=_check_retry(options.get("retry", RetryPolicy())),
        )
        self._engine: Engine = self._make_engine(in_caller=False)

    def _make_engine(self, *, in_caller: bool) -> Engine:
        """The engine for this kind of store; *in_caller* runs single verbs in the caller's thread, without a loop."""
        pool = WorkerPool(self._limits.workers, self._limits.transfers)
        if isinstance(self._objects, BlockingObjectStore):
            return BlockingEngine(
                self._objects,
                CallerWorkers(pool) if in_caller else LoopWorkers(pool),
                ByteBudget(self._limits.memory),
                durable=_is_durable(self._objects),
            )
        from aioartifacts.transfer import TransferEngine

        return TransferEngine(self._objects, LoopWorkers(pool), self._limits, self._config.retry)

    def _serve_caller(self) -> bool:
        """Serve ordinary code from now on, if the object store is a blocking one: no verb then waits for an event loop."""
        if not isinstance(self._objects, BlockingObjectStore):
            return False
        self._engine = self._make_engine(in_caller=True)
        return True

    def _default_trust(self) -> Trust:
        objects = self._objects
        return "all" if isinstance(objects, BlockingObjectStore) and objects.check_owner() else "data"

    def __reduce__(self) -> tuple[object, ...]:
        if self._config.keys:
            self._config.keys.__reduce__()  # refuses
        options = self._options | {"materializers": self.materializers}
        return (_rebuild, (type(self), self._objects, self.name, options))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._objects.url!r})"

    # One artifact

    async def save(
        self,
        artifact: object,
        path: str,
        metadata: Mapping[str, JSON] | None = None,
        *,
        overwrite: bool = True,
        format: str | None = None,
    ) -> str:
        """Save an object; it becomes visible only when complete.

        Saving again replaces the artifact in one step. Repeating a failed save is safe. The object must not change until this
        returns. *format* chooses among the formats for its type; by default the first that holds it exactly is taken.

        Returns the artifact's location: an absolute file path, or a URI. It is accepted wherever a path is.

        Raises:
            InvalidPathError: *path* is not a legal artifact path.
            MetadataError: *metadata* does not survive a JSON round trip.
            ArtifactExistsError: *overwrite* is false, and there is an artifact; nothing has changed.
            EncodeError: the object cannot be encoded; nothing has changed.
            UnknownFormatError: there is no such *format*.
            ConflictError: others replaced the artifact again and again until the retry deadline.
            StoreError: the back end failed.
        """
        return await self._run(
            "save", self._save(artifact, path, metadata, overwrite, format), heavy=_is_heavy(artifact)
        )

    @overload
    async def load(
        self,
        path: str,
        as_type: type[T],
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> T: ...
    @overload
    async def load(
        self,
        path: str,
        as_type: None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any: ...
    async def load(
        self,
        path: str,
        as_type: type[Any] | None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any:
        """Load an object; it equals the one that was saved.

        *as_type* is checked, and types the result. *mmap* maps arrays and frames read-only instead of copying them, where store and
        format can. *verify* compares size and digest of every part before it is decoded. *columns* loads only some columns of a frame.
        What is no array or frame is loaded as always, whatever these two say. A file or folder comes as a copy in a temporary folder
        that is yours to remove.

        Raises:
            ArtifactNotFoundError: there is no such artifact.
            UntrustedArtifactError: decoding it can run code, and this store does not trust it.
            IntegrityError: a part is missing or damaged, or the record is (`RecordError`).
            DecodeError: the parts could not be decoded, or are no *as_type*.
            MissingDependencyError: a package that the format needs is not installed.
            StoreError: the back end failed.
        """
        _check_type(as_type)
        return await self._run("load", self._load(path, as_type, _load_options(mmap, verify, columns)))

    async def exists(self, path: str) -> bool:
        """Say whether there is an artifact. Reads nothing."""
        return await self._run("exists", self._exists(path))

    async def delete(self, path: str) -> bool:
        """Remove an artifact, and answer whether there was one. Artifacts below its path stay."""
        return await self._run("delete", self._delete(path))

    async def get_metadata(self, path: str) -> dict[str, Any] | None:
        """Return the metadata the artifact was saved with, or None when there is no artifact."""
        found = await self._run("get_metadata", self._look(path))
        return None if found is None else found.metadata

    async def size(self, path: str) -> int:
        """Return the payload's bytes over all parts; 0 when there is no artifact."""
        found = await self._run("size", self._look(path))
        return 0 if found is None else found.size

    async def info(self, path: str) -> ArtifactInfo:
        """Return what is known of an artifact without decoding it.

        Raises:
            ArtifactNotFoundError: there is no such artifact.
            RecordError: its record is damaged, or was written by a newer version.
        """
        return await self._run("info", self._info(path))

    async def explain(self, path: str) -> Explanation:
        """Say whether this interpreter can load an artifact, and if not, why and what to install. Decodes nothing.

        Raises:
            ArtifactNotFoundError: there is no such artifact.
            RecordError: its record is damaged, or was written by a newer version.
        """
        return await self._run("explain", self._explain(path))

    async def open_part(self, path: str, part: str | None = None) -> BinaryIO:
        """Open one part of an artifact, by default its first, as a seekable stream of bytes. Decodes nothing, so no trust is needed.

        The whole part has been verified before this returns. Where the store can, the stream reads from a read-only mapping, so that a part
        may be larger than memory; it stays whole when the artifact is replaced or deleted meanwhile. The caller closes it.

        Raises:
            ArtifactNotFoundError: there is no such artifact, or it has no such part; the message lists those it has.
            IntegrityError: the part is missing or damaged.
        """
        return await self._run("open_part", self._open_part(path, part))

    async def materialize(
        self, obj: object, name: str, run_id: str, step_name: str, project_name: str = "default"
    ) -> str:
        """Save a step's output at ``project/date/run_id/data/step/name``, the date being today's in UTC.

        Use `run` when steps may be retried after midnight. Returns the artifact's location; `load` accepts it.
        """
        return await self.run(run_id, project_name).materialize(obj, name, step_name)

    # Many artifacts

    async def list_artifacts(self, prefix: str = "") -> list[str]:
        """Return the paths of all artifacts at or under *prefix*, by whole segments, sorted."""
        found: list[str] = []
        async for page in self._record_paths(prefix, "list_artifacts"):
            found += page
        return sorted(found)

    async def iter_artifacts(self, prefix: str = "") -> AsyncIterator[ArtifactInfo]:
        """Iterate over what is known of all artifacts at or under *prefix*, in no particular order, however many there are.

        Artifacts that are removed meanwhile are left out. A damaged record raises `RecordError`.
        """
        async for page in self._record_paths(prefix, "iter_artifacts"):
            tasks = (Task(path, self._info(path)) for path in page)
            outcomes = await self._engine.run_many(tasks, fail_fast=False)
            for path in page:
                error = outcomes.errors.get(path)
                if error is None:
                    yield outcomes.results[path]
                elif not isinstance(error, ArtifactNotFoundError):
                    raise _named(error, "iter_artifacts")

    @overload
    async def save_many(
        self,
        artifacts: Mapping[str, object],
        *,
        overwrite: bool = True,
        on_error: Literal["raise"] = "raise",
    ) -> dict[str, str]: ...
    @overload
    async def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: Literal["collect"]
    ) -> dict[str, Outcome[str]]: ...
    @overload
    async def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: OnError
    ) -> dict[str, str] | dict[str, Outcome[str]]: ...
    async def save_many(
        self, artifacts: Mapping[str, object], *, overwrite: bool = True, on_error: OnError = "raise"
    ) -> dict[str, str] | dict[str, Outcome[str]]:
        """Save many objects at once, by path; returns their locations, by path.

        Each is atomic by itself. By default the first failure stops those not yet started, and the failures are raised as an
        `ExceptionGroup`; with ``on_error="collect"`` every path gets an `Outcome`, and nothing is raised.
        """
        tasks = (
            Task(path, self._save(obj, path, None, overwrite, None), light=_is_light(obj))
            for path, obj in _check_mapping(artifacts).items()
        )
        return await self._run_many("save_many", artifacts, tasks, on_error, saves=True)

    @overload
    async def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: Literal["raise"] = "raise"
    ) -> dict[str, Any]: ...
    @overload
    async def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: Literal["collect"]
    ) -> dict[str, Outcome[Any]]: ...
    @overload
    async def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: OnError
    ) -> dict[str, Any] | dict[str, Outcome[Any]]: ...
    async def load_many(
        self, paths: Iterable[str], *, mmap: bool = False, verify: bool = True, on_error: OnError = "raise"
    ) -> dict[str, Any] | dict[str, Outcome[Any]]:
        """Load many objects at once; returns them by path, as the path was given. Errors as in `save_many`."""
        options = _load_options(mmap, verify, None)
        distinct = _check_many(paths)
        tasks = (Task(path, self._load(path, None, options)) for path in distinct)
        return await self._run_many("load_many", distinct, tasks, on_error)

    @overload
    async def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: Literal["raise"] = "raise",
    ) -> dict[str, str]: ...
    @overload
    async def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: Literal["collect"],
    ) -> dict[str, Outcome[str]]: ...
    @overload
    async def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: OnError,
    ) -> dict[str, str] | dict[str, Outcome[str]]: ...
    async def materialize_many(
        self,
        objects: Mapping[str, object],
        run_id: str,
        step_name: str,
        project_name: str = "default",
        *,
        on_error: OnError = "raise",
    ) -> dict[str, str] | dict[str, Outcome[str]]:
        """Save many outputs of a step at once, by name; returns their locations, by name. Errors as in `save_many`."""
        return await self.run(run_id, project_name).materialize_many(objects, step_name, on_error=on_error)

    @overload
    async def delete_many(self, paths: Iterable[str], *, on_error: Literal["raise"] = "raise") -> dict[str, bool]: ...
    @overload
    async def delete_many(self, paths: Iterable[str], *, on_error: Literal["collect"]) -> dict[str, Outcome[bool]]: ...
    @overload
    async def delete_many(self, paths: Iterable[str], *, on_error: OnError) -> dict[str, bool] | dict[str, Outcome[bool]]: ...
    async def delete_many(
        self, paths: Iterable[str], *, on_error: OnError = "raise"
    ) -> dict[str, bool] | dict[str, Outcome[bool]]:
        """Remove many artifacts at once; answers by path whether there was one. Errors as in `save_many`."""
        distinct = _check_many(paths)
        tasks = (Task(path, self._delete(path)) for path in distinct)
        return await self._run_many("delete_many", distinct, tasks, on_error)

    async def delete_tree(self, prefix: str) -> int:
        """Remove every artifact at or under *prefix*, by whole segments, and answer how many there were.

        Raises:
            InvalidPathError: *prefix* is empty. A whole store is removed by removing its folder or its bucket.
        """
        checked = self._prefix(prefix, "delete_tree")
        if not checked:
            raise InvalidPathError(
                f"delete_tree({prefix!r}) would remove the whole store; name a prefix, or remove its folder or bucket yourself",
                path=prefix,
                operation="delete_tree",
            )
        removed = 0
        async for page in self._record_paths(checked, "delete_tree"):
            outcomes = await self._engine.run_many((Task(path, self._delete(path)) for path in page), fail_fast=True)
            if outcomes.errors:
                raise _named(first_with_notes(list(outcomes.errors.values())), "delete_tree")
            removed += sum(outcomes.results.values())
        return removed

    def run(self, run_id: str, project_name: str = "default", *, date: datetime.date | str | None = None) -> Run:
        """Return a handle that pins project, run and date (today's in UTC, or the given one), so that a retry lands in the same place."""
        return Run(self, run_id, project_name, date=date)

    async def verify(self, prefix: str = "", *, on_progress: OnProgress | None = None) -> VerifyReport:
        """Read every part of every artifact at or under *prefix* and compare it with its record; nothing is decoded or changed.

        *on_progress* is called after each artifact. What is damaged is in the report, not raised.
        """
        checked = self._prefix(prefix, "verify")
        return await _telling("verify", upkeep.verify(self._engine, self._config, checked, on_progress))

    async def sweep(
        self,
        prefix: str = "",
        *,
        grace: float = GRACE,
        dry_run: bool = True,
        on_progress: OnProgress | None = None,
    ) -> SweepReport:
        """Remove what killed writers have left at or under *prefix*: parts older than *grace* seconds that no record names.

        Without a *prefix* also temporary files and empty folders. Only reports unless *dry_run* is false. A save that is still under
        way must not be older than *grace*; saves refuse to commit after 24 hours, so the default is safe.
        """
        checked = self._prefix(prefix, "sweep")
        return await _telling("sweep", upkeep.sweep(self._engine, checked, grace, dry_run, on_progress))

    # The store itself

    async def validate(self) -> bool:
        """Check that the store can be reached and written to.

        Raises:
            StoreError: it cannot; the message says why.
        """
        await _telling("validate", self._engine.validate())
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration: JSON, and without secrets."""
        return {**self._objects.config(), "name": self.name, "type": self._kind}

    async def aclose(self) -> None:
        """Let go of threads and connections. The store may be used again; it then opens new ones."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def materializers(self) -> MaterializerRegistry:
        """The store's registry of materializers; register your own here."""
        if self._materializers is None:
            from aioartifacts.materializers.registry import MaterializerRegistry

            self._materializers = MaterializerRegistry()
        return self._materializers

    # Steps: everything below the public verbs runs in a worker, path checks included

    def _path(self, path: str) -> str:
        relative = self._objects.relative(path) if type(path) is str and path else None
        return check_path(path if relative is None else relative)

    def _prefix(self, prefix: str, operation: str) -> str:
        try:
            relative = self._objects.relative(prefix) if type(prefix) is str and prefix else None
            return check_prefix(prefix if relative is None else relative)
        except ArtifactError as error:
            raise _named(error, operation) from None

    def _save(
        self,
        artifact: object,
        path: str,
        metadata: Mapping[str, JSON] | None,
        overwrite: bool,
        format: str | None,
        producer: Mapping[str, str] | None = None,
    ) -> Steps[str]:
        checked = self._path(path)
        if format is not None and type(format) is not str:
            raise InvalidConfigError(f"format is the name of a format, or None, not {format!r}", path=checked)
        try:
            yield from protocol.save(
                artifact,
                checked,
                self._config,
                metadata=metadata,
                overwrite=overwrite,
                format=format,
                producer=producer,
            )
        except ArtifactError as error:
            error.path = error.path or checked
            raise
        return self._objects.location(checked)

    def _load(self, path: str, as_type: type[Any] | None, options: LoadOptions) -> Steps[Any]:
        checked = self._path(path)
        try:
            loaded = yield from reading.load(checked, self._config, options)
        except ArtifactError as error:
            error.path = error.path or checked
            raise
        if as_type is not None and not isinstance(loaded, as_type):
            wanted = getattr(as_type, "__qualname__", as_type)
            raise DecodeError(
                f"{checked!r} holds a {type(loaded).__module__}.{type(loaded).__qualname__}, not a {wanted}; "
                "leave out as_type to get it as it is",
                path=checked,
            )
        return loaded

    def _exists(self, path: str) -> Steps[bool]:
        return (yield from reading.exists(self._path(path)))

    def _delete(self, path: str) -> Steps[bool]:
        return (yield from protocol.delete(self._path(path), self._config))

    def _look(self, path: str) -> Steps[reading.Found | None]:
        return (yield from reading.look(self._path(path), self._config))

    def _explain(self, path: str) -> Steps[Explanation]:
        return (yield from explain(self._path(path), self._config))

    def _open_part(self, path: str, part: str | None) -> Steps[BinaryIO]:
        return memory_stream((yield from reading.read_part(self._path(path), part, self._config)))

    def _info(self, path: str) -> Steps[ArtifactInfo]:
        found = yield from reading.find(self._path(path), self._config)
        summary, preview = split(found.summary)
        return ArtifactInfo(
            path=found.path,
            location=self._objects.location(found.path),
            type=found.type,
            format=found.format,
            serializer=found.serializer,
            size=found.size,
            parts=len(found.sources),
            safe=found.safe,
            signed=found.signed,
            created=found.created,
            metadata=found.metadata,
            summary=summary,
            producer=found.producer,
            environment=found.environment,
            preview=preview,
        )

    async def _record_paths(self, prefix: str, operation: str) -> AsyncIterator[list[str]]:
        checked = self._prefix(prefix, operation)
        try:
            async for page in self._engine.pages(checked, name=RECORD):
                yield [path for info in page if (path := path_of_record(info.key)) is not None]
        except ArtifactError as error:
            raise _named(error, operation) from error.__cause__

    async def _run(self, operation: str, steps: Steps[T], *, heavy: bool = False) -> T:
        return await _telling(operation, self._engine.run(steps, heavy=heavy))

    async def _run_many(
        self,
        operation: str,
        names: Iterable[str],
        tasks: Iterable[Task[str, T]],
        on_error: OnError,
        *,
        saves: bool = False,
    ) -> dict[str, T] | dict[str, Outcome[T]]:
        """Carry out many verbs; the answers come in the order of *names*."""
        if on_error not in ("raise", "collect"):
            raise InvalidConfigError(f"on_error is 'raise' or 'collect', not {on_error!r}")
        outcomes = await self._engine.run_many(tasks, fail_fast=on_error == "raise", saves=saves)
        results, errors = outcomes.results, outcomes.errors
        for error in errors.values():
            _named(error, operation)
        if on_error == "collect":
            return {name: Outcome(error=errors[name]) if name in errors else Outcome(results[name]) for name in names}
        if errors:
            raise BaseExceptionGroup(
                f"{operation}: {len(errors)} failed, {len(results)} done, the rest not started",
                list(errors.values()),
            )
        return {name: results[name] for name in names}


class LocalArtifactStore(ArtifactStore):
    """Artifacts in a folder on local disk."""

    _kind = "local"

    def __init__(
        self,
        base_path: str | os.PathLike[str] = ".aioartifacts_store",
        *,
        name: str = "local",
        durability: Durability = "full",
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store in the folder *base_path*, which is created by the first save.

        With ``durability="full"`` a save that has returned survives a power cut; with ``"process"``, which spares the fsyncs, it
        survives a killed process only.

        Raises:
            InvalidConfigError: an option makes no sense.
        """
        from aioartifacts.objects.local import LocalObjectStore

        objects = LocalObjectStore(base_path, durability=durability)
        super().__init__(objects, name=name, **options)
        self.base_path = objects.root


class MemoryArtifactStore(ArtifactStore):
    """Artifacts in this process's memory: for tests, and for steps that run side by side."""

    _kind = "memory"

    def __init__(self, *, name: str = "memory", **options: Unpack[StoreOptions]) -> None:
        """Make an empty store.

        Raises:
            InvalidConfigError: an option makes no sense.
        """
        from aioartifacts.objects.memory import MemoryObjectStore

        super().__init__(MemoryObjectStore(name), name=name, **options)


class GCSArtifactStore(ArtifactStore):
    """Artifacts in a Google Cloud Storage bucket. Needs the extra ``gcs``."""

    _kind = "gcs"

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
        """Make a store in a bucket, below *prefix*. Touches neither disk nor network.

        *credentials*: a credentials file, ``"anonymous"``, an `aioartifacts.objects.gcs.AccessToken`, a function that returns a token, or
        None for Application Default Credentials. *endpoint* is for emulators and private endpoints.

        Raises:
            InvalidConfigError: an option makes no sense. Without a bucket, `validate` and every other verb say so.
        """
        from aioartifacts.objects.gcs import GCSObjectStore

        limits = options.get("limits") or Limits()
        objects = GCSObjectStore(
            bucket_name,
            prefix,
            project=project_id,
            endpoint=endpoint,
            credentials=credentials,
            connections=limits.transfers,
            retry=options.get("retry") or RetryPolicy(),
        )
        super().__init__(objects, name=name, **options)


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
        """Make a handle. *date* is a date or ``YYYY-MM-DD``; today's in UTC by default.

        Raises:
            InvalidConfigError: *date* is no date.
        """
        self.store = store
        self.run_id = run_id
        self.project_name = project_name
        self.date = _as_date(date)

    def path(self, name: str, step_name: str) -> str:
        """Return the path of a step's output.

        Raises:
            InvalidPathError: a component is not a single legal segment.
        """
        return materialized_path(self.project_name, self.date, self.run_id, step_name, name)

    async def materialize(self, obj: object, name: str, step_name: str) -> str:
        """Save a step's output; returns its location."""
        return await self.store._run("materialize", self._save(obj, name, step_name), heavy=_is_heavy(obj))

    @overload
    async def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: Literal["raise"] = "raise"
    ) -> dict[str, str]: ...
    @overload
    async def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: Literal["collect"]
    ) -> dict[str, Outcome[str]]: ...
    @overload
    async def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: OnError
    ) -> dict[str, str] | dict[str, Outcome[str]]: ...
    async def materialize_many(
        self, objects: Mapping[str, object], step_name: str, *, on_error: OnError = "raise"
    ) -> dict[str, str] | dict[str, Outcome[str]]:
        """Save many outputs of a step at once, by name; returns their locations, by name."""
        tasks = (
            Task(name, self._save(obj, name, step_name), light=_is_light(obj))
            for name, obj in _check_mapping(objects).items()
        )
        return await self.store._run_many("materialize_many", objects, tasks, on_error, saves=True)

    async def load(self, name: str, step_name: str) -> Any:
        """Load a step's output."""
        return await self.store.load(self.path(name, step_name))

    def _save(self, obj: object, name: str, step_name: str) -> Steps[str]:
        producer = {
            "project": self.project_name,
            "date": self.date.isoformat(),
            "run": self.run_id,
            "step": step_name,
            "name": name,
        }
        return (yield from self.store._save(obj, self.path(name, step_name), None, True, None, producer))


def open_store(url: str | os.PathLike[str], **options: Any) -> ArtifactStore:
    """Open the artifact store a URL names: a folder, ``file:///…``, ``memory://``, ``gs://bucket/prefix``, or a plug-in's scheme.

    *options* are those of the store's class. Touches neither disk nor network.

    Raises:
        InvalidConfigError: the URL is nonsense, or an option is.
    """
    from aioartifacts.objects.url import find_store, parse_url

    parsed = parse_url(url)
    opener = _OPENERS.get(parsed.scheme)
    if opener is not None:
        return opener(parsed.place, parsed.prefix, options)
    return ArtifactStore(find_store(parsed.scheme)(parsed.place), name=parsed.scheme, **options)


_OPENERS: dict[str, Callable[[str, str, dict[str, Any]], ArtifactStore]] = {
    "file": lambda place, _prefix, options: LocalArtifactStore(place, **options),
    "gs": lambda place, prefix, options: GCSArtifactStore(bucket_name=place, prefix=prefix, **options),
    "memory": lambda place, _prefix, options: MemoryArtifactStore(name=options.pop("name", place or "memory"), **options),
}


def _rebuild(cls: type[ArtifactStore], objects: Any, name: str, options: dict[str, Any]) -> ArtifactStore:
    """Unpickle a store from its configuration."""
    store = cls.__new__(cls)
    ArtifactStore.__init__(store, objects, name=name, **options)
    if isinstance(store, LocalArtifactStore):
        store.base_path = objects.root
    return store


def _load_options(mmap: bool, verify: bool, columns: Iterable[str] | None) -> LoadOptions:
    if isinstance(columns, str) or not isinstance(columns, Iterable | None):
        raise InvalidConfigError(f"columns is several names, a list for example, not {columns!r}")
    return LoadOptions(mmap=mmap, verify=verify, columns=None if columns is None else tuple(columns))


def _as_date(given: datetime.date | str | None) -> datetime.date:
    if given is None:
        return datetime.datetime.now(datetime.UTC).date()
    if isinstance(given, datetime.datetime):
        return given.date()
    if isinstance(given, datetime.date):
        return given
    try:
        return datetime.date.fromisoformat(given)
    except (ValueError, TypeError) as error:
        raise InvalidConfigError(f"date is a date or 'YYYY-MM-DD', not {given!r}") from error


async def _telling(operation: str, call: Coroutine[Any, Any, T]) -> T:
    """Await *call*; its errors tell which verb it was."""
    try:
        return await call
    except ArtifactError as error:
        _named(error, operation)
        raise


def _named(error: BaseException, operation: str) -> BaseException:
    """The error, telling which verb it was, unless it does already."""
    if isinstance(error, ArtifactError):
        error.operation = error.operation or operation
    return error


def _check_type(as_type: type[Any] | None) -> None:
    try:
        isinstance(None, as_type or object)
    except TypeError as error:
        raise InvalidConfigError(f"as_type is a class such as isinstance() takes, not {as_type!r}") from error


def _check_many(paths: Iterable[str]) -> dict[str, None]:
    """The paths, each once, in their order."""
    if isinstance(paths, str | bytes):
        raise InvalidPathError(f"several paths are wanted, a list for example, not the single {paths!r}")
    try:
        return dict.fromkeys(paths)
    except TypeError as error:
        raise InvalidPathError(f"several paths are wanted, a list of str for example: {error}") from error


def _check_mapping(objects: Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(objects, Mapping):
        raise InvalidConfigError(
            f"what to save many of is a mapping of names to objects, not a {type(objects).__name__}"
        )
    return objects


def _check_retry(retry: RetryPolicy) -> RetryPolicy:
    if not isinstance(retry, RetryPolicy):
        raise InvalidConfigError(f"retry is a RetryPolicy, not {retry!r}")
    return retry


_SYNCING_WORKERS = 4
"""Threads that wait for a disk together: it makes what they sync durable at once. Sixteen are slower than four."""


def _default_limits(objects: BlockingObjectStore | AsyncObjectStore) -> Limits:
    limits = Limits()
    return replace(limits, workers=max(_SYNCING_WORKERS, limits.workers)) if _is_durable(objects) else limits


def _is_durable(objects: BlockingObjectStore | AsyncObjectStore) -> bool:
    return getattr(objects, "durability", "process") == "full"


def _check_limits(limits: Limits) -> Limits:
    if not isinstance(limits, Limits):
        raise InvalidConfigError(f"limits is a Limits, not {limits!r}")
    for option in ("transfers", "workers", "memory"):
        value = getattr(limits, option)
        if type(value) is not int or value < 1:
            raise InvalidConfigError(f"Limits.{option} is a positive int, not {value!r}")
    return limits


def _check_inline_max(inline_max: int) -> int:
    if type(inline_max) is not int or inline_max < 0:
        raise InvalidConfigError(f"inline_max is a number of bytes, not {inline_max!r}")
    return inline_max


_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (list, tuple, dict, set, frozenset)
_LIGHT_ITEMS = 1_000
_LIGHT_BYTES = 64 * 1024


def _is_light(obj: object) -> bool:
    """Whether saving *obj* is sure to be quick. A guess from the outside: what turns out larger moves aside by itself."""
    if type(obj) in _CONTAINERS:
        return len(obj) <= _LIGHT_ITEMS  # type: ignore[arg-type]
    return type(obj) in _PLAIN and (not isinstance(obj, str | bytes) or len(obj) <= _LIGHT_BYTES)


def _is_heavy(obj: object) -> bool:
    """Whether saving *obj* is sure to take long."""
    return (type(obj) in _CONTAINERS or type(obj) in _PLAIN) and not _is_light(obj)


__all__ = [
    "ArtifactStore",
    "GCSArtifactStore",
    "LocalArtifactStore",
    "MemoryArtifactStore",
    "Outcome",
    "Run",
    "StoreOptions",
    "open_store",
]
