"""The artifact store: save, load and look at artifacts from ``async`` code."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar, Unpack, overload

from aioartifacts import protocol, reading, upkeep
from aioartifacts.blocking import BlockingEngine
from aioartifacts.budget import ByteBudget
from aioartifacts.engine import Engine, Task, first_with_notes, is_heavy, is_light
from aioartifacts.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    DecodeError,
    InvalidConfigError,
    InvalidPathError,
    RecordError,
    Telling,
)
from aioartifacts.explaining import explain
from aioartifacts.keys import RECORD, check_path, check_prefix, path_of_record
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.operations import Config, Steps
from aioartifacts.options import (
    StoreOptions,
    check_flag,
    check_inline_max,
    check_limits,
    check_many,
    check_mapping,
    check_names,
    check_objects,
    check_retry,
    check_type,
    default_limits,
    is_durable,
    load_options,
)
from aioartifacts.parts import memory_stream
from aioartifacts.pool import WorkerPool
from aioartifacts.previews import split
from aioartifacts.run import Run
from aioartifacts.trust import keyring
from aioartifacts.types import (
    GRACE,
    INLINE_MAX,
    JSON,
    ArtifactInfo,
    Explanation,
    LoadOptions,
    OnError,
    Outcome,
    RetryPolicy,
    SweepReport,
    Trust,
    VerifyReport,
)
from aioartifacts.upkeep import OnProgress
from aioartifacts.workers import CallerWorkers, LoopWorkers

if TYPE_CHECKING:
    from aioartifacts.materializers.registry import MaterializerRegistry

T = TypeVar("T")


class ArtifactStore:
    """Artifacts over one object store. Safe for any number of tasks, and of event loops, one after another or in threads of their own.

    Over an async object store (a bucket) each loop has connections of its own, which `aclose` closes when awaited there, and *limits*
    bound one loop at a time: give loops that run side by side a store each.

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

        Every store has these options:

        - *trust*: what may be decoded, ``"data"``, ``"signed"`` or ``"all"``. By default ``"signed"`` with a *signing_key*; else
          ``"all"`` in memory and in a local folder that only we can write to, and ``"data"`` anywhere else.
        - *signing_key*: 32 bytes or more, or a function that gives them; what is saved is signed with it.
        - *verification_keys*: further keys whose signatures are valid.
        - *limits*: how much is done at once, a `Limits`.
        - *retry*: when failed requests are tried again, a `RetryPolicy`.
        - *inline_max*: largest payload, in bytes, that is kept inside the record; 16 KiB by default.
        - *previews*: whether a small preview is saved in the record; true by default.
        - *materializers*: the `MaterializerRegistry` to use instead of a fresh one.

        Raises:
            InvalidConfigError: an option makes no sense.
        """
        check_names(options.keys(), type(self))
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
        check_objects(objects, type(self))
        self._objects = objects
        self._options = options
        self._limits = check_limits(options.get("limits", default_limits(objects)))
        self._materializers = options.get("materializers")
        if not callable(getattr(self.materializers, "candidates", None)):
            raise InvalidConfigError(f"materializers is a MaterializerRegistry, not {self.materializers!r}")
        self._config = Config(
            materializers=self.materializers,
            trust=trust,
            doubt=self._doubt,
            keys=keys,
            unloadable=set() if trust == "data" or (trust is None and isinstance(objects, AsyncObjectStore)) else None,
            inline_max=check_inline_max(options.get("inline_max", INLINE_MAX)),
            previews=check_flag(options.get("previews", True), "previews"),
            retry=check_retry(options.get("retry", RetryPolicy())),
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
                durable=is_durable(self._objects),
            )
        from aioartifacts.transfer import TransferEngine

        return TransferEngine(self._objects, LoopWorkers(pool), self._limits, self._config.retry)

    def _serve_caller(self) -> bool:
        """Serve ordinary code from now on, if the object store is a blocking one: no verb then waits for an event loop."""
        if not isinstance(self._objects, BlockingObjectStore):
            return False
        self._engine = self._make_engine(in_caller=True)
        return True

    def _doubt(self) -> str | None:
        objects = self._objects
        return objects.doubt() if isinstance(objects, BlockingObjectStore) else f"others may be able to write to {objects.url}"

    def __reduce__(self) -> tuple[object, ...]:
        self._config.keys.__reduce__()  # refuses, when there are any
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
        with Telling("save", path):
            check_flag(overwrite, "overwrite")
        return await self._run(
            "save", self._save(artifact, path, metadata, overwrite, format), heavy=is_heavy(artifact)
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
        with Telling("load", path):
            check_type(as_type)
            options = load_options(mmap, verify, columns)
        return await self._run("load", self._load(path, as_type, options))

    async def exists(self, path: str) -> bool:
        """Say whether there is an artifact. Reads nothing."""
        return await self._run("exists", self._at(path, reading.exists))

    async def delete(self, path: str) -> bool:
        """Remove an artifact, and answer whether there was one. Artifacts below its path stay.

        Raises:
            RecordError: what is there is no record of an artifact, or that of a newer version; it stays.
        """
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
        return await self._run("explain", self._at(path, lambda checked: explain(checked, self._config)))

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
        with Telling("list_artifacts"):
            async for page in self._record_paths(prefix):
                found += page
        return sorted(found)

    async def iter_artifacts(self, prefix: str = "") -> AsyncIterator[ArtifactInfo]:
        """Iterate over what is known of all artifacts at or under *prefix*, in no particular order, however many there are.

        Artifacts that are removed meanwhile are left out, and so is a ``metadata.json`` that never was a record, though `list_artifacts`
        and `exists`, which read nothing, take it for one. A damaged record raises `RecordError`.
        """
        with Telling("iter_artifacts"):
            async for page in self._record_paths(prefix):
                tasks = (Task(path, self._info(path)) for path in page)
                outcomes = await self._engine.run_many(tasks, fail_fast=False)
                for path in page:
                    error = outcomes.errors.get(path)
                    if error is None:
                        yield outcomes.results[path]
                    elif not isinstance(error, ArtifactNotFoundError) and not reading.is_foreign(error):
                        raise error

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
        with Telling("save_many"):
            check_flag(overwrite, "overwrite")
            tasks = (
                Task(path, self._save(obj, path, None, overwrite, None), light=is_light(obj))
                for path, obj in check_mapping(artifacts).items()
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
        with Telling("load_many"):
            options = load_options(mmap, verify, None)
            distinct = check_many(paths)
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
        with Telling("delete_many"):
            distinct = check_many(paths)
        tasks = (Task(path, self._delete(path)) for path in distinct)
        return await self._run_many("delete_many", distinct, tasks, on_error)

    async def delete_tree(self, prefix: str) -> int:
        """Remove every artifact at or under *prefix*, by whole segments, and answer how many there were.

        What is no artifact stays.

        Raises:
            InvalidPathError: *prefix* is empty. A whole store is removed by removing its folder or its bucket.
        """
        removed = 0
        with Telling("delete_tree"):
            checked = self._prefix(prefix)
            if not checked:
                raise InvalidPathError(
                    f"delete_tree({prefix!r}) would remove the whole store; name a prefix, or remove its folder or bucket yourself",
                    path=prefix,
                )
            async for page in self._record_paths(checked):
                tasks = (Task(path, self._delete_ours(path)) for path in page)
                outcomes = await self._engine.run_many(tasks, fail_fast=True)
                if outcomes.errors:
                    raise first_with_notes(list(outcomes.errors.values()))
                removed += sum(outcomes.results.values())
        return removed

    def run(self, run_id: str, project_name: str = "default", *, date: datetime.date | str | None = None) -> Run:
        """Return a handle that pins project, run and date (today's in UTC, or the given one), so that a retry lands in the same place."""
        return Run(self, run_id, project_name, date=date)

    async def verify(self, prefix: str = "", *, on_progress: OnProgress | None = None) -> VerifyReport:
        """Read every part of every artifact at or under *prefix* and compare it with its record; nothing is decoded or changed.

        *on_progress* is called after each artifact. What is damaged, or cannot be read, is in the report, not raised.
        """
        with Telling("verify"):
            return await upkeep.verify(self._engine, self._config, self._prefix(prefix), on_progress)

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
        with Telling("sweep"):
            check_flag(dry_run, "dry_run")
            return await upkeep.sweep(self._engine, self._prefix(prefix), grace, dry_run, on_progress)

    # The store itself

    async def validate(self) -> bool:
        """Check that the store can be reached and written to.

        Raises:
            StoreError: it cannot; the message says why.
        """
        with Telling("validate"):
            await self._engine.validate()
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

    def _prefix(self, prefix: str) -> str:
        relative = self._objects.relative(prefix) if type(prefix) is str and prefix else None
        return check_prefix(prefix if relative is None else relative)

    def _at(self, path: str, steps: Callable[[str], Steps[T]]) -> Steps[T]:
        """Steps for the artifact at *path*; their errors tell that it is this one, whatever object they came from."""
        checked = self._path(path)
        try:
            return (yield from steps(checked))
        except ArtifactError as error:
            error.path = checked
            raise

    def _save(
        self,
        artifact: object,
        path: str,
        metadata: Mapping[str, JSON] | None,
        overwrite: bool,
        format: str | None,
        producer: Mapping[str, str] | None = None,
    ) -> Steps[str]:
        def save(checked: str) -> Steps[str]:
            if format is not None and type(format) is not str:
                raise InvalidConfigError(f"format is the name of a format, or None, not {format!r}")
            yield from protocol.save(
                artifact,
                checked,
                self._config,
                metadata=metadata,
                overwrite=overwrite,
                format=format,
                producer=producer,
            )
            return self._objects.location(checked)

        return self._at(path, save)

    def _load(self, path: str, as_type: type[Any] | None, options: LoadOptions) -> Steps[Any]:
        def load(checked: str) -> Steps[Any]:
            loaded = yield from reading.load(checked, self._config, options)
            if as_type is not None and not isinstance(loaded, as_type):
                wanted = getattr(as_type, "__qualname__", as_type)
                raise DecodeError(
                    f"{checked!r} holds a {type(loaded).__module__}.{type(loaded).__qualname__}, not a {wanted}; "
                    "leave out as_type to get it as it is"
                )
            return loaded

        return self._at(path, load)

    def _delete(self, path: str) -> Steps[bool]:
        return self._at(path, lambda checked: protocol.delete(checked, self._config))

    def _delete_ours(self, path: str) -> Steps[bool]:
        try:
            return (yield from self._delete(path))
        except RecordError as error:
            if reading.is_foreign(error):
                return False
            raise

    def _look(self, path: str) -> Steps[reading.Found | None]:
        return self._at(path, lambda checked: reading.look(checked, self._config))

    def _open_part(self, path: str, part: str | None) -> Steps[BinaryIO]:
        data = yield from self._at(path, lambda checked: reading.read_part(checked, part, self._config))
        return memory_stream(data)

    def _info(self, path: str) -> Steps[ArtifactInfo]:
        found = yield from self._at(path, lambda checked: reading.find(checked, self._config))
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

    async def _record_paths(self, prefix: str) -> AsyncIterator[list[str]]:
        async for page in self._engine.pages(self._prefix(prefix), name=RECORD):
            yield [path for info in page if (path := path_of_record(info.key)) is not None]

    async def _run(self, operation: str, steps: Steps[T], *, heavy: bool = False) -> T:
        with Telling(operation):
            return await self._engine.run(steps, heavy=heavy)

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
        with Telling(operation):
            if on_error not in ("raise", "collect"):
                raise InvalidConfigError(f"on_error is 'raise' or 'collect', not {on_error!r}")
            outcomes = await self._engine.run_many(tasks, fail_fast=on_error == "raise", saves=saves)
        results, errors = outcomes.results, outcomes.errors
        for error in errors.values():
            if isinstance(error, ArtifactError):
                error.operation = operation
        if on_error == "collect":
            return {name: Outcome(error=errors[name]) if name in errors else Outcome(results[name]) for name in names}
        if errors:
            raise BaseExceptionGroup(
                f"{operation}: {len(errors)} failed, {len(results)} done, the rest not started",
                list(errors.values()),
            )
        return {name: results[name] for name in names}


def _rebuild(cls: type[ArtifactStore], objects: Any, name: str, options: dict[str, Any]) -> ArtifactStore:
    """Unpickle a store from its configuration."""
    store = cls.__new__(cls)
    ArtifactStore.__init__(store, objects, name=name, **options)
    return store
