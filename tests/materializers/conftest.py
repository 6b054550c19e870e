"""Makes this folder importable, so that tests can say ``from parts import roundtrip``; and the folders of what they share with others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "fidelity"), str(TESTS.parent / "examples")]


@pytest.fixture(scope="module")
def loaded_elsewhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store for each suite of the module, of its examples as another process has loaded and saved them."""
    from together import load_elsewhere

    folder = tmp_path_factory.mktemp("together")
    load_elsewhere(request.module, folder)
    return folder
