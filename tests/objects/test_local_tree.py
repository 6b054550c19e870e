"""Name-to-file operations: with which flags files are opened, and what happens when folders come and go meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import StoreError
from aioartifacts.objects.base import Buffers, PutRequest
from aioartifacts.objects.local import posix
from aioartifacts.objects.local.posix import Tree
from aioartifacts.types import MIB


@pytest.fixture
def tree(durable):
    put(durable, "a/x", b"data")
    with Tree(durable.root) as made:
        yield made


def test_nothing_is_opened_through_a_link_nor_inherited_nor_waited_for():
    assert posix._PATH == os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    assert posix._FOLDER == os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    assert posix._READ == os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
    assert posix._DRAFT == os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    assert posix._LOCK == os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def test_numbers_are_those_of_the_kernel():
    assert (posix._OPENAT2, posix._NO_SYMLINKS, posix._BENEATH) == (437, 4, 8)
    assert (posix._RENAME_NOREPLACE, posix._SYNC_FILE_RANGE_WRITE, posix._FALLOC_FL_KEEP_SIZE) == (1, 2, 1)


@pytest.mark.parametrize("root", ["a descriptor", "descriptor 0", "none"])
def test_opening_at_once_leaves_no_root_and_says_what_failed(tree, root):
    with lowest_descriptors(1 if root == "descriptor 0" else 0):
        folder = -1 if root == "none" else os.open(tree.root, posix._PATH)
        assert (folder == 0) is (root == "descriptor 0")
        above = f"{tree.root}/" if root == "none" else ""
        wrong = [(f"{above}missing", errno.ENOENT), (f"{above}a/x/y", errno.ENOTDIR)]
        if root != "none":
            wrong += [("../x", errno.EXDEV), ("/etc", errno.EXDEV)]
        for name, code in wrong:
            with pytest.raises(OSError, match=os.strerror(code)) as caught:
                posix._open_at_once(folder, name, posix._READ)
            assert (caught.value.errno, caught.value.strerror, caught.value.filename) == (code, os.strerror(code), name)
        if folder >= 0:
            os.close(folder)


def test_descriptors_are_not_inherited(tree, walk):
    opened = [tree.open("a/x"), tree.create_draft("0" * 24)]
    try:
        assert [fcntl.fcntl(fd, fcntl.F_GETFD) for fd in opened] == [fcntl.FD_CLOEXEC] * 2
    finally:
        for fd in opened:
            os.close(fd)


def test_folder_in_the_way_of_a_walk_is_told_from_a_link(tree, tmp_path):
    os.symlink(tmp_path, os.path.join(tree.root, "link"))
    root = os.open(tree.root, posix._PATH)
    try:
        for name, code, filename in (("link/x", errno.ELOOP, "link"), ("a/x/y", errno.ENOTDIR, "x")):
            with pytest.raises(OSError, match=os.strerror(code)) as caught:
                posix._open_stepwise(root, name, posix._READ)
            error = caught.value
            assert (error.errno, error.strerror, error.filename) == (code, os.strerror(code), filename)
    finally:
        os.close(root)


def test_mode_of_lock_files(durable, walk):
    before = os.umask(0o022)
    try:
        put(durable, KEY)
    finally:
        os.umask(before)
    folder = os.path.join(durable.root, posix.LOCKS)
    (lock,) = os.listdir(folder)
    assert stat.S_IMODE(os.stat(os.path.join(folder, lock)).st_mode) == 0o644


def test_there_are_at_most_256_lock_files(tree):
    for number in range(700):
        with tree.lock(f"a/{number}"):
            pass
    locks = os.listdir(os.path.join(tree.root, posix.LOCKS))
    assert 200 < len(locks) <= 256
    assert {len(lock) for lock in locks} == {2}


def test_room_is_really_set_aside_and_the_file_stays_as_it_is(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        Tree.reserve(file.fileno(), MIB)
        status = os.fstat(file.fileno())
    assert status.st_size == 0
    assert status.st_blocks * 512 >= MIB
    assert posix._fallocate.argtypes[2:] == (ctypes.c_int64, ctypes.c_int64), "files of more than 2 GiB"


def test_drives_are_told_to_empty_their_caches_on_macos(monkeypatch):
    asked = []
    monkeypatch.setattr(posix, "_FULLFSYNC", 51)
    monkeypatch.setattr(posix.fcntl, "fcntl", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(os, "fsync", None)
    Tree.sync_file(7)
    assert asked == [(7, 51)]


def test_what_is_kept_of_a_link_is_the_link(tree, tmp_path):
    (tmp_path / "outside").write_bytes(b"secret")
    os.symlink(tmp_path / "outside", os.path.join(tree.root, "a", "link"))
    tree.keep("a/link", "0" * 24)
    assert os.path.islink(os.path.join(tree.root, posix.DRAFTS, "0" * 24))
    tree.place("0" * 24, "a/link", replace=True)
    assert os.stat(tmp_path / "outside").st_nlink == 1


def test_link_to_an_object_is_none(tree, durable, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    os.symlink(tmp_path / "outside" / "secret", os.path.join(tree.root, "a", "link"))
    os.symlink(tmp_path / "outside", os.path.join(tree.root, "folder"))
    assert (tree.is_object("a/x"), tree.is_object("a/link"), tree.is_object("folder")) == (True, False, False)
    with pytest.raises(OSError, match="symbolic links"):
        tree.is_object("folder/secret")
    durable.delete("a/link")
    assert os.path.islink(os.path.join(tree.root, "a", "link"))
    assert (tree.scan("")[0], tree.scan("a")[0]) in (([".aioartifacts", "a"], []), (["a", ".aioartifacts"], []))
    assert [name for name, _ in tree.scan("a")[1]] == ["x"]


def test_create_is_done_even_if_its_temporary_file_cannot_be_removed(durable, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "unlink", refuse)
    assert put(durable, "a/x", b"data", if_generation=0).size == 4
    monkeypatch.undo()
    assert durable.get("a/x").data == b"data"
    assert len(files(durable.root)) == 2


def test_create_without_hard_links_and_without_another_way_says_so(durable, monkeypatch):
    refused = OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def refuse(*_, **__):
        raise refused

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(posix, "_libc", object())
    monkeypatch.setattr(Tree, "start_writing_back", lambda _: None)
    with pytest.raises(StoreError, match=os.strerror(errno.EOPNOTSUPP)) as caught:
        put(durable, "a/x", if_generation=0)
    assert caught.value.__cause__ is refused
    assert files(durable.root) == set()


def test_folders_that_are_gone_are_tried_a_hundred_times(tree, monkeypatch):
    tried = []

    def gone(_):
        tried.append(1)
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr(Tree, "_open_drafts", gone)
    with pytest.raises(FileNotFoundError, match="gone"):
        tree.create_draft("0" * 24)
    assert len(tried) == posix.ATTEMPTS == 100


class Vanishing:
    """An entry of a folder that is removed once it was found to be a file."""

    def __init__(self, entry):
        self._entry = entry
        self.name, self.path = entry.name, entry.path

    def is_dir(self, *, follow_symlinks):
        return self._entry.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks):
        return self._entry.is_file(follow_symlinks=follow_symlinks)

    def stat(self, *, follow_symlinks):
        assert follow_symlinks is False, "it may be a link by now"
        if self.name == "x":
            raise FileNotFoundError(errno.ENOENT, "gone")
        return self._entry.stat(follow_symlinks=follow_symlinks)


def test_file_that_vanishes_while_its_folder_is_read_is_left_out(tree, durable, monkeypatch):
    put(durable, "a/y", b"12345")
    scandir = os.scandir

    @contextlib.contextmanager
    def vanishing(fd):
        with scandir(fd) as entries:
            yield map(Vanishing, entries)

    monkeypatch.setattr(os, "scandir", vanishing)
    folders, found = tree.scan("a")
    assert folders == []
    assert [(name, status.st_size) for name, status in found] == [("y", 5)]


@pytest.mark.parametrize(
    ("folder", "synced"), [("a", "/a"), ("a/gone", "/a"), ("a/gone/deep", "/a"), ("gone", ""), ("", "")]
)
def test_nearest_folder_that_is_left_is_synced(tree, monkeypatch, folder, synced):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(os.readlink(f"/proc/self/fd/{fd}")))
    tree.sync(folder)
    assert seen == [tree.root + synced]


def test_folders_above_the_root_are_synced_too(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(os.readlink(f"/proc/self/fd/{fd}")))
    with Tree(str(tmp_path / "root")) as tree:
        tree.sync(str(tmp_path))
        tree.sync(str(tmp_path / "gone"))
    assert seen == [str(tmp_path)] * 2


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
def test_only_file_systems_with_nothing_to_sync_for_a_folder_are_believed(tree, monkeypatch, code):
    def refuse(fd):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    before = len(os.listdir("/proc/self/fd"))
    if code == errno.EINVAL:
        tree.sync("a")
    else:
        with pytest.raises(OSError, match="Input/output error"):
            tree.sync("a")
    assert len(os.listdir("/proc/self/fd")) == before


@contextlib.contextmanager
def lowest_descriptors(n):
    """Where the next *n* descriptors to be opened are 0, 1, …"""
    saved = [os.dup(fd) for fd in range(n)]
    for fd in range(n):
        os.close(fd)
    try:
        yield
    finally:
        for fd, copy in enumerate(saved):
            os.dup2(copy, fd)
            os.close(copy)


def test_descriptor_zero_may_be_that_of_the_temporary_files(durable):
    put(durable, "a/x")
    requests = [PutRequest(f"a/{number}", Buffers(b"data"), 0) for number in range(3)]
    with lowest_descriptors(1):
        before = len(os.listdir("/proc/self/fd"))
        answers = durable.put_many(requests)
        assert len(os.listdir("/proc/self/fd")) == before
    assert [type(answer).__name__ for answer in answers] == ["ObjectInfo"] * 3
    assert files(durable.root) == {"a/x", "a/0", "a/1", "a/2"}


def test_temporary_file_below_descriptor_zero_is_removed(tree):
    with lowest_descriptors(1), Tree(tree.root) as other:
        fd = other.create_draft("0" * 24)
        assert other._drafts == 0
        other.discard_draft("0" * 24)
        os.close(fd)
    assert files(tree.root) == {"a/x"}


def test_descriptor_zero_may_be_that_of_the_folder_above(tree):
    with lowest_descriptors(1):
        assert tree._open_folder("a") == 0
        tree._above = ("a", 0)
        os.close(tree._make_folder("a/new", new=True))
        assert tree._above == ("a", 0)
        tree._forget_above()
        assert tree._above[1] < 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    assert os.path.isdir(os.path.join(tree.root, "a", "new"))
