"""Subclasses with state of their own, where another process can import them: none may come back as its base."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import pathlib
from typing import Any


class Text(str):  # so that it has attributes
    """A str with an attribute."""


class Number(int):
    pass


class Real(float):
    pass


class Raw(bytes):
    pass


class Names(list):  # type: ignore[type-arg]
    pass


class Pair(tuple):  # type: ignore[type-arg]
    __slots__ = ()


class Table(dict):  # type: ignore[type-arg]
    pass


class Bag(set):  # type: ignore[type-arg]
    pass


class Order(collections.OrderedDict):  # type: ignore[type-arg]
    pass


class Money(decimal.Decimal):
    pass


class Moment(datetime.datetime):
    pass


class Place(pathlib.PurePosixPath):
    pass


class Suit(enum.IntFlag):
    HEARTS = 1
    SPADES = 2


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class Cyclic:
    def __init__(self) -> None:
        self.me = self
        self.items = [self, (self,)]


def tagged(made: Any, **attributes: Any) -> Any:
    """*made* with attributes."""
    vars(made).update(attributes)
    return made


def all_of_builtins() -> dict[str, Any]:
    """One of each."""
    return {
        "str": tagged(Text("a"), note=1),
        "int": Number(7),
        "float": tagged(Real("nan"), unit="m"),
        "bytes": Raw(b"\0"),
        "list": tagged(Names([1, (2,)]), owner="me"),
        "tuple": Pair((1, [2])),
        "dict": tagged(Table(a=1), hidden={2}),
        "set": Bag({1}),
        "OrderedDict": tagged(Order(a=1), x=0),
        "Decimal": Money("1.10"),
        "datetime": Moment(2020, 1, 2, fold=1),
        "PurePosixPath": Place("a/b"),
        "bool flags": Suit.HEARTS | Suit.SPADES,
        "slots": Slotted(1, [Text("x")]),
        "cycle": Cyclic(),
        "inside": {"deep": [Text("x"), {1: Number(2)}]},
        "as a key": {Text("k"): 1},
    }
