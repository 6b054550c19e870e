"""A hostile payload in a safe format is an error within bounded memory and time, and no crash."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import hostile
import pytest

from aioartifacts.sync import LocalArtifactStore


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = LocalArtifactStore(tmp_path_factory.mktemp("hostile"))
    formats = set()
    for name, make in hostile.HOSTILE.items():
        format, data = make()
        formats.add(format)
        hostile.plant(store, name, format, data)
    command = [sys.executable, hostile.__file__, str(store.base_path), *sorted(formats)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.rpartition("\n")[2])
    print(json.dumps(found, indent=1))
    return found


@pytest.mark.parametrize("name", hostile.HOSTILE)
def test_hostile_payload_is_an_error(name: str, outcomes: dict[str, Any]) -> None:
    what, seconds, taken = outcomes[name]
    assert what.startswith("DecodeError"), what
    assert seconds < hostile.SECONDS
    assert taken < hostile.ROOM, what
