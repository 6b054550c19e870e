"""What the memory store promises beyond the laws of every store."""

from __future__ import annotations

import pickle

import pytest

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.objects.base import Buffers
from aioartifacts.objects.memory import MemoryObjectStore

KEY = "a/metadata.json"


@pytest.fixture
def store():
    return MemoryObjectStore("here")


def test_what_it_hands_out_is_bytes_and_the_stored_ones_themselves(store):
    data = b"data" * 1000
    store.put(KEY, Buffers(data))
    assert store.get(KEY).data is data
    assert store.map(KEY).obj is data
    assert type(store.get(KEY, start=1, length=2).data) is bytes


def test_it_copies_what_others_can_change(store):
    data = bytearray(b"data")
    for body in (Buffers(data), Buffers(memoryview(data).toreadonly())):
        store.put(KEY, body)
        data[:1] = b"x"
        assert store.get(KEY).data != data
        data[:1] = b"d"


def test_a_part_of_a_bytes_object_is_stored_as_that_part(store):
    store.put(KEY, Buffers(memoryview(b"abcdef")[1:3]))
    assert store.get(KEY).data == b"bc"


def test_generations_count_up_over_all_keys(store):
    assert [store.put(key, Buffers(b"")).generation for key in "aba"] == [1, 2, 3]


def test_stores_of_one_name_share_nothing(store):
    store.put(KEY, Buffers(b""))
    assert list(MemoryObjectStore("here").list()) == []


def test_unnamed_stores_differ_in_their_urls():
    assert len({MemoryObjectStore().url for _ in range(10)}) == 10


def test_pickling_is_refused_with_the_reason(store):
    with pytest.raises(InvalidConfigError, match="one process"):
        pickle.dumps(store)


def test_name_with_a_slash_is_refused():
    with pytest.raises(InvalidConfigError):
        MemoryObjectStore("a/b")


def test_it_is_trusted(store):
    assert store.doubt() is None


@pytest.mark.parametrize(
    "location", ["memory://other/a", "memory://hereafter/a", "memory://here/../a", "file:///a", "/a"]
)
def test_location_outside_is_refused(store, location):
    with pytest.raises(InvalidPathError):
        store.relative(location)


def test_its_url_is_the_location_of_everything(store):
    assert store.relative(store.url) == ""
    assert store.location("") == store.url == "memory://here"
