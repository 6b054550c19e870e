"""Reading, mapping and listing files of the local store."""

from __future__ import annotations

import hashlib
import os

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    ConflictError,
    InvalidPathError,
)
from aioartifacts.objects.local import content, posix
from aioartifacts.types import MIB


@pytest.mark.parametrize("size", [MIB, 3 * MIB + 1])
def test_large_objects_are_read_into_writable_memory(store, size):
    data = os.urandom(size)
    put(store, KEY, data)
    got = store.get(KEY).data
    assert got == data
    got[:4] = b"mine"
    assert store.get(KEY).data == data


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 2 * MIB])
def test_generation_is_the_same_from_put_and_get_and_new_after_a_change(store, size):
    data = bytearray(os.urandom(size))
    first = put(store, KEY, data)
    assert store.get(KEY).info.generation == first.generation
    second = put(store, KEY, data[: size // 2] + b"x" + data[size // 2 :], if_generation=first.generation)
    assert second.generation != first.generation
    with pytest.raises(ConflictError):
        store.delete(KEY, if_generation=first.generation)
    store.delete(KEY, if_generation=second.generation)
    assert files(store.root) == set()


def test_generation_of_a_small_object_is_a_digest_of_its_bytes(store):
    assert put(store, KEY, b"data").generation == hashlib.sha256(b"data").hexdigest()[:32]


@pytest.mark.parametrize("size", [128 * 1024, 128 * 1024 + 1, 300_000])
def test_generation_is_of_all_bytes_or_of_both_ends_and_the_file(tmp_path, size):
    data, half = os.urandom(size), 64 * 1024
    (tmp_path / "x").write_bytes(data)
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        status = os.fstat(fd)
        found = content.generation(fd, status)
    finally:
        os.close(fd)
    file = f"{size} {status.st_ino} {status.st_mtime_ns} ".encode()
    digested = data if size == 2 * half else file + data[:half] + data[-half:]
    assert found == hashlib.sha256(digested).hexdigest()[:32]


def test_generation_of_bytes_at_hand_reads_nothing(tmp_path):
    (tmp_path / "x").write_bytes(b"data")
    found = content.generation(-1, os.stat(tmp_path / "x"), b"data")
    assert found == hashlib.sha256(b"data").hexdigest()[:32]


def test_map_survives_replacing_and_deleting(store):
    put(store, KEY, b"old" * 1000)
    view = store.map(KEY)
    put(store, KEY, b"new")
    store.delete(KEY)
    assert view == b"old" * 1000
    assert view.readonly


def test_file_is_the_real_path(store):
    put(store, "with space/é", b"data")
    path = store.file("with space/é")
    assert path == store.location("with space/é")
    with open(path, "rb") as file:
        assert file.read() == b"data"


def test_list_of_records_does_not_enter_folders_of_parts(store, monkeypatch):
    put(store, "a/metadata.json")
    put(store, f"a/.parts-{'0' * 32}/x")
    scan, scanned = posix.Tree.scan, []
    monkeypatch.setattr(posix.Tree, "scan", lambda self, folder: scanned.append(folder) or scan(self, folder))
    assert [info.key for info in store.list(name="metadata.json")] == ["a/metadata.json"]
    assert scanned == ["", "a"]


def test_list_outlives_folders_that_vanish(store):
    for i in range(20):
        put(store, f"{i}/x")
    listing = store.list()
    first = next(listing).key
    for i in range(20):
        store.delete(f"{i}/x")
    assert [first, *(info.key for info in listing)] == [first]


def test_list_hides_the_internal_folder_at_the_root_only(store):
    put(store, "a/b")
    os.makedirs(os.path.join(store.root, "a/.aioartifacts"))
    with open(os.path.join(store.root, "a/.aioartifacts/x"), "wb"):
        pass
    assert sorted(info.key for info in store.list()) == ["a/.aioartifacts/x", "a/b"]


@pytest.mark.parametrize(
    "key", [".aioartifacts", ".aioartifacts/tmp/x", "../x", "/x", "a//b", "a/./b", "a\0b", "", "\ud800"]
)
@pytest.mark.parametrize("verb", ["get", "head", "delete", "map", "file"])
def test_key_that_leads_elsewhere_is_refused(store, verb, key):
    with pytest.raises(InvalidPathError):
        getattr(store, verb)(key)
    with pytest.raises(InvalidPathError):
        put(store, key)
    assert not os.path.exists(store.root)


def test_too_long_a_name_is_an_invalid_path(store):
    with pytest.raises(InvalidPathError, match="shorter"):
        put(store, "x" * 300)
