"""Watch what code does while it decodes: unpickling, running code, importing, opening sockets, starting processes.

CPython tells audit hooks (PEP 578) before it does any of it. A hook cannot be removed, so there is one, which looks only in
the thread and for the time it is asked to.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

_PROCESSES = {
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "subprocess.Popen",
    "pty.spawn",
}
_OTHERS = {"pickle.find_class", "code.__new__", "ctypes.dlopen", "webbrowser.open", "urllib.Request", "sys.remote_exec"}

_here = threading.local()
_installed = threading.Lock()
_hooked: list[bool] = []


@contextmanager
def watching(packages: Iterable[str] = ()) -> Iterator[list[str]]:
    """Collect what this thread does in the meantime that decoding data never needs.

    What the libraries import of themselves is let pass: modules of the standard library, and of top-level packages imported before,
    and of *packages*.
    """
    with _installed:
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked.append(True)
    found: list[str] = []
    _here.packages = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names) | set(packages)
    _here.found = found
    try:
        yield found
    finally:
        _here.found = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    found: list[str] | None = getattr(_here, "found", None)
    if found is None:
        return
    if event in _OTHERS or event in _PROCESSES or event.startswith("socket."):
        found.append(f"{event} {arguments!r:.200}")
    elif event == "import":
        module = str(arguments[0])
        if module.partition(".")[0] not in _here.packages:
            found.append(f"import {module}")
    elif event == "exec":
        code = arguments[0]
        # Code of a module that is imported has a file.
        if (
            isinstance(code, CodeType)
            and code.co_filename.startswith("<")
            and not code.co_filename.startswith("<frozen")
        ):
            found.append(f"exec {code.co_filename} {code.co_names!r:.200}")
