"""The memory store keeps every law of object stores, blocking and presented as an async one."""

from __future__ import annotations

import pytest

from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter, ObjectStoreSuite
from aioartifacts.types import ObjectInfo


class MemorySuite(ObjectStoreSuite):
    """The medium is the store's dictionary."""

    def raw_get(self, store, key):
        return store._objects.get(key, (None, None))[0]

    def raw_put(self, store, key, data):
        store._generation += 1
        store._objects[key] = data, ObjectInfo(key, len(data), store._generation, None, 1.6e9)

    def raw_keys(self, store):
        return set(store._objects)


class TestMemoryObjectStore(MemorySuite):
    @pytest.fixture
    def store(self):
        return MemoryObjectStore("conformance")


class TestMemoryObjectStoreAsAsync(MemorySuite):
    @pytest.fixture
    def store(self):
        return AsyncObjectStoreAdapter(MemoryObjectStore("conformance"))

    def raw_get(self, store, key):
        return super().raw_get(store.inner, key)

    def raw_put(self, store, key, data):
        super().raw_put(store.inner, key, data)

    def raw_keys(self, store):
        return super().raw_keys(store.inner)
