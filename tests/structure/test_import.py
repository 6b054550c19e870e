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


@pytest.mark.parametrize(
    "used", ["import aioartifacts", "from aioartifacts import open_store", "from aioartifacts import sync"]
)
def test_no_heavy_library_is_loaded(used: str) -> None:
    loaded = json.loads(run(f"import json, sys; {used}; print(json.dumps(sorted(sys.modules)))"))
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_nothing_is_loaded_before_it_is_used() -> None:
    loaded = json.loads(run("import json, sys, aioartifacts; print(json.dumps(sorted(sys.modules)))"))
    assert {name for name in loaded if name.startswith(("aioartifacts.", "asyncio", "anyio", "msgspec"))} == set()


def test_an_error_is_caught_without_loading_a_store() -> None:
    loaded = json.loads(run("import json, sys, aioartifacts; aioartifacts.StoreError; print(json.dumps(sorted(sys.modules)))"))
    assert "aioartifacts.store" not in loaded


def test_no_plugin_is_loaded() -> None:
    loaded = json.loads(run("import json, sys; from aioartifacts import open_store; print(json.dumps(sorted(sys.modules)))"))
    plugins = {name for name in loaded if name.startswith(("aioartifacts.objects.", "aioartifacts.materializers."))}
    assert plugins <= {"aioartifacts.objects.base", "aioartifacts.materializers.base", "aioartifacts.materializers.registry"}


def test_public_names_are_listed_without_loading_anything() -> None:
    code = "import aioartifacts, sys; dir(aioartifacts); print('aioartifacts.objects.gcs' in sys.modules, 'gcloud' in sys.modules)"
    assert run(code).split() == ["False", "False"]


def test_server_without_its_package_says_how_to_install_it() -> None:
    code = "import runpy, sys; sys.modules['aiohttp'] = None; runpy.run_module('aioartifacts.testing.gcs_server', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    *_, last = done.stderr.splitlines()
    assert last.endswith("MissingDependencyError: the server needs the package 'aiohttp': pip install 'aioartifacts[gcs]'")


def test_import_is_quick() -> None:
    code = "import time; began = time.process_time(); from aioartifacts import open_store, sync; print(time.process_time() - began)"
    run(code)  # compiles
    assert min(float(run(code)) for _ in range(5)) < BUDGET
