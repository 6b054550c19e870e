"""The plain-path operations for Windows, as far as they can be told here: everything but its locks and its links."""

from __future__ import annotations

import os

import pytest

from aioartifacts.errors import ArtifactExistsError, ArtifactNotFoundError, StoreError
from aioartifacts.objects.base import Buffers, Producer, PutRequest
from aioartifacts.objects.local import LocalObjectStore, windows
from aioartifacts.objects.local import store as local


@pytest.fixture(autouse=True)
def _plain_paths(monkeypatch):
    monkeypatch.setattr(local, "Tree", windows.Tree)


def test_objects_come_back(store):
    store.put_many([PutRequest(f"a/{i}", Buffers(b"%d" % i)) for i in range(3)])
    assert [store.get(f"a/{i}").data for i in range(3)] == [b"0", b"1", b"2"]
    assert sorted(info.key for info in store.list("a")) == ["a/0", "a/1", "a/2"]


def test_create_refuses_what_exists_and_replace_does_not(durable):
    generation = durable.put("a/b", Buffers(b"1"), if_generation=0).generation
    with pytest.raises(ArtifactExistsError):
        durable.put("a/b", Buffers(b"2"), if_generation=0)
    durable.put("a/b", Buffers(b"3"), if_generation=generation)
    assert durable.get("a/b").data == b"3"


def test_delete_prunes_and_is_idempotent(store):
    store.put("a/b/c", Buffers(b""))
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert os.listdir(store.root) == [".aioartifacts"]
    with pytest.raises(ArtifactNotFoundError):
        store.get("a/b/c")


def test_raising_body_leaves_nothing(store):
    def produce(sink):
        sink.write(b"x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put("a", Producer(produce))
    assert os.listdir(os.path.join(store.root, ".aioartifacts/tmp")) == []


def test_links_below_the_root_are_refused(store, tmp_path):
    store.put("a/b", Buffers(b""))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"")
    os.symlink(outside, os.path.join(store.root, "link"))
    with pytest.raises(ArtifactNotFoundError):
        store.get("link/x")
    with pytest.raises(StoreError):
        store.put("link/y", Buffers(b""))
    store.delete("link/x")
    assert os.listdir(outside) == ["x"]
    assert [info.key for info in store.list()] == ["a/b"]


def test_a_usable_store_validates(tmp_path):
    LocalObjectStore(tmp_path / "root").validate()
