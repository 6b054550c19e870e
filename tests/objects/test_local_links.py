"""The local store follows no link below its root, and reads regular files only."""

from __future__ import annotations

import os
import socket

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    StoreError,
)
from aioartifacts.objects.local import LocalObjectStore


@pytest.mark.parametrize("verb", ["get", "head", "map"])
@pytest.mark.parametrize("kind", ["file link", "dangling link", "folder", "fifo", "socket", "below a link"])
def test_what_is_no_regular_file_is_no_object(store, walk, tmp_path, verb, kind):
    put(store, "inside/x")
    target = tmp_path / "outside"
    target.mkdir()
    (target / "secret").write_bytes(b"secret")
    odd = os.path.join(store.root, "odd")
    key = "odd"
    if kind == "file link":
        os.symlink(target / "secret", odd)
    elif kind == "dangling link":
        os.symlink(target / "nothing", odd)
    elif kind == "folder":
        os.mkdir(odd)
    elif kind == "fifo":
        os.mkfifo(odd)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.open(store.root, os.O_RDONLY)
            server.bind(f"/proc/self/fd/{here}/odd")
            os.close(here)
    else:
        os.symlink(target, odd)
        key = "odd/secret"
    with pytest.raises(ArtifactNotFoundError) as caught:
        getattr(store, verb)(key)
    assert caught.value.path == key
    assert store.file(key) is None
    assert [info.key for info in store.list()] == ["inside/x"]
    assert list(store.list(key)) == []


@pytest.mark.parametrize("options", [{}, {"if_generation": 0}, {"if_generation": "0" * 32}], ids=str)
def test_put_never_writes_through_a_linked_folder(store, walk, tmp_path, options):
    put(store, "a/b")
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, os.path.join(store.root, "link"))
    for key in ("link/x", "link/deeper/x"):
        with pytest.raises(ArtifactError):
            put(store, key, **options)
    assert list(outside.iterdir()) == []
    assert files(store.root) == {"a/b"}


def test_message_of_a_put_through_a_link_names_the_link_as_the_reason(store, walk, tmp_path):
    put(store, "a/b")
    os.symlink(tmp_path, os.path.join(store.root, "link"))
    with pytest.raises(StoreError, match=r"'link/x'.*symbolic link"):
        put(store, "link/x")


def test_temporary_files_are_never_written_through_a_link(store, walk, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    os.mkdir(store.root)
    os.symlink(outside, os.path.join(store.root, ".aioartifacts"))
    with pytest.raises(StoreError, match="symbolic link"):
        put(store, KEY)
    assert list(outside.iterdir()) == []


def test_delete_never_reaches_through_a_link(store, walk, tmp_path):
    put(store, "a/b")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"")
    os.symlink(outside, os.path.join(store.root, "link"))
    store.delete("link/x")
    store.delete("link")
    assert (outside / "x").exists()
    assert os.path.islink(os.path.join(store.root, "link"))


def test_root_may_be_a_link(walk, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "root")
    store = LocalObjectStore(tmp_path / "root")
    put(store, KEY)
    assert store.get(KEY).data == b"data"
    assert (tmp_path / "real" / KEY).read_bytes() == b"data"
    assert [info.key for info in store.list()] == [KEY]


def test_create_where_no_object_has_the_name_is_a_store_error(store, walk):
    put(store, "folder/x")
    for attempt in ("folder", "fifo"):
        if attempt == "fifo":
            os.mkfifo(os.path.join(store.root, "fifo"))
        with pytest.raises(StoreError, match="no regular file has that name"):
            put(store, attempt, if_generation=0)
    assert not [name for name in files(store.root) if name.startswith(".aioartifacts")]


def test_file_where_a_folder_must_be_is_named_as_the_reason(store, walk):
    put(store, "a")
    with pytest.raises(StoreError, match=r"'a/b'.*a file lies where a folder must be"):
        put(store, "a/b")
    assert files(store.root) == {"a"}
