"""Without its package, every format that needs one says which line installs it; and that line names an extra that there is."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from aioartifacts.materializers.registry import DEFAULT, Entry

NEEDY = [entry for entry in DEFAULT if entry.extra is not None]
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
ALONE = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top.startswith("_sysconfigdata") or top in sys.stdlib_module_names:
            return
        if top not in ("aioartifacts", "msgspec", "anyio", "sniffio", "idna", "crc32c", "cloudpickle"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from aioartifacts import MaterializerRegistry, MissingDependencyError
from aioartifacts.materializers.registry import DEFAULT
found = {}
for entry in DEFAULT:
    try:
        MaterializerRegistry(plugins=tuple).for_format(entry.format)
    except MissingDependencyError as error:
        found[entry.format] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def errors() -> dict[str, str]:
    """What a process says that has only what aioartifacts always needs, by format."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("entry", NEEDY, ids=lambda entry: entry.format)
def test_pip_line(entry: Entry, errors: dict[str, str]) -> None:
    assert errors[entry.format].endswith(f"pip install 'aioartifacts[{entry.extra}]'")
    assert f"format {entry.format!r} cannot be used: " in errors[entry.format]


def test_what_needs_no_package_is_there_without(errors: dict[str, str]) -> None:
    own = {entry.format for entry in DEFAULT} - {entry.format for entry in NEEDY}
    assert own & errors.keys() == {"attrs", "pydantic"}, "objects of which come with their package"


def test_extras_exist() -> None:
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert {entry.extra for entry in NEEDY} <= extras.keys()
