"""Typed JSON, written on lines: a container that is being written, and the step to where it is at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aioartifacts.materializers.typed_plain import SLICE


@dataclass(slots=True)
class Frame:
    """A container whose contents go on lines of their own."""

    children: Iterator[Any]
    """Values; or names and values, when `named`."""
    named: bool = False
    pairs: bool = False
    """Keys and values in turn."""
    hashes: bool = False
    """Every item is hashed on loading."""
    hashed: int = 0
    """Openers inside of what is hashed, this one included."""
    header: dict[str, Any] = field(default_factory=dict)
    key: int = 0
    """id() of the container, while it is tracked."""
    take: int = SLICE // 2
    """How many children to look at together."""
    stride: int = 0
    """How many of these are tried as one run."""
    batch: list[Any] = field(default_factory=list)
    at: int = 0
    done: int = 0
    filled: bool = False

    def step(self) -> str:
        """Where it is at, for a message."""
        current = self.batch[self.at - 1] if 0 < self.at <= len(self.batch) else None
        if self.named and type(current) is tuple:
            return step_to(current[0])
        index = self.done + self.at - 1
        if self.pairs:
            is_value = index % 2 and self.at > 1
            return step_to(self.batch[self.at - 2]) if is_value else f"[{'value' if index % 2 else 'key'} {index // 2}]"
        return f"[{index}]" if index >= 0 else ""


def step_to(key: object) -> str:
    """How a message says that it goes into the value of *key*; never runs a repr of anybody's."""
    if type(key) is str:
        return f".{key}" if key.isidentifier() and len(key) <= 40 else f"[{ascii(key[:40])}]"
    return f"[{key!r}]" if type(key) in (int, bool, float, type(None)) else f"[a {type(key).__name__}]"
