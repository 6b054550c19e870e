"""Typed JSON, the plain part: what can be written as it is, found out in one pass over exact types.

msgspec alone would take tuples for lists, numbers for names and NaN for null, without a word.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from aioartifacts.materializers.typed_scalars import INT_MAX, INT_MIN, LONG, str_node

SLICE = 1 << 13
"""Nodes in one line, about; that long the interpreter lock is held (`python -m benchmarks lag` shows how others wait)."""
DEPTH = 32
"""Levels of nesting within one line."""
CHARACTERS = 8
"""Characters that count as much as a node."""

ATOMS = frozenset([str, int, bool, type(None)])

encode_json = msgspec.json.Encoder().encode


class NotPlain(Exception):
    """The object needs tags."""


def fits(root: Any) -> bool:
    """Whether *root*, a list or dict, is plain JSON and fits into one line; surrogates are left to the encoder.

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
    depth = characters = 0
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
                characters += len("".join(container))
                values = container.values()
            for v in values:
                kind = type(v)  # never __class__, which an object may make up
                if kind is str:
                    characters += len(v)
                elif kind is float:
                    if v - v != 0.0:
                        raise NotPlain
                elif kind is int:
                    if not INT_MIN <= v <= INT_MAX:
                        raise NotPlain
                elif kind is dict or kind is list:
                    below.append(v)
                elif v is not None and kind is not bool:
                    raise NotPlain
        level = below
    limit -= characters // CHARACTERS
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
