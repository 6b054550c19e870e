"""The Python that the README and the other pages show is run, and answers what they say: ``expression  # → value``."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pytest

import aioartifacts as aa
from aioartifacts.materializers.registry import GROUP
from aioartifacts.objects.url import ENTRY_POINTS
from aioartifacts.testing.gcs_server import GCSServerProcess

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
FLOWYML = ROOT / "tests" / "fixtures" / "flowyml" / "store"
METRICS = "churn/2026-11-20/run-1/data/prep/metrics"


def blocks(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def compiled(tree: Any, mode: str) -> CodeType:
    return compile(tree, "page", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


async def evaluate(code: CodeType, names: dict[str, Any]) -> Any:
    answer = eval(code, names)  # noqa: S307 - what our own pages show
    return await answer if code.co_flags & inspect.CO_COROUTINE else answer


async def run(block: str, names: dict[str, Any]) -> int:
    """Run a block, as if in a console; returns how many answers it tells, all of which were so."""
    told = 0
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        _, arrow, said = lines[statement.end_lineno - 1].partition("# → ")
        if isinstance(statement, ast.Expr):
            answer = await evaluate(compiled(ast.Expression(statement.value), "eval"), names)
            if arrow:
                assert answer == ast.literal_eval(said), ast.unparse(statement)
                told += 1
        else:
            assert not arrow, "only an expression answers"
            await evaluate(compiled(ast.Module([statement], []), "exec"), names)
    return told


def rows(heading: str) -> list[list[str]]:
    section = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return found[2:]


def code(cell: str) -> list[str]:
    return re.findall(r"`(\w[\w.]*)=?`", cell)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.asyncio
async def test_guide_does_what_it_says(here: Path) -> None:
    shutil.copytree(FLOWYML / "experiments", here / "flowyml" / "experiments")
    shutil.copytree(FLOWYML / METRICS, here / "flowyml" / METRICS)
    names: dict[str, Any] = {}
    told = sum([await run(block, names) for block in blocks("docs/guide.md")])
    assert told == GUIDE.count("# → ")
    assert names["found"] == ["p/metrics"]
    moved = ["experiments/first", "experiments/model.pkl", "experiments/no-metadata"]
    assert await names["new"].list_artifacts() == sorted([METRICS, *moved])
    assert await names["new"].get_metadata(moved[0]) == await names["old"].get_metadata(moved[0]) != {}
    with pytest.raises(aa.StoreError, match="a file lies where a folder must be"):
        await names["old"].save(1, moved[0])


@pytest.mark.asyncio
async def test_guide_goes_on_behind_a_damaged_record(here: Path) -> None:
    names: dict[str, Any] = {"aa": aa, "store": aa.open_store(here)}
    for path in ("p/a", "p/b"):
        await names["store"].save(1, path, metadata={"stage": "prod"})
    (here / "p" / "a" / "metadata.json").write_bytes(b'{"aioartifacts": 1')
    search, go_on = (block for block in blocks("docs/guide.md") if '("stage")' in block)
    with pytest.raises(aa.RecordError):
        await run(search, names)
    await run(go_on, names)
    assert names["found"] == ["p/b"]
    assert list((await names["store"].verify("p")).damaged) == ["p/a"]


def test_both_examples_of_the_readme_do_the_same(here: Path) -> None:
    model = {"weights": np.arange(3)}
    for block in blocks("README.md"):
        names: dict[str, Any] = {}
        asyncio.run(run(block, names))
        loaded = names["steps"](np.eye(2), model)
        loaded = loaded if isinstance(loaded, dict) else asyncio.run(loaded)
        assert [path.rpartition("/")[2] for path in loaded] == ["model", "metrics"]
        np.testing.assert_equal(list(loaded.values()), [model, {"acc": 0.93}])


def test_gcs_page_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    example, test = blocks("docs/gcs.md")
    with GCSServerProcess("--bucket", "my-bucket", "--bucket", "test-bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        names: dict[str, Any] = {"frame": b"frame"}
        asyncio.run(run(example, names))
        assert (names["location"], names["frame"]) == ("gs://my-bucket/team/churn/features", b"frame")
        asyncio.run(run(test, names))
        names["test_training"](server)


def test_options_of_verbs_are_those() -> None:
    verbs = rows("What verbs take and answer")
    assert {name for row in verbs for name in code(row[0])} >= {"save", "load", "materialize", "run.load"}
    for shown, options in verbs:
        for name in code(shown):
            verb: Callable[..., Any] = getattr(aa.Run if name.startswith("run.") else aa.ArtifactStore, name.removeprefix("run."))
            parameters = inspect.signature(verb).parameters.values()
            taken = {option.name for option in parameters if option.default is not inspect.Parameter.empty} - {"project_name"}
            assert taken == (set() if options.startswith("none") else set(code(options))), name


def test_errors_are_those_and_also_what_it_says() -> None:
    errors = {name: value for name, value in ((name, getattr(aa, name)) for name in aa.__all__) if name.endswith("Error")}
    assert {name for row in rows("Errors") for name in code(row[0])} == set(errors)
    for caught, _, also in rows("Errors"):
        (error,) = (errors[name] for name in code(caught))
        bases = {base.__name__ for base in error.__bases__}
        assert bases - {"ArtifactError", "Exception"} == set(code(also)) - {"ArtifactError"}


def test_entry_points_are_those_that_are_looked_for() -> None:
    (block,) = blocks("docs/guide.md", "toml")
    assert set(tomllib.loads(block)["project"]["entry-points"]) == {GROUP, ENTRY_POINTS}
