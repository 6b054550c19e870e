from __future__ import annotations

import os

import pytest

from aioartifacts.objects.local import posix
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.testing import ObjectStoreSuite


class LocalSuite(ObjectStoreSuite):
    def raw_get(self, store, key):
        try:
            with open(os.path.join(store.root, key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def raw_put(self, store, key, data):
        path = os.path.join(store.root, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def raw_keys(self, store):
        found = set()
        for folder, _, files in os.walk(store.root):
            found |= {os.path.relpath(os.path.join(folder, file), store.root) for file in files}
        return {key for key in found if not key.startswith(".aioartifacts/locks/")}


class TestFullDurability(LocalSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalObjectStore(tmp_path / "root")


class TestProcessDurabilityWalkedStepwise(LocalSuite):
    @pytest.fixture
    def store(self, tmp_path, monkeypatch):
        monkeypatch.setattr(posix, "open_beneath", posix._open_stepwise)
        return LocalObjectStore(tmp_path / "root", durability="process")
