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

_MANY = 100_000
"""Objects made meanwhile that are looked through at once, and then counted among the old, which takes some 10 ms. All of them, at the
end, would be a stall; and after more than ten such looks, however short, Python soon looks through all that the process has."""
_REST = 1.0
"""Seconds after which they are in any case, so that garbage of others does not pile up beside work of any length."""

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
def paused() -> Iterator[Callable[[], None]]:
    """Keep the collector off; in any number of threads, and one inside the other.

    What may take long calls the function that this gives again and again. Now and then that collects what is young, so that neither
    garbage nor a large collection at the end is left over.
    """
    global _users, _was_enabled
    collected = time.monotonic()

    def collect() -> None:
        nonlocal collected
        if gc.get_count()[0] >= _MANY or time.monotonic() - collected >= _REST:
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


def settle() -> None:
    """Have all there is counted among the old, for the sake of one that is about to grow."""
    if gc.isenabled():
        gc.collect(1)
