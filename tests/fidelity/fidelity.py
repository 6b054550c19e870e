"""Save every hard value of a family, load it in a process that knows nothing of it, and say what became of it.

python tests/fidelity/fidelity.py [--markdown] [FAMILY …]     prints the table for all families, or those given
python tests/fidelity/fidelity.py --save FOLDER FAMILY …      the process that saves
python tests/fidelity/fidelity.py --load FOLDER FAMILY …      the one that loads
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpora import FAMILIES, PATHS, PROCESSES

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


def load_all(families: Sequence[str], folder: Path) -> dict[str, dict[str, tuple[str, str | None]]]:
    """Load what was saved, then build the values anew and compare; returns format and difference by family and name."""
    import aioartifacts as aa
    from aioartifacts.sync import LocalArtifactStore

    loaded: dict[str, tuple[str, Any]] = {}
    with LocalArtifactStore(folder, durability="process", trust="all") as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # All of them before any value is built here, so that loading is what imports the libraries.
        for path in [path for family in families for path in store.list_artifacts(family)]:
            try:
                loaded[path] = store.info(path).format, store.load(path)
            except aa.ArtifactError as error:
                loaded[path] = "", error
        return {family: _compared(family, loaded) for family in families}


def _compared(family: str, loaded: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, str | None]]:
    from exactly import difference

    import aioartifacts as aa

    found = {}
    for n, (name, value) in enumerate(FAMILIES[family]().items()):
        format, back = loaded.get(f"{family}/{n}", (None, None))
        if format is not None:
            lost = isinstance(back, aa.ArtifactError) and not isinstance(value, aa.ArtifactError)
            found[name] = (format, f"cannot be loaded: {back}" if lost else difference(value, back))
    return found


def run(families: Iterable[str], *, folder: Path) -> dict[str, Result]:
    """What became of the values of several families: one process saves them, others load them."""
    names = list(families)
    refused = _in_another_process("--save", folder, names)
    groups = [group for families in PROCESSES if (group := [family for family in families if family in names])]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda group: _in_another_process("--load", folder, group), groups))
    loaded = {family: found for answer in answers for family, found in answer.items()}
    results = {}
    for family in names:
        result = results[family] = Result(refused=refused[family])
        for name, (format, differs) in loaded[family].items():
            if differs is None:
                result.exact[name] = format
            else:
                result.different[name] = differs
    return results


def _in_another_process(what: str, folder: Path, families: Sequence[str]) -> Any:
    command = [sys.executable, __file__, what, str(folder), *families]
    environment = (
        {"KERAS_BACKEND": "torch"}
        | os.environ
        | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "MPLCONFIGDIR": str(folder.parent)}
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    if done.returncode:
        raise RuntimeError(f"{what} of {families} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return json.loads(done.stdout.rpartition("\n")[2])


def table(results: dict[str, Result], *, markdown: bool = False) -> str:
    """The results as text."""
    rows = [("family", "values", "exact", "refused", "different", "formats")]
    for family, result in results.items():
        formats = sorted(set(result.exact.values()))
        rows.append(
            (
                family,
                str(result.total),
                str(len(result.exact)),
                str(len(result.refused)),
                str(len(result.different)),
                ", ".join(formats),
            )
        )
    counts = [
        sum(r.total if n == 0 else len(getattr(r, what)) for r in results.values())
        for n, what in enumerate(("total", "exact", "refused", "different"))
    ]
    rows.append(("all", *map(str, counts), ""))  # type: ignore[arg-type]
    if markdown:
        lines = [" | ".join(row) for row in rows]
        return "\n".join(f"| {line} |" for line in [lines[0], "---|---:|---:|---:|---:|---", *lines[1:]])
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True)), row[5]]) for row in rows
    )


def main(arguments: list[str]) -> int:
    if arguments[:1] in (["--load"], ["--save"]):
        sys.setrecursionlimit(50_000)  # for the comparison, which is plainer than what it looks at
        folder, families = Path(arguments[1]), arguments[2:]
        found = load_all(families, folder) if arguments[0] == "--load" else {f: save_all(f, folder) for f in families}
        print("\n" + json.dumps(found), end="")  # on a line of its own, whatever the libraries have printed
        return 0
    markdown = "--markdown" in arguments
    families = [a for a in arguments if not a.startswith("--")] or list(FAMILIES)
    with tempfile.TemporaryDirectory() as made:
        results = run(families, folder=Path(made, "store"))
    print(table(results, markdown=markdown))
    for family, result in results.items():
        for name, reason in result.refused.items():
            print(f"refused    {family}: {name}: {reason}")
        for name, reason in result.different.items():
            print(f"DIFFERENT  {family}: {name}: {reason}")
    return any(result.different for result in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
