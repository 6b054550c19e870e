"""The model of what very many artifacts cost: the test server counts the same, and docs/performance.md says the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text("utf-8")
PROGRAM = """
import asyncio
from benchmarks import model
assert model.main(["--artifacts", "20"]) == 0
print("===")
exact = model.save
model.save = lambda size: exact(size) + model.Cost(-1)
assert model.main(["--artifacts", "3"]) == 1
print("===")
race = asyncio.run(model.race(3, 0.01))
print(race.saved, race.requests >= 3 * 3)
"""


@pytest.fixture(scope="module")
def outputs() -> list[str]:
    """Of the model as it is, of one that knows of a request too few in each save, and of three rivals for one path."""
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    code = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(code, cwd=ROOT, env=unmeasured, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("===\n")


def test_the_server_counts_what_the_model_says(outputs: list[str]) -> None:
    assert outputs[0].endswith("\n7 of 7 as the model says\n")


def test_a_model_that_is_wrong_is_told(outputs: list[str]) -> None:
    assert outputs[1].endswith("\n5 of 7 as the model says\n")


def test_rivals_for_one_path_all_save_with_three_requests_or_more(outputs: list[str]) -> None:
    assert outputs[2] == "3 True\n"


def test_the_page_has_what_the_model_says_on_paper(outputs: list[str]) -> None:
    paper, _, _ = outputs[0].partition("\n\n| artifacts | verb | requests: model")
    rows = [line for line in paper.splitlines() if line.startswith(("| 10", "10^"))]
    assert len(rows) == 10
    assert [row for row in rows if row not in PAGE] == []
