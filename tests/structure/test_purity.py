"""The pure levels and the steps do no I/O, wait for nothing, and know no thread and no loop."""

from __future__ import annotations

import ast

import pytest
from modules import Module, modules

PURE = ["errors", "types", "keys", "checksum", "record", "trust", "legacy", "operations", "protocol"]

IMPURE_MODULES = {
    "os", "io", "pathlib", "shutil", "tempfile", "glob", "mmap", "fcntl", "socket", "ssl", "select", "selectors", "http", "urllib",
    "subprocess", "multiprocessing", "threading", "concurrent", "queue", "asyncio", "anyio", "aiofiles", "aiohttp", "signal",
}  # fmt: skip
ALLOWED_ATTRIBUTES = {"os": {"cpu_count"}}
"""What is taken from a module that otherwise does I/O."""
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
WAITING = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)


def complaints(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [
                    f"{node.lineno}: import {alias.name}"
                    for alias in names
                    if (top := alias.name.partition(".")[0]) in IMPURE_MODULES and top not in ALLOWED_ATTRIBUTES
                ]
            case ast.ImportFrom(module=module, level=0) if (module or "").partition(".")[0] in IMPURE_MODULES:
                found.append(f"{node.lineno}: from {module} import …")
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in ALLOWED_ATTRIBUTES:
                if attribute not in ALLOWED_ATTRIBUTES[name]:
                    found.append(f"{node.lineno}: {name}.{attribute}")
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                found.append(f"{node.lineno}: {name}()")
            case _ if isinstance(node, WAITING):
                found.append(f"{node.lineno}: {type(node).__name__}")  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("name", PURE)
def test_module_is_pure(name: str) -> None:
    module: Module = modules()[name]
    assert not complaints(module.tree)


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "from pathlib import Path",
        "from concurrent.futures import Future",
        "import os\nos.stat('x')",
        "open('x')",
        "async def f(): ...",
        "print(1)",
    ],
)
def test_the_rule_itself(source: str) -> None:
    assert complaints(ast.parse(source))


def test_counting_processors_is_allowed() -> None:
    assert not complaints(ast.parse("import os\nos.cpu_count()"))
