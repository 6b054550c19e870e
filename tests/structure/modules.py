"""The modules of the package, parsed: what the structure tests look at."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import aioartifacts

PACKAGE = Path(aioartifacts.__file__).parent
NAME = "aioartifacts"


@dataclass(frozen=True)
class Import:
    """One imported module; of ours to the file, of others as written."""

    module: str
    line: int
    top_level: bool
    """Whether it happens when the module is imported."""
    typing_only: bool
    """Whether it stands under ``if TYPE_CHECKING``."""


@dataclass(frozen=True)
class Module:
    name: str
    """Dotted, without the package's own name; ``""`` is the package itself."""
    file: Path
    tree: ast.Module
    imports: tuple[Import, ...]


@cache
def modules() -> dict[str, Module]:
    files = {_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
    return {name: _parse(name, file, frozenset(files)) for name, file in files.items()}


def _name(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parse(name: str, file: Path, names: frozenset[str]) -> Module:
    tree = ast.parse(file.read_text("utf-8"))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found: list[Import] = []
    _collect(tree, package, names, found, top_level=True, typing_only=False)
    return Module(name, file, tree, tuple(found))


def _collect(
    node: ast.AST, package: str, names: frozenset[str], found: list[Import], *, top_level: bool, typing_only: bool
) -> None:
    for child in ast.iter_child_nodes(node):
        found += [Import(module, child.lineno, top_level, typing_only) for module in _imported(child, package, names)]  # type: ignore[attr-defined]
        inside = top_level and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = typing_only or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        _collect(child, package, names, found, top_level=inside, typing_only=typing)


def _imported(node: ast.AST, package: str, names: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
        module = ".".join([NAME, *above, *([module] if module else [])])
    if module != NAME and not module.startswith(f"{NAME}."):
        return [module]
    ours = module[len(NAME) + 1 :]
    # `from aioartifacts import legacy` imports a module of ours, `from aioartifacts.keys import RECORD` a name in one.
    return [
        f"{module}.{alias.name}" if (f"{ours}.{alias.name}" if ours else alias.name) in names else module
        for alias in node.names
    ]


def ours(imported: str) -> str | None:
    """The name of a module of ours as `modules` has it; None for any other."""
    if imported == NAME:
        return ""
    return imported[len(NAME) + 1 :] if imported.startswith(f"{NAME}.") else None
