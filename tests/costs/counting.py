"""What `costly` has counted, and what it was allowed. ``python tests/costs/counting.py`` counts anew and writes the table `budget.toml`."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aioartifacts.testing.gcs_server import GCSServerProcess

PROGRAM = Path(__file__).with_name("costly.py")
BUDGET = Path(__file__).with_name("budget.toml")
STORES = ("memory", "local process", "local full", "gcs")
BUCKET = "costs"
MARK = "/aioartifacts/"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COV")} | {
    "PYTHONPATH": os.fspath(PROGRAM.parents[1])
}
"""Measuring coverage costs, too. The program needs a module of all tests."""

Counts = dict[str, dict[str, int]]
"""By kind of cost, and by name of the case."""

KINDS = {
    "calls": ("System calls on files and folders, by all threads.", 0.04, 1),
    "moved": ("Bytes that these calls read and wrote.", 0.02, 100),
    "requests": ("Requests, as the server has logged them.", 0, 0),
    "sent": ("Bytes that they had, both ways.", 0.02, 200),
    "hops": ("Calls handed to another thread; a batch, as which bulk verbs hand over what is on disk, is one.", 0, 0),
    "peak": ("KiB allocated at once by Python and NumPy, at most: what is copied whole shows here.", 0.35, 6),
    "functions": ("Functions called, in Python and in C: what a small object mostly costs.", 0.12, 10),
}
"""Kinds of cost: what they are, and what a budget leaves when it is written anew, as a share and at least."""

_CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)$")
_WAITING = frozenset(
    {"epoll_wait", "epoll_pwait", "epoll_ctl", "epoll_create1", "poll", "eventfd2", "mmap", "fcntl", "ioctl"}
)
"""Calls that are the event loop's, or the allocator's."""
_MOVING = frozenset(
    {"read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "copy_file_range", "sendfile"}
)


def complaint(count: int, measured: int, budget: int) -> str | None:
    """What is wrong with a count: it is over the budget, or as far below what was measured as the budget is above."""
    if count > budget:
        return f"{count}, where {measured} were measured and {budget} are allowed"
    if count < measured - (budget - measured):
        return f"only {count}, where {measured} were measured: tighten the budget of {budget}"
    return None


def budget() -> dict[tuple[str, str], tuple[int, int]]:
    """What was measured and what is allowed, by kind of cost and name of the case."""
    found = {}
    for kind, rows in tomllib.loads(BUDGET.read_text()).items():
        for case, colours in rows.items():
            for colour, (measured, allowed) in colours.items():
                found[kind, f"{case}, {colour}"] = measured, allowed
    return found


def everything(folder: Path, *arguments: str, stores: tuple[str, ...] = STORES) -> Counts:
    """All kinds of cost."""
    with GCSServerProcess("--bucket", BUCKET) as server, ThreadPoolExecutor() as pool:
        traced = pool.submit(
            _trace, folder, *arguments, "--stores", *[store for store in stores if store.startswith("local")]
        )
        counted = _run(
            [sys.executable, PROGRAM, folder / "counted", "--endpoint", server.url, *arguments, "--stores", *stores]
        )
        return traced.result() | json.loads(counted)


def _trace(folder: Path, *arguments: str) -> Counts:
    """System calls. strace needs no root: a process may trace its own."""
    log = folder / "strace"
    options = ["-f", "--seccomp-bpf", "-qqq", "-s", "0", "-e", "signal=none", "-e", "trace=%file,%desc", "-o", log]
    _run(["strace", *options, sys.executable, PROGRAM, folder / "traced", "--mark", *arguments])
    calls: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    case = ""
    for line in log.read_text(errors="replace").splitlines():
        found = _CALL.match(line)
        if found is None or found[1] in _WAITING:
            continue
        if found[1] == "access" and found[3].startswith(f'"{MARK}'):
            case = found[3].split('"')[1].removeprefix(MARK)
        elif case:
            calls[case] += found[2] == "("
            if found[1] in _MOVING:
                answer = re.search(r"= (\d+)$", line)
                moved[case] += int(answer[1]) if answer else 0
    return {"calls": dict(calls), "moved": dict(moved)}


def _run(command: list[Any]) -> str:
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(counts: Counts) -> str:
    """A new budget."""
    lines = [
        "# What a save and a load may cost: [measured, budget]. More than the budget fails, and as much less than was measured does, too: then",
        "# the budget is to be tightened. `python tests/costs/counting.py > tests/costs/budget.toml` writes all of it anew; look at what has changed.",
        "#",
        "# dict: about 1 KiB, in its record. array: 1 MiB. parts: four of 32 KiB. hundred: such dicts, by save_many and load_many.",
    ]
    for kind, (about, share, least) in KINDS.items():
        lines += ["", f"[{kind}] # {about}"]
        rows: dict[str, list[str]] = {}
        for name, measured in counts[kind].items():
            case, _, colour = name.rpartition(", ")
            slack = max(math.ceil(measured * share), least)
            rows.setdefault(case, []).append(f"{colour} = [{measured}, {measured + slack}]")
        lines += [f"{json.dumps(case):29} = {{ {', '.join(cells)} }}" for case, cells in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(table(everything(Path(place))), end="")
