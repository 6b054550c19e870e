"""Save every hard value of a family, load it in a process that knows nothing of it, and say what became of it.

    python tests/fidelity/fidelity.py [--markdown] [FAMILY …]     prints the table for all families, or those given
    python tests/fidelity/fidelity.py --load FOLDER FAMILY …      the other process
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpora import FAMILIES, PATHS

sys.path[:0] = [path for path in PATHS if path not in sys.path]


@dataclass
class Result:
    """What became of a family's values, by name."""

    exact: dict[str, str] = field(default_factory=dict)
    """The formats."""
    refused: dict[str, str] = field(default_factory=dict)
    """The reasons."""
    different: dict[str, str] = field(default_factory=dict)
    """What differs, or why it could not be loaded."""

    @property
    def total(self) -> int:
        return len(self.exact) + len(self.refused) + len(self.different)


def save_all(family: str, folder: Path) -> dict[str, str]:
    """Save a family's values under their numbers; returns why some were refused."""
    import aioartifacts as aa
    from aioartifacts.sync import LocalArtifactStore

    refused = {}
    with LocalArtifactStore(folder, durability="process", trust="all") as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n, (name, value) in enumerate(FAMILIES[family]().items()):
            try:
                store.save(value, f"{family}/{n}")
            except aa.EncodeError as error:
                refused[name] = str(error)
    return refused


def load_all(family: str, folder: Path) -> dict[str, tuple[str, str | None]]:
    """Load a family's values, and compare them with ones built anew; returns format and difference by name."""
    from exactly import difference

    import aioartifacts as aa
    from aioartifacts.sync import LocalArtifactStore

    found: dict[str, tuple[str, str | None]] = {}
    with LocalArtifactStore(folder, durability="process", trust="all") as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = [path for path in store.list_artifacts(family)]
        # Before anything of the family is built here, so that loading is what imports it.
        loaded: dict[str, Any] = {}
        for path in paths:
            try:
                loaded[path] = store.load(path)
            except aa.ArtifactError as error:
                loaded[path] = error
        for n, (name, value) in enumerate(FAMILIES[family]().items()):
            path = f"{family}/{n}"
            if path not in loaded:
                continue
            back = loaded[path]
            if isinstance(back, aa.ArtifactError):
                found[name] = ("", f"cannot be loaded: {back}")
                continue
            found[name] = (store.info(path).format, difference(value, back))
    return found


def run(families: Iterable[str], *, folder: Path) -> dict[str, Result]:
    """What became of the values of several families, one other process for each, two at a time."""
    names = list(families)
    refused = {family: save_all(family, folder) for family in names}
    with ThreadPoolExecutor(2) as pool:
        loaded = dict(zip(names, pool.map(lambda family: _in_another_process([family], folder)[family], names), strict=True))
    results = {}
    for family in names:
        result = results[family] = Result(refused=refused[family])
        for name, (format, differs) in loaded[family].items():
            if differs is None:
                result.exact[name] = format
            else:
                result.different[name] = differs
    return results


def _in_another_process(families: Sequence[str], folder: Path) -> dict[str, dict[str, tuple[str, str | None]]]:
    command = [sys.executable, __file__, "--load", str(folder), *families]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"loading {families} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    found: dict[str, dict[str, tuple[str, str | None]]] = json.loads(done.stdout.rpartition("\n")[2])
    return found


def table(results: dict[str, Result], *, markdown: bool = False) -> str:
    """The results as text."""
    rows = [("family", "values", "exact", "refused", "different", "formats")]
    for family, result in results.items():
        formats = sorted(set(result.exact.values()))
        rows.append((family, str(result.total), str(len(result.exact)), str(len(result.refused)), str(len(result.different)), ", ".join(formats)))
    counts = [sum(getattr(r, "total") if n == 0 else len(getattr(r, what)) for r in results.values()) for n, what in enumerate(("total", "exact", "refused", "different"))]
    rows.append(("all", *map(str, counts), ""))  # type: ignore[arg-type]
    if markdown:
        lines = [" | ".join(row) for row in rows]
        return "\n".join(f"| {line} |" for line in [lines[0], "---|---:|---:|---:|---:|---", *lines[1:]])
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True)), row[5]]) for row in rows)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--load"]:
        sys.setrecursionlimit(50_000)  # for the comparison, which is plainer than what it looks at
        folder = Path(arguments[1])
        found = json.dumps({family: load_all(family, folder) for family in arguments[2:]})
        print(f"\n{found}", end="")  # on a line of its own, whatever the libraries have printed
        return 0
    markdown = "--markdown" in arguments
    families = [a for a in arguments if not a.startswith("--")] or list(FAMILIES)
    with tempfile.TemporaryDirectory() as folder:
        results = run(families, folder=Path(folder))
    print(table(results, markdown=markdown))
    for family, result in results.items():
        for name, reason in result.refused.items():
            print(f"refused    {family}: {name}: {reason}")
        for name, reason in result.different.items():
            print(f"DIFFERENT  {family}: {name}: {reason}")
    return any(result.different for result in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
