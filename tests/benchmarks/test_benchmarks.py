"""The benchmarks run, on tiny sizes; what they would tell is not looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORKLOADS = sorted(file.stem for file in (ROOT / "benchmarks").glob("*.py") if "\ndef workloads(" in file.read_text())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = [sys.executable, "-m", "benchmarks", *arguments]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(code, cwd=ROOT, env=unmeasured, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of everything: its JSON, its chart, and nothing that it was measured with."""
    made = tmp_path_factory.mktemp("benchmarks")
    written = "--json", str(made / "found.json"), "--chart", str(made / "chart.svg")
    done = run("--quick", "--rounds", "1", "--folder", str(made), *written)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "found.json").read_text())["results"]
    return found


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_workload_runs(workload: str, results: list[dict[str, Any]]) -> None:
    found = [r for r in results if re.split("[:,]", r["workload"])[0].replace("-", "_") == workload]
    assert any(r["kind"] == "ours" for r in found)
    assert any(r["seconds"] for r in found)
    assert all(len(r["seconds"]) == 1 or r["unable"] for r in found)


def test_what_a_contender_cannot_do_is_said(results: list[dict[str, Any]]) -> None:
    assert {r["unable"] for r in results if not r["seconds"]} <= {"cannot do", "not installed"}


def test_the_loop_is_watched_for_coroutines_only(results: list[dict[str, Any]]) -> None:
    lags = {r["who"]: r["lag_seconds"] for r in results if r["workload"] == "lag"}
    assert lags["aioartifacts, gathered"] is not None
    assert next(r["lag_seconds"] for r in results if r["who"] == "aioartifacts, facade" and r["seconds"]) is None


def test_nothing_is_left_behind(folder: Path, results: list[dict[str, Any]]) -> None:
    assert sorted(entry.name for entry in folder.iterdir()) == ["chart.svg", "found.json"]


def test_the_chart_has_bars(folder: Path) -> None:
    chart = (folder / "chart.svg").read_text()
    assert chart.startswith("<svg")
    assert "<rect" in chart


def test_a_module_whose_package_is_not_installed_either_is_missing() -> None:
    code = """
from benchmarks.harness import Contender, missing_modules
class Needy(Contender):
    needs = ("not_installed.cloud.storage", "json")
print(missing_modules(Needy))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['not_installed.cloud.storage']", done.stderr


def test_an_unknown_workload_is_named() -> None:
    done = run("smal")
    assert done.returncode == 2
    assert "no workload 'smal'" in done.stderr
