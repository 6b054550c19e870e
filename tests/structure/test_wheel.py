"""What is built is what is tested: tests also run against the wheel, away from the sources."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from aioartifacts.materializers.registry import DEFAULT

ROOT = Path(__file__).parents[2]
SMOKE = ["tests/legacy", "tests/structure/test_public_names.py", "tests/structure/test_facade_parity.py"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing in it but the installed wheel."""
    target = tmp_path_factory.mktemp("site")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


@pytest.fixture
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def run(*arguments: str, site: Path | None = None, cwd: Path = ROOT) -> str:
    environment = ENVIRONMENT | ({"PYTHONPATH": str(site)} if site else {})
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    sources = {file.relative_to(ROOT / "src").as_posix() for file in (ROOT / "src" / "aioartifacts").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == sources | {"aioartifacts/py.typed"}


def test_wheel_carries_its_license(wheel: Path, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())


def test_wheel_declares_its_extras(metadata: Message) -> None:
    extras = set(metadata.get_all("Provides-Extra") or ())
    assert {"all", "demo", "gcs", "numpy", "pandas", "test"} <= extras
    assert {entry.extra for entry in DEFAULT if entry.extra} <= extras
    assert metadata["Requires-Python"] == ">=3.11"


def test_installed_package_is_typed(site: Path, tmp_path: Path) -> None:
    code = "import aioartifacts, pathlib; print(pathlib.Path(aioartifacts.__file__).with_name('py.typed').exists())"
    assert run("-c", code, site=site, cwd=tmp_path).strip() == "True"


def test_tests_pass_against_the_wheel(site: Path) -> None:
    # Found, not imported: pytest wants to be there first.
    code = (
        "import importlib.util, sys, pytest\n"
        "assert importlib.util.find_spec('aioartifacts').origin.startswith(sys.argv[1])\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[2:]]))\n"
    )
    assert " passed" in run("-c", code, str(site), *SMOKE, site=site)
