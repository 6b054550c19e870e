"""A hostile payload in a safe format is an error within bounded memory and time, and no crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import hostile
import pytest

from aioartifacts.sync import LocalArtifactStore


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = LocalArtifactStore(tmp_path_factory.mktemp("hostile"))
    formats = set()
    for make in (*hostile.HOSTILE, *hostile.HARMLESS):
        format, data, *meta = make()
        formats.add(format)
        hostile.plant(store, make.__name__, format, data, *meta)
    command = [sys.executable, hostile.__file__, str(store.base_path), *sorted(formats)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.rpartition("\n")[2])
    print(json.dumps(found, indent=1))
    return found


@pytest.mark.parametrize("make", hostile.HOSTILE, ids=lambda make: make.__name__)
def test_hostile_payload_is_an_error(make: Callable[[], Any], outcomes: dict[str, Any]) -> None:
    what, seconds, taken = outcomes[make.__name__]
    assert what.startswith("DecodeError"), what
    assert hostile.HOSTILE[make] in what
    assert seconds < hostile.SECONDS
    assert taken < hostile.ROOM, what


@pytest.mark.parametrize("make", hostile.HARMLESS, ids=lambda make: make.__name__)
def test_what_only_looks_large_is_loaded(make: Callable[[], Any], outcomes: dict[str, Any]) -> None:
    what, _, taken = outcomes[make.__name__]
    assert what.startswith("loaded"), what
    assert taken < hostile.ROOM
