from __future__ import annotations

import pytest
from local_files import WALKS

from aioartifacts.objects.local import LocalObjectStore, posix


@pytest.fixture(params=WALKS)
def walk(request, monkeypatch):
    """Both ways to walk a path; the first needs Linux 5.6."""
    monkeypatch.setattr(posix, "open_beneath", WALKS[request.param])


@pytest.fixture
def store(tmp_path):
    return LocalObjectStore(tmp_path / "root", durability="process")


@pytest.fixture
def durable(tmp_path):
    return LocalObjectStore(tmp_path / "root")
