"""What the verbs of the local store answer, to the letter: times, generations, messages, and which of many has failed."""

from __future__ import annotations

import errno
import mmap
import os

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    ArtifactExistsError,
    ConflictError,
    InvalidConfigError,
    InvalidPathError,
    StoreError,
)
from aioartifacts.objects.base import Buffers, PutRequest
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.local import store as local
from aioartifacts.objects.local.posix import Tree
from aioartifacts.types import MIB, ObjectInfo

EIO = "Input/output error; the disk reports a failure: look at the system log before trusting it again"


def fail(*_, **__):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_every_verb_says_when_an_object_was_written(store):
    put(store, KEY)
    os.utime(store.location(KEY), (1000.0, 1234.5))
    assert store.head(KEY).updated == store.get(KEY).info.updated == 1234.5
    assert list(store.list()) == [ObjectInfo(KEY, 4, updated=1234.5)]
    assert list(store.list(KEY)) == [store.head(KEY)]


def test_only_a_whole_object_has_a_generation(store):
    put(store, KEY, b"0123456789")
    whole = store.get(KEY).info.generation
    assert whole is not None
    for options in ({"start": 1}, {"length": 10}, {"length": 2}, {"start": 1, "length": 2}):
        got = store.get(KEY, **options)
        first = options.get("start", 0)
        assert (got.info.generation, got.info.size) == (None, 10)
        assert got.data == b"0123456789"[first : first + options.get("length", 10)]
    got = store.get(KEY, into=memoryview(bytearray(20)))
    assert (got.info.generation, got.info.size, got.data) == (None, 10, b"0123456789")
    assert store.get(KEY, start=10, into=memoryview(bytearray(5))).data == b""


def test_no_more_memory_is_taken_than_there_is_to_read(store, monkeypatch):
    put(store, KEY, bytes(3 * MIB))
    buffer, taken = local.buffer, []
    monkeypatch.setattr(local, "buffer", lambda size: taken.append(size) or buffer(size))
    assert len(store.get(KEY, start=MIB).data) == 2 * MIB
    assert len(store.get(KEY, start=2 * MIB).data) == MIB
    assert len(store.get(KEY, start=MIB, length=9 * MIB).data) == 2 * MIB
    assert len(store.get(KEY, start=2 * MIB + 1).data) == MIB - 1
    assert taken == [2 * MIB, MIB, 2 * MIB]


def test_failures_of_many_without_syncing_are_answered_one_by_one(store):
    put(store, "exists", b"old")
    answers = store.put_many([PutRequest("a", Buffers(b"a"), 0), PutRequest("exists", Buffers(b""), 0)])
    assert [type(answer) for answer in answers] == [ObjectInfo, ArtifactExistsError]


def test_only_names_in_a_folder_that_was_not_synced_have_failed(durable, monkeypatch):
    put(durable, "a/x")
    put(durable, "b/x")
    sync = Tree.sync

    def failing(tree, folder):
        if folder == "a":
            fail()
        sync(tree, folder)

    monkeypatch.setattr(Tree, "sync", failing)
    answers = durable.put_many([PutRequest(f"{folder}/y", Buffers(b"data"), 0) for folder in "aba"])
    assert [type(answer).__name__ for answer in answers] == ["StoreError", "ObjectInfo", "ArtifactExistsError"]
    assert files(durable.root) == {"a/x", "b/x", "b/y"}


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_object_that_cannot_be_compared(store, monkeypatch, verb):
    generation = put(store, KEY).generation
    monkeypatch.setattr(Tree, "open", fail)
    call = put if verb == "put" else LocalObjectStore.delete
    with pytest.raises(StoreError) as caught:
        call(store, KEY, if_generation=generation)
    message = f"cannot {verb} {KEY!r} in {store.root}: {EIO}"
    assert (caught.value.message, caught.value.path, caught.value.operation) == (message, KEY, verb)


def test_comparing_leaves_no_descriptor(store):
    put(store, KEY)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConflictError):
        put(store, KEY, if_generation="0" * 32)
    assert len(os.listdir("/proc/self/fd")) == before


