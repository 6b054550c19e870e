"""Programs that use the facade, run in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

HANG = 60.0

SETUP = '''
import asyncio, os, sys, threading, time, signal
from aioartifacts import sync
from aioartifacts.errors import *
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.materializers.base import Dump, Materializer, Part
from aioartifacts.objects.base import Producer
from aioartifacts.testing import *
from aioartifacts.testing import adapter

async def on_the_loop(function, stop=None):
    await asyncio.sleep(0)
    return function()

adapter._to_its_end = on_the_loop  # asyncio's own threads hold up the end of a process, and refuse work when it is near

def open_store(kind, root, **options):
    """A facade of that kind."""
    options = {"trust": "all"} | options
    if kind == "local":
        return sync.LocalArtifactStore(root, durability="process", **options)
    if kind == "memory":
        return sync.MemoryArtifactStore(**options)
    return sync.ArtifactStore(AsyncObjectStoreAdapter(LocalObjectStore(root, durability="process")), **options)

KIND, ROOT = sys.argv[1:3]
store = open_store(KIND, ROOT)
'''

KINDS = ("local", "memory", "async")


def start(program: str, kind: str, root: Path) -> subprocess.Popen[str]:
    """Start a program; its coverage is not measured, because an interruption may leave the lock of whoever measures taken."""
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", SETUP + textwrap.dedent(program), kind, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end, which must be an orderly one without a word of complaint; returns what was printed."""
    try:
        out, err = process.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, f"it ended with {process.returncode}\n{out}\n{err}"
    assert not err, err
    return out


def run(program: str, kind: str, root: Path) -> str:
    """Run a program to its end; returns what it printed."""
    return finish(start(program, kind, root))


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read what the program prints up to *line*."""
    assert process.stdout is not None
    for found in process.stdout:
        if found.strip() == line:
            return
    raise AssertionError(f"it never said {line!r}: {process.communicate()}")
