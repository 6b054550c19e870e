"""Typed JSON, identity: which mutable objects turn up more than once, and the walk that finds out."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import chain, islice
from typing import Any

from aioartifacts.materializers.typed_classes import Shape, take_apart
from aioartifacts.materializers.typed_plain import ATOMS
from aioartifacts.materializers.typed_scalars import ENCODERS, Refused

PAIRS = (dict, OrderedDict, defaultdict, Counter)
"""Exact types written as keys and values."""
ITEMS = (list, tuple, set, frozenset, deque)
"""Exact types written as items."""
_ATOMIC = ATOMS | {float}
_ROWS = {tuple}
_BATCH = 1 << 10
"""Objects looked at together."""


def shared_ids(root: Any, shape_for: Callable[[type], Shape | None]) -> tuple[frozenset[int], int]:
    """The ids of mutable objects that turn up more than once, and how many nodes there are."""
    seen: set[int] = set()
    again: set[int] = set()
    """Immutable ones, written out each time, whose contents have been looked at twice: what can change in them turns up as often."""
    shared: set[int] = set()
    size = 0

    def tracked(values: Iterator[Any]) -> Iterator[Any]:
        """Those of *values* that may be shared, or hold what is."""
        nonlocal size
        while batch := list(islice(values, _BATCH)):
            size += len(batch)
            kinds = set(map(type, batch))
            if kinds <= _ATOMIC:
                continue
            if kinds == _ROWS:
                cells = list(chain.from_iterable(batch))
                if set(map(type, cells)) <= _ATOMIC:
                    size += len(cells)
                    continue
            yield from batch

    stack = [tracked(iter((root,)))]
    while stack:
        for value in stack[-1]:
            cls = type(value)
            if cls in _ATOMIC or cls in ENCODERS or isinstance(value, Enum):
                continue
            key = id(value)
            if key in seen:
                if not issubclass(cls, (tuple, frozenset)):
                    shared.add(key)
                    continue
                if key in again:
                    continue
                again.add(key)
            seen.add(key)
            stack.append(tracked(_children(value, cls, shape_for)))
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
