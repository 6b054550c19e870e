"""Every guarantee names tests, and they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| **")]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def named_in(file: str) -> set[str]:
    """The tests of a file, but for those in classes: what pytest would collect."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_guarantee_names_a_test() -> None:
    assert len(ROWS) >= 15
    assert [row for row in ROWS if not _TEST.search(row.split("|")[4])] == []


def test_every_test_named_exists() -> None:
    named = _TEST.findall(TEXT)
    assert [f"{file}::{test}" for file, test in named if not (ROOT / file).exists() or test not in named_in(file)] == []


def test_every_proof_is_named() -> None:
    named = {file for file, _ in _TEST.findall(TEXT)}
    proofs = {file.relative_to(ROOT).as_posix() for file in (ROOT / "tests" / "proofs").glob("test_*.py")}
    assert proofs - named == set()
