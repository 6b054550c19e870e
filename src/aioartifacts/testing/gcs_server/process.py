"""The server in a process of its own, and a handle on it for blocking code."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 10.0


class GCSServerProcess:
    """Runs ``python -m aioartifacts.testing.gcs_server``; its arguments are the same.

    The process ends with :meth:`stop`, and by itself when the one that started it has gone.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        command = [sys.executable, "-m", "aioartifacts.testing.gcs_server", "--until-stdin-closes", *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(_STOP_TIMEOUT)
            self._close_pipes()
            raise RuntimeError(f"the server did not start; it exited with {code}")
        self.url = json.loads(line)["url"]

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _close_pipes(self) -> None:
        process, self._process = self._process, None
        for pipe in (process.stdin, process.stdout) if process is not None else ():
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def fault(self, action: str, **selection: object) -> int:
        """Install a fault, with the fields of :class:`Fault`; returns its number."""
        number = self._control("POST", "faults", {"action": action, **selection})["id"]
        assert isinstance(number, int)
        return number

    def faults(self) -> list[dict[str, Any]]:
        """The installed faults, and how often each has hit."""
        found: list[dict[str, Any]] = self._control("GET", "faults")["faults"]
        return found

    def clear_faults(self) -> None:
        self._control("DELETE", "faults")

    def release(self) -> None:
        """Let stalled requests go on."""
        self._control("POST", "release")

    def wait_stalled(self, count: int = 1) -> None:
        """Return once so many requests are held back by a ``stall``."""
        self._control("GET", f"stalled?count={count}")

    def log(self) -> list[dict[str, Any]]:
        """The requests so far, the oldest first."""
        requests: list[dict[str, Any]] = self._control("GET", "log")["requests"]
        return requests

    def clear_log(self) -> None:
        self._control("DELETE", "log")

    def snapshot(self) -> dict[str, Any]:
        """What is stored, and which uploads are unfinished."""
        return self._control("GET", "state")

    def revoke_tokens(self) -> None:
        self._control("DELETE", "tokens")

    def reset(self) -> None:
        """Empty buckets, no faults, no log, no tokens."""
        self._control("POST", "reset")

    def _control(self, method: str, path: str, value: object = None) -> dict[str, Any]:
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/_control/{path}", data=data, method=method)  # noqa: S310 - our own server
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_START_TIMEOUT) as answer:
            body = answer.read()
        return json.loads(body) if body else {}
