"""Descriptors, threads and memory stay within the documented limits, however much is asked for at once."""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import proof_load
import pytest
from figures import FULL, state
from proof_scale import scaled
from proof_tracing import ENVIRONMENT

from aioartifacts.testing.gcs_server import GCSServerProcess
from aioartifacts.types import MIB, Limits


@pytest.fixture(params=["local", "gcs"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "root")
        return
    with GCSServerProcess("--bucket", "load") as server:
        yield server.url


def told(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Do it in a process of its own, and say what that took."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, proof_load.__file__, *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        env=ENVIRONMENT | {"TMPDIR": str(scratch)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def limiter(url: str) -> int:
    """Threads: workers, and transfers that have outgrown a worker; over an async store, one more each for the loop's own executor."""
    limits = Limits()
    return limits.workers + limits.transfers


def test_many_at_once_stay_within_the_limits(tmp_path: Path, url: str) -> None:
    n = scaled(1_000, 10_000)
    took = told(tmp_path, "many", url, str(n))
    state(
        f"{n} at once, {'GCS' if url.startswith('http') else 'local'}",
        descriptors=took["descriptors"],
        threads=took["threads"],
        memory_MiB=round(took["memory"] / MIB),
    )
    assert took["descriptors"] <= 150
    assert took["threads"] <= limiter(url)
    assert took["memory"] <= 150 * MIB


def test_large_folder_passes_through_a_small_budget(tmp_path: Path, url: str) -> None:
    budget, size = scaled((4 * MIB, 64 * MIB), (256 * MIB, 4096 * MIB))
    folder = make_folder(tmp_path / "folder", size)
    took = told(tmp_path, "large", url, str(folder), str(budget))
    loaded = Path(took["loaded"])
    state(
        f"{size // MIB} MiB through {budget // MIB} MiB, {'GCS' if url.startswith('http') else 'local'}",
        descriptors=took["descriptors"],
        threads=took["threads"],
        memory_MiB=round(took["memory"] / MIB),
    )
    same, different, missing = filecmp.cmpfiles(folder, loaded, os.listdir(folder), shallow=False)
    assert (len(same), different, missing) == (len(os.listdir(folder)), [], [])
    # The budget is for payloads; the interpreter and the client take some memory beside it.
    assert took["memory"] <= budget + 48 * MIB
    shutil.rmtree(tmp_path)


def make_folder(folder: Path, size: int) -> Path:
    folder.mkdir()
    rng = random.Random(1)
    piece = rng.randbytes(MIB)
    files = 16
    for number in range(files):
        with (folder / f"{number}.bin").open("wb") as file:
            for at in range(size // files // MIB):
                file.write(bytes([number, at % 256]) + piece[2:])
    if FULL:
        assert shutil.disk_usage(folder).free > 3 * size
    return folder
