"""What the README says is so."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

from aioartifacts.materializers.registry import DEFAULT, PICKLE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the table under *heading*."""
    _, _, after = README.partition(f"## {heading}\n")
    section = after.partition("\n## ")[0]
    rows = [line.strip().strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_formats_are_those_of_the_registry_and_as_safe_as_they_say() -> None:
    said = {format: row[2].startswith("yes") for row in table("Types and formats") for format in code(row[1])}
    found = {}
    for entry in (*DEFAULT, PICKLE):
        module, _, name = entry.target.partition(":")
        found[entry.format] = bool(getattr(importlib.import_module(module), name).safe)
    assert said == found


def test_python_blocks_are_python() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_both_examples_have_eight_lines() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[:2]
    assert [len([line for line in block.splitlines() if line.strip()]) <= 8 for block in blocks] == [True, True]


def test_there_are_two_commands() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert commands[0].endswith("examples/demo.py")
    assert " -m pytest" in commands[1]


def test_files_it_links_to_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
