"""Writers under strace: what they call, and what becomes of them when one of these calls kills them or fails.

Needs no root: a process may trace its own. ``strace -e inject=NAME:…:when=N`` counts per system call and thread.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"^(\d+)\s+(?:<\.\.\. )?(\w+)(?:\(| resumed)")
_NEVER = frozenset({"exit", "exit_group", "rt_sigreturn", "restart_syscall"})
"""Calls that do not return, or that are not the program's own."""

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
"""For processes that are to do nothing but what they are told; measuring their coverage would be more."""


@dataclass(frozen=True)
class Ending:
    """How a writer ended."""

    killed: bool
    said: list[str] | None
    """``["done"]``, or ``["error", class, message]``, or ``["raw", class, traceback]``; None when it said nothing."""

    @property
    def done(self) -> bool:
        return self.said == ["done"]


class Writers:
    """The process that forks writers."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("proof_writer.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def calls(self, task: dict[str, str]) -> list[tuple[str, int]]:
        """The system calls a writer makes, each with its number among those of its name; as many as any one thread makes."""
        with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
            ending = self._run(task, ["-e", "trace=all", "-o", log.name])
            assert ending.done, ending
            seen: Counter[tuple[str, str]] = Counter()
            order: list[str] = []
            for line in log.read().splitlines():
                found = _NAME.match(line)
                if found is None or " resumed>" in line or found[2] in _NEVER:
                    continue
                seen[found[1], found[2]] += 1
                order.append(found[2])
        most = {name: max(n for (_, other), n in seen.items() if other == name) for name in dict.fromkeys(order)}
        return [(name, n) for name, times in most.items() for n in range(1, times + 1)]

    def kill(self, task: dict[str, str], call: str, nth: int) -> Ending:
        """SIGKILL just before the *nth* such call."""
        return self._run(task, ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}"])

    def fail(self, task: dict[str, str], call: str, nth: int, error: str) -> Ending:
        """The *nth* such call fails, without having been carried out."""
        return self._run(task, ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={nth}"])

    def _run(self, task: dict[str, str], options: list[str]) -> Ending:
        pid = self._ask(task)
        output = [] if "-o" in options else ["-o", os.devnull]
        tracer = subprocess.Popen(
            ["strace", "-f", "-qqq", "-e", "signal=none", *output, *options, "-p", str(pid)], stderr=subprocess.PIPE
        )
        while not _traced(pid):
            if tracer.poll() is not None:  # it saw the writer die already, in the call in which it waits
                break
            time.sleep(0.0005)
        answer = self._ask("go")
        tracer.communicate(timeout=60)
        return Ending(killed=os.WIFSIGNALED(answer["status"]), said=answer["said"])

    def _ask(self, line: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status
