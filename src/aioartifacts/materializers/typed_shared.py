"""Typed JSON, identity: which mutable objects turn up more than once, and the walk that finds out."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import chain
from typing import Any

from aioartifacts.materializers.typed_classes import Shape, take_apart
from aioartifacts.materializers.typed_plain import ATOMS
from aioartifacts.materializers.typed_scalars import ENCODERS, Refused

PAIRS = (dict, OrderedDict, defaultdict, Counter)
"""Exact types written as keys and values."""
ITEMS = (list, tuple, set, frozenset, deque)
"""Exact types written as items."""


def shared_ids(root: Any, shape_for: Callable[[type], Shape | None]) -> tuple[frozenset[int], int]:
    """The ids of mutable objects that turn up more than once, and how many nodes there are."""
    seen: set[int] = set()
    shared: set[int] = set()
    size = 0
    stack: list[Iterator[Any]] = [iter((root,))]
    while stack:
        for value in stack[-1]:
            size += 1
            cls = type(value)
            if cls in ATOMS or cls is float or cls in ENCODERS or isinstance(value, Enum):
                continue
            key = id(value)
            if key in seen:
                if not issubclass(cls, (tuple, frozenset)):
                    shared.add(key)
                continue
            seen.add(key)
            stack.append(_children(value, cls, shape_for))
            break
        else:
            stack.pop()
    return frozenset(shared), size


def _children(value: Any, cls: type, shape_for: Callable[[type], Shape | None]) -> Iterator[Any]:
    if cls in PAIRS:
        return chain.from_iterable(value.items())
    if cls in ITEMS:
        return iter(value)
    if cls is bytearray:
        return iter(())
    try:
        shape = shape_for(cls)
        state = take_apart(shape, value) if shape is not None else ""
    except Refused:
        return iter(())  # the encoder meets it again, and can say where it is
    if isinstance(state, dict):
        return iter(state.values())
    return iter(state if isinstance(state, list) else ())
