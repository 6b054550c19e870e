"""Hold back the cyclic garbage collector while a large object is being built.

Building many containers sets it off again and again, over ever more objects of which none is garbage. It is one switch
for the whole process, so those who want it off are counted, and the last one turns it on again. Otherwise a full
collection now and then would hold the interpreter for as long as the whole process has objects: a stall for every
thread, the event loop's too.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

_REST = 1.0
"""Seconds after which the garbage that the process makes meanwhile is collected. Seldom: every tenth time or so Python then looks through
everything there is, as soon as it may."""
_MAKING = 0.01
"""Seconds after which objects that are being made are looked through, and counted among the old: that takes no longer than making them,
and left for the end it would be a stall."""

_lock = Lock()
_users = 0
_was_enabled = False


def _in_child() -> None:
    """After a fork there is one thread, and none of those that were to turn the collector on again."""
    global _lock, _users
    _lock = Lock()
    if _users:
        _users = 0
        if _was_enabled:
            gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@contextmanager
def paused(*, making: bool = False) -> Iterator[Callable[[], None]]:
    """Keep the collector off; in any number of threads, and one inside the other.

    What may take long calls the function that this gives again and again. Now and then that collects what is young; *making* says that
    very many objects are made, which then are not left for one large collection at the end.
    """
    global _users, _was_enabled
    rest = _MAKING if making else _REST
    collected = time.monotonic()

    def collect() -> None:
        nonlocal collected
        if time.monotonic() - collected >= rest:
            collected = time.monotonic()
            if _was_enabled:
                gc.collect(1)

    with _lock:
        if _users == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _users += 1
    try:
        yield collect
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _was_enabled:
                gc.enable()
