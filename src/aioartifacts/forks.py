"""What has locks, threads or a loop starts anew in a forked child: there the threads are gone, and one of them may have held a lock."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """What can be put back to where it began."""

    def _reset(self) -> None: ...


_after_fork: weakref.WeakSet[Renewable] = weakref.WeakSet()


def start_anew_after_fork(thing: Renewable) -> None:
    """Have ``_reset`` called in a forked child."""
    _after_fork.add(thing)


def _reset_all() -> None:
    for thing in list(_after_fork):
        thing._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
