"""Typed JSON, the plain part: what can be written as it is, found out in one pass over exact types.

msgspec alone would take tuples for lists, numbers for names and NaN for null, without a word.
"""

from __future__ import annotations

from itertools import chain, islice
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from aioartifacts.materializers.typed_scalars import INT_MAX, INT_MIN, LONG, str_node

SLICE = 1 << 13
"""Nodes in one line, about; that long the interpreter lock is held (`python -m benchmarks lag` shows how others wait)."""
DEPTH = 32
"""Levels of nesting within one line."""
CHARACTERS = 8
"""Characters that count as much as a node."""

ATOMS = frozenset([str, int, bool, type(None)])
_CONTAINERS = frozenset([dict, list])
_ATOMIC = ATOMS | {float}
_TUPLES = _CONTAINERS | {tuple}
_PLAIN = _ATOMIC | _CONTAINERS
_TUPLED = _ATOMIC | _TUPLES
_NAMES = frozenset([str])

encode_json = msgspec.json.Encoder().encode


class NotPlain(Exception):
    """The object needs tags."""


def fits(root: Any) -> bool:
    """Whether *root*, a list or dict, is plain JSON and fits into one line; surrogates are left to the encoder.

    Raises:
        NotPlain: it needs tags.
    """
    return probe(root, SLICE, tags=False) is not None


class Plain(NamedTuple):
    """What is known of something that can be written as it is, but for its tuples."""

    left: int
    """How many nodes more it could have."""
    ids: list[int]
    """Of lists and dicts; the whole comes first."""
    tuples: bool
    """Whether there are any, so that it takes `tupled`."""


def probe(root: Any, limit: int, *, tags: bool) -> Plain | None:
    """Look whether *root*, a list or dict, is plain and has at most *limit* nodes; None when it is too large.

    With *tags* tuples are plain too, and a key ``"$"`` is not.

    Raises:
        NotPlain: it is not; or a list or dict turns up twice.
    """
    plain, containers = (_TUPLED, _TUPLES) if tags else (_PLAIN, _CONTAINERS)
    level, kinds = [root], {type(root)}
    ids: list[int] = []
    tuples = False
    depth = characters = 0
    # A level at a time, so that what looks at each node is a loop in C.
    while level:
        depth += 1
        limit -= len(level) + sum(map(len, level))
        if limit < 0 or depth > DEPTH:
            return None
        ids += map(id, _others(level, kinds, tuple))
        values: list[Any] = list(chain.from_iterable(_others(level, kinds, dict)))
        if dict in kinds:
            dicts = _those(level, kinds, dict)
            keys = list(chain.from_iterable(dicts))
            if not set(map(type, keys)) <= _NAMES or (tags and "$" in keys):
                raise NotPlain
            characters += len("".join(keys))
            values += chain.from_iterable(map(dict.values, dicts))
        kinds = set(map(type, values))  # never __class__, which an object may make up
        if not kinds <= plain:
            raise NotPlain
        characters += _characters(values, kinds)
        tuples = tuples or tuple in kinds
        below = kinds & containers
        level = values if below == kinds else [v for v in values if type(v) in below] if below else []
        kinds = below
    limit -= characters // CHARACTERS
    if limit < 0:
        return None
    if len(ids) > 1 and len(set(ids)) != len(ids):
        raise NotPlain
    return Plain(limit, ids, tuples)


def tupled(value: Any) -> Any:
    """What is plain but for its tuples, with those tagged."""
    kind = type(value)
    if kind not in _TUPLES:
        return value
    if kind is dict:
        return {name: tupled(v) if type(v) in _TUPLES else v for name, v in value.items()}
    items = value if _TUPLES.isdisjoint(map(type, value)) else [tupled(v) if type(v) in _TUPLES else v for v in value]
    return {"$": "tuple", "v": items} if kind is tuple else items


def dict_header(value: dict[Any, Any], *, reserved: bool) -> dict[str, Any]:
    if reserved and "$" in value:
        return {"$": "dict"}
    keys = iter(value)
    while batch := list(islice(keys, SLICE)):
        if set(map(type, batch)) != {str}:
            return {"$": "dict"}
        text = "".join(batch)
        if (len(text) > LONG and max(map(len, batch)) > LONG) or str_node(text) is not text:
            return {"$": "dict"}
    return {}


def is_atoms(batch: list[Any], named: bool) -> bool:
    """Whether a whole batch can be encoded as it is."""
    characters = 0
    if named:
        characters = sum(len(name) for name, _ in batch)
        values = [value for _, value in batch]
    else:
        values = batch
    kinds = set(map(type, values))
    if not kinds <= _ATOMIC:
        return False
    try:
        characters += _characters(values, kinds)
    except NotPlain:
        return False
    return characters <= LONG and (str not in kinds or type(str_node("".join(_those(values, kinds, str)))) is str)


def _characters(values: list[Any], kinds: set[type]) -> int:
    """How many characters the strings among *values*, which are of these *kinds*, have together.

    Raises:
        NotPlain: a number is one that JSON does not have, or that not every parser reads exactly.
    """
    if float in kinds and not all(map(isfinite, _those(values, kinds, float))):
        raise NotPlain
    if int in kinds:
        numbers = _those(values, kinds, int)
        if min(numbers) < INT_MIN or max(numbers) > INT_MAX:
            raise NotPlain
    return len("".join(_those(values, kinds, str))) if str in kinds else 0


def _those(values: list[Any], kinds: set[type], kind: type) -> list[Any]:
    """Those of *values*, which are of these *kinds*, that are of this *kind*, which is one of them."""
    return values if len(kinds) == 1 else [v for v in values if type(v) is kind]


def _others(values: list[Any], kinds: set[type], kind: type) -> list[Any]:
    """Those that are not."""
    if kind not in kinds:
        return values
    return [] if len(kinds) == 1 else [v for v in values if type(v) is not kind]
