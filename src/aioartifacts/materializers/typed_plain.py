"""Typed JSON, the plain part: what can be written as it is, found out by looking at types, a container at a time.

``set(map(type, …))`` looks at a whole container in one call, which is what makes a small document cheap.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from aioartifacts.materializers.typed_scalars import INT_MAX, INT_MIN, LONG, str_node

SLICE = 1 << 13
"""Nodes in one line, about: a millisecond's work."""
DEPTH = 32
"""Levels of nesting within one line."""
CHARACTERS = 8
"""Characters that count as much as a node."""

ATOMS = frozenset([str, int, bool, type(None)])
_PLAIN = frozenset([*ATOMS, float, list, dict])

encode_json = msgspec.json.Encoder().encode


class NotPlain(Exception):
    """The object needs tags."""


def fits(root: Any) -> bool:
    """Whether *root*, a list or dict, is plain JSON and fits into one line; ints and surrogates are left to the encoder.

    Raises:
        NotPlain: it needs tags.
    """
    return probe(root, SLICE, reserved=False) is not None


def probe(root: Any, limit: int, *, reserved: bool) -> tuple[int, list[int]] | None:
    """What is left of *limit*, and the ids of containers, in something plain; None when it is too large.

    With *reserved*, a key ``"$"`` is not plain.
    """
    level = [root]
    ids: list[int] = []
    depth = 0
    while level:
        depth += 1
        below: list[Any] = []
        for container in level:
            ids.append(id(container))
            limit -= len(container) + 1
            if limit < 0 or depth > DEPTH:
                return None
            values = container
            if type(container) is dict:
                if not container:
                    continue
                if set(map(type, container)) != {str} or (reserved and "$" in container):
                    raise NotPlain
                limit -= len("".join(container)) // CHARACTERS
                values = container.values()
            kinds = set(map(type, values))
            if not kinds <= _PLAIN:
                raise NotPlain
            if str in kinds:
                limit -= sum([len(v) for v in values if v.__class__ is str]) // CHARACTERS
            if float in kinds:
                for v in values:
                    if v.__class__ is float and v - v != 0.0:
                        raise NotPlain
            if dict in kinds or list in kinds:
                below += [v for v in values if v.__class__ is dict or v.__class__ is list]
        level = below
    if limit < 0:
        return None
    if len(ids) > 1 and len(set(ids)) != len(ids):
        raise NotPlain
    return limit, ids


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
        names, values = zip(*batch, strict=True)
        characters = sum(map(len, names))
    else:
        values = tuple(batch)
    kinds = set(map(type, values))
    if float in kinds:
        kinds.discard(float)
        if any(v - v != 0.0 for v in values if v.__class__ is float):
            return False
    if not kinds <= ATOMS:
        return False
    if int in kinds and not all(INT_MIN <= v <= INT_MAX for v in values if v.__class__ is int):
        return False
    if str in kinds:
        strings = [v for v in values if v.__class__ is str]
        characters += sum(map(len, strings))
        return characters <= LONG and type(str_node("".join(strings))) is str
    return characters <= LONG
