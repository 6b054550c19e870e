"""Classes of every kind, where another process could import them."""

from __future__ import annotations

import abc
import collections
import enum
import typing
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import attrs
import msgspec

T = TypeVar("T")
ran: list[str] = []
"""What code of these classes has run."""


@dataclass
class Plain:
    a: int
    b: Any = None
    kind: ClassVar[str] = "plain"


@dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    inner: Any = ()


@dataclass
class Loud:
    a: int
    seed: InitVar[int] = 0
    total: int = field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        ran.append("post_init")
        self.total = self.a + seed

    def __setattr__(self, name: str, value: object) -> None:
        ran.append("setattr")
        super().__setattr__(name, value)


@dataclass
class Boxed(Generic[T]):
    value: T


@dataclass
class Child(Plain):
    c: float = 0.0


class Bare(Plain):
    """Not itself a dataclass."""


@dataclass
class Late:
    value: int = field(init=False)


@dataclass
class Closing:
    path: str

    def __del__(self) -> None:
        ran.append("del")


@dataclass
class Pickles:
    a: int

    def __getstate__(self) -> dict[str, int]:
        return {"a": self.a}


@dataclass
class ListLike(list):  # type: ignore[type-arg]
    a: int = 0


@dataclass
class Guarded:
    a: int


def _get(self: Any) -> int:
    return 5


def _set(self: Any, value: int) -> None:
    ran.append("property")


Guarded.a = property(_get, _set)  # type: ignore[assignment]


@dataclass(eq=False)
class Hashing:
    a: int

    def __hash__(self) -> int:
        ran.append("hash")
        return 1


@dataclass
class Abstract(abc.ABC):
    a: int


class Point(NamedTuple):
    x: int
    y: Any = 0


Old = collections.namedtuple("Old", "p q")


class Stateful(Point):
    pass


@attrs.define
class Defined:
    a: int
    b: Any = attrs.field(factory=list)


@attrs.frozen
class FrozenDefined:
    a: int


@attrs.define(slots=False)
class DictDefined:
    a: int


class Struct(msgspec.Struct):
    a: int
    b: Any = None


class FrozenStruct(msgspec.Struct, frozen=True, kw_only=True):
    a: int


class LoudStruct(msgspec.Struct):
    a: int

    def __post_init__(self) -> None:
        ran.append("struct")


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # an alias
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    ME = "me"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Outer:
    @dataclass
    class Inner:
        a: int


__all__ = [name for name, value in list(globals().items()) if isinstance(value, type) and value.__module__ == __name__]
_ = typing
