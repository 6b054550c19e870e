"""What an artifact store asks of whatever carries its steps out: one verb, or many, heavy or light, and what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from aioartifacts.operations import Steps
from aioartifacts.types import ObjectInfo

T = TypeVar("T")
K = TypeVar("K")


@dataclass(slots=True)
class Task(Generic[K, T]):
    """One of many verbs to be carried out: what to call its outcome, and its steps."""

    key: K
    steps: Steps[T]
    light: bool = True
    """Whether it is sure to be quick, so that it may share a turn with others."""


@dataclass(slots=True)
class Outcomes(Generic[K, T]):
    """What became of many verbs; those dropped after a failure are in neither."""

    results: dict[K, T] = field(default_factory=dict)
    errors: dict[K, BaseException] = field(default_factory=dict)


class Engine(Protocol):
    """What an artifact store asks of whatever carries its steps out."""

    async def run(self, steps: Steps[T], *, heavy: bool = False) -> T:
        """Carry out one verb; a *heavy* one is known beforehand to take long."""
        ...

    async def run_many(
        self, tasks: Iterable[Task[K, T]], *, fail_fast: bool, saves: bool = False
    ) -> Outcomes[K, T]:
        """Carry out many verbs at once. With *fail_fast* the first failure stops the others. *saves* says that all of them save."""
        ...

    def pages(self, prefix: str, *, name: str | None = None) -> AsyncIterator[list[ObjectInfo]]:
        """List objects, some hundred at a time."""
        ...

    async def sweep_drafts(self, before: float, *, dry_run: bool) -> list[ObjectInfo]:
        """Remove temporary files of the object store's own, last written before *before* (Unix time)."""
        ...

    async def validate(self) -> None:
        """Check that the store can be used."""
        ...

    async def aclose(self) -> None:
        """Let go of threads and connections; the engine may be used again."""
        ...


def first_with_notes(failures: Sequence[BaseException]) -> BaseException:
    """The first of several errors, the others as its notes."""
    first, *others = failures
    for other in others[:10]:
        first.add_note(f"and: {type(other).__name__}: {other}")
    return first


_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (list, tuple, dict, set, frozenset)
_LIGHT_ITEMS = 1_000
_LIGHT_BYTES = 64 * 1024


def is_light(obj: object) -> bool:
    """Whether saving *obj* is sure to be quick. A guess from the outside: what turns out larger moves aside by itself."""
    if type(obj) in _CONTAINERS:
        return len(obj) <= _LIGHT_ITEMS  # type: ignore[arg-type]
    return type(obj) in _PLAIN and (not isinstance(obj, str | bytes) or len(obj) <= _LIGHT_BYTES)


def is_heavy(obj: object) -> bool:
    """Whether saving *obj* is sure to take long."""
    return (type(obj) in _CONTAINERS or type(obj) in _PLAIN) and not is_light(obj)
