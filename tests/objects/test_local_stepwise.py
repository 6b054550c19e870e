"""Where the kernel lacks openat2(2), paths are walked folder by folder, and every law holds all the same."""

from __future__ import annotations

import pytest
from test_conformance_local import LocalSuite

from aioartifacts.objects.local import LocalObjectStore, posix


class TestLocalObjectStoreWalkedStepwise(LocalSuite):
    @pytest.fixture
    def store(self, monkeypatch):
        monkeypatch.setattr(posix, "open_beneath", posix._open_stepwise)
        return LocalObjectStore(self.root, durability="process")


@pytest.mark.parametrize("code", ["ENOSYS", "EPERM"])
def test_kernel_or_sandbox_without_openat2_is_noticed(monkeypatch, code):
    def refuse(*args):
        raise OSError(getattr(posix.errno, code), code)

    monkeypatch.setattr(posix, "_open_at_once", refuse)
    assert posix._has_openat2() is False
