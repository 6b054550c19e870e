"""The package is clean under mypy, pyright and ruff, and its types say what users see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_strict() -> None:
    check("mypy", "src", "tests/typing")


def test_pyright() -> None:
    check("pyright", "--pythonpath", sys.executable)


@pytest.mark.parametrize("folder", ["src", "tests", "examples"])
def test_ruff(folder: str) -> None:
    check("ruff", "check", "--no-cache", folder)


def test_wrong_use_is_an_error(tmp_path: Path) -> None:
    """The typed-API file is only worth something if a wrong line in it would fail."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("""
import aioartifacts as aa
async def f(store: aa.ArtifactStore) -> None:
    (await store.load("a", int)).upper()
    aa.open_store("a", durabilty="full")
""")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(wrong)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    assert '"int" has no attribute "upper"' in done.stdout
    assert 'Unexpected keyword argument "durabilty" for "open_store"' in done.stdout
