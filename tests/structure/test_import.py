"""``import aioartifacts`` is cheap: it loads no heavy library, and next to nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "numpy", "pandas", "pyarrow", "torch", "scipy", "sklearn", "polars", "matplotlib", "PIL", "gcloud", "aiohttp", "requests",
    "google", "pytest", "hypothesis",
]  # fmt: skip
BUDGET = 0.3
"""Seconds of processor time, over bare Python. Not of the clock: others' work must not fail this."""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["aioartifacts", "aioartifacts.sync"])
def test_no_heavy_library_is_loaded(module: str) -> None:
    loaded = json.loads(run(f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"))
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_no_plugin_is_loaded() -> None:
    loaded = json.loads(run("import json, sys, aioartifacts; print(json.dumps(sorted(sys.modules)))"))
    plugins = {name for name in loaded if name.startswith(("aioartifacts.objects.", "aioartifacts.materializers."))}
    assert plugins <= {"aioartifacts.objects.base", "aioartifacts.materializers.base", "aioartifacts.materializers.registry"}


def test_public_names_are_listed_without_loading_anything() -> None:
    code = "import aioartifacts, sys; dir(aioartifacts); print('aioartifacts.objects.gcs' in sys.modules, 'gcloud' in sys.modules)"
    assert run(code).split() == ["False", "False"]


def test_import_is_quick() -> None:
    code = "import time; began = time.process_time(); import aioartifacts; print(time.process_time() - began)"
    run(code)  # compiles
    assert min(float(run(code)) for _ in range(5)) < BUDGET
