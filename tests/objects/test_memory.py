from __future__ import annotations

import pickle

import pytest

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.objects.base import Buffers, Producer
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import ObjectStoreSuite


class TestMemoryObjectStore(ObjectStoreSuite):
    @pytest.fixture
    def store(self) -> MemoryObjectStore:
        return MemoryObjectStore()

    def raw_get(self, store, key):
        found = store._objects.get(key)
        return found and found[0]

    def raw_put(self, store, key, data):
        store.put(key, Buffers(data))

    def raw_keys(self, store):
        return set(store._objects)
