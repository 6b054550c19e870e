"""Small previews and summaries: the first columns, rows, cells and items as text, cut where they are long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from aioartifacts.types import JSON

ROWS, COLUMNS, ITEMS = 5, 20, 12
CELL, TEXT = 80, 500
"""Characters that are shown of a cell, and of a text."""
_NAME, _NAMES = 200, 4096
"""Characters that a summary tells of a column's name, and its type; and of all of them together."""

_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    int: lambda n: repr(n) if n.bit_length() < 256 else "int",
    float: repr,
    str: lambda s: s if len(s) <= CELL else shortened(s, CELL),
}


def table(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> dict[str, JSON]:
    """The first rows and columns."""
    return {
        "columns": [cell(name) for name in islice(columns, COLUMNS)],
        "rows": [[cell(value) for value in islice(row, COLUMNS)] for row in islice(rows, ROWS)],
    }


def schema(columns: Iterable[tuple[str, object]]) -> list[JSON]:
    """Names and types; not all of them when there are many."""
    shown: list[JSON] = []
    left = _NAMES
    for name, dtype in columns:
        row = [name[:_NAME], str(dtype)[:_NAME]]
        left -= len(row[0]) + len(row[1]) + 8
        if left < 0:
            break
        shown.append(row)
    return shown


def text(whole: str) -> dict[str, JSON]:
    """The beginning of a text."""
    return {"text": shortened(whole, TEXT)} if whole else {}


def items(first: Iterable[object], total: int) -> dict[str, JSON]:
    """The first items of *total*."""
    shown = [cell(item) for item in islice(first, ITEMS)]
    return text(f"[{', '.join(shown)}{', …' if total > len(shown) else ''}]")


def entries(first: Iterable[tuple[object, object]], total: int) -> dict[str, JSON]:
    """The first entries of *total*."""
    shown = [f"{cell(key)}: {cell(value)}" for key, value in islice(first, ITEMS)]
    return text(f"{{{', '.join(shown)}{', …' if total > len(shown) else ''}}}")


def cell(value: object) -> str:
    """A value in a few characters, without looking at more of it than those."""
    known = _SCALARS.get(type(value))
    if known is not None:
        return known(value)
    if isinstance(value, str):
        return shortened(value, CELL)
    if isinstance(value, list | tuple | dict | set | frozenset | bytes | bytearray | memoryview):
        return f"{type(value).__name__} of {len(value)}"
    return shortened(str(value), CELL)


def shortened(whole: str, limit: int) -> str:
    """At most *limit* characters, and whether there are more."""
    return whole if len(whole) <= limit else f"{whole[:limit]}…"
