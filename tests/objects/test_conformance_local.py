"""The local store keeps every law of object stores; the medium is its folder."""

from __future__ import annotations

import pytest

from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter, ObjectStoreSuite


class LocalSuite(ObjectStoreSuite):
    def raw_get(self, store, key):
        file = self.root / key
        return file.read_bytes() if file.is_file() else None

    def raw_put(self, store, key, data):
        file = self.root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(".raw")
        draft.write_bytes(data)
        draft.replace(file)

    def raw_keys(self, store):
        files = {file.relative_to(self.root).as_posix() for file in self.root.rglob("*") if file.is_file()}
        return {name for name in files if not name.startswith(".aioartifacts/locks/")}

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path):
        self.root = tmp_path / "root"


class TestLocalObjectStore(LocalSuite):
    @pytest.fixture
    def store(self):
        return LocalObjectStore(self.root, durability="process")


class TestDurableLocalObjectStore(LocalSuite):
    @pytest.fixture
    def store(self):
        return LocalObjectStore(self.root, durability="full")


class TestLocalObjectStoreAsAsync(LocalSuite):
    @pytest.fixture
    def store(self):
        return AsyncObjectStoreAdapter(LocalObjectStore(self.root, durability="process"))
