"""What the local store sweeps, sets aside, reads piece by piece, and says of itself."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import InvalidConfigError, StoreError
from aioartifacts.objects.base import ObjectData
from aioartifacts.objects.local import LocalObjectStore, content, posix
from aioartifacts.objects.local.draft import Before
from aioartifacts.objects.local.posix import Tree
from aioartifacts.types import ObjectInfo


def draft(store, name, size, written):
    file = Path(store.root, ".aioartifacts", "tmp", name)
    file.write_bytes(bytes(size))
    os.utime(file, (written, written))
    return ObjectInfo(f".aioartifacts/tmp/{name}", size, None, None, float(written))


def folders(store):
    return {os.path.relpath(folder, store.root) for folder, _, _ in os.walk(store.root)} - {
        ".", ".aioartifacts", ".aioartifacts/tmp", ".aioartifacts/locks",
    }  # fmt: skip


def test_drafts_older_than_asked_for_are_swept(store):
    put(store, KEY)
    old, young = draft(store, "old", 3, 100), draft(store, "young", 5, 200)
    draft(store, "just now", 7, 300)
    assert sorted(store.sweep_drafts(300.0, dry_run=True), key=lambda info: info.key) == [old, young]
    assert len(files(store.root)) == 4
    assert store.sweep_drafts(200.0, dry_run=False) == [old]
    assert files(store.root) == {KEY, ".aioartifacts/tmp/young", ".aioartifacts/tmp/just now"}


def test_empty_folders_are_swept_but_not_in_a_dry_run(store):
    put(store, "a/b/x")
    for folder in ("e", "f/g/h", "a/c", ".aioartifacts/kept"):
        os.makedirs(os.path.join(store.root, folder))
    before = folders(store)
    assert store.sweep_drafts(0.0, dry_run=True) == []
    assert folders(store) == before
    assert store.sweep_drafts(0.0, dry_run=False) == []
    assert folders(store) == {"a", "a/b", ".aioartifacts/kept"}
    assert store.get("a/b/x").data == b"data"


def test_folder_that_vanishes_while_it_is_swept_is_no_trouble(store, monkeypatch):
    put(store, "a/x")
    os.makedirs(os.path.join(store.root, "gone"))
    os.makedirs(os.path.join(store.root, "last"))
    scan = Tree.scan

    def vanishing(tree, folder):
        if folder == "gone":
            os.rmdir(os.path.join(store.root, folder))
        return scan(tree, folder)

    monkeypatch.setattr(Tree, "scan", vanishing)
    assert store.sweep_drafts(0.0, dry_run=False) == []
    assert folders(store) == {"a"}


def test_nothing_is_swept_where_there_is_no_store(store):
    assert store.sweep_drafts(1e12, dry_run=False) == []
    assert not os.path.exists(store.root)


def test_store_says_what_it_is(tmp_path):
    store = LocalObjectStore(tmp_path, durability="process")
    assert store.config() == {"base_path": str(tmp_path), "durability": "process"}
    assert repr(store) == f"LocalObjectStore({str(tmp_path)!r}, durability='process')"
    with pytest.raises(InvalidConfigError, match="durability is 'full' or 'process', not 'none'"):
        LocalObjectStore(tmp_path, durability="none")  # type: ignore[arg-type]


def test_pieces_are_read_without_pread_too(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"0123456789")
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        for pread in (os.pread, content._pread_by_seeking, lambda fd, size, start: os.pread(fd, min(3, size), start)):
            monkeypatch.setattr(content, "_pread", pread)
            assert content.read(fd, 4, 2) == b"2345"
            assert content.read(fd, 100, 5) == b"56789"
            assert content.read(fd, 0, 0) == b""
            assert content.read(fd, 3, 10) == b""
    finally:
        os.close(fd)


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_memory_is_filled_however_little_comes_at_a_time(tmp_path, monkeypatch, piece):
    (tmp_path / "x").write_bytes(b"0123456789")

    class Slow(content.io.FileIO):
        def readinto(self, view, /):
            return super().readinto(view[:piece])

    monkeypatch.setattr(content.io, "FileIO", Slow)
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        for size, start, expected in ((4, 2, b"2345"), (20, 5, b"56789"), (10, 0, b"0123456789"), (2, 10, b"")):
            memory = memoryview(bytearray(size))
            assert content.read_into(fd, memory, start) == expected
            assert bytes(memory[len(expected) :]) == bytes(size - len(expected))
    finally:
        os.close(fd)


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_memory_to_be_filled_is_writable_and_private(monkeypatch, system):
    monkeypatch.setattr(content.sys, "platform", system)
    memory = content.buffer(5000)
    assert (len(memory), memory.readonly) == (5000, False)
    assert isinstance(memory.obj, bytearray) is (system == "win32")
    memory[:] = b"x" * 5000
    if system == "linux":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 and JAX warn of forking with threads
            pid = os.fork()
        if pid == 0:
            memory[0] = 0
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert memory[0] == ord("x")


@pytest.mark.parametrize(
    ("answer", "code", "raises"), [(0, errno.ENOSPC, False), (-1, errno.ENOSPC, True), (-1, errno.EOPNOTSUPP, False)]
)
def test_only_a_full_disk_keeps_room_from_being_set_aside(monkeypatch, answer, code, raises):
    asked = []

    def fallocate(*arguments):
        asked.append(arguments)
        return answer

    monkeypatch.setattr(posix, "_fallocate", fallocate)
    monkeypatch.setattr(ctypes, "get_errno", lambda: code)
    if raises:
        with pytest.raises(OSError, match="No space left") as caught:
            Tree.reserve(7, 1000)
        assert (caught.value.errno, caught.value.strerror) == (errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        Tree.reserve(7, 1000)
    assert asked == [(7, 1, 0, 1000)]
    monkeypatch.setattr(posix, "_fallocate", None)
    Tree.reserve(7, 1000)


def test_what_was_put_back_is_let_go_of(durable):
    put(durable, "a/x", b"old")
    with Tree(durable.root) as tree:
        before = Before(tree, "a/x")
        before.keep()
        assert (before.missing, before.name != "") == (False, True)
        put(durable, "a/x", b"new")
        assert before.put_back(replace=True) is True
        assert before.name == ""
        assert before.put_back(replace=True) is False
        before.forget()
        gone = Before(tree, "a/y")
        gone.keep()
        assert (gone.missing, gone.name) == (True, "")
    assert durable.get("a/x").data == b"old"
    assert files(durable.root) == {"a/x"}


def test_what_cannot_be_put_back_is_told(durable, monkeypatch):
    put(durable, "a/x", b"old")

    def fail(tree, folder):
        def refuse(*_, **__):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(Tree, "place", refuse)
        refuse()

    monkeypatch.setattr(Tree, "sync", fail)
    with pytest.raises(StoreError, match="the new content is in place"):
        put(durable, "a/x", b"new")
    found = durable.get("a/x")
    assert isinstance(found, ObjectData)
    assert found.data == b"new"
    assert files(durable.root) == {"a/x"}


@pytest.mark.parametrize("system", ["win32", "linux"])
def test_owner_is_not_asked_for_on_windows(store, monkeypatch, system):
    put(store, "a")
    os.chmod(store.root, 0o777)
    monkeypatch.setattr("aioartifacts.objects.local.store.sys.platform", system)
    assert (store.doubt() is None) == (system == "win32")


def test_root_that_was_removed_is_made_again(store, monkeypatch):
    make, times = Tree._make_folder, []

    def removing(tree, folder, **options):
        fd = make(tree, folder, **options)
        if not times:
            times.append(folder)
            for name in (".aioartifacts/tmp", ".aioartifacts", ""):
                os.rmdir(os.path.join(store.root, name))
        return fd

    monkeypatch.setattr(Tree, "_make_folder", removing)
    put(store, "a/x")
    assert store.get("a/x").data == b"data"
    assert opened_beneath(store.root) == [store.root]


def opened_beneath(folder):
    opened = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that lists them
            opened.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in opened if path.startswith(str(folder))]