def test_object_that_cannot_be_mapped(store, monkeypatch):
    put(store, KEY)
    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(StoreError) as caught:
        store.map(KEY)
    message = f"cannot map {KEY!r} in {store.root}: {EIO}"
    assert (caught.value.message, caught.value.path, caught.value.operation) == (message, KEY, "map")


def test_nothing_is_mapped_of_an_empty_object(store):
    put(store, KEY, b"")
    assert store.map(KEY) == b""


@pytest.mark.parametrize("root", ["", "a\0b", b"bytes", 7, None])
def test_root_that_is_no_path_of_a_folder(root):
    with pytest.raises(InvalidConfigError) as caught:
        LocalObjectStore(root)
    assert caught.value.message == f"the root of a local store is the path of a folder, not {root!r}"


@pytest.mark.parametrize("root", ["s3://bucket/prefix", "gs://bucket", "file:///folder", "memory://"])
def test_root_that_is_a_url_is_no_folder_of_that_name(root):
    with pytest.raises(InvalidConfigError) as caught:
        LocalObjectStore(root)
    assert caught.value.message == f"{root!r} is a URL, not the path of a folder: open_store() takes URLs"


def test_root_that_is_the_whole_file_system():
    for root in ("/", "//"):
        with pytest.raises(InvalidConfigError) as caught:
            LocalObjectStore(root)
        assert caught.value.message == f"{root!r} is the root of the whole file system: name a folder for the store"


def test_two_slashes_before_a_root_are_one():
    store = LocalObjectStore("//Xy/z")
    assert (store.root, store.url, store.location("")) == ("/Xy/z", "file:///Xy/z", "/Xy/z")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("{url}/a?b", "'{url}/a?b' holds '?' or '#'; in a name, write %3F or %23"),
        ("{url}/a#b", "'{url}/a#b' holds '?' or '#'; in a name, write %3F or %23"),
        ("gs://bucket/a", "'gs://bucket/a' is not inside the store {url}"),
        ("file://elsewhere{root}/a", "'file://elsewhere{root}/a' is not inside the store {url}"),
        ("file://localhost", "'file://localhost' is not inside the store {url}"),
        ("{root}x", "'{root}x' is not inside the store {root}"),
        ("{root}/../a", "'{root}/../a' is not inside the store {root}"),
    ],
)
def test_location_outside_says_so(store, location, message):
    given = location.format(root=store.root, url=store.url)
    with pytest.raises(InvalidPathError) as caught:
        store.relative(given)
    assert (caught.value.message, caught.value.path) == (message.format(root=store.root, url=store.url), given)
    assert store.relative("a/b") is None


@pytest.mark.parametrize("failing", ["the root", "above the root"])
def test_new_root_that_is_not_synced_is_no_success(durable, monkeypatch, failing):
    sync = Tree.sync
    which = "" if failing == "the root" else os.path.dirname(durable.root)

    def selected(tree, folder):
        if folder == which:
            fail()
        sync(tree, folder)

    monkeypatch.setattr(Tree, "sync", selected)
    with pytest.raises(StoreError, match="nothing was stored"):
        put(durable, "a/x", if_generation=0)
    assert files(durable.root) == set()


def test_deleting_works_where_nothing_can_be_kept(durable, monkeypatch):
    put(durable, KEY)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    durable.delete(KEY)
    assert files(durable.root) == set()


def test_list_of_an_object_by_its_name(store):
    put(store, "a/b/c")
    assert [info.key for info in store.list("a/b/c", name="c")] == ["a/b/c"]
    assert list(store.list("a/b/c", name="b/c")) == []


def test_list_goes_on_after_a_folder_that_vanished(store):
    for name in ("top", "0/x", "1/x", "2/x"):
        put(store, name)
    listing = store.list()
    assert next(listing).key == "top"
    store.delete("1/x")
    assert sorted(info.key for info in listing) == ["0/x", "2/x"]


def test_list_where_the_root_is_a_file(store):
    with open(store.root, "wb"):
        pass
    with pytest.raises(StoreError) as caught:
        list(store.list())
    assert caught.value.message.startswith(f"cannot list {store.root}: Not a directory")
    assert (caught.value.path, caught.value.operation) == ("", "list")
