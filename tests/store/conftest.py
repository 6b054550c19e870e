"""Every test that asks for `store` runs over each kind of store; a few modules add the one that syncs everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opened import beneath, over

from aioartifacts import ArtifactStore
from aioartifacts.objects.base import BlockingObjectStore


@pytest.fixture(params=["local", "memory", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def objects(kind: str, root: Path) -> BlockingObjectStore:
    return beneath(kind, root)


@pytest.fixture
def opened(kind: str, objects: BlockingObjectStore) -> Callable[..., ArtifactStore]:
    """Opens another store over the same objects, with options."""

    def reopen(**options: Any) -> ArtifactStore:
        return over(kind, objects, **options)

    return reopen


@pytest.fixture
def store(opened: Callable[..., ArtifactStore]) -> ArtifactStore:
    return opened()
