"""Hold back the cyclic garbage collector while a large object is being built.

Building many containers sets it off again and again, over ever more objects of which none is garbage; a pickle of
300,000 entries loads in half the time without. It is one switch for the whole process, so those who want it off are
counted, and the last one turns it on again.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

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
def paused() -> Iterator[None]:
    """Keep the collector off; in any number of threads, and one inside the other."""
    global _users, _was_enabled
    with _lock:
        if _users == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _was_enabled:
                gc.enable()
