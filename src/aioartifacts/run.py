"""A run of a pipeline: where the outputs of its steps go in a store."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from aioartifacts.engine import Task, is_heavy, is_light
from aioartifacts.errors import InvalidConfigError, Telling
from aioartifacts.keys import materialized_path
from aioartifacts.operations import Steps
from aioartifacts.options import check_mapping
from aioartifacts.types import OnError, Outcome

if TYPE_CHECKING:
    from aioartifacts.store import ArtifactStore

T = TypeVar("T")


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
        with Telling("run"):
            self.date = _as_date(date)

    def path(self, name: str, step_name: str) -> str:
        """Return the path of a step's output.

        Raises:
            InvalidPathError: a component is not a single legal segment.
        """
        return materialized_path(self.project_name, self.date, self.run_id, step_name, name)

    async def materialize(self, obj: object, name: str, step_name: str) -> str:
        """Save a step's output; returns its location."""
        return await self.store._run("materialize", self._save(obj, name, step_name), heavy=is_heavy(obj))

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
        with Telling("materialize_many"):
            tasks = (
                Task(name, self._save(obj, name, step_name), light=is_light(obj))
                for name, obj in check_mapping(objects).items()
            )
        return await self.store._run_many("materialize_many", objects, tasks, on_error, saves=True)

    @overload
    async def load(
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
    async def load(
        self,
        name: str,
        step_name: str,
        as_type: None = None,
        *,
        mmap: bool = False,
        verify: bool = True,
        columns: Iterable[str] | None = None,
    ) -> Any: ...
    async def load(
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
        with Telling("load"):
            path = self.path(name, step_name)
        return await self.store.load(path, as_type, mmap=mmap, verify=verify, columns=columns)

    def _save(self, obj: object, name: str, step_name: str) -> Steps[str]:
        producer = {
            "project": self.project_name,
            "date": self.date.isoformat(),
            "run": self.run_id,
            "step": step_name,
            "name": name,
        }
        return (yield from self.store._save(obj, self.path(name, step_name), None, True, None, producer))


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
