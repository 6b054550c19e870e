"""Notices blocking calls that the library makes on the thread of a running event loop.

It listens to the interpreter's audit events, so that nothing is timed: a call is noticed however fast the disk is. Only what happens
below one of the library's own coroutines or loop callbacks counts. A test that calls a blocking function from its own coroutine, and the
facade, which by its nature blocks whoever calls it, do not.

What cannot be seen is what the interpreter does not report: `os.stat`, and waiting for a lock. Flushes are not reported either; they are
wrapped.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import aioartifacts

EVENTS = frozenset(
    [
        "open", "time.sleep", "subprocess.Popen", "fcntl.flock", "fcntl.lockf", "mmap.__new__", "tempfile.mkstemp", "tempfile.mkdtemp",
        "os.chmod", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "os.symlink", "os.truncate",
        "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree", "socket.getaddrinfo", "socket.gethostbyname",
    ]
)  # fmt: skip
PACKAGE = str(Path(aioartifacts.__file__).parent) + os.sep
EXEMPT = tuple(os.path.join(PACKAGE, folder) + os.sep for folder in ("testing", "integrations"))
_LOOP = os.path.join(os.path.dirname(asyncio.__file__), "events.py")
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

_calls: list[str] | None = None


def _notice(event: str, detail: object) -> None:
    if _calls is None or asyncio._get_running_loop() is None:
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return  # importing is waited for once; what may be imported when, test_import.py checks
        if name.startswith(PACKAGE) and not name.startswith(EXEMPT) and _on_the_loop(frame):
            _calls.append(f"{event} {detail!r} in {name.removeprefix(PACKAGE)}:{frame.f_lineno} {frame.f_code.co_qualname}")
            return
        frame = frame.f_back


def _on_the_loop(frame: FrameType) -> bool:
    caller = frame.f_back
    return bool(frame.f_code.co_flags & _COROUTINE) or (caller is not None and caller.f_code.co_filename == _LOOP)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in EVENTS and not (event == "mmap.__new__" and args[0] == -1):  # memory without a file is there at once
        _notice(event, args[0] if args else None)


def _noticed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        _notice(name, args[0])
        return function(*args)

    return call


sys.addaudithook(_hook)
for _name in ("fsync", "fdatasync"):
    if hasattr(os, _name):
        setattr(os, _name, _noticed(f"os.{_name}", getattr(os, _name)))


@contextmanager
def watching() -> Iterator[list[str]]:
    global _calls
    _calls = []
    try:
        yield _calls
    finally:
        _calls = None
